// SPDX-License-Identifier: GPL-2.0-only
/* Exits with 42 if it may become user 65534 by setresuid(). */
__asm__(".globl _start\n"
	"_start:\n"
#if defined(__i386__)
	"movl $208, %eax\n"
	"movl $65534, %ebx\n"
	"movl %ebx, %ecx\n"
	"movl %ebx, %edx\n"
	"int $0x80\n"
	"leal 42(%eax), %ebx\n"
	"movl $1, %eax\n"
	"int $0x80\n"
#else
# if defined(__ILP32__)
#  define NR(number) "$0x40000000 + " #number
# else
#  define NR(number) "$" #number
# endif
	"movl " NR(117) ", %eax\n"
	"movl $65534, %edi\n"
	"movl %edi, %esi\n"
	"movl %edi, %edx\n"
	"syscall\n"
	"leal 42(%rax), %edi\n"
	"movl " NR(60) ", %eax\n"
	"syscall\n"
#endif
	"ud2\n");
