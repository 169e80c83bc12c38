/* The container that udev-relay serves, and who sends there. libudev drops what is not from root of its own user namespace, and
 * who sends into the network needs rights over it, so a process of its own is root inside as the host counts users, and has no
 * more than that one right. */
#include "udev-relay.h"
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum {
	DEPTH = 8, /* levels below its group at which the first process of a container is looked for: systemd inside makes one */
};

static struct {
	pid_t pid;
	int pidfd, channel; /* the channel is -1 where nothing is to be sent */
	struct stat network;
} container = { 0, -1, -1, { 0 } };

int container_end(void) {
	return container.pidfd;
}

void leave_container(void) {
	if (container.pidfd >= 0)
		close(container.pidfd);
	if (container.channel >= 0)
		close(container.channel); /* its sender ends */
	container.pidfd = container.channel = -1;
}

/* Whether a process is the first of a container: number 1 in a namespace just below ours. Those of containers in it are deeper. */
static int leads(pid_t pid) {
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *file = fopen(path, "re");
	int outside, inside, deeper, found = 0;
	char state = 'Z';
	while (file && fgets(line, sizeof line, file)) {
		sscanf(line, "State: %c", &state);
		if (strncmp(line, "NSpid:", 6) == 0)
			found = sscanf(line + 6, "%d %d %d", &outside, &inside, &deeper) == 2 && inside == 1;
	}
	if (file)
		fclose(file);
	return found && state != 'Z';
}

static pid_t leader_of_machine(void) {
	char path[4096], line[512];
	snprintf(path, sizeof path, "/run/systemd/machines/%s", relay.machine);
	FILE *file = fopen(path, "re");
	pid_t leader = 0;
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, "LEADER=", 7) == 0)
			leader = atoi(line + 7);
	if (file)
		fclose(file);
	return leader > 0 && leads(leader) ? leader : 0;
}

/* Takes the folder and closes it. */
static pid_t leader_in(int folder, int depth) {
	int list = openat(folder, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *file = list < 0 ? NULL : fdopen(list, "r");
	pid_t pid, leader = 0;
	while (!leader && file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0 && leads(pid))
			leader = pid;
	if (file)
		fclose(file);
	DIR *below = fdopendir(folder);
	for (struct dirent *found; !leader && depth > 0 && below && (found = readdir(below));)
		if (found->d_type == DT_DIR && found->d_name[0] != '.') {
			int next = openat(folder, found->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next >= 0)
				leader = leader_in(next, depth - 1);
		}
	if (below)
		closedir(below);
	else
		close(folder);
	return leader;
}

static pid_t leader(void) {
	if (relay.machine)
		return leader_of_machine();
	int folder = open(relay.group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder < 0 ? 0 : leader_in(folder, DEPTH);
}

static _Noreturn void send_all(int channel, int network) {
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = 2 };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct rights[2] = { { .effective = 1U << CAP_NET_ADMIN, .permitted = 1U << CAP_NET_ADMIN } };
	if (setns(network, CLONE_NEWNET) < 0)
		die("the network of the container");
	int out = socket(AF_NETLINK, SOCK_RAW, 15 /* NETLINK_KOBJECT_UEVENT */);
	if (out < 0 || setgroups(0, NULL) < 0 || setresgid(relay.gid, relay.gid, relay.gid) < 0 || setresuid(relay.uid, relay.uid, relay.uid) < 0 || syscall(SYS_capset, &header, rights) < 0)
		die("a sender for the container");
	/* It keeps nothing else of ours open. */
	if (dup2(channel, 0) < 0 || dup2(out, 1) < 0)
		die("a sender for the container");
	syscall(SYS_close_range, 3, ~0U, 0);
	static char bytes[128 << 10];
	for (ssize_t length; (length = recv(0, bytes, sizeof bytes, 0)) > 0;)
		sendto(1, bytes, (size_t)length, 0, (struct sockaddr *)&group, sizeof group);
	_exit(0);
}

static int alive(void) {
	return poll(&(struct pollfd){ .fd = container.pidfd, .events = POLLIN }, 1, 0) == 0;
}

/* -1 where it has ended. */
static int open_network(struct stat *found) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/net", container.pid);
	int network = open(path, O_RDONLY | O_CLOEXEC);
	if (network >= 0 && fstat(network, found) == 0)
		return network;
	if (network >= 0)
		close(network);
	return -1;
}

static int same(const struct stat *one, const struct stat *other) {
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Whether it is still the one that is known; some tools move its first process to its network after it has begun. */
static int is_current(void) {
	struct stat now;
	int network = container.pidfd >= 0 && alive() ? open_network(&now) : -1;
	if (network >= 0)
		close(network);
	return network >= 0 && same(&now, &container.network) && alive();
}

static void find_container(void) {
	struct stat ours;
	int ends[2], network = -1;
	if (!(container.pid = leader()) || (container.pidfd = (int)syscall(SYS_pidfd_open, container.pid, 0)) < 0)
		return;
	/* Asked again with the descriptor held: what has this number now cannot become another one any more. */
	if (leader() != container.pid || (network = open_network(&container.network)) < 0 || !alive())
		leave_container();
	else if (stat("/proc/self/ns/net", &ours) < 0)
		die("/proc/self/ns/net");
	else if ((relay.uid != 0 || !same(&ours, &container.network)) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
		if (fork() == 0) {
			close(ends[0]);
			send_all(ends[1], network);
		}
		close(ends[1]); /* without a sender, for want of memory, sending fails */
		container.channel = ends[0];
		/* A sender that somebody has stopped must not stop the nodes as well. */
		setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 1 }, sizeof(struct timeval));
	}
	if (network >= 0)
		close(network);
}

void send_inside(const void *bytes, size_t length) {
	/* A second time where its sender has been killed. */
	for (int tries = 0; tries < 2; tries++) {
		if (!is_current()) {
			leave_container();
			find_container();
		}
		if (container.channel < 0 || send(container.channel, bytes, length, MSG_NOSIGNAL) >= 0)
			return;
		leave_container();
	}
}
