# SPDX-License-Identifier: GPL-2.0-only
"""What is compiled: one abi3 extension by cffi, and the freestanding programs beside it."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

from cffi import FFI
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WIDTHS = {"x86_64": "-m64", "ia32": "-m32", "x32": "-mx32"}
FREESTANDING = (
    "-O2", "-Wall", "-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-no-pie",
    "-fno-stack-protector", "-fcf-protection=none", "-Wl,--build-id=none", "-Wl,-z,noexecstack",
)  # fmt: skip

ffibuilder = FFI()
ffibuilder.cdef((HERE / "board.h").read_text())
ffibuilder.set_source(
    "conformance._native",
    '#include "probe.h"',
    sources=[
        str(path.relative_to(ROOT))
        for path in sorted([*HERE.glob("*.c"), *HERE.glob("x86_64/*.c")])
    ],
    include_dirs=["cprobes"],
    depends=["cprobes/board.h", "cprobes/probe.h"],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers",
                        "-fcf-protection=none", "-fno-stack-protector"],
    py_limited_api=True,
)  # fmt: skip


def compiler() -> str:
    """Name the C compiler, having made sure that it and Python's headers are there."""
    name = (sysconfig.get_config_var("CC") or "cc").split()[0]
    found = shutil.which(name) or shutil.which("cc") or shutil.which("gcc")
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if found and headers.exists():
        return found
    what = f"no {headers}" if found else f"no C compiler ({name}, cc, gcc)"
    raise SystemExit(
        f"origax: {what}\n  on: building the probes, which are C\n"
        "  do: Debian: apt install gcc libc6-dev python3-dev; "
        "Fedora: dnf install gcc glibc-devel python3-devel"
    )


class BuildProbes(build_ext):
    """build_ext that also compiles ``freestanding/*.c`` for every width the compiler has."""

    def run(self) -> None:
        """Build the extension, then each freestanding program beside it."""
        cc = compiler()
        super().run()
        base = ROOT if self.inplace else Path(self.build_lib)
        programs = base / "conformance" / "_programs"
        programs.mkdir(parents=True, exist_ok=True)
        for source in sorted((HERE / "freestanding").glob("*.c")):
            for width, flag in WIDTHS.items():
                self._compile(cc, source, flag, programs / f"{source.stem}_{width}")

    def _compile(self, cc: str, source: Path, flag: str, target: Path) -> None:
        command = [cc, flag, *FREESTANDING, str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            first = (done.stderr.strip().splitlines() or ["no message"])[0]
            if flag == "-m64":
                what = f"origax: {source.name} does not compile\n  on: {' '.join(command)}"
                raise SystemExit(f"{what}\n  do: see what the compiler says: {first}")
            self.warn(f"no {target.name}: this compiler cannot ({first})")
