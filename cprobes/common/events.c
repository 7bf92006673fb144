// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites and preparations of the family events. A child has its own end, for
 * the board is its parent's: it goes there by rcx, so that no flag changes.
 */
#include "probe.h"

#ifdef __x86_64__
#define JCXZ "jrcxz"
#else
#define JCXZ "jecxz"
#endif

/*
 * Registers in which a child finds the arguments of its execve(): such as
 * clone() does not look at. A scratch register that execve() does not, either.
 */
#if DOOR == SYSCALL
#define H1 "r12"
#define H2 "r13"
#define H3 "r14"
#define HEIR1 r12
#define HEIR2 r13
#define HEIR3 r14
#define SCRATCH "ebx"
#else
#define H1 SI
#define H2 DI
#define H3 BP
#define HEIR1 si
#define HEIR2 di
#define HEIR3 bp
#define SCRATCH "esi"
#endif

/*
 * The way in of a child that may run on its parent's stack (vfork): one that
 * writes nothing there. The vDSO would write over the return address of its
 * parent, which is still in there.
 */
#if DOOR == VDSO
#define CHILD_ENTER "int $0x80\n"
#else
#define CHILD_ENTER ENTER
#endif

#if DOOR == VDSO
extern const struct origax_label __start_origax_label_set[];

#define CALL_BYTES 6	/* of ENTER, which begins a site */
#endif

/* Tells the tracer and the control what the child's pid is. */
#define CHILD_TO_BOARD							\
	"mov" W " %" AX ", " BOARD(STR(CHILD_AT)) "\n"

#define EXECUTE								\
	"mov" W " %" H1 ", %" R1 "\n"					\
	"mov" W " %" H2 ", %" R2 "\n"					\
	"mov" W " %" H3 ", %" R3 "\n"					\
	"movl $" N(execve) ", %eax\n"

/*
 * A call that makes a task: ret_from_fork of the child leaves by the same
 * code as its parent, with a copy of the registers and ax = 0. The child ends
 * itself by exit(7), the parent tells the child's pid.
 */
SITE("fork",
     ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("child") "71: movl $7, %" E1 "\n"
     "movl $" N(exit) ", %eax\n"
     CHILD_ENTER LABEL_END
     "ud2\n");

/* The same, but the child executes what setup heir has prepared. */
SITE("fork_exec",
     ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("heir") "71: " EXECUTE
     CHILD_ENTER LABEL_END
     "ud2\n");

/* The same, and the parent waits in pause(). */
SITE("clone_exec",
     ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 71f\n"
     "movl $" N(pause) ", %eax\n"
     LABEL("waiting") ENTER LABEL_END
     "ud2\n"
     LABEL("thread") "71: " EXECUTE
     ENTER LABEL_END
     "ud2\n");

/*
 * vfork() whose child reads a byte, tells first that it is there, and is gone:
 * meanwhile no signal reaches the parent. The call leaves the registers of
 * read() alone, which setup read_blocks has prepared.
 */
SITE("vfork_reads",
     ENTER
     "test" W " %" AX ", %" AX "\n"
     "jz 71f\n"
     CHILD_TO_BOARD
     "push" W " $0x202\n"			/* flags of no interest */
     "popf" W "\n"
     "jmp 69f\n"
     LABEL("reader") "71: movl $1, " BOARD(STR(CHILD_AT)) "\n"
     "movl $" N(read) ", %eax\n"
     CHILD_ENTER LABEL_END
     "xorl %" E1 ", %" E1 "\n"
     "movl $" N(exit) ", %eax\n"
     CHILD_ENTER
     "ud2\n");

/*
 * The first process of the PID namespace that setup apart has prepared. It
 * makes another by clone() with the flags of H1, one that may run on its stack,
 * waits for its end, and exits with 8. The other sends its parent, which is
 * number 1 to it, SIGUSR1, and exits with 7.
 */
SITE("fork_init",
     ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("reaper") "71: mov" W " %" H1 ", %" R1 "\n"
     "xorl %" E2 ", %" E2 "\n"
     "movl $" N(clone) ", %eax\n"
     CHILD_ENTER LABEL_END
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 72f\n"
     LABEL("waits") "movl $-1, %" E1 "\n"
     "xorl %" E2 ", %" E2 "\n"
     "movl $0x40000000, %" E3 "\n"		/* __WALL */
     "mov" W " $0, %" R4 "\n"
     "movl $" N(wait4) ", %eax\n"
     CHILD_ENTER
     "movl $8, %" E1 "\n"
     "movl $" N(exit_group) ", %eax\n"
     CHILD_ENTER LABEL_END
     "ud2\n"
     LABEL("inner") "72: movl $1, %" E1 "\n"
     "movl $10, %" E2 "\n"			/* SIGUSR1 */
     "movl $" N(kill) ", %eax\n"
     CHILD_ENTER
     "movl $7, %" E1 "\n"
     "movl $" N(exit) ", %eax\n"
     CHILD_ENTER LABEL_END
     "ud2\n");

/*
 * The same, but the first process makes a thread, which executes what setup
 * heir_apart has prepared, and waits in pause().
 */
