// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames: stops of a spinning program, each inside the frame of one interrupt.
 *
 * What stops a program while it runs user code is an interrupt: its entry code
 * pushes a frame, and on the way back to user space the kernel finds the
 * signal, or the PTRACE_INTERRUPT, that a tracer sees. So the tracer makes an
 * interrupt of the path in question arrive while the program spins, and has
 * the program stop before it gets out of that frame:
 *
 * - READ and SLEEP: the tracer is on the program's CPU. The interrupt that ends
 *   its waiting preempts the program for it; PTRACE_INTERRUPT finds it there.
 * - WATCH and BUSY: the tracer is on another CPU. PTRACE_INTERRUPT kicks a
 *   running program by an interrupt of its own.
 * - SIGNAL and CALL: the interrupt itself brings the signal.
 */
#include "tracer.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <linux/rseq.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "spin.h"

#define BLOCK 4096
#define LONGEST 10000000UL	/* nanoseconds to SLEEP or be BUSY */
#define PATIENCE 1000		/* unproven stops in a row; then it is shown */
#define SLICE 100000UL		/* nanoseconds: the least that a kernel takes */

#ifndef PTRACE_INTERRUPT
#define PTRACE_INTERRUPT 0x4207
#endif

/* Have the spinning program pass once more through its way in. */
void origax_ask(uint64_t entry)
{
	ask_to_pass(origax_board(), entry);
}

static int spins(void)
{
	return __atomic_load_n(&origax_board()->spinning, __ATOMIC_SEQ_CST);
}

/* Take the bad pointer away, or the kernel would find it again. */
static void disarm(struct origax_board *board)
{
	__atomic_store_n(&rseq_area(board)->rseq_cs, 0, __ATOMIC_SEQ_CST);
}

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int read_block(int fd)
{
	static uint8_t block[BLOCK] __attribute__((aligned(BLOCK)));
	ssize_t got = pread(fd, block, sizeof(block), 0);

	if (got < 0)
		return -errno;
	return got == sizeof(block) ? 0 : -ENODATA;
}

