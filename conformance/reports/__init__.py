# SPDX-License-Identifier: GPL-2.0-only
"""Reports: every one is made from records."""
