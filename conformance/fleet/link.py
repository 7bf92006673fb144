# SPDX-License-Identifier: GPL-2.0-only
"""The connection to one box: an execnet gateway over ssh, or over a pipe for this machine.

execnet would build ssh's command of a text with white space between the words, and let ssh's own
messages through to the terminal. Here the command is a list, what ssh hands to the box's shell is
quoted, and what ssh says is kept: it is the reason why a box did not answer.

A box's words are data. execnet serialises simple types and no others; what is longer than
`LARGEST` is not read.
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from conformance.errors import OrigaxError, UsageError
from conformance.fleet import agent
from conformance.fleet.boxes import Box

LARGEST: Final = 1 << 24
"""Bytes that a box may say at once: the largest case has a quarter of a million."""
CHUNK: Final = 1 << 17
"""Bytes of a wheel that are sent at once."""
LISTENING: Final = 0.2
"""Seconds for ssh's own words to arrive."""
LOCK: Final = "origax-fleet"
BOOTSTRAP: Final = "import sys;exec(eval(sys.stdin.readline()))"
"""What execnet's first line is read by."""

Say = Callable[[object], None]
"""Hears what a box says, and None when it hangs up; in another thread."""
Supply = Callable[[Box, Mapping[str, Any]], tuple[Path, ...]]
"""Gives the wheels for a box by what that says of itself, or raises an OrigaxError."""


def require() -> None:
    """Make sure that boxes can be reached at all.

    :raises UsageError: execnet is not installed
    """
    try:
        import execnet  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError(
            "boxes are reached by execnet, which is not installed", "import execnet",
            "pip install 'origax[fleet]'",
        ) from None  # fmt: skip


def command(box: Box) -> list[str]:
    """Give the command that starts Python on a box, each word as it is to arrive."""
    sudo = ["sudo", "-n", "--"] if box.sudo else []
    remote = [*sudo, box.python, "-I", "-u", "-c", BOOTSTRAP]
    if box.local:
        return remote
    return [
        "ssh", "-T", *box.ssh, "-o", "BatchMode=yes", *(["-l", box.user] if box.user else []),
        *(["-p", str(box.port)] if box.port else []),
        *(["-J", ",".join(box.jump)] if box.jump else []),
        "--", box.host, shlex.join(remote),
    ]  # fmt: skip


class Link:
    """A box, from the first word to the last process; a context manager, so that none is left."""

    def __init__(self, box: Box, request: Mapping[str, Any], supply: Supply, say: Say) -> None:
        """Begin to connect, and return; all else is heard by `say`.

        :param request: for `conformance.fleet.inside`
        """
        self.box = box
        self._words = bytearray()
        self._say = say
        self._channel: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command(box), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True,  # ^C is ours, and not ssh's
            )  # fmt: skip
        except OSError as error:
            self._fail(f"{command(box)[0]}: {error.strerror}")
            return
        arguments = (self._process, request, supply)
        self._reader = threading.Thread(
            target=agent.keep, args=(self._process.stderr, self._words), daemon=True
        )
        self._reader.start()
        threading.Thread(target=self._talk, args=arguments, daemon=True).start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def hang_up(self) -> None:
        """Let the box know that nobody listens any longer: it ends its run, cleans up, and goes."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    @property
    def gone(self) -> bool:
        """Whether the connection has ended; the box does that last of all."""
        return not self._process or self._process.poll() is not None

    def kill(self) -> None:
        """End the connection; a box that can will notice, and clean up."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self.hang_up()

    def last_words(self) -> str:
        """Give the last line of what ssh, or Python, said on its standard error."""
        if self._process:
            self._reader.join(LISTENING)  # it may come after the end of all else
        lines = self._words.decode("ascii", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _talk(
        self, process: subprocess.Popen[bytes], request: Mapping[str, Any], supply: Supply
    ) -> None:
        try:
            channel = _gateway(process).remote_exec(agent)
            self._channel = channel  # execnet closes one that nobody holds
            about = channel.receive()
            wheels = supply(self.box, about)
            self._say(about)
            # Boxes that are this machine are many at once: that is what they are for.
            lock = f"{LOCK}-{self.box.name}" if self.box.local else LOCK
            with contextlib.suppress(OSError):  # it hung up, and has said why before
                channel.send({"lock": lock, "wheels": len(wheels), "run": dict(request)})
                for chunk in itertools.chain.from_iterable(map(_chunks, wheels)):
                    channel.send(chunk)
            channel.setcallback(self._say, endmarker=None)
        except OrigaxError as error:
            on = f" ({error.on})" if error.on != self.box.name else ""
            self._fail(f"{error.what}{on}; {error.do}")
        except Exception as error:  # noqa: BLE001 execnet has no class for its own
            words = self.last_words()
            if not self._channel and process.stdout:
                process.stdout.close()  # otherwise execnet does that
            if isinstance(error, AssertionError):  # its first byte is not execnet's
                words = "what answers there is no Python, or its shell says something first"
            self._fail(words or str(error).strip().rpartition("\n")[2] or type(error).__name__)

    def _fail(self, why: str) -> None:
        self._say({"failed": why})
        self._say(None)


def _chunks(wheel: Path) -> Iterator[bytes]:
    with wheel.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
    yield b""


def _gateway(process: subprocess.Popen[bytes]) -> Any:
    """Make a gateway of a Python that reads its first line.

    :raises Exception: it does not answer as execnet would
    """
    from execnet import XSpec
    from execnet.gateway_base import Popen2IO, get_execmodel
    from execnet.gateway_bootstrap import bootstrap

    class Pipes(Popen2IO):
        """execnet's pipes, that write whole what is written, and read what is not too long."""

        def read(self, numbytes: int) -> bytes:
            if numbytes > LARGEST:
                raise EOFError(f"{numbytes} bytes at once are too much")
            return super().read(numbytes)

        def write(self, data: bytes) -> None:
            rest = memoryview(data)
            while rest:
                rest = rest[self._write(rest) :]

        def wait(self) -> int:
            return process.wait()

        def kill(self) -> None:
            process.kill()

    pipes = Pipes(process.stdin, process.stdout, get_execmodel("thread"))
    return bootstrap(pipes, XSpec("popen//python=python3//id=box//execmodel=thread"))
