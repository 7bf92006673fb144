# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one function a command."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

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


def _on_terminate() -> Callable[[], int]:
    """Have SIGTERM end a run as ^C does; gives what tells the exit code of an ended run."""
    codes = [130]

    def terminate(*_: object) -> NoReturn:
        codes.append(143)
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    return lambda: codes[-1]


def run(args: argparse.Namespace) -> int:
    """Trace cases on this kernel, and judge every stop."""
    from conformance import record, runner
    from conformance.cases import all_cases
    from conformance.reports import terminal

    stopped = _on_terminate()
    if args.record:
        record.check_place(args.record)
    chosen = runner.select(all_cases(), args.patterns)
    planned, environment, known = runner.prepare(chosen, args.expected)
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
        return stopped()
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
    from conformance import coverage, evidence, expectation, facts, runner
    from conformance.cases import all_cases
    from conformance.reports import casebook

    (case, *more) = runner.select(all_cases(), [args.case])
    if more:
        raise UsageError("that names several cases", args.case, "give one case's id")
    vocabulary = facts.vocabulary(args.expected)
    wanted = expectation.find(args.expected, case.id, vocabulary)
    known = expectation.load_known(args.expected, vocabulary)
    confirmed = evidence.told(evidence.read(args.expected), wanted, known) if wanted else ()
    rows = coverage.select(coverage.read(args.expected), case.covers)
    print(casebook.text(case, rows, wanted, facts.collect(args.expected), confirmed), end="")
    return 0


def coverage(args: argparse.Namespace) -> int:
    """Count the cases of each behaviour, door by door."""
    from conformance import coverage
    from conformance.cases import all_cases
    from conformance.reports import coverage as report
    from conformance.reports import terminal

    rows, cases = coverage.read(args.expected), all_cases()
    shown = coverage.count(coverage.select(rows, args.row), cases)
    if args.uncovered:
        shown = tuple(each for each in shown if each.missing)
    color = terminal.use_color(sys.stdout, os.environ)
    wrong = tuple(coverage.wrong(rows, cases))
    print(
        report.rows(shown, color) if args.row
        else report.table(shown, color, reasons=args.uncovered),
        report.closing(coverage.count(rows, cases), wrong, color), sep="", end="",
    )  # fmt: skip
    return int(bool(wrong))


def contract(args: argparse.Namespace) -> int:
    """Write what user space may rely on, out of the expectations: docs/abi.md."""
    from conformance import contract, coverage, expectation, facts, files, tables
    from conformance.cases import all_cases
    from conformance.reports import contract as report

    vocabulary = facts.vocabulary(args.expected)
    cases = all_cases()
    found = {case.id: expectation.find(args.expected, case.id, vocabulary) for case in cases}
    made = contract.gather(
        coverage.read(args.expected), cases,
        {case_id: wanted for case_id, wanted in found.items() if wanted},
        facts.changes(args.expected), vocabulary,
    )  # fmt: skip
    text = report.text(made)
    if args.check:
        stale = tuple(report.stale(tables.read_text(args.check), text))
        for heading in stale:
            print(f"not up to date: {heading}")
        if stale:
            print(f"to write it again: origax contract -o {args.check}")
        return int(bool(stale))
    if args.output:
        files.replace_all({args.output: text}, "the contract", "name a file that you may write")
    else:
        print(text, end="")
    return 0


def update(args: argparse.Namespace) -> int:
    """Propose changes to the goldens, accept one, or keep what confirmed them."""
    from conformance import evidence, record, update
    from conformance.places import writable
    from conformance.tracing import image

    records = [record.read(path, stops=False) for path in args.records]
    writes = args.accept or args.evidence
    expected = writable(args.expected) if writes else args.expected
    if args.evidence:
        print(evidence.write(records, expected, os.environ), end="")
        return 0
    print(
        update.run(
            records, expected, accept=args.accept, reason=args.reason, when=args.when,
            basis=args.basis, current_probes=image.digests, environ=os.environ,
        ),
        end="",
    )  # fmt: skip
    return 0


