# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts: the stops of one case as text, one line a stop.

A line is ``HEAD WORD... FIELD=VALUE...``: what it is about (``stop``, ``exit``, ``probe``,
``control``, ``poke``, ``read``, ``cell``, ``run``), which kind, and the fields in a fixed order.
Whitespace only separates; two lines are equal when their tokens are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

HEADS = ("run", "stop", "read", "poke", "cell", "exit", "probe", "control")
"""The first word of a line: which of the parties speaks."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript, taken apart."""

    head: str
    words: tuple[str, ...]
    fields: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take one line apart.

        :raises ValueError: no such head, a word after a field, or a field given twice
        """
        head, *tokens = text.split() or [""]
        if head not in HEADS:
            raise ValueError(f"a line begins with one of {', '.join(HEADS)}, not {head!r}")
        words: list[str] = []
        fields: dict[str, str] = {}
        for token in tokens:
            name, equals, value = token.partition("=")
            if not equals:
                if fields:
                    raise ValueError(f"the word {token!r} stands after a field")
                words.append(token)
            elif not name or not value or name in fields:
                raise ValueError(f"the field {token!r} is empty or stands twice")
            else:
                fields[name] = value
        return cls(head, tuple(words), fields)

    @property
    def kind(self) -> str:
        """The words joined by one space: ``event FORK``, ``syscall-enter``."""
        return " ".join(self.words)

    def __str__(self) -> str:
        parts = [self.head]
        if self.words:
            parts.append(self.kind)
        if self.fields:
            parts.append(" ".join(f"{name}={value}" for name, value in self.fields.items()))
        return "  ".join(parts)


def parse(text: str) -> tuple[Line, ...]:
    """Take a whole transcript apart, leaving out blank lines.

    :raises ValueError: with the number of the line that is wrong
    """
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                lines.append(Line.parse(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return tuple(lines)


def value(text: str) -> int | str:
    """Give a field's value: a number where it is one, without the name beside it.

    ``39/getpid`` is 39 and ``-38/ENOSYS`` is -38; ``spin+2`` and ``own`` stay text.
    """
    number = text.partition("/")[0]
    try:
        return int(number, 16 if number.startswith(("0x", "-0x")) else 10)
    except ValueError:
        return text
