// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls an instruction in its data, which returns, and exits with 42. Where
 * data is not executable that is its end, by SIGSEGV and without a core file:
 * prctl(PR_SET_DUMPABLE, 0) comes first.
 */
__asm__(".data\n"
	"returns: ret\n"
	".text\n"
	".globl _start\n"
	"_start:\n"
#if defined(__i386__)
	"movl $172, %eax\n"
	"movl $4, %ebx\n"
	"xorl %ecx, %ecx\n"
	"int $0x80\n"
	"call returns\n"
	"movl $1, %eax\n"
	"movl $42, %ebx\n"
	"int $0x80\n"
#else
# if defined(__ILP32__)
#  define NR(number) "$0x40000000 + " #number
# else
#  define NR(number) "$" #number
# endif
	"movl " NR(157) ", %eax\n"
	"movl $4, %edi\n"
	"xorl %esi, %esi\n"
	"syscall\n"
	"call returns\n"
	"movl " NR(60) ", %eax\n"
	"movl $42, %edi\n"
	"syscall\n"
#endif
	"ud2\n");
