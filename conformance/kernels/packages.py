# SPDX-License-Identifier: GPL-2.0-only
"""Kernels out of Debian's archive: fetched by apt, checked, and unpacked in the user's cache.

apt does what it does best: it checks the signature of Release, the hashes of Packages and of each
package, takes up a download where it broke off, and asks a mirror only for what has changed. It
runs with the machine's own settings (proxies, certificates, passwords), but with sources, lists
and a status of its own; the machine's packages are neither seen nor touched.

In the cache, one directory for each suite and architecture::

    bookworm-amd64/lock             held while one fetches
                   apt.conf, sources.list, status, lists/
                   linux-image-amd64 -> linux-image-amd64_6.1.176-1
                   linux-image-amd64_6.1.176-1/           the packages, unpacked
                   linux-image-amd64_6.1.176-1/SHA256SUMS
                   linux-image-amd64.debs/                while they are fetched

The packages go once they are unpacked: SHA256SUMS then says what apt's hashes said, of what is
used, and a third of the space is saved.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from conformance import cache as caches
from conformance import userland
from conformance.errors import HarnessError
from conformance.kernels.environments import Kernel
from conformance.userland import FOLLOW, KEYRING, PATH

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many; 0 of 0 where that is not known."""

HELPER: Final = "/usr/lib/apt/apt-helper"
"""Unlike ``apt-get download``, its ``download-file`` takes up what is there in part."""

TOOLS: Final = {"apt-get": "apt", HELPER: "apt", "dpkg-deb": "dpkg", "depmod": "kmod"}
"""What is run, and the package that has it."""

MANIFEST: Final = "SHA256SUMS"
TICK: Final = 0.25
"""Seconds between two reports of a download."""

_CONFIGURATION: Final = """\
// Read after the machine's own settings: see apt.conf(5), and -c in apt-get(8).
#clear APT::Update;
#clear APT::Default-Release;
Dir::State "{place}";
Dir::State::lists "lists/";
Dir::State::status "{place}/status";
Dir::Cache "{place}";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{place}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "{arch}";
APT::Architectures "{arch}";
APT::Sandbox::User "root"; // another user could not read this directory
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::AllowReleaseInfoChange "true"; // stable becomes oldstable
"""
# The hooks (APT::Update) are for the machine's own lists.


class Package(Protocol):
    """What is fetched: a package, and where it is from. A `Kernel` is one."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def suite(self) -> str:
        """Debian's suite."""

    @property
    def arch(self) -> str:
        """Debian's architecture."""

    @property
    def package(self) -> str:
        """The package; it may be one that only depends on it."""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a kernel, as Debian packages it: a `Package`."""

    name: str
    suite: str
    package: str = "linux-source"
    arch: str = "amd64"


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel in the cache."""

    vmlinuz: Path
    release: str
    """What ``uname -r`` says in it."""
    version: str
    """The package's."""
    modules: Path
    """The directory of its modules, lib/modules/RELEASE, with modules.dep."""


@dataclass(frozen=True, slots=True)
class _Deb:
    """A package as the archive lists it."""

    uri: str
    path: Path
    """Where it goes here."""
    size: int
    hash: str
    """``SHA256:`` and the digest in hexadecimal, as apt writes it."""


def location(environ: Mapping[str, str]) -> Path:
    """Give the kernels' place in the user's cache; it may not be there."""
    return caches.directory(environ) / "kernels"


def site(suite: str) -> str:
    """Give the URI of the archive that has a suite: apt's own mirror, or its one for security.

    :raises HarnessError: apt has no mirror of Debian
    """
    if not suite.endswith("-security"):
        return userland.mirror(userland.apt_sites())
    sites = userland.apt_sites("Debian-Security")
    if sites.strip():
        return userland.mirror(sites)
    return f"{userland.mirror(userland.apt_sites()).rstrip('/')}-security"


def require_tools() -> None:
    """Make sure that kernels can be fetched.

    :raises HarnessError: a package is missing
    """
    lacking = {tool: own for tool, own in TOOLS.items() if not shutil.which(tool, path=PATH)}
    if not KEYRING.exists():
        lacking[str(KEYRING)] = "debian-archive-keyring"
    if lacking:
        raise HarnessError(
            f"no {' and no '.join(lacking)}", "fetching a kernel from Debian",
            f"on Debian: apt-get install {' '.join(dict.fromkeys(lacking.values()))}",
        )  # fmt: skip


