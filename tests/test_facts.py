# SPDX-License-Identifier: GPL-2.0-only
"""Facts: each is a function of texts and of what is tried, and has a value on every machine."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import facts
from conformance.doors import OWN
from conformance.errors import HarnessError, OrigaxError, UsageError
from conformance.facts import Cpuid, Environment, Interrupt, Sources, Version
from conformance.strays import children

EXPECTED = Path(__file__).resolve().parent.parent / "expected"
DEBIAN = Sources("6.1.0-51-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-10-01)")

INTERRUPTS = """\
           CPU0       CPU2
  0:         44          0   IO-APIC   2-edge      timer
 36:          7      33881 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 41:          1          2  IO-APIC  16-fasteoi   uhci_hcd:usb3, ahci[0000:00:1f.2]
LOC:      17871      17855   Local timer interrupts
ERR:          3
MIS:          0
"""


def words(*texts: bytes) -> Mapping[tuple[int, int], tuple[int, int, int, int]]:
    """CPUID's answers: the hypervisor bit, and signatures at its first leaves."""
    leaves: dict[tuple[int, int], tuple[int, int, int, int]] = {(1, 0): (0, 0, 1 << 31, 0)}
    for number, text in enumerate(texts):
        ebx, ecx, edx = (
            int.from_bytes(text.ljust(12, b"\0")[at : at + 4], "little") for at in (0, 4, 8)
        )
        leaves[0x4000_0000 + 0x100 * number, 0] = (0, ebx, ecx, edx)
    return leaves


def cpuid(*texts: bytes) -> Cpuid:
    """A CPUID instruction that answers so, and zeros elsewhere."""
    leaves = words(*texts)
    return lambda leaf, subleaf: leaves.get((leaf, subleaf), (0, 0, 0, 0))


def bare(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    """A CPUID instruction outside any hypervisor."""
    return (0, 0, 0, 0)


def says_three_things(error: OrigaxError) -> bool:
    """Whether what, on and do are all there."""
    return all((error.what, error.on, error.do))


# Importing the module loads nothing that only probing needs.
def test_import_is_light() -> None:
    heavy = "{'ctypes', 'cffi', 'ptrace', 'tomllib', 'subprocess', 'conformance._native'}"
    code = f"import sys, conformance.facts; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=EXPECTED.parent,
    )  # fmt: skip
    assert done.stdout == "set()\n"


# Every form of release that kernels in use have is read.
@pytest.mark.parametrize(
    ("text", "version", "shown"),
    [
        ("6.18.44-fc-v669", (6, 18, 44), "6.18.44"),
        ("6.1.0-51-amd64", (6, 1, 0), "6.1"),
        ("6.12.48+deb13-amd64", (6, 12, 48), "6.12.48"),
        ("5.14.0-362.el9.x86_64", (5, 14, 0), "5.14"),
        ("7.2-rc3", (7, 2, 0, 3), "7.2-rc3"),
        ("7.2.0-rc3-00012-g0123456789ab-dirty", (7, 2, 0, 3), "7.2-rc3"),
        ("7.2~rc3-1~exp1", (7, 2, 0, 3), "7.2-rc3"),
        ("5.14", (5, 14, 0), "5.14"),
    ],
)
def test_versions(text: str, version: tuple[int, ...], shown: str) -> None:
    parsed = Version.parse(text)
    assert parsed[: len(version)] == version
    assert str(parsed) == shown


# A text without a version is an error, not version 0.
@pytest.mark.parametrize("text", ["", "linux", "6", "v6.1", "-rc3"])
def test_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="kernel version"):
        Version.parse(text)


# Candidates come before their release, and patches after it.
def test_versions_are_ordered() -> None:
    texts = ["5.13.19", "5.14-rc1", "5.14-rc7", "5.14", "5.14.1", "5.14.10", "6.0-rc1", "6.0"]
    assert sorted(map(Version.parse, reversed(texts))) == [Version.parse(text) for text in texts]


# A change is there from its release on, and from each backport on in that series alone.
@pytest.mark.parametrize(
    ("running", "has"),
    [
        ("5.9.16", False),
        ("5.10.25", False),
        ("5.10.26", True),
        ("5.10.262", True),
        ("5.11.22", False),
        ("5.12-rc8", False),
        ("5.12", True),
        ("7.2-rc3", True),
    ],
)
def test_backports_count_in_their_series(running: str, has: bool) -> None:
    since, backports = Version.parse("5.12"), [Version.parse("5.10.26"), Version.parse("4.9.263")]
    assert Version.parse(running).includes(since, backports) == has


