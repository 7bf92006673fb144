# SPDX-License-Identifier: GPL-2.0-only
"""Facts: what is known of the machine without looking at the registers under test.

The vocabulary is closed: `when` of an expectation and `needs` of a case may name these facts
and the kernel changes of expected/facts.toml, and nothing else. Every fact has a value on every
machine; what it is where its source is missing (no /sys in a chroot, no Yama, /proc/interrupts
masked in a container) stands in its `doc`. Only a missing /proc is an error.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from conformance.errors import HarnessError, UsageError

Value = bool | int | str
Kind = type[bool] | type[int] | type[str]
Cpuid = Callable[[int, int], tuple[int, int, int, int]]
"""Leaf and subleaf to eax, ebx, ecx, edx."""

PROGRAMS: Final = Path(__file__).resolve().parent / "_programs"
RAN: Final = 42
"""Exit status of a freestanding program that says yes. Of cprobes/freestanding/true.c: the kernel
loaded it, and its door works; of icebp.c: it was interrupted by the same INT1 twice; of data.c: an
instruction in its data was executed; of namespace.c: its child was process 1; of nobody.c:
it became another user."""
EXEC_SECONDS: Final = 5.0
"""A program that only exits and has not after this long never will."""
ROUNDS: Final = 4
READS: Final = 4
"""Direct reads of one round: each raises one interrupt, or two complete in one."""
CLOCK: Final = re.compile(r"(timer|hpet|rtc)\d*")
"""Who handles a clock's interrupt in a numbered row (arch/x86/kernel/time.c and hpet.c,
drivers/rtc/rtc-cmos.c, arch/x86/xen/time.c)."""
OWN_MACHINE: Final = "origax.own_machine"
"""Option of the kernel's command line with which the guests of `origax kernels run` are booted. The
kernel takes it for a module's, and ignores it."""
BLOCK: Final = 4096
"""Bytes of one direct read: a multiple of every disk's logical block."""
TICK_SECONDS: Final = 0.1
"""Ten ticks of the slowest kernel (HZ=100)."""
TRIES: Final = 12
"""Times that one file's reads are watched while other traffic makes them unclear."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One word of the vocabulary.

    :ivar kind: bool, int or str
    :ivar doc: how it is probed, and its value where that cannot be
    :ivar lack: what to do to have it; empty where nothing can be done
    :ivar group: under which heading `origax doctor` shows it
    """

    name: str
    kind: Kind
    doc: str
    lack: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """All facts of one boot of one machine.

    :ivar name: ``linux-RELEASE.VENDOR.VIRT``
    :ivar build: details for people to read, which no `when` can name
    """

    name: str
    facts: Mapping[str, Value]
    build: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the kernel that programs or tracers can see.

    :ivar since: the first release that has it
    :ivar backports: the first release of each older series that has it too
    """

    name: str
    commit: str
    subject: str
    since: Version
    backports: tuple[Version, ...]
    observable: str

    def fact(self) -> Fact:
        """Give the change as a boolean fact; what is seen of it is a second line of `doc`."""
        releases = ", ".join(f"v{release}" for release in (self.since, *self.backports))
        probe = f'By version: commit {self.commit} ("{self.subject}") (in {releases}).'
        doc = f"{probe}\n{self.observable}"
        return Fact(self.name, bool, doc, f"run Linux {self.since} or later", "kernel changes")


class Version(NamedTuple):
    """A kernel version; release candidates sort before their release."""

    major: int
    minor: int
    patch: int
    candidate: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Take the version at the beginning of a release: ``6.18.44-fc-v669``, ``7.2-rc3``.

        :raises ValueError: there is none
        """
        match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc(\d+))?", text)
        if not match:
            raise ValueError(f"{text!r} does not begin with a kernel version")
        major, minor, patch, candidate = match.groups()
        return cls(int(major), int(minor), int(patch or 0), int(candidate or _FINAL))

    @property
    def series(self) -> tuple[int, int]:
        """What stable releases share: (6, 1) of 6.1.192."""
        return self[:2]

    def includes(self, since: Version, backports: Sequence[Version]) -> bool:
        """Say whether this kernel has what came with `since` and was backported."""
        return self >= since or any(
            self.series == backport.series and self >= backport for backport in backports
        )

    def __str__(self) -> str:
        if self.candidate != _FINAL:
            return f"{self.major}.{self.minor}-rc{self.candidate}"
        return f"{self.major}.{self.minor}" + (f".{self.patch}" if self.patch else "")


_FINAL: Final = 1 << 16
"""The candidate number of a release: above that of every candidate."""


# The vocabulary


def _table(group: str, *facts: tuple[str, Kind, str, str]) -> list[Fact]:
    return [Fact(*fact, group) for fact in facts]


