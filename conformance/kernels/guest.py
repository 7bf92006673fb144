# SPDX-License-Identifier: GPL-2.0-only
"""One guest: a kernel, booted by virtme-ng with a folder to put its answers into.

The guest's root is read-only. Of this machine it can write to one folder, which lies among the
records and goes with the guest; there is a disk in it, for the interrupts that it raises. The
answers are taken from files and never from the console, which loses some.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from conformance.errors import HarnessError
from conformance.facts import OWN_MACHINE
from conformance.kernels.inside import ANSWERS, REQUEST

QEMU: Final = "qemu-system-x86_64"
VIRTME: Final = "virtme-run"
CPUS: Final = 2
"""Virtual processors: interrupts from one to another are among the cases."""
MEMORY: Final = "1G"
DISK_SIZE: Final = 1 << 20
UNUSED: Final = (
    "kvm", "kvm_amd", "kvm_intel", "drm", "bochs", "libata", "ata_piix", "ata_generic", "ahci",
    "sr_mod", "cdrom", "sg", "floppy", "psmouse", "pcspkr", "evdev", "button", "joydev", "mousedev",
    "serio_raw", "rapl", "parport", "parport_pc", "qemu_fw_cfg", "e1000", "e1000e", "i2c_i801",
    "i2c_piix4", "lpc_ich", "iTCO_wdt", "powernow_k8", "acpi_cpufreq", "crypto_simd", "cryptd",
    "ghash_clmulni_intel", "aesni_intel", "crc32_pclmul", "crct10dif_pclmul", "crc32c_intel",
    "sha512_ssse3", "sha256_ssse3", "sha1_ssse3",
)  # fmt: skip
"""Modules that a distribution's kernel would load for a guest's devices, and no case needs: under
TCG, kvm alone takes as long as the rest of the boot."""
ONE_INTERRUPT: Final = "num-queues=2,vectors=2"
"""Too few vectors for the disk to have one for each queue, beside that of its configuration: the
queues share one, which is then not managed, so that its affinity may be set
(drivers/virtio/virtio_pci_common.c vp_find_vqs)."""
SHARE: Final = "/mnt"
"""Where a guest has the folder for its answers: a directory that every root has."""
MODULES: Final = "/media"
"""Where a guest has its kernel's modules: virtme-ng brings another root none, and this machine's a
link, which leads nowhere if they are below /root, or is not there without /lib/modules."""
DISK_MODULE: Final = "kernel/drivers/block/virtio_blk.ko*"
"""Which may be compressed; it needs none that is not loaded by then."""
TAIL: Final = 5
"""Last lines of the console that tell how a guest was lost."""
CONSOLE: Final = 1 << 16
"""Bytes of the console that are kept."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What is booted, and how.

    :ivar image: a bzImage, or a build tree that has one
    :ivar root: directory that becomes the guest's root, read-only
    :ivar python: interpreter inside the root that has origax
    :ivar busybox: static, inside the root, for what virtme-ng's own init cannot run in; or none
    :ivar modules: of this kernel, lib/modules/RELEASE; or none
    :ivar cpu: QEMU's name for the processor
    :ivar cmdline: options of the kernel
    :ivar kvm: by hardware, not by TCG
    """

    image: Path
    root: Path
    python: str
    busybox: Path | None
    modules: Path | None
    cpu: str
    cmdline: tuple[str, ...]
    kvm: bool


def require() -> None:
    """Make sure that guests can be booted at all.

    :raises HarnessError: QEMU or virtme-ng is not installed
    """
    for command, do in (
        (QEMU, "on Debian: apt-get install qemu-system-x86"),
        (VIRTME, "pip install 'origax[kernels]'"),
        ("setpriv", "on Debian: apt-get install util-linux"),
    ):
        if not _find(command):
            raise HarnessError(f"{command} is not installed", "booting a kernel", do)


def _find(command: str) -> str | None:
    """Find a command where this Python installs its own, then on the PATH."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    return shutil.which(command, path=path)