# The version is the builder's own word where the release hides it.
@pytest.mark.parametrize(
    ("source", "version", "flavour"),
    [
        (DEBIAN, "6.1.192", "debian"),
        (Sources("7.2-rc3-amd64", "#1 SMP Debian 7.2~rc3-1~exp1"), "7.2-rc3", "debian"),
        (Sources("6.18.44-fc-v669", "#1 SMP PREEMPT_DYNAMIC @0"), "6.18.44", "fc-v669"),
        (Sources("7.2.0-rc3-00012-gabc-dirty", "#7"), "7.2-rc3", "00012-gabc-dirty"),
        (Sources("6.1.192+", "#1 SMP"), "6.1.192", ""),
        (Sources("5.14.0-362.el9.x86_64", "#1 SMP"), "5.14", "362-el9-x86_64"),
        (
            Sources(
                "5.15.0-91-generic", "#101-Ubuntu SMP",
                signature="Ubuntu 5.15.0-91.101-generic 5.15.131\n",
            ),
            "5.15.131", "ubuntu",
        ),
    ],
)  # fmt: skip
def test_running(source: Sources, version: str, flavour: str) -> None:
    assert facts.running(source) == (Version.parse(version), flavour)


# A release that cannot be read ends the command with what to do.
def test_unreadable_release() -> None:
    with pytest.raises(HarnessError) as caught:
        facts.running(Sources("mainline", "#1"))
    assert says_three_things(caught.value)


# The name of an environment tells release, vendor and hypervisor, a 32-bit kernel or tracer, and
# what a boot's options change.
@pytest.mark.parametrize(
    ("source", "known", "name"),
    [
        (DEBIAN, {"amd": True, "virt": "tcg"}, "linux-6.1.192-debian.amd.tcg"),
        (DEBIAN, {"amd": True, "virt": "tcg", "i386": True}, "linux-6.1.192-debian-i386.amd.tcg"),
        (
            Sources("6.18.44-fc-v669", "#1"), {"intel": True, "virt": "kvm"},
            "linux-6.18.44-fc-v669.intel.kvm",
        ),
        (Sources("7.2.0-rc3", "#1"), {"virt": "none"}, "linux-7.2-rc3.other.none"),
        (
            DEBIAN, {"virt": "tcg", "vsyscall": "emulate", "x32": True},
            "linux-6.1.192-debian.other.tcg.emulate.x32",
        ),
        (
            DEBIAN, {"virt": "tcg", "local_timer": False, "tracer64": False},
            "linux-6.1.192-debian.other.tcg.noapictimer.tracer32",
        ),
    ],
)  # fmt: skip
def test_environment_name(source: Sources, known: dict[str, bool | str], name: str) -> None:
    values = {
        "intel": False, "amd": False, "i386": False, "x86_64": not known.get("i386", False),
        "vsyscall": "none", "x32": False, "tracer64": True, "interrupt_counts": True,
        "local_timer": True, **known,
    }  # fmt: skip
    assert facts.environment_name(source, values) == name


# Texts come from below one root, and those that are not there are empty.
def test_sources(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\torigax\nSeccomp:\t2\n")
    (tmp_path / "proc/cpuinfo").write_text("vendor_id\t: A\n\nvendor_id\t: B\n")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\n")
    source = facts.sources(tmp_path)
    assert facts.fields(source.status)["Seccomp"] == "2"
    assert facts.fields(source.cpuinfo) == {"vendor_id": "A"}
    assert source.os_release == "ID=debian\n"
    assert (source.cmdline, source.meltdown, source.ptrace_scope) == ("", "", "")


# Without /proc nothing can be said, and the message names the mount that is missing.
def test_no_proc(tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        facts.sources(tmp_path)
    assert says_three_things(caught.value)
    assert "mount" in caught.value.do


# The distribution is named with its version, its codename, or not at all.
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('PRETTY_NAME="Debian 12"\nVERSION_ID="12"\nID=debian\n', "debian-12"),
        ("ID=debian\nVERSION_CODENAME=sid\n", "debian-sid"),
        ("ID='arch'\n", "arch"),
        ("", "unknown"),
    ],
)
def test_distribution(text: str, name: str) -> None:
    assert facts.kernel_facts(Sources("6.1", "", os_release=text))["distribution"] == name


