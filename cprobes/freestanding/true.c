// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shortest program: exits with 42. That it runs shows that the kernel
 * loads executables of this width; it is also what the exec cases execute.
 */
void _start(void)
{
#if defined(__i386__)
	__asm__ volatile("int $0x80" : : "a"(1), "b"(42));
#elif defined(__ILP32__)
	__asm__ volatile("syscall" : : "a"(0x40000000 | 60), "D"(42));
#else
	__asm__ volatile("syscall" : : "a"(60), "D"(42));
#endif
	__builtin_unreachable();
}
