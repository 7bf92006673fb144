# SPDX-License-Identifier: GPL-2.0-only
"""Begins origax.pyz: any Python that there is reads this, and learns that it is too old."""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "origax: this Python is too old\n  on: %s (%d.%d)\n"
        "  do: run origax.pyz with another, 3.11 or later: python3.11 origax.pyz\n"
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
    sys.exit(3)

import start

sys.exit(start.main())
