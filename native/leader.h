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

/* Its system call filters, last first. */
struct filters {
	size_t count;
	struct sock_fprog *programs;
};
struct filters filters_of(struct leader leader);
void install(struct filters filters);
