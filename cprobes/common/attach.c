// SPDX-License-Identifier: GPL-2.0-only
/* Preparations of the family attach. */
#include "probe.h"

#include <linux/prctl.h>

/* read(pipe of arg[0], buffer, 1). */
static void prepare_read(struct origax_board *board)
{
	static uint8_t buffer[16];

	board->in_.ARG1 = board->arg[0];
	board->in_.ARG2 = address_of(buffer);
	board->in_.ARG3 = 1;
}

/*
 * That read() by a program that nobody without CAP_SYS_PTRACE may attach to
 * (kernel/ptrace.c __ptrace_may_access).
 */
SETUP(undumpable_read)
{
	prepare_read(board);
	return -sys(NR(prctl), PR_SET_DUMPABLE, 0, 0, 0);
}

#ifdef __NR_setresuid32
#define SETRESUID __NR_setresuid32	/* the other has 16 bits of each */
#else
#define SETRESUID __NR_setresuid
#endif
#define NOBODY 65534

enum { ALL_IDS = 1, EFFECTIVE = 2, WAS_EFFECTIVE = 4, DUMPABLE = 8 };

static long be_nobody(uint64_t how)
{
	long error;

	if (how & ALL_IDS)
		return sys(SETRESUID, NOBODY, NOBODY, NOBODY, 0);
	error = sys(SETRESUID, -1, NOBODY, -1, 0);
	if (how & WAS_EFFECTIVE && !error)
		error = sys(SETRESUID, -1, 0, -1, 0);
	return error;
}

/*
 * It by a program of root's that is another user's, or was, as
 * arg[1] says, and is made dumpable again, or is not: the change of ids takes
 * that away, and the signal of its parent's death (kernel/cred.c commit_creds).
 */
SETUP(nobodys_read)
{
	long error = be_nobody(board->arg[1]);

	prepare_read(board);
	if (!error)
		error = sys(NR(prctl), SET_PDEATHSIG, SIGKILL, 0, 0);
	if (!error && board->arg[1] & DUMPABLE)
		error = sys(NR(prctl), PR_SET_DUMPABLE, 1, 0, 0);
	return -error;
}
