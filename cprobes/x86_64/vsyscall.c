// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vsyscall page as a door: code calls an address of the kernel, the fetch
 * is refused (#PF, vector 14, or #GP with LASS), and the handler does the call
 * in its place and returns for it (emulate_vsyscall). In a tracer's eyes there
 * is no system call: no stop, and orig_ax is -1 but while seccomp looks. With
 * vsyscall=none the fault stays one, and is SIGSEGV.
 */
#include "probe.h"

/*
 * CALL of bx, an address of the page. Emulated, it comes back to vsyscall_back
 * with the result in ax, and every other register as it was; refused, SIGSEGV
 * shows ip at bx and the return address pushed.
 */
SITE("to_vsyscall",
     "nop\n"
     "nop\n"
     LABEL("vsyscall") "callq *%rbx\n" LABEL_END
     LABEL("vsyscall_back") "nop\n"
     "nop\n" LABEL_END);

/*
 * The same, and then ax and the word at di become 0 if they are what the setup
 * below expects: r13 and r12 are taken off, and cx bits from the right.
 */
SITE("to_vsyscall_value",
     "nop\n"
     "nop\n"
     "callq *%rbx\n"
     "subq %r13, %rax\n"
     "shrq %cl, %rax\n"
     "subq %r12, (%rdi)\n"
     "shrq %cl, (%rdi)\n"
     "cmpl %eax, %eax\n");

/*
 * JMP to bx with bp for a stack pointer: the emulation cannot read where to
 * return to, and it is SIGSEGV at bx.
 */
SITE("to_vsyscall_no_stack",
     "xchgq %rbp, %rsp\n"
     "jmpq *%rbx\n");

/*
 * CALL of bx under the program's own TF: #DB behind the call, with ip in the
 * page, and not again before the instruction that it comes back to has run.
 */
SITE("to_vsyscall_own_tf",
     "pushq $0x302\n"
     "popfq\n"
     LABEL("vsyscall_tf") "callq *%rbx\n"
     "nop\n"
     "nop\n" LABEL_END
     "pushq $0x202\n"
     "popfq\n"
     "nop\n");

/*
 * For to_vsyscall_value: the call of number arg[0] is to write to result[0].
 * It may be a time, which is right if less than 64 seconds late, or this CPU.
 * arg[1] is a seccomp answer; 0: no filter.
 */
SETUP(vsyscall_value)
{
	long nr = board->arg[0];
	uint64_t rules[] = { nr, board->arg[1], 0 };

	board->result[0] = nr == NR(getcpu) ? UINT32_MAX : 0;
	board->in_.di = address_of(board->result);
	board->in_.si = 0;
	board->in_.cx = nr == NR(getcpu) ? 0 : 6;
	board->in_.r12 = nr == NR(getcpu) ? board->cpu
					   : sys(NR(time), 0, 0, 0, 0);
	board->in_.r13 = nr == NR(time) ? board->in_.r12 : 0;
	return board->arg[1] ? -origax_filter(rules, 0) : 0;
}