VOCABULARY: Final[Mapping[str, Fact]] = {
    fact.name: fact
    for fact in [
        *_table(
            "kernel",
            ("release", str, "uname -r.", ""),
            ("x86_64", bool, "The kernel is 64-bit: this Python is, or has memory above 3 GiB.",
             "boot a 64-bit kernel"),
            ("i386", bool, "The kernel is 32-bit: x86_64 is false.", "boot a native 32-bit kernel"),
            ("distribution", str, "ID and VERSION_ID (or VERSION_CODENAME) of /etc/os-release; "
             "'unknown' without it.", ""),
            ("cmdline", str, "/proc/cmdline; empty where it cannot be read.", ""),
        ),
        *_table(
            "CPU",
            ("intel", bool, "vendor_id of /proc/cpuinfo is GenuineIntel.", "run on an Intel CPU"),
            ("amd", bool, "vendor_id of /proc/cpuinfo is AuthenticAMD; QEMU's TCG says so too, "
             "see virt.", "run on an AMD CPU"),
            ("other_vendor", bool, "vendor_id of /proc/cpuinfo is neither, or is missing.", ""),
            ("family", int, "cpu family of /proc/cpuinfo; 0 without it.", ""),
            ("model", int, "model of /proc/cpuinfo; 0 without it.", ""),
            ("stepping", int, "stepping of /proc/cpuinfo; 0 without it.", ""),
            ("microcode", int, "microcode of /proc/cpuinfo; 0 without it.", ""),
            ("virt", str, "CPUID leaf 1 (hypervisor bit), then the signature at leaf 0x40000000 or "
             "0x40000100: none, kvm, tcg or other.", ""),
            ("fred", bool, "The flag fred of /proc/cpuinfo, which the kernel shows only when it "
             "uses FRED.", "run on a CPU with FRED, Linux 6.9 or later, booted with fred=on"),
            ("smap", bool, "The flag smap of /proc/cpuinfo.", "run on a CPU with SMAP"),
            ("lass", bool, "The flag lass of /proc/cpuinfo, which the kernel shows only when it "
             "uses LASS.", "run on a CPU with LASS, Linux 6.19 or later"),
            ("fsgsbase", bool, "The flag fsgsbase of /proc/cpuinfo, which the kernel shows only "
             "when it uses it.", "run on a CPU with FSGSBASE, and boot without nofsgsbase"),
            ("xsave", bool, "The flag xsave of /proc/cpuinfo.", "run on a CPU with XSAVE"),
            ("xsaves", bool, "The flag xsaves of /proc/cpuinfo: the kernel keeps a task's state "
             "compacted.", "run on a CPU with XSAVES"),
            ("la57", bool, "The flag la57 of /proc/cpuinfo, which the kernel shows only when it "
             "uses five levels of page tables.", "run on a CPU with LA57, booted without no5lvl"),
            ("kpti", bool, "'PTI' in /sys/devices/system/cpu/vulnerabilities/meltdown; without "
             "/sys, the flag pti of /proc/cpuinfo.", "boot with pti=on"),
            ("watched_steps", bool, "A step may end on a data breakpoint: false under TCG (virt), "
             "where the guest's kernel then never leaves its own #DB.",
             "run on a processor, or a guest of KVM"),
            ("mov_ss_shadow", bool, "MOV SS holds #DB off until the next instruction has run: "
             "false under TCG (virt).", "run on a processor, or a guest of KVM"),
            ("int1", bool, "INT1 (0xF1) raises #DB: false under TCG (virt), where it is #UD.",
             "run on a processor, or a guest of KVM"),
            ("alignment_check", bool, "A misaligned access under AC raises #AC: false under TCG "
             "(virt), which does not check.", "run on a processor, or a guest of KVM"),
            ("sse_exceptions", bool, "An SSE exception that is not masked raises #XF: false under "
             "TCG (virt), which sets its flag alone.", "run on a processor, or a guest of KVM"),
            ("icebp_repeats", bool, "conformance/_programs/icebp_x86_64, when executed, takes INT1 "
             "again after its handler returned: a fault, where processors trap; false where it "
             "does not run.", "run in a guest whose hypervisor makes a fault of INT1"),
            ("executable_data", bool, "conformance/_programs/data_ia32 runs when executed: an "
             "instruction in a 32-bit program's data.", "boot a 32-bit kernel that loses NX"),
        ),
        *_table(
            "ABI doors",
            ("ia32", bool, "conformance/_programs/true_ia32 runs when executed.",
             "boot a kernel with CONFIG_IA32_EMULATION, and without ia32_emulation=0"),
            ("x32", bool, "conformance/_programs/true_x32 runs when executed.",
             "boot with syscall.x32=y (Debian), or a kernel with CONFIG_X86_X32_ABI"),
            ("sysenter", bool, "The vDSO of 32-bit programs enters by SYSENTER: "
             "conformance/_programs/vdso_ia32 looks at its code.",
             "run on an Intel CPU, with 32-bit programs allowed (QEMU: -cpu max,smap=off,"
             "vendor=GenuineIntel), or boot a native 32-bit kernel"),
            ("syscall32", bool, "The vDSO of 32-bit programs enters by SYSCALL: likewise.",
             "run a 64-bit kernel on an AMD CPU, with 32-bit programs allowed (QEMU: -cpu "
             "max,smap=off,vendor=AuthenticAMD)"),
            ("vsyscall", str, "The [vsyscall] line of /proc/self/maps: emulate (r-xp), xonly "
             "(--xp), none (no line, as in a 32-bit Python).", ""),
        ),
        *_table(
            "permissions",
            ("tracer64", bool, "This Python, which traces, is a 64-bit program.",
             "run origax with a 64-bit Python"),
            ("tracing_allowed", bool, "PTRACE_SEIZE of a child, which is then killed.",
             "set kernel.yama.ptrace_scope to 0 or 1, allow ptrace in the container's seccomp "
             "profile, and do not run origax itself under strace -f"),
            ("ptrace_scope", int, "/proc/sys/kernel/yama/ptrace_scope; 0 without Yama.", ""),
            ("seccomp", int, "Seccomp of /proc/self/status: 0 none, 1 strict, 2 filter; 0 without "
             "the line.", ""),
            ("root", bool, "The effective user is 0 (in this user namespace).", "run as root"),
            ("ptrace_any", bool, "CAP_SYS_PTRACE among CapEff of /proc/self/status.",
             "run as root, or with CAP_SYS_PTRACE"),
            ("suspend_seccomp", bool, "PTRACE_SEIZE of a child, which is then killed, with "
             "PTRACE_O_SUSPEND_SECCOMP.",
             "run as root (CAP_SYS_ADMIN), under no seccomp filter, on a kernel with "
             "CONFIG_CHECKPOINT_RESTORE"),
            ("realtime", bool, "sched_setscheduler(SCHED_FIFO) of this process succeeds; undone "
             "at once.", "run as root or raise RLIMIT_RTPRIO (ulimit -r 1)"),
            ("core_dumps", bool, "RLIMIT_CORE's hard limit is not 0, and "
             "/proc/sys/kernel/core_pattern names a file that this user may create.",
             "raise the hard limit (ulimit -c), and set kernel.core_pattern to core"),
            ("rseq", bool, "rseq(2) with arguments that register nothing fails with EINVAL.",
             "use a kernel with CONFIG_RSEQ, and allow rseq in the container's seccomp profile"),
            ("membarrier_rseq", bool, "membarrier(MEMBARRIER_CMD_QUERY) lists "
             "PRIVATE_EXPEDITED_RSEQ and its registration.",
             "use Linux 5.10 or later with CONFIG_MEMBARRIER and CONFIG_RSEQ"),
            ("pidfd_getfd", bool, "pidfd_getfd(2) gives a descriptor of this process's own.",
             "use Linux 5.6 or later, and allow pidfd_getfd in the container's seccomp profile"),
            ("notify_killable", bool, "seccomp(2) of no filter, with a listener and "
             "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, fails with EFAULT: it knows the flags.",
             "use Linux 5.19 or later with CONFIG_SECCOMP_FILTER"),
            ("io_uring", bool, "io_uring_setup(2) without parameters fails with EFAULT, not with "
             "ENOSYS or EPERM.",
             "use a kernel with CONFIG_IO_URING, set kernel.io_uring_disabled to 0, and allow "
             "io_uring in the container's seccomp profile"),
            ("pid_namespace", bool, "conformance/_programs/namespace_x86_64 (namespace_ia32 for a "
             "32-bit Python), when executed, has a child that is process 1 of a PID namespace.",
             "run as root, or allow user namespaces (user.max_user_namespaces), on a kernel with "
             "CONFIG_PID_NS and CONFIG_USER_NS"),
            ("nobody", bool, "conformance/_programs/nobody_x86_64 (nobody_ia32 for a 32-bit "
             "Python), when executed, may become user 65534; and /proc/sys/fs/suid_dumpable is not "
             "1.",
             "run as root, in a container that has the user 65534, with fs.suid_dumpable at 0 or "
             "2"),
            ("ldt", bool, "modify_ldt(2) reads this process's table.",
             "use a kernel with CONFIG_MODIFY_LDT_SYSCALL"),
            ("vm86", bool, "The kernel is 32-bit, and vm86old(2) of no pointer fails with EFAULT, "
             "not with ENOSYS, nor with EPERM as for who may not map address 0.",
             "boot a 32-bit kernel with CONFIG_X86_LEGACY_VM86, and run as root or set "
             "vm.mmap_min_addr to 0"),
            ("perf_swclock", bool, "perf_event_open of the software CPU clock, exclude_kernel, and "
             "O_ASYNC on it, succeed.",
             "run as root or set kernel.perf_event_paranoid to 2 or less, and allow "
             "perf_event_open in the container's seccomp profile"),
            ("perf_switches", bool, "perf_event_open of this process's context switches, which "
             "the kernel makes, succeeds; false under TCG (virt), where the kernel may die of "
             "patching that in.",
             "run on a processor, or a guest of KVM, as root or with kernel.perf_event_paranoid at "
             "1 or less, and allow perf_event_open in the container's seccomp profile"),
            ("syscall_events", bool, "The id of raw_syscalls:sys_enter can be read from "
             "/sys/kernel/tracing or /sys/kernel/debug/tracing, and perf_swclock; false under TCG "
             "(virt), where the kernel may die of patching a tracepoint in.",
             "run as root on a processor, or a guest of KVM, with tracefs mounted at "
             "/sys/kernel/tracing and CONFIG_FTRACE_SYSCALLS"),
            ("pmu", bool, "perf_event_open of hardware cycles, exclude_kernel, succeeds.",
             "use a machine whose cycle counter is visible (KVM: -cpu host,pmu=on), with "
             "kernel.perf_event_paranoid at 2 or less"),
        ),
        *_table(
            "interrupts",
            ("cpus", int, "Online CPUs of this process's affinity mask.", ""),
            ("two_cpus", bool, "cpus is at least 2.",
             "give origax two online CPUs (taskset, cpuset, --cpus 2)"),
            ("interrupt_counts", bool, "/proc/interrupts has the row LOC, as on every x86 kernel "
             "that shows it.", "unmask /proc/interrupts, if this is a container"),
            ("local_timer", bool, "The row LOC of /proc/interrupts moves within 0.1 s of "
             "computing on the first CPU.",
             "boot without noapictimer, and unmask /proc/interrupts"),
            ("device", bool, "Some numbered row of /proc/interrupts moves with each direct read of "
             "a file or disk, on the CPU that reads; false where /proc/interrupts is masked.",
             "keep origax, or any file of 4 KiB in the home directory, on a real disk, and let "
             "origax use the CPU that its interrupt goes to; in a guest add a disk (QEMU: -drive "
             "file=FILE,if=none,id=d0,format=raw -device virtio-blk-pci,drive=d0) and run as "
             "root"),
            ("device_name", str, "What /proc/interrupts calls that row; empty without one.", ""),
            ("device_irq", int, "That row's number; -1 without one.", ""),
            ("device_cpu", int, "The CPU on which it counts; -1 without one.", ""),
            ("own_machine", bool, f"{OWN_MACHINE} on /proc/cmdline: this boot is origax's own, to "
             "change what it likes.", "boot this kernel in a guest: origax kernels run"),
            ("device_moves", bool, "The device is a disk read as such, not a file that others' "
             "reads come beside, and writing back what its row's smp_affinity_list says succeeds; "
             "false without own_machine, where it is not tried.",
             "run as root in a guest whose disk has one interrupt for all queues (QEMU: -device "
             "virtio-blk-pci,drive=d0,num-queues=2,vectors=2)"),
        ),
    ]
}  # fmt: skip
"""The closed vocabulary, without the kernel changes."""

