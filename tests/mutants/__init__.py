# SPDX-License-Identifier: GPL-2.0-only
"""Planted faults: kernels with deliberate leaks, and how many of them the suite catches."""
