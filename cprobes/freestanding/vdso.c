// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells by its exit status how __kernel_vsyscall of a 32-bit program's vDSO
 * enters the kernel (arch/x86/entry/vdso/vdso32/system_call.S): 1 by SYSENTER,
 * 2 by SYSCALL, 3 by int $0x80 alone, 0 there is none. The kernel has patched
 * the code at boot, for the processor that it found.
 */
static int door(const unsigned char *code)
{
	int i;

	if (!code)
		return 0;
	for (i = 0; i < 32; i++) {
		if (code[i] == 0x0f && code[i + 1] == 0x34)
			return 1;
		if (code[i] == 0x0f && code[i + 1] == 0x05)
			return 2;
		if (code[i] == 0xcd && code[i + 1] == 0x80)
			return 3;
	}
	return 0;
}

__attribute__((used))
static void quit(const unsigned long *sp)
{
	const unsigned char *code = 0;
	int status;

	sp += sp[0] + 2;
	while (*sp++)
		;
	for (; sp[0]; sp += 2)
		if (sp[0] == 32 /* AT_SYSINFO */)
			code = (const unsigned char *)sp[1];
	status = door(code);
#if defined(__i386__)
	__asm__ volatile("int $0x80" : : "a"(1), "b"(status));
#elif defined(__ILP32__)
	__asm__ volatile("syscall" : : "a"(0x40000000 | 60), "D"(status));
#else
	__asm__ volatile("syscall" : : "a"(60), "D"(status));
#endif
	__builtin_unreachable();
}

#ifdef __i386__
__asm__(".globl _start\n_start: pushl %esp\ncall quit\n");
#else
__asm__(".globl _start\n_start: movq %rsp, %rdi\ncall quit\n");
#endif
