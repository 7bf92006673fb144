# SPDX-License-Identifier: GPL-2.0-only
"""What several tests share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from conformance import facts
from conformance.facts import Environment, Fact
from conformance.places import expected_directory


@pytest.fixture(scope="session")
def expected() -> Path:
    return expected_directory(None)


@pytest.fixture(scope="session")
def vocabulary(expected: Path) -> Mapping[str, Fact]:
    return facts.vocabulary(expected)


@pytest.fixture(scope="session")
def environment(expected: Path) -> Environment:
    return facts.collect(expected)
