// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual-8086 mode, which 32-bit kernels with CONFIG_X86_LEGACY_VM86 have. A
 * program enters it by vm86old() or vm86(), and the kernel goes on with other
 * registers: of a real-mode program, in the first MiB. Whatever that program
 * may not do ends the call, which then returns why (arch/x86/kernel/vm86_32.c).
 */
#include "probe.h"

#include <asm/vm86.h>
#include <linux/mman.h>

#define PAGE 4096
#define LOW 0x10000	/* of the code; vm.mmap_min_addr is seldom above it */
#define TURN "224"
#define SPINNING "232"

extern const uint8_t origax_real[], origax_real_end[]
	__attribute__((visibility("hidden")));

/*
 * What it does in that mode, each at 16 bytes of its own: the loop of to_spin;
 * int $0x80; HLT; INT3, and then HLT. Its ds is the board.
 */
__asm__(".pushsection .rodata, \"a\"\n"
	".hidden origax_real\n.hidden origax_real_end\n"
	".balign 16\n"
	".code16\n"
	"origax_real:\n"
	"movw $1f-origax_real, " TURN "\n"
	"movb $1, " SPINNING "\n"
	"1: jmp *" TURN "\n"
	".balign 16\n"
	"int $0x80\n"
	".balign 16\n"
	"hlt\n"
	".balign 16\n"
	"int3\n"
	"hlt\n"
	"origax_real_end:\n"
	".code32\n"
	".popsection\n");

_Static_assert(offsetof(struct origax_board, turn) == 224 &&
	       offsetof(struct origax_board, spinning) == 232,
	       "the offsets above are the structure's");

/* The code, and behind it the board once more, which is a shared mapping. */
static long map_low(struct origax_board *board)
{
	uint8_t *code = (uint8_t *)LOW;
	unsigned int i;
	long at;

	at = sys6(NR(mmap2), LOW, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at != LOW)
		return at;
	for (i = 0; origax_real + i < origax_real_end; i++)
		code[i] = origax_real[i];
	at = sys6(NR(mremap), (long)board, 0, PAGE,
		  MREMAP_MAYMOVE | MREMAP_FIXED, LOW + PAGE, 0);
	return at == LOW + PAGE ? 0 : at;
}

/*
 * The arguments of vm86old(), or if arg[0] of vm86(VM86_ENTER). There ip is
 * arg[1], ax is arg[2], and every other register of the program's stays; each
 * INT n is left to the program outside.
 */
SETUP(vm86)
{
	static struct vm86plus_struct real;
	struct origax_regs *in = &board->in_;
	uint8_t *map = (uint8_t *)&real.int_revectored;
	unsigned int i;
	long error = map_low(board);

	if (error)
		return -error;
	if (board->arg[0]) {
		in->ARG1 = VM86_ENTER;
		in->ARG2 = address_of(&real);
	} else {
		in->ARG1 = address_of(&real);
	}
	real.regs = (struct vm86_regs){
		.ebx = in->bx, .ecx = in->cx, .edx = in->dx, .esi = in->si,
		.edi = in->di, .ebp = in->bp, .eax = board->arg[2],
		.eip = board->arg[1], .esp = PAGE,
		.cs = LOW >> 4, .ss = LOW >> 4, .ds = (LOW + PAGE) >> 4,
		.es = (LOW + PAGE) >> 4, .fs = (LOW + PAGE) >> 4,
		.gs = (LOW + PAGE) >> 4,
	};
	for (i = 0; i < sizeof(real.int_revectored); i++)
		map[i] = 0xff;
	return 0;
}
