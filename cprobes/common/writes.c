// SPDX-License-Identifier: GPL-2.0-only
/* The site of the family writes. */
#include "probe.h"

/*
 * A system call, with room behind it: a step from behind the call ends within
 * the site, and a tracer that writes ip has a place to put it past the call.
 */
SITE("writes", ENTER "nop\nnop\n");