SITE("fork_thread",
     ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 71f\n"
     CHILD_TO_BOARD
     "jmp 69f\n"
     LABEL("leader") "71: movl $0x50f00, %" E1 "\n"	/* a thread's flags */
     "movl $" N(clone) ", %eax\n"
     CHILD_ENTER
     "mov" W " %" AX ", %" CX "\n"
     JCXZ " 72f\n"
     "movl $" N(pause) ", %eax\n"
     CHILD_ENTER LABEL_END
     "ud2\n"
     LABEL("inner_thread") "72: " EXECUTE
     CHILD_ENTER LABEL_END
     "ud2\n");

/* read(), and then execute what setup read_heir has prepared. */
SITE("read_exec",
     LABEL("first_read") ENTER LABEL_END
     LABEL("then_exec") EXECUTE
     ENTER LABEL_END
     "ud2\n");

/*
 * execve() with nothing in its initial state: selectors loaded, flags as the
 * case says. The kernel hands none of it to the new program.
 */
SITE("dirty_exec",
     "movl %ss, %" SCRATCH "\n"
     "movl %" SCRATCH ", %ds\n"
     "movl %" SCRATCH ", %es\n"
     "movl %" SCRATCH ", %fs\n"
     "movl %" SCRATCH ", %gs\n"
     ENTER);

/* The same with TF set by the last instruction before. */
SITE("tf_exec", "push" W " $0x302\npopf" W "\n" ENTER);

/* A pointer in the arguments of execve(): the table of calls tells its width. */
#if DOOR == SYSCALL && !defined(__ILP32__)
typedef uint64_t pointer;
#else
typedef uint32_t pointer;
#endif

#define ARGUMENTS 8	/* in board->arg from here on, and an empty list last */

/*
 * The strings on the board as a list of arguments: one behind the other, to
 * the first that is empty.
 */
static uint64_t arguments(struct origax_board *board)
{
	pointer *list = (pointer *)&board->arg[ARGUMENTS];
	const char *text = board->text;
	int i;

	for (i = 0; *text && i < 6; i++) {
		list[i] = address_of(text);
		while (*text++)
			;
	}
	list[i] = 0;
	return address_of(list);
}

static uint64_t environment(struct origax_board *board)
{
	board->arg[15] = 0;
	return address_of(&board->arg[15]);
}

/* execve(text, { text }, { }). */
SETUP(exec)
{
	board->in_.ARG1 = address_of(board->text);
	board->in_.ARG2 = arguments(board);
	board->in_.ARG3 = environment(board);
	return 0;
}

/* execveat(AT_FDCWD, text, { text }, { }, 0). */
SETUP(execveat)
{
	board->in_.ARG1 = (unsigned long)-100;
	board->in_.ARG2 = address_of(board->text);
	board->in_.ARG3 = arguments(board);
	board->in_.ARG4 = environment(board);
	board->in_.ARG5 = 0;
	return 0;
}

/*
 * A stack of its own for the task that clone() makes. One made through the
 * vDSO returns from there as its parent does: it needs the same four words.
 */
SETUP(stack)
{
	uint8_t *top = origax_stacks[1] + STACK_SIZE - 1024;

#if DOOR == VDSO
	const struct origax_label *site = __start_origax_label_set + board->site;
	uint32_t *words = (uint32_t *)top - 4;

	words[0] = board->in_.bp;
	words[1] = board->in_.dx;
	words[2] = board->in_.cx;
	words[3] = site->start + CALL_BYTES;
	top = (uint8_t *)words;
#endif
	board->in_.ARG2 = address_of(top);
	return 0;
}

/* The same, and where EXECUTE looks for it: execve(text, { text }, { }). */
SETUP(heir)
{
	board->in_.HEIR1 = address_of(board->text);
	board->in_.HEIR2 = arguments(board);
	board->in_.HEIR3 = environment(board);
	return setup_stack(board);
}

/* The same for a program that reads first: read(pipe of arg[0], buffer, 1). */
SETUP(read_heir)
{
	static uint8_t buffer[16];

	board->in_.HEIR1 = address_of(board->text);
	board->in_.HEIR2 = arguments(board);
	board->in_.HEIR3 = environment(board);
	board->in_.ARG1 = board->arg[0];
	board->in_.ARG2 = address_of(buffer);
	board->in_.ARG3 = 1;
	return 0;
}

/*
 * Has the children of this program be in a PID namespace of their own: by
 * CAP_SYS_ADMIN, or by a user namespace in which the program has it.
 */
static int live_apart(void)
{
	const long user = 0x10000000, pid = 0x20000000;	/* CLONE_NEW... */

	return sys(NR(unshare), pid, 0, 0, 0) &&
	       sys(NR(unshare), user | pid, 0, 0, 0) ? EPERM : 0;
}

/* The same, and the flags of arg[0] where its child looks for them. */
SETUP(apart)
{
	board->in_.HEIR1 = board->arg[0];
	return live_apart();
}

/* Setup heir, likewise. */
SETUP(heir_apart)
{
	int error = setup_heir(board);

	return error ? error : live_apart();
}

/* clone3() with the flags of arg[0] and the exit signal of arg[1]. */
SETUP(clone3)
{
	static uint64_t args[8];	/* struct clone_args, first version */

	args[0] = board->arg[0];
	args[4] = board->arg[1];
	board->in_.ARG1 = address_of(args);
	board->in_.ARG2 = sizeof(args);
	return 0;
}
