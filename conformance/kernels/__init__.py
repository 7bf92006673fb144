# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: which must be covered, and where they come from."""
