# SPDX-License-Identifier: GPL-2.0-only
"""Exceptions that user code raises: no system call, whatever ax holds."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Final

from conformance.cases import Handler, Probe, case
from conformance.doors import ABIS
from conformance.tracing.tracee import Trace

VALUES: Final = (0x1234, -512, -513, -514, -516)
"""What ax holds: a plain number, and every code that would restart a system call."""
X32: Final = ("x32",)
"""What else has 64-bit code: addresses that are not canonical, and addresses of the kernel."""
NON_CANONICAL: Final = 1 << 63
UNMAPPED: Final = 16
KERNEL: Final = 0xFFFF_FFFF_8100_0000
LAST_PAGE: Final = 0xFFFF_F000
"""Behind all that 32-bit code can map; below all that is a 64-bit kernel's."""
AC: Final = 0x40202
OF: Final = 0xA02
BEYOND: Final = 0xFFFB
"""A selector behind the end of the GDT."""
SA_ONSTACK: Final = 0x0800_0000
SA_RESTART: Final = 0x1000_0000
SUPPRESSED: Final = (("to_ud2", signal.SIGILL), ("to_hlt", signal.SIGSEGV),
                     ("to_int3", signal.SIGTRAP))  # fmt: skip


def trap(site: str, signo: int, **registers: int) -> Probe:
    """A program that takes an exception, and whose handler returns to the site's end."""
    return Probe(site=site, regs=registers, handlers=[Handler(signo)], skip=True, quit_after=8)


def with_value(probe: Probe, value: int, flags: int = 0) -> Probe:
    """The same program with that value in ax, and further flags for its handler."""
    (handler,) = probe.handlers
    return replace(
        probe, regs={**probe.regs, "ax": value},
        handlers=[replace(handler, flags=handler.flags | flags)],
    )  # fmt: skip


def deliver(trace: Trace, probe: Probe) -> None:
    """Pass every signal on to the program's handler, with each value of ax and with SA_RESTART
    and without it; likewise with nobody tracing.
    """
    for name, flags in (("plain", 0), ("SA_RESTART", SA_RESTART)):
        for value in VALUES:
            trace.heading(ax=value, handler=name)
            changed = with_value(probe, value, flags)
            with trace.launch(changed) as task:
                task.finish()
            trace.control(changed)


@case("traps.de", door="none", also=ABIS, covers=[81, 82])
def de(trace: Trace) -> None:
    """Divide by zero; pass SIGFPE on to its handler, which skips the instruction."""
    deliver(trace, trap("to_divide", signal.SIGFPE, bx=0))


@case("traps.db_tf", door="none", also=ABIS, covers=[81, 82, 88])
def db_tf(trace: Trace) -> None:
    """Set TF by POPF and clear it again; pass both SIGTRAPs on to their handler."""
    deliver(trace, replace(trap("to_own_tf", signal.SIGTRAP), skip=False))


@case("traps.icebp", door="none", also=ABIS, covers=[81, 87], needs=["int1"])
def icebp(trace: Trace) -> None:
    """Run INT1 (0xF1); pass SIGTRAP on to its handler."""
    deliver(trace, trap("to_icebp", signal.SIGTRAP))


@case("traps.bp", door="none", also=ABIS, covers=[81, 82, 87])
def bp(trace: Trace) -> None:
    """Run INT3 (0xCC); pass SIGTRAP on to its handler."""
    deliver(trace, trap("to_int3", signal.SIGTRAP))


@case("traps.bp_int", door="none", also=ABIS, covers=[81, 82, 87])
def bp_int(trace: Trace) -> None:
    """Run INT 3 of two bytes (0xCD 0x03); pass SIGTRAP on to its handler."""
    deliver(trace, trap("to_int_03", signal.SIGTRAP))


@case("traps.of", door="none", also=ABIS, covers=[82])
def of(trace: Trace) -> None:
    """Run INT 4; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_int_04", signal.SIGSEGV))


@case("traps.ud", door="none", also=ABIS, covers=[81, 82, 108])
def ud(trace: Trace) -> None:
    """Run UD2; pass SIGILL on to its handler."""
    deliver(trace, trap("to_ud2", signal.SIGILL))


@case("traps.gp_hlt", door="none", also=ABIS, covers=[81, 82])
def gp_hlt(trace: Trace) -> None:
    """Run HLT, which is privileged; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_hlt", signal.SIGSEGV))


@case("traps.gp_int", door="none", also=ABIS, covers=[81, 82])
def gp_int(trace: Trace) -> None:
    """Run INT 0x2f, a device's vector; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_int_2f", signal.SIGSEGV))


@case("traps.gp_int_exception", door="none", also=ABIS, covers=[81, 82])
def gp_int_exception(trace: Trace) -> None:
    """Run INT 0x0d, an exception's vector; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_int_0d", signal.SIGSEGV))


@case("traps.gp_selector", door="none", also=ABIS, covers=[81, 82])
def gp_selector(trace: Trace) -> None:
    """Load fs with a selector that no table has; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load_fs", signal.SIGSEGV, bx=BEYOND))


@case("traps.gp_ss", door="none", also=ABIS, covers=[81, 82])
def gp_ss(trace: Trace) -> None:
    """Load ss with a null selector; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load_ss", signal.SIGSEGV, bx=0))


@case("traps.np", door="none", also=ABIS, covers=[81, 82], needs=["ldt"])
def np(trace: Trace) -> None:
    """Load fs with a segment of the LDT that is not present; pass SIGBUS on to its handler."""
    deliver(trace, replace(trap("to_load_fs", signal.SIGBUS), setup="not_present"))


