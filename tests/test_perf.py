# SPDX-License-Identifier: GPL-2.0-only
"""What is read of perf's records."""

import struct
from types import SimpleNamespace

import pytest

from conformance.errors import HarnessError
from conformance.tracing import perf
from conformance.tracing.perf import GENERAL, SHOWN, WIDE, Calls, Sampled

REGS = tuple(range(100, 100 + len(SHOWN)))


def record(word: str, *words: int) -> bytes:
    """A sample of a tracepoint, as a kernel of that width of word writes it."""
    raw = bytes(8) + struct.pack(f"={len(words)}{word}", *words)
    raw += bytes(-(len(raw) + 4) % 8)
    return struct.pack("=I", len(raw)) + raw + struct.pack(f"={1 + len(REGS)}Q", 2, *REGS)


# The kernel's own words are taken at their width, with and without what aligns them.
@pytest.mark.parametrize("word", ["q", "i"])
@pytest.mark.parametrize(
    ("event", "words"), [("sys_enter", (-1, 1, 2, 3, 4, 5, 6)), ("sys_exit", (39, -38))]
)
def test_sampled(word: str, event: str, words: tuple[int, ...]) -> None:
    shown = dict(zip(SHOWN, REGS, strict=True))
    assert Calls.sampled(event, record(word, *words)) == Sampled(
        event, words[0], words[1:], "64", shown
    )


# The newest sample is given, at its width: a 32-bit program's has twelve registers, a 64-bit one's
# eight more, and none twice.
@pytest.mark.parametrize(("bits", "names"), [(32, GENERAL), (64, GENERAL + WIDE)])
def test_last_sample(bits: int, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(first: int) -> bytes:
        return struct.pack(f"={1 + len(names)}Q", bits // 32, *range(first, first + len(names)))

    samples = [[sample(100), sample(200)], []]
    ring = SimpleNamespace(take=lambda: iter(samples.pop(0)))
    monkeypatch.setattr(perf, "_Ring", lambda *_: ring)
    switches = perf.Switches(1, bits)
    assert switches.last() == (str(bits), dict(zip(names, range(200, 300), strict=False)))
    with pytest.raises(HarnessError, match="was not seen"):
        switches.last()