def diff(args: argparse.Namespace) -> int:
    """Compare the records of two kernels, and explain what differs."""
    from conformance import record
    from conformance.reports import terminal
    from conformance.reports.diff import diff as compare

    one, other = (record.read(path) for path in args.records)
    text, differs = compare(
        one, other, args.expected, terminal.use_color(sys.stdout, os.environ)
    )
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
    """Write records as a report: for people, as a page, or for a CI server."""
    from conformance import changes, files, record
    from conformance.reports import changed, junit, kcidb, ktap, matrix, terminal
    from conformance.reports.page import page

    baseline, made = (
        [record.read(path, stops=False) for path in paths]
        for paths in (args.baseline, args.records)
    )
    compared = changes.changes(baseline, made) if baseline else ()
    color = not args.output and terminal.use_color(sys.stdout, os.environ)
    formats: dict[str, Callable[[], str]] = {
        "terminal": lambda: "\n".join(terminal.summary(each, color) for each in made),
        "matrix": lambda: matrix.matrix(made, color),
        "html": lambda: page(made, args.expected, compared if baseline else None),
        "ktap": lambda: ktap.report(made),
        "tap13": lambda: ktap.tap13(made),
        "junit": lambda: junit.report(made),
        "kcidb": lambda: kcidb.report(made, args.origin, args.build),
    }
    if baseline and args.format not in ("terminal", "matrix", "html"):
        on = f"--format {args.format} --baseline"
        raise UsageError("that report tells no changes", on, "use terminal, matrix or html")
    text = formats[args.format]()
    if baseline and args.format != "html":
        text += f"\n{changed.text(compared, color)}"
    if args.output:
        files.replace_all({args.output: text}, "the report", "name a file that you may write")
    else:
        print(text, end="")
    verdicts = [verdict for each in made for verdict in each.verdicts]
    return record.exit_code(verdicts) if args.format == "matrix" else 0


def explore(args: argparse.Namespace) -> int:
    """Drive random sequences on this kernel and on a model of the ABI, and compare every stop."""
    from conformance import explore, facts, runner
    from conformance._native import lib
    from conformance.model import Machine
    from conformance.record import ALL_SKIPPED, HARNESS, MISMATCH
    from conformance.reports import exploration

    stopped = _on_terminate()
    environment = facts.collect(args.expected)
    runner.require_tracing(environment)
    doors, missing = explore.open_doors(environment, tuple(args.doors))
    if not doors:
        print("".join(f"{door}: needs {needs}\n" for door, needs in missing.items()), end="")
        return ALL_SKIPPED
    lib.origax_subreaper()
    explorer = explore.Explorer(
        Machine.of(environment.facts), doors, tuple(sorted(os.sched_getaffinity(0))),
        shrinking=args.shrink,
    )  # fmt: skip
    seed = secrets.randbelow(1 << 32) if args.seed is None else args.seed
    tally = explorer.explore(args.seconds, seed)
    print(exploration.text(tally, missing, tuple(args.doors), environment.name), end="")
    if tally.difference:
        return MISMATCH
    if tally.interrupted:
        return stopped()
    return HARNESS if tally.hung else 0


def soak(args: argparse.Namespace) -> int:
    """Hammer the interrupt paths for minutes, and judge every kind of frame."""
    from conformance import record, runner
    from conformance import soak as soaking
    from conformance.cases import all_cases
    from conformance.reports import terminal
    from conformance.reports.soak import Status

    if args.record:
        record.check_place(args.record)
    chosen = soaking.select(all_cases(), args.paths)
    planned, environment, known = runner.prepare(chosen, args.expected)
    options = record.OptionsRecord(1, 1, args.timeout, 1, tuple(args.paths))
    color, live = (terminal.use_color(s, os.environ) for s in (sys.stdout, sys.stderr))
    seconds = 60 * args.minutes
    with soaking.Stop() as stop:
        with Status(sys.stderr, seconds, live) as status:
            made = soaking.Soak(planned, environment, known, options, status, stop).run(seconds)
        print(terminal.summary(made, color), end="", flush=True)
        if args.record:
            record.write(args.record, made)
    if made.interrupted:
        return 128 + (stop.signo or signal.SIGINT)
    return record.exit_code(made.verdicts)


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


