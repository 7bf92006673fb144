// SPDX-License-Identifier: GPL-2.0-only
/* Sites and preparations of the family syscalls. */
#include "probe.h"

#include <linux/futex.h>

/*
 * A call in the last two bytes of a page: the return address is the first byte
 * of the next one. (The call of __kernel_vsyscall is longer, and elsewhere.)
 */
SITE("to_page_end",
     "jmp 76f\n"
     ".balign 4096, 0x90\n"
     ".skip 4094, 0x90\n"
     "76:\n" LABEL("page_end") ENTER LABEL_END);

/*
 * A call under the program's own TF. SYSCALL and int $0x80 clear TF on entry
 * (MSR_SYSCALL_MASK; the other by itself), so the first single-step trap comes
 * only after the kernel has returned. (By the vDSO: see ia32/fast.c.)
 */
#if DOOR != VDSO
SITE("tf_syscall",
     "pushf" W "\n"
     "or" W " $0x100, (%" SP ")\n"
     "popf" W "\n"
     LABEL("stepped") ENTER
     "pushf" W "\n" LABEL_END
     "and" W " $~0x100, (%" SP ")\n"
     "popf" W "\n");
#endif

/*
 * FUTEX_CMP_REQUEUE: a call that judges each of its six arguments by an error
 * of its own, and does nothing when all are right (kernel/futex/requeue.c).
 * arg[0] is added to each: bits above those that a 32-bit call has.
 */
SETUP(requeue)
{
	static uint32_t words[2] = { 0x51, 0 };
	uint64_t more = board->arg[0];

	board->in_.ARG1 = more + address_of(&words[0]);
	board->in_.ARG2 = more + (FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG);
	board->in_.ARG3 = more + 1;
	board->in_.ARG4 = more + 1;
	board->in_.ARG5 = more + address_of(&words[1]);
	board->in_.ARG6 = more + words[0];
	return 0;
}

#define NAP_NANOSECONDS 50000

/* How often the site is to sleep, yet. */
uint32_t origax_rounds __attribute__((visibility("hidden"), used));

/*
 * A sleep on the board, arg[0] times, while another program computes on this
 * CPU: to it the kernel switches back from an interrupt.
 */
SETUP(busy)
{
	struct __kernel_old_timespec *nap =
		(struct __kernel_old_timespec *)board->result;
	long pid = fork_tethered();

	if (pid == 0)
		for (;;)
			__asm__ volatile("pause");
	nap->tv_sec = 0;
	nap->tv_nsec = NAP_NANOSECONDS;
	origax_rounds = board->arg[0];
	return pid < 0 ? -pid : 0;
}
