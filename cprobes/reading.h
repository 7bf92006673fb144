/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One stop, through every view that a tracer of this width has: shared by the
 * extension, and by the 32-bit tracer, which has no libc. Who includes this
 * has ptrace_request(), the raw system call: 0 or more, or -errno. The raw one,
 * for libc's ptrace() blurs -1 and an error.
 */
#ifndef ORIGAX_READING_H
#define ORIGAX_READING_H

/* include/uapi/linux/ptrace.h */
#define REQUEST_PEEKUSER 3
#define REQUEST_POKEUSER 6
#define REQUEST_GETREGS 12
#define REQUEST_GETEVENTMSG 0x4201
#define REQUEST_GETSIGINFO 0x4202
#define REQUEST_GETREGSET 0x4204
#define REQUEST_GET_SYSCALL_INFO 0x420e
#define KIND_PRSTATUS 1

/* struct user_regs_struct of 32-bit code, of which a 32-bit request tells. */
#define NARROW_REGS 17
/* struct user of 32-bit code, up to its debug registers. */
#define NARROW_WORDS 71

_Static_assert(offsetof(struct origax_stop, regs) == 56 &&
	       sizeof(struct origax_stop) == 1992,
	       "the layout is that of 64-bit code");

/* struct iovec of this width. */
struct origax_iovec {
	void *base;
	unsigned long length;
};

static inline int error_of(long result)
{
	return result < 0 ? -result : 0;
}

/* Every word of the virtual struct user; returns the first errno. */
static inline int read_user(int pid, void *to, unsigned int words,
			    unsigned int size)
{
	unsigned int i;
	int first = 0;
	long error;

	for (i = 0; i < words; i++) {
		error = ptrace_request(REQUEST_PEEKUSER, pid, i * size,
				       (unsigned long)to + i * size);
		if (error < 0 && !first)
			first = -error;
	}
	return first;
}

/* Registers as a tracer of this width has them. */
static inline void read_registers(int pid, struct origax_stop *stop)
{
#ifdef __x86_64__
	stop->bits = 64;
	stop->err_regs = error_of(ptrace_request(REQUEST_GETREGS, pid, 0,
						 (unsigned long)&stop->regs));
	stop->err_user = read_user(pid, stop->user, 114, 8);
#else
	stop->bits = 32;
	stop->narrowed = 1;
	stop->err_narrow = error_of(ptrace_request(REQUEST_GETREGS, pid, 0,
						   (unsigned long)stop->narrow));
	stop->err_narrow_user = read_user(pid, stop->narrow_user, NARROW_WORDS,
					  4);
#endif
}

/* Read every view of a task that has stopped with that status of waitpid. */
static inline void read_views(int pid, int status, struct origax_stop *stop)
{
	struct origax_iovec iov = { &stop->regset, sizeof(stop->regset) };
	long size;

	__builtin_memset(stop, 0, sizeof(*stop));
	stop->pid = pid;
	stop->status = status;
	if ((status & 0xff) != 0x7f)
		return;
	read_registers(pid, stop);
	stop->err_regset = error_of(ptrace_request(REQUEST_GETREGSET, pid,
						   KIND_PRSTATUS,
						   (unsigned long)&iov));
	stop->regset_size = iov.length;
	size = ptrace_request(REQUEST_GET_SYSCALL_INFO, pid,
			      sizeof(stop->info), (unsigned long)stop->info);
	stop->err_info = error_of(size);
	stop->info_size = size < 0 ? 0 : size;
	stop->err_siginfo = error_of(ptrace_request(REQUEST_GETSIGINFO, pid, 0,
						    (unsigned long)
						    stop->siginfo));
	stop->err_message = error_of(ptrace_request(REQUEST_GETEVENTMSG, pid,
						    0, (unsigned long)
						    &stop->message));
}

#endif