def kernels_config(args: argparse.Namespace) -> int:
    """Print what a kernel's .config needs so that every case runs."""
    print((PACKAGE / "kernels" / "origax.config").read_text(encoding="ascii"), end="")
    return 0


def kernels_run(args: argparse.Namespace) -> int:
    """Boot kernels in guests, and run the suite in each."""
    from conformance import expectation, facts, record, runner
    from conformance.cases import all_cases
    from conformance.kernels import environments, guest, packages, targets
    from conformance.kernels import run as kernels
    from conformance.reports import matrix, terminal
    from conformance.reports.kernels import Guests, Meter

    _on_terminate()
    guest.require()
    args.records.mkdir(parents=True, exist_ok=True)
    vocabulary = facts.vocabulary(args.expected)
    options = record.OptionsRecord(
        args.frames, args.repeat, args.timeout, guest.CPUS, tuple(args.case)
    )
    cases = runner.select(all_cases(), args.case)
    wanted = {case.id: expectation.find(args.expected, case.id, vocabulary) for case in cases}
    suite = kernels.Suite(
        cases, wanted, vocabulary,
        expectation.load_known(args.expected, vocabulary), options, args.patience,
    )  # fmt: skip
    color, live = (terminal.use_color(s, os.environ) for s in (sys.stdout, sys.stderr))
    with Meter(sys.stderr, live) as meter:
        chosen = targets.resolve(
            args.kernels, environments.load(args.expected), packages.location(os.environ),
            args.records, meter, not args.tcg,
        )  # fmt: skip
    made = []
    with Guests(sys.stderr, live) as watcher:
        for one in kernels.run(chosen, suite, args.records, kernels.room(args.jobs), watcher):
            made.append(one)
            if len(chosen) == 1 or record.exit_code(one.verdicts):
                print(terminal.summary(one, color), flush=True)
    if len(chosen) > 1:
        print(matrix.matrix(made, color), end="")
    print(f"records: {args.records}")
    return record.exit_code([v for one in made for v in one.verdicts], args.bisect)


def fleet_run(args: argparse.Namespace) -> int:
    """Run the suite on many boxes at once, by ssh."""
    from conformance import record, runner
    from conformance.cases import all_cases
    from conformance.fleet import boxes, link, supply
    from conformance.fleet import run as fleet
    from conformance.reports import fleet as report
    from conformance.reports import matrix, terminal

    _on_terminate()
    link.require()
    chosen = boxes.select(boxes.load(args.boxes), args.box, args.label)
    options = record.OptionsRecord(
        args.frames, args.repeat, args.timeout, args.jobs, tuple(args.patterns)
    )
    suite = fleet.Suite(
        runner.select(all_cases(), args.patterns), options, args.patience, args.limit
    )
    args.records.mkdir(parents=True, exist_ok=True)
    color, live = (terminal.use_color(s, os.environ) for s in (sys.stdout, sys.stderr))
    with report.Boxes(sys.stderr, live) as watcher:
        given = supply.Supply(args.wheels, os.environ, watcher.note)
        given.prepare()
        try:
            fleet.run(chosen, suite, given, args.records, watcher)
        finally:
            made = [watcher.outcomes[b.name] for b in chosen if b.name in watcher.outcomes]
            print(report.failures(made, color), end="")
            print(matrix.matrix([one.record for one in made], color) if made else "")
            print(report.table(made, color), f"records: {args.records}", sep="", flush=True)
    return record.exit_code([v for one in made for v in one.record.verdicts], args.bisect)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def _seconds(text: str, limit: int = 86400, unit: str = "seconds") -> float:
    number = float(text)
    if not 0 < number < limit:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {limit} {unit}")
    return number


