// SPDX-License-Identifier: GPL-2.0-only
/* The number of a system call, of the three that it has. */
#if defined(__i386__)
#define NR(x86_64, x32, ia32) ia32
#elif defined(__ILP32__)
#define NR(x86_64, x32, ia32) (0x40000000 | x32)
#else
#define NR(x86_64, x32, ia32) x86_64
#endif
