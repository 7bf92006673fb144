# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest: its workers are copies of it, and it leaves its answers in a folder."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conformance.kernels.inside import ANSWERS, REQUEST
from conformance.record import OptionsRecord


def traced(folder: Path, *patterns: str) -> list[dict[str, Any]]:
    """Trace in another process, which can be copied safely: it has no threads."""
    options = OptionsRecord(frames=10, repeat=1, timeout=20.0, jobs=2, patterns=patterns)
    (folder / REQUEST).write_text(json.dumps(asdict(options)), encoding="ascii")
    script = "import sys, pathlib; from conformance.kernels import inside; "
    script += "inside.trace(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-P", "-c", script, str(folder)], check=True)
    return [json.loads(line) for line in (folder / ANSWERS).read_bytes().splitlines()]


def test_answers(tmp_path: Path) -> None:
    """Both copies answer: a family of cases is begun and answered, between hello and done."""
    said = traced(tmp_path, "syscalls")
    assert [said[0]["said"], said[-1]["said"]] == ["hello", "done"]
    begun = {entry["id"] for entry in said if entry["said"] == "begin"}
    answers = {e["id"]: e["answer"] for e in said if e["said"] == "answer"}
    assert begun <= answers.keys()
    assert len(begun) > 10
    assert not [name for name in begun if answers[name]["verdict"]]


def test_killed() -> None:
    """A copy that is killed says so to who waits for it, as a process of its own would."""
    script = "from conformance.kernels import inside; made = inside.fork((0,)); made.kill(); "
    done = subprocess.run(
        [sys.executable, "-P", "-c", script + "print(made.wait())"], check=True, capture_output=True
    )
    assert int(done.stdout) == -signal.SIGKILL
