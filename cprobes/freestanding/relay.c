// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executes its first argument, with the arguments from there on: a link of a
 * chain. Exits with 43 when there is nothing that it can execute.
 */
#if defined(__i386__)
#define CALL(nr, a, b, c)						\
	__asm__ volatile("int $0x80" : : "a"(nr), "b"(a), "c"(b), "d"(c) \
			 : "memory")
#define EXECVE 11
#define EXIT 1
#elif defined(__ILP32__)
#define CALL(nr, a, b, c)						\
	__asm__ volatile("syscall" : : "a"(0x40000000 | nr), "D"(a), "S"(b), \
			 "d"(c) : "rcx", "r11", "memory")
#define EXECVE 520
#define EXIT 60
#else
#define CALL(nr, a, b, c)						\
	__asm__ volatile("syscall" : : "a"(nr), "D"(a), "S"(b), "d"(c)	\
			 : "rcx", "r11", "memory")
#define EXECVE 59
#define EXIT 60
#endif

/* The initial stack: argc, argv, environment. */
__attribute__((used))
static void relay(char **sp)
{
	char **argv = sp + 1;
	char **environment = argv + (unsigned long)sp[0] + 1;

	if (argv[0] && argv[1])
		CALL(EXECVE, argv[1], argv + 1, environment);
	CALL(EXIT, 43, 0, 0);
	__builtin_unreachable();
}

#ifdef __i386__
__asm__(".globl _start\n_start: pushl %esp\ncall relay\n");
#else
__asm__(".globl _start\n_start: movq %rsp, %rdi\ncall relay\n");
#endif
