// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits with 42 if a child of its own is the first process of a PID namespace,
 * which it may make by CAP_SYS_ADMIN, or by a user namespace.
 */
#include "nr.h"

#define SIGCHLD 17
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWPID 0x20000000

static long sys(long nr, long a, const void *b)
{
	long ret;

#if defined(__i386__)
	__asm__ volatile("int $0x80" : "=a"(ret)
			 : "0"(nr), "b"(a), "c"(b), "d"(0), "S"(0)
			 : "memory");
#else
	register long r10 __asm__("r10") = 0;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(0), "r"(r10)
			 : "rcx", "r11", "memory");
#endif
	return ret;
}

static void leave(int status)
{
	sys(NR(60, 60, 1), status, 0);
}

void _start(void)
{
	int status = 0;
	long pid;

	if (sys(NR(272, 272, 310), CLONE_NEWPID, 0) &&
	    sys(NR(272, 272, 310), CLONE_NEWUSER | CLONE_NEWPID, 0))
		leave(1);
	pid = sys(NR(56, 56, 120), SIGCHLD, 0);
	if (pid == 0)
		leave(sys(NR(39, 39, 20), 0, 0) == 1 ? 42 : 2);
	if (pid > 0)
		sys(NR(61, 61, 114), pid, &status);
	leave(status >> 8);
	__builtin_unreachable();
}
