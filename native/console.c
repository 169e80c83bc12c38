/* Virtual terminals: ioctl_vt(2) and ioctl_console(2). A machine's own is taken before it starts and given back when it has ended, however that
 * was; and the screen can always be had, also from a machine that hangs. */
#include "console.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum {
	PATIENCE = 2000, /* ms that the one who has the screen gets to let go of it: seatd and X servers take some 50 */
	DRM = 226, /* major number of graphics cards; the nodes that set what is on the screen are the first 64: drm(7) */
	DROP_MASTER = 0x641f, /* DRM_IOCTL_DROP_MASTER in drm/drm.h */
};

int open_terminal(unsigned terminal) {
	char path[32];
	snprintf(path, sizeof path, "/dev/tty%u", terminal);
	int file = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0)
		die("%s", path);
	return file;
}

static unsigned terminal_of(const char *text) {
	uint32_t terminal = number(text, "a terminal");
	if (terminal < 1 || terminal > LAST_TERMINAL)
		die("terminals have the numbers 1 to %d", LAST_TERMINAL);
	return terminal;
}

int open_active(void) {
	int file = open("/sys/class/tty/tty0/active", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		die("this computer has no virtual terminals");
	return file;
}

unsigned visible_terminal(int active) {
	char text[32] = "";
	if (pread(active, text, sizeof text - 1, 0) < 0)
		die("the visible terminal");
	unsigned terminal = 0;
	sscanf(text, "tty%u", &terminal);
	return terminal;
}

static int comes_to_be_visible(int active, unsigned terminal, int patience) {
	for (long long end = now() + patience;;) {
		struct pollfd change = { .fd = active, .events = POLLPRI };
		if (visible_terminal(active) == terminal)
			return 1;
		long long left = end - now();
		if (left <= 0)
			return 0;
		poll(&change, 1, left);
	}
}

void reset_terminal(int terminal) {
	struct vt_mode automatic = { .mode = VT_AUTO };
	char utf8 = '1';
	int setting = open("/sys/module/vt/parameters/default_utf8", O_RDONLY | O_CLOEXEC);
	if (setting >= 0) {
		if (read(setting, &utf8, 1) < 0)
			utf8 = '1';
		close(setting);
	}
	ioctl(terminal, VT_SETMODE, &automatic);
	ioctl(terminal, KDSKBMODE, utf8 == '0' ? K_XLATE : K_UNICODE);
	ioctl(terminal, KDSETMODE, KD_TEXT);
}

static int has_open(DIR *files, dev_t device) {
	struct stat stat_;
	rewinddir(files);
	for (struct dirent *file; (file = readdir(files));)
		if (fstatat(dirfd(files), file->d_name, &stat_, 0) == 0 && S_ISCHR(stat_.st_mode) && stat_.st_rdev == device)
			return 1;
	return 0;
}

/* Whoever is master of a card decides what it shows, and one that hangs does not step down: done in its place, on a copy of its descriptor. Those that
 * have not this terminal draw on other screens. */
static void depose_masters(int terminal) {
	struct stat own;
	DIR *processes = fstat(terminal, &own) < 0 ? NULL : opendir("/proc");
	for (struct dirent *process; processes && (process = readdir(processes));) {
		pid_t pid = atoi(process->d_name);
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/fd", pid);
		DIR *files = pid > 0 && pid != getpid() ? opendir(path) : NULL;
		int pidfd = files && has_open(files, own.st_rdev) ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
		if (pidfd >= 0)
			rewinddir(files);
		for (struct dirent *file; pidfd >= 0 && (file = readdir(files));) {
			struct stat stat_;
			if (fstatat(dirfd(files), file->d_name, &stat_, 0) < 0 || !S_ISCHR(stat_.st_mode) || major(stat_.st_rdev) != DRM || minor(stat_.st_rdev) >= 64)
				continue;
			int copy = syscall(SYS_pidfd_getfd, pidfd, atoi(file->d_name), 0);
			if (copy < 0)
				continue;
			ioctl(copy, DROP_MASTER);
			close(copy);
		}
		if (pidfd >= 0)
			close(pidfd);
		if (files)
			closedir(files);
	}
	if (processes)
		closedir(processes);
}

int make_visible(unsigned terminal) {
	int active = open_active();
	int wanted = open_terminal(terminal);
	if (ioctl(wanted, VT_ACTIVATE, terminal) < 0)
		die("the terminal %u cannot be shown", terminal);
	if (comes_to_be_visible(active, terminal, PATIENCE))
		return 0;
	int before = open_terminal(visible_terminal(active));
	reset_terminal(before);
	depose_masters(before);
	close(before);
	if (ioctl(wanted, VT_ACTIVATE, terminal) < 0 || !comes_to_be_visible(active, terminal, PATIENCE))
		die("the terminal %u does not come to be visible", terminal);
	return 1;
}

/* Where the screen was before: a file with the number of a terminal. */
static unsigned kept(const char *path) {
	unsigned terminal = 0;
	FILE *file = fopen(path, "re");
	if (file && fscanf(file, "%u", &terminal) != 1)
		terminal = 0;
	if (file)
		fclose(file);
	return terminal <= LAST_TERMINAL ? terminal : 0;
}

void forget_terminal(unsigned terminal) {
	int first = open_terminal(1);
	/* The kernel lets go of what was open some time after it was closed. Where it stays, somebody has it open: then it is theirs. */
	for (long long end = now() + PATIENCE / 4; ioctl(first, VT_DISALLOCATE, terminal) < 0 && errno == EBUSY && now() < end;)
		usleep(10000);
	close(first);
}

static int take(unsigned terminal, const char *path) {
	int file = open_terminal(terminal);
	int active = open_active();
	FILE *keeper = fopen(path, "we");
	if (!keeper || fprintf(keeper, "%u\n", visible_terminal(active)) < 0 || fclose(keeper) != 0)
		die("%s", path);
	reset_terminal(file);
	return 0;
}

/* The machine has ended. */
static int give_back(unsigned terminal, const char *path) {
	int file = open_terminal(terminal);
	int active = open_active();
	reset_terminal(file);
	unsigned before = kept(path);
	if (visible_terminal(active) == terminal)
		make_visible(before && before != terminal ? before : 1);
	close(file);
	forget_terminal(terminal);
	unlink(path);
	return 0;
}

/* console take|give-back TERMINAL FILE | show TERMINAL: FILE keeps which terminal was visible before. show says 'taken' where it had to be taken
 * away from somebody who hangs. */
int console_job(int argc, char **argv) {
	if (argc == 4 && strcmp(argv[1], "take") == 0)
		return take(terminal_of(argv[2]), argv[3]);
	if (argc == 4 && strcmp(argv[1], "give-back") == 0)
		return give_back(terminal_of(argv[2]), argv[3]);
	if (argc == 3 && strcmp(argv[1], "show") == 0) {
		if (make_visible(terminal_of(argv[2])))
			puts("taken");
		return 0;
	}
	die("console take|give-back TERMINAL FILE | show TERMINAL");
}
