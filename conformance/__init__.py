# SPDX-License-Identifier: GPL-2.0-only
"""origax: a conformance suite for the user ABI of x86 kernel entry."""

from typing import Final

VERSION: Final = "0.1.0"
