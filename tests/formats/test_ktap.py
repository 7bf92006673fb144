# SPDX-License-Identifier: GPL-2.0-only
"""KTAP, read by the kernel's own tools/testing/kunit/kunit.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from conformance.record import KNOWN, PASS, SKIP, Record
from conformance.reports import FAILING, ktap, names


def _parse(kunit: Path, text: str, where: Path) -> tuple[int, dict[str, Any], str]:
    """Give kunit.py's exit code, what it found, and what it says in the end."""
    report, found = where / "report", where / "found"
    report.write_text(text, encoding="ascii")
    done = subprocess.run(
        [sys.executable, kunit, "parse", f"--json={found}", report],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, json.loads(found.read_text(encoding="utf-8")), done.stdout


# kunit.py counts each case as the record does, finds no error in the report, and exits by it.
def test_counts(kunit: Path, given: list[Record], verdicts: Counter[str], tmp_path: Path) -> None:
    code, _, said = _parse(kunit, ktap.report(given), tmp_path)
    failed = sum(verdicts[verdict] for verdict in FAILING)
    counts = {
        "passed": verdicts[PASS] + verdicts[KNOWN],
        "failed": failed,
        "skipped": verdicts[SKIP] or int(not verdicts),  # no case at all is one that is skipped
    }
    counted = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
    assert f"Ran {sum(counts.values())} tests: {counted}\n" in said
    assert "[ERROR]" not in said
    assert (code == 0) == (not failed and bool(verdicts))


# What it finds are environments, in each its families, in each its cases by their ids.
def test_tree(kunit: Path, given: list[Record], tmp_path: Path) -> None:
    _, found, _ = _parse(kunit, ktap.report(given), tmp_path)
    tree = {
        environment["name"]: {
            family["name"]: [case["name"] for case in family["test_cases"]]
            for family in environment["sub_groups"]
        }
        for environment in found["sub_groups"]
    }
    wanted: dict[str, dict[str, list[str]]] = {}
    for name, record in zip(names(given), given, strict=True):
        for case in record.cases:
            families = wanted.setdefault(name.replace("#", "_"), {})
            families.setdefault(case.family, []).append(case.id)
    assert tree == wanted
