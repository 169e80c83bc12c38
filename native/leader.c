#include "leader.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The field after the name of the program, which may have blanks and brackets in it, is the third. */
static unsigned long long start_time(pid_t pid) {
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	char *at = strrchr(text, ')');
	for (int field = 3; at && field <= 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

struct leader open_leader(const char *pid, const char *started) {
	struct leader leader = { .pid = (pid_t)number(pid, "a process") };
	leader.pidfd = (int)syscall(SYS_pidfd_open, leader.pid, 0);
	char *end;
	unsigned long long wanted = strtoull(started, &end, 10);
	if (end == started || *end)
		die("'%s' is not a time", started);
	/* Looked at with the descriptor held: what has this number now cannot become another one any more. */
	if (leader.pidfd < 0 || start_time(leader.pid) != wanted) {
		fprintf(stderr, "nestbox-native: the container has ended\n");
		exit(3);
	}
	return leader;
}

int open_of(struct leader leader, const char *name, int flags) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", leader.pid, name);
	int file = open(path, flags | O_CLOEXEC);
	if (file < 0 || syscall(SYS_pidfd_send_signal, leader.pidfd, 0, NULL, 0) < 0)
		die("the first process of the container: %s", name);
	return file;
}

int is_elsewhere(struct leader leader, const char *kind) {
	char path[64];
	struct stat ours, theirs;
	snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
	if (stat(path, &ours) < 0)
		die("%s", path);
	snprintf(path, sizeof path, "ns/%s", kind);
	int file = open_of(leader, path, O_RDONLY);
	if (fstat(file, &theirs) < 0)
		die("%s", path);
	close(file);
	return ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

void join(struct leader leader, int kinds) {
	int root = open_of(leader, "root", O_PATH | O_DIRECTORY);
	/* All at once, by the descriptor: none can be another container's (Linux 5.8). */
	if (setns(leader.pidfd, kinds) < 0)
		die("the namespaces of the container");
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		die("the root of the container");
	close(root);
}
