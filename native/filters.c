/* A container's system call filter holds for what comes into it later too: systemd-nspawn forbids what reaches the kernel of
 * the host (bpf, kexec_load, keyctl, open_by_handle_at ...). The kernel hands a filter out to whoever traces the process that
 * has it and is root of the host: PTRACE_SECCOMP_GET_FILTER in ptrace(2), made for checkpoints. */
#include "leader.h"
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

struct filters filters_of(struct leader leader) {
	struct filters filters = { 0, NULL };
	/* A process has one tracer: another of us who goes in at the same moment is soon done. */
	int seized = -1;
	for (long long limit = now() + 2000; (seized = (int)ptrace(PTRACE_SEIZE, leader.pid, NULL, NULL)) < 0 && errno == EPERM && now() < limit; usleep(5000))
		;
	if (seized < 0)
		die("the system call filter of the container cannot be read: its first process cannot be traced");
	/* It is stopped for as long as this takes; killed meanwhile, we let go of it. */
	if (ptrace(PTRACE_INTERRUPT, leader.pid, NULL, NULL) < 0 || waitpid(leader.pid, NULL, __WALL) < 0)
		die("the system call filter of the container");
	for (;;) {
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, leader.pid, (void *)filters.count, NULL);
		if (length < 0 && errno == ENOENT)
			break;
		struct sock_filter *code = length < 0 ? NULL : calloc((size_t)length, sizeof *code);
		struct sock_fprog *more = realloc(filters.programs, (filters.count + 1) * sizeof *more);
		if (!code || !more || ptrace(PTRACE_SECCOMP_GET_FILTER, leader.pid, (void *)filters.count, code) < 0)
			die("the system call filter of the container cannot be read (the kernel needs CONFIG_CHECKPOINT_RESTORE)");
		filters.programs = more;
		filters.programs[filters.count++] = (struct sock_fprog){ .len = (unsigned short)length, .filter = code };
	}
	if (ptrace(PTRACE_DETACH, leader.pid, NULL, NULL) < 0)
		die("the first process of the container");
	return filters;
}

/* The oldest first, so that they stand as they do there. They are the container's word, which may have added to them: one can
 * answer "done" to a system call and do nothing. So nothing that matters is done after this, other than exec. */
void install(struct filters filters) {
	for (size_t i = filters.count; i-- > 0;)
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filters.programs[i]) < 0)
			die("the system call filter of the container");
}
