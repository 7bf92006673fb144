# SPDX-License-Identifier: GPL-2.0-only
"""What is given to each format's real reader, and the kernel's own reader of KTAP."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import records

from conformance import cache
from conformance.kernels import packages
from conformance.record import Record

SUITE = "bookworm"
"""Whose source of the kernel it is: `tox -e mutants` fetches the same."""


def _given() -> dict[str, list[Record]]:
    return {
        "one": [records.mixed()],
        "many": [records.mixed(), records.lost(), records.mixed()],
        "hostile": [records.hostile()],
        "none": [records.record()],
    }


@pytest.fixture(params=_given())
def given(request: pytest.FixtureRequest) -> list[Record]:
    """Records of every verdict, of a lost guest, of a hostile kernel, of no case."""
    return _given()[request.param]


@pytest.fixture
def verdicts(given: list[Record]) -> Counter[str]:
    """How many cases came to which verdict."""
    return Counter(verdict for record in given for verdict in record.verdicts)


@pytest.fixture(scope="session")
def kunit() -> Path:
    """The kernel's kunit.py, out of Debian's source of it, which `tox -e formats` fetches."""
    place = cache.directory(os.environ) / "kunit"
    with cache.locked(place.with_name("kunit.lock"), print) as lock:
        if not place.is_dir():
            if "ORIGAX_FETCH" not in os.environ:
                pytest.skip(f"there is no kunit.py in {place}; `tox -e formats` fetches it")
            source = packages.Source("kunit", SUITE)
            archive = packages.fetch_source(
                source, packages.location(os.environ), lambda text, done, of: None
            )
            with cache.whole(place) as part:
                part.mkdir(parents=True)
                subprocess.run(
                    ["tar", "-xf", archive, "--strip-components=1", "-C", part,
                     "--wildcards", "*/tools/testing/kunit"],
                    check=True, pass_fds=(lock,),
                )  # fmt: skip
    return place / "tools/testing/kunit/kunit.py"
