// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracer's side of a program's life: the board, and the launch of an
 * image. The child makes raw system calls only until it executes the image, so
 * it is safe however many threads its parent has.
 */
#include "tracer.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <linux/time_types.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <x86intrin.h>

static int board_fd = -1;

/* The board, mapped once; NULL with errno set if it cannot be. */
struct origax_board *origax_board(void)
{
	static struct origax_board *board;
	void *at;

	if (board)
		return board;
	board_fd = syscall(SYS_memfd_create, "origax", MFD_CLOEXEC);
	if (board_fd < 0 || ftruncate(board_fd, BOARD_SIZE))
		return NULL;
	at = mmap(NULL, BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		  board_fd, 0);
	if (at != MAP_FAILED)
		board = at;
	return board;
}

/*
 * execve() lets the parent go on before it is done: wait until the program runs
 * code of its own, or one who seizes it would see the rest. It wakes us, which
 * leaves the CPU to it alone; only one that died does not, so look for that now
 * and then.
 */
static void wait_for(pid_t pid)
{
	const struct __kernel_old_timespec now_and_then = {
		.tv_nsec = 10 * 1000000L,
	};
	uint32_t *begun = &origax_board()->begun;
	siginfo_t info = { 0 };

	while (!__atomic_load_n(begun, __ATOMIC_ACQUIRE)) {
		if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
		    info.si_pid)
			return;
		syscall(SYS_futex, begun, FUTEX_WAIT, 0, &now_and_then);
	}
}

/*
 * Launch the image, which does what stands on the board. Returns its pid, or
 * -errno.
 */
int origax_launch(const char *path)
{
	char fd[12];
	char *argv[] = { "origax", fd, NULL }, *envp[] = { NULL };
	volatile int error = 0;
	pid_t pid;

	snprintf(fd, sizeof(fd), "%d", board_fd);
	origax_board()->parent = getpid();
	pid = vfork();
	if (pid == 0) {
		syscall(SYS_fcntl, board_fd, F_SETFD, 0);
		execve(path, argv, envp);
		error = errno;
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	if (error) {
		waitpid(pid, NULL, 0);
		return -error;
	}
	wait_for(pid);
	return pid;
}

/*
 * Use up the pids below a number, so that the next process has none of them:
 * in a transcript, a pid must not look like a call, a signal or a result.
 * Returns 0 or -errno.
 */
int origax_use_up_pids(int below)
{
	volatile int i;
	pid_t pid = 0;

	for (i = 0; i < below && pid < below - 1; i++) {
		pid = vfork();
		if (pid == 0)
			_exit(0);
		if (pid < 0)
			return -errno;
		waitpid(pid, NULL, 0);
	}
	return 0;
}

/* The state of a task by its open /proc/PID/stat, a letter; X when it is gone. */
static int state_of(int stat)
{
	char text[128];
	ssize_t size = pread(stat, text, sizeof(text) - 1, 0);
	char *name_ends;

	if (size <= 0)
		return 'X';
	text[size] = '\0';
	name_ends = strrchr(text, ')');
	return name_ends ? name_ends[2] : 'X';
}

/*
 * Wait until a task is in one of those states, letters of /proc/PID/stat, X
 * when it is gone. Most are on their way there, on this CPU: let them go on.
 * Returns the letter; -ETIME past the deadline of origax_deadline(); or -errno.
 */
int origax_until(int pid, const char *states)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	char path[32];
	int stat, state, looks = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	stat = open(path, O_RDONLY | O_CLOEXEC);
	if (stat < 0 && errno != ENOENT && errno != ESRCH)
		return -errno;
	while (!strchr(states, state = stat < 0 ? 'X' : state_of(stat))) {
		if (origax_expired()) {
			state = -ETIME;
			break;
		}
		if (++looks < 8)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	if (stat >= 0)
		close(stat);
	return state;
}

/* tgkill(2), which neither libc nor Python offers everywhere. */
int origax_tgkill(int tgid, int tid, int signo)
{
	return syscall(SYS_tgkill, tgid, tid, signo) ? -errno : 0;
}

/* Have the calling process killed when its parent dies. */
int origax_die_with_parent(int parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

/* Become the parent of every orphan among one's descendants. */
int origax_subreaper(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1) ? -errno : 0;
}

void origax_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]),
			   "=d"(out[3])
			 : "0"(leaf), "2"(subleaf));
}

/* The calling thread's own flags, as this CPU has them: no kernel's work. */
unsigned long origax_flags(void)
{
	return __readeflags();
}
