# SPDX-License-Identifier: GPL-2.0-only
"""TOML that a person wrote: whatever is wrong in it is a `UsageError` that names the place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import UsageError


@dataclass(frozen=True, slots=True)
class Table:
    """A table while it is being checked: what it says, and where it stands."""

    where: str
    data: Mapping[str, object]

    def wrong(self, what: str, do: str) -> UsageError:
        """Say what is wrong in this table, and what to do."""
        return UsageError(what, self.where, do)

    def only(self, *keys: str) -> None:
        """Refuse any other key."""
        for key in self.data:
            if key not in keys:
                raise self.wrong(f"there is no key {key!r}", f"use only {', '.join(keys)}")

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text that is not empty; `default` when the key is missing."""
        text = self.data.get(key, default)
        if key not in self.data and default is not None:
            return default
        if not isinstance(text, str) or not text.strip():
            raise self.wrong(f"{key!r} is missing, empty or no text", f'write {key} = "..." there')
        return text

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of texts."""
        items = self.data.get(key)
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise self.wrong(
                f"{key!r} is missing or no list of texts", f'write {key} = ["...", "..."] there'
            )
        return tuple(items)

    def table(self, key: str) -> dict[str, str]:
        """Give a table of texts; empty when it is missing."""
        table = self.data.get(key, {})
        if not isinstance(table, dict):
            raise self.wrong(f"{key!r} is no table", f"write it as [{key}]")
        inner = Table(f"{self.where}, [{key}]", table)
        return {name: inner.text(name) for name in table}

    def tables(self, key: str) -> list[Table]:
        """Give an array of tables; empty when it is missing."""
        items = self.data.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.wrong(f"{key!r} is no array of tables", f"write each as [[{key}]]")
        return [
            Table(f"{self.where}, {key} {number}", item) for number, item in enumerate(items, 1)
        ]


def read_text(path: Path) -> str:
    """Read a file that a person wrote.

    :raises UsageError: it cannot be read, or is not UTF-8
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(
            f"the file cannot be read: {error.strerror}", str(path), "make it a readable file"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the file is not UTF-8: {error.reason} at byte {error.start}",
            str(path),
            "save it as UTF-8",
        ) from None


def parse(text: str, path: Path) -> Table:
    """Take TOML apart.

    :raises UsageError: it is none
    """
    try:
        return Table(str(path), tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the file is not TOML: {error}", str(path), "mend that line") from None
