// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preparations that go wrong on purpose: the harness has to outlive each. Its
 * own tests use them, no case does.
 */
#include "probe.h"

/* Dies of SIGSEGV before the gate; with arg[0], not before it is seized. */
SETUP(crash)
{
	while (board->arg[0] &&
	       !__atomic_load_n(&board->attached, __ATOMIC_ACQUIRE))
		sys(NR(sched_yield), 0, 0, 0, 0);
	board = (struct origax_board *)(uintptr_t)board->result[15];
	*(volatile uint32_t *)&board->traced = 0;
	return 0;
}

/* Fails, as a setup does that is refused something. */
SETUP(refuse)
{
	(void)board;
	return EPERM;
}

/*
 * Leaves processes behind that nothing ties to it: each in a session of its
 * own, with every signal blocked that can be. arg[0] of them.
 */
SETUP(wild)
{
	uint64_t all = ~0ULL;
	uint64_t i;

	for (i = 0; i < board->arg[0]; i++) {
		if (sys(NR(clone), SIGCHLD, 0, 0, 0))
			continue;
		sys(NR(setsid), 0, 0, 0, 0);
		sys(NR(rt_sigprocmask), SIG_SETMASK, (long)&all, 0, 8);
		for (;;)
			sys(NR(pause), 0, 0, 0, 0);
	}
	return 0;
}
