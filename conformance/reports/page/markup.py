# SPDX-License-Identifier: GPL-2.0-only
"""HTML that is escaped unless it was made here.

Every text of a page goes through :func:`escaped`, by hand or in :func:`tag`, which leaves alone
only what is :class:`Html` already. So what a record says can be shown and never be markup.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from conformance.reports import printable

_VOID: Final = frozenset({"input", "meta", "br"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Html:
    """Give a text as it is to be read: printable ASCII, nothing in it markup."""
    return Html(html.escape(printable(text)))


def block(lines: Iterable[str]) -> Html:
    """Give the lines of a ``<pre>``, each escaped unless it is markup."""
    return Html("\n".join(map(_html, lines)))


def join(parts: Iterable[str], between: str = "") -> Html:
    """Put texts and markup together.

    :param between: blanks and lines of our own
    """
    return Html(between.join(map(_html, parts)))


def tag(name: str, /, *inside: str, **attributes: str | int | bool | None) -> Html:
    """Give an element.

    :param attributes: without a trailing ``_``, and with ``-`` for ``_``; False and None are left
        out, True is an attribute without a value
    """
    told = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{told}>{join(inside)}{end}")


def link(target: str, *inside: str, **attributes: str | None) -> Html:
    """Give a link to a place on this page, the only kind that there is."""
    anchor = quote(printable(target), safe="@.,:~+-_")
    return tag("a", *inside, href=f"#{anchor}", **attributes)


def _html(text: str) -> Html:
    return text if isinstance(text, Html) else escaped(text)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
