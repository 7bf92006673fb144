// SPDX-License-Identifier: GPL-2.0-only
/* Preparations of the family interrupts. Their programs enter to_spin. */
#include "probe.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <linux/sched.h>

#include "spin.h"

#define SIGNATURE 0x53053053
#define BAD_POINTER UINT64_MAX	/* beyond TASK_SIZE */

/*
 * The helper thread. A round: wait until the first thread spins, arm its
 * restartable sequence with a bad pointer (unless arg[1]), and interrupt it.
 * The function-call IPI makes the kernel look at the pointer on its way back
 * to user code, and SIGSEGV is what it does about it.
 */
static void serve(struct origax_board *board)
{
	uint64_t all = ~0ULL;
	unsigned long cpu[16] = { 0 };
	struct __kernel_old_timespec brief = { 0, 50000 };
	uint32_t done = 0;

	sys(NR(rt_sigprocmask), SIG_SETMASK, (long)&all, 0, 8);
	cpu[board->arg[0] / 64] = 1UL << board->arg[0] % 64;
	sys(NR(sched_setaffinity), 0, sizeof(cpu), (long)cpu, 0);
	for (;;) {
		sys(NR(futex), (long)&board->asked, FUTEX_WAIT, done, 0);
		if (__atomic_load_n(&board->asked, __ATOMIC_SEQ_CST) == done)
			continue;
		done++;
		while (!spins_now(board, board->arg[2]))
			sys(NR(nanosleep), (long)&brief, 0, 0, 0);
		if (!board->arg[1])
			__atomic_store_n(&rseq_area(board)->rseq_cs, BAD_POINTER,
					 __ATOMIC_SEQ_CST);
		sys(NR(membarrier), MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0,
		    0, 0);
	}
}

/* Start a thread of this process; it must never return. */
static long start(void (*run)(struct origax_board *),
		  struct origax_board *board)
{
	static uint8_t stack[16384] __attribute__((aligned(16)));
	register uint64_t r10 __asm__("r10") = 0;
	register uint64_t r8 __asm__("r8") = 0;
	long ret;

	__asm__ volatile("syscall\n"
			 "testq %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xorl %%ebp, %%ebp\n"
			 "movq %[board], %%rdi\n"
			 "callq *%[run]\n"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)NR(clone)),
			   "D"((long)(CLONE_VM | CLONE_FS | CLONE_FILES |
				      CLONE_SIGHAND | CLONE_THREAD |
				      CLONE_SYSVSEM)),
			   "S"(stack + sizeof(stack)), "d"(0L), "r"(r10),
			   "r"(r8), [run] "r"(run), [board] "r"(board)
			 : "rcx", "r11", "memory", "cc");
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
