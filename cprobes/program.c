// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a program: a freestanding executable with the sites and preparations
 * of every family, which maps the board, does what stands there, and ends. It
 * runs nothing but what is here: no libc, no loader, no thread of its own.
 */
#include "probe.h"

#include <linux/futex.h>

#define PAGE 4096
#define BOARD_SIZE ((sizeof(struct origax_board) + PAGE - 1) & ~(PAGE - 1UL))

/* Every image, and the tracer, has the board's members at the same places. */
_Static_assert(sizeof(struct origax_regs) == 27 * 8 &&
	       sizeof(struct origax_frame) == 32 + 27 * 8 + 7 * 8 &&
	       offsetof(struct origax_board, handler_flags) == 408 &&
	       offsetof(struct origax_board, edit_to) == 552 &&
	       offsetof(struct origax_board, tracer) == 596 &&
	       offsetof(struct origax_board, vdso) == 616 &&
	       offsetof(struct origax_board, out) == 648 &&
	       offsetof(struct origax_board, result) == 864 &&
	       offsetof(struct origax_board, text) ==
	       648 + 27 * 8 + 24 * 8 + 16 * sizeof(struct origax_frame),
	       "the layout is that of 64-bit code");

/*
 * At a fixed place of the image, so that a program can reach it with every
 * register in use; the tracer's board is mapped over it.
 */
union {
	struct origax_board board;
	uint8_t pages[BOARD_SIZE];
} origax_shared __attribute__((aligned(PAGE), visibility("hidden")));

uint8_t origax_stacks[2][STACK_SIZE] __attribute__((aligned(PAGE)));

extern const struct origax_label __start_origax_label_set[];
extern const struct origax_setup __start_origax_setup_set[];

/* What the image tells of itself: struct origax_image, in a note. */
__asm__(".pushsection .note.origax, \"a\", @note\n"
	".balign 4\n"
	".long 7, 64, 1\n"
	".asciz \"origax\"\n"
	".balign 4\n"
	POINTER("__start_origax_label_set")
	POINTER("__stop_origax_label_set")
	POINTER("__start_origax_setup_set")
	POINTER("__stop_origax_setup_set")
	POINTER("origax_shared")
	POINTER("origax_stacks")
	POINTER("origax_stacks+" STR(STACK_BYTES))
	".long " STR(STACK_BYTES) ", 0\n"
	".popsection\n");

_Static_assert(sizeof(struct origax_image) == 64 && STACK_SIZE == STACK_BYTES,
	       "the note above holds all of it");

/*
 * void origax_enter(void): load all registers from the board, tell the board,
 * go. POPF comes last but for what touches no flag: with TF in the flags, the
 * trap is taken one instruction later. It does not return: a tracer may have
 * the program go through its site again, and again come to where sites end.
 */
extern void origax_enter(void)
	__attribute__((visibility("hidden"), noreturn));

static uint64_t target __attribute__((used));
static uint64_t own_sp __attribute__((used));
struct origax_regs origax_out __attribute__((visibility("hidden"), used));

/* __kernel_vsyscall, for ENTER. */
uint64_t origax_vdso __attribute__((visibility("hidden"), used));

/* Offsets into struct origax_regs, as its declaration orders them. */
#define AT_BP "32"
#define AT_BX "40"
#define AT_AX "80"
#define AT_CX "88"
#define AT_DX "96"
#define AT_SI "104"
#define AT_DI "112"
#define AT_CS "136"
#define AT_FLAGS "144"
#define AT_SP "152"
#define AT_SS "160"
#define AT_DS "184"
#define AT_ES "192"
#define AT_FS "200"
#define AT_GS "208"
#define AT_READY "216"
#define AT_RESULT "864"

#define MOV "mov" W " "
#define LOAD(reg, at) MOV BOARD(at) ", %" reg "\n"
#define KEEP(reg, at) MOV "%" reg ", " AT("origax_out+" at) "\n"
#define KEEP_SEG(reg, at)						\
	"xorl %eax, %eax\nmovl %" reg ", %eax\n" KEEP(AX, at)
#define PUSH(what) "push" W " " what "\n"
#define POP(what) "pop" W " " what "\n"
#define POPF "popf" W "\n"

/* What 64-bit code alone has: r15 to r8. */
#ifdef __x86_64__
#define EACH_MORE(do)							\
	do("r15", "0") do("r14", "8") do("r13", "16") do("r12", "24")	\
	do("r11", "48") do("r10", "56") do("r9", "64") do("r8", "72")
