# SPDX-License-Identifier: GPL-2.0-only
"""``python -m release``: build what is released, and try it where there is nothing."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import OrigaxError
from conformance.wheels import MACHINES
from release import building, trying

EPILOG = """\
Of the commit that is checked out: wheels for manylinux, the source, and origax.pyz, one file for a
box without pip. The i686 wheel is built in the 32-bit Debian of `tox -e i386`, so it needs root.

  tox -e packages                                  # build twice, compare, try it here
  tox -e packages -- --machine x86_64              # what needs no root, once
  tox -e packages -- --try bookworm trixie         # and run every case in bare Debians
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; returns 0 if it is the same both times, and runs where it was tried."""
    parser = argparse.ArgumentParser(
        prog="release", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path("dist"),
                        help="emptied, and filled (default: dist)")  # fmt: skip
    parser.add_argument("--machine", choices=MACHINES, action="append",
                        help="whose wheels (default: all)")  # fmt: skip
    parser.add_argument("--twice", action="store_true",
                        help="build once more, of another clone, and compare")  # fmt: skip
    parser.add_argument("--try", dest="places", choices=trying.PLACES, nargs="+", default=[],
                        help="install it and run every case: in a new virtual environment here, "
                             "or in that Debian without a compiler")  # fmt: skip
    args = parser.parse_args(arguments)
    machines = tuple(dict.fromkeys(args.machine or MACHINES))
    try:
        building.release(args.output, machines)
        if args.twice:
            building.compare(args.output, machines)
        for place in args.places:
            trying.attempt(place, args.output)
    except OrigaxError as error:
        print(f"release: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is temporary goes
    sys.exit(main())
