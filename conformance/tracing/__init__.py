# SPDX-License-Identifier: GPL-2.0-only
"""Tracing: ptrace requests, one stop through every view, and a tracee's life."""
