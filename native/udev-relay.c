/* udev-relay: keyboards and mice that are plugged in while a container runs. No udevd runs inside, and what the host's says is
 * not heard there: its messages reach one network alone, and libudev takes them from root of its own user namespace only. So
 * nodes, entries and messages are passed on from here, in this order: what is inside hears of a device that it can open. */
#include "mirror.h"
#include "seats.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum {
	UDEV_GROUP = 2, /* MONITOR_GROUP_UDEV of systemd's sd-device */
	MAGIC = 0xfeedcafe,
	QUEUE = 16 << 20, /* bytes; thousands of messages, and a computer that starts says some two thousand */
	MESSAGE = 128 << 10, /* udev's are some kilobytes */
};

/* monitor_netlink_header in systemd's device-monitor.c, and the start of every message; properties follow, each with a NUL. */
struct header {
	char prefix[8];
	uint32_t magic; /* big endian */
	uint32_t size, properties, length;
	uint32_t hashes[4];
};

const char *const subsystems[] = { "input", "drm", "graphics", NULL };

struct relay relay;

static union {
	struct header header;
	char bytes[MESSAGE];
} message;

int is_plain(const char *text) {
	size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	return length > 0 && length < sizeof((struct device *)NULL)->name && text[length] == '\0';
}

int is_of_seat(const struct device *device, const char *seat) {
	if (!relay.seat)
		return 1;
	/* What all the mice of the computer do comes out of 'mice'. */
	return strcmp(device->name, "mice") != 0 && strcmp(seat ? seat : "seat0", relay.seat) == 0;
}

int belongs(const struct device *device, const char *place) {
	if (strcmp(device->subsystem, "input") != 0)
		return 1;
	const char *seat = seat_with(device->name, place);
	return relay.seat_of ? seat && strcmp(seat, relay.seat_of) == 0 : !seat;
}

/* Opened before devices are looked for, so that none is missed between. */
static int listener(void) {
	int file = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = UDEV_GROUP };
	if (file < 0 || setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ QUEUE }, sizeof(int)) < 0 || setsockopt(file, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0
	    || bind(file, (struct sockaddr *)&address, sizeof address) < 0)
		die("the messages of udev");
	return file;
}

/* The length of the next message of the host's udev, 0 when there is no more for now, -1 when some were lost. What others send is passed over. */
static ssize_t next_message(int file) {
	for (;;) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof(struct ucred))];
		} control;
		struct sockaddr_nl from = { 0 };
		struct iovec part = { message.bytes, sizeof message.bytes };
		struct msghdr parts = { &from, sizeof from, &part, 1, &control, sizeof control, 0 };
		ssize_t length = recvmsg(file, &parts, 0);
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno == EAGAIN)
			return 0;
		if (length < 0 && errno != ENOBUFS)
			die("the messages of udev");
		struct cmsghdr *sender = length < 0 ? NULL : CMSG_FIRSTHDR(&parts);
		struct ucred credentials = { .uid = (uid_t)-1 };
		if (sender && sender->cmsg_level == SOL_SOCKET && sender->cmsg_type == SCM_CREDENTIALS)
			memcpy(&credentials, CMSG_DATA(sender), sizeof credentials);
		if (length < 0 || (credentials.uid == 0 && parts.msg_flags & MSG_TRUNC))
			return -1;
		if (from.nl_groups == UDEV_GROUP && credentials.uid == 0 && length > (ssize_t)sizeof message.header && message.bytes[length - 1] == '\0'
		    && memcmp(message.header.prefix, "libudev", sizeof message.header.prefix) == 0 && message.header.magic == htonl(MAGIC)
		    && message.header.properties >= sizeof message.header && message.header.properties < (size_t)length)
			return length;
	}
}

static char *property(size_t length, const char *name) {
	size_t size = strlen(name);
	for (char *at = message.bytes + message.header.properties; at < message.bytes + length; at += strlen(at) + 1)
		if (strncmp(at, name, size) == 0 && at[size] == '=')
			return at + size + 1;
	return NULL;
}

/* The host's buttons are not the container's: its logind would switch it off with them. The mark that it looks for becomes
 * another one of the same length, so that all else in the message stays where it is. */
static void hide_buttons(char *tags) {
	for (char *at = tags; at && (at = strstr(at, ":power-switch:"));)
		memcpy(at + 1, "host-buttons", 12);
}

static int is_number(const char *text) {
	return text && *text && strlen(text) < 10 && text[strspn(text, "0123456789")] == '\0';
}

/* Makes a device of the message; false where it is none that a container is told of. */
static int device_of(size_t length, struct device *device) {
	const char *subsystem = property(length, "SUBSYSTEM"), *path = property(length, "DEVPATH"), *node = property(length, "DEVNAME");
	const char *first = property(length, "MAJOR"), *second = property(length, "MINOR");
	*device = (struct device){ 0 };
	for (int i = 0; subsystem && subsystems[i]; i++)
		if (strcmp(subsystem, subsystems[i]) == 0)
			device->subsystem = subsystems[i];
	const char *name = path ? strrchr(path, '/') : NULL;
	if (!device->subsystem || !name || !is_plain(name + 1))
		return 0;
	strcpy(device->name, name + 1);
	if (!is_number(first) || !is_number(second))
		return 1;
	device->has_node = 1;
	device->node = makedev((unsigned)atoi(first), (unsigned)atoi(second));
	if (strcmp(device->subsystem, "input") == 0) {
		/* The kernel names the node like the device, and all have one number: who says otherwise is not udevd. */
		if (node && strncmp(node, "/dev/", 5) == 0)
			node += 5;
		return node && strncmp(node, "input/", 6) == 0 && strcmp(node + 6, device->name) == 0 && major(device->node) == INPUT_MAJOR;
	}
	return 1;
}