PASSING: Final[Mapping[str, str]] = {
    "cmdline": "names disks and files of one machine; what it changes is a fact of its own",
    "microcode": "changes with a machine's firmware under the same kernel",
    "cpus": "is how many one run was given; whether that was enough is two_cpus",
    "device_name": "is one machine's",
    "device_irq": "is given anew at each boot",
    "device_cpu": "changes from boot to boot",
    "own_machine": "says what may be done to one boot, not what it does",
    "device_moves": "likewise: it is not tried on another's machine",
}
"""Facts of one run, boot or machine, and why each says nothing of the environment.

No golden may ask for one, and evidence leaves them out, so that it has what every golden asks for.
"""


def vocabulary(expected: Path) -> Mapping[str, Fact]:
    """Give every fact that may be named: the vocabulary, and the changes of expected/facts.toml.

    :param expected: the directory of the golden files
    :raises UsageError: facts.toml is missing or wrong
    """
    unbuilt = {
        width: replace(VOCABULARY[width], lack=_unbuilt(width))
        for width in ("ia32", "x32")
        if not _program(width).exists()
    }
    changed = {change.name: change.fact() for change in changes(expected)}
    return {**VOCABULARY, **unbuilt, **changed}


def _program(width: str, name: str = "true") -> Path:
    return PROGRAMS / f"{name}_{width}"


