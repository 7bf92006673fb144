# SPDX-License-Identifier: GPL-2.0-only
"""What pyproject.toml cannot say: cffi's modules, the freestanding programs, the commit, and the
files that are made of the command line's parser."""

import os
import sys
import time
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "cprobes"))

from distutils.command.install_data import install_data  # setuptools', which is imported above

from build import ROOT, BuildProbes
from conformance import cli, completion, manual, version

COMMIT = version.stamped(ROOT) or version.asked(ROOT)  # before anything is built in the checkout


def stamp(root: str) -> None:
    """Write the commit, if it is known, into a tree that is made of this one."""
    if COMMIT:
        path = Path(root, version.STAMP)
        path.unlink(missing_ok=True)  # sdist makes hard links
        path.write_text(f"{COMMIT}\n", encoding="ascii")


class BuildModules(build_py):
    """build_py that also says which commit it is; an editable install asks git."""

    def run(self) -> None:
        """Copy the modules."""
        super().run()
        if not self.editable_mode:
            stamp(self.build_lib)


class BuildSource(sdist):
    """sdist that carries the commit on."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the files."""
        super().make_release_tree(base_dir, files)
        stamp(base_dir)


class InstallShare(install_data):
    """install_data that also writes the manual page, and the completions of shells."""

    def run(self) -> None:
        """Write them where each program looks."""
        super().run()
        tree = manual.read(cli.parser())
        built = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
        for path, text in {
            "man/man1/origax.1": manual.page(tree, time.strftime("%Y-%m-%d", built)),
            "bash-completion/completions/origax": completion.bash(tree),
            "zsh/site-functions/_origax": completion.zsh(tree),
        }.items():
            target = Path(self.install_dir, "share", path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            self.outfiles.append(str(target))


setup(
    cffi_modules=["cprobes/build.py:ffibuilder"],
    cmdclass={
        "build_ext": BuildProbes, "build_py": BuildModules, "sdist": BuildSource,
        "install_data": InstallShare,
    },
    data_files=[("share/doc/origax", ["CHANGELOG.md"])],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
