# SPDX-License-Identifier: GPL-2.0-only
"""The run on a box: `origax run`, but that each case is said as it is judged, on standard output.

``python -m conformance.fleet.inside PARENT`` reads its request from standard input and says one
JSON object a line: what the box is (`HELLO`), each case as it begins (`BEGIN`), then its record as
it is, last that it is done (`DONE`). So all that was said stays, whatever becomes of the box.
A record is on one line as its text, with returns for line breaks: to JSON both are white space.
It judges, too: fifty boxes do so in no more time than one.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from conformance import record, runner
from conformance._native import lib
from conformance.cases import all_cases
from conformance.errors import OrigaxError
from conformance.kernels.inside import BEGIN, DONE, HELLO
from conformance.places import expected_directory
from conformance.record import OptionsRecord


def say(**entry: Any) -> None:
    """Say one thing."""
    print(json.dumps(entry), flush=True)


def trace(request: dict[str, Any]) -> None:
    """Trace and judge what the request asks for.

    :param request: ``cases``, their ids, and ``options``, those of a record
    :raises OrigaxError: nothing can be traced here, or a golden is wrong
    """
    wanted, options = set(request["cases"]), OptionsRecord(**request["options"])
    chosen = [case for case in all_cases() if case.id in wanted]
    planned, environment, known = runner.prepare(chosen, expected_directory(None))
    say(
        said=HELLO, environment=asdict(environment), tool=asdict(runner.tool()),
        boot_id=runner.boot_id(),
    )  # fmt: skip
    runner.conduct(
        planned, environment, known, options,
        lambda case_id: say(said=BEGIN, id=case_id),
        lambda case: print(record.member(case).replace("\n", "\r"), flush=True),
    )  # fmt: skip
    say(said=DONE)


def main(arguments: Sequence[str]) -> int:
    """Trace; returns an exit code."""

    def terminate(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    if lib.origax_die_with_parent(int(arguments[0])):
        return 3
    try:
        trace(json.load(sys.stdin))
    except OrigaxError as error:
        print(f"{error.what} (on: {error.on}; do: {error.do})", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
