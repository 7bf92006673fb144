/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tracer's side shares: it has a libc, and programs have none. */
#ifndef ORIGAX_TRACER_H
#define ORIGAX_TRACER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "board.h"

/* Whether the deadline is past, for what waits without a system call. */
int origax_expired(void) __attribute__((visibility("hidden")));

#define BOARD_SIZE ((sizeof(struct origax_board) + 4095) & ~4095UL)

#endif
