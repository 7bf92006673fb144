// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that sleep, and the sites where a tracer makes a program call another
 * function meanwhile. All but `called` are entered by SYSCALL, and what
 * userspace should see is that an interruption leaves no trace: the call goes
 * on, or fails with EINTR, and no -ERESTART code ever reaches a program that
 * nobody traces.
 *
 * Each preparation has arg[0] = the read end of a pipe whose write end the
 * tracer holds: a byte written there is what the call waits for.
 */
#include "probe.h"

#include <linux/futex.h>
#include <asm/poll.h>
#include <linux/time.h>

#define HOUR 3600

/*
 * A function such as a debugger has the program call: it makes a system call
 * of its own, and traps.
 */
SITE("to_called",
     "nop\n"
     LABEL("called") "movl $39, %eax\n"		/* getpid */
     "syscall\n"
     "int3\n" LABEL_END);

/* The same, ended by a fault: hlt is a #GP in user code. */
SITE("to_called_badly",
     "nop\n"
     LABEL("called_badly") "movl $39, %eax\n"
     "syscall\n"
     "hlt\n" LABEL_END);

/*
 * A call, and then what only the kernel should make a program do: ask it to
 * go on with the call that was interrupted last.
 */
SITE("call_and_restart",
     LABEL("first") "syscall\n" LABEL_END
     "movl $219, %eax\n"			/* restart_syscall */
     LABEL("second") "syscall\n" LABEL_END);

/*
 * clone() without any flag or exit signal, whose child is gone at once. The
 * parent waits for one child, and then for one more: ECHILD, if the call was
 * made once.
 */
SITE("to_clone",
     "nop\n"
     LABEL("clone") "syscall\n" LABEL_END
     "testq %rax, %rax\n"
     "jz 76f\n"
     "movq $-1, %rdi\n"
     "xorl %esi, %esi\n"
     "movl $0x40000000, %edx\n"			/* __WALL */
     "xorl %r10d, %r10d\n"
     "movl $61, %eax\n"				/* wait4 */
     "syscall\n"
     "pushq $0x202\n"				/* flags of no interest */
     "popfq\n"
     "movl $61, %eax\n"
     "syscall\n"
     "jmp 77f\n"
     "76: xorl %edi, %edi\n"
     "movl $60, %eax\n"				/* exit */
     "syscall\n"
     "77:\n");

static struct __kernel_old_timespec hour = { HOUR, 0 };

/* read(pipe, buffer, 1): ERESTARTSYS (fs/pipe.c pipe_read). */
SETUP(read_blocks)
{
	static uint8_t buffer[16];

	board->in_.di = board->arg[0];
	board->in_.si = (uint64_t)buffer;
	board->in_.dx = 1;
	return 0;
}

/* nanosleep(an hour, NULL): ERESTART_RESTARTBLOCK (kernel/time/hrtimer.c). */
SETUP(nanosleep_blocks)
{
	board->in_.di = (uint64_t)&hour;
	board->in_.si = 0;
	return 0;
}

/*
 * clock_nanosleep(CLOCK_MONOTONIC, arg[1] = flags, ...): a relative one has a
 * restart block, an absolute one can be made again: ERESTARTNOHAND.
 */
SETUP(clock_nanosleep_blocks)
{
	static struct __kernel_old_timespec far = { INT32_MAX, 0 };

	board->in_.di = CLOCK_MONOTONIC;
	board->in_.si = board->arg[1];
	board->in_.dx = (uint64_t)(board->arg[1] & TIMER_ABSTIME ? &far : &hour);
	board->in_.r10 = 0;
	return 0;
}

/* poll(pipe, arg[1] = timeout): ERESTART_RESTARTBLOCK (fs/select.c). */
SETUP(poll_blocks)
{
	static struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = board->arg[0];
	board->in_.di = (uint64_t)&pollfd;
	board->in_.si = 1;
	board->in_.dx = board->arg[1];
	return 0;
}

/* ppoll(pipe, no timeout, arg[1] = signal mask meanwhile): ERESTARTNOHAND. */
SETUP(ppoll_blocks)
{
	static struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = board->arg[0];
	board->in_.di = (uint64_t)&pollfd;
	board->in_.si = 1;
	board->in_.dx = 0;
	board->in_.r10 = (uint64_t)&board->arg[1];
	board->in_.r8 = 8;
	return 0;
}

/* pselect6(pipe, no timeout, arg[1] = signal mask): ERESTARTNOHAND. */
SETUP(pselect_blocks)
{
	static unsigned long set[16], *mask[2];

	set[board->arg[0] / 64] = 1UL << board->arg[0] % 64;
	mask[0] = (unsigned long *)&board->arg[1];
	mask[1] = (unsigned long *)8;		/* its size, by this ABI */
	board->in_.di = board->arg[0] + 1;
	board->in_.si = (uint64_t)set;
	board->in_.dx = 0;
	board->in_.r10 = 0;
	board->in_.r8 = 0;
	board->in_.r9 = (uint64_t)mask;
	return 0;
}

/* rt_sigsuspend(arg[1] = signal mask): ERESTARTNOHAND (kernel/signal.c). */
SETUP(sigsuspend_blocks)
{
	board->in_.di = (uint64_t)&board->arg[1];
	board->in_.si = 8;
	return 0;
}

/*
 * Has a helper wait for the byte, and then make a futex call on result[15];
 * it stays afterwards, so that its end is no signal for the program.
 */
static int helper(struct origax_board *board, int op, int owns)
{
	uint64_t *word = &board->result[15];
	uint8_t byte;
	long pid = fork_tethered();

	if (pid < 0)
		return -pid;
	if (pid == 0) {
		if (owns)
			__atomic_store_n(word, sys(NR(gettid), 0, 0, 0, 0),
					 __ATOMIC_RELEASE);
		while (sys(NR(read), board->arg[0], (long)&byte, 1, 0) != 1)
			;
		sys(NR(futex), (long)word, op, 1, 0);
		for (;;)
			sys(NR(pause), 0, 0, 0, 0);
	}
	while (owns && !__atomic_load_n(word, __ATOMIC_ACQUIRE))
		sys(NR(sched_yield), 0, 0, 0, 0);
	board->in_.di = (uint64_t)word;
	return 0;
}

/* futex(FUTEX_LOCK_PI) of a lock that another holds: ERESTARTNOINTR. */
SETUP(lock_pi_blocks)
{
	board->in_.si = FUTEX_LOCK_PI;
	board->in_.r10 = 0;
	return helper(board, FUTEX_UNLOCK_PI, 1);
}

/*
 * futex(FUTEX_WAIT): ERESTART_RESTARTBLOCK with a timeout (arg[1]), otherwise
 * ERESTARTSYS (kernel/futex/waitwake.c futex_wait).
 */
SETUP(futex_wait_blocks)
{
	board->in_.si = FUTEX_WAIT;
	board->in_.dx = 0;
	board->in_.r10 = board->arg[1] ? (uint64_t)&hour : 0;
	return helper(board, FUTEX_WAKE, 0);
}
