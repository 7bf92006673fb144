# SPDX-License-Identifier: GPL-2.0-only
"""The doors of the programs that debuggers and tracers are tried on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from conformance.doors import DOORS, Door
from conformance.facts import Environment, Fact


@pytest.fixture
def door(
    request: pytest.FixtureRequest, environment: Environment, vocabulary: Mapping[str, Fact]
) -> Door:
    """The door of that name; ``vdso`` is the way that this machine's 32-bit vDSO takes."""
    name = request.param
    if name == "vdso":
        name = "sysenter" if environment.facts["sysenter"] else "syscall32"
    for need in DOORS[name].needs:
        if not environment.facts[need]:
            pytest.skip(f"needs {need}: {vocabulary[need].lack}")
    return DOORS[name]
