// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions by instructions that 64-bit code does not have. As in
 * common/traps.c, two bytes of padding stand before each.
 */
#include "probe.h"

#define TRAP(name, code)						\
	SITE("to_" name, "nop\nnop\n" LABEL(name) code "\n" LABEL_END)

/* #OF (vector 4, a trap), with OF among the flags. */
TRAP("into", ".byte 0xce");

/* #BR (vector 5, a fault): cx is not between the two words where bx points. */
TRAP("bound", "bound %ecx, (%ebx)");

/* #DE by another instruction than DIV: AAM with a base of 0. */
TRAP("aam", ".byte 0xd4, 0x00");