# A 32-bit Python knows the kernel's width by where its stack may lie.
@pytest.mark.parametrize(
    ("wide", "stack", "x86_64"),
    [
        (True, "7ffd0000-7ffd8000", True),
        (False, "ffd00000-ffd21000", True),
        (False, "bff00000-bff21000", False),
    ],
)
def test_kernel_width(wide: bool, stack: str, x86_64: bool) -> None:
    maps = f"08048000-08049000 r-xp 0 fe:00 1 /bin/python3\n{stack} rw-p 0 00:00 0 [stack]\n"
    known = facts.kernel_facts(Sources("6.1", "", maps=maps), wide)
    assert (known["x86_64"], known["i386"]) == (x86_64, not x86_64)


# QEMU's emulation is an AMD CPU to look at, and is told apart.
def test_cpu() -> None:
    source = Sources(
        "6.1", "", meltdown="Mitigation: PTI\n",
        cpuinfo="vendor_id\t: AuthenticAMD\ncpu family\t: 15\nmodel\t\t: 107\nstepping\t: 1\n"
        "microcode\t: 0x1000065\nflags\t\t: fpu smap fred\n",
    )  # fmt: skip
    assert facts.cpu_facts(source, cpuid(b"TCGTCGTCGTCG")) == {
        "intel": False, "amd": True, "other_vendor": False,
        "family": 15, "model": 107, "stepping": 1, "microcode": 0x1000065,
        "virt": "tcg", "watched_steps": False, "mov_ss_shadow": False, "int1": False,
        "alignment_check": False, "sse_exceptions": False,
        "fred": True, "smap": True, "lass": False,
        "fsgsbase": False, "xsave": False, "xsaves": False, "la57": False, "kpti": True,
    }  # fmt: skip


# Without /proc/cpuinfo every fact of the CPU still has its value.
def test_no_cpuinfo() -> None:
    known = facts.cpu_facts(Sources("6.1", ""), bare)
    assert known["other_vendor"] is True
    assert known["family"] == known["microcode"] == 0
    assert known["virt"] == "none"
    assert known["watched_steps"]
    assert known["mov_ss_shadow"]
    assert known["int1"]
    assert known["alignment_check"]
    assert known["sse_exceptions"]


# Page-table isolation is the kernel's word in /sys, and its flag where /sys is not mounted.
@pytest.mark.parametrize(
    ("meltdown", "flags", "kpti"),
    [
        ("Mitigation: PTI\n", "", True),
        ("Not affected\n", "pti", False),
        ("", "fpu pti", True),
        ("", "fpu ptifoo", False),
    ],
)
def test_kpti(meltdown: str, flags: str, kpti: bool) -> None:
    source = Sources("6.1", "", cpuinfo=f"flags : {flags}", meltdown=meltdown)
    assert facts.cpu_facts(source, bare)["kpti"] is kpti


# The hypervisor is known by its signature, KVM also behind Hyper-V's.
@pytest.mark.parametrize(
    ("signatures", "virt"),
    [
        ((b"KVMKVMKVM",), ("kvm", "KVMKVMKVM")),
        ((b"TCGTCGTCGTCG",), ("tcg", "TCGTCGTCGTCG")),
        ((b"Microsoft Hv", b"KVMKVMKVM"), ("kvm", "KVMKVMKVM")),
        ((b"Microsoft Hv",), ("other", "Microsoft Hv")),
        ((b"VMwareVMware",), ("other", "VMwareVMware")),
        ((b"\xff\x1b[2J",), ("other", "\\xff\x1b[2J")),
        ((), ("other", "")),
    ],
)
def test_hypervisor(signatures: tuple[bytes, ...], virt: tuple[str, str]) -> None:
    assert facts.hypervisor(cpuid(*signatures)) == virt


# The mode of the vsyscall page is read from its permissions.
@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n", "xonly"),
        ("ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0   [vsyscall]\n", "emulate"),
        ("", "none"),
    ],
)
def test_vsyscall(line: str, mode: str) -> None:
    maps = "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n"
    assert facts.vsyscall(maps + line) == mode


