// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites and preparations of the family filters: who may answer a call in the
 * kernel's place, by seccomp and by syscall user dispatch.
 */
#include "probe.h"

#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#define MOST_RULES 4
#define AND_ABOVE (1ULL << 32)	/* in a rule's number: and all above it */

/*
 * No privilege is needed, since the program gives up all new ones. The filter
 * looks at the number alone, whatever the table: a program of these has no call
 * of its own that shares a rule's number.
 */
long origax_filter(const uint64_t *rules, long flags)
{
	struct sock_filter code[2 + 2 * MOST_RULES] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog prog = { 1, code };
	long error;

	for (; rules[0] && prog.len < 2 * MOST_RULES; rules += 2) {
		code[prog.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | (rules[0] & AND_ABOVE ? BPF_JGE : BPF_JEQ) |
			BPF_K, rules[0], 0, 1);
		code[prog.len++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, rules[1]);
	}
	code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							SECCOMP_RET_ALLOW);
	error = sys(NR(prctl), PR_SET_NO_NEW_PRIVS, 1, 0, 0);
	return error ? error : sys(NR(seccomp), SECCOMP_SET_MODE_FILTER, flags,
				   (long)&prog, 0);
}

/* A filter by the rules that arg begins with, as origax_filter() takes them. */
SETUP(filter)
{
	return -origax_filter(board->arg, 0);
}

/*
 * A filter by the rules from arg[2] on, of which a listener is told by flags
 * arg[0]: its descriptor is result[0]. If arg[1] is not 0, it is closed again,
 * so that nobody listens.
 */
SETUP(notify)
{
	long fd = origax_filter(&board->arg[2], board->arg[0]);

	if (fd < 0)
		return -fd;
	board->result[0] = fd;
	return board->arg[1] ? -sys(NR(close), fd, 0, 0, 0) : 0;
}

#ifndef PR_SET_SYSCALL_USER_DISPATCH		/* before Linux 5.11 */
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif
#define RESTORER_BYTES 8	/* to behind its entry instruction, and some */

/* The selector: 0 lets all calls through, 1 those from one range of code. */
uint8_t origax_selector __attribute__((visibility("hidden"), used));

/*
 * A call that syscall user dispatch catches before anybody else sees it: SIGSYS
 * with every register as it was at the instruction, but that ip is behind it.
 * With another byte than these two in the selector, the program dies there.
 */
#define DISPATCHED(name, byte, label)					\
	SITE(name,							\
	     "movb $" byte ", " AT("origax_selector") "\n"		\
	     LABEL(label) ENTER LABEL_END				\
	     "movb $0, " AT("origax_selector") "\n")
DISPATCHED("dispatched", "1", "caught");
DISPATCHED("misdispatched", "2", "miscaught");

/* Alone on its page, so that a program can unmap it. */
static struct {
	uint8_t selector;
} __attribute__((aligned(4096))) paged;

/* A call that unmaps the selector, then getppid(): the program dies there. */
SITE("unselected",
     ENTER
     "movl $" N(getppid) ", %eax\n"
     LABEL("uncaught") ENTER LABEL_END);

/*
 * Calls are caught but for those from the range: that of origax_restorer, or
 * with arg[0] 1 nearly all addresses. With arg[0] 2 the selector is on a page of
 * its own, and the first call's arguments are what munmap() takes for it. From
 * arg[1] on there may be rules of a filter.
 */
SETUP(dispatch)
{
	long start = (long)origax_restorer, size = RESTORER_BYTES;
	uint8_t *selector = &origax_selector;
	long error;

	if (board->arg[0] == 1) {
		start = 0;
		size = -1;
	} else if (board->arg[0] == 2) {
		selector = &paged.selector;
		board->in_.ARG1 = address_of(selector);
		board->in_.ARG2 = sizeof(paged);
	}
	if (board->arg[1]) {
		error = origax_filter(&board->arg[1], 0);
		if (error)
			return -error;
	}
	return -sys6(NR(prctl), PR_SET_SYSCALL_USER_DISPATCH,
		     PR_SYS_DISPATCH_ON, start, size, (long)selector, 0);
}
