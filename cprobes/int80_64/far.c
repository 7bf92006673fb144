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
