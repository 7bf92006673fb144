// SPDX-License-Identifier: GPL-2.0-only
/* Sites and preparations of the family syscalls. */
#include "probe.h"

#include <linux/futex.h>

/*
 * SYSCALL in the last two bytes of a page: the return address is the first
 * byte of the next one.
 */
SITE("to_page_end",
     "jmp 76f\n"
     ".balign 4096, 0x90\n"
     ".skip 4094, 0x90\n"
     "76:\n" LABEL("page_end") "syscall\n" LABEL_END);

/*
 * SYSCALL under the program's own TF. The processor clears TF on entry by
 * MSR_SYSCALL_MASK, so the first single-step trap comes only after the kernel
 * has returned (entry_SYSCALL_64 leaves by IRET when TF is set).
 */
SITE("tf_syscall",
     "pushfq\n"
     "orq $0x100, (%rsp)\n"
     "popfq\n"
     LABEL("stepped") "syscall\n"
     "pushfq\n" LABEL_END
     "andq $~0x100, (%rsp)\n"
     "popfq\n");

/*
 * FUTEX_CMP_REQUEUE: a call that judges each of its six arguments by an error
 * of its own, and does nothing when all are right (kernel/futex/requeue.c).
 */
SETUP(requeue)
{
	static uint32_t words[2] = { 0x51, 0 };

	board->in_.di = (uint64_t)&words[0];
	board->in_.si = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG;
	board->in_.dx = 1;
	board->in_.r10 = 1;
	board->in_.r8 = (uint64_t)&words[1];
	board->in_.r9 = words[0];
	return 0;
}
