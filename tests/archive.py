# SPDX-License-Identifier: GPL-2.0-only
"""A small archive of Debian's kind, signed, and a server that tells what was asked of it."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SUITE = "tiny"
META = "linux-image-tiny"
RELEASE = "1.0-tiny"
IMAGE = f"linux-image-{RELEASE}"
SIZE = 200_000
"""Bytes of the kernel, none of which can be compressed."""


class Key:
    """A key pair that lives as long as its directory and its agent."""

    def __init__(self, home: Path) -> None:
        home.chmod(0o700)
        self._gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
        self.home = home
        self.keyring = home / "keyring.gpg"
        self.run("--quick-gen-key", "tiny@example.org", "ed25519", "sign", "never")
        self.run("--output", str(self.keyring), "--export")

    def run(self, *arguments: str) -> None:
        subprocess.run([*self._gpg, *arguments], check=True, capture_output=True)

    def end(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)


class Archive:
    """A suite with a kernel, and a package that depends on it."""

    def __init__(self, root: Path, key: Key) -> None:
        self.root = root
        self.key = key
        self.packages = root / f"dists/{SUITE}/main/binary-amd64/Packages"
        self.release = root / f"dists/{SUITE}/InRelease"
        self.packages.parent.mkdir(parents=True)
        self._moment = int(time.time()) - 3600
        """When the last Release was made: HTTP tells apart no two of one second."""
        self.publish("1.0-1")

    def deb(self, version: str, name: str = IMAGE) -> Path:
        return self.root / f"pool/{name}_{version}_amd64.deb"

    def publish(self, version: str) -> None:
        """Make the packages of a version, and a Release that lists them alone."""
        kernel = {
            f"boot/vmlinuz-{RELEASE}": random.Random(version).randbytes(SIZE),
            f"lib/modules/{RELEASE}/modules.order": b"",
            f"lib/modules/{RELEASE}/modules.builtin": b"",
        }
        stanzas = [
            self._build(META, version, {}, f"Depends: {IMAGE} (= {version}), kmod\n"),
            self._build(IMAGE, version, kernel, "Depends: kmod, linux-base (>= 4.3~)\n"),
        ]
        self.packages.write_text("\n".join(stanzas))
        self.sign(self.packages.read_bytes())

    def _build(self, name: str, version: str, files: dict[str, bytes], more: str) -> str:
        tree = self.root / "trees" / f"{name}-{version}"
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody\n{more}"
            "Description: tiny\n"
        )
        for path, content in {**files, "DEBIAN/control": control.encode()}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        deb = self.deb(version, name)
        deb.parent.mkdir(exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(deb)],
            check=True, capture_output=True,
        )  # fmt: skip
        content = deb.read_bytes()
        return (
            f"{control}Filename: {deb.relative_to(self.root)}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )

    def sign(self, packages: bytes) -> None:
        digest = hashlib.sha256(packages).hexdigest()
        self._moment += 60
        plain = self.root / "Release"
        plain.write_text(
            f"Origin: Debian\nLabel: Debian\nSuite: {SUITE}\nCodename: {SUITE}\n"
            f"Date: {formatdate(self._moment, usegmt=True)}\n"
            "Architectures: amd64\nComponents: main\n"
            f"SHA256:\n {digest} {len(packages)} main/binary-amd64/Packages\n"
        )
        self.key.run("--yes", "--output", str(self.release), "--clearsign", str(plain))
        os.utime(self.release, (self._moment, self._moment))


class Server:
    """Serves a directory as mirrors do, with ranges and conditional requests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[tuple[str, int, int]] = []
        """Name of the file, status, and bytes sent, of each answer."""
        self.most = 1 << 30
        """Bytes after which the line breaks, in each answer."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def end(self) -> None:
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.root / request.path.lstrip("/")
        content, status, modified = b"", 404, ""
        if path.is_file():
            content, status = path.read_bytes(), 200
            modified = formatdate(int(path.stat().st_mtime), usegmt=True)
        if status == 200 and request.headers["If-Modified-Since"] == modified:
            content, status = b"", 304
        wanted = request.headers["Range"] or ""
        begin, size = 0, len(content)
        if wanted and status == 200 and request.headers["If-Range"] == modified:
            begin, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            content = content[begin:]
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        if modified:
            request.send_header("Last-Modified", modified)
        if status == 206:
            request.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        request.end_headers()
        sent = content[: self.most]
        request.wfile.write(sent)
        request.close_connection = len(sent) < len(content)
        self.log.append((os.path.basename(request.path), status, len(sent)))  # noqa: PTH119
