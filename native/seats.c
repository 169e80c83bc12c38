/* Seats: a file in SEATS for each machine that runs and has one. Its first line is the terminal of the host that was visible before, or 0;
 * the others say what belongs to the seat: path:PLACE, id:VENDOR:PRODUCT or name:NAME. */
#include "seats.h"
#include "console.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { LINE = 512 };

static const char notice[] = "\033[H\033[2JThis computer's keyboards belong to seats. `nestbox switch host` shows its own terminals.\r\n";

/* A line of a file below /sys, without its end; "" where there is none. */
static const char *line_in(const char *path, char *line) {
	FILE *file = fopen(path, "re");
	*line = '\0';
	if (file && !fgets(line, LINE, file))
		*line = '\0';
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static const char *of_device(const char *name, const char *what, char *line) {
	char path[256];
	/* The device itself, or what is above its node. */
	snprintf(path, sizeof path, strncmp(name, "input", 5) == 0 ? "/sys/class/input/%s/%s" : "/sys/class/input/%s/device/%s", name, what);
	return line_in(path, line);
}

/* The place itself, or behind it: a port of that hub, a device at that port. */
static int is_behind(const char *place, const char *outer) {
	size_t length = strlen(outer);
	return length > 0 && strncmp(place, outer, length) == 0 && (place[length] == '\0' || strchr(":.-", place[length]));
}

static int selects(const char *selector, const char *name, const char *place) {
	char first[LINE], second[LINE], id[LINE * 2 + 2];
	if (strncmp(selector, "path:", 5) == 0)
		return place && is_behind(place, selector + 5);
	if (strncmp(selector, "name:", 5) == 0)
		return strcmp(of_device(name, "name", first), selector + 5) == 0 && *first;
	if (strncmp(selector, "id:", 3) != 0)
		return 0;
	snprintf(id, sizeof id, "%s:%s", of_device(name, "id/vendor", first), of_device(name, "id/product", second));
	return strcmp(id, selector + 3) == 0;
}

static int has(int folder, const char *machine, const char *name, const char *place) {
	char line[LINE];
	int descriptor = openat(folder, machine, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), found = 0;
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "r");
	while (!found && file && fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = '\0';
		found = selects(line, name, place);
	}
	if (file)
		fclose(file);
	return found;
}

const char *seat_with(const char *name, const char *place) {
	static char machine[256];
	DIR *seats = opendir(SEATS);
	int found = 0;
	for (struct dirent *entry; !found && seats && (entry = readdir(seats));)
		if (entry->d_name[0] != '.' && (found = has(dirfd(seats), entry->d_name, name, place)))
			snprintf(machine, sizeof machine, "%s", entry->d_name);
	if (seats)
		closedir(seats);
	return found ? machine : NULL;
}

/* The folder, locked: one that the last seat has removed meanwhile is not it. */
static int open_seats(void) {
	for (;;) {
		struct stat ours, there;
		if (mkdir(SEATS, 0755) < 0 && errno != EEXIST)
			die(SEATS);
		int folder = open(SEATS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (folder < 0 && errno == ENOENT)
			continue;
		if (folder < 0 || flock(folder, LOCK_EX) < 0 || fstat(folder, &ours) < 0)
			die(SEATS);
		if (stat(SEATS, &there) == 0 && there.st_ino == ours.st_ino)
			return folder;
		close(folder);
	}
}

static unsigned terminal_in(int folder, const char *machine) {
	unsigned terminal = 0;
	int descriptor = openat(folder, machine, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "r");
	if (file && fscanf(file, "%u", &terminal) != 1)
		terminal = 0;
	if (file)
		fclose(file);
	return terminal < LAST_TERMINAL ? terminal : 0;
}

/* How many seats there are, and the terminal that one of them remembers. */
static int others(int folder, unsigned *terminal) {
	int count = 0, again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	for (struct dirent *entry; list && (entry = readdir(list));) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (*terminal == 0)
			*terminal = terminal_in(folder, entry->d_name);
	}
	if (list)
		closedir(list);
	return count;
}

/* udevd says of every device once more what it knows, so that each relay looks at whose it is now. */
static void look_again(void) {
	DIR *list = opendir("/sys/class/input");
	for (struct dirent *entry; list && (entry = readdir(list));) {
		char path[512], phys[LINE];
		if (strncmp(entry->d_name, "event", 5) != 0 || strncmp(of_device(entry->d_name, "phys", phys), "nestbox/", 8) == 0)
			continue;
		snprintf(path, sizeof path, "/sys/class/input/%s/uevent", entry->d_name);
		int file = open(path, O_WRONLY | O_CLOEXEC);
		if (file < 0)
			continue; /* it has just gone */
		if (write(file, "change", 6) < 0)
			fprintf(stderr, "nestbox-native: %s: %s; relays look at it when it comes again, going on\n", path, strerror(errno));
		close(file);
	}
	if (list)
		closedir(list);
}

