# SPDX-License-Identifier: GPL-2.0-only
"""The environments that must be covered: reading and choosing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.kernels import environments

GOOD = """\
[[kernel]]
name = "6.1"
suite = "bookworm"
package = "linux-image-amd64"
arch = "amd64"
root = "host"
cpu = "max,smap=off"
cmdline = ["quiet"]
"""


def load(directory: Path, text: str) -> tuple[environments.Kernel, ...]:
    (directory / "kernels.toml").write_text(text)
    return environments.load(directory)


# The project's own file is sound, and covers what it must, in this order.
def test_own_file(expected: Path) -> None:
    kernels = environments.load(expected)
    variants = ("intel", "x32", "xonly", "noapictimer")
    assert [kernel.name for kernel in kernels] == [
        *("5.10", "6.1", "6.12", "sid", "6.1-686", "5.10-686"),
        *(f"6.12-{variant}" for variant in variants),
        *(f"sid-{variant}" for variant in variants),
    ]
    assert all("smap=off" in kernel.cpu.split(",") for kernel in kernels)


# Every key arrives where it belongs, and the kernel's options may be left out.
def test_kernel(tmp_path: Path) -> None:
    (kernel,) = load(tmp_path, GOOD)
    assert kernel == environments.Kernel(
        "6.1", "bookworm", "linux-image-amd64", "amd64", "host", "max,smap=off", ("quiet",)
    )
    (bare,) = load(tmp_path, GOOD.replace('cmdline = ["quiet"]\n', ""))
    assert bare.cmdline == ()


# Each mistake is refused, and the error says which table of which file, and what is wrong there.
@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('arch = "amd64"\n', "", "'arch' is missing"),
        ('arch = "amd64"', 'arch = "arm64"', "'arch' is 'arm64'"),
        ('arch = "amd64"', 'arch = "i386"', "a 32-bit kernel cannot run"),
        ('root = "host"', 'root = "/"', "'root' is '/'"),
        ('suite = "bookworm"', 'suite = "../bookworm"', "'suite' is '../bookworm'"),
        ('package = "linux-image-amd64"', 'package = "a b"', "'package' is 'a b'"),
        ('cpu = "max,smap=off"', "cpu = 1", "'cpu' is missing, empty or no text"),
        ('cpu = "max,smap=off"', 'cpu = "max smap"', "'max smap' is not one word"),
        ('cmdline = ["quiet"]', 'cmdline = "quiet"', "'cmdline' is missing or no list"),
        ('cmdline = ["quiet"]', 'cmdline = ["a b"]', "'a b' is not one word"),
        ('name = "6.1"', 'name = "all"', "'all' means every kernel"),
        ("cmdline", "options", "there is no key 'options'"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert caught.value.what.startswith(what)
    assert caught.value.on == f"{tmp_path}/kernels.toml, kernel 1"


# So is what is wrong with the whole file: none, no TOML, no kernel, another table, a name twice.
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "the file cannot be read"),
        ("[[kernel]", "the file is not TOML"),
        ("", "there is no kernel"),
        (GOOD + "[machine]\n", "there is no key 'machine'"),
        (GOOD + GOOD, "two kernels are named '6.1'"),
    ],
)
def test_garbled_file(tmp_path: Path, text: str | None, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        environments.load(tmp_path) if text is None else load(tmp_path, text)
    assert caught.value.what.startswith(what)
    assert caught.value.on.startswith(f"{tmp_path}/kernels.toml")


# Names choose kernels, once each and in the file's order; none, or `all`, means all.
def test_select(expected: Path) -> None:
    kernels = environments.load(expected)
    assert environments.select(kernels, []) == kernels
    assert environments.select(kernels, ["all"]) == kernels
    chosen = environments.select(kernels, ["sid", "5.10", "sid"])
    assert [kernel.name for kernel in chosen] == ["5.10", "sid"]


# A name that no kernel has is refused, with the names near it, even beside one that fits.
def test_select_unknown(expected: Path) -> None:
    with pytest.raises(UsageError) as caught:
        environments.select(environments.load(expected), ["all", "6.12-intl"])
    assert caught.value.on == "6.12-intl"
    assert "near it: 6.12-intel" in caught.value.do