# What is in the cache


def find(kernel: Kernel, cache: Path) -> Image | None:
    """Give the kernel in the cache, if there is one, without checking it.

    :param cache: as `location` gives it
    :raises HarnessError: it is there, and holds no kernel
    """
    link = _place(kernel, cache) / kernel.package
    return _image(link.resolve()) if link.exists() else None


def cached(kernel: Kernel, cache: Path) -> Image | None:
    """Give the kernel in the cache, if there is one, with every byte as it was unpacked.

    Needs neither apt nor a network.

    :param cache: as `location` gives it
    :raises HarnessError: a file has changed
    """
    image = find(kernel, cache)
    if image:
        _verify((_place(kernel, cache) / kernel.package).resolve(), kernel)
    return image


def _place(package: Package, cache: Path) -> Path:
    return cache / f"{package.suite}-{package.arch}"


def _image(root: Path) -> Image:
    """Find the kernel in unpacked packages: /boot has it, or (Linux 7) the modules' directory."""
    for modules in sorted((root / "lib/modules").glob("*/")):
        release = modules.name
        for vmlinuz in (root / f"boot/vmlinuz-{release}", modules / "vmlinuz"):
            if vmlinuz.is_file():
                return Image(vmlinuz, release, root.name.partition("_")[2], modules)
    raise HarnessError(
        "there is no kernel with modules in the packages", str(root),
        "name a package in expected/kernels.toml that is a kernel, or depends on one",
    )  # fmt: skip


def _verify(root: Path, package: Package) -> None:
    """Compare what is there with what was unpacked.

    :raises HarnessError: naming the first file that is another, missing, or was not there
    """
    changed = "the manifest"
    path = root / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        seen = dict(_digests(root))
        names = (name for name in seen.keys() | listed if seen.get(name) != listed.get(name))
        name = min(names, default=None)
        if name is None:
            return
        changed, path = "a file", root / name
        if name not in seen or name not in listed:
            changed = "a file that is missing" if name in listed else "a file that is new"
    except (OSError, ValueError) as error:
        changed = f"a file that cannot be read ({error})"
    raise HarnessError(
        f"{package.package} in the cache is not as it was unpacked: {changed}", str(path),
        f"see that the disk is sound, then: rm -r {shlex.quote(str(root))}; "
        f"origax kernels fetch {package.name}",
    )  # fmt: skip


def _digests(root: Path) -> Iterator[tuple[str, str]]:
    """Give each file but the manifest with its SHA256: a hash lets go of Python's lock."""
    paths = [
        os.path.join(directory, name)  # noqa: PTH118 (thousands of them)
        for directory, _, names in os.walk(root)
        for name in names
    ]
    names = [path.removeprefix(f"{root}/") for path in paths if not os.path.islink(path)]  # noqa: PTH114
    names.remove(MANIFEST) if MANIFEST in names else None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(names, pool.map(lambda name: _digest(root / name), names), strict=True)


def _digest(path: Path, kind: str = "sha256") -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


# Fetching


def fetch_all(kernels: Iterable[Kernel], cache: Path, progress: Progress) -> tuple[Image, ...]:
    """Fetch kernels, each package once, in the order of their first use.

    :param cache: as `location` gives it
    :raises HarnessError: as `fetch` does; those before it are there then
    """
    packages = {(kernel.suite, kernel.arch, kernel.package): kernel for kernel in kernels}
    return tuple(fetch(kernel, cache, progress) for kernel in packages.values())


def fetch(kernel: Kernel, cache: Path, progress: Progress) -> Image:
    """Have the newest kernel of a suite in the cache; download nothing that is there already.

    :param cache: as `location` gives it; it may not be there
    :raises HarnessError: it cannot be had, or something on the way is not what the archive lists
    """
    root = _have(kernel, cache, progress, _Archive.finish_image)
    image = _image(root)
    progress(f"{kernel.suite}: {root.name.replace('_', ' ')} is here, Linux {image.release}", 0, 0)
    return image


