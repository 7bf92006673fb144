// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain sites: a system call, and a loop that enters the kernel only when it is
 * interrupted.
 */
#include "probe.h"

/*
 * A system call by the image's door. The kernel keeps ax as orig_ax (32 bits of
 * it by every door but SYSCALL from 64-bit code) and shows -ENOSYS as ax at the
 * syscall-enter-stop: entry_SYSCALL_64, do_int80_emulation,
 * entry_SYSENTER_compat, entry_SYSCALL_compat.
 */
SITE("syscall", ENTER);

/*
 * getpid() for ever, for bench/: a stop at each entry and each exit.
 */
SITE("to_call_for_ever", "76: movl $" N(getpid) ", %eax\n" ENTER "jmp 76b\n");

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
     "push" W " " AT("74f") "\n"
     "pop" W " " BOARD(TURN) "\n"
     "movl $0x90900001, " BOARD(SPINNING) "\n"
     LABEL("spin") "75: jmp *" BOARD(TURN) "\n" LABEL_END
     ".pushsection .data.rel.local, \"aw\"\n"
     ".balign 8\n"
     "74: " POINTER("75b")
     ".popsection\n");