static void pass_on(size_t length) {
	struct device device;
	char *action = property(length, "ACTION");
	if (!action || !device_of(length, &device))
		return;
	int ours = is_of_seat(&device, property(length, "ID_SEAT")), had = has_device(&device);
	int belonging = ours && belongs(&device, property(length, "ID_PATH"));
	mirror_device(&device, belonging && strcmp(action, "remove") != 0);
	ours = ours && is_given(&device) && (relay.mirrors || belonging);
	if (strcmp(action, "remove") == 0) {
		if (!ours && !had)
			return;
		forget_device(&device);
	} else if (ours)
		keep_device(&device);
	else if (had) {
		/* It has gone to another seat. For who is inside it has gone altogether, in a word of the same length. */
		forget_device(&device);
		if (strcmp(action, "change") != 0)
			return;
		memcpy(action, "remove", 6);
	} else
		return;
	char *seat = relay.seat_of ? property(length, "ID_SEAT") : NULL;
	if (seat)
		memcpy(seat - strlen("ID_SEAT="), "NO", 2); /* it is the host's word for it: inside there is one seat */
	hide_buttons(property(length, "TAGS"));
	hide_buttons(property(length, "CURRENT_TAGS"));
	send_inside(message.bytes, length);
}

static void take_words(int argc, char **argv) {
	int at = 1;
	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2)
		if (strcmp(argv[at], "--seat") == 0)
			relay.seat = argv[at + 1];
		else if (strcmp(argv[at], "--machine") == 0)
			relay.machine = argv[at + 1];
		else if (strcmp(argv[at], "--group") == 0)
			relay.group = argv[at + 1];
		else if (strcmp(argv[at], "--visible") == 0)
			relay.terminal = number(argv[at + 1], "a terminal");
		else if (strcmp(argv[at], "--seat-of") == 0)
			relay.seat_of = argv[at + 1];
		else
			at = argc;
	char *colon = argc - at == 4 ? strchr(argv[at + 2], ':') : NULL;
	if (!colon || !relay.machine == !relay.group || (relay.terminal && relay.seat_of))
		die("udev-relay [--seat SEAT] [--visible TERMINAL|--seat-of MACHINE] --machine NAME|--group FOLDER NODES UDEV UID:GID MODE");
	if (relay.seat && !is_plain(relay.seat))
		die("'%s' is not the name of a seat", relay.seat);
	if (relay.machine && (strchr(relay.machine, '/') || *relay.machine == '.' || *relay.machine == '\0'))
		die("'%s' is not the name of a machine", relay.machine);
	relay.name = relay.machine ? relay.machine : strrchr(relay.group, '/') ? strrchr(relay.group, '/') + 1 : relay.group;
	relay.mirrors = relay.terminal || relay.seat_of;
	if (relay.terminal && !relay.seat)
		relay.seat = "seat0"; /* terminals are of this one alone */
	*colon = '\0';
	relay.uid = number(argv[at + 2], "a user");
	relay.gid = number(colon + 1, "a group");
	relay.mode = (mode_t)strtoul(argv[at + 3], NULL, 8) & 0777;
	open_folders(argv[at], argv[at + 1]);
}

/* With the job its mirrors go, and the next device that is plugged in gets the number of a node that would still be there. So there
 * are two processes: whichever is left removes the nodes, and the first one begins anew. Returns, in the second, what is readable
 * when the first one has ended. */
static int guarded(void) {
	for (;;) {
		int ends[2], status;
		if (pipe2(ends, O_CLOEXEC) < 0)
			die("pipe");
		pid_t job = fork();
		if (job < 0)
			die("fork");
		close(ends[job == 0]);
		if (job == 0) {
			signal(SIGTERM, SIG_IGN); /* it ends after the first one, with the nodes */
			return ends[0];
		}
		while (waitpid(job, &status, 0) < 0 && errno == EINTR)
			;
		close(ends[1]);
		remove_nodes();
		if (!WIFSIGNALED(status))
			exit(1);
		fprintf(stderr, "nestbox-native: udev-relay was killed (signal %d): it begins anew, going on\n", WTERMSIG(status));
		sleep(1);
	}
}

int udev_relay_job(int argc, char **argv) {
	errno = 0;
	umask(0);
	/* A change of the user must not take the capabilities with it: nodes are made as their owner, messages sent as root inside. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		die("securebits");
	take_words(argc, argv);
	int guard = relay.mirrors ? guarded() : -1;
	signal(SIGCHLD, SIG_IGN);
	int file = listener();
	if (relay.mirrors)
		open_mirrors();
	enumerate();
	for (int lost = 0, ready = 0;;) {
		if (!ready && (ready = mirrors_are_known()))
			say_ready();
		struct pollfd files[] = { { .fd = file, .events = POLLIN }, { .fd = container_end(), .events = POLLIN }, { .fd = mirrors_file(), .events = POLLIN }, { .fd = guard } };
		if (poll(files, 4, mirrors_wait()) < 0 && errno != EINTR)
			die("poll");
		if (files[3].revents) {
			remove_nodes();
			return 1;
		}
		serve_mirrors();
		if (files[1].revents) /* our sender would keep its network alive */
			leave_container();
		for (ssize_t length; (length = next_message(file));)
			if (length < 0)
				lost = 1;
			else
				pass_on((size_t)length);
		/* Only now: what was still waiting is older than what is found. */
		if (lost) {
			fputs("nestbox-native: messages of udev were lost: what is plugged in is looked up again, going on\n", stderr);
			enumerate();
			lost = 0;
		}
	}
}
