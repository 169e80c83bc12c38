/* What a container that udev-relay serves has as /dev/input and /run/udev. Root inside may be root of the host and change what is
 * in them at any moment: no link in them is followed. */
#include "mirror.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { ENTRY = 64 << 10 /* bytes; udev's are some kilobytes */ };

/* By which programs look for devices. Not power-switch: see hide_buttons(). */
static struct tag {
	const char *name;
	int folder;
} tags[] = { { "seat", -1 }, { "master-of-seat", -1 }, { "uaccess", -1 }, { NULL, -1 } };

static struct {
	const char *name;
	int folder;
} links[] = { { "by-id", -1 }, { "by-path", -1 } };

static int nodes, udev, data;

static int folder_in(int above, const char *name) {
	if (mkdirat(above, name, 0755) < 0 && errno != EEXIST)
		die("%s", name);
	int folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		die("%s", name);
	return folder;
}

static void remove_from(int folder, const char *name) {
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		die("%s", name);
}

/* In one step, so that nobody reads half of it. */
static void write_file(int folder, const char *name, const char *text, size_t length) {
	remove_from(folder, ".new");
	int file = openat(folder, ".new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (file < 0 || write(file, text, length) != (ssize_t)length || close(file) < 0 || renameat(folder, ".new", folder, name) < 0)
		die("%s", name);
}

void open_folders(const char *nodes_path, const char *udev_path) {
	nodes = open(nodes_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	udev = nodes < 0 ? -1 : open(udev_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (udev < 0)
		die("%s", nodes < 0 ? nodes_path : udev_path);
	remove_from(udev, "ready"); /* of one that was killed */
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		links[i].folder = folder_in(nodes, links[i].name);
	data = folder_in(udev, "data");
	int above = folder_in(udev, "tags");
	tags[3].name = relay.seat; /* an X server of a seat looks for devices by its name */
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (tags[i].name)
			tags[i].folder = folder_in(above, tags[i].name);
	close(above);
	write_file(udev, "control", "", 0); /* without it libudev listens to nothing */
}

void say_ready(void) {
	write_file(udev, "ready", "1\n", 2);
}

/* device_get_device_id() of systemd's sd-device. */
static const char *id_of(const struct device *device) {
	static char id[128];
	if (device->has_node)
		snprintf(id, sizeof id, "c%u:%u", major(device->node), minor(device->node));
	else
		snprintf(id, sizeof id, "+%s:%s", device->subsystem, device->name);
	return id;
}

/* The host's entry about a device: lines of a letter, a colon and a value. NULL: udevd has not dealt with it. */
static char *entry_of(const char *id) {
	static char text[ENTRY];
	char path[256];
	snprintf(path, sizeof path, "/run/udev/data/%s", id);
	int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	if (length < 0)
		return NULL;
	text[length] = '\0';
	return text;
}

/* What follows `start` in the line that begins with it. */
static const char *line_of(const char *entry, const char *start) {
	for (const char *at = entry; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, start, strlen(start)) == 0)
			return at + strlen(start);
	return NULL;
}

static int has_line(const char *entry, const char *start, const char *rest) {
	char line[512];
	size_t length = (size_t)snprintf(line, sizeof line, "%s%s\n", start, rest);
	return length < sizeof line && line_of(entry, line);
}

static int makes_node(const struct device *device) {
	return device->has_node && strcmp(device->subsystem, "input") == 0;
}

static int target_is(int folder, const char *link, const char *target) {
	char text[256];
	ssize_t length = readlinkat(folder, link, text, sizeof text);
	return length == (ssize_t)strlen(target) && memcmp(text, target, (size_t)length) == 0;
}

static void make_links(const char *entry, const char *name) {
	char target[128], start[32], link[256];
	snprintf(target, sizeof target, "../%s", name);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		snprintf(start, sizeof start, "S:input/%s/", links[i].name);
		for (const char *at = entry; (at = line_of(at, start));) {
			size_t length = strcspn(at, "\n");
			snprintf(link, sizeof link, "%.*s", (int)length, at);
			if (length > 0 && length < sizeof link && *link != '.' && !strchr(link, '/') && !target_is(links[i].folder, link, target)) {
				remove_from(links[i].folder, ".new");
				if (symlinkat(target, links[i].folder, ".new") < 0 || renameat(links[i].folder, ".new", links[i].folder, link) < 0)
					die("%s", link);
			}
			at += length;
		}
	}
}

/* Calls `act` for what is in a folder now. */
static void each_in(int folder, void (*act)(const char *name, const void *of), const void *of) {
	int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	if (!list)
		die("a folder of the container");
	for (struct dirent *found; (found = readdir(list));)
		if (found->d_name[0] != '.')
			act(found->d_name, of);
	closedir(list);
}

struct leftover {
	size_t of;
	const char *name, *entry; /* links to this, except for those that the entry has */
};

static void drop_link(const char *link, const void *of) {
	const struct leftover *leftover = of;
	char target[128], start[32];
	snprintf(target, sizeof target, "../%s", leftover->name);
	snprintf(start, sizeof start, "S:input/%s/", links[leftover->of].name);
	if (target_is(links[leftover->of].folder, link, target) && !has_line(leftover->entry, start, link))
		remove_from(links[leftover->of].folder, link);
}

static void drop_links(const char *entry, const char *name) {
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		each_in(links[i].folder, drop_link, &(struct leftover){ i, name, entry });
}

static void make_node(const struct device *device) {
	struct stat found;
	if (fstatat(nodes, device->name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISCHR(found.st_mode) && found.st_rdev == device->node)
			return; /* with the rights that somebody inside may have given it since */
		remove_from(nodes, device->name);
	}
	/* Its owner and mode at once: it is never there half made. The change of ids makes the kernel forget with whom this process dies: prctl(2). */
	int last = 0;
	pid_t parent = getppid();
	prctl(PR_GET_PDEATHSIG, &last);
	setfsgid(relay.gid);
	setfsuid(relay.uid);
	if (mknodat(nodes, device->name, S_IFCHR | relay.mode, device->node) < 0)
		die("/dev/input/%s", device->name);
	setfsuid(0);
	setfsgid(0);
	if (last && (prctl(PR_SET_PDEATHSIG, last) < 0 || getppid() != parent))
		raise(last);
}

static void remove_entry(const char *id) {
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (tags[i].folder >= 0)
			remove_from(tags[i].folder, id);
	remove_from(data, id);
}

static void copy_entry(const char *id, const char *entry) {
	static char text[ENTRY];
	size_t length = 0;
	for (const char *at = entry; *at;) {
		size_t line = strcspn(at, "\n");
		line += at[line] == '\n';
		/* Tags that it has ever had, and those that it has now. */
		int hidden = strncmp(at, "G:power-switch\n", 15) == 0 || strncmp(at, "Q:power-switch\n", 15) == 0 || (relay.seat_of && strncmp(at, "E:ID_SEAT=", 10) == 0);
		if (!hidden) {
			memcpy(text + length, at, line);
			length += line;
		}
		at += line;
	}
	write_file(data, id, text, length);
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
		if (tags[i].folder < 0)
			continue;
		if (has_line(entry, "G:", tags[i].name))
			write_file(tags[i].folder, id, "", 0);
		else
			remove_from(tags[i].folder, id);
	}
}