def fetch_source(source: Source, cache: Path, progress: Progress) -> Path:
    """Have the newest source of a suite in the cache; returns its archive, a tar.xz.

    :param cache: as `location` gives it; it may not be there
    :raises HarnessError: as `fetch` does
    """
    root = _have(source, cache, progress, lambda archive, part: None)
    (tarball,) = root.glob("usr/src/linux-source-*.tar.xz")
    return tarball


def _have(
    package: Package, cache: Path, progress: Progress, finish: Callable[[_Archive, Path], None]
) -> Path:
    """Have the newest version of a package, with all that belongs to it, unpacked and checked.

    :param finish: does what is to be done with it before it is listed in the manifest
    """
    require_tools()
    place = _place(package, cache)
    with _disk(place), caches.locked(place / "lock", lambda text: progress(text, 0, 0)) as lock:
        archive = _Archive(package, place, site(package.suite), lock, progress)
        archive.update()
        version, names = archive.resolve()
        root = place / f"{package.package}_{version}"
        if not root.is_dir():
            debs = archive.download(version, names)
            with caches.whole(root) as part:
                archive.unpack(debs, part)
                finish(archive, part)
                _list(part)
        _settle(place / package.package, root)
        _verify(root, package)
    return root


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error of ours."""
    try:
        yield
    except OSError as error:
        raise HarnessError(
            f"the cache cannot be used: {error.strerror}", error.filename or str(place),
            "make room and give permission there, or set XDG_CACHE_HOME; what is whole is kept",
        ) from None  # fmt: skip


def _settle(link: Path, root: Path) -> None:
    """Point the package's name to its newest version, and remove what is no longer needed."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(root.name)
    new.replace(link)
    for old in link.parent.glob(f"{link.name}_*"):
        if old != root:
            shutil.rmtree(old)
    shutil.rmtree(_debs(link), ignore_errors=True)


def _debs(link: Path) -> Path:
    return link.with_name(f"{link.name}.debs")


