# SPDX-License-Identifier: GPL-2.0-only
"""A golden's lines beside those that were seen, as the record's differences pair them.

The record says which lines differ, so that the costly search for the best pairing is not made
once more; and whether the golden here is still the one that judged the record comes with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from conformance import expectation
from conformance.errors import UsageError
from conformance.expectation import Transcript, align
from conformance.record import DifferenceRecord
from conformance.reports import parsed
from conformance.transcript import Line

Pairs = tuple[tuple[Line | None, Line | None], ...]
"""Lines of a golden and lines seen, in order; a line without a partner has None."""


def taken_apart(lines: Sequence[str]) -> Transcript | None:
    """Take the lines of a transcript apart; None where somebody edited them: a page shows those."""
    try:
        return parsed(lines)
    except UsageError:
        return None


def paired(
    golden: Transcript, lines: Sequence[str], differences: Sequence[DifferenceRecord]
) -> Pairs | None:
    """Pair a golden with what was seen; None if they do not differ as the record says.

    Of a case that was cut short, the lines that it did not reach are left out.
    """
    if not differences and [line.split() for line in lines] == [str(g).split() for g in golden]:
        return tuple(zip(golden, golden, strict=True))
    seen = taken_apart(lines)
    if seen is None:
        return None
    try:
        return tuple(_walk(golden, seen, differences))
    except ValueError:
        # Equal lines may have been paired otherwise: search as the judge did.
        if [each.change for each in align(golden, seen)] != [each.change for each in differences]:
            return None
        return tuple(expectation.pair(golden, seen))


def _walk(
    golden: Transcript, seen: Transcript, differences: Sequence[DifferenceRecord]
) -> Iterator[tuple[Line | None, Line | None]]:
    """Pair line by line; ValueError where golden, lines and differences do not fit."""
    pending = deque(differences)
    at = 0
    for line in seen:
        while pending and pending[0].line == at + 1 and pending[0].observed is None:
            yield _golden(golden, at, pending.popleft()), None
            at += 1
        if pending and pending[0].line == at + 1:
            yield _golden(golden, at, pending.popleft(), line), line
            at += 1
        elif at < len(golden) and not align(golden[at : at + 1], (line,)):
            yield golden[at], line
            at += 1
        elif pending and pending[0].line == 0 and pending.popleft().observed == str(line):
            yield None, line
        else:
            raise ValueError(str(line))
    for difference in pending:
        yield _golden(golden, at, difference), None
        at += 1


def _golden(
    golden: Transcript, at: int, difference: DifferenceRecord, line: Line | None = None
) -> Line:
    """Give the line of a golden of which a difference speaks, if it does; else ValueError."""
    told = (str(golden[at]) if at < len(golden) else None, str(line) if line else None)
    if told != (difference.expected, difference.observed):
        raise ValueError(difference.change)
    return golden[at]
