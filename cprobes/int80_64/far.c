// SPDX-License-Identifier: GPL-2.0-only
/* 32-bit code in a 64-bit process, by far jumps to __USER32_CS and back. */
#include "probe.h"

/*
 * int $0x80, which calls by the 32-bit table from either width, and an
 * instruction that is none, in code of cs 0x23. The image lies below 4 GiB, so
 * that eip can hold its addresses. Upper halves of registers are not promised
 * to outlive the way through 32-bit code: they must be 0. The kernel tells the
 * width of the code by cs alone (user_64bit_mode), that of the process, by its
 * exec, and that of a handler, by how it was set (sigaction_compat_abi).
 */
SITE("far_32",
     "ljmpl *73f(%rip)\n"
     ".pushsection .rodata, \"a\"\n"
     "73: .long 71f\n"
     ".word 0x23\n"
     ".popsection\n"
     ".code32\n"
     "71:\n"
     LABEL("far_call") "int $0x80\n" LABEL_END
     LABEL("far_ud") "ud2\n" LABEL_END
     "ljmp $0x33, $72f\n"
     ".code64\n"
     "72:\n");

/*
 * SYSRET leaves the hidden half of ss as it was on AMD's processors, and an
 * interrupt of user code has made it unusable (X86_BUG_SYSRET_SS_ATTRS). So:
 * sleep while another program computes, which the timer interrupts; and behind
 * SYSRET use the stack in 32-bit code, which alone looks at that half. As often
 * as arg[0] says, for not every sleep ends in that interrupt.
 */
SITE("sysret_stack",
     "71: movl $35, %eax\n"			/* nanosleep */
     "leaq " BOARD(STR(NAP_AT)) ", %rdi\n"
     "xorl %esi, %esi\n"
     LABEL("sysret_call") "syscall\n" LABEL_END
     "ljmpl *75f(%rip)\n"
     ".pushsection .rodata, \"a\"\n"
     "75: .long 73f\n"
     ".word 0x23\n"
     ".popsection\n"
     ".code32\n"
     "73:\n"
     LABEL("sysret_push") "pushl $0\n" LABEL_END
     "popl %eax\n"
     "ljmp $0x33, $74f\n"
     ".code64\n"
     "74: subl $1, origax_rounds(%rip)\n"
     "jnz 71b\n"
     "xorl %edi, %edi\n");
