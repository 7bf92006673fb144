# SPDX-License-Identifier: GPL-2.0-only
"""What is compiled: the tracer's side, an abi3 extension by cffi, and the programs beside it.

Programs are freestanding executables, which need no library of their width: an image of all
probes for each door into the kernel, and small ones that are executed by probes and by facts.
"""

import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from cffi import FFI
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WIDTHS = {"x86_64": "-m64", "ia32": "-m32", "x32": "-mx32"}
FREESTANDING = (
    "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-nostdlib",
    "-static", "-ffreestanding", "-no-pie", "-fno-stack-protector", "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables", "-mno-sse", "-mgeneral-regs-only", "-Wl,--build-id=none",
    "-Wl,-z,noexecstack", "-Wl,-z,norelro",
)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """An image of the probes.

    :param width: of WIDTHS
    :param door: how it enters the kernel, of cprobes/probe.h
    :param folders: whose sources it has, besides program.c
    :param more: further arguments for the compiler
    """

    width: str
    door: str
    folders: tuple[str, ...]
    more: tuple[str, ...] = ("-fno-pic",)


IMAGES = {
    # Its addresses have bits above bit 31, so that one who loses them is seen; what is left of
    # them then is no small number, and has not the x32 bit.
    "x86_64": Image(
        "x86_64", "SYSCALL", ("common", "x86_64"), ("-fpie", "-Wl,-Ttext-segment=0xba520000000")
    ),
    # And these have none, for calls whose pointers have 32 bits.
    "int80_64": Image("x86_64", "INT80", ("common", "int80_64")),
    "int80_32": Image("ia32", "INT80", ("common", "ia32", "int80_32")),
    "vdso_32": Image("ia32", "VDSO", ("common", "ia32")),
    "x32": Image("x32", "SYSCALL", ("common",)),
}
"""By the names that conformance/doors.py knows them by."""

ffibuilder = FFI()
ffibuilder.cdef((HERE / "board.h").read_text())
ffibuilder.set_source(
    "conformance._native",
    '#include "tracer.h"',
    sources=[f"cprobes/{name}.c" for name in ("frames", "launcher", "snapshot")],
    include_dirs=["cprobes"],
    depends=[f"cprobes/{name}.h" for name in ("board", "spin", "tracer")],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-missing-field-initializers",
                        "-fcf-protection=none", "-fno-stack-protector",
                        f"-ffile-prefix-map={ROOT}=."],  # the same wherever it is built
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
    """build_ext that also compiles the programs, of every width that the compiler has."""

    def run(self) -> None:
        """Build the extension, then each program beside it."""
        self.cc = compiler()
        super().run()
        base = ROOT if self.inplace else Path(self.build_lib)
        self.programs = base / "conformance" / "_programs"
        shutil.rmtree(self.programs, ignore_errors=True)
        self.programs.mkdir(parents=True)
        for source in sorted((HERE / "freestanding").glob("*.c")):
            for width in WIDTHS:
                self._compile(f"{source.stem}_{width}", width, ["-fno-pic"], [source])
        self._compile("tracer_ia32", "ia32", ["-fno-pic", f"-I{HERE}"], [HERE / "tracer32.c"])
        for name, image in IMAGES.items():
            sources = [path for f in image.folders for path in sorted((HERE / f).glob("*.c"))]
            flags = [f"-DDOOR={image.door}", f"-I{HERE}", *image.more]
            self._compile(name, image.width, flags, [HERE / "program.c", *sources])
        (self.programs / "compiler").write_text(f"{self._compiler_version()}\n")

    def _compiler_version(self) -> str:
        command = [self.cc, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout.splitlines() or [self.cc])[0]

    def _compile(self, name: str, width: str, flags: list[str], sources: list[Path]) -> None:
        headers = [f"-idirafter{path}" for path in self._headers()]
        command = [self.cc, WIDTHS[width], *FREESTANDING, *flags, *headers, *map(str, sources),
                   "-o", str(self.programs / name)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            first = (errors or done.stderr.strip().splitlines() or ["no message"])[0]
            if width == "x86_64":
                what = f"origax: {name} does not compile\n  on: {' '.join(command)}"
                raise SystemExit(f"{what}\n  do: see what the compiler says: {first}")
            self.warn(f"no {name}: this compiler cannot ({first})")

    def _headers(self) -> list[Path]:
        """Where Debian has asm/ of all three widths: in the directory of the compiler's own."""
        command = [self.cc, "-print-multiarch"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        path = Path("/usr/include", done.stdout.strip() or "asm")
        return [path] if path.is_dir() else []