def _unbuilt(width: str) -> str:
    flag = {"ia32": "-m32", "x32": "-mx32"}[width]
    return f"build origax again with a C compiler that takes {flag}: {_program(width)} is missing"


# The kernel changes

_KEYS: Final = {"commit": str, "subject": str, "since": str, "observable": str, "backports": list}


def changes(expected: Path) -> tuple[Change, ...]:
    """Read expected/facts.toml.

    :raises UsageError: it is missing or wrong
    """
    import tomllib

    path = expected / "facts.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the kernel changes cannot be read: {error.strerror}", str(path),
            "name a directory of golden files, or restore the file from git",
        ) from None  # fmt: skip
    except ValueError as error:
        raise UsageError(
            f"the kernel changes are not TOML: {error}", str(path), "correct the file"
        ) from None
    return tuple(_change(path, name, table) for name, table in tables.items())


def _change(path: Path, name: str, table: object) -> Change:
    on = f"{path}, [{name}]"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in VOCABULARY:
        what = "is taken by a fact" if name in VOCABULARY else "is not lower_case_letters"
        raise UsageError(f"the name of a kernel change {what}", on, "give it another name")
    if not isinstance(table, dict):
        raise UsageError("a kernel change is not a table", on, f"write [{name}] and its keys below")
    _check_keys(table, on)
    try:
        since = Version.parse(table["since"])
        backports = tuple(Version.parse(text) for text in table.get("backports", []))
    except ValueError as error:
        raise UsageError(f"no version: {error}", on, "write it as 5.14 or 5.10.26") from None
    except TypeError:
        raise UsageError("backports holds more than text", on, 'write ["5.10.26"]') from None
    if len({version.series for version in (since, *backports)}) <= len(backports) or any(
        backport > since for backport in backports
    ):
        raise UsageError(
            "backports do not fit `since`", on,
            "list at most one release of each series, all older than `since`",
        )  # fmt: skip
    return Change(
        name, table["commit"], table["subject"], since, backports, table["observable"].strip()
    )


def _check_keys(table: Mapping[str, Any], on: str) -> None:
    if unknown := sorted(set(table) - set(_KEYS)):
        allowed = ", ".join(sorted(_KEYS))
        raise UsageError(f"unknown key {unknown[0]!r}", on, f"use only {allowed}")
    for key, kind in _KEYS.items():
        if not isinstance(table.get(key, [] if key == "backports" else None), kind):
            text = "a list of text" if kind is list else "text"
            raise UsageError(f"{key!r} is missing or not {text}", on, f"give {key} as {text}")
    if not re.fullmatch(r"[0-9a-f]{10,40}", table["commit"]):
        raise UsageError(
            f"{table['commit']!r} is no commit", on, "give 10 to 40 hexadecimal digits of its hash"
        )


# What is only read


@dataclass(frozen=True, slots=True)
class Sources:
    """What files and uname say, unread ones empty: facts from here on are functions of it."""

    release: str
    version: str
    cpuinfo: str = ""
    status: str = ""
    maps: str = ""
    cmdline: str = ""
    meltdown: str = ""
    ptrace_scope: str = ""
    suid_dumpable: str = ""
    core_pattern: str = ""
    os_release: str = ""
    signature: str = ""


def sources(root: Path = Path("/")) -> Sources:
    """Read the files that facts come from.

    :param root: where proc, sys and etc are
    :raises HarnessError: /proc is not mounted
    """

    def text(*names: str) -> str:
        for name in names:
            with contextlib.suppress(OSError):
                return (root / name).read_text(encoding="utf-8", errors="replace")
        return ""

    status = text("proc/self/status")
    if not status:
        raise HarnessError(
            "/proc is not mounted", str(root / "proc/self/status"), "mount -t proc proc /proc"
        )
    uname = os.uname()
    return Sources(
        release=uname.release,
        version=uname.version,
        cpuinfo=text("proc/cpuinfo").partition("\n\n")[0],
        status=status,
        maps=text("proc/self/maps"),
        cmdline=text("proc/cmdline").strip(),
        meltdown=text("sys/devices/system/cpu/vulnerabilities/meltdown"),
        ptrace_scope=text("proc/sys/kernel/yama/ptrace_scope"),
        suid_dumpable=text("proc/sys/fs/suid_dumpable"),
        core_pattern=text("proc/sys/kernel/core_pattern").rstrip("\n"),
        os_release=text("etc/os-release", "usr/lib/os-release"),
        signature=text("proc/version_signature"),
    )


def running(source: Sources) -> tuple[Version, str]:
    """Give the version of the running kernel, and what its builder adds to it.

    Debian's release is that of its ABI (``6.1.0-51-amd64``) and Ubuntu's that of the first
    kernel of the series; the version is in uname -v, and in /proc/version_signature.

    :raises HarnessError: the release names no version
    """
    if debian := re.search(r"\bDebian (\d+\.\d\S*)", source.version):
        return Version.parse(debian[1]), "debian"
    if ubuntu := re.search(r"^Ubuntu \S+ (\d+\.\d\S*)", source.signature):
        return Version.parse(ubuntu[1]), "ubuntu"
    try:
        version = Version.parse(source.release)
    except ValueError as error:
        raise HarnessError(
            f"the running kernel's version is unknown: {error}", "uname -r",
            "report the release, so that origax learns to read it",
        ) from None  # fmt: skip
    flavour = re.sub(r"^[\d.]+([-~]rc\d+)?", "", source.release)
    return version, re.sub(r"[^A-Za-z0-9_]+", "-", flavour).strip("-")


