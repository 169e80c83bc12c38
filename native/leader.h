/* The first process of a running container, and what the jobs that go inside have in common. */
#pragma once
#include "native.h"
#include <linux/filter.h>
#include <sys/types.h>

struct leader {
	pid_t pid;
	int pidfd;
};

/* `started`: when the process began, field 22 of proc_pid_stat(5): another that has got its number since is not taken for it.
 * Exits with 3 when it has ended. */
struct leader open_leader(const char *pid, const char *started);

/* Opens /proc/PID/NAME, to be read or as a place. */
int open_of(struct leader leader, const char *name, int flags);

/* Its namespaces of these kinds (CLONE_NEW...) become ours, and its root directory. */
void join(struct leader leader, int kinds);

/* Whether it is in another namespace of this kind ("user") than we are. */
int is_elsewhere(struct leader leader, const char *kind);

/* System call filters, the oldest first: so the kernel counts them, whatever ptrace(2) says. `flags` as seccomp(2) takes them. */
struct filters {
	size_t count;
	struct sock_fprog *programs;
	unsigned *flags;
};
struct filters filters_of(struct leader leader);

/* Those of a process that is not traced. Returns NULL, or what is wrong, with errno; it may be left traced then. */
const char *read_filters(pid_t pid, struct filters *filters);

/* 0, or with SECCOMP_FILTER_FLAG_NEW_LISTENER a descriptor; -1 and errno. */
int add_filter(const struct sock_fprog *program, unsigned flags);
void install(struct filters filters);