#else
#define EACH_MORE(do)
#endif

_Static_assert(offsetof(struct origax_board, in_) == 0 &&
	       offsetof(struct origax_board, ready) == 216 &&
	       offsetof(struct origax_board, child) == CHILD_AT &&
	       offsetof(struct origax_board, result) == NAP_AT &&
	       offsetof(struct origax_regs, gs) == 208 &&
	       offsetof(struct origax_regs, sp) == 152 &&
	       offsetof(struct origax_regs, flags) == 144,
	       "the offsets above are the structure's");

__asm__(".pushsection .text.origax, \"ax\", @progbits\n"
	".hidden origax_enter\n.globl origax_enter\n"
	"origax_enter:\n"
	MOV "%" SP ", " AT("own_sp") "\n"
	LOAD(SP, AT_SP)
	PUSH(BOARD(AT_FLAGS))
	EACH_MORE(LOAD)
	LOAD(BP, AT_BP) LOAD(BX, AT_BX) LOAD(AX, AT_AX) LOAD(CX, AT_CX)
	LOAD(DX, AT_DX) LOAD(SI, AT_SI) LOAD(DI, AT_DI)
	POPF
	MOV "$1, " BOARD(AT_READY) "\n"
	"jmp *" AT("target") "\n"
	/* Where every site ends. */
	".hidden origax_land\n.globl origax_land\n"
	"origax_land:\n"
	EACH_MORE(KEEP)
	KEEP(BP, AT_BP) KEEP(BX, AT_BX) KEEP(AX, AT_AX) KEEP(CX, AT_CX)
	KEEP(DX, AT_DX) KEEP(SI, AT_SI) KEEP(DI, AT_DI) KEEP(SP, AT_SP)
	MOV AT("own_sp") ", %" SP "\n"
	"pushf" W "\n" POP("%" AX) KEEP(AX, AT_FLAGS)
	PUSH("$0x202") POPF
	KEEP_SEG("cs", AT_CS) KEEP_SEG("ss", AT_SS) KEEP_SEG("ds", AT_DS)
	KEEP_SEG("es", AT_ES) KEEP_SEG("fs", AT_FS) KEEP_SEG("gs", AT_GS)
#ifndef __x86_64__
	/* C copies by way of es. */
	"movl %ds, %eax\nmovl %eax, %es\n"
#endif
	"and" W " $-16, %" SP "\n"
	"call origax_landed\n"
	/*
	 * One that first makes the site's call once more, with the registers
	 * that the site had, and keeps its result.
	 */
	".hidden origax_calling_handler\n.globl origax_calling_handler\n"
	LABEL_ENTRY("calling_handler", 0)
	"78: origax_calling_handler:\n"
#ifdef __x86_64__
	PUSH("%rdi") PUSH("%rsi") PUSH("%rdx")
#else
	PUSH("%eax") PUSH("%edx") PUSH("%ecx")
#endif
	LOAD(AX, AT_AX) LOAD(CX, AT_CX) LOAD(DX, AT_DX) LOAD(SI, AT_SI)
	LOAD(DI, AT_DI)
	"79:\n"
	LABEL("inner_call") ENTER LABEL_END
	MOV "%" AX ", " BOARD(AT_RESULT) "\n"
#ifdef __x86_64__
	POP("%rdx") POP("%rsi") POP("%rdi")
#else
	POP("%ecx") POP("%edx") POP("%eax")
#endif
	"jmp origax_handler\n"
	/*
	 * The handler proper is C; it is handed the stack pointer of its
	 * first instruction besides. Its arguments are in di, si and dx, or
	 * for 32-bit code in ax, dx and cx (arch/x86/kernel/signal_32.c).
	 */
	".hidden origax_handler\n.globl origax_handler\n"
	LABEL_ENTRY("handler", 0)
	"78: origax_handler:\n"
#ifdef __x86_64__
	"movq %rsp, %rcx\n"
	/* AC would still be the interrupted code's, and C is not aligned. */
	"pushq $0x202\npopfq\n"
	"subq $8, %rsp\n"
	"call origax_record\n"
	"addq $8, %rsp\n"
	/* What C left in registers would be another build's tomorrow. */
	LOAD("r8", "72") LOAD("r9", "64") LOAD("r10", "56") LOAD("r11", "48")
#else
	"pushl $0x202\npopfl\n"
	"movl %esp, %ebx\n"
	"andl $-16, %esp\n"
	"pushl %ebx\npushl %ecx\npushl %edx\npushl %eax\n"
	"cld\n"
	"call origax_record_32\n"
	"movl %ebx, %esp\n"
	LOAD(BX, AT_BX)
#endif
	LOAD(CX, AT_CX) LOAD(DX, AT_DX) LOAD(SI, AT_SI) LOAD(DI, AT_DI)
	PUSH("$0x202") POPF
	"ret\n79:\n"
#ifndef __x86_64__
	/* One without SA_SIGINFO: behind its one argument is sigcontext. */
	".hidden origax_old_handler\n.globl origax_old_handler\n"
	LABEL_ENTRY("old_handler", 0)
	"78: origax_old_handler:\n"
	"pushl $0x202\npopfl\n"
	"movl %esp, %ebx\n"
	"andl $-16, %esp\n"
	"subl $8, %esp\n"
	"pushl %ebx\npushl %eax\n"
	"cld\n"
	"call origax_record_old\n"
	"movl %ebx, %esp\n"
	LOAD(BX, AT_BX)
	LOAD(CX, AT_CX) LOAD(DX, AT_DX) LOAD(SI, AT_SI) LOAD(DI, AT_DI)
	PUSH("$0x202") POPF
	"ret\n79:\n"
	".hidden origax_old_restorer\n.globl origax_old_restorer\n"
	LABEL_ENTRY("old_restorer", 0)
	"78: origax_old_restorer:\n"
	"popl %eax\n"
	"movl $119, %eax\n"			/* sigreturn */
	"int $0x80\n79:\n"
	"ud2\n"
#endif
	".hidden origax_restorer\n.globl origax_restorer\n"
	LABEL_ENTRY("restorer", 0)
	"78: origax_restorer:\n"
#ifndef __x86_64__
	"movl $173, %eax\n"			/* rt_sigreturn */
	"int $0x80\n79:\n"
#elif defined(__ILP32__)
	"movl $0x40000201, %eax\n"
	"syscall\n79:\n"
#else
	"movl $15, %eax\n"
	"syscall\n79:\n"
#endif
	"ud2\n"
	/* The end of every program: exit_group(0), registers as at the site. */
	".hidden origax_leave\n.globl origax_leave\n"
	"origax_leave:\n"
	EACH_MORE(LOAD)
	LOAD(BP, AT_BP) LOAD(BX, AT_BX) LOAD(CX, AT_CX) LOAD(DX, AT_DX)
	LOAD(SI, AT_SI) LOAD(DI, AT_DI) LOAD(SP, AT_SP)
	PUSH("$0x202") POPF
	"movl $0, %" E1 "\n"
	"movl $" N(exit_group) ", %eax\n"
	LABEL("leave") ENTER LABEL_END
	"ud2\n"
	".popsection\n");

