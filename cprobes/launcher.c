// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a program: forked here, in C, from the tracer. The child makes raw
 * system calls only and never returns to its parent's code, so it is safe
 * however many threads the parent had.
 */
#include "probe.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/user.h>
#include <time.h>
#include <ucontext.h>

#define PAGE 4096
#define BOARD_SIZE ((sizeof(struct origax_board) + PAGE - 1) & ~(PAGE - 1UL))
#define STACK_SIZE (64 * 1024)

_Static_assert(sizeof(struct origax_regs) == sizeof(struct user_regs_struct),
	       "the board's registers are the kernel's");

/*
 * At a fixed place of the image, so that a program can reach it rip-relative
 * with every register in use; origax_board() maps shared memory over it.
 */
union {
	struct origax_board board;
	uint8_t pages[BOARD_SIZE];
} origax_shared __attribute__((aligned(PAGE), visibility("hidden")));

static uint8_t stacks[2][STACK_SIZE] __attribute__((aligned(PAGE)));

extern const struct origax_label __start_origax_label_set[], __stop_origax_label_set[];
extern const struct origax_setup __start_origax_setup_set[], __stop_origax_setup_set[];

struct origax_board *origax_board(void)
{
	static int mapped;
	void *at;

	if (!mapped) {
		at = mmap(&origax_shared, sizeof(origax_shared),
			  PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (at == MAP_FAILED)
			return NULL;
		mapped = 1;
	}
	return &origax_shared.board;
}

const struct origax_label *origax_labels(uint32_t *count)
{
	*count = __stop_origax_label_set - __start_origax_label_set;
	return __start_origax_label_set;
}

const struct origax_setup *origax_setups(uint32_t *count)
{
	*count = __stop_origax_setup_set - __start_origax_setup_set;
	return __start_origax_setup_set;
}

/* Stack 0 is the site's, 1 the alternate signal stack. */
uint64_t origax_stack(uint32_t which, uint32_t *size)
{
	*size = STACK_SIZE;
	return (uint64_t)stacks[which & 1];
}


/*
 * void origax_enter(void *site): load all registers from the board, tell the
 * board, go. `popfq` comes last but for what touches no flag: with TF in the
 * flags, the trap is taken one instruction later.
 */
extern void origax_enter(const void *site)
	__attribute__((visibility("hidden")));

static void *target __attribute__((used));
static void *own_sp __attribute__((used));
struct origax_regs origax_out __attribute__((visibility("hidden"), used));

/* Offsets into struct origax_regs, as its declaration orders them. */
#define R15 "0"
#define R14 "8"
#define R13 "16"
#define R12 "24"
#define BP "32"
#define BX "40"
#define R11 "48"
#define R10 "56"
#define R9 "64"
#define R8 "72"
#define AX "80"
#define CX "88"
#define DX "96"
#define SI "104"
#define DI "112"
#define CS "136"
#define FLAGS "144"
#define SP "152"
#define SS "160"
#define DS "184"
#define ES "192"
#define FS "200"
#define GS "208"
#define READY "216"

#define LOAD(reg, at) "movq origax_shared+" at "(%rip), %" reg "\n"
#define KEEP(reg, at) "movq %" reg ", origax_out+" at "(%rip)\n"
#define KEEP_SEG(reg, at)						\
	"xorl %eax, %eax\nmovl %" reg ", %eax\n" KEEP("rax", at)

_Static_assert(offsetof(struct origax_board, in_) == 0 &&
	       offsetof(struct origax_board, ready) == 216 &&
	       offsetof(struct origax_board, child) == CHILD_AT &&
	       offsetof(struct origax_regs, gs) == 208 &&
	       offsetof(struct origax_regs, sp) == 152 &&
	       offsetof(struct origax_regs, flags) == 144,
	       "the offsets above are the structure's");


__asm__(".pushsection .text.origax, \"ax\", @progbits\n"
	".hidden origax_enter\n.globl origax_enter\n"
	"origax_enter:\n"
	"pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\n"
	"pushq %r15\n"
	"movq %rdi, target(%rip)\n"
	"movq %rsp, own_sp(%rip)\n"
	LOAD("rsp", SP)
	"pushq origax_shared+" FLAGS "(%rip)\n"
	LOAD("r15", R15) LOAD("r14", R14) LOAD("r13", R13) LOAD("r12", R12)
	LOAD("rbp", BP) LOAD("rbx", BX) LOAD("r11", R11) LOAD("r10", R10)
	LOAD("r9", R9) LOAD("r8", R8) LOAD("rax", AX) LOAD("rcx", CX)
	LOAD("rdx", DX) LOAD("rsi", SI) LOAD("rdi", DI)
	"popfq\n"
	"movq $1, origax_shared+" READY "(%rip)\n"
	"jmpq *target(%rip)\n"
	/* Where every site ends. */
	".hidden origax_land\n.globl origax_land\n"
	"origax_land:\n"
	KEEP("r15", R15) KEEP("r14", R14) KEEP("r13", R13) KEEP("r12", R12)
	KEEP("rbp", BP) KEEP("rbx", BX) KEEP("r11", R11) KEEP("r10", R10)
	KEEP("r9", R9) KEEP("r8", R8) KEEP("rax", AX) KEEP("rcx", CX)
	KEEP("rdx", DX) KEEP("rsi", SI) KEEP("rdi", DI) KEEP("rsp", SP)
	"movq own_sp(%rip), %rsp\n"
	"pushfq\npopq %rax\n" KEEP("rax", FLAGS)
	"pushq $0x202\npopfq\n"
	KEEP_SEG("cs", CS) KEEP_SEG("ss", SS) KEEP_SEG("ds", DS)
	KEEP_SEG("es", ES) KEEP_SEG("fs", FS) KEEP_SEG("gs", GS)
	"popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
	"ret\n"
	/*
	 * The handler proper is C; it is handed the stack pointer of its
	 * first instruction besides.
	 */
	".hidden origax_handler\n.globl origax_handler\n"
	LABEL_ENTRY("handler", 0)
	"78: origax_handler:\n"
	"movq %rsp, %rcx\n"
	/* AC would still be the interrupted code's, and C is not aligned. */
	"pushq $0x202\npopfq\n"
	"subq $8, %rsp\n"
	"call origax_record\n"
	"addq $8, %rsp\n"
	/* What C left in registers would be another build's tomorrow. */
	LOAD("rcx", CX) LOAD("rdx", DX) LOAD("rsi", SI) LOAD("rdi", DI)
	LOAD("r8", R8) LOAD("r9", R9) LOAD("r10", R10) LOAD("r11", R11)
	"pushq $0x202\npopfq\n"
	"ret\n79:\n"
	".hidden origax_restorer\n.globl origax_restorer\n"
	LABEL_ENTRY("restorer", 0)
	"78: origax_restorer:\n"
	"movl $15, %eax\n"
	"syscall\n79:\n"
	"ud2\n"
	/* The end of every program: exit_group(0), registers as at the site. */
	".hidden origax_leave\n.globl origax_leave\n"
	"origax_leave:\n"
	LOAD("r15", R15) LOAD("r14", R14) LOAD("r13", R13) LOAD("r12", R12)
	LOAD("rbp", BP) LOAD("rbx", BX) LOAD("r11", R11) LOAD("r10", R10)
	LOAD("r9", R9) LOAD("r8", R8) LOAD("rcx", CX) LOAD("rdx", DX)
	LOAD("rsi", SI) LOAD("rsp", SP)
	"pushq $0x202\npopfq\n"
	"movl $0, %edi\n"
	"movl $231, %eax\n"
	LABEL("leave") "syscall\n" LABEL_END
	"ud2\n"
	".popsection\n");

extern void origax_leave(void) __attribute__((visibility("hidden"), noreturn));

static void quit(int code)
{
	for (;;)
		sys(SYS_exit_group, code, 0, 0, 0);
}

static const struct origax_label *current;

/* What a handler does: keep what the kernel handed it, then as the board says. */
__attribute__((visibility("hidden"), used))
void origax_record(int signo, siginfo_t *info, void *context, uint64_t sp)
{
	struct origax_board *board = &origax_shared.board;
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t segments = g[REG_CSGSFS];
	uint32_t n = __atomic_load_n(&board->frames, __ATOMIC_RELAXED);
	struct origax_frame *f = &board->frame[n];
	uint32_t i;

	if (n < 16) {
		f->signo = signo;
		f->code = info->si_code;
		f->addr = (uint64_t)info->si_addr;
		f->sysno = info->si_syscall;
		f->arch = info->si_arch;
		f->regs = (struct origax_regs){
			.r15 = g[REG_R15], .r14 = g[REG_R14],
			.r13 = g[REG_R13], .r12 = g[REG_R12],
			.bp = g[REG_RBP], .bx = g[REG_RBX],
			.r11 = g[REG_R11], .r10 = g[REG_R10],
			.r9 = g[REG_R9], .r8 = g[REG_R8], .ax = g[REG_RAX],
			.cx = g[REG_RCX], .dx = g[REG_RDX], .si = g[REG_RSI],
			.di = g[REG_RDI], .ip = g[REG_RIP],
			.flags = g[REG_EFL], .sp = g[REG_RSP],
			.cs = segments & 0xffff,
			.gs = segments >> 16 & 0xffff,
			.fs = segments >> 32 & 0xffff, .ss = segments >> 48,
		};
		f->trapno = g[REG_TRAPNO];
		f->err = g[REG_ERR];
		f->cr2 = g[REG_CR2];
		f->oldmask = g[REG_OLDMASK];
		f->uc_flags = uc->uc_flags;
		f->mask = *(uint64_t *)&uc->uc_sigmask;
		f->handler_sp = sp;
	}
	__atomic_store_n(&board->frames, n + 1, __ATOMIC_RELEASE);
	if (board->quit_after && n + 1 >= board->quit_after)
		origax_leave();
	for (i = 0; i < board->edits; i++)
		g[board->edit_at[i]] = board->edit_to[i];
	if (board->skip)
		g[REG_RIP] = (greg_t)current->end;
}

/* Every disposition that the tracer's interpreter changed goes back. */
static void own_signals(struct origax_board *board)
{
	struct kernel_sigaction act = { 0 };
	uint64_t none = 0;
	int i;

	for (i = 1; i <= 64; i++)
		sys(SYS_rt_sigaction, i, (long)&act, 0, 8);
	for (i = 0; i < 8 && board->handler_signo[i]; i++) {
		act.handler = board->handler_ignore[i] ?
			(void *)SIG_IGN : origax_handler;
		act.flags = board->handler_flags[i] | SA_SIGINFO |
			0x04000000 /* SA_RESTORER */;
		act.restorer = origax_restorer;
		sys(SYS_rt_sigaction, board->handler_signo[i], (long)&act, 0,
		    8);
		if (board->handler_flags[i] & SA_ONSTACK) {
			stack_t alt = { .ss_sp = stacks[1],
					.ss_size = STACK_SIZE };

			sys(SYS_sigaltstack, (long)&alt, 0, 0, 0);
		}
	}
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8);
}

