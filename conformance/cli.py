# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one function a command."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from conformance import VERSION
from conformance.errors import HarnessError, OrigaxError, UsageError
from conformance.places import PACKAGE, expected_directory

USAGE: Final = 2
BISECT_SKIP: Final = 125

_EPILOG: Final = """\
exit codes of `run`: 0 conforms, 1 does not, 2 wrong usage, 3 the harness failed,
4 everything was skipped, 5 no golden for this environment; 130 interrupted.
With --bisect everything but 0 and 1 is 125, as `git bisect run` wants it.
"""


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends a run as ^C does."""


def run(args: argparse.Namespace) -> int:
    """Trace cases on this kernel, and judge every stop."""
    from conformance import expectation, facts, record, runner
    from conformance.cases import all_cases
    from conformance.reports import terminal

    stopped = 130

    def terminate(*_: object) -> NoReturn:
        nonlocal stopped
        stopped = 143
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    if args.record:
        record.check_place(args.record)
    chosen = runner.select(all_cases(), args.patterns)
    vocabulary = facts.vocabulary(args.expected)
    known = expectation.load_known(args.expected, vocabulary)
    environment = facts.collect(args.expected)
    runner.require_tracing(environment)
    planned = runner.plan(chosen, environment, vocabulary, args.expected)
    options = record.OptionsRecord(
        args.frames, args.repeat, args.timeout, args.jobs, tuple(args.patterns)
    )
    color = terminal.use_color(sys.stdout, os.environ)
    live = terminal.use_color(sys.stderr, os.environ)
    with terminal.Progress(sys.stderr, len(planned), live) as progress:
        made = runner.conduct(planned, environment, known, options, progress.begin, progress.end)
    print(terminal.summary(made, color), end="", flush=True)
    if args.record:
        record.write(args.record, made)
    if made.interrupted:
        return stopped
    return record.exit_code(made.verdicts, args.bisect)


def list_cases(args: argparse.Namespace) -> int:
    """List the cases."""
    from conformance import expectation, facts, runner
    from conformance.cases import all_cases

    cases = runner.select(all_cases(), args.patterns)
    if not args.json:
        width = max(len(case.id) for case in cases)
        for case in cases:
            needs = f"  needs {', '.join(case.needs)}" if case.needs else ""
            print(f"{case.id:{width}}  {case.abi:6}  {case.door}{needs}")
        return 0
    vocabulary = facts.vocabulary(args.expected)
    rows = []
    for case in cases:
        wanted = expectation.find(args.expected, case.id, vocabulary)
        rows.append(
            {"id": case.id, "family": case.family, "abi": case.abi, "door": case.door,
             "covers": list(case.covers), "needs": list(case.needs),
             "breaks": list(wanted.breaks) if wanted else []}
        )  # fmt: skip
    print(json.dumps(rows, indent=1))
    return 0


def show(args: argparse.Namespace) -> int:
    """Show one case: what it is about, how it is driven, what is expected."""
    from conformance import expectation, facts, runner
    from conformance.cases import all_cases
    from conformance.reports import casebook

    (case, *more) = runner.select(all_cases(), [args.case])
    if more:
        raise UsageError("that names several cases", args.case, "give one case's id")
    vocabulary = facts.vocabulary(args.expected)
    wanted = expectation.find(args.expected, case.id, vocabulary)
    print(casebook.text(case, wanted, facts.collect(args.expected)), end="")
    return 0


def update(args: argparse.Namespace) -> int:
    """Propose changes to the goldens, or accept one."""
    from conformance import record, update
    from conformance.places import writable
    from conformance.tracing import image

    records = [record.read(path) for path in args.records]
    expected = writable(args.expected) if args.accept else args.expected
    print(
        update.run(
            records, expected, accept=args.accept, reason=args.reason, when=args.when,
            basis=args.basis, current_probes=image.digests, environ=os.environ,
        ),
        end="",
    )  # fmt: skip
    return 0


def diff(args: argparse.Namespace) -> int:
    """Compare two records with no golden between them."""
    from conformance import record
    from conformance.reports import terminal
    from conformance.reports.diff import diff as compare

    one, other = (record.read(path) for path in args.records)
    text, differs = compare(one, other, terminal.use_color(sys.stdout, os.environ))
    print(text, end="")
    return int(differs)


def doctor(args: argparse.Namespace) -> int:
    """Print every fact of this machine, and which cases each missing one costs."""
    from conformance import facts
    from conformance.cases import all_cases
    from conformance.reports import doctor

    vocabulary = facts.vocabulary(args.expected)
    environment = facts.collect(args.expected)
    if args.json:
        print(json.dumps(doctor.data(environment, vocabulary, all_cases()), indent=1))
    else:
        print(doctor.text(environment, vocabulary, all_cases()), end="")
    return 0


def report(args: argparse.Namespace) -> int:
    """Write a record as a report."""
    from conformance import record
    from conformance.reports import junit, ktap, terminal

    made = record.read(args.record)
    formats: dict[str, Callable[[], str]] = {
        "terminal": lambda: terminal.summary(made, terminal.use_color(sys.stdout, os.environ)),
        "ktap": lambda: ktap.report(made),
        "tap13": lambda: ktap.report(made, tap13=True),
        "junit": lambda: junit.report(made),
    }
    print(formats[args.format](), end="")
    return 0


def kernels_list(args: argparse.Namespace) -> int:
    """List the kernels that must be covered, and what is fetched of them."""
    from conformance.kernels import environments, packages
    from conformance.reports import kernels as report

    cache = packages.location(os.environ)
    kept = {each: packages.find(each, cache) for each in environments.load(args.expected)}
    print(json.dumps(report.data(kept), indent=1) if args.json else report.text(kept).rstrip())
    return 0


def kernels_fetch(args: argparse.Namespace) -> int:
    """Fetch kernels from Debian's archive into the cache."""
    from conformance.kernels import environments, packages
    from conformance.reports import terminal
    from conformance.reports.kernels import Meter

    chosen = environments.select(environments.load(args.expected), args.names)
    live = terminal.use_color(sys.stderr, os.environ)
    with Meter(sys.stderr, live) as meter:
        packages.fetch_all(chosen, packages.location(os.environ), meter)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400 seconds")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="origax",
        description="Check the user ABI of x86 kernel entry: trace small programs across system "
        "calls, interrupts and signals, and compare every register that a tracer can see.",
    )
    parser.add_argument("--version", action="version", version=f"origax {VERSION}")
    parser.add_argument(
        "--expected", metavar="DIR", default=os.environ.get("ORIGAX_EXPECTED"),
        help="the golden files (default: ORIGAX_EXPECTED, or this checkout's or package's own)",
    )  # fmt: skip
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_run, _add_list, _add_show, _add_update, _add_diff, _add_doctor, _add_report,
        _add_kernels,
    ):  # fmt: skip
        add(commands)
    return parser


