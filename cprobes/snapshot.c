// SPDX-License-Identifier: GPL-2.0-only
/*
 * One stop in one call: resume, wait, and read every view. Called with the
 * GIL released; a wait is ended by the deadline of origax_deadline().
 */
#include "tracer.h"

#include <linux/time_types.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

static inline long ptrace_request(long request, long pid, unsigned long addr,
				  unsigned long data)
{
	long result = syscall(SYS_ptrace, request, pid, addr, data);

	return result < 0 ? -errno : result;
}

#include "reading.h"

#ifdef __x86_64__
_Static_assert(sizeof(struct user) == sizeof(((struct origax_stop *)0)->user),
	       "PEEKUSER reads the whole of struct user");
#endif

static volatile sig_atomic_t expired;

static void expire(int signo)
{
	(void)signo;
	expired = 1;
}

/*
 * From now on no wait of this thread lasts beyond that many milliseconds; 0
 * lifts the deadline. The timer goes on ticking after it has run out, so that
 * a wait which begins between a tick and its own system call still ends.
 * Returns 0 or -errno.
 *
 * The C library's own functions for this are of glibc 2.30 and 2.34; asking the
 * kernel lets the extension run with an older one.
 */
int origax_deadline(uint32_t milliseconds)
{
	static int timer;
	static pid_t owner;
	pid_t self = syscall(SYS_gettid);
	struct {
		struct __kernel_old_timespec it_interval, it_value;
	} when = {
		.it_value = { milliseconds / 1000,
			      milliseconds % 1000 * 1000000L },
		.it_interval = { 0, 20 * 1000000L },
	};

	if (owner != self) {
		struct sigaction act = { .sa_handler = expire };
		struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
					  .sigev_signo = SIGALRM };

		event._sigev_un._tid = self;
		if (sigaction(SIGALRM, &act, NULL) ||
		    syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer))
			return -errno;
		owner = self;
	}
	if (!milliseconds)
		when.it_interval.tv_nsec = 0;
	expired = 0;
	if (syscall(SYS_timer_settime, timer, 0, &when, NULL))
		return -errno;
	return 0;
}

int origax_expired(void)
{
	return expired;
}

#ifdef __x86_64__
/*
 * The view of a 32-bit tracer: int $0x80 takes the ptrace() of 32-bit programs
 * (compat_sys_ptrace), whose memory ends at 4 GiB. Made by origax_narrow().
 */
static uint32_t *low;

static long narrow_request(long request, long pid, unsigned long addr,
			   const void *data)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "0"(26L), "b"(request), "c"(pid), "d"(addr),
			   "S"(data)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/*
 * From now on every stop is read as a 32-bit tracer sees it, too: only where
 * the kernel runs 32-bit programs, for elsewhere int $0x80 is a fault. Returns
 * 0 or -errno.
 */
int origax_narrow(void)
{
	void *at = low;

	if (!low)
		at = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	low = at;
	return 0;
}

static void read_narrow(int pid, struct origax_stop *stop)
{
	unsigned int i;
	long error;

	error = narrow_request(REQUEST_GETREGS, pid, 0, low);
	stop->err_narrow = error_of(error);
	memcpy(stop->narrow, low, NARROW_REGS * 4);
	/* The words between the registers and the debug registers stay 0. */
	for (i = 0; i < NARROW_WORDS; i++) {
		if (i == NARROW_REGS)
			i = NARROW_WORDS - 8;
		error = narrow_request(REQUEST_PEEKUSER, pid, i * 4, low + i);
		if (error < 0 && !stop->err_narrow_user)
			stop->err_narrow_user = -error;
	}
	memcpy(stop->narrow_user, low, NARROW_WORDS * 4);
	stop->narrowed = 1;
}

/* PTRACE_POKEUSER as a 32-bit tracer makes it. Returns 0 or -errno. */
int origax_narrow_poke(int pid, uint32_t offset, uint32_t word)
{
	return narrow_request(REQUEST_POKEUSER, pid, offset,
			      (const void *)(uintptr_t)word);
}
#else
int origax_narrow(void)
{
	return 0;
}

int origax_narrow_poke(int pid, uint32_t offset, uint32_t word)
{
	return ptrace_request(REQUEST_POKEUSER, pid, offset, word);
}
#endif

/* Read every view of a task that has stopped with that status of waitpid. */
int origax_read(int pid, int status, struct origax_stop *stop)
{
	read_views(pid, status, stop);
#ifdef __x86_64__
	if (low && WIFSTOPPED(status))
		read_narrow(pid, stop);
#endif
	return 0;
}

/*
 * Resume a stopped tracee with a ptrace request (none if 0) and a signal, and
 * wait for its next stop or end. Returns its status; -ETIME past the deadline;
 * -EINTR when a signal for the caller came first (call again with request 0);
 * otherwise -errno of the request or the wait.
 */
int origax_pass(int pid, long request, long signo)
{
	int status;

	if (request && ptrace_request(request, pid, 0, signo) < 0)
		return -errno;
	if (waitpid(pid, &status, __WALL) < 0) {
		if (errno == EINTR && expired)
			return -ETIME;
		return -errno;
	}
	return status;
}

/* The same, and read it. Returns 0, or what is negative there. */
int origax_take(int pid, long request, long signo, struct origax_stop *stop)
{
	int status = origax_pass(pid, request, signo);

	return status < 0 ? status : origax_read(pid, status, stop);
}
