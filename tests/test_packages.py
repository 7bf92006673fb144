# SPDX-License-Identifier: GPL-2.0-only
"""Fetching kernels: from a small archive of our own, by the real apt."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive import IMAGE, META, RELEASE, SIZE, SUITE, Archive, Key, Server

from conformance import userland
from conformance.errors import HarnessError
from conformance.kernels import packages
from conformance.kernels.environments import Kernel

TINY = Kernel("tiny", SUITE, META, "amd64", "host", "max", ())

LACKING = [
    tool for tool in (*packages.TOOLS, "gpg", "setpriv")
    if not shutil.which(tool, path=userland.PATH)
]  # fmt: skip
archives = pytest.mark.skipif(bool(LACKING), reason=f"no {', '.join(LACKING)} to make an archive")


class Place:
    """An archive, its server, and a cache that is empty."""

    def __init__(self, root: Path, key: Key) -> None:
        self.archive = Archive(root / "archive", key)
        self.server = Server(root / "archive")
        self.cache = root / "cache"
        self.hook = root / "hook"
        self.steps: list[tuple[str, int, int]] = []

    def fetch(self, kernel: Kernel = TINY) -> packages.Image:
        return packages.fetch(kernel, self.cache, lambda *step: self.steps.append(step))

    def refused(self, kernel: Kernel = TINY) -> HarnessError:
        with pytest.raises(HarnessError) as caught:
            self.fetch(kernel)
        assert caught.value.on and caught.value.do
        return caught.value

    def served(self, name: str = ".deb") -> list[tuple[str, int, int]]:
        return [entry for entry in self.server.log if name in entry[0]]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    key = Key(tmp_path_factory.mktemp("gpg"))
    yield key
    key.end()


@pytest.fixture
def place(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path, key)
    settings = tmp_path / "machine.conf"
    settings.write_text(
        'Acquire::http::Proxy::127.0.0.1 "DIRECT"; Acquire::Retries "0"; '
        'APT::Architectures { "arm64"; }; '
        f'APT::Update::Pre-Invoke {{ "touch {place.hook}"; }};'
    )
    monkeypatch.setenv("APT_CONFIG", str(settings))
    monkeypatch.setattr(packages, "KEYRING", key.keyring)
    monkeypatch.setattr(packages, "site", lambda _suite: place.server.uri)
    monkeypatch.setattr(os, "sync", lambda: None)  # nobody needs this cache after a power cut
    yield place
    place.server.end()


def flip(path: Path, at: int = -100) -> None:
    """Change one byte, and nothing that a file system would show."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# The package that was asked for leads to the kernel it depends on: unpacked, with its modules'
# dependencies listed; the packages are gone. The machine's own hooks of apt do not run.
@archives
def test_fetch(place: Place) -> None:
    image = place.fetch()
    assert (image.release, image.version) == (RELEASE, "1.0-1")
    assert image.vmlinuz.stat().st_size == SIZE
    assert (image.modules / "modules.dep").is_file()
    assert not list(place.cache.rglob("*.deb"))
    assert not place.hook.exists()
    assert packages.cached(TINY, place.cache) == packages.find(TINY, place.cache) == image
    assert sorted(entry[0] for entry in place.served()) == [
        f"{IMAGE}_1.0-1_amd64.deb", f"{META}_1.0-1_amd64.deb",
    ]  # fmt: skip


# A second fetch asks whether anything is new, and downloads nothing.
@archives
def test_fetch_again(place: Place) -> None:
    image = place.fetch()
    place.server.log.clear()
    assert place.fetch() == image
    assert place.server.log == [("InRelease", 304, 0)]


# Several environments of one package are one fetch.
@archives
def test_fetch_all(place: Place) -> None:
    other = Kernel("other", SUITE, META, "amd64", "host", "max,vendor=GenuineIntel", ("quiet",))
    assert len(packages.fetch_all([TINY, other], place.cache, lambda *_: None)) == 1
    assert packages.cached(other, place.cache) == packages.cached(TINY, place.cache)
    assert len(place.served("InRelease")) == 1


# A newer version takes the older one's place, and nothing of that is left.
@archives
def test_newer(place: Place) -> None:
    old = place.fetch()
    place.archive.publish("1.0-2")
    new = place.fetch()
    assert new.version == "1.0-2"
    assert packages.cached(TINY, place.cache) == new
    assert not old.vmlinuz.exists()


# A byte of a package that changes under way is refused with apt's message and the package's name.
@archives
def test_package_changed_under_way(place: Place) -> None:
    flip(place.archive.deb("1.0-1"))
    error = place.refused()
    assert "Hash Sum mismatch" in error.what
    assert f"{IMAGE}_1.0-1_amd64.deb" in error.what
    assert packages.cached(TINY, place.cache) is None


