/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What probes are written with. A probe is a *site*: a few instructions that
 * take the CPU through one kind of kernel entry. origax_enter() loads every
 * register from the board and jumps to the site; the site's end jumps to
 * origax_land, which keeps every register as the program then sees it.
 *
 * One source makes an image, a freestanding executable, for each door: see
 * IMAGES in build.py. What differs between them has one name here:
 *
 *   ENTER              the instruction that makes a system call
 *   AX ... SP, W       registers of a pointer's width, and the suffix of
 *                      instructions on them: "mov" W " %" AX ", %" CX
 *   R1 ... R6          registers of a call's arguments, first to sixth
 *   E1 ... E3          the lower halves of the first three
 *   ARG1 ... ARG6      the same as members of struct origax_regs
 *   N(getpid)          the number of a call by this door, as text
 *   NR(getpid)         the number of a call that sys() makes
 *   BOARD(at)          a member of the board, as an operand
 */
#ifndef ORIGAX_PROBE_H
#define ORIGAX_PROBE_H

#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/time_types.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"

#define STR_(x) #x
#define STR(x) STR_(x)

/* How this image enters the kernel; build.py chooses one by -DDOOR=... */
#define SYSCALL 1	/* SYSCALL, by 64-bit and x32 programs */
#define INT80 2		/* int $0x80 */
#define VDSO 3		/* __kernel_vsyscall: SYSENTER or SYSCALL */

#if DOOR == SYSCALL
#define ENTER "syscall\n"
#elif DOOR == INT80
#define ENTER "int $0x80\n"
#elif DOOR == VDSO
#define ENTER "call *origax_vdso\n"
#endif

#ifdef __x86_64__
#define W "q"
#define AX "rax"
#define BX "rbx"
#define CX "rcx"
#define DX "rdx"
#define SI "rsi"
#define DI "rdi"
#define BP "rbp"
#define SP "rsp"
#define AT(symbol) symbol "(%rip)"
#else
#define W "l"
#define AX "eax"
#define BX "ebx"
#define CX "ecx"
#define DX "edx"
#define SI "esi"
#define DI "edi"
#define BP "ebp"
#define SP "esp"
#define AT(symbol) symbol
#endif
#define BOARD(at) AT("origax_shared+" at)

/* Numbers and registers of the calls that a site makes. */
#if DOOR == SYSCALL
#define R1 DI
#define R2 SI
#define R3 DX
#define R4 "r10"
#define R5 "r8"
#define R6 "r9"
#define E1 "edi"
#define E2 "esi"
#define E3 "edx"
#define ARG1 di
#define ARG2 si
#define ARG3 dx
#define ARG4 r10
#define ARG5 r8
#define ARG6 r9
#ifdef __ILP32__
#define N(call) "(0x40000000+" N_##call ")"
#else
#define N(call) N_##call
#endif
#define N_read "0"
#define N_getpid "39"
#define N_getppid "110"
#define N_clone "56"
#define N_kill "62"
#define N_exit "60"
#define N_wait4 "61"
#define N_pause "34"
#define N_exit_group "231"
#define N_restart_syscall "219"
#ifdef __ILP32__
#define N_execve "520"
#define N_rt_sigreturn "513"
#else
#define N_execve "59"
#define N_rt_sigreturn "15"
#endif
#else
#define R1 BX
#define R2 CX
#define R3 DX
#define R4 SI
#define R5 DI
#define R6 BP
#define E1 "ebx"
#define E2 "ecx"
#define E3 "edx"
#define ARG1 bx
#define ARG2 cx
#define ARG3 dx
#define ARG4 si
#define ARG5 di
#define ARG6 bp
#define N(call) N_##call
#define N_read "3"
#define N_getpid "20"
#define N_getppid "64"
#define N_clone "120"
#define N_kill "37"
#define N_exit "1"
#define N_wait4 "114"
#define N_pause "29"
#define N_execve "11"
#define N_exit_group "252"
#define N_restart_syscall "0"
#define N_rt_sigreturn "173"
#endif

