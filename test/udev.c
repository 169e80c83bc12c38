/* What the test of udev-relay plays: udevd that says something, and a container in which somebody listens as libudev does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* src/libsystemd/sd-device/device-monitor.c of systemd */
struct header {
	char prefix[8];
	uint32_t magic, size, properties, length, hashes[4];
};

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static int monitor(unsigned group) {
	int file = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = group };
	if (file < 0 || setsockopt(file, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0 || bind(file, (struct sockaddr *)&address, sizeof address) < 0)
		fail("monitor");
	return file;
}

/* send TIMES PROPERTY...: says it so many times. */
static int send_(int count, char **properties) {
	char bytes[65536];
	struct header header = { "libudev", htonl(0xfeedcafe), sizeof header, sizeof header, 0, { 0 } };
	size_t length = sizeof header;
	for (int i = 1; i < count; i++) {
		strcpy(bytes + length, properties[i]);
		length += strlen(properties[i]) + 1;
	}
	header.length = (uint32_t)(length - sizeof header);
	memcpy(bytes, &header, sizeof header);
	struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = 2 };
	int file = monitor(0);
	for (int i = atoi(properties[0]); i > 0; i--)
		if (sendto(file, bytes, length, 0, (struct sockaddr *)&group, sizeof group) < 0 && errno != ECONNREFUSED)
			fail("send");
	return 0;
}

static const char *property(const char *bytes, size_t length, const char *name) {
	for (const char *at = bytes + ((const struct header *)bytes)->properties; at < bytes + length; at += strlen(at) + 1)
		if (strncmp(at, name, strlen(name)) == 0 && at[strlen(name)] == '=')
			return at + strlen(name) + 1;
	return "-";
}

/* listen NODES UDEV: a line for each message, with what opening the node gives at that moment and whether there is an entry. */
static _Noreturn void listen_(char **words) {
	int file = monitor(2);
	puts("listening");
	for (;;) {
		char bytes[65536], control[CMSG_SPACE(sizeof(struct ucred))], path[4096];
		struct sockaddr_nl from;
		struct iovec part = { bytes, sizeof bytes };
		struct msghdr parts = { &from, sizeof from, &part, 1, control, sizeof control, 0 };
		ssize_t length = recvmsg(file, &parts, 0);
		if (length < 0)
			fail("recvmsg");
		struct ucred sender;
		memcpy(&sender, CMSG_DATA(CMSG_FIRSTHDR(&parts)), sizeof sender);
		const struct header *header = (const struct header *)bytes;
		if (from.nl_groups != 2 || length < 48 || memcmp(header->prefix, "libudev", 8) != 0 || header->magic != htonl(0xfeedcafe) || header->properties + header->length != (size_t)length)
			fail("a message that is none of udev");
		const char *name = strrchr(property(bytes, (size_t)length, "DEVPATH"), '/');
		printf("%s%s %s", sender.uid == 0 ? "" : "dropped: ", property(bytes, (size_t)length, "ACTION"), name + 1);
		if (sender.uid == 0) {
			snprintf(path, sizeof path, "%s%s", words[0], name);
			int node = open(path, O_RDWR | O_NONBLOCK);
			const char *major = property(bytes, (size_t)length, "MAJOR");
			printf(" node=%s", node < 0 ? strerrorname_np(errno) : "opened");
			snprintf(path, sizeof path, *major == '-' ? "%s/data/+%s:%s" : "%s/data/c%s:%s", words[1], *major == '-' ? property(bytes, (size_t)length, "SUBSYSTEM") : major, *major == '-' ? name + 1 : property(bytes, (size_t)length, "MINOR"));
			printf(" entry=%s tags=%s", access(path, R_OK) == 0 ? "yes" : "no", property(bytes, (size_t)length, "TAGS"));
			if (node >= 0)
				close(node);
		}
		putchar('\n');
	}
}

static void with_parent(void) {
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		fail("prctl");
}

static void map(pid_t pid, const char *kind, const char *first) {
	char path[64], text[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, kind);
	int length = snprintf(text, sizeof text, "0 %s 65536\n", first), file = open(path, O_WRONLY);
	if (file < 0 || write(file, text, (size_t)length) != length)
		fail(path);
	close(file);
}

/* container UID own|shared NODES UDEV: its first process listens. UID 0: without a user namespace. */
static int container(char **words) {
	int users = strcmp(words[0], "0") != 0, apart[2], mapped[2];
	char byte = 0;
	if (pipe(apart) < 0 || pipe(mapped) < 0)
		fail("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		with_parent();
		if (unshare(CLONE_NEWPID | (users ? CLONE_NEWUSER : 0) | (strcmp(words[1], "own") == 0 ? CLONE_NEWNET : 0)) < 0)
			fail("unshare");
		if (write(apart[1], &byte, 1) != 1 || read(mapped[0], &byte, 1) != 1 || setgid(0) < 0 || setuid(0) < 0)
			fail("root of the container");
		with_parent();
		if (fork() == 0) {
			with_parent();
			listen_(words + 2);
		}
		return wait(NULL) < 0;
	}
	if (read(apart[0], &byte, 1) != 1)
		return 1;
	if (users) {
		map(pid, "uid_map", words[0]);
		map(pid, "gid_map", words[0]);
	}
	if (write(mapped[1], &byte, 1) != 1)
		fail("write");
	return wait(NULL) < 0;
}

int main(int argc, char **argv) {
	setlinebuf(stdout);
	if (argc > 3 && strcmp(argv[1], "send") == 0)
		return send_(argc - 2, argv + 2);
	if (argc == 4 && strcmp(argv[1], "listen") == 0)
		listen_(argv + 2);
	if (argc == 6 && strcmp(argv[1], "container") == 0)
		return container(argv + 2);
	return 2;
}