extern void origax_leave(void) __attribute__((visibility("hidden"), noreturn));

static void quit(int code)
{
	for (;;)
		sys(NR(exit_group), code, 0, 0, 0);
}

static const struct origax_label *current;

/* What the kernel hands to a handler; include/uapi has it for libcs only. */
struct saved {
#ifdef __x86_64__
	__attribute__((aligned(8)))
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax,
		 cx, sp, ip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
#else
	uint32_t gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trapno, err,
		 ip, cs, eflags, sp_at_signal, ss, fpstate, oldmask, cr2;
#endif
};

struct context {
	unsigned long flags;
	void *link;
	struct {
		void *sp;
		int flags;
		size_t size;
	} stack;
	struct saved saved;
	uint64_t mask;
};

#ifdef __x86_64__
typedef uint64_t context_word;
#else
typedef uint32_t context_word;

/* What it has on the stack for a handler without SA_SIGINFO. */
struct old_context {
	uint32_t returns_to, signo;
	struct saved saved;
	uint8_t unused[624];		/* struct _fpstate_32, not used */
	uint32_t mask_32_to_63;
};

_Static_assert(offsetof(struct old_context, mask_32_to_63) == 8 + 88 + 624,
	       "as in arch/x86/include/asm/sigframe.h struct sigframe_ia32");
#endif

/* Of siginfo_t: pointers, and what is behind them, are aligned to a long. */
struct info {
	int32_t signo, error, code;
	void *addr;
	int32_t sysno;
	uint32_t arch;
};