def fields(text: str) -> dict[str, str]:
    """Take ``name : value`` lines apart, as of /proc/cpuinfo and /proc/self/status."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _number(text: str, base: int = 10) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0


def kernel_facts(source: Sources, wide: bool = sys.maxsize > 1 << 32) -> dict[str, Value]:
    """Give the facts of group "kernel".

    :param wide: this Python is a 64-bit program
    """
    # A 32-bit program has its stack below 4 GiB on a 64-bit kernel, and below the kernel's own
    # memory, so below 3 GiB, on a 32-bit one. uname -m would follow personality(2).
    ends = re.findall(r"^[0-9a-f]+-([0-9a-f]+) ", source.maps, re.MULTILINE)
    x86_64 = wide or any(int(end, 16) > 3 << 30 for end in ends)
    named = re.findall(r"^(\w+)=[\"']?(.*?)[\"']?$", source.os_release, re.MULTILINE)
    system = dict(named)
    parts = (system.get("ID"), system.get("VERSION_ID") or system.get("VERSION_CODENAME"))
    return {
        "release": source.release,
        "x86_64": x86_64,
        "i386": not x86_64,
        "distribution": "-".join(filter(None, parts)) or "unknown",
        "cmdline": source.cmdline,
    }


def cpu_facts(source: Sources, cpuid: Cpuid) -> dict[str, Value]:
    """Give the facts of group "CPU"."""
    cpu = fields(source.cpuinfo)
    vendor = cpu.get("vendor_id", "")
    flags = cpu.get("flags", "").split()
    virt = hypervisor(cpuid)[0]
    return {
        "intel": vendor == "GenuineIntel",
        "amd": vendor == "AuthenticAMD",
        "other_vendor": vendor not in ("GenuineIntel", "AuthenticAMD"),
        "family": _number(cpu.get("cpu family", "")),
        "model": _number(cpu.get("model", "")),
        "stepping": _number(cpu.get("stepping", "")),
        "microcode": _number(cpu.get("microcode", ""), 16),
        "virt": virt,
        "watched_steps": virt != "tcg",
        "mov_ss_shadow": virt != "tcg",
        "int1": virt != "tcg",
        "alignment_check": virt != "tcg",
        "sse_exceptions": virt != "tcg",
        "fred": "fred" in flags,
        "smap": "smap" in flags,
        "lass": "lass" in flags,
        "fsgsbase": "fsgsbase" in flags,
        "xsave": "xsave" in flags,
        "xsaves": "xsaves" in flags,
        "la57": "la57" in flags,
        "kpti": "PTI" in source.meltdown if source.meltdown else "pti" in flags,
    }


def hypervisor(cpuid: Cpuid) -> tuple[str, str]:
    """Name the hypervisor, and give the signature that it shows.

    KVM stands at the second leaf where QEMU also speaks Hyper-V's language to the guest
    (arch/x86/kernel/kvm.c kvm_cpuid_base).
    """
    if not cpuid(1, 0)[2] & 1 << 31:
        return "none", ""
    signatures = []
    for leaf in (0x4000_0000, 0x4000_0100):
        words = cpuid(leaf, 0)[1:]
        text = b"".join(word.to_bytes(4, "little") for word in words)
        signatures.append(text.rstrip(b"\0").decode("ascii", "backslashreplace"))
    for signature, name in (("KVMKVMKVM", "kvm"), ("TCGTCGTCGTCG", "tcg")):
        if signature in signatures:
            return name, signature
    return "other", signatures[0]


def vsyscall(maps: str) -> str:
    """Name the mode of the vsyscall page (arch/x86/entry/vsyscall/vsyscall_64.c)."""
    page = re.search(r"^\S+ (\S+) .*\[vsyscall\]$", maps, re.MULTILINE)
    if not page:
        return "none"
    return "emulate" if page[1].startswith("r") else "xonly"


def core_files(hard_limit: int, pattern: str) -> bool:
    """Say whether this user's dying processes leave a core file (fs/coredump.c do_coredump).

    :param hard_limit: of RLIMIT_CORE, -1 for none
    :param pattern: of /proc/sys/kernel/core_pattern
    """
    if not hard_limit or not pattern or pattern[0] in "|@":
        return False
    directory, slash, _ = pattern.partition("%")[0].rpartition("/")
    return not slash or os.access(directory or "/", os.W_OK)


# What is tried


def _cpuid(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    from importlib import import_module

    try:
        native = import_module("conformance._native")
    except ImportError as error:
        raise HarnessError(
            f"the C part of origax is not built: {error}", "conformance/_native",
            "install origax with pip, or run python setup.py build_ext --inplace in a checkout",
        ) from None  # fmt: skip
    out = native.ffi.new("uint32_t[4]")
    native.lib.origax_cpuid(leaf, subleaf, out)
    return out[0], out[1], out[2], out[3]


def executes(program: Path) -> tuple[bool, str]:
    """Run one of the freestanding programs, and say whether it says yes and what came of it."""
    try:
        code = _run(program)
    except OSError as error:
        return False, error.strerror or str(error)
    return code == RAN, f"exit status {code}" if code is not None else "does not end"


def _run(program: Path) -> int | None:
    """Run a freestanding program; its exit code, or None if it does not end."""
    return _reap(os.posix_spawn(program, [program.name], {}))


def vdso_door(program: Path = PROGRAMS / "vdso_ia32") -> int:
    """Ask a 32-bit program by what its vDSO enters: 1 SYSENTER, 2 SYSCALL, else neither."""
    try:
        return _run(program) or 0
    except OSError:
        return 0


def _reap(pid: int) -> int | None:
    """Wait for a child, killing it in the end; gives its exit code, or None."""
    deadline = time.monotonic() + EXEC_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0002)
    _kill(pid)
    return None


def _kill(pid: int) -> None:
    import signal

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


_NUMBERS: Final = (
    {"modify_ldt": 154, "perf_event_open": 298, "seccomp": 317, "membarrier": 324, "rseq": 334,
     "io_uring_setup": 425, "pidfd_getfd": 438}
    if sys.maxsize > 1 << 32
    else {"vm86old": 113, "modify_ldt": 123, "perf_event_open": 336, "seccomp": 354,
          "membarrier": 375, "rseq": 386, "io_uring_setup": 425, "pidfd_getfd": 438}
)  # fmt: skip
"""Of arch/x86/entry/syscalls/: Python and glibc wrap none of them."""


def _syscall(name: str, *arguments: Any) -> int:
    """Make a system call: its result, or minus the error's number."""
    import ctypes

    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    words = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    result = libc.syscall(ctypes.c_long(_NUMBERS[name]), *words)
    return result if result >= 0 else -ctypes.get_errno()


