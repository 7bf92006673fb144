/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tracer and a helper thread of a program do alike to one that spins. */
#ifndef ORIGAX_SPIN_H
#define ORIGAX_SPIN_H

#define GLANCE 1000		/* looks at a program for one answer */

/*
 * Stores a pointer at once where 64 bits are kept for one. 32-bit code stores
 * the lower half: the upper one is 0 on a new board, and stays so.
 */
static inline void store_pointer(void *at, uintptr_t pointer)
{
	typedef uintptr_t __attribute__((may_alias)) part;

	__atomic_store_n((part *)at, pointer, __ATOMIC_SEQ_CST);
}

/* Have the spinning program pass once more through its way in. */
static inline void ask_to_pass(struct origax_board *board, uint64_t entry)
{
	__atomic_store_n(&board->spinning, 0, __ATOMIC_SEQ_CST);
	store_pointer(&board->turn, entry);
}

/* Whether the program spins at this very moment, on another CPU than ours. */
static inline int spins_now(struct origax_board *board, uint64_t entry)
{
	int i;

	ask_to_pass(board, entry);
	for (i = 0; i < GLANCE; i++) {
		if (__atomic_load_n(&board->spinning, __ATOMIC_SEQ_CST))
			return 1;
		__builtin_ia32_pause();
	}
	return 0;
}

/* Where a program registers struct rseq; the board is aligned to a page. */
static inline struct rseq *rseq_area(struct origax_board *board)
{
	return (struct rseq *)(((uintptr_t)board->rseq + 31) & ~31UL);
}

#endif