/* Where the next signal is kept; past the last, where nobody looks. */
static struct origax_frame *next_frame(const struct origax_board *board)
{
	static struct origax_frame none;
	uint32_t n = __atomic_load_n(&board->frames, __ATOMIC_RELAXED);

	return n < 16 ? &origax_shared.board.frame[n] : &none;
}

/* Keep what the kernel saved of the interrupted code, then as the board says. */
static void handle(struct origax_board *board, struct origax_frame *f,
		   struct saved *s)
{
	context_word *words = (context_word *)s;
	uint32_t n = __atomic_load_n(&board->frames, __ATOMIC_RELAXED) + 1;
	uint32_t i;

	f->regs = (struct origax_regs){
#ifdef __x86_64__
		.r15 = s->r15, .r14 = s->r14, .r13 = s->r13, .r12 = s->r12,
		.r11 = s->r11, .r10 = s->r10, .r9 = s->r9, .r8 = s->r8,
#else
		.ds = s->ds, .es = s->es,
#endif
		.bp = s->bp, .bx = s->bx, .ax = s->ax, .cx = s->cx,
		.dx = s->dx, .si = s->si, .di = s->di, .ip = s->ip,
		.flags = s->eflags, .sp = s->sp, .cs = s->cs, .gs = s->gs,
		.fs = s->fs, .ss = s->ss,
	};
	f->trapno = s->trapno;
	f->err = s->err;
	f->cr2 = s->cr2;
	f->oldmask = s->oldmask;
	__atomic_store_n(&board->frames, n, __ATOMIC_RELEASE);
	if (board->quit_after && n >= board->quit_after)
		origax_leave();
	for (i = 0; i < board->edits; i++)
		words[board->edit_at[i]] = board->edit_to[i];
	if (board->skip)
		s->ip = current->end;
}

/* What a handler does. */
__attribute__((visibility("hidden"), used))
void origax_record(int signo, struct info *info, struct context *uc,
		   uint64_t sp)
{
	struct origax_board *board = &origax_shared.board;
	struct origax_frame *f = next_frame(board);

	f->signo = signo;
	f->code = info->code;
	/* Of 64-bit programs it may be two words: pid and uid. */
	f->addr = (uintptr_t)info->addr;
	f->sysno = info->sysno;
	f->arch = info->arch;
	f->uc_flags = uc->flags;
	f->mask = uc->mask;
	f->handler_sp = sp;
	handle(board, f, &uc->saved);
}

#ifndef __x86_64__
/* What one without SA_SIGINFO does. */
__attribute__((visibility("hidden"), used))
void origax_record_old(int signo, struct old_context *context)
{
	struct origax_board *board = &origax_shared.board;
	struct origax_frame *f = next_frame(board);

	f->signo = signo;
	f->old = 1;
	f->mask = context->saved.oldmask |
		(uint64_t)context->mask_32_to_63 << 32;
	f->handler_sp = address_of(context);
	handle(board, f, &context->saved);
}

__attribute__((visibility("hidden"), used))
void origax_record_32(int signo, struct info *info, struct context *uc,
		      uint32_t sp)
{
	origax_record(signo, info, uc, sp);
}
#endif

/* Kernel's rt_sigaction argument; libc's hides the restorer. */
struct action {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	uint32_t mask[2];
};

struct altstack {
	void *sp;
	int flags;
	size_t size;
};

static void set_handler(struct action *act, uint64_t flags, uint32_t how)
{
	const unsigned long restorer = 0x04000000;	/* SA_RESTORER */

	act->handler = (uintptr_t)origax_handler;
	act->flags = flags | SA_SIGINFO | restorer;
	act->restorer = (uintptr_t)origax_restorer;
#ifndef __x86_64__
	if (how & ORIGAX_OLD) {
		act->handler = (uintptr_t)origax_old_handler;
		act->flags &= ~SA_SIGINFO;
		act->restorer = (uintptr_t)origax_old_restorer;
	}
#endif
	if (how & ORIGAX_CALLS)
		act->handler = (uintptr_t)origax_calling_handler;
	if (how & ORIGAX_IGNORE)
		act->handler = 1;	/* SIG_IGN */
	if (how & ORIGAX_BY_VDSO) {
		act->flags &= ~restorer;
		/* Without the flag it would be a stack (get_sigframe). */
		act->restorer = 0;
	}
}

