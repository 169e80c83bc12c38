/* kill-at N[:FILE] PROGRAM [ARGUMENT]...: kills the program when it is about to change something of the host for the Nth time, and exits with 200; the
 * program's own exit status, if it comes to its end before. What it has started goes on. With a FILE that is made at this moment instead, and the program is let
 * go; if it is there already, the program is killed, and the exit status is 201. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const long changing[] = {
	SYS_write, SYS_mkdirat, SYS_unlinkat, SYS_mount, SYS_umount2, SYS_mknodat, SYS_fchmodat, SYS_fchownat, SYS_clone, SYS_flock, SYS_symlinkat, SYS_renameat2, SYS_fsync,
#ifdef SYS_mkdir
	SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_mknod, SYS_chmod, SYS_lchown, SYS_fork, SYS_vfork, SYS_symlink, SYS_rename,
#endif
};

static int changes(const struct __ptrace_syscall_info *info) {
	if (info->entry.nr == SYS_openat && info->entry.args[2] & O_CREAT)
		return 1;
	for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
		if ((long)info->entry.nr == changing[i])
			return 1;
	return 0;
}

/* What is done at the moment: the exit status. */
static int at_it(pid_t pid, const char *instead) {
	int status, file = instead ? open(instead, O_WRONLY | O_CREAT | O_EXCL, 0644) : -1;
	if (file >= 0 && write(file, "x", 1) == 1 && ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return instead ? 201 : 200;
}

int main(int argc, char **argv) {
	if (argc < 3)
		return 2;
	int left = atoi(argv[1]);
	char *colon = strchr(argv[1], ':');
	pid_t pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	int status, began = 0;
	for (long pass = 0; waitpid(pid, &status, 0) == pid; ptrace(PTRACE_SYSCALL, pid, NULL, pass)) {
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		pass = 0;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info info;
			if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY && changes(&info) && --left == 0)
				return at_it(pid, colon ? colon + 1 : NULL);
		} else if (!began++)
			ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD); /* execve(2) has stopped it */
		else if (WSTOPSIG(status) != SIGTRAP)
			pass = WSTOPSIG(status);
	}
	return 1;
}