# A core file needs a limit above 0 and a pattern that names a file, which may be created.
def test_core_files(tmp_path: Path) -> None:
    good = ["core", "core.%p", "%e.core", f"{tmp_path}/core.%p", f"{tmp_path}/%e/core"]
    bad = ["", "|/usr/lib/systemd/systemd-coredump %P", "@/run/coredump", "/nonexistent/core"]
    assert [facts.core_files(-1, pattern) for pattern in good] == [True] * len(good)
    assert [facts.core_files(-1, pattern) for pattern in bad] == [False] * len(bad)
    assert not facts.core_files(0, "core")


# A program runs if it says so, and otherwise the reason is kept.
def test_executes(tmp_path: Path) -> None:
    for status in (42, 0):
        (tmp_path / str(status)).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / str(status)).chmod(0o755)
    (tmp_path / "garbage").write_bytes(b"\x7fELF" + bytes(60))
    (tmp_path / "garbage").chmod(0o755)
    assert facts.executes(tmp_path / "42") == (True, "exit status 42")
    assert facts.executes(tmp_path / "0") == (False, "exit status 0")
    assert facts.executes(tmp_path / "garbage") == (False, "Exec format error")
    assert facts.executes(tmp_path / "missing") == (False, "No such file or directory")


# A program that does not end is killed, and counts as one that does not run.
def test_executes_no_longer_than_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "EXEC_SECONDS", 0.05)
    program = tmp_path / "hang"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    assert facts.executes(program) == (False, "does not end")


# The vDSO's door is what a program of its width says; one that cannot run has none.
def test_vdso_door(tmp_path: Path) -> None:
    program = tmp_path / "vdso"
    for status in (1, 2, 3):
        program.write_text(f"#!/bin/sh\nexit {status}\n")
        program.chmod(0o755)
        assert facts.vdso_door(program) == status
    assert facts.vdso_door(tmp_path / "missing") == 0


# A 32-bit program's vDSO enters by one instruction at the most, and only a 32-bit program has it.
def test_vdso_door_here(environment: Environment) -> None:
    doors = [environment.facts["sysenter"], environment.facts["syscall32"]]
    assert sum(map(bool, doors)) <= int(bool(environment.facts["ia32"]))


# INT1 repeats where its handler returns to it, not where it returns behind it, nor where INT1 is an
# undefined opcode; each is made so by a tracer, whatever this machine does.
@pytest.mark.parametrize(
    ("signo", "behind", "status"),
    [(signal.SIGTRAP, 0, facts.RAN), (signal.SIGTRAP, 1, 1), (signal.SIGILL, 0, signal.SIGILL)],
)
def test_icebp(signo: int, behind: int, status: int) -> None:
    pytest.importorskip("conformance._native")
    from conformance.cases import Probe
    from conformance.doors import OWN
    from conformance.tracing.image import executable
    from conformance.tracing.tracee import Options, Trace

    path = str(executable("icebp", OWN.abi))
    probe = Probe(site="syscall", setup="exec", regs=OWN.call("execve"), text=path)
    with Trace(Options(), (0,)) as trace, trace.launch(probe) as task:
        stop = task.cont()
        ip = stop.regs["ip"]
        with Path(f"/proc/{task.pid}/mem").open("rb") as memory:
            memory.seek(ip - 1)
            icebp = ip - 1 + memory.read(2).index(0xF1)
        while not stop.ended:
            task.poke(ip=icebp + behind)
            stop = task.cont(signo)
    assert stop.kind == f"exited {status}"


# The program whose data is executed says so where READ_IMPLIES_EXEC has it executed, and is killed
# where data is only data.
def test_executable_data(environment: Environment) -> None:
    program = facts.PROGRAMS / "data_ia32"
    if not environment.facts["ia32"]:
        pytest.skip("this machine runs no 32-bit programs")
    done = subprocess.run(["setarch", "-X", program], check=False)
    assert done.returncode == facts.RAN
    assert facts.executes(program)[0] == environment.facts["executable_data"]


