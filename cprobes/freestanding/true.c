// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shortest program: exits with 42. That it runs shows that the kernel
 * loads executables of this width; it is also what the exec cases execute, and
 * step through: each instruction is the same with every compiler.
 */
__asm__(".globl _start\n"
	"_start:\n"
#if defined(__i386__)
	"movl $1, %eax\n"
	"movl $42, %ebx\n"
	"int $0x80\n"
#elif defined(__ILP32__)
	"movl $0x4000003c, %eax\n"
	"movl $42, %edi\n"
	"syscall\n"
#else
	"movl $60, %eax\n"
	"movl $42, %edi\n"
	"syscall\n"
#endif
	"ud2\n");