class Guest:
    """A booted guest; a context manager, so that none is left, nor its folder."""

    def __init__(
        self, boot: Boot, request: Mapping[str, Any], among: Path, program: Path | None = None
    ) -> None:
        """Boot it.

        :param request: for what runs inside
        :param among: directory in which its folder is made
        :param program: of Python, that runs inside in the place of `conformance.kernels.inside`
        :raises HarnessError: the folder cannot be made, or the command cannot be run
        """
        self.console = b""
        self.gone = False
        self._closed = False
        self._heard = 0
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=".guest-", dir=among))
            try:
                self._furnish(request, program)
            except OSError:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise
        except OSError as error:
            raise HarnessError(
                f"a guest's folder could not be made: {error.strerror}", str(among),
                "make room there, or give another directory with --records",
            ) from None  # fmt: skip
        environ = {**os.environ, "TMPDIR": str(self._folder), "XDG_CACHE_HOME": str(self._folder)}
        self._process = subprocess.Popen(
            _command(boot, self._folder, program), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=environ, start_new_session=True,
        )  # fmt: skip
        os.set_blocking(self.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, with all of its processes, and remove its folder; again is nothing."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fileno(self) -> int:
        """Give what is readable when the console says something, or the guest is gone."""
        if self._process.stdout is None:
            raise HarnessError("a guest has no pipe", "subprocess", "report this")
        return self._process.stdout.fileno()

    def listen(self) -> None:
        """Take in what the console says; ``gone`` once the guest is."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.fileno(), CONSOLE):
                self.console = (self.console + chunk)[-CONSOLE:]
            self.gone = True

    def answers(self) -> Iterator[Mapping[str, Any]]:
        """Give what the guest has said since the last time, object by object."""
        try:
            with (self._folder / ANSWERS).open("rb") as file:
                file.seek(self._heard)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._heard += len(whole)
        yield from map(json.loads, whole.splitlines())

    def last_words(self) -> str:
        """Tell, in one line, why the kernel gave up, if it said so, and what the console last said.

        A kernel's words are whatever bytes it likes: they are made printable where they are shown.
        """
        lines = [line.strip() for line in self.console.decode(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        panics = [found[0] for line in lines if (found := re.search("Kernel panic.*", line))]
        tail = f"the console's last lines: {' | '.join(lines[-TAIL:]) or 'none'}"
        return "; ".join([*panics[:1], tail])

    def _furnish(self, request: Mapping[str, Any], program: Path | None) -> None:
        """Put what the guest needs into its folder."""
        (self._folder / REQUEST).write_text(json.dumps(request), encoding="ascii")
        if program:
            shutil.copy(program, self._folder)
        with (self._folder / "disk").open("wb") as disk:
            disk.truncate(DISK_SIZE)
        # virtme-ng waits for QEMU: if it is killed, QEMU is not to go on alone.
        wrapper = self._folder / "qemu"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig KILL {QEMU} "$@"\n')
        wrapper.chmod(0o755)


def _command(boot: Boot, folder: Path, program: Path | None) -> list[str]:
    disk = {
        "driver": "raw", "node-name": "disk",
        "file": {"driver": "file", "filename": str(folder / "disk")},
    }  # fmt: skip
    image = ["--kdir", str(boot.image)] if boot.image.is_dir() else ["--kimg", str(boot.image)]
    busybox = ["--no-virtme-ng-init", "--busybox", str(boot.busybox)] if boot.busybox else []
    modules = ["--rodir", f"{MODULES}={boot.modules}"] if boot.modules else []
    load = "modprobe -q virtio_blk"
    if boot.modules:
        load = f"{'busybox insmod' if boot.busybox else 'insmod'} {MODULES}/{DISK_MODULE}"
    run = f"{SHARE}/{program.name}" if program else "-m conformance.kernels.inside"
    inside = f"{load}; {boot.python} -P -B {run} {SHARE}"
    options = (
        *boot.cmdline, OWN_MACHINE, "loglevel=5", f"module_blacklist={','.join(UNUSED)}"
    )  # fmt: skip
    return [
        "setpriv", "--pdeathsig", "KILL", _find(VIRTME) or VIRTME,
        *image, "--mods", "auto", "--root", str(boot.root), *busybox, "--user", "root",
        "--qemu-bin", str(folder / "qemu"), "--force-9p", "--disable-microvm",
        *([] if boot.kvm else ["--disable-kvm"]), "--cpus", str(CPUS), "--memory", MEMORY,
        "--rwdir", f"{SHARE}={folder}", *modules, "--show-boot-console",
        *(word for option in options for word in ("--kopt", option)),
        "--script-sh", inside,
        "--qemu-opts", "-cpu", boot.cpu, "-blockdev", json.dumps(disk),
        "-device", f"virtio-blk-pci,drive=disk,{ONE_INTERRUPT}",
    ]  # fmt: skip


def wait_for(guests: Sequence[Guest], seconds: float) -> None:
    """Wait until one of the guests says something on its console, or the time is over."""
    with selectors.DefaultSelector() as selector:
        for guest in guests:
            selector.register(guest, selectors.EVENT_READ)
        selector.select(seconds)
