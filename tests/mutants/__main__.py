# SPDX-License-Identifier: GPL-2.0-only
"""``python -m mutants``: build kernels with planted faults, and score the suite on them."""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from conformance import runner
from conformance.errors import OrigaxError, UsageError
from conformance.kernels import guest
from conformance.places import expected_directory
from mutants import faults, peers, scoring, soaking, table, trees
from mutants.faults import Fault

EPILOG = """\
A fault is a few lines in faults/ROOM.toml. All faults of a kernel are in one build of it, asleep;
one build, one boot, and each is woken in turn. Only cases that reach a fault are traced with it.

  tox -e mutants                                   # all kernels, all faults
  tox -e mutants -- --kernel 6.1 --fault 'august*' # one, from its edit to its verdict
  tox -e mutants -- --update                       # and keep the score in score.toml
  tox -e mutants -- --kernel 6.1 --explore 10      # what random sequences find of them
  tox -e mutants -- --kernel 6.1 --soak 10         # ten minutes on each that a run is to miss
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score; returns 0 if every fault is caught that could be, and the unharmed kernel conforms."""
    args = _parser().parse_args(arguments)
    try:
        return _score(args)
    except OrigaxError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mutants", description="Score the suite on kernels with planted faults.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = [kernel.name for kernel in trees.KERNELS]
    parser.add_argument("--kernel", action="append", choices=names, help="default: all of them")
    parser.add_argument("--fault", action="append", metavar="NAME",
                        help="a fault's name, or a pattern; default: all of them")  # fmt: skip
    parser.add_argument("--sample", type=int, metavar="N", default=0,
                        help="so many of the faults, from all rooms")  # fmt: skip
    parser.add_argument("--check", action="store_true",
                        help="fail only for what score.toml says was caught")  # fmt: skip
    parser.add_argument("--update", action="store_true", help="write score.toml")
    parser.add_argument("--quiet", action="store_true", help="leave out what cases say")
    parser.add_argument("--peers", action="store_true",
                        help="score the kernel's own tests, too: in the same boot")  # fmt: skip
    parser.add_argument("--explore", metavar="SECONDS", type=float, default=0,
                        help="instead of the cases, random sequences for so long on each "
                             "fault that they reach")  # fmt: skip
    parser.add_argument("--soak", metavar="MINUTES", type=float, default=0,
                        help="instead, soaks of so long with each fault awake that is too rare "
                             "for a run; fails unless a run misses it and the soak finds it")
    parser.add_argument("--build", action="store_true", help="only build")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _score(args: argparse.Namespace) -> int:
    if args.update and (args.fault or args.sample or args.explore or args.soak):
        raise UsageError("a part of the faults is no score", "--update", "leave out the choice")
    if (args.explore or args.soak) and (args.check or args.peers):
        raise UsageError(
            "without the cases there is no score", "--explore, --soak", "leave out the other"
        )
    guest.require()
    planted = faults.load()
    judge = scoring.Judge(expected_directory(None))
    made, releases, harm = [], {}, []
    for kernel in trees.KERNELS:
        if args.kernel and kernel.name not in args.kernel:
            continue
        tree = trees.tree(kernel, _say)
        here = [each for each in planted if kernel.name in each.kernels]
        image = tree.build(here)
        if args.build or not here:
            continue
        begun = time.monotonic()
        chosen = _chosen([each for each in here if bool(each.rare) == bool(args.soak)], args)
        if args.soak:
            harm += soaking.soak(kernel.name, image.parents[3], chosen, args.soak)
            continue
        programs = list(map(str, tree.selftests())) if args.peers else []
        score = _one(tree, image, chosen, judge, programs, args.explore)
        _say(f"{kernel.name}: scored in {time.monotonic() - begun:.0f} s")
        if args.explore:
            print(peers.text(score, chosen, column="explore"), flush=True)
            continue
        harm += [f"{kernel.name}, no fault awake: {line}" for line in table.unharmed(score)]
        rows = table.rows(kernel.name, chosen, score)
        print(table.text(rows, not args.quiet), flush=True)
        if programs:
            print(peers.text(score, chosen, rows), flush=True)
        made += rows
        releases[kernel.name] = score.environment.name if score.environment else ""
    if made:
        print(table.summary(made))
    if args.update:
        table.write(made, releases)
    lines = table.worse(made, table.read()[1]) if args.check else []
    print("\n".join([*harm, *lines]), end="\n" if harm or lines else "")
    return int(bool(harm or lines or not (args.check or all(row.good for row in made))))


def _chosen(planted: Sequence[Fault], args: argparse.Namespace) -> list[Fault]:
    patterns = args.fault or ["*"]
    chosen = [
        each for each in planted if any(fnmatch.fnmatchcase(each.name, p) for p in patterns)
    ]  # fmt: skip
    if planted and not chosen:
        raise UsageError("no fault has that name", ", ".join(patterns), "see faults/*.toml")
    step = max(1, len(chosen) // args.sample) if args.sample else 1
    return chosen[::step][: args.sample or None]


def _one(
    tree: trees.Tree, image: Path, chosen: Sequence[Fault], judge: scoring.Judge,
    programs: Sequence[str], explore: float,
) -> scoring.Score:  # fmt: skip
    """Score one kernel; which fault each case reaches is found out once for each build."""
    digest = hashlib.sha256(image.read_bytes())
    digest.update(runner.tool().probes.encode())
    memory = tree.place / "reached.json"
    reached = scoring.remembered(memory, digest.hexdigest())
    with tempfile.TemporaryDirectory(prefix="mutants-") as among:
        made = scoring.score(
            image.parents[3], chosen, reached, judge, Path(among),
            lambda text: _say(f"{tree.kernel.name}: {text}"), programs, explore,
        )  # fmt: skip
    if not (explore or reached):
        scoring.remember(memory, made, digest.hexdigest())
    return made


if __name__ == "__main__":
    sys.exit(main())
