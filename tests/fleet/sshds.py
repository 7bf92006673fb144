# SPDX-License-Identifier: GPL-2.0-only
"""Boxes with sshd, all on this machine: each in namespaces of its own, with its own name and /tmp.

Nothing of this machine is changed, and nothing in ~/.ssh is read: keys, host keys and the client's
configuration are made in a directory that goes with the boxes, as the namespaces do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.fleet import agent
from conformance.fleet.boxes import Box

SSHD: Final = "/usr/sbin/sshd"
INIT: Final = """
hostname $1
mount -t tmpfs -o mode=1777,size=$2 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
echo ready
read up
ip link set lo up
ip address add $3 dev eth0
ip link set eth0 up
$4 -D -f $5 -E $5.log &
exec sleep infinity
"""


def lacking() -> str:
    """Say what is missing for such boxes; empty where nothing is."""
    if os.geteuid():
        return "needs root, for namespaces"
    for program, package in (
        (SSHD, "openssh-server"), ("ssh", "openssh-client"), ("ip", "iproute2"),
        ("/usr/bin/python3", "python3"),
    ):  # fmt: skip
        if not shutil.which(program):
            return f"needs {program}: apt-get install {package}"
    return ""


@dataclass(frozen=True, slots=True)
class Sshd:
    """One box; `pid` is that of its first process."""

    box: Box
    pid: int

    def processes(self) -> dict[int, str]:
        """List what runs there but its first process, zombies left out: pids and commands."""
        mine = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if (path / "ns/pid").readlink() == mine and state != "Z":
                    command = (path / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(path.name)] = command.decode(errors="replace")
        found.pop(self.pid, None)
        return found

    def signal(self, signo: signal.Signals, word: str = "") -> None:
        """Send a signal to whatever runs there, or to that with a word in its command."""
        for pid, command in self.processes().items():
            if word in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signo)

    def left(self) -> list[str]:
        """List what a run left there: its processes and files."""
        ours = ("conformance", "stdin.readline")
        found = [text for text in self.processes().values() if any(word in text for word in ours)]
        place = Path(f"/proc/{self.pid}/root/tmp")
        return found + [str(path) for path in place.glob(f"{agent.PREFIX}*")]


@contextlib.contextmanager
def boxes(place: Path, sizes: dict[str, str]) -> Iterator[dict[str, Sshd]]:
    """Start a box for each name, with a /tmp of that size.

    :param place: a directory that is not in /tmp: boxes have another
    """
    for key in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / key]
        subprocess.run(make, check=True)
    shutil.copy(place / "user.pub", place / "authorized")
    with contextlib.ExitStack() as stack:
        made = {}
        for number, (name, size) in enumerate(sizes.items()):
            made[name] = stack.enter_context(_box(place, name, size, number))
        yield made


@contextlib.contextmanager
def _box(place: Path, name: str, size: str, number: int) -> Iterator[Sshd]:
    host, own = f"198.18.{number}.1", f"198.18.{number}.2"  # RFC 2544: of no real network
    server, client = place / f"{name}.sshd", place / f"{name}.ssh"
    server.write_text(
        f"ListenAddress {own}\nHostKey {place}/host\nAuthorizedKeysFile {place}/authorized\n"
        "PermitRootLogin yes\nStrictModes no\nPidFile none\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    client.write_text(
        f"Host *\n IdentityFile {place}/user\n IdentitiesOnly yes\n IdentityAgent none\n"
        f" UserKnownHostsFile {place}/known\n GlobalKnownHostsFile none\n"
    )
    with (place / "known").open("a") as known:
        known.write(f"{own} {(place / 'host.pub').read_text()}")
    init = ["sh", "-ec", INIT, "init", name, size, f"{own}/30", SSHD, str(server)]
    command = ["unshare", "-n", "-u", "-m", "-p", "--fork", "--kill-child", "--mount-proc", *init]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin and process.stdout
            assert process.stdout.readline() == b"ready\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            pid = int(children.split()[0])
            link = f"oxfleet{number}"
            for words in (
                ("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid)),
                ("address", "add", f"{host}/30", "dev", link), ("link", "set", link, "up"),
            ):  # fmt: skip
                subprocess.run(["ip", *words], check=True)
            process.stdin.write(b"up\n")
            process.stdin.flush()
            made = Sshd(
                Box(name, own, "root", 22, (), ("-F", str(client)), "/usr/bin/python3", sudo=False,
                    boot="", labels=()), pid,
            )  # fmt: skip
            _until_listening(made.box)
            yield made
        finally:
            process.kill()


def _until_listening(box: Box) -> None:
    import socket

    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((box.host, box.port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
