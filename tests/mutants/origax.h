/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What guards a planted fault; included before every C and assembler file of
 * the kernel, so it includes nothing itself.
 */
#ifndef _LINUX_ORIGAX_H
#define _LINUX_ORIGAX_H

#ifdef __ASSEMBLER__

/* Jump if a fault is armed, whoever runs here; note that somebody did. */
.macro ORIGAX_JUMP fault:req, label:req
#ifdef __x86_64__
	movb	$1, (origax_reached + \fault)(%rip)
	cmpl	$\fault, origax_fault(%rip)
#else
	movb	$1, origax_reached + \fault
	cmpl	$\fault, origax_fault
#endif
	je	\label
.endm

#else

struct task_struct;

_Bool origax_here(int fault);
_Bool origax_of(int fault, const struct task_struct *task);

#define ORIGAX(fault) origax_here(fault)
#define ORIGAX_OF(fault, task) origax_of(fault, task)

#endif
#endif
