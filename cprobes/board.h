/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The board: one shared mapping on which the tracer pins what a program is to
 * do, and the program what it saw. Also the calls of the C side. This file is
 * read by the compiler and by cffi alike: declarations only, no directives.
 *
 * Programs of every width share it with a tracer of any width, so each member
 * stands where it would in 64-bit code: 8 bytes at multiples of 8.
 */

/* The kernel's user_regs_struct (arch/x86/include/asm/user_64.h). */
struct origax_regs {
	uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si,
		 di, orig_ax, ip, cs, flags, sp, ss, fs_base, gs_base, ds, es,
		 fs, gs;
};

/* What a signal handler was given: siginfo and ucontext, by value. */
struct origax_frame {
	int32_t signo, code;
	uint64_t addr;			/* si_addr, or pid where that applies */
	int32_t sysno;			/* SIGSYS: si_syscall */
	uint32_t arch;			/* SIGSYS: si_arch */
	uint32_t old;			/* one without siginfo and ucontext */
	uint32_t unused;
	struct origax_regs regs;	/* of sigcontext; orig_ax is not there */
	uint64_t trapno, err, cr2, oldmask, uc_flags, mask;
	uint64_t handler_sp;		/* at the handler's first instruction */
};

/* What a signal's disposition is besides its flags. */
enum origax_disposition {
	ORIGAX_IGNORE = 1,		/* SIG_IGN */
	ORIGAX_OLD = 2,			/* no SA_SIGINFO, in 32-bit programs */
	ORIGAX_BY_VDSO = 4,		/* no SA_RESTORER, likewise */
	ORIGAX_CALLS = 8,		/* a handler that makes the site's call */
};

struct origax_board {
	/* Pinned by the tracer before the launch, but for the segments. */
	struct origax_regs in_;		/* registers at the site */
	uint64_t ready;			/* by the program: they are loaded */
	uint64_t turn;			/* where site to_spin jumps, always */
	uint32_t spinning;		/* by to_spin: it was entered */
	uint32_t attached;		/* by the tracer: it has seized */
	uint64_t child;			/* by a site that makes a process */
	uint64_t arg[16];		/* for the setup, by its documentation */
	int32_t handler_signo[8];	/* 0 ends the list */
	uint64_t handler_flags[8];	/* SA_ flags */
	uint32_t handler_how[8];	/* enum origax_disposition */
	uint64_t blocked;		/* signal mask at the site */
	uint32_t site;			/* which of the image's labels */
	int32_t setup;			/* which of its setups; -1: none */
	int32_t parent;			/* the tracer's process */
	uint32_t traced;		/* stop at the gate, for the tracer */
	uint32_t cpu;			/* CPU to run on */
	uint32_t edits;			/* what handlers write before returning: */
	uint32_t edit_at[4];		/* index into the words of sigcontext */
	uint64_t edit_to[4];
	uint32_t skip;			/* handlers return to the site's end */
	uint32_t quit_after;		/* exit at this many frames; 0: never */
	uint32_t asked;			/* rounds that a helper thread is to do */
	int32_t tracer;			/* who may trace it, if not its parent */
	/* Pinned by the program. */
	uint32_t begun;			/* runs its own code */
	uint32_t landed;		/* came out of the site's end */
	uint32_t failed;		/* the setup could not; errno */
	uint32_t frames;		/* signals handled, kept up to 16 */
	uint64_t vdso;			/* AT_SYSINFO: __kernel_vsyscall, or 0 */
	uint64_t landing_pad;		/* behind its int $0x80, or 0 */
	uint64_t sigreturn_pad;		/* the same of __kernel_sigreturn */
	uint64_t rt_sigreturn_pad;	/* and of __kernel_rt_sigreturn */
	struct origax_regs out;		/* registers at the site's end */
	uint64_t result[16];		/* by the setup's documentation */
	uint64_t rseq[8];		/* struct rseq, where it is aligned */
	struct origax_frame frame[16];
	char text[4096];		/* by the tracer, for the setup: a path */
};

/* A named place in probe code. Sites are entered; other labels lie within. */
struct origax_label {
	uint64_t name, start, end, is_site;
};

/* A preparation that some programs need before their site. */
struct origax_setup {
	uint64_t name, prepare;		/* int (*)(struct origax_board *) */
};

/* What an image tells of itself, in an ELF note: addresses. */
struct origax_image {
	uint64_t labels, labels_end;	/* struct origax_label */
	uint64_t setups, setups_end;	/* struct origax_setup */
	uint64_t board, stacks[2], stack_size;
};