# Whether a PID namespace and another user can be had is what programs of the tracer's width say; a
# user alone is not enough where the kernel leaves a program dumpable that was another's.
@pytest.mark.parametrize(
    ("status", "dumpable", "namespace", "nobody"),
    [(42, "0\n", True, True), (42, "2\n", True, True), (42, "1\n", True, False),
     (1, "0\n", False, False)],
)  # fmt: skip
def test_programs_of_permissions(
    status: int, dumpable: str, namespace: bool, nobody: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("namespace", "nobody"):
        (tmp_path / f"{name}_{OWN.abi}").write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / f"{name}_{OWN.abi}").chmod(0o755)
    monkeypatch.setattr(facts, "PROGRAMS", tmp_path)
    source = Sources("6.1", "", suid_dumpable=dumpable)
    found = facts.permission_facts(source, i386=False, virt="none")
    assert (found["pid_namespace"], found["nobody"]) == (namespace, nobody)


# Counts go by CPU number, also where a CPU is offline; ERR and MIS have one count.
def test_interrupts_are_parsed() -> None:
    rows = facts.parse_interrupts(INTERRUPTS)
    assert rows["36"] == Interrupt((7, 0, 33881), "virtio1-req.0")
    assert rows["41"] == Interrupt((1, 0, 2), "uhci_hcd:usb3, ahci[0000:00:1f.2]")
    assert rows["0"].name == "timer"
    assert rows["LOC"].counts == (17871, 0, 17855)
    assert rows["ERR"].counts == (3,)
    assert list(rows) == ["0", "36", "41", "LOC", "ERR", "MIS"]


# Nothing is found in a masked or garbled /proc/interrupts, and nothing breaks.
@pytest.mark.parametrize(
    "text", ["", "\n", "           CPU0\n", "CPU0\n36\n37: x\n", "x\n1: 2 3\n"]
)
def test_no_interrupts(text: str) -> None:
    assert facts.parse_interrupts(text) == {}


def rounds(*moves: Mapping[str, tuple[int, ...]]) -> list[dict[str, Interrupt]]:
    """Snapshots of counters that move so from one round to the next."""
    rows = {name: Interrupt((100,) * len(counts), name) for name, counts in moves[0].items()}
    snapshots = [rows]
    for move in moves:
        rows = {
            name: Interrupt(
                tuple(a + b for a, b in zip(rows[name].counts, counts, strict=True)), name
            )
            for name, counts in move.items()
        }
        snapshots.append(rows)
    return snapshots


# The device is the numbered row that moves with the reads, in every round of them.
def test_landing() -> None:
    quiet = {"36": (0, 4), "40": (0, 0), "LOC": (4, 4)}
    assert facts.landing(rounds(quiet, quiet, quiet), 4) == ("36", 1)


# Interrupts that others raise, and completions that share one, do not hide it.
def test_landing_among_noise() -> None:
    noisy = {"36": (0, 9), "40": (20, 0)}
    merged = {"36": (0, 3), "40": (0, 0)}
    assert facts.landing(rounds(noisy, merged, noisy), 4) == ("36", 1)


# Of two rows that always move enough, the one that moves least is the device.
def test_landing_prefers_the_closest() -> None:
    both = {"36": (0, 4), "40": (50, 0)}
    assert facts.landing(rounds(both, both), 4) == ("36", 1)


# A clock that ticks as often as reads complete is no device, whatever counts more than it.
@pytest.mark.parametrize("name", ["timer", "timer1", "hpet2", "rtc0"])
def test_landing_passes_over_a_clock(name: str) -> None:
    ticking = rounds({"0": (4, 0), "36": (0, 5)}, {"0": (4, 0), "36": (0, 5)})
    clock = [row | {"0": replace(row["0"], name=name)} for row in ticking]
    assert facts.landing(clock, 4) == ("36", 1)
    assert facts.landing(ticking, 4) == ("0", 0)


READER = """
import mmap, os, sys
fd, page = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 4096)
while True:
    os.preadv(fd, [page], 0)
"""


# Another who never ceases to read the same disk does not hide it.
def test_block_device_of_a_busy_disk() -> None:
    quiet = facts.block_device()
    if quiet is None:
        pytest.skip("no disk here raises interrupts")
    with subprocess.Popen([sys.executable, "-c", READER, str(quiet.path)]) as reader:
        try:
            found = [facts.block_device() for _ in range(5)]
        finally:
            reader.kill()
    assert [device and (device.irq, device.cpu) for device in found] == [(quiet.irq, quiet.cpu)] * 5


