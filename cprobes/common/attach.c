// SPDX-License-Identifier: GPL-2.0-only
/* Preparations of the family attach. */
#include "probe.h"

#include <linux/prctl.h>

/*
 * read(pipe of arg[0], buffer, 1) by a program that nobody without
 * CAP_SYS_PTRACE may attach to (kernel/ptrace.c __ptrace_may_access).
 */
SETUP(undumpable_read)
{
	static uint8_t buffer[16];

	board->in_.ARG1 = board->arg[0];
	board->in_.ARG2 = address_of(buffer);
	board->in_.ARG3 = 1;
	return -sys(NR(prctl), PR_SET_DUMPABLE, 0, 0, 0);
}
