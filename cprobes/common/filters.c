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

/*
 * No privilege is needed, since the program gives up all new ones. The filter
 * looks at the number alone, whatever the table: a program of these has no call
 * of its own that shares a rule's number.
 */
long origax_filter(const uint64_t *rules)
{
	struct sock_filter code[2 + 2 * MOST_RULES] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog prog = { 1, code };
	long error;

	for (; rules[0] && prog.len < 2 * MOST_RULES; rules += 2) {
		code[prog.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, rules[0], 0, 1);
		code[prog.len++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, rules[1]);
	}
	code[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							SECCOMP_RET_ALLOW);
	error = sys(NR(prctl), PR_SET_NO_NEW_PRIVS, 1, 0, 0);
	return error ? error : sys(NR(seccomp), SECCOMP_SET_MODE_FILTER, 0,
				   (long)&prog, 0);
}

/* A filter by the rules that arg begins with, as origax_filter() takes them. */
SETUP(filter)
{
	return -origax_filter(board->arg);
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
 */
SITE("dispatched",
     "movb $1, " AT("origax_selector") "\n"
     LABEL("caught") ENTER LABEL_END
     "movb $0, " AT("origax_selector") "\n");

/*
 * Calls are caught but for those from the range: that of origax_restorer, or if
 * arg[0] is not 0 nearly all addresses. From arg[1] on there may be rules of a
 * filter.
 */
SETUP(dispatch)
{
	long start = (long)origax_restorer, size = RESTORER_BYTES;
	long error;

	if (board->arg[0]) {
		start = 0;
		size = -1;
	}
	if (board->arg[1]) {
		error = origax_filter(&board->arg[1]);
		if (error)
			return -error;
	}
	return -sys6(NR(prctl), PR_SET_SYSCALL_USER_DISPATCH,
		     PR_SYS_DISPATCH_ON, start, size, (long)&origax_selector,
		     0);
}