void keep_device(const struct device *device) {
	const char *id = id_of(device), *entry = entry_of(id);
	if (makes_node(device)) {
		make_node(device);
		drop_links(entry, device->name);
		make_links(entry, device->name);
	}
	if (entry) {
		copy_entry(id, entry);
		mirror_is_known(device->name);
	} else
		remove_entry(id);
}

void forget_device(const struct device *device) {
	remove_entry(id_of(device));
	if (makes_node(device))
		drop_node(device->name);
}

int has_device(const struct device *device) {
	return faccessat(data, id_of(device), F_OK, AT_SYMLINK_NOFOLLOW) == 0 || (makes_node(device) && faccessat(nodes, device->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

static void look_at(const char *subsystem, const char *name) {
	char path[512], text[32] = "";
	struct device device = { .subsystem = subsystem };
	if (!is_plain(name))
		return;
	strcpy(device.name, name);
	snprintf(path, sizeof path, "/sys/class/%s/%s/dev", subsystem, name);
	FILE *file = fopen(path, "re");
	unsigned major, minor;
	if (file && fgets(text, sizeof text, file) && sscanf(text, "%u:%u", &major, &minor) == 2) {
		device.has_node = 1;
		device.node = makedev(major, minor);
	}
	if (file)
		fclose(file);
	const char *entry = entry_of(id_of(&device)), *line = line_of(entry, "E:ID_SEAT=");
	char seat[64], place[512];
	snprintf(seat, sizeof seat, "%.*s", line ? (int)strcspn(line, "\n") : 0, line ? line : "");
	int ours = (entry || !relay.seat) && is_of_seat(&device, line ? seat : NULL);
	line = line_of(entry, "E:ID_PATH=");
	snprintf(place, sizeof place, "%.*s", line ? (int)strcspn(line, "\n") : 0, line ? line : "");
	int belonging = ours && belongs(&device, line ? place : NULL);
	mirror_device(&device, belonging);
	/* Without an entry nobody knows yet whose it is: udevd's message about it is still to come. */
	if (ours && is_given(&device) && (relay.mirrors || belonging))
		keep_device(&device);
	else
		forget_device(&device);
}

void drop_node(const char *name) {
	drop_links(NULL, name);
	remove_from(nodes, name);
}

static void sweep_any(const char *name, const void *of) {
	struct stat found;
	(void)of;
	if (fstatat(nodes, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(found.st_mode))
		drop_node(name);
}

void remove_nodes(void) {
	each_in(nodes, sweep_any, NULL);
}

static void sweep_node(const char *name, const void *of) {
	(void)of;
	char path[512];
	snprintf(path, sizeof path, "/sys/class/input/%s/dev", name);
	if (!is_plain(name) || access(path, F_OK) == 0)
		return;
	struct stat found;
	if (fstatat(nodes, name, &found, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISCHR(found.st_mode))
		return;
	drop_node(name);
}

static void sweep_entry(const char *id, const void *of) {
	(void)of;
	if (!entry_of(id))
		remove_entry(id);
}

/* Everything as it is on the host now. */
void enumerate(void) {
	sweep_mirrors();
	each_in(nodes, sweep_node, NULL);
	each_in(data, sweep_entry, NULL);
	for (int i = 0; subsystems[i]; i++) {
		char path[64];
		snprintf(path, sizeof path, "/sys/class/%s", subsystems[i]);
		DIR *list = opendir(path);
		for (struct dirent *found; list && (found = readdir(list));)
			look_at(subsystems[i], found->d_name);
		if (list)
			closedir(list);
	}
}
