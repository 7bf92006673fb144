/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What probes are written with. A probe is a *site*: a few instructions that
 * take the CPU through one kind of kernel entry. origax_enter() loads every
 * register from the board and jumps to the site; the site's end jumps to
 * origax_land, which keeps every register as the program then sees it.
 */
#ifndef ORIGAX_PROBE_H
#define ORIGAX_PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "board.h"

#define STR_(x) #x
#define STR(x) STR_(x)

/* Names a place for the transcripts: `ip=NAME` and `ip=NAME+offset`. */
#define LABEL_ENTRY(name, is_site)					\
	".pushsection .rodata.origax, \"aMS\", @progbits, 1\n"		\
	"77: .asciz \"" name "\"\n.popsection\n"				\
	".pushsection origax_label_set, \"aw\"\n"				\
	".quad 77b, 78f, 79f, " STR(is_site) "\n.popsection\n"

/* A label inside a site; it lasts until LABEL_END. */
#define LABEL(name)	LABEL_ENTRY(name, 0) "78:\n"
#define LABEL_END	"79:\n"

/*
 * A site: entered at its first instruction, left at its end. A site that holds
 * LABELs must not rely on its own name for them.
 */
#define SITE(name, code)						\
	__asm__(".pushsection .text.origax, \"ax\", @progbits\n"	\
		".balign 16\n"						\
		".pushsection .rodata.origax, \"aMS\", @progbits, 1\n"	\
		"67: .asciz \"" name "\"\n.popsection\n"			\
		".pushsection origax_label_set, \"aw\"\n"			\
		".quad 67b, 68f, 69f, 1\n.popsection\n"			\
		"68:\n" code						\
		"\n69: jmp origax_land\n.popsection\n")

/* Where a site that makes a process leaves its pid: origax_shared + this. */
#define CHILD_AT 240

/* A preparation, run before the site, in the program's own process. */
#define SETUP(name)							\
	static int setup_##name(struct origax_board *board);		\
	static const struct origax_setup setup_##name##_entry		\
	__attribute__((used, section("origax_setup_set"), aligned(8))) =	\
		{ #name, setup_##name };					\
	static int setup_##name(struct origax_board *board)

/* Kernel's rt_sigaction argument; libc's hides the restorer. */
struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

extern void origax_handler(int, siginfo_t *, void *)
	__attribute__((visibility("hidden")));
extern void origax_restorer(void) __attribute__((visibility("hidden")));

/* Calls that a process may make after a fork of a threaded parent. */
static inline long sys(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

/* prctl(PR_SET_NO_NEW_PRIVS), which wants its fifth argument, too, to be 0. */
static inline long no_new_privs(void)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(SYS_prctl), "D"(38), "S"(1), "d"(0), "r"(r10),
			   "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Forks a helper process of a program; it dies with the program. */
static inline long fork_tethered(void)
{
	long parent = sys(SYS_getpid, 0, 0, 0, 0);
	long pid = sys(SYS_clone, SIGCHLD, 0, 0, 0);

	if (pid == 0) {
		sys(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, SIGKILL, 0, 0);
		if (sys(SYS_getppid, 0, 0, 0, 0) != parent)
			sys(SYS_exit_group, 0, 0, 0, 0);
	}
	return pid;
}

#endif
