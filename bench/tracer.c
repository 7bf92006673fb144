// SPDX-License-Identifier: GPL-2.0-only
/*
 * The yardstick: a tracer that does per stop what origax does, and nothing
 * else, linked with the same cprobes/snapshot.c.
 *
 *   tracer stops N CPU         N stops of a getpid() loop by PTRACE_SYSCALL
 *   tracer device N CPU FILE   N frames of the interrupt of FILE's disk
 *   tracer soak S CPU [FILE]   S seconds of such frames, or without FILE of
 *                              frames of the local timer's interrupt: a soak
 *
 * All print nanoseconds per stop. And the probe alone, for other tracers:
 *
 *   tracer probe N             N calls of getpid()
 */
#include "tracer.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define BLOCK 4096
#define SLEEP 100000		/* nanoseconds, as interrupts.timer */
#define WARM 100
#define BATCH 50

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e9 + at.tv_nsec;
}

static void probe(long n)
{
	while (n--)
		syscall(SYS_getpid);
}

/* Fork a program that stops itself, and seize it; it dies with us. */
static int launch(int spins)
{
	int status, pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raise(SIGSTOP);
		if (spins)
			__asm__ volatile("1: jmp 1b");
		for (;;)
			probe(1000);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid)
		die("waitpid");
	if (ptrace(PTRACE_SEIZE, pid, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
		die("PTRACE_SEIZE");
	kill(pid, SIGCONT);
	/* The group-stop, and then SIGCONT's delivery. */
	while (waitpid(pid, &status, __WALL) == pid &&
	       WSTOPSIG(status) != SIGCONT)
		ptrace(PTRACE_CONT, pid, 0, 0);
	return pid;
}

static struct origax_stop seen;

static void read_once(int pid, long request)
{
	int error = origax_take(pid, request, 0, &seen);

	if (error || !WIFSTOPPED(seen.status)) {
		fprintf(stderr, "tracer: no stop (%d)\n", error);
		exit(1);
	}
}

static void take(int pid, long request)
{
	struct origax_regs again;	/* origax has a second reader */

	read_once(pid, request);
	if (ptrace(PTRACE_GETREGS, pid, 0, &again) ||
	    memcmp(&again, &seen.regs, sizeof(again)))
		die("PTRACE_GETREGS");
}

static int tracee, disk;

static void stop(void)
{
	take(tracee, PTRACE_SYSCALL);
}

/* Have the program be stopped in the frame of an interrupt. */
static void interrupt(void)
{
	static uint8_t block[BLOCK] __attribute__((aligned(BLOCK)));
	struct timespec span = { 0, SLEEP };

	if (ptrace(PTRACE_CONT, tracee, 0, 0))
		die("PTRACE_CONT");
	if (!disk)
		nanosleep(&span, NULL);
	else if (pread(disk, block, sizeof(block), 0) != sizeof(block))
		die("pread");
	if (ptrace(PTRACE_INTERRUPT, tracee, 0, 0))
		die("PTRACE_INTERRUPT");
}

static void frame(void)
{
	interrupt();
	take(tracee, 0);
}

static int ascending(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

/* Nanoseconds per step, by the median batch: other work takes turns too. */
static double timed(void (*step)(void), long n)
{
	long batches = n < BATCH ? 1 : n / BATCH;
	double *spent = calloc(batches, sizeof(*spent));
	double begun;
	long i, j;

	if (!spent)
		die("calloc");
	for (i = 0; i < WARM; i++)
		step();
	for (i = 0; i < batches; i++) {
		begun = now();
		for (j = 0; j < BATCH; j++)
			step();
		spent[i] = (now() - begun) / BATCH;
	}
	qsort(spent, batches, sizeof(*spent), ascending);
	return spent[batches / 2];
}

static double stops(long n)
{
	tracee = launch(0);
	return timed(stop, n);
}

static void spin(const char *path)
{
	struct sched_param fifo = { .sched_priority = 1 };

	disk = path ? open(path, O_RDONLY | O_DIRECT) : 0;
	if (disk < 0)
		die(path);
	tracee = launch(1);
	sched_setscheduler(0, SCHED_FIFO, &fifo);
}

static double device(long n, const char *path)
{
	spin(path);
	return timed(frame, n);
}

/* One reader, and each stop compared with the last: nothing is left out. */
static double soak(long seconds, const char *path)
{
	struct origax_stop last;
	long frames = 0, kinds = 0;
	double begun;

	spin(path);
	for (begun = now(); now() < begun + seconds * 1e9; frames++) {
		interrupt();
		read_once(tracee, 0);
		if (!frames || memcmp(&last, &seen, sizeof(last))) {
			last = seen;
			kinds++;
		}
	}
	if (kinds > 1)
		fprintf(stderr, "tracer: frames differ\n");
	return (now() - begun) / frames;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	long n = argc > 2 ? atol(argv[2]) : 0;
	cpu_set_t cpu;

	if (!strcmp(what, "probe")) {
		probe(n);
		return 0;
	}
	if (argc < 4) {
		fprintf(stderr, "usage: see the head of tracer.c\n");
		return 2;
	}
	CPU_ZERO(&cpu);
	CPU_SET(atoi(argv[3]), &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		die("sched_setaffinity");
	/* origax reads as a 32-bit tracer does, too, where that is possible. */
	if (argc > 3 && !strcmp(argv[argc - 1], "narrow")) {
		origax_narrow();
		argc--;
	}
	if (!strcmp(what, "stops"))
		printf("%.1f\n", stops(n));
	else if (!strcmp(what, "device") && argc > 4)
		printf("%.1f\n", device(n, argv[4]));
	else if (!strcmp(what, "soak"))
		printf("%.1f\n", soak(n, argc > 4 ? argv[4] : NULL));
	return 0;
}