def tracing_allowed(options: int = 0) -> bool:
    """Try PTRACE_SEIZE, with PTRACE_O_EXITKILL, on a child that waits for us, and is then killed.

    Its standard input is a pipe of ours: it ends when we do, seized or not.

    :param options: further ones
    """
    import ctypes

    seize, exitkill = 0x4206, 1 << 20
    program = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
    read_end, write_end = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, read_end, 0)]
        pid = os.posix_spawn("/proc/self/exe", program, os.environ, file_actions=actions)
    except OSError:
        os.close(write_end)
        return False
    finally:
        os.close(read_end)
    ptrace = _libc().ptrace
    ptrace.restype = ctypes.c_long
    try:
        return bool(ptrace(seize, pid, None, ctypes.c_void_p(exitkill | options)) == 0)
    finally:
        os.close(write_end)
        _kill(pid)


def realtime_allowed() -> bool:
    """Try SCHED_FIFO on this process, and undo it."""
    try:
        policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, policy, parameter)
    except OSError:
        return False
    return True


def counts(kind: int, config: int, asynchronous: bool = False, kernel: bool = False) -> bool:
    """Try to open a performance counter on this process.

    :param kind: PERF_TYPE_HARDWARE (0) or PERF_TYPE_SOFTWARE (1)
    :param config: PERF_COUNT_HW_CPU_CYCLES (0), or PERF_COUNT_SW_CPU_CLOCK (0) or
        CONTEXT_SWITCHES (3)
    :param asynchronous: it must take O_ASYNC, too
    :param kernel: it must count in the kernel, too
    """
    import fcntl
    import struct

    disabled, exclude_kernel, exclude_hv, cloexec = 1 << 0, 1 << 5, 1 << 6, 8
    excluded = disabled | (0 if kernel else exclude_kernel | exclude_hv)
    attr = struct.pack(
        "=IIQQQQQIIQ",
        *(kind, 64, config, 1_000_000, 0, 0, excluded, 0, 0, 0),
    )
    fd = _syscall("perf_event_open", attr, 0, -1, -1, cloexec)
    if fd < 0:
        return False
    try:
        if asynchronous:
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def membarrier_rseq() -> bool:
    """Ask membarrier(2) for PRIVATE_EXPEDITED_RSEQ and REGISTER_PRIVATE_EXPEDITED_RSEQ."""
    known, wanted = _syscall("membarrier", 0, 0, 0), 1 << 7 | 1 << 8
    return known >= 0 and known & wanted == wanted


def rseq() -> bool:
    """Ask rseq(2) for a registration that no kernel grants: no area, no length."""
    import errno

    return _syscall("rseq", None, 0, 0, 0) == -errno.EINVAL


def pidfd_getfd() -> bool:
    """Try pidfd_getfd(2) on this process, for one end of a pipe."""
    read_end, write_end = os.pipe()
    try:
        pidfd = os.pidfd_open(os.getpid())
        try:
            copy = _syscall("pidfd_getfd", pidfd, read_end, 0)
        finally:
            os.close(pidfd)
    except OSError:
        return False
    finally:
        os.close(read_end)
        os.close(write_end)
    if copy >= 0:
        os.close(copy)
    return copy >= 0


def notify_killable() -> bool:
    """Ask seccomp(2) for a filter that is nowhere, with those flags."""
    import errno

    set_filter, new_listener, wait_killable = 1, 1 << 3, 1 << 5
    return _syscall("seccomp", set_filter, new_listener | wait_killable, None) == -errno.EFAULT


def io_uring() -> bool:
    """Ask io_uring_setup(2) for a ring whose parameters are nowhere."""
    import errno

    return _syscall("io_uring_setup", 1, None) == -errno.EFAULT


def ldt() -> bool:
    """Ask modify_ldt(2) for none of this process's table."""
    return _syscall("modify_ldt", 0, None, 0) == 0


def vm86(i386: bool) -> bool:
    """Ask vm86old(2) to enter that mode with nothing; by its number, a 64-bit call is another."""
    import errno

    return i386 and _syscall("vm86old", None) == -errno.EFAULT


def tracepoint(name: str) -> Path:
    """Where tracefs has the id of a tracepoint of raw_syscalls, if this user may read it."""
    roots = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
    paths = [root / "events/raw_syscalls" / name / "id" for root in roots]
    return next((path for path in paths if os.access(path, os.R_OK)), paths[0])


