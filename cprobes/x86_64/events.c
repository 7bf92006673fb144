// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites and preparations of the family events. A child has its own end, for
 * the board is its parent's: it goes there by rcx, so that no flag changes.
 */
#include "probe.h"

/* Tells the tracer and the control what the child's pid is. */
#define CHILD_TO_BOARD "movq %rax, origax_shared+" STR(CHILD_AT) "(%rip)\n"

/*
 * SYSCALL that makes a task: ret_from_fork of the child leaves by the same
 * code as its parent, with a copy of the registers and ax = 0. The child ends
 * itself by exit(7), the parent tells the child's pid.
 */
SITE("fork",
     "syscall\n"
     "movq %rax, %rcx\n"
     "jrcxz 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("child") "71: movl $7, %edi\n"
     "movl $60, %eax\n"
     "syscall\n" LABEL_END
     "ud2\n");

/* The same, but the child executes what r12, r13 and r14 say. */
SITE("fork_exec",
     "syscall\n"
     "movq %rax, %rcx\n"
     "jrcxz 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("heir") "71: movq %r12, %rdi\n"
     "movq %r13, %rsi\n"
     "movq %r14, %rdx\n"
     "movl $59, %eax\n"
     "syscall\n" LABEL_END
     "ud2\n");

/* The same, and the parent waits in pause(). */
SITE("clone_exec",
     "syscall\n"
     "movq %rax, %rcx\n"
     "jrcxz 71f\n"
     "movl $34, %eax\n"
     LABEL("waiting") "syscall\n" LABEL_END
     "ud2\n"
     LABEL("thread") "71: movq %r12, %rdi\n"
     "movq %r13, %rsi\n"
     "movq %r14, %rdx\n"
     "movl $59, %eax\n"
     "syscall\n" LABEL_END
     "ud2\n");

/*
 * execve() with nothing in its initial state: selectors loaded, flags as the
 * case says. The kernel hands none of it to the new program.
 */
SITE("dirty_exec",
     "movl $0x2b, %ebx\n"
     "movl %ebx, %ds\n"
     "movl %ebx, %es\n"
     "movl %ebx, %fs\n"
     "movl %ebx, %gs\n"
     "syscall\n");

/* The same with TF set by the last instruction before. */
SITE("tf_exec", "pushq $0x302\npopfq\nsyscall\n");

/* { text } on the board, in arg[14] and arg[15]; the latter is { } as well. */
static uint64_t arguments(struct origax_board *board)
{
	board->arg[14] = (uint64_t)board->text;
	board->arg[15] = 0;
	return (uint64_t)&board->arg[14];
}

static uint64_t environment(struct origax_board *board)
{
	return (uint64_t)&board->arg[15];
}

/* execve(text, { text }, { }): in di, si, dx. */
SETUP(exec)
{
	board->in_.di = (uint64_t)board->text;
	board->in_.si = arguments(board);
	board->in_.dx = environment(board);
	return 0;
}

/* execveat(AT_FDCWD, text, { text }, { }, 0): in di, si, dx, r10, r8. */
SETUP(execveat)
{
	board->in_.di = -100;
	board->in_.si = (uint64_t)board->text;
	board->in_.dx = arguments(board);
	board->in_.r10 = environment(board);
	board->in_.r8 = 0;
	return 0;
}

/* A stack of its own for the task that clone() makes, in si. */
SETUP(stack)
{
	board->in_.si = address_of(origax_stacks[1] + STACK_SIZE - 1024);
	return 0;
}

/* The same, and execve(text, { text }, { }) in r12, r13, r14. */
SETUP(heir)
{
	board->in_.r12 = (uint64_t)board->text;
	board->in_.r13 = arguments(board);
	board->in_.r14 = environment(board);
	return setup_stack(board);
}

/* clone3() with the flags of arg[0] and the exit signal of arg[1]: di, si. */
SETUP(clone3)
{
	static uint64_t args[8];	/* struct clone_args, first version */

	args[0] = board->arg[0];
	args[4] = board->arg[1];
	board->in_.di = (uint64_t)args;
	board->in_.si = sizeof(args);
	return 0;
}
