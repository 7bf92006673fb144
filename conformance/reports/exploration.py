# SPDX-License-Identifier: GPL-2.0-only
"""The report of an exploration: how many sequences agree, or the one that does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from signal import Signals

from conformance.explore import DEADLINE, REPLAYS, ROUND, Difference, Line, Sequence, Tally, Turn
from conformance.reports import SHOWN, plural

_GONE = "(no such line)"


def text(tally: Tally, missing: Mapping[str, str], patterns: tuple[str, ...], name: str) -> str:
    """Write it.

    :param missing: doors that are left out, and what they need
    :param patterns: by which the doors were chosen
    :param name: of the environment
    """
    return "\n".join(_lines(tally, missing, patterns, name)) + "\n"


def _lines(
    tally: Tally, missing: Mapping[str, str], patterns: tuple[str, ...], name: str
) -> Iterator[str]:
    for sequence in tally.hung[:SHOWN]:
        yield f"HUNG  not over within {DEADLINE:g} s: {program(sequence)}"
        yield f"  {literal(sequence)}"
    if tally.difference:
        yield from _difference(tally.difference)
        again = " ".join(["origax explore", f"--seed {tally.seed}", *patterns])
        yield f"  again     {again}   (it is among the first {ROUND})"
        yield f"  to keep   {literal(tally.difference.sequence)}"
        yield "            is a line of KEPT in conformance/cases/sequences.py"
        yield ""
    for door, count in sorted(tally.agreed.items()):
        yield f"{door:10} {count:6} agree"
    for door, needs in missing.items():
        yield f"{door:10}   left out: needs {needs}"
    count = sum(tally.agreed.values())
    parts = [
        f"{count} agree", f"{int(tally.difference is not None)} differs",
        f"{len(tally.hung)} hung", f"{tally.unspoken} are beyond the model",
    ]  # fmt: skip
    rate = count / tally.seconds if tally.seconds else 0
    stopped = ", interrupted" if tally.interrupted else ""
    yield (
        f"{plural(count, 'sequence')} agree: {', '.join(parts[1:])}  on {name} in "
        f"{tally.seconds:.1f} s, {rate:.0f} a second{stopped}"
    )


def program(sequence: Sequence) -> str:
    """Say what a sequence's program is."""
    return f"{sequence.call}'s program by {sequence.door}, SIGUSR1 {sequence.first}"


def literal(thing: Sequence | Turn) -> str:
    """Write it as it stands in Python, without what is as by default."""
    parts = []
    for each in fields(thing):
        value = getattr(thing, each.name)
        if isinstance(value, tuple):
            turns = "".join(f"{literal(turn)}, " for turn in value)
            parts.append(f"({turns.strip()})")
        elif value != each.default:
            name = f"{each.name}=" if each.default is not MISSING else ""
            told = f"signal.{value.name}" if isinstance(value, Signals) else repr(value)
            parts.append(name + told)
    return f"{type(thing).__name__}({', '.join(parts)})"


def _difference(difference: Difference) -> Iterator[str]:
    one, other = difference.expected, difference.observed
    done = (one or other or Line("", "")).done
    yield f"DIFFERS  {program(difference.sequence)}"
    lines = [*difference.agreed, Line(done, "")]
    width = max(len(line.done) for line in lines)
    for line in lines:
        yield f"  {line.done:{width}}  {line.seen}".rstrip()
    yield f"  expected  {one.seen if one else _GONE}"
    yield f"  observed  {other.seen if other else _GONE}"
    yield f"  seen      in {difference.again} of {REPLAYS} more tries"
