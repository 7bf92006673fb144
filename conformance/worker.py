# SPDX-License-Identifier: GPL-2.0-only
"""The process that traces: takes cases from its standard input, gives what it saw.

One JSON object a line, both ways; a case of a soak tells news of itself before its answer. It
exists so that a case which hangs or crashes costs that case alone, and it dies with the process
that started it, as every tracee dies with it.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from conformance import abi
from conformance._native import lib
from conformance.cases import Case, all_cases
from conformance.errors import OrigaxError
from conformance.rendering import render
from conformance.strays import sweep
from conformance.tracing import image, snapshot
from conformance.tracing.snapshot import Missed
from conformance.tracing.tracee import Event, Options, Pace, Seen, Trace
from conformance.transcript import Line


def trace_case(case: Case, options: Options, cpus: tuple[int, ...]) -> dict[str, Any]:
    """Drive one case once; returns its lines, raw stops and measurements.

    ``verdict`` and ``reason`` are there only if it could not be traced to its end.
    """
    trace = Trace(options, cpus, case.way)
    answer: dict[str, Any] = {}
    try:
        with trace:
            case.drive(trace)
    except Missed:
        answer = {"verdict": "MISS", "reason": f"no answer within {options.timeout:g} s"}
    except OrigaxError as error:
        answer = {"verdict": "ERROR", "reason": f"{error.what} (on: {error.on}; do: {error.do})"}
    except Exception as error:  # noqa: BLE001 a bug in the case or the harness is a verdict, not an end
        answer = {"verdict": "ERROR", "reason": f"{type(error).__name__}: {error}"}
    answer["lines"], stuck = told(trace.events, trace.cpus)
    if stuck:
        trace.measured["own_flags"] = hex(stuck)
    answer["stops"] = [event.stop.to_json() for event in trace.events if isinstance(event, Seen)]
    answer["measured"] = trace.measured
    answer["sites"] = sorted(trace.sites)
    return answer


def told(events: Sequence[Event], cpus: Sequence[int]) -> tuple[list[str], int]:
    """Write events as lines; gives also our own flags, if one without a meaning was among them."""
    lines = render(events)
    if not any(abi.unnamed(line.fields.get(name, "")) for line in lines for name in FLAGS):
        return [str(line) for line in lines], 0
    stuck = own_flags(cpus[:2])
    return [str(without(line, stuck)) for line in lines], stuck


FLAGS = ("flags", "found")
"""Fields that may show EFLAGS."""


def own_flags(cpus: Sequence[int]) -> int:
    """Give the flags that are set in this process's own code, on any of those CPUs."""
    before, flags = os.sched_getaffinity(0), 0
    for cpu in cpus:
        os.sched_setaffinity(0, {cpu})
        flags |= lib.origax_flags()
    os.sched_setaffinity(0, before)
    return flags


def without(line: Line, own: int) -> Line:
    """Leave flags that have no meaning out of a line, if a CPU has them in our own code, too.

    No kernel can set them there, nor clear them. Now and then QEMU 7.2 sets bit 30 for good.
    """
    fields = {name: _known(line.fields[name], own) for name in FLAGS if name in line.fields}
    return replace(line, fields={**line.fields, **fields})


def _known(text: str, own: int) -> str:
    rest = abi.unnamed(text)
    if not rest & own:
        return text
    names = [*text.split("+")[:-1], *([hex(rest & ~own)] if rest & ~own else [])]
    return "+".join(names) or "0"


def repeat_case(
    case: Case, options: Options, cpus: tuple[int, ...], repeat: int
) -> dict[str, Any]:
    """Drive one case several times; equal transcripts are counted, distinct ones kept."""
    begun = time.monotonic()
    transcripts: dict[tuple[str, ...], dict[str, Any]] = {}
    last: dict[str, Any] = {}
    done = 0
    while done < repeat and "verdict" not in last:
        last = trace_case(case, options, cpus)
        done += 1
        kept = transcripts.setdefault(
            tuple(last["lines"]), {"count": 0, "lines": last["lines"], "stops": last["stops"]}
        )
        kept["count"] += 1
    return {
        "id": case.id,
        "verdict": last.get("verdict"),
        "reason": last.get("reason", ""),
        "repeats": done,
        "transcripts": list(transcripts.values()),
        "measured": last["measured"],
        "probes": {site: image.digest(site) for site in last["sites"]},
        "duration": round(time.monotonic() - begun, 6),
    }


def pace(seconds: float, cpus: Sequence[int]) -> Pace:
    """Have a case take frames for so long, or until standard input ends, and say how far it is."""

    def hears(row: str, cpu: int, frames: int, new: Sequence[Event]) -> None:
        news = {"row": row, "cpu": cpu, "frames": frames, "new": told(new, cpus)[0]}
        print(json.dumps({"news": news}), flush=True)

    def over() -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])

    return Pace(seconds, over, hears)


def serve(cpus: tuple[int, ...]) -> None:
    """Answer requests until standard input ends."""
    cases = {case.id: case for case in all_cases()}
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request.get("seconds", 0.0)
        timeout = request["timeout"] + seconds
        options = Options(request["frames"], timeout, pace(seconds, cpus) if seconds else None)
        answer = repeat_case(cases[request["id"]], options, cpus, request["repeat"])
        if (strays := sweep()) and answer["verdict"] is None:
            answer["verdict"] = "ERROR"
            answer["reason"] = f"the case left {strays} processes behind (killed)"
        print(json.dumps(answer), flush=True)


def main(arguments: Sequence[str]) -> int:
    """``python -m conformance.worker PARENT CPU...``"""
    parent, *cpus = map(int, arguments)
    lib.origax_subreaper()
    if lib.origax_die_with_parent(parent):
        return 3
    snapshot.narrow()
    serve(tuple(cpus))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