/* A helper thread of the program waits for the round. */
static void call(void)
{
	struct origax_board *board = origax_board();

	__atomic_add_fetch(&board->asked, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &board->asked, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* How long to wait this time: xorshift (Marsaglia, 2003) makes up moments. */
static uint64_t span_of(struct origax_loop *loop)
{
	if (!loop->random)
		return loop->nanoseconds;
	loop->random ^= loop->random << 13;
	loop->random ^= loop->random >> 7;
	loop->random ^= loop->random << 17;
	return loop->random % loop->nanoseconds;
}

/*
 * Make the interrupt happen, or wait for the moment at which to ask for one.
 * Returns 0 or -errno; -ETIME past the deadline.
 */
int origax_provoke(struct origax_loop *loop)
{
	uint64_t wanted = span_of(loop) + loop->longer;
	struct timespec span = { wanted / 1000000000, wanted % 1000000000 };
	struct timespec brief = { 0, 50000 };
	uint64_t end;

	switch (loop->cause) {
	case ORIGAX_READ:
		return read_block(loop->fd);
	case ORIGAX_SLEEP:
		nanosleep(&span, NULL);
		return 0;
	case ORIGAX_WATCH:
		/* Not long ago, but now: it may have lost its CPU since. */
		while (!spins_now(origax_board(), loop->entry)) {
			if (origax_expired())
				return -ETIME;
			/* Who slept is heard sooner than who computed. */
			nanosleep(&brief, NULL);
		}
		return 0;
	case ORIGAX_BUSY:
		end = now() + wanted;
		while (now() < end)
			if (origax_expired())
				return -ETIME;
		return 0;
	case ORIGAX_CALL:
		call();
	}
	return 0;
}

static int interrupts(const struct origax_loop *loop)
{
	return loop->cause != ORIGAX_SIGNAL && loop->cause != ORIGAX_CALL;
}

/*
 * Resume the program, and wait for what is to come before its stop. Returns 0
 * or -errno. It may be gone (ESRCH), or go meanwhile: the wait for it tells.
 */
int origax_go(struct origax_loop *loop)
{
	if (!loop->running) {
		if (loop->prove)
			origax_ask(loop->entry);
		if (ptrace(PTRACE_CONT, loop->pid, 0, 0) < 0)
			return errno == ESRCH ? 0 : -errno;
		loop->running = 1;
	}
	return origax_provoke(loop);
}

/* The same, and have the kernel stop the program. */
static int resume(struct origax_loop *loop)
{
	int error = origax_go(loop);

	if (!error && interrupts(loop) &&
	    ptrace(PTRACE_INTERRUPT, loop->pid, 0, 0) < 0 && errno != ESRCH)
		error = -errno;
	return error;
}

/* One stop: resume, wait, read. */
static int stop_once(struct origax_loop *loop, struct origax_stop *stop)
{
	int error;

	if (!loop->waiting) {
		error = resume(loop);
		if (error)
			return error;
		loop->running = 0;
		loop->waiting = 1;
	}
	error = origax_take(loop->pid, 0, 0, stop);
	if (error)
		return error;
	loop->waiting = 0;
	if (loop->cause == ORIGAX_CALL)
		disarm(origax_board());
	return 0;
}

/*
 * Take the next frame of a stopped program. A stop counts only if the program
 * was in its loop since it was resumed (with `prove`; else ever): otherwise it
 * is the last frame once more, or the system call of the launch, whose way out
 * the program has not ended. Returns 0; 1 if the stop equals the last; or as
 * origax_take() does (after -EINTR, call again; -ETIME past the deadline).
 */
int origax_frame(struct origax_loop *loop, const struct origax_stop *last,
		 struct origax_stop *stop)
{
	unsigned int unproven;
	int error;

	for (unproven = 0; unproven < PATIENCE; unproven++) {
		error = stop_once(loop, stop);
		if (error)
			return error;
		if (spins() || !WIFSTOPPED(stop->status))
			break;
		/* Slow machines need longer to get back into the loop. */
		loop->longer = loop->longer * 2 + loop->nanoseconds + 1000;
		if (loop->longer > LONGEST)
			loop->longer = LONGEST;
		loop->unproven++;
		if (origax_expired())
			return -ETIME;
	}
	loop->longer /= 2;
	return last && !memcmp(last, stop, sizeof(*stop));
}

/* The kind of the frame just taken; a new one if there is room, else none. */
static uint64_t kind_of(struct origax_batch *batch)
{
	const uint64_t room = sizeof(batch->stop) / sizeof(batch->stop[0]);
	uint64_t i = batch->last;

	/* Nearly always it is that of the frame before. */
	if (i < batch->kinds &&
	    !memcmp(&batch->stop[i], &batch->at, sizeof(batch->at)))
		return i;
	for (i = 0; i < batch->kinds; i++)
		if (!memcmp(&batch->stop[i], &batch->at, sizeof(batch->at)))
			return i;
	if (i < room) {
		batch->stop[i] = batch->at;
		batch->kinds++;
	}
	return i;
}

/*
 * Take frames, one at least, until it is so late: returns 0. Returns 1 before
 * that at a frame of a new kind, and at the program's end; or as
 * origax_frame() does (after -EINTR, call again). However many kinds there
 * are, this needs no more memory: frames of the last ones are only counted.
 */
int origax_frames(struct origax_loop *loop, struct origax_batch *batch)
{
	uint64_t before = batch->kinds;
	int error;

	do {
		error = origax_frame(loop, NULL, &batch->at);
		if (error)
			return error;
		if (!WIFSTOPPED(batch->at.status))
			return 1;
		batch->frames++;
		batch->last = kind_of(batch);
		if (batch->last < batch->kinds)
			batch->count[batch->last]++;
		else
			batch->further++;
		if (batch->kinds > before)
			return 1;
	} while (now() < batch->until);
	return 0;
}

/* struct sched_attr, which no libc of today's distributions has. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static struct scheduling before;

/*
 * Have the calling thread preempt the program as soon as it wakes, within the
 * interrupt that wakes it. Returns 1 with SCHED_FIFO; 0 where that may not be:
 * then a short slice does most of it (Linux 6.12; earlier kernels favour a
 * sleeper anyway). Children of a thread in this state inherit it.
 */
int origax_urgent(void)
{
	struct scheduling fifo = { .size = sizeof(fifo), .policy = SCHED_FIFO,
				   .priority = 1 };
	struct scheduling brief = { .size = sizeof(brief) };

	if (syscall(SYS_sched_getattr, 0, &before, sizeof(before), 0))
		return -errno;
	if (!syscall(SYS_sched_setattr, 0, &fifo, 0))
		return 1;
	brief.policy = before.policy;
	brief.nice = before.nice;
	brief.runtime = SLICE;
	if (brief.policy == SCHED_OTHER || brief.policy == SCHED_BATCH)
		syscall(SYS_sched_setattr, 0, &brief, 0);
	return 0;
}

/* Undo origax_urgent(). Returns 0 or -errno. */
int origax_patient(void)
{
	before.size = sizeof(before);
	return syscall(SYS_sched_setattr, 0, &before, 0) ? -errno : 0;
}

/*
 * Have the kernel send SIGIO to a task whenever it has run for a period (in
 * nanoseconds, of the software CPU clock) and is in user code. Returns a file
 * descriptor that ends it when closed, or -errno.
 */
int origax_clock(int tid, uint64_t period)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = PERF_ATTR_SIZE_VER0,
		.config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = period,
		.disabled = 1, .exclude_kernel = 1, .exclude_hv = 1,
	};
	struct f_owner_ex owner = { F_OWNER_TID, tid };
	int fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1,
			 PERF_FLAG_FD_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	/* By the kernel's own name: a 32-bit fcntl() would be glibc 2.28's. */
	if (syscall(SYS_fcntl, fd, F_SETOWN_EX, &owner) ||
	    syscall(SYS_fcntl, fd, F_SETSIG, SIGIO) ||
	    syscall(SYS_fcntl, fd, F_SETFL, O_ASYNC) ||
	    ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

/*
 * Have the kernel sample registers of a task whenever it has run for a period
 * and is in user code. Returns a file descriptor, whose mapping has the
 * samples, or -errno.
 */
int origax_sampler(int tid, uint64_t period, uint64_t registers)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = PERF_ATTR_SIZE_VER3,
		.config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = period,
		.sample_type = PERF_SAMPLE_REGS_USER,
		.sample_regs_user = registers,
		.exclude_kernel = 1, .exclude_hv = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, tid, -1, -1,
			 PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * A counter as attr says, of a task, on whatever CPU. Returns a descriptor or
 * -errno.
 */
int origax_event(const void *attr, int tid)
{
	int fd = syscall(SYS_perf_event_open, attr, tid, -1, -1,
			 PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