def permission_facts(source: Sources, i386: bool, virt: str) -> dict[str, Value]:
    """Give the facts of group "permissions", which this process tries out on itself.

    :param i386: the fact of that name
    :param virt: likewise
    """
    import resource

    swclock = counts(1, 0, asynchronous=True)
    own = "x86_64" if sys.maxsize > 1 << 32 else "ia32"
    status = fields(source.status)
    cap_sys_ptrace = 1 << 19
    return {
        "tracer64": sys.maxsize > 1 << 32,
        "tracing_allowed": tracing_allowed(),
        "suspend_seccomp": tracing_allowed(1 << 21),
        "ptrace_scope": _number(source.ptrace_scope),
        "seccomp": _number(status.get("Seccomp", "")),
        "root": os.geteuid() == 0,
        "ptrace_any": bool(_number(status.get("CapEff", ""), 16) & cap_sys_ptrace),
        "realtime": realtime_allowed(),
        "core_dumps": core_files(resource.getrlimit(resource.RLIMIT_CORE)[1], source.core_pattern),
        "rseq": rseq(),
        "membarrier_rseq": membarrier_rseq(),
        "pidfd_getfd": pidfd_getfd(),
        "notify_killable": notify_killable(),
        "io_uring": io_uring(),
        "pid_namespace": executes(_program(own, "namespace"))[0],
        "nobody": executes(_program(own, "nobody"))[0] and _number(source.suid_dumpable) != 1,
        "ldt": ldt(),
        "vm86": vm86(i386),
        "perf_swclock": swclock,
        "perf_switches": virt != "tcg" and counts(1, 3, kernel=True),
        "syscall_events": swclock and virt != "tcg" and os.access(tracepoint("sys_enter"), os.R_OK),
        "pmu": counts(0, 0),
    }


# The device


@dataclass(frozen=True, slots=True)
class Device:
    """A disk whose completion interrupt can be raised and counted.

    :ivar path: a direct read of its first 4 KiB, on `cpu`, raises the interrupt once, there
    :ivar name: what /proc/interrupts calls it: ``virtio1-req.0``
    :ivar irq: its row's number
    """

    path: Path
    name: str
    irq: int
    cpu: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """One row of /proc/interrupts: a count for each CPU number (one for all: ERR, MIS)."""

    counts: tuple[int, ...]
    name: str


def parse_interrupts(text: str) -> dict[str, Interrupt]:
    """Take /proc/interrupts apart (kernel/irq/proc.c show_interrupts).

    Only online CPUs have a column; the others count 0 here.
    """
    header, *lines = text.splitlines() or [""]
    cpus = [int(column[3:]) for column in header.split() if column.startswith("CPU")]
    rows = {}
    for line in lines:
        row, colon, rest = line.partition(":")
        columns = rest.split(maxsplit=len(cpus))
        numbers = [int(column) for column in columns[: len(cpus)] if column.isdigit()]
        if not colon or not numbers:
            continue
        if len(numbers) == len(cpus):
            spread = [0] * (max(cpus) + 1)
            for cpu, count in zip(cpus, numbers, strict=True):
                spread[cpu] = count
            numbers = spread
        # Controller, line and trigger, then who handles it, after two spaces or more.
        name = re.split(r"\s{2,}", rest.rstrip())[-1]
        rows[row.strip()] = Interrupt(tuple(numbers), name)
    return rows


def _interrupts() -> dict[str, Interrupt]:
    try:
        text = Path("/proc/interrupts").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    return parse_interrupts(text)


def read_interrupts() -> Mapping[str, tuple[int, ...]]:
    """Count every row of /proc/interrupts by CPU number; no row where it cannot be read."""
    return {row: interrupt.counts for row, interrupt in _interrupts().items()}


def landing(rounds: Sequence[Mapping[str, Interrupt]], reads: int) -> tuple[str, int] | None:
    """Find the numbered row and the CPU that counted one interrupt for each read.

    :param rounds: /proc/interrupts before the first round of reads, and after each
    :param reads: direct reads of one round

    Other traffic adds interrupts, and may complete with ours in one, so that a count is neither
    exact nor alone: it must move by three quarters of the reads in every round. A clock does that
    when reads are as slow as its ticks: it is known by its name.
    """
    found: list[tuple[int, str, int]] = []
    for row, first in rounds[0].items():
        if not row.isdigit() or CLOCK.fullmatch(first.name):
            continue
        columns = [after[row].counts if row in after else first.counts for after in rounds]
        for cpu, totals in enumerate(zip(*columns, strict=False)):
            moves = [after - before for before, after in pairwise(totals)]
            if min(moves) >= reads * 3 / 4:
                found.append((sum(moves), row, cpu))
    return min(found)[1:] if found else None


def block_device() -> Device | None:
    """Find a disk whose interrupt a direct read raises on the CPU that reads.

    Reads files and writes nothing. The calling thread's CPU affinity is changed and put back.
    """
    affinity = os.sched_getaffinity(0)
    try:
        for path in _readable(_candidates()):
            if device := _watched(path, affinity):
                return device
    finally:
        os.sched_setaffinity(0, affinity)
    return None


def _watched(path: Path, affinity: set[int]) -> Device | None:
    """Read a file from the CPU that its interrupt lands on, once that is known."""
    import mmap

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None
    cpu = min(affinity)
    try:
        with mmap.mmap(-1, BLOCK) as buffer:
            for _ in range(TRIES):
                os.sched_setaffinity(0, {cpu})
                rounds = _rounds(fd, buffer)
                where = landing(rounds, READS)
                if where and where[1] == cpu:
                    return Device(path, rounds[0][where[0]].name, int(where[0]), cpu)
                if where and where[1] in affinity:
                    # With one queue for all CPUs, the interrupt stays where it is.
                    cpu = where[1]
                elif where or landing([rounds[0], rounds[-1]], READS) is None:
                    return None
    except OSError:
        return None
    finally:
        os.close(fd)
    return None


def _rounds(fd: int, buffer: Any) -> list[dict[str, Interrupt]]:
    # The first read may have to write the file's pages back.
    os.preadv(fd, [buffer], 0)
    seen = [_interrupts()]
    for _ in range(ROUNDS):
        for _ in range(READS):
            os.preadv(fd, [buffer], 0)
        seen.append(_interrupts())
    return seen


