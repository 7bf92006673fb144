// SPDX-License-Identifier: GPL-2.0-only
/* Sites and preparations of the family views. */
#include "probe.h"

#include <asm/ldt.h>
#include <linux/fcntl.h>
#include <linux/resource.h>

/*
 * INT3: a trap, so ip is behind it, and RF is not set (asm_exc_int3). It is no
 * system call: orig_ax is -1.
 */
SITE("views_int3", "int3");

/* Has the kernel write a core file, with registers and no memory, into dir. */
static long leave_core(long dir)
{
	struct rlimit64 limit;
	long error, fd;

	error = sys(NR(fchdir), dir, 0, 0, 0);
	if (error)
		return error;
	sys(NR(prlimit64), 0, RLIMIT_CORE, 0, (long)&limit);
	limit.rlim_cur = limit.rlim_max;
	error = sys(NR(prlimit64), 0, RLIMIT_CORE, (long)&limit, 0);
	if (error)
		return error;
	fd = sys(NR(open), (long)"/proc/self/coredump_filter", O_WRONLY, 0, 0);
	if (fd < 0)
		return fd;
	sys(NR(write), fd, (long)"0", 1, 0);
	sys(NR(close), fd, 0, 0, 0);
	return 0;
}

/* The program's core file is to be written into the directory arg[0]. */
SETUP(core)
{
	return -leave_core(board->arg[0]);
}

/* The same, and a filter by the rules from arg[1] on (origax_filter()). */
SETUP(core_filter)
{
	long error = leave_core(board->arg[0]);

	return error ? -error : -origax_filter(&board->arg[1], 0);
}

/*
 * A system call that returns twice. In a child, ax is 0 and the child ends. In
 * the parent, whose pid of the child is nobody's business, the child is waited
 * for and the result becomes 0; an error stays. A child of vfork() must leave
 * alone the stack on which its parent's call of the vDSO will return, so it
 * ends without one.
 */
#if DOOR == VDSO
#define ENTER_AT_ONCE "int $0x80\n"
#else
#define ENTER_AT_ONCE ENTER
#endif

SITE("views_fork",
     ENTER
     "cmp" W " $0, %" AX "\n"
     "jl 77f\n"
     "je 76f\n"
     "push" W " %" R1 "\npush" W " %" R3 "\npush" W " %" R4 "\n"
     "mov" W " $-1, %" R1 "\n"
     "movl $0, %" E2 "\n"
     "movl $0x40000000, %" E3 "\n"	/* __WALL */
     "mov" W " $0, %" R4 "\n"
     "movl $" N(wait4) ", %eax\n"
     "cmpl %eax, %eax\n"	/* flags that owe nothing to the pid */
     ENTER
     "movl $0, %eax\n"
     "pop" W " %" R4 "\npop" W " %" R3 "\npop" W " %" R1 "\n"
     "jmp 77f\n"
     "76: movl $" N(exit) ", %eax\n"
     "movl $0, %" E1 "\n"
     ENTER_AT_ONCE
     "ud2\n"
     "77:\n");

/*
 * A segment of the program's own, as 32-bit threads have theirs. 64-bit code
 * gets one by int $0x80 alone, with its structures below 4 GiB.
 */
#if DOOR != SYSCALL
#define SET_THREAD_AREA 243L	/* by int $0x80, whatever the program's width */

/*
 * Its selector, in ax, goes into gs; then an int3, and what a tracer does there;
 * then the word that gs finds.
 */
SITE("views_thread_area",
     "movl %eax, %gs\n"
     "int3\n"
     "movl %gs:0, %eax\n");

/* The first free entry of the GDT, all 4 GiB from arg[0] on. */
SETUP(views_thread_area)
{
	static struct user_desc area = {
		.entry_number = -1, .limit = 0xfffff, .seg_32bit = 1,
		.limit_in_pages = 1, .useable = 1,
	};
	long error;

	area.base_addr = address_of(&board->arg[0]);
	__asm__ volatile("int $0x80" : "=a"(error)
			 : "0"(SET_THREAD_AREA), "b"(&area) : "memory");
	board->in_.ax = area.entry_number << 3 | 3;
	return -error;
}
#endif