def _seconds_or_0(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


class _Version(argparse.Action):
    """Says which origax this is; finding out takes time that other commands need not spend."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from conformance import version

        print(version.text())
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Make what reads the command line; the manual and the completions are made of it, too."""
    parser = argparse.ArgumentParser(
        prog="origax",
        description="Check the user ABI of x86 kernel entry: trace small programs across system "
        "calls, interrupts and signals, and compare every register that a tracer can see.",
    )
    parser.add_argument("--version", action=_Version, nargs=0,
                        help="say version, commit, record version and probes")  # fmt: skip
    parser.add_argument(
        "--expected", metavar="DIR", default=os.environ.get("ORIGAX_EXPECTED"),
        help="the golden files (default: ORIGAX_EXPECTED, or this checkout's or package's own)",
    )  # fmt: skip
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_run, _add_list, _add_show, _add_coverage, _add_contract, _add_update, _add_diff,
        _add_doctor, _add_report, _add_explore, _add_soak, _add_kernels, _add_fleet,
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


_COVERAGE: Final = """\
A behaviour is a row of expected/behaviours.toml, and a case names the rows that it covers. Under a
door stand the row's cases there; under x86_64, ia32 and x32 those in programs of that ABI, by
whatever door; under any all of them. Where there is none:

  -  the behaviour does not exist there
  .  none is asked for: the row is of whole ABIs, or of single doors, or of neither
  o  none yet, for a reason that the table gives
  x  none can be, for a reason
  !  none, and no reason: that is for you to mend, by a case or by a line `why` in the table

  origax coverage --uncovered      rows that lack a case somewhere, with the reasons
  origax coverage --row 16 17      the cases of two rows, by name; `origax show CASE` explains one

exit codes: 0 sound; 1 a case is missing without a reason, or a reason is given where none is
missing, or a case covers what the table does not have
"""


def _add_coverage(commands: Any) -> None:
    sub = _command(commands, "coverage", coverage, epilog=_COVERAGE)
    sub.add_argument("--row", metavar="N", nargs="+", type=int, default=[],
                     help="list the cases of these rows")  # fmt: skip
    sub.add_argument("--uncovered", action="store_true",
                     help="only rows that lack a case somewhere")  # fmt: skip


def _add_contract(commands: Any) -> None:
    epilog = (
        "  origax contract -o docs/abi.md         after any change in expected/\n"
        "  origax contract --check docs/abi.md    exits 1 if that was forgotten, and says where"
    )
    sub = _command(commands, "contract", contract, epilog=epilog)
    where = sub.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="FILE", type=Path,
                       help="write it there (default: to standard output)")  # fmt: skip
    where.add_argument("--check", metavar="FILE", type=Path,
                       help="say under which headings that file is not as it would be written")


def _add_update(commands: Any) -> None:
    epilog = (
        "Without --accept: shows what differs from the goldens, equal changes as one group with an "
        "ID.\nRecords must come from `origax run --repeat 10 --record FILE` or more repeats.\n\n"
        "With --evidence: writes expected/evidence/ENVIRONMENT.json for each record, which says "
        "what\npassed there and by which golden. A later --accept is refused where it would change "
        "what an\nenvironment confirmed whose record is not given. Each record must be whole, and "
        "all of it pass."
    )
    sub = _command(commands, "update", update, epilog=epilog)
    sub.add_argument("records", metavar="RECORD", nargs="+", type=Path,
                     help="from one machine or many")  # fmt: skip
    writes = sub.add_mutually_exclusive_group()
    writes.add_argument("--accept", metavar="ID", help="write that group of changes")
    writes.add_argument("--evidence", action="store_true",
                        help="write what the records' environments confirmed")  # fmt: skip
    sub.add_argument("--reason", metavar="TEXT", default="", help="why it is right: goes to `why`")
    sub.add_argument("--when", metavar="EXPR",
                     help="make it a variant of its own, where these facts hold")  # fmt: skip
    sub.add_argument("--basis", choices=("kernel-source", "manual", "observed"),
                     default="observed", help="what it rests on (default: observed)")  # fmt: skip


