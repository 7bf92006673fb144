// SPDX-License-Identifier: GPL-2.0-only
/*
 * The inside of __kernel_vsyscall. Before its landing pad stand, whatever the
 * processor, a MOV, SYSENTER or SYSCALL, and int $0x80, of two bytes each
 * (arch/x86/entry/vdso/vdso32/system_call.S).
 */
#include "probe.h"

#if DOOR == VDSO
#define PAD "624"
#define BACK_TO_MOV "6"

_Static_assert(offsetof(struct origax_board, landing_pad) == 624,
	       "the offset above is the structure's");

static uint32_t bad_sp __attribute__((used));
static uint32_t scratch __attribute__((used));

/* Leaves the address of the MOV in `scratch`, every register and flag as it is. */
#define FIND_MOV							\
	"pushfl\n"							\
	"pushl " BOARD(PAD) "\n"					\
	"subl $" BACK_TO_MOV ", (%esp)\n"				\
	"popl scratch\n"						\
	"popfl\n"

/*
 * A call under the program's own TF. It is made as __kernel_vsyscall makes it,
 * but the program itself pushes, and jumps to the MOV under TF: what precedes
 * that differs between kernels (Linux commit 36d83c249e03, in v7.0).
 */
SITE("tf_syscall",
     FIND_MOV
     "pushl $76f\n"
     "pushl %ecx\npushl %edx\npushl %ebp\n"
     "pushfl\n"
     "orl $0x100, (%esp)\n"
     "popfl\n"
     "jmp *scratch\n"
     LABEL("stepped") "76: pushfl\n" LABEL_END
     "andl $~0x100, (%esp)\n"
     "popfl\n");

/*
 * MOV SS right before SYSCALL or SYSENTER, the program's own, in a frame such as
 * __kernel_vsyscall makes, which the landing pad takes away: see mov_ss_syscall
 * in common/steps.c.
 */
#define MOV_SS_BEFORE(name, label, to_bp, enter)			\
	SITE(name,							\
	     "call 71f\n"						\
	     "jmp 69f\n"						\
	     "71: pushl %ecx\npushl %edx\npushl %ebp\n"		\
	     "movl %" to_bp ", %ebp\n"					\
	     LABEL(label) "movw (%edi), %ss\n" enter "\n" LABEL_END	\
	     "ud2\n")
MOV_SS_BEFORE("mov_ss_syscall32", "before_syscall32", "ecx", "syscall");
MOV_SS_BEFORE("mov_ss_sysenter", "before_sysenter", "esp", "sysenter");

/*
 * The same as sysret_stack in int80_64/far.c, by SYSCALL in the vDSO: the
 * landing pad uses the stack at once.
 */
SITE("sysret_stack_32",
     "71: movl $162, %eax\n"			/* nanosleep */
     "leal " BOARD(STR(NAP_AT)) ", %ebx\n"
     "xorl %ecx, %ecx\n"
     ENTER
     "subl $1, origax_rounds\n"
     "jnz 71b\n"
     "xorl %ebx, %ebx\n"
     "movl $1, %ecx\n");

/*
 * A call by a program that has no stack where the sixth argument is looked for.
 * __do_fast_syscall_32 cannot read it: -EFAULT, and no call is made. The first
 * thing that the program does then, at the landing pad, is to pop, and to die.
 */
SITE("bad_stack",
     FIND_MOV
     "movl bad_sp, %esp\n"
     "jmp *scratch\n");

/*
 * The stack for it. arg[0]: 0 an address where nothing is mapped; 1 the last two
 * bytes before a page that may not be read.
 */
SETUP(bad_stack)
{
	uint8_t *page = origax_stacks[0] + 4096;
	const uint8_t *entry = (const uint8_t *)(uintptr_t)board->landing_pad;

	if (!entry || entry[-4] != 0x0f ||
	    (entry[-3] != 0x34 && entry[-3] != 0x05))
		return ENOSYS;
	bad_sp = board->arg[0] ? (uintptr_t)page - 2 : 16;
	return -sys(NR(mprotect), (long)page, 4096, 0 /* PROT_NONE */, 0);
}
#endif
