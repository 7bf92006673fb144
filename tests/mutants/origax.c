// SPDX-License-Identifier: GPL-2.0-only
/*
 * Planted faults, each asleep until its number is written to
 * /sys/module/origax/parameters/fault. They act on traced tasks, and on
 * tasks whose personality has a bit that the kernel has no meaning for, which
 * goes from parent to child: the kernel's own tests are run with that.
 */
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#define FAULTS 256
#define MARKED 0x10000000

int origax_fault;
module_param_named(fault, origax_fault, int, 0644);

/* Which of them would have acted since this was last written to. */
char origax_reached[FAULTS];

notrace _Bool origax_of(int fault, const struct task_struct *task)
{
	if (!task->ptrace && !(task->personality & MARKED))
		return 0;
	origax_reached[fault] = 1;
	return READ_ONCE(origax_fault) == fault;
}

notrace _Bool origax_here(int fault)
{
	return origax_of(fault, current);
}

static int origax_get(char *buffer, const struct kernel_param *param)
{
	int fault, size = 0;

	for (fault = 0; fault < FAULTS; fault++)
		if (origax_reached[fault])
			size += scnprintf(buffer + size, PAGE_SIZE - size,
					  "%d ", fault);
	return size + scnprintf(buffer + size, PAGE_SIZE - size, "\n");
}

static int origax_set(const char *value, const struct kernel_param *param)
{
	memset(origax_reached, 0, sizeof(origax_reached));
	return 0;
}

static const struct kernel_param_ops origax_ops = {
	.get = origax_get,
	.set = origax_set,
};
module_param_cb(reached, &origax_ops, NULL, 0644);