/* Every disposition that the tracer's interpreter changed goes back. */
static void own_signals(struct origax_board *board)
{
	struct action act = { 0 };
	uint64_t none = 0;
	int i;

	for (i = 1; i <= 64; i++)
		sys(NR(rt_sigaction), i, (long)&act, 0, 8);
	for (i = 0; i < 8 && board->handler_signo[i]; i++) {
		set_handler(&act, board->handler_flags[i],
			    board->handler_how[i]);
		sys(NR(rt_sigaction), board->handler_signo[i], (long)&act, 0,
		    8);
		if (board->handler_flags[i] & SA_ONSTACK) {
			struct altstack alt = { .sp = origax_stacks[1],
						.size = STACK_SIZE };

			sys(NR(sigaltstack), (long)&alt, 0, 0, 0);
		}
	}
	sys(NR(rt_sigprocmask), SIG_SETMASK, (long)&none, 0, 8);
}

/*
 * No core file of a program that dies, unless its setup asks for one. A limit
 * of one byte keeps it from a pipe too (fs/coredump.c do_coredump).
 */
static void own_limits(void)
{
	uint64_t limit[2];

	if (!sys(NR(prlimit64), 0, 4 /* RLIMIT_CORE */, 0, (long)limit) &&
	    limit[0] > 1) {
		limit[0] = 1;
		sys(NR(prlimit64), 0, 4, (long)limit, 0);
	}
}

static void own_cpu(uint32_t cpu)
{
	unsigned long mask[16] = { 0 };
	const uint32_t bits = 8 * sizeof(*mask);

	if (cpu < bits * 16) {
		mask[cpu / bits] = 1UL << cpu % bits;
		sys(NR(sched_setaffinity), 0, sizeof(mask), (long)mask, 0);
	}
}

/*
 * The selectors and bases that the program has; 64-bit code gets an fs_base of
 * its own, so that it is seen when that changes. 32-bit code gets selectors of
 * its own in fs and gs, for null ones do not survive a signal in every kernel
 * (the fact sigreturn_keeps_null_selectors).
 */
static void own_segments(struct origax_regs *in)
{
	uint32_t cs, ss, ds, es, fs, gs;

#ifndef __x86_64__
	/* That of code can be read through, and is none that others load. */
	__asm__ volatile("movl %%cs, %0\n"
			 "movl %0, %%fs\n"
			 "movl %0, %%gs" : "=r"(cs));
#endif
	__asm__("movl %%cs, %0" : "=r"(cs));
	__asm__("movl %%ss, %0" : "=r"(ss));
	__asm__("movl %%ds, %0" : "=r"(ds));
	__asm__("movl %%es, %0" : "=r"(es));
	__asm__ volatile("movl %%fs, %0" : "=r"(fs));
	__asm__ volatile("movl %%gs, %0" : "=r"(gs));
	in->cs = cs & 0xffff;
	in->ss = ss & 0xffff;
	in->ds = ds & 0xffff;
	in->es = es & 0xffff;
	in->fs = fs & 0xffff;
	in->gs = gs & 0xffff;
#ifdef __x86_64__
	sys(NR(arch_prctl), 0x1002 /* ARCH_SET_FS */, (long)&origax_shared, 0,
	    0);
	in->fs_base = address_of(&origax_shared);
	in->gs_base = 0;
#endif
}

__attribute__((visibility("hidden"), used, noreturn))
void origax_landed(void)
{
	struct origax_board *board = &origax_shared.board;

	board->out = origax_out;
	__atomic_store_n(&board->landed, board->landed + 1, __ATOMIC_RELEASE);
	origax_leave();
}

static void program(struct origax_board *board)
{
	const struct origax_setup *setup;
	int error = 0;

	sys(NR(prctl), SET_PDEATHSIG, SIGKILL, 0, 0);
	if (sys(NR(getppid), 0, 0, 0, 0) != board->parent)
		quit(0);
	/* Yama allows nobody else but ancestors to; without it, EINVAL. */
	if (board->tracer)
		sys(NR(prctl), 0x59616d61 /* PR_SET_PTRACER */, board->tracer,
		    0, 0);
	sys(NR(setpgid), 0, 0, 0, 0);
	current = __start_origax_label_set + board->site;
	target = current->start;
	own_cpu(board->cpu);
	own_signals(board);
	own_limits();
	own_segments(&board->in_);
	if (board->setup >= 0) {
		setup = __start_origax_setup_set + board->setup;
		error = ((int (*)(struct origax_board *))
			 (uintptr_t)setup->prepare)(board);
	}
	if (error) {
		board->failed = error;
		quit(99);
	}
	sys(NR(rt_sigprocmask), SIG_SETMASK, (long)&board->blocked, 0, 8);
	/*
	 * The gate: a signal-delivery-stop that the tracer suppresses. From
	 * here to the site there is no other kernel entry by the program.
	 */
	while (board->traced &&
	       !__atomic_load_n(&board->attached, __ATOMIC_ACQUIRE))
		sys(NR(sched_yield), 0, 0, 0, 0);
	if (board->traced)
		sys(NR(tgkill), sys(NR(getpid), 0, 0, 0, 0),
		    sys(NR(gettid), 0, 0, 0, 0), SIGSTOP, 0);
	origax_enter();
}