/* A pointer in a table that the tracer reads: 8 bytes in every image. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define POINTER(symbol) ".quad " symbol "\n"
#else
#define POINTER(symbol) ".long " symbol ", 0\n"
#endif

/* Names a place for the transcripts: `ip=NAME` and `ip=NAME+offset`. */
#define LABEL_TABLE(name, of, start, end, is_site)			\
	".pushsection .rodata.origax, \"aMS\", @progbits, 1\n"		\
	of ": .asciz \"" name "\"\n.popsection\n"				\
	".pushsection origax_label_set, \"aw\"\n"				\
	POINTER(of "b") POINTER(start "f") POINTER(end "f")		\
	".long " STR(is_site) ", 0\n.popsection\n"
#define LABEL_ENTRY(name, is_site)					\
	LABEL_TABLE(name, "77", "78", "79", is_site)

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
		LABEL_TABLE(name, "67", "68", "69", 1)			\
		"68:\n" code						\
		"\n69: jmp origax_land\n.popsection\n")

/* Where a site that makes a process leaves its pid: origax_shared + this. */
#define CHILD_AT 240

/* Where setup busy leaves a struct timespec, likewise. */
#define NAP_AT 864

/* A preparation, run before the site, in the program's own process. */
#define SETUP(name)							\
	__attribute__((used, visibility("hidden")))			\
	int setup_##name(struct origax_board *board);			\
	__asm__(".pushsection .rodata.origax, \"aMS\", @progbits, 1\n"	\
		"77: .asciz \"" #name "\"\n.popsection\n"			\
		".pushsection origax_setup_set, \"aw\"\n"			\
		POINTER("77b") POINTER("setup_" #name) ".popsection\n");	\
	int setup_##name(struct origax_board *board)

extern void origax_handler(void) __attribute__((visibility("hidden")));
extern void origax_calling_handler(void) __attribute__((visibility("hidden")));
extern void origax_restorer(void) __attribute__((visibility("hidden")));
#ifndef __x86_64__
extern void origax_old_handler(void) __attribute__((visibility("hidden")));
extern void origax_old_restorer(void) __attribute__((visibility("hidden")));
#endif

#define NR(call) __NR_##call

/*
 * System calls of the program that are none of its site's: by SYSCALL where
 * there is one, otherwise by int $0x80.
 */
static inline long sys6(long nr, long a, long b, long c, long d, long e,
			long f)
{
	long ret;

#ifdef __x86_64__
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
#else
	long words[2] = { nr, f };

	__asm__ volatile("pushl %%ebp\n"
			 "movl 4(%%eax), %%ebp\n"
			 "movl (%%eax), %%eax\n"
			 "int $0x80\n"
			 "popl %%ebp"
			 : "=a"(ret)
			 : "0"(words), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
#endif
	return ret;
}

static inline long sys(long nr, long a, long b, long c, long d)
{
	return sys6(nr, a, b, c, d, 0, 0);
}

/* Pointers on the board are 64 bits wide in every image. */
static inline uint64_t address_of(const volatile void *pointer)
{
	return (uintptr_t)pointer;
}

#define SET_PDEATHSIG 1		/* PR_SET_PDEATHSIG */

/* Forks a helper process of a program; it dies with the program. */
static inline long fork_tethered(void)
{
	long parent = sys(NR(getpid), 0, 0, 0, 0);
	long pid = sys(NR(clone), SIGCHLD, 0, 0, 0);

	if (pid == 0) {
		sys(NR(prctl), SET_PDEATHSIG, SIGKILL, 0, 0);
		if (sys(NR(getppid), 0, 0, 0, 0) != parent)
			sys(NR(exit_group), 0, 0, 0, 0);
	}
	return pid;
}

/*
 * Has seccomp answer calls by rules, each a number, or with bit 32 that number
 * and all above it, and what to answer, action and data; number 0 ends them, and
 * calls of no rule are allowed. Flags are
 * those of seccomp(2). Returns what it returns: 0, a listener's descriptor, or
 * -errno. It is in common/filters.c.
 */
long origax_filter(const uint64_t *rules, long flags)
	__attribute__((visibility("hidden")));

/* Stack 0 is the site's, 1 the alternate signal stack. */
#define STACK_BYTES 65536
#define STACK_SIZE STACK_BYTES
extern uint8_t origax_stacks[2][STACK_SIZE]
	__attribute__((visibility("hidden")));

#endif
