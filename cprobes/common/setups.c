// SPDX-License-Identifier: GPL-2.0-only
/* Preparations that several families share. */
#include "probe.h"

/*
 * A pipe whose write end the program keeps: reading it blocks. The site gets
 * the read end, a buffer and 1 as its arguments; result[0], result[1] = both ends.
 */
SETUP(pipe)
{
	static uint8_t buffer[16];
	int ends[2];
	long error = sys(NR(pipe2), (long)ends, 0, 0, 0);

	if (error)
		return -error;
	board->result[0] = ends[0];
	board->result[1] = ends[1];
	board->in_.ARG1 = ends[0];
	board->in_.ARG2 = address_of(buffer);
	board->in_.ARG3 = 1;
	return 0;
}