# Reads that raise nothing, or no longer, find no device.
def test_landing_nowhere() -> None:
    still = {"36": (0, 0), "LOC": (4, 4)}
    assert facts.landing(rounds(still, still), 4) is None
    assert facts.landing(rounds({"36": (0, 4)}, {"36": (0, 0)}), 4) is None


# Looking for the device leaves the affinity as it was, and what it finds is counted.
def test_block_device() -> None:
    before = os.sched_getaffinity(0)
    device = facts.block_device()
    assert os.sched_getaffinity(0) == before
    if device:
        assert device.cpu in before
        assert facts.read_interrupts()[str(device.irq)][device.cpu] > 0


# A timer whose row never moves on the first CPU, as with noapictimer, or is not shown, is none.
@pytest.mark.parametrize(("counts", "moves"), [([1, 1, 2], True), ([1] * 9, False), ([], False)])
def test_local_timer(monkeypatch: pytest.MonkeyPatch, counts: list[int], moves: bool) -> None:
    before = os.sched_getaffinity(0)
    others = itertools.count()
    first = iter(counts)

    def read() -> dict[str, tuple[int, ...]]:
        if not counts:
            return {}
        row = [next(others)] * (max(before) + 2)
        row[min(before)] = next(first, counts[-1])
        return {"LOC": tuple(row)}

    monkeypatch.setattr(facts, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(facts, "read_interrupts", read)
    assert facts.local_timer() == moves
    assert os.sched_getaffinity(0) == before


def change(**keys: object) -> str:
    """One kernel change in TOML, with some keys replaced or, by None, left out."""
    table: dict[str, object] = {
        "commit": "8c150ba2fb59", "subject": "x86: Do", "since": "5.12",
        "backports": ["5.10.26"], "observable": "Seen.", **keys,
    }  # fmt: skip
    return "[some_change]\n" + "".join(
        f"{key} = {value!r}\n" for key, value in table.items() if value is not None
    )


# A change becomes a boolean fact that names the commit and says what is seen.
def test_change_is_a_fact(tmp_path: Path) -> None:
    (tmp_path / "facts.toml").write_text(change())
    fact = facts.vocabulary(tmp_path)["some_change"]
    assert fact.kind is bool
    assert fact.doc == ('By version: commit 8c150ba2fb59 ("x86: Do") (in v5.12, v5.10.26).\nSeen.')
    assert fact.lack == "run Linux 5.12 or later"
    (tmp_path / "facts.toml").write_text(change(backports=None))
    assert facts.changes(tmp_path)[0].backports == ()


# Whatever is wrong with facts.toml is said in three parts, and names the file.
@pytest.mark.parametrize(
    "text",
    [
        "[some_change", "some_change = 1", "[Some-Change]", "[x32]\n", "\0",
        change(commit=None), change(commit="HEAD"), change(commit=8150), change(subject=None),
        change(since="soon"), change(since=5.12), change(since=None), change(observable=7),
        change(backports="5.10.26"), change(backports=[5]), change(backports=["later"]),
        change(backports=["5.12.3"]), change(backports=["5.13.1"]),
        change(backports=["5.10.26", "5.10.30"]), change(extra="x"),
    ],
)  # fmt: skip
def test_broken_changes(tmp_path: Path, text: str) -> None:
    (tmp_path / "facts.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        facts.vocabulary(tmp_path)
    assert says_three_things(caught.value)
    assert str(tmp_path / "facts.toml") in caught.value.on


# A facts.toml that is not there, or not text, is said in the same way.
def test_unreadable_changes(tmp_path: Path) -> None:
    for make in (Path.mkdir, Path.rmdir, lambda path: path.write_bytes(b"\xff\xfe")):
        make(tmp_path / "facts.toml")
        with pytest.raises(UsageError) as caught:
            facts.changes(tmp_path)
        assert says_three_things(caught.value)


# The shipped changes tell the kernels apart that the suite is run on.
@pytest.mark.parametrize(
    ("running", "lacking"),
    [
        ("5.10.262", {"nr_sign_extended", "nr_out_of_range_enosys", "int80_idtentry"}),
        ("6.1.192", {"fred_entry", "sigreturn_keeps_null_selectors", "user_shadow_stack"}),
        ("6.12.117", {"set_syscall_info"}),
        ("7.2.13", set()),
    ],
)
def test_shipped_changes(running: str, lacking: set[str]) -> None:
    version = Version.parse(running)
    known = facts.changes(EXPECTED)
    missing = {c.name for c in known if not version.includes(c.since, c.backports)}
    assert lacking <= missing
    assert len(missing) < len(known)
    assert running != "7.2.13" or not missing


# Where the compiler could not build a width's program, that is what to do about it.
def test_unbuilt_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "true_ia32").touch()
    monkeypatch.setattr(facts, "PROGRAMS", tmp_path)
    known = facts.vocabulary(EXPECTED)
    assert known["ia32"] == facts.VOCABULARY["ia32"]
    assert "-mx32" in known["x32"].lack


# Every fact says how it is probed, and every one that a case may need what would give it.
def test_vocabulary_is_documented() -> None:
    for name, fact in facts.vocabulary(EXPECTED).items():
        assert name == fact.name
        assert name.isidentifier()
        assert fact.doc
        assert fact.group
        assert fact.lack or fact.kind is not bool or name == "other_vendor"


# On this machine every fact of the vocabulary has a value of its kind, and nothing else has one.
def test_collect() -> None:
    pytest.importorskip("conformance._native")
    environment = facts.collect(EXPECTED)
    vocabulary = facts.vocabulary(EXPECTED)
    assert set(environment.facts) == set(vocabulary)
    for name, value in environment.facts.items():
        assert type(value) is vocabulary[name].kind
    known = environment.facts
    assert sum(bool(known[vendor]) for vendor in ("intel", "amd", "other_vendor")) == 1
    assert known["x86_64"] is not known["i386"]
    assert known["root"] == (os.geteuid() == 0)
    assert environment.name.startswith("linux-")
    assert f".{known['virt']}" in environment.name
    assert all(isinstance(text, str) for text in environment.build.values())


# A 32-bit kernel is asked whether this user may enter vm86 mode; a 64-bit one never, as its call of
# that number is another.
@pytest.mark.parametrize(
    ("answer", "expected"),
    [(-errno.EFAULT, True), (-errno.EPERM, False), (-errno.ENOSYS, False)],
)
def test_vm86(answer: int, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def call(name: str, *arguments: object) -> int:
        asked.append(name)
        return answer

    monkeypatch.setattr(facts, "_syscall", call)
    assert not facts.vm86(i386=False) and not asked
    assert facts.vm86(i386=True) is expected and asked == ["vm86old"]


# Trying what is allowed changes nothing that stays: scheduling class and children are as before.
def test_trying_leaves_nothing() -> None:
    before = (os.sched_getscheduler(0), children())
    facts.permission_facts(Sources("6.1", ""), i386=False, virt="none")
    assert (os.sched_getscheduler(0), children()) == before


# An interrupt's affinity is set, to what it is, only on a machine that was booted for origax.
@pytest.mark.parametrize(
    ("cmdline", "own", "moves"),
    [("quiet origax.own_machine", True, True), ("quiet", False, False),
     ("init=/origax.own_machine", False, False)],
)  # fmt: skip
def test_own_machine(cmdline: str, own: bool, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    monkeypatch.setattr(facts, "moves", lambda irq: not tried.append(irq))
    monkeypatch.setattr(Path, "is_block_device", lambda path: path.name == "vda")
    found = facts.interrupt_facts(facts.Device(Path("/dev/vda"), "disk", 25, 0), 2, cmdline)
    assert (found["own_machine"], found["device_moves"], tried) == (own, moves, [25] * moves)
    found = facts.interrupt_facts(facts.Device(Path("/etc/passwd"), "root", 26, 0), 2, cmdline)
    assert not found["device_moves"] and tried == [25] * moves


# One whose affinity the kernel manages refuses even what it is.
def test_managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "affinity", lambda irq: tmp_path / str(irq))
    (tmp_path / "25").write_text("0-1\n")
    (tmp_path / "26").mkdir()
    assert facts.moves(25)
    assert (tmp_path / "25").read_text() == "0-1\n"
    assert not facts.moves(26)
