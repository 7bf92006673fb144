# SPDX-License-Identifier: GPL-2.0-only
"""Every case as one test: traced on this kernel, and judged."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from conformance import expectation, record, runner
from conformance.cases import Case, all_cases
from conformance.expectation import KnownIssue
from conformance.facts import Environment, Fact
from conformance.reports import describe


def _parameter(case: Case) -> object:
    marks = [pytest.mark.xdist_group(case.group)] if case.group else []
    return pytest.param(case, id=case.id, marks=marks)


@pytest.fixture(scope="session")
def known(expected: Path, vocabulary: Mapping[str, Fact]) -> Sequence[KnownIssue]:
    return expectation.load_known(expected, vocabulary)


@pytest.fixture(scope="session")
def tracer() -> Iterator[runner.Runner]:
    options = record.OptionsRecord(frames=200, repeat=1, timeout=20.0, jobs=1, patterns=())
    with runner.Runner(options) as made:
        yield made


# What every tracer can see at every stop of the case is what the golden says.
@pytest.mark.parametrize("case", [_parameter(case) for case in all_cases()])
def test_case(
    case: Case, tracer: runner.Runner, environment: Environment, vocabulary: Mapping[str, Fact],
    known: Sequence[KnownIssue], expected: Path,
) -> None:  # fmt: skip
    (answered,) = tracer.run(runner.plan([case], environment, vocabulary, expected))
    seen = runner.judge(*answered, environment, known)
    if seen.verdict == record.SKIP:
        pytest.skip(seen.reason)
    assert seen.verdict in (record.PASS, record.KNOWN), "\n".join(describe([seen]))


# Under xdist, cases of one group really are in one: they would disturb each other.
@pytest.mark.xdist_group("sample")
def test_groups_are_kept(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("needs pytest-xdist: pytest -n 2")
    assert request.node.nodeid.endswith("@sample")