def _command(commands: Any, name: str, function: Callable[..., int], **more: Any) -> Any:
    doc = (function.__doc__ or "").splitlines()[0]
    sub = commands.add_parser(
        name, help=doc, description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter, **more,
    )  # fmt: skip
    sub.set_defaults(function=function, bisect=False)
    return sub


_PATTERNS: Final = "a case's id, a family, or a shell pattern (default: all)"


def _add_run(commands: Any) -> None:
    sub = _command(commands, "run", run, epilog=_EPILOG)
    sub.add_argument("patterns", metavar="PATTERN", nargs="*", help=_PATTERNS)
    sub.add_argument("--record", metavar="FILE", type=Path, help="write what was seen, as JSON")
    sub.add_argument("--repeat", metavar="N", type=_positive, default=1,
                     help="run each case N times; all must agree")  # fmt: skip
    sub.add_argument("--frames", metavar="N", type=_positive, default=200,
                     help="interrupts to catch on each path (default: 200)")  # fmt: skip
    sub.add_argument("--jobs", metavar="N", type=_positive, default=1,
                     help="cases at the same time (default: 1)")  # fmt: skip
    sub.add_argument("--timeout", metavar="S", type=_seconds, default=10.0,
                     help="seconds for one run of one case (default: 10)")  # fmt: skip
    sub.add_argument("--bisect", action="store_true", help="exit codes for `git bisect run`")


