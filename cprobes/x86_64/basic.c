// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain sites: the SYSCALL instruction, and a loop that enters the kernel only
 * when it is interrupted.
 */
#include "probe.h"

/*
 * SYSCALL: entry_SYSCALL_64. The kernel keeps rax as orig_ax and shows
 * -ENOSYS as ax at the syscall-enter-stop.
 */
SITE("syscall", "syscall");

/*
 * getpid() for ever, for bench/: a stop at each entry and each exit.
 */
SITE("to_call_for_ever", "76: movl $39, %eax\nsyscall\njmp 76b\n");

/*
 * A loop of one instruction, which enters the kernel only when it is
 * interrupted. It jumps through memory, so that the tracer can have the
 * program go once more through the way in, which says on the board that the
 * loop is reached, without touching one of its registers.
 *
 * The two bytes before the loop are for a kernel that mistakes an interrupt
 * for a system call: it moves ip back by 2. They are NOPs, the upper half of
 * what the last instruction of the way in stores.
 */
#define TURN "224"
#define SPINNING "232"

_Static_assert(offsetof(struct origax_board, turn) == 224 &&
	       offsetof(struct origax_board, spinning) == 232,
	       "the offsets above are the structure's");

SITE("to_spin",
     "pushq 74f(%rip)\n"
     "popq origax_shared+" TURN "(%rip)\n"
     "movl $0x90900001, origax_shared+" SPINNING "(%rip)\n"
     LABEL("spin") "75: jmpq *origax_shared+" TURN "(%rip)\n" LABEL_END
     ".pushsection .data.rel.local, \"aw\"\n"
     ".balign 8\n"
     "74: .quad 75b\n"
     ".popsection\n");
