/* A container's system call filter holds for what comes into it later too: systemd-nspawn forbids what reaches the kernel of
 * the host (bpf, kexec_load, keyctl, open_by_handle_at ...). The kernel hands a filter out to whoever traces the process that
 * has it and is root of the host: PTRACE_SECCOMP_GET_FILTER in ptrace(2), made for checkpoints. */
#include "leader.h"
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

const char *read_filters(pid_t pid, struct filters *filters) {
	*filters = (struct filters){ 0, NULL, NULL };
	/* A process has one tracer: another of us who goes in at the same moment is soon done. */
	int seized = -1;
	for (long long limit = now() + 2000; (seized = (int)ptrace(PTRACE_SEIZE, pid, NULL, NULL)) < 0 && errno == EPERM && now() < limit; usleep(5000))
		;
	if (seized < 0)
		return "the system call filter of the container cannot be read: its first process cannot be traced";
	/* It is stopped for as long as this takes; killed meanwhile, we let go of it. */
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, NULL, __WALL) < 0)
		return "the system call filter of the container";
	for (;;) {
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)filters->count, NULL);
		if (length < 0 && errno == ENOENT)
			break;
		struct sock_filter *code = length < 0 ? NULL : calloc((size_t)length, sizeof *code);
		struct sock_fprog *more = realloc(filters->programs, (filters->count + 1) * sizeof *more);
		unsigned *flags = realloc(filters->flags, (filters->count + 1) * sizeof *flags);
		if (!code || !more || !flags || ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)filters->count, code) < 0)
			return "the system call filter of the container cannot be read (the kernel needs CONFIG_CHECKPOINT_RESTORE)";
		/* Of a filter's flags the kernel keeps and tells one: SECCOMP_FILTER_FLAG_LOG. */
		struct { uint64_t number, flags; } metadata = { filters->count, 0 };
		if (ptrace(PTRACE_SECCOMP_GET_METADATA, pid, (void *)sizeof metadata, &metadata) < 0)
			metadata.flags = 0; /* before Linux 4.16 */
		filters->programs = more;
		filters->flags = flags;
		flags[filters->count] = (unsigned)metadata.flags;
		filters->programs[filters->count++] = (struct sock_fprog){ .len = (unsigned short)length, .filter = code };
	}
	return ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0 ? "the first process of the container" : NULL;
}

struct filters filters_of(struct leader leader) {
	struct filters filters;
	const char *wrong = read_filters(leader.pid, &filters);
	if (wrong)
		die("%s", wrong);
	return filters;
}

/* seccomp(2) has no function in the C library. prctl(2) is older, and a container that has forbidden itself the one may have the other. */
int add_filter(const struct sock_fprog *program, unsigned flags) {
	return flags == 0 ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) : (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
}

/* In the order in which they came to be there: of two that refuse the same call the later one says how. They are the container's word, which may have added to them: one can
 * answer "done" to a system call and do nothing. So nothing that matters is done after this, other than exec. */
void install(struct filters filters) {
	for (size_t i = 0; i < filters.count; i++)
		if (add_filter(&filters.programs[i], filters.flags[i]) < 0)
			die("the system call filter of the container");
}
