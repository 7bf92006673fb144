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
 * A loop of one instruction. The two bytes before it are for a kernel that
 * mistakes an interrupt for a system call: it moves ip back by 2.
 */
SITE("to_spin", "nop\nnop\n" LABEL("spin") "75: jmp 75b\n" LABEL_END);
