// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that sleep, and the sites where a tracer makes a program call another
 * function meanwhile. All are entered by the image's door, and what userspace
 * should see is that an interruption leaves no trace: the call goes on, or
 * fails with EINTR, and no -ERESTART code ever reaches a program that nobody
 * traces. A call by the vDSO is made again by the int $0x80 before the landing
 * pad, whatever it entered by.
 *
 * Each preparation has arg[0] = the read end of a pipe whose write end the
 * tracer holds: a byte written there is what the call waits for.
 */
#include "probe.h"

#include <linux/eventpoll.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <asm/poll.h>
#include <linux/time.h>

#define HOUR 3600

/*
 * A function such as a debugger has the program call: it makes a system call
 * of its own, and traps.
 */
SITE("to_called",
     "nop\n"
     LABEL("called") "movl $" N(getpid) ", %eax\n"
     ENTER
     "int3\n" LABEL_END);

/* The same, ended by a fault: hlt is a #GP in user code. */
SITE("to_called_badly",
     "nop\n"
     LABEL("called_badly") "movl $" N(getpid) ", %eax\n"
     ENTER
     "hlt\n" LABEL_END);

/*
 * A call, and then what only the kernel should make a program do: ask it to
 * go on with the call that was interrupted last.
 */
SITE("call_and_restart",
     LABEL("first") ENTER LABEL_END
     "movl $" N(restart_syscall) ", %eax\n"
     LABEL("second") ENTER LABEL_END);

/*
 * clone() without any flag or exit signal, whose child is gone at once. The
 * parent waits for one child, and then for one more: ECHILD, if the call was
 * made once.
 */
SITE("to_clone",
     "nop\n"
     LABEL("clone") ENTER LABEL_END
     "test" W " %" AX ", %" AX "\n"
     "jz 76f\n"
     "mov" W " $-1, %" R1 "\n"
     "xorl %" E2 ", %" E2 "\n"
     "movl $0x40000000, %" E3 "\n"		/* __WALL */
     "xor" W " %" R4 ", %" R4 "\n"
     "movl $" N(wait4) ", %eax\n"
     ENTER
     "push" W " $0x202\n"			/* flags of no interest */
     "popf" W "\n"
     "movl $" N(wait4) ", %eax\n"
     ENTER
     "jmp 77f\n"
     "76: xorl %" E1 ", %" E1 "\n"
     "movl $" N(exit) ", %eax\n"
     ENTER
     "77:\n");

/*
 * A long in the structures of a call: it follows the table that the call's
 * number is of, and not the program's width (x32's calls are 64-bit ones, and
 * int $0x80 makes 32-bit ones from anywhere).
 */
#if DOOR == SYSCALL
typedef uint64_t call_long;
#else
typedef uint32_t call_long;
#endif

struct call_timespec {
	call_long sec, nsec;
};

static struct call_timespec hour = { HOUR, 0 };

/* read(pipe, buffer, 1): ERESTARTSYS (fs/pipe.c pipe_read). */
SETUP(read_blocks)
{
	static uint8_t buffer[16];

	board->in_.ARG1 = board->arg[0];
	board->in_.ARG2 = address_of(buffer);
	board->in_.ARG3 = 1;
	return 0;
}

/* nanosleep(an hour, NULL): ERESTART_RESTARTBLOCK (kernel/time/hrtimer.c). */
SETUP(nanosleep_blocks)
{
	board->in_.ARG1 = address_of(&hour);
	board->in_.ARG2 = 0;
	return 0;
}

/*
 * clock_nanosleep(CLOCK_MONOTONIC, arg[1] = flags, ...): a relative one has a
 * restart block, an absolute one can be made again: ERESTARTNOHAND.
 */
SETUP(clock_nanosleep_blocks)
{
	static struct call_timespec far = { INT32_MAX, 0 };

	board->in_.ARG1 = CLOCK_MONOTONIC;
	board->in_.ARG2 = board->arg[1];
	board->in_.ARG3 = address_of(board->arg[1] & TIMER_ABSTIME ?
				     &far : &hour);
	board->in_.ARG4 = 0;
	return 0;
}

/* poll(pipe, arg[1] = timeout): ERESTART_RESTARTBLOCK (fs/select.c). */
SETUP(poll_blocks)
{
	static struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = board->arg[0];
	board->in_.ARG1 = address_of(&pollfd);
	board->in_.ARG2 = 1;
	board->in_.ARG3 = (unsigned long)board->arg[1];
	return 0;
}

/* epoll_wait(pipe, no timeout): EINTR at once (fs/eventpoll.c ep_poll). */
SETUP(epoll_blocks)
{
	static struct epoll_event event = { .events = EPOLLIN };
	long fd = sys(NR(epoll_create1), 0, 0, 0, 0), error;

	if (fd < 0)
		return -fd;
	error = sys(NR(epoll_ctl), fd, EPOLL_CTL_ADD, board->arg[0],
		    address_of(&event));
	board->in_.ARG1 = fd;
	board->in_.ARG2 = address_of(&event);
	board->in_.ARG3 = 1;
	board->in_.ARG4 = (unsigned long)-1;
	return -error;
}

