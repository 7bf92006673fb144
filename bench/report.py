# SPDX-License-Identifier: GPL-2.0-only
"""How long reports take, and how much memory: of forty records with 300 cases each.

``python bench/report.py RECORD...`` cuts the given records down to 300 cases, from all families and
raw stops and all, and repeats them as further environments, each of another name and with another
case that was skipped, so that they do not fold. Then it makes each report of them, as a user would.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

ENVIRONMENTS = 40
CASES = 300
FORMATS = ("html", "matrix", "ktap", "junit", "kcidb")


def environment(source: Path, number: int) -> str:
    """Give the text of a record as if it were of one environment more."""
    data: dict[str, Any] = json.loads(source.read_text(encoding="ascii"))
    cases = data["cases"]
    data["cases"] = [cases[index * len(cases) // CASES] for index in range(CASES)]
    data["environment"]["name"] = f"linux-6.{number}.{number}.amd.tcg"
    odd = data["cases"][number % CASES]
    odd.update(verdict="SKIP", reason="needs another machine", transcripts=[], differences=[])
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def measured(arguments: list[str]) -> tuple[float, float]:
    """Run origax; gives seconds and peak memory in MB."""
    begun = time.monotonic()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-P", "-m", "conformance", *arguments], os.environ
    )
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1):
        sys.exit(f"origax {' '.join(arguments[:3])}: exit code {code}")
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def main() -> int:
    sources = [Path(path) for path in sys.argv[1:]]
    if not sources:
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory(prefix="origax-bench-") as place:
        records = []
        for number, source in zip(range(ENVIRONMENTS), cycle(sources), strict=False):
            records.append(Path(place, f"{number:02}.json"))
            records[-1].write_text(environment(source, number), encoding="ascii")
        size = sum(path.stat().st_size for path in records) / 1e6
        print(f"{len(records)} records of {CASES} cases, {size:.0f} MB")
        print("            s  MB of memory  MB of report")
        for name in FORMATS:
            out = Path(place, "report")
            command = ["report", *map(str, records), "--format", name, "-o", str(out)]
            seconds, memory = measured(command)
            print(f"{name:8}{seconds:5.1f}  {memory:12.0f}  {out.stat().st_size / 1e6:12.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