def _add_diff(commands: Any) -> None:
    epilog = (
        "What no golden explains stands first: there one of the kernels does what none is known "
        "to do.\nA difference is explained where both kernels are as their goldens say, and these "
        "differ by a fact:\na change of the kernel, with its commit, or the machine. Last come "
        "the cases that one did not run.\n\nexit codes: 0 no difference, 1 some, explained or not"
    )
    sub = _command(commands, "diff", diff, epilog=epilog)
    sub.add_argument("records", metavar="RECORD", nargs=2, type=Path,
                     help="the kernel before, and the kernel after")  # fmt: skip


def _add_doctor(commands: Any) -> None:
    _command(commands, "doctor", doctor).add_argument(
        "--json", action="store_true", help="as JSON, for programs"
    )


_REPORT: Final = """\
  terminal  what failed and how, one record after the other
  matrix    cases by environments, of all records; exits as `origax run` would
  html      a page to open from disk: what matrix and terminal say, every stop of every case
  ktap      for kernel CI, nested: environments, families, cases
  tap13     for readers of plain TAP, which has no levels
  junit     for other CI servers, a test suite an environment
  kcidb     for KCIDB, schema 5.3; it is written, and never sent

With --baseline, what changed since is told in KernelCI's words: regression, new failure, still
failing, fixed, new pass, appeared, disappeared. A box, a guest or an environment is compared with
itself; a single record with a single one, wherever they come from.

  origax report records/*.json --format matrix --baseline before/*.json
  origax report records/*.json --format html -o page.html --baseline before/*.json
"""


def _add_report(commands: Any) -> None:
    sub = _command(commands, "report", report, epilog=_REPORT)
    sub.add_argument("records", metavar="RECORD", nargs="+", type=Path,
                     help="as `origax run --record` wrote it; as many as there are")  # fmt: skip
    sub.add_argument("--format", default="terminal", choices=(
        "terminal", "matrix", "html", "ktap", "tap13", "junit", "kcidb",
    ))  # fmt: skip
    sub.add_argument("--baseline", metavar="RECORD", nargs="+", type=Path, default=[],
                     help="records of an earlier round: tell what changed since")  # fmt: skip
    sub.add_argument("-o", "--output", metavar="FILE", type=Path,
                     help="write it there (default: to standard output)")  # fmt: skip
    sub.add_argument("--origin", metavar="NAME", default="origax",
                     help="kcidb: the CI system, as KCIDB knows it (default: origax)")  # fmt: skip
    sub.add_argument("--build", metavar="ORIGIN:ID",
                     help="kcidb: the tested build, if the CI system has reported it")  # fmt: skip


_EXPLORE: Final = """\
A sequence is a program that makes one call, and what its tracer does at each stop: write orig_ax,
ax and ip, send signals, resume by one request or another. What must be seen then, a model tells
(conformance/model.py). The first sequence on which it and the kernel differ is shrunk and shown.

exit codes: 0 all agree, 1 one differs, 3 some hung, 4 no door can be taken here, 130 interrupted
"""


def _add_explore(commands: Any) -> None:
    sub = _command(commands, "explore", explore, epilog=_EXPLORE)
    sub.add_argument("doors", metavar="DOOR", nargs="*",
                     help="a door, or a shell pattern of doors (default: all)")  # fmt: skip
    sub.add_argument("--seconds", metavar="N", type=_seconds, default=10.0,
                     help="how long to explore (default: 10)")
    sub.add_argument("--shrink", metavar="N", type=_seconds_or_0, default=20.0,
                     help="how long to make a difference smaller (default: 20); with 0 it is shown "
                          "as it was found")  # fmt: skip
    sub.add_argument("--seed", metavar="S", type=int,
                     help="the same sequences each time (default: others each time)")  # fmt: skip


