/* lease: one connector of a graphics card for a machine, and another for the next. Whoever is master of the card lends parts of it (DRM leases); there
 * is one master, and that is an open file. So each machine has a holder of its own, and all holders of one card have the same open file: the first one
 * opens it, the next is given it by any of those that are there. It is closed with the last of them, and the kernel gives the card back to the host's
 * console. None of it is on a disk, and there is nothing to take back from one that was killed. */
#include "lease.h"
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

/* Where a holder gives the card to others, in the folder of its machine's run. */
#define MASTER "card"

enum {
	PATIENCE = 5, /* s that a holder gets to answer */
	PAUSE = 100000, /* us: a new lease is told to all of the host, and who is inside must not make it busy with that */
};

static struct sockaddr_un address_of(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		die("'%s' is too long for a socket", path);
	strcpy(address.sun_path, path);
	return address;
}

/* An open file, from whoever listens there; -1: nobody does, or does not answer. */
static int receive_from(const char *path) {
	struct sockaddr_un address = address_of(path);
	struct timeval patience = { .tv_sec = PATIENCE };
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client < 0)
		die("socket");
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr parts = { NULL, 0, &part, 1, &control, sizeof control, 0 };
	int file = -1;
	if (connect(client, (struct sockaddr *)&address, sizeof address) == 0 && recvmsg(client, &parts, MSG_CMSG_CLOEXEC) == 1) {
		struct cmsghdr *given = CMSG_FIRSTHDR(&parts);
		if (given && given->cmsg_level == SOL_SOCKET && given->cmsg_type == SCM_RIGHTS && given->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&file, CMSG_DATA(given), sizeof file);
	}
	close(client);
	return file;
}

static void send_to(int client, int file) {
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	memcpy(CMSG_DATA(&control.header), &file, sizeof file);
	char byte = 1;
	struct iovec part = { &byte, 1 };
	struct msghdr parts = { NULL, 0, &part, 1, &control, sizeof control, 0 };
	sendmsg(client, &parts, MSG_NOSIGNAL | MSG_DONTWAIT); /* one who does not want it any more has gone */
}

/* There at once with its owner, and for that one alone. */
static int listen_at(const char *path, uid_t uid, gid_t gid) {
	struct sockaddr_un address = address_of(path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(path);
	umask(0177);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || chown(path, uid, gid) < 0 || listen(listener, 8) < 0)
		die("%s", path);
	return listener;
}

/* The card's file of another holder of it. */
static int open_elsewhere(dev_t wanted) {
	glob_t found;
	int file = -1;
	glob("/run/nestbox/*/" MASTER, GLOB_NOSORT, NULL, &found); /* run() and serviceRun() of src/store.ts */
	glob("/run/nestbox-services/*/" MASTER, GLOB_NOSORT | GLOB_APPEND, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc && file < 0; i++) {
		struct stat stat_;
		file = receive_from(found.gl_pathv[i]);
		if (file >= 0 && (fstat(file, &stat_) < 0 || stat_.st_rdev != wanted)) {
			close(file);
			file = -1;
		}
	}
	globfree(&found);
	return file;
}

/* Its master. */
static int open_card(const char *path) {
	struct stat stat_;
	if (stat(path, &stat_) < 0)
		die("%s", path);
	int file = open_elsewhere(stat_.st_rdev);
	if (file >= 0)
		return file;
	file = open(path, O_RDWR | O_CLOEXEC);
	if (file >= 0 && ioctl(file, DRM_SET_MASTER) == 0)
		return file;
	if (errno != EBUSY)
		die("%s", path);
	refuse("nestbox-native: another program decides what %s shows, and so none of its connectors can be lent to a machine\nend what draws there: a display manager of the host, or a machine with [display.vt]", path);
}

/* lease CARD CONNECTOR UID:GID FOLDER: as long as it runs, whoever of UID calls at FOLDER/lease/socket is given the connector, and nobody else has it
 * any more. FOLDER is that of the machine's run, and what it has in lease/ is seen inside. */
int lease_job(int argc, char **argv) {
	errno = 0;
	char *colon = argc == 5 ? strchr(argv[3], ':') : NULL;
	if (!colon)
		die("lease CARD CONNECTOR UID:GID FOLDER");
	*colon = '\0';
	uid_t uid = number(argv[3], "a user");
	gid_t gid = number(colon + 1, "a group");
	char master[PATH_MAX], inside[PATH_MAX];
	snprintf(master, sizeof master, "%s/" MASTER, argv[4]);
	snprintf(inside, sizeof inside, "%s/lease/socket", argv[4]);
	/* One at a time: two that begin would both find nobody who has the card. */
	int turn = open("/dev/dri", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (turn < 0 || flock(turn, LOCK_EX) < 0)
		die("/dev/dri");
	unlink(master); /* of one that was killed */
	int card = open_card(argv[1]);
	int lent = lend(argv[1], card, argv[2]);
	struct pollfd callers[] = { { .fd = listen_at(master, 0, 0), .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	close(turn);
	callers[1].fd = listen_at(inside, uid, gid);
	for (;;) {
		if (poll(callers, 2, -1) < 0 && errno != EINTR)
			die("poll");
		for (int i = 0; i < 2; i++) {
			int client = callers[i].revents ? accept4(callers[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
			if (client < 0)
				continue;
			if (i == 1) /* what an X server that was killed has left on the card goes with its lease */
				lent = lend_again();
			send_to(client, i == 1 ? lent : card);
			close(client);
			if (i == 1)
				usleep(PAUSE);
		}
	}
}

/* on-lease SOCKET SERVER [ARGUMENT]...: inside, becomes the X server, which draws on what is lent. */
int on_lease_job(int argc, char **argv) {
	errno = 0;
	if (argc < 3)
		die("on-lease SOCKET SERVER [ARGUMENT]...");
	int file = receive_from(argv[1]);
	if (file < 0)
		refuse("nestbox-native: nobody lends a connector at %s\nthe host's 'nestbox logs' may tell why", argv[1]);
	char text[16], **words = calloc((size_t)argc + 2, sizeof *words);
	snprintf(text, sizeof text, "%d", file);
	if (!words || fcntl(file, F_SETFD, 0) < 0)
		die("the lease");
	words[0] = argv[2];
	words[1] = "-masterfd";
	words[2] = text;
	memcpy(words + 3, argv + 3, (size_t)(argc - 3) * sizeof *words);
	execvp(argv[2], words);
	die("%s", argv[2]);
}
