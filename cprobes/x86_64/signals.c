// SPDX-License-Identifier: GPL-2.0-only
/* Sites and preparations of the family signals. */
#include "probe.h"

#include <linux/resource.h>

/*
 * SYSCALL with the stack pointer in bx: one that no signal frame can be put
 * at, nor read from.
 */
SITE("to_call_astray",
     "xchgq %rbx, %rsp\n"
     LABEL("call_astray") "syscall\n" LABEL_END);

/*
 * This program is to die by a signal that dumps core. A limit of one byte has
 * no core written anywhere, not even where a program takes it from a pipe
 * (fs/coredump.c do_coredump).
 */
static void no_core(void)
{
	struct rlimit one = { 1, 1 };

	sys(NR(setrlimit), RLIMIT_CORE, (long)&one, 0, 0);
}

SETUP(no_core)
{
	(void)board;
	no_core();
	return 0;
}

/* tgkill(): the program sends itself signal arg[0]. No core. */
SETUP(to_oneself)
{
	no_core();
	board->in_.di = sys(NR(getpid), 0, 0, 0, 0);
	board->in_.si = sys(NR(gettid), 0, 0, 0, 0);
	board->in_.dx = board->arg[0];
	return 0;
}

/*
 * rt_sigprocmask() that blocks no signal any more, with those of arg[] pending
 * until then: each sent to the one task, or, if negative, to the process. An
 * ordinary signal can be pending twice that way.
 */
SETUP(pending)
{
	static uint64_t none;
	uint64_t mask = 0;
	long pid = sys(NR(getpid), 0, 0, 0, 0);
	long tid = sys(NR(gettid), 0, 0, 0, 0);
	int i, signo;

	for (i = 0; i < 16 && board->arg[i]; i++) {
		signo = board->arg[i];
		mask |= 1UL << ((signo < 0 ? -signo : signo) - 1);
	}
	board->blocked |= mask;
	sys(NR(rt_sigprocmask), SIG_BLOCK, (long)&mask, 0, 8);
	for (i = 0; i < 16 && board->arg[i]; i++) {
		signo = board->arg[i];
		if (signo < 0)
			sys(NR(kill), pid, -signo, 0, 0);
		else
			sys(NR(tgkill), pid, tid, signo, 0);
	}
	board->in_.di = SIG_SETMASK;
	board->in_.si = (uint64_t)&none;
	board->in_.dx = 0;
	board->in_.r10 = 8;
	return 0;
}
