/* The mirrors that there are, one for each device of the seat, and the terminal on which it depends whether they are given anything. */
#include "mirror.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/uinput.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
	SOON = 20,        /* ms until those that wait for a key are looked at again */
	LATER = 500,      /* ms until what tells nobody of its change is looked at again: how a terminal takes keys, and whether a device can be grabbed */
	KNOWN = 5000,     /* ms that udevd has to tell about those that were made at the start */
	AT_A_TIME = 64,   /* so that udevd's messages have their turn */
};

static struct mirror *mirrors;
static int epoll = -1, terminals = -1, visible, waiting, lacking;
static long began;

/* Which of its files it is that can be read is found by trying: neither blocks. */
void listen_to(struct mirror *mirror, int file) {
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, file, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = mirror }) < 0)
		die("epoll");
}

void open_mirrors(void) {
	int uinput = open("/dev/uinput", O_RDWR | O_CLOEXEC);
	if (uinput < 0)
		die("/dev/uinput");
	close(uinput);
	terminals = open("/sys/class/tty/tty0/active", O_RDONLY | O_CLOEXEC);
	epoll = terminals < 0 && !relay.seat_of ? -1 : epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || (terminals >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, terminals, &(struct epoll_event){ .events = EPOLLPRI }) < 0))
		die("/sys/class/tty/tty0/active");
	began = now();
	look_at_terminal();
}

int mirrors_file(void) {
	return epoll;
}

/* Whether a terminal does not type what comes from keyboards: an X server, a compositor or `seat take` has switched that off. */
static int is_deaf(unsigned number) {
	char path[32];
	int mode = K_UNICODE;
	snprintf(path, sizeof path, "/dev/tty%u", number);
	int file = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (file < 0 || ioctl(file, KDGKBMODE, &mode) < 0)
		mode = K_UNICODE;
	if (file >= 0)
		close(file);
	return mode == K_OFF;
}

/* A seat has no terminal, and its mirrors are keyboards of the kernel's like all others: while a terminal of the host takes keys
 * as text, what is typed at the seat would be typed there as well. */
void look_at_terminal(void) {
	char text[32] = "";
	unsigned number = 0;
	ssize_t length = terminals < 0 ? 0 : pread(terminals, text, sizeof text - 1, 0);
	int is_known = length > 0 && sscanf(text, "tty%u", &number) == 1;
	int is_shown = relay.seat_of ? terminals < 0 || (is_known && is_deaf(number)) : is_known && number == relay.terminal;
	if (is_shown == visible)
		return;
	visible = is_shown;
	for (struct mirror *mirror = mirrors; mirror; mirror = mirror->next) {
		mirror->since = now();
		if (!visible)
			stop_passing(mirror);
	}
	waiting = 1;
}

static struct mirror **place_of(const char *real) {
	struct mirror **at = &mirrors;
	while (*at && strcmp((*at)->real, real) != 0)
		at = &(*at)->next;
	return at;
}

static void destroy(struct mirror *mirror) {
	char path[256];
	/* First: a device that comes next may get the number. */
	snprintf(path, sizeof path, "/sys/devices/virtual/input/%s", mirror->system);
	DIR *list = *mirror->system ? opendir(path) : NULL;
	for (struct dirent *found; list && (found = readdir(list));)
		if (is_plain(found->d_name))
			drop_node(found->d_name);
	if (list)
		closedir(list);
	stop_passing(mirror);
	close_real(mirror);
	if (mirror->own >= 0)
		close(mirror->own);
	if (mirror->uinput >= 0)
		close(mirror->uinput); /* the device ends with it */
	free(mirror);
}

static void drop_mirror(const char *real) {
	struct mirror **at = place_of(real), *mirror = *at;
	if (!mirror)
		return;
	*at = mirror->next;
	destroy(mirror);
}

static void keep_mirror(const char *real, dev_t node) {
	char path[128];
	struct stat found;
	struct mirror *mirror = *place_of(real);
	if (mirror && mirror->real_node == node && !mirror->is_stale)
		return;
	drop_mirror(real);
	snprintf(path, sizeof path, "/dev/input/%s", real);
	int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (file < 0 || fstat(file, &found) < 0 || found.st_rdev != node || is_not_mirrored(file) || !(mirror = calloc(1, sizeof *mirror))) {
		if (file >= 0)
			close(file);
		return;
	}
	mirror->real_node = node;
	mirror->real_file = mirror->uinput = mirror->own = -1;
	mirror->since = now();
	snprintf(mirror->real, sizeof mirror->real, "%s", real);
	errno = 0;
	int made = make_device(mirror, file);
	close(file);
	if (!made) {
		fprintf(stderr, "nestbox-native: no virtual device can be made for %s: %s; programs inside do not see it, going on\n", path, strerror(errno));
		destroy(mirror);
		return;
	}
	mirror->next = mirrors;
	mirrors = mirror;
	listen_to(mirror, mirror->uinput);
	/* Before anybody inside hears of it: what is typed there from then on is for whoever is visible. */
	waiting |= !settle(mirror, visible, now());
	/* Where udevd's messages are heard inside without us, the node must be there before they are. */
	if (relay.uid == 0 && fstat(mirror->own, &found) == 0) {
		struct device own = { .subsystem = "input", .has_node = 1, .node = found.st_rdev };
		strcpy(own.name, mirror->own_name);
		keep_device(&own);
	}
}

void mirror_device(const struct device *real, int wanted) {
	if (!relay.mirrors || strcmp(real->subsystem, "input") != 0 || strncmp(real->name, "event", 5) != 0 || !real->has_node)
		return;
	if (wanted)
		keep_mirror(real->name, real->node);
	else
		drop_mirror(real->name);
}

void sweep_mirrors(void) {
	char path[256];
	for (struct mirror *mirror = mirrors, *next; mirror; mirror = next) {
		next = mirror->next;
		snprintf(path, sizeof path, "/sys/class/input/%s", mirror->real);
		if (access(path, F_OK) < 0)
			drop_mirror(mirror->real);
	}
}

void mirror_is_known(const char *own_name) {
	for (struct mirror *mirror = mirrors; mirror; mirror = mirror->next)
		if (strcmp(mirror->own_name, own_name) == 0)
			mirror->is_known = 1;
}

int mirrors_are_known(void) {
	for (struct mirror *mirror = mirrors; mirror; mirror = mirror->next)
		if (!mirror->is_known && now() - began < KNOWN)
			return 0;
	return 1;
}

int mirrors_wait(void) {
	if (waiting || !mirrors_are_known())
		return SOON;
	return relay.seat_of && mirrors && (!visible || lacking) ? LATER : -1;
}

void serve_mirrors(void) {
	struct epoll_event event;
	if (epoll < 0)
		return;
	look_at_terminal();
	for (int i = 0; i < AT_A_TIME && epoll_wait(epoll, &event, 1, 0) == 1; i++) {
		struct mirror *mirror = event.data.ptr;
		if (!mirror) {
			look_at_terminal();
			continue;
		}
		pass_lights(mirror);
		if (mirror->real_file >= 0)
			pass_events(mirror);
	}
	waiting = lacking = 0;
	for (struct mirror *mirror = mirrors, *next; mirror; mirror = next) {
		next = mirror->next;
		if (mirror->is_stale) {
			char real[sizeof mirror->real];
			strcpy(real, mirror->real);
			keep_mirror(real, mirror->real_node);
			waiting = 1;
		} else {
			waiting |= !settle(mirror, visible, now());
			lacking |= !mirror->grabbed;
		}
	}
}