/*
 * No core file of a program that dies, unless its setup asks for one. A limit
 * of one byte keeps it from a pipe too (fs/coredump.c do_coredump).
 */
static void own_limits(void)
{
	uint64_t limit[2];

	if (!sys(SYS_getrlimit, 4 /* RLIMIT_CORE */, (long)limit, 0, 0) &&
	    limit[0] > 1) {
		limit[0] = 1;
		sys(SYS_setrlimit, 4, (long)limit, 0, 0);
	}
}

static void own_cpu(uint32_t cpu)
{
	unsigned long mask[16] = { 0 };

	if (cpu < 8 * sizeof(mask)) {
		mask[cpu / 64] = 1UL << cpu % 64;
		sys(SYS_sched_setaffinity, 0, sizeof(mask), (long)mask, 0);
	}
}

static void program(const struct origax_label *site,
		    const struct origax_setup *setup, long parent)
{
	struct origax_board *board = &origax_shared.board;
	int error;

	sys(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
	if (sys(SYS_getppid, 0, 0, 0, 0) != parent)
		quit(0);
	sys(SYS_setpgid, 0, 0, 0, 0);
	current = site;
	own_cpu(board->cpu);
	own_signals(board);
	own_limits();
	sys(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */,
	    (long)&board->in_.fs_base, 0, 0);
	sys(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */,
	    (long)&board->in_.gs_base, 0, 0);
	error = setup ? setup->prepare(board) : 0;
	if (error) {
		board->failed = error;
		quit(99);
	}
	sys(SYS_rt_sigprocmask, SIG_SETMASK, (long)&board->blocked, 0, 8);
	/*
	 * The gate: a signal-delivery-stop that the tracer suppresses. From
	 * here to the site there is no other kernel entry by the program.
	 */
	while (board->traced &&
	       !__atomic_load_n(&board->attached, __ATOMIC_ACQUIRE))
		sys(SYS_sched_yield, 0, 0, 0, 0);
	if (board->traced)
		sys(SYS_tgkill, sys(SYS_getpid, 0, 0, 0, 0),
		    sys(SYS_gettid, 0, 0, 0, 0), SIGSTOP, 0);
	origax_enter(site->start);
	board->out = origax_out;
	__atomic_store_n(&board->landed, board->landed + 1, __ATOMIC_RELEASE);
	origax_leave();
}

/*
 * Launch a program that enters the site of that label after that setup (none
 * if negative). Returns its pid, or -errno.
 */
int origax_launch(uint32_t label, int setup)
{
	const struct origax_label *site = __start_origax_label_set + label;
	const struct origax_setup *how =
		setup < 0 ? NULL : __start_origax_setup_set + setup;
	long parent = sys(SYS_getpid, 0, 0, 0, 0);
	long pid = sys(SYS_clone, SIGCHLD, 0, 0, 0);

	if (pid == 0)
		program(site, how, parent);
	return pid;
}

/*
 * Use up the pids below a number, so that the next process has none of them:
 * in a transcript, a pid must not look like a call, a signal or a result.
 * Returns 0 or -errno.
 */
int origax_use_up_pids(int below)
{
	long pid = 0;
	int i;

	for (i = 0; i < below && pid < below - 1; i++) {
		pid = sys(SYS_clone, 0, 0, 0, 0);
		if (pid == 0)
			quit(0);
		if (pid < 0)
			return pid;
		sys(SYS_wait4, pid, 0, 0x40000000 /* __WALL */, 0);
	}
	return 0;
}

/* tgkill(2), which neither libc nor Python offers everywhere. */
int origax_tgkill(int tgid, int tid, int signo)
{
	return sys(SYS_tgkill, tgid, tid, signo, 0);
}

/* Have the calling process killed when its parent dies. */
int origax_die_with_parent(int parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

/* Become the parent of every orphan among one's descendants. */
int origax_subreaper(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) ? -errno : 0;
}

void origax_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]),
			   "=d"(out[3])
			 : "0"(leaf), "2"(subleaf));
}
