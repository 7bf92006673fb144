// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tracer of 32-bit code: what a debugger of a 32-bit userland is to the
 * kernel, beside a tracer of 64-bit code that has it do its work. It carries
 * out orders, one after the other, and judges nothing.
 *
 * Orders come on standard input, answers go to standard output: both may be the
 * same socket. An order is one struct origax_order (608 bytes), its answer one
 * struct origax_answer (2584 bytes): see board.h. All numbers are
 * little-endian, and stand where they would in 64-bit code. There is one answer
 * to each order, with its serial number:
 *
 *   PLAIN	ptrace(request, pid, addr, data)
 *   BYTES	ptrace(request, pid, addr, &bytes): SETREGS and the like. PEEKUSER
 *		puts the word there, too: it is the system call, not libc's.
 *   IOVEC	ptrace(request, pid, addr, &iovec) with { &bytes, size }:
 *		GETREGSET and SETREGSET; the answer's size is what the kernel says
 *   TAKE	resume by ptrace(request, pid, 0, data), but not if request is 0;
 *		wait for that task, __WALL; read its stop through every view
 *   AGAIN	read the stop that had that status through every view
 *
 * A result of -EINVAL with size 0 is also that of an order that is none. An
 * order of any other length ends it, as the end of its input does, and as the
 * death of its parent. Every wait lasts until something comes: who gave the
 * order has the deadline, and kills it. What it traces dies with it, where it
 * was seized with PTRACE_O_EXITKILL.
 */
#include "probe.h"

#include <linux/wait.h>

static inline long ptrace_request(long request, long pid, unsigned long addr,
				  unsigned long data)
{
	return sys(NR(ptrace), request, pid, addr, data);
}

#include "reading.h"

_Static_assert(sizeof(struct origax_order) == 608 &&
	       sizeof(struct origax_answer) == 2584 &&
	       offsetof(struct origax_answer, stop) == 592,
	       "the layout is that of 64-bit code");

static struct origax_order order;
static struct origax_answer answer;

/* The compiler makes calls of these where it copies or clears a structure. */
__attribute__((used))
void *memset(void *to, int byte, size_t size)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte)
			 : "memory");
	return to;
}

__attribute__((used))
void *memcpy(void *to, const void *from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size)
			 : : "memory");
	return to;
}

static long take(void)
{
	int status = 0;
	long error = 0;

	if (order.request)
		error = ptrace_request(order.request, order.pid, 0, order.data);
	if (error < 0)
		return error;
	error = sys(NR(wait4), order.pid, (long)&status, __WALL, 0);
	if (error < 0)
		return error;
	read_views(order.pid, status, &answer.stop);
	return 0;
}

static long with_bytes(void)
{
	struct origax_iovec iov = { answer.bytes, order.size };
	void *data = order.what == ORIGAX_IOVEC ? (void *)&iov : iov.base;
	long result;

	if (order.size > sizeof(order.bytes))
		return -EINVAL;
	memcpy(answer.bytes, order.bytes, sizeof(order.bytes));
	result = ptrace_request(order.request, order.pid, order.addr,
				(unsigned long)data);
	answer.size = iov.length;
	return result;
}

static long carry_out(void)
{
	switch (order.what) {
	case ORIGAX_PLAIN:
		return ptrace_request(order.request, order.pid, order.addr,
				      order.data);
	case ORIGAX_BYTES:
	case ORIGAX_IOVEC:
		return with_bytes();
	case ORIGAX_TAKE:
		return take();
	case ORIGAX_AGAIN:
		read_views(order.pid, order.status, &answer.stop);
		return 0;
	}
	return -EINVAL;
}

__attribute__((used))
void tracer_main(void)
{
	sys(NR(prctl), SET_PDEATHSIG, SIGKILL, 0, 0);
	while (sys(NR(read), 0, (long)&order, sizeof(order), 0) ==
	       sizeof(order)) {
		memset(&answer, 0, sizeof(answer));
		answer.serial = order.serial;
		answer.result = carry_out();
		if (sys(NR(write), 1, (long)&answer, sizeof(answer), 0) !=
		    sizeof(answer))
			break;
	}
	for (;;)
		sys(NR(exit_group), 0, 0, 0, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"andl $-16, %esp\n"
	"call tracer_main\n"
	"ud2\n");
