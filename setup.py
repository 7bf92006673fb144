# SPDX-License-Identifier: GPL-2.0-only
"""What pyproject.toml cannot say: cffi's modules, and the freestanding programs."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "cprobes"))

from build import BuildProbes

setup(
    cffi_modules=["cprobes/build.py:ffibuilder"],
    cmdclass={"build_ext": BuildProbes},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
