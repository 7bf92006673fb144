# SPDX-License-Identifier: GPL-2.0-only
"""The suite on many boxes at once: what goes to each, what comes back, and that nothing stays."""
