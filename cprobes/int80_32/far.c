// SPDX-License-Identifier: GPL-2.0-only
/* 64-bit code in a 32-bit process, by far jumps to __USER_CS and back. */
#include "probe.h"

/*
 * SYSCALL, which calls by the 64-bit table, and an instruction that is none, in
 * code of cs 0x33: entry_SYSCALL_64 does not know whose process it is.
 */
SITE("far_64",
     "ljmp $0x33, $71f\n"
     ".code64\n"
     "71:\n"
     LABEL("far_call") "syscall\n" LABEL_END
     LABEL("far_ud") "ud2\n" LABEL_END
     "ljmpl *73f(%rip)\n"
     ".code32\n"
     ".pushsection .rodata, \"a\"\n"
     "73: .long 72f\n"
     ".word 0x23\n"
     ".popsection\n"
     "72:\n");