/* One stop, through every view; each err_ is an errno, or 0. */
struct origax_stop {
	int32_t pid, status;
	int32_t err_regs, err_regset, err_user, err_info, err_siginfo,
		err_message, err_narrow, err_narrow_user;
	uint32_t regset_size, info_size;
	uint32_t bits;			/* 64 or 32, the tracer's own */
	uint32_t narrowed;		/* the narrow views were read */
	struct origax_regs regs;	/* PTRACE_GETREGS; 64-bit tracers only */
	struct origax_regs regset;	/* PTRACE_GETREGSET NT_PRSTATUS, raw */
	uint64_t user[114];		/* PTRACE_PEEKUSER, struct user; likewise */
	uint64_t info[12];		/* PTRACE_GET_SYSCALL_INFO */
	uint8_t siginfo[128];		/* PTRACE_GETSIGINFO */
	uint64_t message;		/* PTRACE_GETEVENTMSG */
	uint32_t narrow[18];		/* PTRACE_GETREGS by a 32-bit request */
	uint32_t narrow_user[72];	/* PTRACE_PEEKUSER likewise */
};

/* What the 32-bit tracer is asked for, and answers: see cprobes/tracer32.c. */
enum origax_what {
	ORIGAX_PLAIN = 1,		/* a request whose data is a number */
	ORIGAX_BYTES,			/* ... is the address of the bytes */
	ORIGAX_IOVEC,			/* ... is that of an iovec of them */
	ORIGAX_TAKE,			/* resume, wait, and read every view */
	ORIGAX_AGAIN,			/* read every view */
};

struct origax_order {
	uint32_t serial;		/* the answer has the same */
	uint32_t what;			/* enum origax_what */
	int32_t pid;
	uint32_t request, addr, data;	/* as ptrace() takes them */
	int32_t status;			/* AGAIN: that of the stop */
	uint32_t size;			/* of the bytes that count */
	uint8_t bytes[576];
};

struct origax_answer {
	uint32_t serial;
	int32_t result;			/* 0 or more, or -errno */
	uint32_t size;			/* of the bytes, as the kernel says */
	uint32_t unused;
	uint8_t bytes[576];		/* those of the order, after it */
	struct origax_stop stop;	/* TAKE, AGAIN */
};

/* What makes the kernel stop a spinning program: see cprobes/frames.c. */
enum origax_cause {
	ORIGAX_SIGNAL,			/* a signal that comes by itself */
	ORIGAX_READ,			/* a direct read */
	ORIGAX_SLEEP,			/* a sleep */
	ORIGAX_WATCH,			/* seeing it spin */
	ORIGAX_BUSY,			/* time spent, asleep nowhere */
	ORIGAX_CALL,			/* a round of the helper thread */
};

/* A loop of frames of one program. */
struct origax_loop {
	int32_t pid;
	int32_t fd;			/* READ: of the file or disk */
	uint32_t cause;			/* enum origax_cause */
	uint32_t prove;			/* each frame, not only the first */
	uint64_t entry;			/* address of the site to_spin */
	uint64_t nanoseconds;		/* SLEEP, BUSY */
	uint64_t random;		/* not 0: draws how many, below that */
	uint64_t longer;		/* by so much, where that was short */
	uint32_t running;		/* resumed, and not to stop yet */
	uint32_t waiting;		/* is to stop, and did not yet */
	uint32_t unproven;		/* stops passed over, so far */
};

/* Frames of a loop, by kind: those of one are equal in every byte. */
struct origax_batch {
	uint64_t until;			/* nanoseconds of CLOCK_MONOTONIC */
	uint64_t frames;		/* taken, so far */
	uint64_t further;		/* of them, of kinds beyond these: */
	uint64_t kinds;
	uint64_t last;			/* kind of the last frame, perhaps */
	uint64_t count[16];		/* frames of each */
	struct origax_stop stop[16];
	struct origax_stop at;		/* where the program is now */
};

struct origax_board *origax_board(void);
int origax_launch(const char *path);
int origax_use_up_pids(int below);
int origax_pass(int pid, long request, long signo);
int origax_take(int pid, long request, long signo, struct origax_stop *stop);
int origax_read(int pid, int status, struct origax_stop *stop);
int origax_narrow(void);
int origax_narrow_poke(int pid, uint32_t offset, uint32_t word);
int origax_deadline(uint32_t milliseconds);
void origax_ask(uint64_t entry);
int origax_provoke(struct origax_loop *loop);
int origax_go(struct origax_loop *loop);
int origax_frame(struct origax_loop *loop, const struct origax_stop *last,
		 struct origax_stop *stop);
int origax_frames(struct origax_loop *loop, struct origax_batch *batch);
int origax_urgent(void);
int origax_patient(void);
int origax_clock(int tid, uint64_t period);
int origax_sampler(int tid, uint64_t period, uint64_t registers);
int origax_event(const void *attr, int tid);
int origax_tgkill(int tgid, int tid, int signo);
int origax_until(int pid, const char *states);
int origax_die_with_parent(int parent);
int origax_subreaper(void);
void origax_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
unsigned long origax_flags(void);
