# SPDX-License-Identifier: GPL-2.0-only
"""What runs a guest's code: KVM where a kernel really boots with it, otherwise TCG.

That /dev/kvm can be opened says little: a nested or a broken KVM ends QEMU at once, or hangs the
guest. So it is tried, once for a machine, and what came of it is remembered in the cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from conformance.errors import HarnessError
from conformance.facts import fields, sources
from conformance.files import replace_all
from conformance.kernels.guest import Boot, Guest, wait_for
from conformance.record import OptionsRecord

KVM: Final = "kvm"
TCG: Final = "tcg"
DEVICE: Final = Path("/dev/kvm")
TRIAL: Final = 60.0
"""Seconds in which a guest of KVM must have come up: one of TCG takes 20."""
MEMORY: Final = "accelerator.json"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What runs the code of guests, and why that.

    :ivar name: ``kvm`` or ``tcg``
    """

    name: str
    why: str


def choose(cache: Path, device: Path, trial: Callable[[], str]) -> Accelerator:
    """Choose for this machine, trying KVM unless that was done.

    :param trial: boots a kernel with KVM; returns what went wrong, or nothing
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return Accelerator(TCG, f"{device} is not there, or may not be opened")
    memory, here = cache / MEMORY, machine()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(memory.read_text(encoding="ascii"))
        if known["machine"] == here:
            return Accelerator(**known["accelerator"])
    wrong = trial()
    chosen = Accelerator(TCG, f"KVM is there, and boots no kernel: {wrong}") if wrong else (
        Accelerator(KVM, "a kernel booted with it")
    )  # fmt: skip
    text = json.dumps({"machine": here, "accelerator": asdict(chosen)}, indent=1) + "\n"
    with contextlib.suppress(OSError, HarnessError):  # then it is tried again, the next time
        cache.mkdir(parents=True, exist_ok=True)
        replace_all({memory: text}, "what is known of KVM", "make room there")
    return chosen


def machine() -> str:
    """Name what KVM depends on: this machine's kernel and its processor."""
    cpu = fields(sources().cpuinfo)
    return f"{os.uname().release}, {cpu.get('vendor_id')}, {cpu.get('model name')}"


def fits(model: str) -> bool:
    """Say whether this machine's processor may stand for one that QEMU would emulate."""
    wanted = re.search(r"vendor=(\w+)", model)
    return not wanted or wanted[1] == fields(sources().cpuinfo).get("vendor_id")


def try_kvm(boot: Boot, among: Path) -> str:
    """Boot with KVM until origax runs inside; returns what went wrong, or nothing."""
    anything = OptionsRecord(1, 1, 1.0, 1, ())
    deadline = time.monotonic() + TRIAL
    with Guest(boot, asdict(anything), among) as guest:
        while time.monotonic() < deadline:
            wait_for([guest], 0.2)
            guest.listen()
            if any(guest.answers()):
                return ""
            if guest.gone:
                return f"QEMU ended; {guest.last_words()}"
        return f"the guest did not come up within {TRIAL:g} s; {guest.last_words()}"
