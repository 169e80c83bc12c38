/* Whether systemd-nspawn can do its work under its own filters: in one of them each refusal is made a question to us (seccomp_unotify(2)). */
#include "try-filters.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined __x86_64__
#define OURS AUDIT_ARCH_X86_64
#elif defined __i386__
#define OURS AUDIT_ARCH_I386
#elif defined __aarch64__
#define OURS AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define OURS AUDIT_ARCH_RISCV64
#else
#define OURS 0
#endif

/* No system call has this number, so no list has it. With the highest bits it would be one of x32. */
#define NONE 0x3ffffff0

/* Milliseconds in which a start must come on; it takes a tenth of a second, and an emulated computer is slow. */
#define PATIENCE 60000

/* What a program answers to a system call with this number, 0 where it is one that no filter of nspawn's would have: these compare numbers and
 * arguments, which are all 0 here, and do nothing else. */
static uint32_t answer(const struct sock_fprog *program, uint32_t arch, int nr) {
	const struct seccomp_data data = { .nr = nr, .arch = arch };
	uint32_t value = 0;
	for (unsigned i = 0; i < program->len; i++) {
		const struct sock_filter *at = &program->filter[i];
		int holds;
		switch (at->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (at->k > sizeof data - sizeof value)
				return 0;
			memcpy(&value, (const char *)&data + at->k, sizeof value);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			value &= at->k;
			continue;
		case BPF_JMP | BPF_JA:
			i += at->k;
			continue;
		case BPF_RET | BPF_K:
			return at->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			holds = value == at->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			holds = value > at->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			holds = value >= at->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			holds = (value & at->k) != 0;
			break;
		default:
			return 0;
		}
		i += holds ? at->jt : at->jf;
	}
	return 0;
}

/* A filter asks us in place of saying no: a copy of the one that forbids system calls of this architecture. -1: there is not exactly one. */
static int asking(struct filters filters, struct sock_fprog *asks) {
	int found = -1;
	for (size_t i = 0; i < filters.count; i++)
		if ((answer(&filters.programs[i], OURS, NONE) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO) {
			if (found >= 0)
				return -1;
			found = (int)i;
		}
	if (found < 0)
		return -1;
	size_t size = filters.programs[found].len * sizeof *asks->filter;
	*asks = filters.programs[found];
	if (!(asks->filter = malloc(size)))
		return -1;
	memcpy(asks->filter, filters.programs[found].filter, size);
	for (unsigned i = 0; i < asks->len; i++)
		if (asks->filter[i].code == (BPF_RET | BPF_K) && (asks->filter[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
			asks->filter[i].k = SECCOMP_RET_USER_NOTIF;
	return found;
}

struct start start(char **argv, const struct filters *under) {
	int ready[2], hold[2], told[2];
	struct sock_fprog asks = { 0 };
	int which = under ? asking(*under, &asks) : -1;
	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(hold, O_CLOEXEC) < 0 || pipe2(told, O_CLOEXEC) < 0 || (under && which < 0))
		return (struct start){ .pid = -1 };
	pid_t us = getpid();
	/* Descriptors are shared until it becomes nspawn: the one that it gets as a listener is ours, too. So its end closes none of them, and is told by a pidfd. */
	int ended = -1;
	pid_t pid = (pid_t)syscall(SYS_clone, (under ? CLONE_FILES : 0) | CLONE_PIDFD | SIGCHLD, NULL, &ended, NULL, NULL);
	if (pid == 0) {
		int listener = -1;
		static char *environment[] = { CLEAN_PATH, "LANG=C.UTF-8", "SYSTEMD_NSPAWN_LOCK=0", NULL, NULL };
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != us)
			_exit(1);
		for (size_t i = 0; under && i < under->count; i++) {
			int mine = (int)i == which;
			int got = mine ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &asks) : add_filter(&under->programs[i], under->flags[i]);
			if (got < 0) {
				listener = -1;
				break;
			}
			if (mine)
				listener = got;
		}
		if (under) {
			/* Told afterwards: what is closed then is not closed here. */
			if (unshare(CLONE_FILES) < 0 || write(told[1], &listener, sizeof listener) != sizeof listener || listener < 0)
				_exit(1);
			environment[3] = "SYSTEMD_SECCOMP=0";
		}
		int nothing = open("/dev/null", O_WRONLY);
		if (dup2(hold[0], 0) < 0 || dup2(ready[1], 1) < 0 || dup2(nothing, 2) < 0)
			_exit(1);
		execve(argv[0], argv, environment);
		_exit(1);
	}
	struct start started = { .pid = pid, .ready = ready[0], .hold = hold[1], .listener = -1 };
	struct pollfd say[2] = { { .fd = told[0], .events = POLLIN }, { .fd = ended, .events = POLLIN } };
	if (under && (pid < 0 || poll(say, 2, PATIENCE) <= 0 || !say[0].revents || read(told[0], &started.listener, sizeof started.listener) != sizeof started.listener))
		started.listener = -1;
	close(ready[1]);
	close(hold[0]);
	close(told[0]);
	close(told[1]);
	if (ended >= 0)
		close(ended);
	return started;
}

void end(struct start started) {
	kill(started.pid, SIGKILL);
	waitpid(started.pid, NULL, __WALL);
	close(started.ready);
	close(started.hold);
	if (started.listener >= 0)
		close(started.listener);
}

/* Whether it needs what it may not do; it is answered as the filter would have. */
static int is_forbidden(int listener) {
	/* The kernel's structures may be longer than those that we know: seccomp_unotify(2). */
	union { struct seccomp_notif is; char room[1024]; } question;
	union { struct seccomp_notif_resp is; char room[1024]; } answer;
	memset(&question, 0, sizeof question);
	memset(&answer, 0, sizeof answer);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
		return 0; /* it has ended */
	const struct seccomp_notif asked = question.is;
	answer.is.id = asked.id;
	answer.is.error = -EPERM;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	/* This is done for it beforehand. */
	return !(asked.data.arch == OURS && asked.data.nr == SYS_keyctl && asked.data.args[0] == KEYCTL_JOIN_SESSION_KEYRING);
}

const char *const late = "it takes too long";

const char *await(struct start started) {
	const char *wrong = NULL;
	for (;;) {
		struct pollfd of[2] = { { .fd = started.ready, .events = POLLIN }, { .fd = started.listener, .events = POLLIN } };
		char byte;
		if (poll(of, 2, PATIENCE) <= 0)
			return late;
		if (of[1].revents & POLLIN) {
			if (is_forbidden(started.listener))
				wrong = "systemd-nspawn needs system calls that its filters forbid";
		} else if (of[0].revents)
			return read(started.ready, &byte, 1) == 1 ? wrong : wrong ? wrong : "systemd-nspawn does not start";
		else if (of[1].revents)
			started.listener = -1;
	}
}
