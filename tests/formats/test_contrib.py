# SPDX-License-Identifier: GPL-2.0-only
"""contrib/: its scripts run, and its files are what their harnesses take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import records

from conformance.places import PACKAGE
from conformance.record import write

CONTRIB = Path(__file__).parents[2] / "contrib"
ORIGAX = Path(sys.executable).with_name("origax")


def _run(script: str, *args: str | Path, origax: Path = ORIGAX) -> tuple[int, list[str]]:
    """Run a script; gives its exit code and its lines."""
    done = subprocess.run(
        [CONTRIB / script, *args], env={**os.environ, "ORIGAX": str(origax)},
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


# As a kselftest it writes KTAP, skips with a reason where there is no origax, and translates exit
# codes: 2 is wrong usage here, and an expected failure there.
@pytest.mark.parametrize(
    ("case", "origax", "code", "says"),
    [
        ("syscalls.arguments*", ORIGAX, 0, "    ok 1 syscalls.arguments"),
        ("syscalls.arguments*", Path("/no/origax"), 4, "1..0 # SKIP there is no /no/origax: "),
        ("no_such_case", ORIGAX, 1, ""),
    ],
)
def test_kselftest(case: str, origax: Path, code: int, says: str) -> None:
    done, lines = _run("kselftest/origax.sh", case, origax=origax)
    assert done == code
    assert any(line.startswith(says) for line in lines) if says else not lines


# What kselftest's config asks for is what a kernel for origax needs.
def test_kselftest_config() -> None:
    needed = (PACKAGE / "kernels" / "origax.config").read_text(encoding="ascii").splitlines()
    asked = (CONTRIB / "kselftest" / "config").read_text(encoding="ascii").splitlines()
    assert {line for line in asked if not line.startswith("#")} <= set(needed)


# A harness that takes results one by one gets one of each case; a known issue passes.
def test_results(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write(path, records.mixed())
    code, lines = _run("results.sh", path)
    results = dict(line.split() for line in lines)
    assert code == 0
    assert results.keys() == {case.id for case in records.mixed().cases}
    assert results["traps.icebp"] == "pass"
    assert Counter(results.values()) == {"pass": 2, "fail": 6, "skip": 1}


# The jobs are what GitHub and GitLab have published schemas for.
@pytest.mark.parametrize("name", ["github-workflows", "gitlab-ci"])
def test_jobs(name: str) -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    path = CONTRIB / f"{name.partition('-')[0]}.yml"
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