/* The host's own X servers and compositors take every keyboard of their seat, also the mirrors that stand for a seat's: these are of
 * another one for them. Rules for that begin with 72, as those of loginctl(1) do. */
static void rules_path(char *path, size_t size, const char *machine) {
	snprintf(path, size, "/run/udev/rules.d/72-nestbox-%s.rules", machine);
}

static void reload_rules(void) {
	struct stat ours, theirs;
	DIR *processes = stat("/proc/self/ns/pid", &ours) < 0 ? NULL : opendir("/proc");
	for (struct dirent *process; processes && (process = readdir(processes));) {
		char path[300], line[LINE];
		pid_t pid = atoi(process->d_name);
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		if (pid <= 0 || strcmp(line_in(path, line), "systemd-udevd") != 0)
			continue;
		snprintf(path, sizeof path, "/proc/%d/ns/pid", pid);
		if (stat(path, &theirs) == 0 && theirs.st_ino == ours.st_ino)
			kill(pid, SIGHUP); /* systemd-udevd.service(8) */
	}
	if (processes)
		closedir(processes);
}

static void write_rules(const char *machine) {
	char path[512];
	if (access("/run/udev/data", F_OK) < 0)
		return; /* nobody looks */
	mkdir("/run/udev/rules.d", 0755);
	rules_path(path, sizeof path, machine);
	FILE *file = fopen(path, "we");
	if (!file || fprintf(file, "SUBSYSTEM==\"input\", ATTRS{phys}==\"nestbox/%s/*|nestbox/nestbox-%s/*\", ENV{ID_SEAT}=\"seat-nestbox\"\n", machine, machine) < 0 || fclose(file) != 0)
		die("%s", path);
	reload_rules();
}

static void remove_rules(const char *machine) {
	char path[512];
	rules_path(path, sizeof path, machine);
	if (unlink(path) < 0)
		return;
	rmdir("/run/udev/rules.d"); /* which others may use */
	reload_rules();
}

static int has_terminals(void) {
	return access("/sys/class/tty/tty0/active", F_OK) == 0;
}

/* A terminal that takes no keys as text is brought in the place of one that does. The one that was there, or 0. */
static unsigned park(void) {
	int active = open_active(), parked = open_terminal(LAST_TERMINAL), mode = K_OFF;
	unsigned before = visible_terminal(active);
	if (ioctl(parked, KDSKBMODE, K_OFF) < 0)
		die("the terminal %d", LAST_TERMINAL);
	if (write(parked, notice, sizeof notice - 1) < 0)
		die("the terminal %d", LAST_TERMINAL);
	int shown = open_terminal(before);
	if (ioctl(shown, KDGKBMODE, &mode) < 0)
		die("the visible terminal");
	close(shown);
	if (mode != K_OFF)
		make_visible(LAST_TERMINAL);
	close(parked);
	return mode == K_OFF ? 0 : before;
}

static void unpark(unsigned before) {
	int active = open_active(), parked = open_terminal(LAST_TERMINAL);
	reset_terminal(parked);
	if (visible_terminal(active) == LAST_TERMINAL)
		make_visible(before ? before : 1);
	close(parked);
	forget_terminal(LAST_TERMINAL);
}

static int take(const char *machine, int count, char **selectors) {
	int folder = open_seats();
	int file = openat(folder, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	FILE *seat = file < 0 ? NULL : fdopen(file, "w");
	if (!seat)
		die("%s/%s", SEATS, machine);
	unsigned before = has_terminals() ? park() : 0;
	if (before == LAST_TERMINAL || before == 0) {
		before = 0;
		others(folder, &before);
	}
	fprintf(seat, "%u\n", before);
	for (int i = 0; i < count; i++)
		fprintf(seat, "%s\n", selectors[i]);
	if (fclose(seat) != 0 || renameat(folder, ".new", folder, machine) < 0)
		die("%s/%s", SEATS, machine);
	write_rules(machine);
	look_again();
	return 0;
}

static int give_back(const char *machine) {
	int folder = open_seats();
	unsigned before = terminal_in(folder, machine), any = 0;
	if (unlinkat(folder, machine, 0) < 0 && errno != ENOENT)
		die("%s/%s", SEATS, machine);
	remove_rules(machine);
	if (others(folder, &any) == 0) {
		if (has_terminals())
			unpark(before);
		rmdir(SEATS); /* while it is locked */
	}
	look_again();
	return 0;
}

int seat_job(int argc, char **argv) {
	if (argc < 3 || strchr(argv[2], '/') || *argv[2] == '.' || *argv[2] == '\0')
		die("seat take MACHINE [path:PLACE|id:VENDOR:PRODUCT|name:NAME]... | give-back MACHINE");
	if (strcmp(argv[1], "take") == 0)
		return take(argv[2], argc - 3, argv + 3);
	if (argc == 3 && strcmp(argv[1], "give-back") == 0)
		return give_back(argv[2]);
	die("seat take MACHINE [path:PLACE|id:VENDOR:PRODUCT|name:NAME]... | give-back MACHINE");
}
