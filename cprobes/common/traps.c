// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions that user code raises. Each site takes one vector, and what
 * userspace should see is the same of all: no system call (orig_ax is -1,
 * whatever error code the processor pushed into its place), ax as it was, and
 * ip on the instruction (a fault) or behind it (a trap), never moved by 2.
 *
 * Two bytes of padding stand before each instruction, for a kernel that takes
 * the exception for a system call to restart.
 */
#include "probe.h"

#include <asm/ldt.h>

#ifdef __x86_64__
#define SLOT "8"	/* bytes of what PUSH pushes */
#else
#define SLOT "4"
#endif

#define TRAP(name, code)						\
	SITE("to_" name, "nop\nnop\n" LABEL(name) code "\n" LABEL_END)

/* #DE (vector 0, a fault): bx is 0. */
TRAP("divide", "divl %ebx");

/*
 * #DB (vector 1, a trap) by the program's own TF. The first POPF sets it, and
 * the trap comes behind the instruction after that; the second clears it, and
 * still traps, for TF was set when it began.
 */
SITE("to_own_tf",
     "push" W " $0x202\n"
     "push" W " $0x302\n"
     "popf" W "\n"
     LABEL("under_tf") "nop\n"
     "popf" W "\n" LABEL_END);

/* #DB (vector 1, a trap) by INT1, which debuggers call ICEBP. */
TRAP("icebp", ".byte 0xf1");

/* #BP (vector 3, a trap) by its own one-byte opcode. */
TRAP("int3", ".byte 0xcc");

/* #BP (vector 3, a trap) by the general INT n: two bytes. */
TRAP("int_03", ".byte 0xcd, 0x03");

/* #OF (vector 4, a trap) by INT n. INTO exists in 32-bit code alone. */
TRAP("int_04", ".byte 0xcd, 0x04");

/* #UD (vector 6, a fault). */
TRAP("ud2", "ud2");

/* #GP (vector 13, a fault) by a privileged instruction: error code 0. */
TRAP("hlt", "hlt");

/* #GP by INT n of a device's vector, whose gate has DPL 0. */
TRAP("int_2f", ".byte 0xcd, 0x2f");

/* #GP by INT n of an exception's vector, whose gate has DPL 0 as well. */
TRAP("int_0d", ".byte 0xcd, 0x0d");

/* Reads where bx points: #GP if not canonical, #PF (vector 14, a fault). */
TRAP("load", "mov" W " (%" BX "), %" CX);

/* Writes where bx points. */
TRAP("store", "mov" W " %" CX ", (%" BX ")");

/* Writes to the page it stands on: present, and not writable. */
TRAP("store_code", "75: movl %ecx, " AT("75b"));

/* Fetches where bx points: the fault is taken there. */
TRAP("jump", "jmp *%" BX);

/* The same, the page being present: it is read first, and may not be run. */
SITE("to_jump_present",
     "push" W " (%" BX ")\n"
     "lea" W " " SLOT "(%" SP "), %" SP "\n"
     "jmp *%" BX "\n");

__asm__(".pushsection .data\n"
	".balign 64\n"
	".skip 16\n"
	"origax_data: " LABEL("data") ".quad 0\n" LABEL_END
	".popsection\n");

extern uint64_t origax_data __attribute__((visibility("hidden")));

/* bx = an address of data, where nothing may be run. */
SETUP(data)
{
	board->in_.bx = address_of(&origax_data);
	return 0;
}

/* #SS (vector 12, a fault): an address by way of bp that is not canonical. */
TRAP("frame_load", "mov" W " (%" BP "), %" CX);

/* #SS: a stack pointer that is not canonical, taken from bx. */
SITE("to_push",
     "xchg" W " %" BX ", %" SP "\n"
     "nop\n"
     "nop\n"
     LABEL("push") "push" W " %" AX "\n" LABEL_END);

/* #GP, #NP (vector 11) or #SS by the selector in bx: it is the error code. */
TRAP("load_fs", "movl %ebx, %fs");
TRAP("load_ss", "movl %ebx, %ss");

/* bx = the selector of a data segment that is not present, in an LDT. */
SETUP(not_present)
{
	struct user_desc segment = {
		.limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1,
		.seg_not_present = 1, .useable = 1,
	};

	board->in_.bx = 7;	/* the first, in the table of the program */
	return -sys(NR(modify_ldt), 0x11, (long)&segment, sizeof(segment), 0);
}

/* #AC (vector 17, a fault), with AC among the flags: sp is aligned. */
TRAP("misaligned", "movl 1(%" SP "), %ecx");

/*
 * #MF (vector 16, a fault): a division by zero that the x87 was told not to
 * mask is raised by the next instruction that waits for it.
 */
SITE("to_fwait",
     "fninit\n"
     "push" W " $0x37b\n"			/* all masked but ZM */
     "fldcw (%" SP ")\n"
     "lea" W " " SLOT "(%" SP "), %" SP "\n"
     "fld1\n"
     "fldz\n"
     "fdivrp\n"
     "nop\n"
     "nop\n"
     LABEL("fwait") "fwait\n" LABEL_END);

/* #XM (vector 19, a fault): the same by SSE, which raises it at once. */
SITE("to_divss",
     "push" W " $0x1d80\n"			/* all masked but ZM */
     "ldmxcsr (%" SP ")\n"
     "movl $0x3f800000, (%" SP ")\n"		/* 1.0 */
     "movss (%" SP "), %xmm0\n"
     "lea" W " " SLOT "(%" SP "), %" SP "\n"
     "xorps %xmm1, %xmm1\n"
     "nop\n"
     "nop\n"
     LABEL("divss") "divss %xmm1, %xmm0\n" LABEL_END);

/* By instructions that 64-bit code does not have. */
#ifndef __x86_64__

/* #OF by INTO, with OF among the flags. */
TRAP("into", ".byte 0xce");

/* #BR (vector 5, a fault): cx is not between the two words where bx points. */
TRAP("bound", "bound %ecx, (%ebx)");

/* #DE by AAM, whose base is 0. */
TRAP("aam", ".byte 0xd4, 0x00");

#endif
