# SPDX-License-Identifier: GPL-2.0-only
"""What is released of a commit: see ``python -m release --help``."""