_SOAK: Final = """\
A path is a way by which an interrupt comes to a program that spins in user code: device, timer,
reschedule, function_call, irq_work, random_moment. The paths take turns of some seconds, in which
a loop in C stops the program in one frame after the other; every kind of frame is judged by the
golden of the path's case, interrupts.PATH. What differs is told at once, and how often and when at
the end. ^C ends it early, and loses nothing.

  origax soak                            # a minute, every path of the 64-bit program
  origax soak --minutes 600 --record soak.json device timer
  origax soak '*.ia32' reschedule        # paths of the 32-bit program, and one of the 64-bit one
  origax report soak.json                # what came of it, once more

exit codes: 0 conforms, 1 does not, 2 wrong usage, 3 the harness failed, 4 no path can be taken
here, 5 no golden for this environment; 130 or 143 ended by ^C or SIGTERM
"""


def _minutes(text: str) -> float:
    return _seconds(text, limit=60 * 24 * 366, unit="minutes")


def _add_soak(commands: Any) -> None:
    sub = _command(commands, "soak", soak, epilog=_SOAK)
    sub.add_argument("paths", metavar="PATH", nargs="*",
                     help="a path, its case's id, or a shell pattern (default: every path of the "
                          "64-bit program)")  # fmt: skip
    sub.add_argument("--minutes", metavar="N", type=_minutes, default=1.0,
                     help="how long (default: 1)")  # fmt: skip
    sub.add_argument("--record", metavar="FILE", type=Path, help="write what was seen, as JSON")
    sub.add_argument("--timeout", metavar="S", type=_seconds, default=10.0,
                     help="seconds for one turn of a path, beyond those of its frames "
                          "(default: 10)")  # fmt: skip


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
    doc = "The kernels that must be covered: list them, fetch them, run the suite on each."
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
    _add_kernels_run(commands)
    _command(commands, "config", kernels_config, epilog=_CONFIG)


_CONFIG: Final = """\
In a kernel's tree, over the .config that is there, or over that of `make tinyconfig`:

  origax kernels config > origax.config
  scripts/kconfig/merge_config.sh .config origax.config
"""
_KERNELS_RUN: Final = """\
Each guest has this machine's file system, or a 32-bit Debian for a 32-bit kernel, read-only, and
writes to one folder among the records. It runs by KVM where a kernel boots with that, otherwise by
TCG. Exit codes are those of `origax run`, over all guests; a guest that is lost is 3.

  origax kernels run 6.1 sid                   # environments of expected/kernels.toml
  origax kernels run all --records out         # every one; then: origax report out/*.json ...
  origax kernels run ~/linux --case interrupts # the kernel that was just built there
"""


def _add_kernels_run(commands: Any) -> None:
    sub = _command(commands, "run", kernels_run, epilog=_KERNELS_RUN)
    sub.add_argument("kernels", metavar="KERNEL", nargs="+",
                     help="a name of `origax kernels list`, all, a bzImage, or a build "
                          "tree")  # fmt: skip
    sub.add_argument("--case", metavar="PATTERN", action="append", default=[], help=_PATTERNS)
    sub.add_argument("--records", metavar="DIR", type=Path, default=Path("records"),
                     help="gets KERNEL.json of each (default: records)")  # fmt: skip
    sub.add_argument("--repeat", metavar="N", type=_positive, default=1,
                     help="run each case N times; all must agree")  # fmt: skip
    sub.add_argument("--frames", metavar="N", type=_positive, default=200,
                     help="interrupts to catch on each path (default: 200)")  # fmt: skip
    sub.add_argument("--jobs", metavar="N", type=_positive, default=1,
                     help="guests at the same time, if there is room: each takes two CPUs and "
                          "1.5 GiB (default: 1)")  # fmt: skip
    sub.add_argument("--timeout", metavar="S", type=_seconds, default=20.0,
                     help="seconds for one run of one case (default: 20)")  # fmt: skip
    sub.add_argument("--patience", metavar="S", type=_seconds, default=180.0,
                     help="seconds for a guest to come up (default: 180)")  # fmt: skip
    sub.add_argument("--tcg", action="store_true", help="do without KVM")
    sub.add_argument("--bisect", action="store_true", help="exit codes for `git bisect run`")


