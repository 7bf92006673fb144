// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether INT1 (0xF1, ICEBP) is taken once, being a trap, or again and again,
 * being a fault, as some hypervisors hand it on. It looks at no register: the
 * handler counts, and returns to wherever the kernel says.
 *
 * Exits with 42 at the second SIGTRAP, so it ends in any case; behind INT1
 * with how often it was taken, 1 or 0; with 4 if it is an undefined opcode.
 */
#include "nr.h"

#define STR_(x) #x
#define STR(x) STR_(x)

#define SIGILL 4
#define SIGTRAP 5
#define SIG_SETMASK 2

/* The kernel's rt_sigaction argument, in every width. */
struct action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned int mask[2];
};

static volatile int taken;

static void sys(long nr, long a, const void *b, long size)
{
	long ret;

#if defined(__i386__)
	__asm__ volatile("int $0x80" : "=a"(ret)
			 : "0"(nr), "b"(a), "c"(b), "d"(0), "S"(size)
			 : "memory");
#else
	register long r10 __asm__("r10") = size;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(0), "r"(r10)
			 : "rcx", "r11", "memory");
#endif
}

static void leave(int status)
{
	sys(NR(60, 60, 1), status, 0, 0);
}

static void handler(int signo)
{
	if (signo == SIGILL)
		leave(signo);
	if (++taken > 1)
		leave(42);
}

extern void restorer(void);

__asm__("restorer:\n"
	"movl $" STR(NR(15, 513, 173)) ", %eax\n"
#if defined(__i386__)
	"int $0x80\n"
#else
	"syscall\n"
#endif
	);

static const struct action action = {
	.handler = handler,
	.flags = 0x04000004, /* SA_RESTORER | SA_SIGINFO */
	.restorer = restorer,
};

void _start(void)
{
	sys(NR(13, 512, 174), SIGTRAP, &action, sizeof(action.mask));
	sys(NR(13, 512, 174), SIGILL, &action, sizeof(action.mask));
	sys(NR(14, 14, 175), SIG_SETMASK, action.mask, sizeof(action.mask));
	__asm__ volatile(".byte 0xf1" : : : "memory");
	leave(taken);
	__builtin_unreachable();
}