static long map_board(long fd)
{
	long flags = 0x11;	/* MAP_SHARED | MAP_FIXED */
	long prot = 3;		/* PROT_READ | PROT_WRITE */

#ifdef __x86_64__
	return sys6(NR(mmap), (long)&origax_shared, sizeof(origax_shared),
		    prot, flags, fd, 0);
#else
	return sys6(NR(mmap2), (long)&origax_shared, sizeof(origax_shared),
		    prot, flags, fd, 0);
#endif
}

/* Address of the first place in a page that holds those bytes, or 0. */
static uint64_t find_bytes(uint64_t page, const char *bytes, unsigned int count)
{
	const char *code = (const char *)(uintptr_t)page;
	unsigned int i, j;

	for (i = 0; i < PAGE - count; i++) {
		for (j = 0; j < count && code[i + j] == bytes[j]; j++)
			;
		if (j == count)
			return page + i;
	}
	return 0;
}

/*
 * The vDSO's way into the kernel, which 32-bit programs have, and the ends of
 * their handlers: its code is one page (arch/x86/entry/vdso/vdso32).
 */
static void find_vdso(const unsigned long *auxv, struct origax_board *board)
{
	/* int $0x80, and behind it what pops three registers and returns. */
	static const char pad[] = "\xcd\x80\x5d\x5a\x59\xc3";
	/* popl %eax; movl $119, %eax; int $0x80 */
	static const char old[] = "\x58\xb8\x77\0\0\0\xcd\x80";
	/* movl $173, %eax; int $0x80 */
	static const char rt[] = "\xb8\xad\0\0\0\xcd\x80";
	uint64_t page, at;

	for (; auxv[0]; auxv += 2)
		if (auxv[0] == 32 /* AT_SYSINFO */)
			origax_vdso = auxv[1];
	board->vdso = origax_vdso;
	page = origax_vdso & ~(PAGE - 1UL);
	if (!page)
		return;
	at = find_bytes(page, pad, sizeof(pad) - 1);
	board->landing_pad = at ? at + 2 : 0;
	at = find_bytes(page, old, sizeof(old) - 1);
	board->sigreturn_pad = at ? at + sizeof(old) - 1 : 0;
	at = find_bytes(page, rt, sizeof(rt) - 1);
	board->rt_sigreturn_pad = at ? at + sizeof(rt) - 1 : 0;
}

/* The initial stack: argc, argv, environment, auxiliary vector. */
__attribute__((visibility("hidden"), used))
void origax_main(const unsigned long *sp)
{
	const char *digits = sp[0] > 1 ? (const char *)sp[2] : "";
	const unsigned long *more = sp + sp[0] + 2;
	long fd = 0;

	for (; *digits; digits++)
		fd = fd * 10 + *digits - '0';
	if (map_board(fd) != (long)&origax_shared)
		quit(98);
	__atomic_store_n(&origax_shared.board.begun, 1, __ATOMIC_RELEASE);
	sys(NR(futex), (long)&origax_shared.board.begun, FUTEX_WAKE, 1, 0);
	sys(NR(close), fd, 0, 0, 0);
	while (*more++)
		;
	find_vdso(more, &origax_shared.board);
	program(&origax_shared.board);
	quit(0);
}

__asm__(".globl _start\n"
	"_start:\n"
	MOV "%" SP ", %" AX "\n"
	"and" W " $-16, %" SP "\n"
#ifdef __x86_64__
	"movq %rax, %rdi\n"
#else
	"subl $12, %esp\n"
	"pushl %eax\n"
#endif
	"call origax_main\n"
	"ud2\n");