_FLEET: Final = """\
The same run as `origax run`, on every box at the same time. A box needs sshd and Python 3.11 or
later, and nothing of origax: that goes there, into a temporary directory, and goes when the run
does, however it ends. A box that cannot be reached, hangs, is full, or is lost under way costs its
own column: its cases are MISS, with the reason. On a box runs one fleet at a time.

Needs execnet and packaging here (pip install 'origax[fleet]'). boxes.toml:

  [[box]]
  name = "epyc"                  # its record is epyc.json
  host = "epyc.lab.example"      # as ssh knows it: ~/.ssh/config, keys and host keys are ssh's own

  [[box]]
  name = "old-atom"
  host = "10.1.2.3"
  user = "ci"                    # all from here on may be left out
  port = 2222
  jump = ["gate.example"]        # jump hosts, in their order (ssh -J)
  ssh = ["-o", "IdentityFile=~/.ssh/lab"]     # further words for ssh
  python = "python3.12"          # default: python3
  sudo = true                    # as root, by `sudo -n`
  labels = ["intel", "32-bit"]   # for --label
  boot = "6.18.44-lab"           # refuse unless booted: its `uname -r`, or a word of /proc/cmdline

  [[box]]
  name = "here"
  local = true                   # this machine, without ssh

  origax fleet run --boxes boxes.toml                            # every case on every box
  origax fleet run --boxes boxes.toml --label intel interrupts   # a family on some
  origax report --format html -o page.html records/*.json        # what came of it, as a page

exit codes: those of `origax run`, over all boxes; a box without an answer is 3.
"""


def _add_fleet(commands: Any) -> None:
    doc = "Many boxes: run the suite on all of them."
    sub = commands.add_parser("fleet", help=doc, description=doc)
    commands = sub.add_subparsers(metavar="COMMAND", required=True)
    sub = _command(commands, "run", fleet_run, epilog=_FLEET)
    sub.add_argument("patterns", metavar="PATTERN", nargs="*", help=_PATTERNS)
    sub.add_argument("--boxes", metavar="FILE", type=Path, required=True, help="the boxes: TOML")
    sub.add_argument("--box", metavar="NAME", action="append", default=[],
                     help="only this box; may stand several times")  # fmt: skip
    sub.add_argument("--label", metavar="L", action="append", default=[],
                     help="only boxes with this label; may stand several times")  # fmt: skip
    sub.add_argument("--records", metavar="DIR", type=Path, default=Path("records"),
                     help="gets NAME.json of each box (default: records)")  # fmt: skip
    sub.add_argument("--wheels", metavar="DIR", type=Path,
                     help="wheels of origax and what it needs, for the boxes' Pythons (default: "
                          "made by pip as needed, and kept in ~/.cache/origax/wheels)")  # fmt: skip
    sub.add_argument("--repeat", metavar="N", type=_positive, default=1,
                     help="run each case N times; all must agree")  # fmt: skip
    sub.add_argument("--frames", metavar="N", type=_positive, default=200,
                     help="interrupts to catch on each path (default: 200)")  # fmt: skip
    sub.add_argument("--jobs", metavar="N", type=_positive, default=1,
                     help="cases at the same time on each box (default: 1)")  # fmt: skip
    sub.add_argument("--timeout", metavar="S", type=_seconds, default=10.0,
                     help="seconds for one run of one case (default: 10)")  # fmt: skip
    sub.add_argument("--patience", metavar="S", type=_seconds, default=120.0,
                     help="seconds for a box to answer, and unpack (default: 120)")  # fmt: skip
    sub.add_argument("--limit", metavar="S", type=_seconds, default=3600.0,
                     help="seconds for a box in all (default: 3600)")  # fmt: skip
    sub.add_argument("--bisect", action="store_true", help="exit codes for `git bisect run`")


_BUILT: Final = ("conformance._native", "_cffi_backend", "cffi", "ptrace")


def _unbuilt(module: str) -> HarnessError:
    return HarnessError(
        f"there is no module {module}", f"the origax in {PACKAGE}",
        "install it with its probes and libraries: pip install . (or pip install -e .)",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. No traceback reaches the user."""
    args = parser().parse_args(argv)
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
