# SPDX-License-Identifier: GPL-2.0-only
"""``python -m conformance``."""

import sys

from conformance.cli import main

sys.exit(main())