@case("traps.gp_canonical", door="none", also=X32, covers=[81, 82])
def gp_canonical(trace: Trace) -> None:
    """Read from an address that is not canonical; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load", signal.SIGSEGV, bx=NON_CANONICAL))


@case("traps.pf_read", door="none", also=ABIS, covers=[81, 82])
def pf_read(trace: Trace) -> None:
    """Read where nothing is mapped; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load", signal.SIGSEGV, bx=UNMAPPED))


@case("traps.pf_write", door="none", also=ABIS, covers=[81, 82])
def pf_write(trace: Trace) -> None:
    """Write where nothing is mapped; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_store", signal.SIGSEGV, bx=UNMAPPED))


@case("traps.pf_write_code", door="none", also=ABIS, covers=[81, 82])
def pf_write_code(trace: Trace) -> None:
    """Write to the very page that runs; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_store_code", signal.SIGSEGV))


@case("traps.pf_fetch", door="none", also=ABIS, covers=[81, 82])
def pf_fetch(trace: Trace) -> None:
    """Jump to where nothing is mapped; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_jump", signal.SIGSEGV, bx=UNMAPPED))


@case("traps.pf_fetch_data", door="none", also=ABIS, covers=[81, 82])
def pf_fetch_data(trace: Trace) -> None:
    """Jump into data, which is present and not executable; pass SIGSEGV on to its handler."""
    deliver(trace, replace(trap("to_jump_present", signal.SIGSEGV), setup="data"))


@case("traps.pf_kernel", door="none", also=X32, covers=[81, 82])
def pf_kernel(trace: Trace) -> None:
    """Read from an address of the kernel; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load", signal.SIGSEGV, bx=KERNEL))


@case("traps.pf_kernel_fetch", door="none", also=X32, covers=[81, 82])
def pf_kernel_fetch(trace: Trace) -> None:
    """Jump to an address of the kernel; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_jump", signal.SIGSEGV, bx=KERNEL))


@case("traps.ss_load", door="none", also=X32, covers=[81, 82])
def ss_load(trace: Trace) -> None:
    """Read by way of rbp from an address that is not canonical; pass SIGBUS on."""
    deliver(trace, trap("to_frame_load", signal.SIGBUS, bp=NON_CANONICAL))


@case("traps.ss_push", door="none", also=X32, covers=[81, 82])
def ss_push(trace: Trace) -> None:
    """Push with an rsp that is not canonical; pass SIGBUS on, to the alternate stack."""
    probe = trap("to_push", signal.SIGBUS, bx=NON_CANONICAL)
    deliver(trace, replace(probe, handlers=[Handler(signal.SIGBUS, SA_ONSTACK)]))


@case("traps.ss_selector", door="none", also=ABIS, covers=[81, 82], needs=["ldt"])
def ss_selector(trace: Trace) -> None:
    """Load ss with a segment of the LDT that is not present; pass SIGBUS on to its handler."""
    deliver(trace, replace(trap("to_load_ss", signal.SIGBUS), setup="not_present"))


@case("traps.ac", door="none", also=ABIS, covers=[81, 82, 92], needs=["alignment_check"])
def ac(trace: Trace) -> None:
    """Read a misaligned word with AC set; pass SIGBUS on to its handler."""
    deliver(trace, trap("to_misaligned", signal.SIGBUS, flags=AC))


@case("traps.mf", door="none", also=ABIS, covers=[82])
def mf(trace: Trace) -> None:
    """Wait for an x87 division by zero that is not masked; pass SIGFPE on to its handler."""
    deliver(trace, trap("to_fwait", signal.SIGFPE))


@case("traps.xf", door="none", also=ABIS, covers=[82], needs=["sse_exceptions"])
def xf(trace: Trace) -> None:
    """Divide by zero in SSE, not masked; pass SIGFPE on to its handler."""
    deliver(trace, trap("to_divss", signal.SIGFPE))


@case("traps.suppressed", door="none", also=ABIS, covers=[81, 82, 83, 108])
def suppressed(trace: Trace) -> None:
    """Suppress the signal of a fault, which is then raised once more, and pass that one on;
    suppress the signal of a trap, which was all. No handler is run in between, so that the kernel
    looks for a system call to restart.
    """
    for site, signo in SUPPRESSED:
        for value in VALUES:
            trace.heading(site=site, ax=value)
            probe = with_value(trap(site, signo), value)
            with trace.launch(probe) as task:
                task.cont()
                task.finish()
            trace.control(probe)


# --- what 32-bit code alone can raise ---


@case("traps.of_into", door="none", abi="ia32", covers=[81, 82])
def of_into(trace: Trace) -> None:
    """Run INTO with OF set; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_into", signal.SIGSEGV, flags=OF))


@case("traps.br", door="none", abi="ia32", covers=[81, 82])
def br(trace: Trace) -> None:
    """Run BOUND with an index that is beyond its bounds; pass SIGSEGV on to its handler."""
    deliver(trace, replace(trap("to_bound", signal.SIGSEGV, cx=1), setup="data"))


@case("traps.de_aam", door="none", abi="ia32", covers=[81, 82])
def de_aam(trace: Trace) -> None:
    """Run AAM with a base of 0; pass SIGFPE on to its handler."""
    deliver(trace, trap("to_aam", signal.SIGFPE))


@case("traps.pf_last_page", door="none", abi="ia32", covers=[81, 82])
def pf_last_page(trace: Trace) -> None:
    """Read from the last page below 4 GiB; pass SIGSEGV on to its handler."""
    deliver(trace, trap("to_load", signal.SIGSEGV, bx=LAST_PAGE))
