/* What the tests of system call filters need of C.
 *
 * calls [UID]: tries every system call, each in a process of its own with arguments that do nothing, as every kind of program of this
 * processor makes them, and prints a line each: which, and how it went.
 * calls --hold WORD: says that it is there, and waits for its end.
 * calls --forbidden: makes a system call that no container may make, bpf(2), with arguments that do nothing.
 * calls --kills: stands for systemd-nspawn under a filter by which nobody leaves namespaces alive (unshare(2)), and holds as its first process.
 * calls --filters PID: prints the system call filters of a process, the oldest first: flags and instructions. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGHEST 600
/* Milliseconds after which it is looked whether a call waits. */
#define PATIENCE 50

typedef long (*call)(long number, long first, long second, long third);

static long native(long number, long first, long second, long third) {
	long result = syscall(number, first, second, third, -1L, -1L, -1L);
	return result == -1 ? -errno : result;
}

#if defined __x86_64__
/* The way of programs of 32 bits is open to others, too. */
static long by_interrupt(long number, long first, long second, long third) {
	int result;
	__asm__ volatile("push %%rbp; mov $-1, %%ebp; int $0x80; pop %%rbp" : "=a"(result) : "a"((int)number), "b"((int)first), "c"((int)second), "d"((int)third), "S"(-1), "D"(-1) : "memory", "r8", "r9", "r10", "r11");
	return result;
}
#endif

/* It is asleep: on a busy computer one that does not wait may just not have had its turn. */
static int waits(pid_t pid) {
	char path[64], state = 'R';
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "r");
	int found = file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
	if (file)
		fclose(file);
	return found && state == 'S';
}

static void try(const char *kind, call make, long number, long first, long second, long third) {
	int pipes[2];
	long result;
	if (pipe(pipes) < 0)
		exit(1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		const struct rlimit none = { 0, 0 };
		setpgid(0, 0);
		setrlimit(RLIMIT_CORE, &none);
		result = make(number, first, second, third);
		/* Written by number: what the call has changed is unknown. A second process of a fork says the same. */
		result = result < 0 && result > -4096 ? result : 0;
		write(pipes[1], &result, sizeof result);
		_exit(0);
	}
	close(pipes[1]);
	struct pollfd says = { .fd = pipes[0], .events = POLLIN };
	int status = 0, told;
	while ((told = poll(&says, 1, PATIENCE)) == 0 && !waits(pid))
		;
	ssize_t got = told > 0 ? read(pipes[0], &result, sizeof result) : 0;
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(pipes[0]);
	printf("%s %ld ", kind, number);
	if (told == 0)
		puts("waits");
	else if (got == sizeof result)
		puts(result == 0 ? "done" : strerrorname_np((int)-result) ? strerrorname_np((int)-result) : "an error");
	else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		printf("signal %d\n", WTERMSIG(status));
	else
		puts("ends");
}

static void try_all(const char *kind, call make, long bit) {
	static const long above[] = { 601, 1000, 1024, 4095, 65535, 0x3fffffff };
	for (long number = 0; number <= HIGHEST; number++)
		try(kind, make, bit | number, -1, -1, -1);
	for (size_t i = 0; i < sizeof above / sizeof *above; i++)
		try(kind, make, bit | above[i], -1, -1, -1);
}

static int filters_of(pid_t pid) {
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, NULL, __WALL) < 0)
		return 1;
	for (unsigned long which = 0;; which++) {
		struct sock_filter code[BPF_MAXINSNS];
		struct { unsigned long long number, flags; } metadata = { which, 0 };
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)which, code);
		if (length < 0)
			return errno != ENOENT;
		if (ptrace(PTRACE_SECCOMP_GET_METADATA, pid, (void *)sizeof metadata, &metadata) < 0)
			return 1;
		printf("%llx", metadata.flags);
		for (long i = 0; i < length; i++)
			printf(" %04x:%02x:%02x:%08x", code[i].code, code[i].jt, code[i].jf, code[i].k);
		putchar('\n');
	}
}

int main(int argc, char **argv) {
	char byte;
	if (argc > 2 && strcmp(argv[1], "--filters") == 0)
		return filters_of(atoi(argv[2]));
	if (argc > 1 && strcmp(argv[1], "--forbidden") == 0) {
		syscall(SYS_bpf, -1, NULL, 0);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--kills") == 0 && fork() == 0) {
		struct sock_filter code[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
			BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1000, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
		struct sock_fprog program = { sizeof code / sizeof *code, code };
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
			return 1;
		argv[1] = "--hold";
	} else if (argc > 1 && strcmp(argv[1], "--kills") == 0)
		return wait(NULL) < 0;
	if (argc > 1 && strcmp(argv[1], "--hold") == 0) {
		puts("there");
		fflush(stdout);
		while (read(0, &byte, 1) > 0)
			;
		return 0;
	}
	uid_t uid = argc > 1 ? (uid_t)atoi(argv[1]) : 0;
	if (uid != 0 && (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
		return 1;
	try_all("native", native, 0);
	/* A socket for audit is refused by its arguments (NETLINK_AUDIT); the one beside it (NETLINK_ROUTE) is not. */
	try("audit", native, SYS_socket, 16, SOCK_RAW, 9);
	try("route", native, SYS_socket, 16, SOCK_RAW, 0);
#if defined __x86_64__
	try_all("x32", native, 0x40000000);
	try_all("i386", by_interrupt, 0);
#endif
	return 0;
}
