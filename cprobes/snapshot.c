// SPDX-License-Identifier: GPL-2.0-only
/*
 * One stop in one call: resume, wait, and read every view. Called with the
 * GIL released; a wait is ended by the deadline of origax_deadline().
 */
#include "probe.h"

#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#define NT_PRSTATUS 1
#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

_Static_assert(sizeof(struct user) == sizeof(((struct origax_stop *)0)->user),
	       "PEEKUSER reads the whole of struct user");

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
 */
int origax_deadline(uint32_t milliseconds)
{
	static timer_t timer;
	static pid_t owner;
	struct itimerspec when = {
		.it_value = { milliseconds / 1000,
			      milliseconds % 1000 * 1000000L },
		.it_interval = { 0, 20 * 1000000L },
	};

	if (owner != gettid()) {
		struct sigaction act = { .sa_handler = expire };
		struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
					  .sigev_signo = SIGALRM };

		event._sigev_un._tid = gettid();
		if (sigaction(SIGALRM, &act, NULL) ||
		    timer_create(CLOCK_MONOTONIC, &event, &timer))
			return -errno;
		owner = gettid();
	}
	if (!milliseconds)
		when.it_interval.tv_nsec = 0;
	expired = 0;
	if (timer_settime(timer, 0, &when, NULL))
		return -errno;
	return 0;
}

/* Whether the deadline is past, for what waits without a system call. */
__attribute__((visibility("hidden")))
int origax_expired(void)
{
	return expired;
}

static int error_of(long result)
{
	return result < 0 ? errno : 0;
}

static void read_user(int pid, struct origax_stop *stop)
{
	unsigned long i;

	/* The raw system call: libc's ptrace() blurs -1 and an error. */
	for (i = 0; i < sizeof(stop->user) / sizeof(*stop->user); i++)
		if (syscall(SYS_ptrace, PTRACE_PEEKUSER, pid, i * 8,
			    &stop->user[i]) && !stop->err_user)
			stop->err_user = errno;
}

/* Read every view of a task that has stopped with that status of waitpid. */
int origax_read(int pid, int status, struct origax_stop *stop)
{
	struct iovec iov = { &stop->regset, sizeof(stop->regset) };
	long size;

	memset(stop, 0, sizeof(*stop));
	stop->pid = pid;
	stop->status = status;
	if (!WIFSTOPPED(status))
		return 0;
	stop->err_regs = error_of(ptrace(PTRACE_GETREGS, pid, 0, &stop->regs));
	stop->err_regset = error_of(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS,
					   &iov));
	stop->regset_size = iov.iov_len;
	read_user(pid, stop);
	size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(stop->info),
		      stop->info);
	stop->err_info = error_of(size);
	stop->info_size = size < 0 ? 0 : size;
	stop->err_siginfo = error_of(ptrace(PTRACE_GETSIGINFO, pid, 0,
					    stop->siginfo));
	stop->err_message = error_of(ptrace(PTRACE_GETEVENTMSG, pid, 0,
					    &stop->message));
	return 0;
}

/*
 * Resume a stopped tracee with a ptrace request (none if 0) and a signal, wait
 * for its next stop or end, and read it. Returns 0; -ETIME past the deadline;
 * -EINTR when a signal for the caller came first (call again with request 0);
 * otherwise -errno of the request or the wait.
 */
int origax_take(int pid, long request, long signo, struct origax_stop *stop)
{
	int status;

	if (request && ptrace(request, pid, 0, signo) < 0)
		return -errno;
	if (waitpid(pid, &status, __WALL) < 0) {
		if (errno == EINTR && expired)
			return -ETIME;
		return -errno;
	}
	return origax_read(pid, status, stop);
}
