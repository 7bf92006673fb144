# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: which must be covered, where they come from, and the suite in guests."""