def _add_list(commands: Any) -> None:
    sub = _command(commands, "list", list_cases)
    sub.add_argument("patterns", metavar="PATTERN", nargs="*", help=_PATTERNS)
    sub.add_argument("--json", action="store_true", help="with what each covers and breaks")


def _add_show(commands: Any) -> None:
    _command(commands, "show", show).add_argument("case", metavar="CASE", help="a case's id")


def _add_update(commands: Any) -> None:
    epilog = (
        "Without --accept: shows what differs from the goldens, equal changes as one group with an "
        "ID.\nRecords must come from `origax run --repeat 10 --record FILE` or more repeats."
    )
    sub = _command(commands, "update", update, epilog=epilog)
    sub.add_argument("records", metavar="RECORD", nargs="+", type=Path,
                     help="from one machine or many")  # fmt: skip
    sub.add_argument("--accept", metavar="ID", help="write that group of changes")
    sub.add_argument("--reason", metavar="TEXT", default="", help="why it is right: goes to `why`")
    sub.add_argument("--when", metavar="EXPR",
                     help="make it a variant of its own, where these facts hold")  # fmt: skip
    sub.add_argument("--basis", choices=("kernel-source", "manual", "observed"),
                     default="observed", help="what it rests on (default: observed)")  # fmt: skip


def _add_diff(commands: Any) -> None:
    sub = _command(commands, "diff", diff, epilog="exit codes: 0 no difference, 1 some")
    sub.add_argument("records", metavar="RECORD", nargs=2, type=Path)


def _add_doctor(commands: Any) -> None:
    _command(commands, "doctor", doctor).add_argument("--json", action="store_true")


def _add_report(commands: Any) -> None:
    sub = _command(commands, "report", report)
    sub.add_argument("record", metavar="RECORD", type=Path)
    sub.add_argument("--format", choices=("terminal", "ktap", "tap13", "junit"),
                     default="terminal")  # fmt: skip


_KERNELS: Final = """\
They are Debian's own, each for a machine in QEMU; expected/kernels.toml lists them. Nothing is
installed: apt fetches and checks them with this machine's settings, but with sources of its own,
and they are unpacked in ~/.cache/origax/kernels (XDG_CACHE_HOME), about 1.6 GB for all. Whatever
changes there afterwards is refused by name. Fetching needs Debian, its apt and kmod; no root.
"""
_FETCH: Final = """\
What is there and current is not downloaded again, and a download that was broken off goes on.
Kernels of one package are one download: 6.12 and 6.12-x32, say.

  origax kernels fetch             all of them, about 460 MB
  origax kernels fetch 6.12 sid    the newest two
"""


def _add_kernels(commands: Any) -> None:
    doc = "The kernels that must be covered: list them, fetch them."
    sub = commands.add_parser(
        "kernels", help=doc, description=doc, epilog=_KERNELS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = sub.add_subparsers(metavar="COMMAND", required=True)
    _command(commands, "list", kernels_list).add_argument(
        "--json", action="store_true", help="with each one's place in the cache"
    )
    fetch = _command(commands, "fetch", kernels_fetch, epilog=_FETCH)
    fetch.add_argument("names", metavar="NAME", nargs="*",
                       help="a kernel's name, or all (default: all)")  # fmt: skip


_BUILT: Final = ("conformance._native", "_cffi_backend", "cffi", "ptrace")


def _unbuilt(module: str) -> HarnessError:
    return HarnessError(
        f"there is no module {module}", f"the origax in {PACKAGE}",
        "install it with its probes and libraries: pip install . (or pip install -e .)",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. No traceback reaches the user."""
    args = _parser().parse_args(argv)
    try:
        args.expected = expected_directory(args.expected)
        code = int(args.function(args))
        sys.stdout.flush()
    except OrigaxError as error:
        print(f"origax: {error}", file=sys.stderr)
        code = error.exit_code
    except ModuleNotFoundError as error:
        if error.name not in _BUILT:
            raise
        print(f"origax: {_unbuilt(error.name)}", file=sys.stderr)
        code = HarnessError.exit_code
    except KeyboardInterrupt as stop:
        code = 143 if isinstance(stop, _Terminated) else 130
    except BrokenPipeError:
        # The reader of our output left; nothing more to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    return BISECT_SKIP if args.bisect and code in (2, 3, 4, 5) else code
