// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites and preparations of the family steps. Nothing here steps itself but
 * own_tf and own_loop: the tracer does, by PTRACE_SINGLESTEP or through the
 * debug registers.
 */
#include "probe.h"

#ifdef __x86_64__
#define WORD_BYTES "8"
#else
#define WORD_BYTES "4"
#endif

/*
 * Instructions that enter the kernel by no door: one #DB trap each when TF is
 * set, at the instruction that follows. A taken and an untaken jump, a call,
 * the stack, and flags that change.
 */
SITE("walk",
     "nop\n"
     "lea" W " 1(%" BX "), %" AX "\n"
     "push" W " %" AX "\n"
     "pop" W " %" CX "\n"
     "sub" W " %" AX ", %" CX "\n"
     "jz 71f\n"
     "ud2\n"
     "71: jnz 72f\n"
     "stc\n"
     "72: call 73f\n"
     "73: lea" W " " WORD_BYTES "(%" SP "), %" SP "\n"
     "cld\n");

/*
 * A system call with plain code behind it. Its step ends by a SIGTRAP of the
 * kernel's own making as the call exits (SYSCALL_WORK_SYSCALL_EXIT_TRAP).
 */
SITE("call_nops", ENTER "nop\nnop\n");

/* The same with plain code before it. */
SITE("nop_call", "nop\n" ENTER "nop\n");

/* #BP by its one-byte and its two-byte form; a trap, so ip is behind it. */
SITE("int3_nops", "int3\nnop\nnop\n");
SITE("int_3_nops", ".byte 0xcd, 0x03\nnop\nnop\n");

/* No entry: what PUSHF shows to a program that is being stepped. */
SITE("pushf", "pushf" W "\npop" W " %" AX "\nnop\n");

/* No entry: PUSHF and POPF as a pair, as a program saves its flags. */
SITE("pushf_popf", "pushf" W "\npopf" W "\nnop\nnop\nnop\n");

/* No entry: POPF of flags that have no TF. */
SITE("popf", "push" W " $0x202\npopf" W "\nnop\nnop\nnop\n");

/*
 * The program's own TF: #DB after each instruction from the one that follows
 * the first POPF, to the second POPF itself.
 */
SITE("own_tf",
     "push" W " $0x302\n"
     "popf" W "\n"
     LABEL("own") "nop\n"
     "nop\n" LABEL_END
     "push" W " $0x202\n"
     "popf" W "\n"
     "nop\n");

/* The program's own TF, in a loop of cx rounds. */
SITE("own_loop",
     "push" W " $0x302\n"
     "popf" W "\n"
     "71: loop 71b\n"
     "push" W " $0x202\n"
     "popf" W "\n");

/* #DB within one instruction: each round of REP is a step. */
SITE("repeat", "rep stosb\nnop\n");

/* CPUID, which a hypervisor carries out for its guest and then steps over. */
SITE("identify", "cpuid\nnop\nnop\n");

/* Places for instruction breakpoints (#DB as a fault, before the nop). */
SITE("nops", "nop\nnop\nnop\nnop\n");

/* Accesses for data breakpoints (#DB as a trap, after the access). */
SITE("touch",
     "mov" W " %" AX ", (%" DI ")\n"
     "movb %al, 3(%" DI ")\n"
     "mov" W " (%" DI "), %" CX "\n"
     "movb 8(%" DI "), %cl\n"
     "nop\n");

/*
 * A loop that runs into its breakpoint once a round, cx times: RF set in the
 * flags lets the instruction pass, and only once.
 */
SITE("rounds", "71: nop\nloop 71b\nnop\n");

/*
 * MOV SS holds every #DB off until the next instruction has run. If that one
 * is SYSCALL, int $0x80 or INT3, the #DB of a data breakpoint comes inside the kernel
 * (CVE-2018-8897).
 */
SITE("mov_ss_nop", "movw (%" DI "), %ss\nnop\nnop\n");
SITE("mov_ss_syscall", "movw (%" DI "), %ss\n" ENTER "nop\n");
SITE("mov_ss_int3", "movw (%" DI "), %ss\nint3\nnop\n");

/*
 * Branches for PTRACE_SINGLEBLOCK: #DB after each that is taken, when the
 * processor has BTF; else after each instruction.
 */
SITE("blocks",
     "nop\n"
     "nop\n"
     "jmp 71f\n"
     "nop\n"
     "71: nop\n"
     "cmp" W " %" AX ", %" AX "\n"
     "jnz 72f\n"
     "nop\n"
     "jz 72f\n"
     "nop\n"
     "72: nop\n"
     ENTER
     "nop\n"
     "jmp 69f\n");

/* A fault (#UD): the processor sets RF in the flags that it saves. */
SITE("fault", "ud2\nnop\n");

/*
 * Two words on the board to touch, the first with the stack selector in it.
 * The site gets di = their address; result[0], result[1] = what they hold.
 */
SETUP(cells)
{
	board->result[0] = board->in_.ss;
	board->in_.di = address_of(board->result);
	return 0;
}

/*
 * Arguments of rt_sigprocmask() that ask for the mask alone: the kernel writes
 * it to result[0], whose address is the third of them.
 */
SETUP(old_mask)
{
	board->in_.ARG1 = SIG_BLOCK;
	board->in_.ARG2 = 0;
	board->in_.ARG3 = address_of(board->result);
	board->in_.ARG4 = 8;
	return 0;
}