/* ppoll(pipe, no timeout, arg[1] = signal mask meanwhile): ERESTARTNOHAND. */
SETUP(ppoll_blocks)
{
	static struct pollfd pollfd = { .events = POLLIN };

	pollfd.fd = board->arg[0];
	board->in_.ARG1 = address_of(&pollfd);
	board->in_.ARG2 = 1;
	board->in_.ARG3 = 0;
	board->in_.ARG4 = address_of(&board->arg[1]);
	board->in_.ARG5 = 8;
	return 0;
}

/* pselect6(pipe, no timeout, arg[1] = signal mask): ERESTARTNOHAND. */
SETUP(pselect_blocks)
{
	static uint8_t set[128] __attribute__((aligned(8)));
	static call_long mask[2];

	set[board->arg[0] / 8] = 1 << board->arg[0] % 8;
	mask[0] = address_of(&board->arg[1]);
	mask[1] = 8;				/* its size, by this ABI */
	board->in_.ARG1 = board->arg[0] + 1;
	board->in_.ARG2 = address_of(set);
	board->in_.ARG3 = 0;
	board->in_.ARG4 = 0;
	board->in_.ARG5 = 0;
	board->in_.ARG6 = address_of(mask);
	return 0;
}

/* rt_sigsuspend(arg[1] = signal mask): ERESTARTNOHAND (kernel/signal.c). */
SETUP(sigsuspend_blocks)
{
	board->in_.ARG1 = address_of(&board->arg[1]);
	board->in_.ARG2 = 8;
	return 0;
}

/*
 * Has a helper wait for the byte, and then make a futex call on result[15];
 * it stays afterwards, so that its end is no signal for the program.
 */
static int helper(struct origax_board *board, int op, int owns)
{
	uint32_t *word = (uint32_t *)&board->result[15];
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
	board->in_.ARG1 = address_of(word);
	return 0;
}

/* futex(FUTEX_LOCK_PI) of a lock that another holds: ERESTARTNOINTR. */
SETUP(lock_pi_blocks)
{
	board->in_.ARG2 = FUTEX_LOCK_PI;
	board->in_.ARG4 = 0;
	return helper(board, FUTEX_UNLOCK_PI, 1);
}

/*
 * futex(FUTEX_WAIT): ERESTART_RESTARTBLOCK with a timeout (arg[1]), otherwise
 * ERESTARTSYS (kernel/futex/waitwake.c futex_wait).
 */
SETUP(futex_wait_blocks)
{
	board->in_.ARG2 = FUTEX_WAIT;
	board->in_.ARG3 = 0;
	board->in_.ARG4 = board->arg[1] ? address_of(&hour) : 0;
	return helper(board, FUTEX_WAKE, 0);
}

/* A part of a ring, shared with the kernel; NULL if there is none. */
static void *ring_part(long ring, uint64_t offset, unsigned long size)
{
	long prot = 3;			/* PROT_READ | PROT_WRITE */
	long flags = 0x8001;		/* MAP_SHARED | MAP_POPULATE */
#ifdef __x86_64__
	long at = sys6(NR(mmap), 0, size, prot, flags, ring, offset);
#else
	long at = sys6(NR(mmap2), 0, size, prot, flags, ring, offset >> 12);
#endif
	return (unsigned long)at > -4096UL ? NULL : (void *)at;
}

/*
 * Has an io_uring wait for a pipe to become readable: a byte there makes the
 * kernel queue work for this very task (task_work_add() with TWA_SIGNAL), and
 * set TIF_NOTIFY_SIGNAL. The task's sleep then ends as by a signal, and there
 * is none.
 */
static int await_by_ring(int pipe)
{
	struct io_uring_params params = { 0 };
	long ring = sys(NR(io_uring_setup), 1, (long)&params, 0, 0);
	struct io_uring_sqe *sqe;
	uint8_t *queue;

	if (ring < 0)
		return -ring;
	queue = ring_part(ring, IORING_OFF_SQ_RING,
			  params.sq_off.array + sizeof(uint32_t));
	sqe = ring_part(ring, IORING_OFF_SQES, sizeof(*sqe));
	if (!queue || !sqe)
		return ENOMEM;
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = pipe;
	sqe->poll_events = POLLIN;
	*(uint32_t *)(queue + params.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(queue + params.sq_off.tail), 1,
			 __ATOMIC_RELEASE);
	return sys6(NR(io_uring_enter), ring, 1, 0, 0, 0, 0) == 1 ? 0 : EIO;
}

/* The preparations above, and arg[2] = the pipe that a ring waits for. */
#define WITH_WORK(name)							\
	SETUP(name##_with_work)						\
	{								\
		int error = setup_##name(board);			\
									\
		return error ? error : await_by_ring(board->arg[2]);	\
	}

WITH_WORK(read_blocks)
WITH_WORK(lock_pi_blocks)
WITH_WORK(nanosleep_blocks)
WITH_WORK(poll_blocks)

SETUP(with_work)
{
	return await_by_ring(board->arg[2]);
}
