# SPDX-License-Identifier: GPL-2.0-only
"""The manual page, of the same argparse that reads the command line.

setup.py writes it into what it builds, by man(7)'s macros, which groff and mandoc both read.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from conformance import VERSION

ENVIRONMENT: Final = (
    ("ORIGAX_EXPECTED", "The directory of the golden files, as --expected gives it."),
    ("XDG_CACHE_HOME", "Where the cache is, if not in ~/.cache."),
    ("NO_COLOR", "If it is set and not empty, nothing is written in color."),
    ("CI", "If it is set and not empty, no golden can be accepted."),
)
FILES: Final = (
    ("~/.cache/origax", "Kernels and 32-bit Debians, which were costly to get. It may be removed."),
)
STATUS: Final = (
    ("0", "The kernel conforms; or the command did what it was asked."),
    ("1", "It does not; for other commands see above."),
    ("2", "The command line, or a file that you gave, is wrong."),
    ("3", "The harness, a probe or the machine failed, which says nothing of the kernel."),
    ("4", "Everything was skipped."),
    ("5", "There is no golden for this environment."),
    ("125", "With --bisect, all of these but 0 and 1."),
    ("130, 143", "Interrupted by ^C, or by SIGTERM."),
    ("141", "The reader of the output left."),
)
"""What argparse does not know."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a command: an option, or what stands by its place.

    :ivar flags: ``-o``, ``--output``; none if it goes by its place
    :ivar value: what its value is called, or its values; empty if it takes none
    :ivar choices: what the value must be one of; empty if it may be anything
    :ivar many: it takes any number of values
    :ivar needed: it must be given
    """

    flags: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...]
    many: bool
    needed: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and those below it.

    :ivar path: from the program's name on: ``("origax", "kernels", "run")``
    """

    path: tuple[str, ...]
    summary: str
    epilog: str
    options: tuple[Argument, ...]
    places: tuple[Argument, ...]
    below: tuple[Command, ...]

    def walk(self) -> Iterator[Command]:
        """Yield this one and all below it, in their order."""
        yield self
        for each in self.below:
            yield from each.walk()


def read(parser: argparse.ArgumentParser, path: tuple[str, ...] = ("origax",)) -> Command:
    """Read a command's tree out of its parser, of which argparse itself shows only texts."""
    arguments, below = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = [read(sub, (*path, name)) for name, sub in action.choices.items()]
        elif action.help != argparse.SUPPRESS:
            arguments.append(_argument(parser, action))
    return Command(
        path, parser.description or "", parser.epilog or "",
        tuple(each for each in arguments if each.flags),
        tuple(each for each in arguments if not each.flags), tuple(below),
    )  # fmt: skip


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    value = str(action.metavar or f"{{{','.join(choices)}}}")
    value = " ".join([value] * (action.nargs if isinstance(action.nargs, int) else 1))
    return Argument(
        tuple(action.option_strings), value,
        parser._get_formatter()._expand_help(action) if action.help else "", choices,
        action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction),
        action.required and action.nargs != "*",
    )  # fmt: skip


def page(command: Command, date: str) -> str:
    """Write the whole tree as one manual page of section 1.

    :param date: of the page, as ISO 8601 has it
    """
    name = command.path[0]
    lines = [
        f'.TH {name.upper()} 1 {date} "{name} {VERSION}" "User Commands"',
        ".nh", ".SH NAME", f"{name} \\- check the user ABI of x86 kernel entry",
        ".SH SYNOPSIS", *_synopsis(command),
        ".SH DESCRIPTION", *_prose(command.summary), *_prose(command.epilog),
        ".SH OPTIONS", *_terms(command.options),
        ".SH COMMANDS",
    ]  # fmt: skip
    for each in command.walk():
        if each is not command:
            lines += [f".SS {_plain(' '.join(each.path))}", *_section(each)]
    for title, entries in (
        ("EXIT STATUS", STATUS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)
    ):  # fmt: skip
        lines.append(f".SH {title}")
        for term, text in entries:
            lines += [".TP", f"\\fB{_plain(term)}\\fR", *_filled(text)]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR ptrace (2),", ".BR strace (1)", ""])


def _section(command: Command) -> list[str]:
    about = [*_prose(command.summary), *_terms(command.places), *_terms(_own(command))]
    epilog = [".PP", *_prose(command.epilog)] if command.epilog else []
    return [*_synopsis(command), ".PP", *about, *epilog]


def _own(command: Command) -> tuple[Argument, ...]:
    """Leave out --help, which every command has."""
    return tuple(each for each in command.options if "--help" not in each.flags)


def _synopsis(command: Command) -> list[str]:
    parts = [f"\\fB{_plain(' '.join(command.path))}\\fR"]
    for each in (*_own(command), *command.places):
        part = " ".join(filter(None, (_flag(each.flags[-1:]), _value(each))))
        part += " ..." if each.many else ""
        parts.append(part if each.needed else f"[{part}]")
    if command.below:
        parts.append("\\fICOMMAND\\fR ...")
    return [part.replace(" ", "\\ ") for part in parts]


def _flag(flags: tuple[str, ...]) -> str:
    return ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in flags)


def _value(argument: Argument) -> str:
    return f"\\fI{_plain(argument.value)}\\fR" if argument.value else ""


def _terms(arguments: tuple[Argument, ...]) -> list[str]:
    lines = []
    for each in arguments:
        term = " ".join(filter(None, (_flag(each.flags), _value(each))))
        lines += [".TP", term, *_filled(each.help or f"one of {', '.join(each.choices)}")]
    return lines


def _prose(text: str) -> list[str]:
    """Set text of several paragraphs; where spaces line something up, each line stays one."""
    lines: list[str] = []
    for paragraph in filter(None, re.split(r"\n\s*\n", text.strip("\n"))):
        lines += [".PP"] if lines else []
        if re.search(r"^ |\S  +\S", paragraph, re.MULTILINE):
            rows = paragraph.splitlines()
            lines += [".nf", *(f"\\&{_plain(row)}" for row in rows), ".fi"]
        else:
            lines += _filled(paragraph)
    return lines


def _filled(text: str) -> list[str]:
    """Set a paragraph, in bold what stands in backquotes; a sentence's end is a line's end."""
    words = " ".join(text.split())
    parts = re.split(r"`([^`]+)`", words)
    marked = "".join(
        f"\\fB{_plain(part)}\\fR" if at % 2 else _plain(part) for at, part in enumerate(parts)
    )
    lines: list[str] = []
    for sentence in re.split(r"(?<=[.;:]) (?=[A-Z\\])", marked):
        lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
    return [f"\\&{line}" if line[0] in ".'" else line for line in lines]


_GLYPHS: Final = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}


def _plain(text: str) -> str:
    """Give text that roff sets as it stands."""
    return "".join(_GLYPHS.get(letter, letter) for letter in text)