def _readable(candidates: Iterator[Path]) -> Iterator[Path]:
    """Keep what can be read directly: at most two files of each file system, real disks first."""
    import stat

    tries: dict[int, int] = {}
    later: list[Path] = []
    for path in candidates:
        try:
            about = path.stat()
        except OSError:
            continue
        block = stat.S_ISBLK(about.st_mode)
        if not block and (not stat.S_ISREG(about.st_mode) or about.st_size < BLOCK):
            continue
        device = about.st_rdev if block else about.st_dev
        tries[device] = tries.get(device, 0) + 1
        if tries[device] > 2 or not os.access(path, os.R_OK):
            continue
        # Major 0 is no disk itself (overlay, btrfs, 9p), though there may be one below.
        if os.major(device):
            yield path
        else:
            later.append(path)
    yield from later


def _candidates() -> Iterator[Path]:
    """Files that are likely to be on a disk, then the disks themselves, which root may read."""
    package = Path(__file__).resolve().parent
    yield from sorted(package.glob("_native*"))
    yield Path(sys.executable).resolve()
    yield from sorted(package.glob("*.py"))
    for name in (os.environ.get("XDG_CACHE_HOME") or "~/.cache", "~"):
        # RuntimeError: this user has no home directory.
        with (
            contextlib.suppress(OSError, RuntimeError),
            os.scandir(Path(name).expanduser()) as entries,
        ):
            yield from (Path(entry.path) for _, entry in zip(range(64), entries, strict=False))
    with contextlib.suppress(OSError):
        partitions = Path("/proc/partitions").read_text(encoding="ascii").split()[4:]
        real = (disk for disk in partitions[3::4] if not re.match("ram|loop|zram|sr|fd", disk))
        yield from (Path("/dev", disk) for disk in real)


def local_timer() -> bool:
    """Compute on the first CPU, which keeps its tick going, until its count in LOC moves.

    Without a timer of its own another CPU is sent the ticks of the first, which LOC counts, too
    (kernel/time/tick-broadcast.c). The CPU affinity is changed and put back.
    """
    affinity = os.sched_getaffinity(0)
    cpu = min(affinity)

    def count() -> int | None:
        row = read_interrupts().get("LOC")
        return row[cpu] if row else None

    os.sched_setaffinity(0, {cpu})
    try:
        before = count()
        deadline = time.monotonic() + TICK_SECONDS
        late = moved = before is None
        while not late and not moved:
            # A busy machine may let us look only once: that is after the ticks, then.
            late = time.monotonic() >= deadline
            moved = count() != before
    finally:
        os.sched_setaffinity(0, affinity)
    return before is not None and moved


def affinity(irq: int) -> Path:
    """Where an interrupt's affinity is read and written, as a list of CPUs."""
    return Path(f"/proc/irq/{irq}/smp_affinity_list")


def moves(irq: int) -> bool:
    """Set an interrupt's affinity to what it is: not so of one that the kernel manages."""
    try:
        affinity(irq).write_text(affinity(irq).read_text(encoding="ascii"), encoding="ascii")
    except OSError:
        return False
    return True


def interrupt_facts(device: Device | None, cpus: int, cmdline: str) -> dict[str, Value]:
    """Give the facts of group "interrupts"."""
    own = OWN_MACHINE in cmdline.split()
    return {
        "interrupt_counts": "LOC" in read_interrupts(),
        "local_timer": local_timer(),
        "cpus": cpus,
        "two_cpus": cpus >= 2,
        "device": device is not None,
        "device_name": device.name if device else "",
        "device_irq": device.irq if device else -1,
        "device_cpu": device.cpu if device else -1,
        "own_machine": own,
        "device_moves": own and device is not None and device.path.is_block_device()
        and moves(device.irq),
    }


# All together


def environment_name(source: Sources, facts: Mapping[str, Value]) -> str:
    """Give a machine's short name: ``linux-6.1.192-debian.amd.tcg``.

    What a boot, or the tracer, changes of the ABI is a further part, so that two environments whose
    stops differ have two names: ``linux-6.12.117-debian.amd.tcg.emulate.x32``.
    """
    version, flavour = running(source)
    parts = [f"linux-{version}", flavour, "i386" if facts["i386"] else ""]
    vendor = "intel" if facts["intel"] else "amd" if facts["amd"] else "other"
    vsyscall = facts["vsyscall"]
    more = [
        vsyscall if vsyscall in ("emulate", "xonly") else "",
        "x32" if facts["x32"] else "",
        "noapictimer" if facts["interrupt_counts"] and not facts["local_timer"] else "",
        "tracer32" if facts["x86_64"] and not facts["tracer64"] else "",
    ]
    return ".".join(
        filter(None, ["-".join(filter(None, parts)), vendor, str(facts["virt"]), *map(str, more)])
    )


def collect(expected: Path) -> Environment:
    """Probe every fact of this machine.

    :param expected: the directory of the golden files
    :raises UsageError: facts.toml is missing or wrong
    :raises HarnessError: /proc is not mounted, or the C part is not built
    """
    known = changes(expected)
    source = sources()
    version, _ = running(source)
    vdso = vdso_door()
    widths = {width: executes(_program(width)) for width in ("ia32", "x32")}
    repeats, icebp = executes(_program("x86_64", "icebp"))
    kernel, cpu = kernel_facts(source), cpu_facts(source, _cpuid)
    facts: dict[str, Value] = {
        **kernel,
        **cpu,
        "icebp_repeats": repeats,
        "executable_data": executes(_program("ia32", "data"))[0],
        **{width: ran for width, (ran, _) in widths.items()},
        "sysenter": vdso == 1,
        "syscall32": vdso == 2,
        "vsyscall": vsyscall(source.maps),
        **permission_facts(source, bool(kernel["i386"]), str(cpu["virt"])),
        **interrupt_facts(block_device(), len(os.sched_getaffinity(0)), source.cmdline),
        **{change.name: version.includes(change.since, change.backports) for change in known},
    }
    build = {
        "uname_r": source.release,
        "uname_v": source.version,
        "machine": os.uname().machine,
        "host": os.uname().nodename,
        "version": str(version),
        "cpu": fields(source.cpuinfo).get("model name", ""),
        "hypervisor": hypervisor(_cpuid)[1],
        **{f"exec_{width}": came for width, (_, came) in widths.items()},
        "exec_icebp": icebp,
    }
    return Environment(environment_name(source, facts), facts, build)
