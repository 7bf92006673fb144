// SPDX-License-Identifier: GPL-2.0-only
/* Sites and preparations of the family signals. */
#include "probe.h"

/*
 * A call with the stack pointer in a register that is no argument of it: one
 * that no signal frame can be put at, nor read from. The vDSO needs a stack.
 */
#if DOOR == SYSCALL
#define ASTRAY BX
#else
#define ASTRAY BP
#endif
#if DOOR != VDSO
SITE("to_call_astray",
     "xchg" W " %" ASTRAY ", %" SP "\n"
     LABEL("call_astray") ENTER LABEL_END);
#endif

/* tgkill(): the program sends itself signal arg[0]. */
SETUP(to_oneself)
{
	board->in_.ARG1 = sys(NR(getpid), 0, 0, 0, 0);
	board->in_.ARG2 = sys(NR(gettid), 0, 0, 0, 0);
	board->in_.ARG3 = board->arg[0];
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
		mask |= 1ULL << ((signo < 0 ? -signo : signo) - 1);
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
	board->in_.ARG1 = SIG_SETMASK;
	board->in_.ARG2 = address_of(&none);
	board->in_.ARG3 = 0;
	board->in_.ARG4 = 8;
	return 0;
}