@dataclass(frozen=True, slots=True)
class _Archive:
    """One suite for one architecture, by an apt of its own."""

    package: Package
    place: Path
    site: str
    lock: int
    progress: Progress

    def update(self) -> None:
        """Have the newest lists."""
        (self.place / "lists/partial").mkdir(parents=True, exist_ok=True)
        files = {
            "apt.conf": _CONFIGURATION.format(place=self.place, arch=self.package.arch),
            "sources.list": f"deb [signed-by={KEYRING} target=Packages]"
            f" {self.site} {self.package.suite} main\n",
            "status": "",
        }
        for name, text in files.items():
            (self.place / name).write_text(text, encoding="utf-8")
        self.progress(f"{self.package.suite}: lists of {self.package.arch}", 0, 0)
        self._run(
            [*self._apt("apt-get"), "update"],
            f"see that there is a network, and that {self.site} has {self.package.suite}; if it is "
            "a signature or a hash that is wrong, that mirror is not to be trusted now",
        )

    def resolve(self) -> tuple[str, list[str]]:
        """Give the newest version of the package, and the names of all that belongs to it.

        A kernel may come in parts, and the package that is named may only depend on it: what
        belongs to it is what is depended on in exactly this version, again and again.
        """
        (first, *_) = found = self._show([self.package.package])
        version = first["Version"]
        names = {self.package.package}
        while found:
            new = {name for stanza in found for name in _exact(stanza, version)} - names
            names |= new
            found = self._show([f"{name}={version}" for name in sorted(new)])
        return version, sorted(names)

    def _show(self, names: Sequence[str]) -> list[dict[str, str]]:
        if not names:
            return []
        shown = self._run(
            [*self._apt("apt-cache"), "show", "--no-all-versions", *names],
            f"name a package in expected/kernels.toml that {self.package.suite} has "
            f"for {self.package.arch}",
        )
        return [
            {key: value for key, _, value in (line.partition(": ") for line in text.splitlines())}
            for text in shown.strip().split("\n\n")
        ]

    def download(self, version: str, names: Sequence[str]) -> list[_Deb]:
        """Have all packages here, each with the hash that apt's lists give."""
        directory = _debs(self.place / self.package.package)
        directory.mkdir(exist_ok=True)
        uris = self._run(
            [*self._apt("apt-get"), "download", "--print-uris",
             *(f"{name}={version}" for name in names)],
            "see what apt says",
        )  # fmt: skip
        debs = [
            _Deb(uri, directory / name, int(size), digest)
            for uri, name, size, digest in map(shlex.split, uris.splitlines())
        ]
        missing = [deb for deb in debs if _size(deb) < deb.size]
        for deb in debs:
            if deb not in missing:
                _check(deb)  # before anything is downloaded in vain
        self._download(debs, missing, f"{self.package.suite}: {self.package.package} {version}")
        for deb in missing:
            _check(deb)
        return debs

    def _download(self, debs: Sequence[_Deb], missing: Sequence[_Deb], label: str) -> None:
        if not missing:
            return
        total = sum(deb.size for deb in debs)
        wanted = [word for deb in missing for word in (deb.uri, str(deb.path), deb.hash)]
        self._run(
            [*self._apt(HELPER), "download-file", *wanted],
            "see that there is a network and room; if it is a hash that is wrong, that mirror is "
            "not to be trusted now; what is here is kept, and the next fetch goes on from there",
            lambda: self.progress(label, sum(map(_size, debs)), total),
        )
        self.progress(label, total, total)

    def unpack(self, debs: Sequence[_Deb], part: Path) -> None:
        """Unpack packages that were checked."""
        self.progress(f"{self.package.suite}: unpacking {self.package.package}", 0, 0)
        part.mkdir()
        for deb in debs:
            self._run(["dpkg-deb", "-x", str(deb.path), str(part)], "see that there is room")

    def finish_image(self, part: Path) -> None:
        """Have the modules of a kernel where they are looked for, and their dependencies listed."""
        _bridge(part)
        release = _image(part).release
        self._run(["depmod", "-b", str(part), release], "see what depmod says")

    def _apt(self, tool: str) -> list[str]:
        return [tool, "-q", "-c", str(self.place / "apt.conf")]

    def _run(self, command: Sequence[str], do: str, watch: Callable[[], None] | None = None) -> str:
        """Run a program that is not to outlive us; returns what it prints.

        :param watch: called now and then
        :raises HarnessError: it fails; quotes what it says
        """
        environ = {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8"}
        with subprocess.Popen(
            [*FOLLOW, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="utf-8", errors="replace", env=environ,
            pass_fds=(self.lock,),
        ) as running:  # fmt: skip
            while True:
                if watch:
                    watch()
                try:
                    output, errors = running.communicate(timeout=TICK)
                    break
                except subprocess.TimeoutExpired:
                    continue
        if running.returncode:
            name = Path(command[0]).name
            raise HarnessError(
                f"{name} failed: {_quoted(errors) or f'exit code {running.returncode}'}",
                f"{self.package.name}: {self.package.package} of {self.package.suite}, {self.site}",
                do,
            )
        return output


def _exact(stanza: Mapping[str, str], version: str) -> Iterator[str]:
    """Name what a package depends on in exactly this version."""
    for clause in stanza.get("Depends", "").split(", "):
        name, _, relation = clause.partition(" ")
        if relation == f"(= {version})":
            yield name


def _quoted(errors: str) -> str:
    """Give a program's own message: apt's errors and warnings, or the first and the last line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(("E: ", "W: "))]
    return "; ".join(dict.fromkeys(said or lines[:1] + lines[-1:]))


def _size(deb: _Deb) -> int:
    """Give how many bytes of a package are here."""
    try:
        return deb.path.stat().st_size
    except FileNotFoundError:
        return 0


def _check(deb: _Deb) -> None:
    kind, _, digest = deb.hash.partition(":")
    if _digest(deb.path, kind.lower()) != digest:
        raise HarnessError(
            f"the package is not the one that the archive lists (its {kind} differs)",
            str(deb.path), "see that the disk is sound, delete that file, and fetch again",
        )  # fmt: skip


def _list(root: Path) -> None:
    """Write the manifest: the hash of every file that was unpacked."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(_digests(root)))
    (root / MANIFEST).write_text(text, encoding="utf-8")


def _bridge(root: Path) -> None:
    """Have modules at /lib/modules and at /usr/lib/modules, wherever the packages put them."""
    old, new = root / "lib", root / "usr/lib"
    if not old.exists():
        old.symlink_to("usr/lib")
    elif not (new / "modules").exists():
        new.mkdir(parents=True, exist_ok=True)
        (new / "modules").symlink_to("../../lib/modules")