# A byte of a package that changes in the cache before it is unpacked is refused by its name.
@archives
def test_package_changed_in_cache(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(packages._Archive, "unpack", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            place.fetch()
    (deb,) = place.cache.rglob(f"{IMAGE}*.deb")
    flip(deb)
    error = place.refused()
    assert error.what.startswith("the package is not the one that the archive lists")
    assert error.on == str(deb)
    flip(deb)
    place.server.log.clear()
    assert place.fetch().version == "1.0-1"
    assert not place.served()  # what ^C left is used


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# A file of the unpacked kernel that changes, goes, or comes is refused by its name, offline too.
@archives
def test_tree_changed(place: Place) -> None:
    image = place.fetch()
    place.server.end()
    new = image.modules / "new.ko"
    changes = {
        image.vmlinuz: ("a file", flip),
        new: ("a file that is new", Path.touch),
        image.modules / "modules.dep": ("a file that is missing", Path.unlink),
    }
    for path, (what, change) in changes.items():
        kept = path.read_bytes() if path.exists() else None
        change(path)
        with pytest.raises(HarnessError) as caught:
            packages.cached(TINY, place.cache)
        assert caught.value.what.endswith(f": {what}")
        assert caught.value.on == str(path.resolve())
        assert "origax kernels fetch tiny" in caught.value.do
        path.unlink(missing_ok=True)
        if kept is not None:
            path.write_bytes(kept)
    assert packages.cached(TINY, place.cache) == image


# A manifest that is garbled or gone is refused as what it lists is.
@archives
def test_manifest_changed(place: Place) -> None:
    place.fetch()
    (manifest,) = place.cache.rglob(packages.MANIFEST)
    flip(manifest, 0)
    with pytest.raises(HarnessError, match="not as it was unpacked: a file"):
        packages.cached(TINY, place.cache)
    manifest.unlink()
    with pytest.raises(HarnessError, match="cannot be read"):
        packages.cached(TINY, place.cache)


# A byte of Packages that changes is refused, because Release lists its hash.
@archives
def test_packages_changed(place: Place) -> None:
    flip(place.archive.packages)
    error = place.refused()
    assert "Hash Sum mismatch" in error.what
    assert "Packages" in error.what


# A byte of Release that changes is refused, because it is signed.
@archives
def test_release_changed(place: Place) -> None:
    flip(place.archive.release, place.archive.release.read_bytes().index(b"Codename"))
    error = place.refused()
    assert f"{SUITE} InRelease' is not signed" in error.what


# A download that breaks off says so; the next one asks only for what is lacking.
@archives
def test_resumed(place: Place) -> None:
    place.server.most = SIZE // 2
    assert "apt-helper failed" in place.refused().what
    place.server.most = 1 << 30
    place.server.log.clear()
    assert place.fetch().version == "1.0-1"
    total = place.archive.deb("1.0-1").stat().st_size
    assert place.served() == [(f"{IMAGE}_1.0-1_amd64.deb", 206, total - SIZE // 2)]
    amounts = [step[1:] for step in place.steps if step[2]]
    assert amounts[0][0] == 0
    assert amounts[-2][0] > SIZE // 2  # what was there counts from the beginning
    assert amounts[-1][0] == amounts[-1][1] > total


# Without a network a fetch quotes apt, and the kernel in the cache is as good as ever.
@archives
def test_offline(place: Place) -> None:
    image = place.fetch()
    place.server.end()
    error = place.refused()
    assert "Could not connect to 127.0.0.1" in error.what
    assert place.server.uri in error.on
    assert packages.cached(TINY, place.cache) == image


# A suite or a package that the mirror does not have is named, in apt's words.
@archives
def test_unknown(place: Place) -> None:
    error = place.refused(Kernel("x", "none", META, "amd64", "host", "max", ()))
    assert "none Release' does not have a Release file" in error.what
    error = place.refused(Kernel("x", SUITE, "none", "amd64", "host", "max", ()))
    assert "E: No packages found" in error.what
    assert "expected/kernels.toml" in error.do


# Of two fetches at once one waits, and takes what the other has fetched.
@archives
def test_two_fetches(place: Place) -> None:
    images: list[packages.Image] = []
    fetches = [threading.Thread(target=lambda: images.append(place.fetch())) for _ in range(2)]
    for fetch in fetches:
        fetch.start()
    for fetch in fetches:
        fetch.join()
    assert images[0] == images[1]
    assert len(place.served()) == 2  # both packages, once
    assert any("waiting" in step[0] for step in place.steps)


# A cache that cannot be written is an error of three parts that names the place.
@archives
def test_no_room(place: Place) -> None:
    place.cache.touch()
    error = place.refused()
    assert error.what.startswith("the cache cannot be used: ")
    assert error.on.startswith(str(place.cache))


# What is not fetched is not there, and looking for it makes nothing.
def test_not_fetched(tmp_path: Path) -> None:
    assert packages.find(TINY, tmp_path / "cache") is None
    assert packages.cached(TINY, tmp_path / "cache") is None
    assert not (tmp_path / "cache").exists()


# What is missing on the machine is named with its package, before anything is done.
def test_no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "KEYRING", tmp_path)
    monkeypatch.setattr(packages, "TOOLS", {"sh": "dash", f"{tmp_path}/depmod": "kmod"})
    with pytest.raises(HarnessError) as caught:
        packages.fetch(TINY, tmp_path / "cache", lambda *_: None)
    assert str(caught.value).splitlines() == [
        f"no {tmp_path}/depmod",
        "  on: fetching a kernel from Debian",
        "  do: on Debian: apt-get install kmod",
    ]
    assert not (tmp_path / "cache").exists()


# A suite comes from apt's own mirror; a security suite from its security mirror, or, where apt has
# none, from the mirror beside its own.
def test_site(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = {"Debian": "http://m.example/debian/\n", "Debian-Security": "http://s.example/sec\n"}
    monkeypatch.setattr(userland, "apt_sites", lambda label="Debian": sites[label])
    assert packages.site("trixie") == "http://m.example/debian/"
    assert packages.site("bullseye-security") == "http://s.example/sec"
    sites["Debian-Security"] = ""
    assert packages.site("bullseye-security") == "http://m.example/debian-security"
