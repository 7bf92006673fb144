// SPDX-License-Identifier: GPL-2.0-only
/* Preparations of the family interrupts. Their programs enter to_spin. */
#include "probe.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <linux/sched.h>

#include "spin.h"

/* What one PUSH pushes. */
#ifdef __x86_64__
typedef uint64_t word;
#else
typedef uint32_t word;
#endif

#define SIGNATURE 0x53053053
#define BAD_POINTER UINTPTR_MAX	/* beyond TASK_SIZE */

/*
 * The helper thread. A round: wait until the first thread spins, arm its
 * restartable sequence with a bad pointer (unless arg[1]), and interrupt it.
 * The function-call IPI makes the kernel look at the pointer on its way back
 * to user code, and SIGSEGV is what it does about it.
 */
static void serve(struct origax_board *board)
{
	uint64_t all = ~0ULL;
	uint8_t cpu[128] = { 0 };
	struct __kernel_old_timespec brief = { 0, 50000 };
	uint32_t done = 0;

	sys(NR(rt_sigprocmask), SIG_SETMASK, (long)&all, 0, 8);
	cpu[board->arg[0] / 8] = 1 << board->arg[0] % 8;
	sys(NR(sched_setaffinity), 0, sizeof(cpu), (long)cpu, 0);
	for (;;) {
		sys(NR(futex), (long)&board->asked, FUTEX_WAIT, done, 0);
		if (__atomic_load_n(&board->asked, __ATOMIC_SEQ_CST) == done)
			continue;
		done++;
		while (!spins_now(board, board->arg[2]))
			sys(NR(nanosleep), (long)&brief, 0, 0, 0);
		if (!board->arg[1])
			store_pointer(&rseq_area(board)->rseq_cs, BAD_POINTER);
		sys(NR(membarrier), MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0,
		    0, 0);
	}
}

/* Start a thread of this process; it must never return. */
static long start(void (*run)(struct origax_board *),
		  struct origax_board *board)
{
	static word stack[2048] __attribute__((aligned(16)));
	const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
			   CLONE_THREAD | CLONE_SYSVSEM;
	word *top = stack + sizeof(stack) / sizeof(*stack) - 4;
	long ret;

	/* Popped by the new thread: then the stack is as a function wants it. */
	top[-1] = (uintptr_t)run;
	top[0] = (uintptr_t)board;
#ifdef __x86_64__
	register uint64_t r10 __asm__("r10") = 0;
	register uint64_t r8 __asm__("r8") = 0;

	__asm__ volatile("syscall\n"
			 "testq %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xorl %%ebp, %%ebp\n"
			 "popq %%rax\n"
			 "movq (%%rsp), %%rdi\n"
			 "callq *%%rax\n"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)NR(clone)), "D"(flags), "S"(top - 1),
			   "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory", "cc");
#else
	__asm__ volatile("int $0x80\n"
			 "testl %%eax, %%eax\n"
			 "jnz 1f\n"
			 "xorl %%ebp, %%ebp\n"
			 "popl %%eax\n"
			 "call *%%eax\n"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "0"(NR(clone)), "b"(flags), "c"(top - 1), "d"(0),
			   "S"(0), "D"(0)
			 : "memory", "cc");
#endif
	return ret;
}

/*
 * A second thread that sends the first one function-call IPIs: arg[0] is its
 * CPU, arg[1] nonzero for such as change nothing, arg[2] the address of the
 * site. Each round is asked for by ORIGAX_CALL.
 */
SETUP(membarrier)
{
	long error = sys(NR(rseq), (long)rseq_area(board), 32, 0, SIGNATURE);

	if (!error)
		error = sys(NR(membarrier),
			    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0,
			    0, 0);
	if (!error)
		error = start(serve, board);
	return error < 0 ? -error : 0;
}
