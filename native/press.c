/* press: tells on which keyboards and mice somebody presses something, in the order in which it happens: eventN, each once, until Escape.
 * Nothing is kept from those who read them otherwise. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sys/ioctl.h>

enum { DEVICES = 256, EVENTS = 64 };

static struct {
	char name[64];
	int told;
} devices[DEVICES];
static struct pollfd files[DEVICES];
static nfds_t count;

static void open_devices(void) {
	DIR *list = opendir("/dev/input");
	for (struct dirent *entry; list && count < DEVICES && (entry = readdir(list));) {
		char path[300], phys[32] = "";
		if (strncmp(entry->d_name, "event", 5) != 0 || strlen(entry->d_name) >= sizeof devices->name)
			continue;
		snprintf(path, sizeof path, "/dev/input/%s", entry->d_name);
		int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (file < 0)
			continue;
		ioctl(file, EVIOCGPHYS(sizeof phys - 1), phys);
		if (strncmp(phys, "nestbox/", 8) == 0) { /* what machines have of it */
			close(file);
			continue;
		}
		strcpy(devices[count].name, entry->d_name);
		files[count++] = (struct pollfd){ .fd = file, .events = POLLIN };
	}
	if (list)
		closedir(list);
}

static void tell(nfds_t i) {
	char name[256] = "";
	if (devices[i].told++)
		return;
	ioctl(files[i].fd, EVIOCGNAME(sizeof name - 1), name);
	fprintf(stderr, "  %s\n", name);
	printf("%s\n", devices[i].name);
	fflush(stdout);
}

int press_job(int argc, char **argv) {
	(void)argv;
	if (argc != 1)
		die("press");
	open_devices();
	if (count == 0)
		refuse("this computer has no keyboards and mice that can be read");
	for (;;) {
		if (poll(files, count, -1) < 0 && errno != EINTR)
			die("poll");
		for (nfds_t i = 0; i < count; i++) {
			struct input_event events[EVENTS];
			ssize_t length = files[i].revents ? read(files[i].fd, events, sizeof events) : 0;
			if (length < 0 && errno != EAGAIN && errno != EINTR)
				files[i].fd = -1; /* it has gone */
			for (ssize_t at = 0; at < length / (ssize_t)sizeof *events; at++) {
				if (events[at].type != EV_KEY || events[at].value != 1)
					continue;
				if (events[at].code == KEY_ESC)
					return 0;
				tell(i);
			}
		}
	}
}
