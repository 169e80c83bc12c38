/* Emulators for the programs of other processors: entries of binfmt_misc, which all of the host shares. An entry of nestbox's is there
 * as long as a machine has it: each has a file in FOLDER/ENTRY/, and what has no file in there any more is withdrawn. Both are gone
 * after a boot. What goes wrong is told on standard error, the first line what it is, the others what to do. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define FOLDER "/run/nestbox-binfmt"
#define MOUNTED FOLDER "/mounted" /* nestbox has mounted it */
#define AGAIN "-again"
#define KERNEL "/proc/sys/fs/binfmt_misc"

/* One at a time changes anything here: by a lock on the folder, which must not have been removed when it is ours: another may have its inode's number by then. */
static int locked(void) {
	for (;;) {
		if (mkdir(FOLDER, 0711) < 0 && errno != EEXIST)
			die("%s", FOLDER);
		int folder = open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct stat ours;
		if (folder >= 0 && flock(folder, LOCK_EX) == 0 && fstat(folder, &ours) == 0 && ours.st_nlink > 0)
			return folder;
		if (folder < 0 && errno != ENOENT)
			die("%s", FOLDER);
		if (folder >= 0)
			close(folder);
	}
}

static int put(const char *path, const char *text) {
	int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	ssize_t length = (ssize_t)strlen(text), written = write(file, text, (size_t)length);
	int error = errno;
	close(file);
	errno = error;
	return written == length ? 0 : -1;
}

/* How many names are in a folder, `except` apart. */
static int count(const char *path, const char *except) {
	DIR *folder = opendir(path);
	int found = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		found += entry->d_name[0] != '.' && strcmp(entry->d_name, except) != 0;
	if (folder)
		closedir(folder);
	return found;
}

/* What no machine has any more: the entry, and when it was the last, the mount. */
static void withdraw_unused(const char *name) {
	char uses[PATH_MAX], entry[PATH_MAX];
	snprintf(uses, sizeof uses, FOLDER "/%s", name);
	snprintf(entry, sizeof entry, KERNEL "/%s", name);
	if (count(uses, "") > 0)
		return;
	if (put(entry, "-1") < 0 && errno != ENOENT)
		die("cannot withdraw %s", entry);
	snprintf(entry, sizeof entry, KERNEL "/%s" AGAIN, name);
	put(entry, "-1"); // of one that was cut off
	char line[PATH_MAX + 8];
	snprintf(line, sizeof line, "%s/.line", uses);
	unlink(line);
	if (rmdir(uses) < 0 && errno != ENOENT)
		die("%s", uses);
	if (count(FOLDER, "mounted") > 0)
		return;
	if (access(MOUNTED, F_OK) == 0) {
		// Whoever has made an entry of their own meanwhile needs it: it stays then.
		if (access(KERNEL "/register", F_OK) == 0 && count(KERNEL, "") <= 2 && umount(KERNEL) < 0 && errno != EBUSY)
			die("cannot unmount %s", KERNEL);
		unlink(MOUNTED);
	}
	rmdir(FOLDER);
}

static int mount_it(void) {
	if (access(KERNEL "/register", F_OK) == 0)
		return 0;
	close(open(MOUNTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	if (mount("binfmt_misc", KERNEL, "binfmt_misc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
		return 0;
	int error = errno;
	unlink(MOUNTED);
	say("binfmt_misc cannot be mounted on " KERNEL ": %s\n%s", strerror(error),
		error == ENODEV ? "the kernel has it not, or not this module: modprobe binfmt_misc" : "in a user namespace that is possible from Linux 6.7 on");
	return -1;
}

/* Makes an entry, or makes it again where it is there: whatever somebody has made since would be tried before it. Programs of machines that run
 * find one at every moment, under another name meanwhile. */
static int make(const char *name, const char *line) {
	char entry[PATH_MAX], again[PATH_MAX], other[2048];
	snprintf(entry, sizeof entry, KERNEL "/%s", name);
	if (access(entry, F_OK) < 0)
		return put(KERNEL "/register", line);
	snprintf(again, sizeof again, KERNEL "/%s" AGAIN, name);
	snprintf(other, sizeof other, ":%s" AGAIN "%s", name, line + 1 + strlen(name));
	put(again, "-1"); // of one that was cut off here
	if (put(KERNEL "/register", other) < 0 || put(entry, "-1") < 0)
		return -1;
	int failed = put(KERNEL "/register", line), error = errno;
	if (!failed)
		put(again, "-1");
	errno = error;
	return failed;
}

/* The line of an entry is kept beside its uses: NAME-setuid is the one that counts of two for the same processor, and is made again after NAME. */
static void keep_first(const char *name) {
	char setuid[NAME_MAX], kept[PATH_MAX], line[2048];
	snprintf(setuid, sizeof setuid, "%s-setuid", name);
	snprintf(kept, sizeof kept, FOLDER "/%s/.line", setuid);
	int file = open(kept, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? 0 : read(file, line, sizeof line - 1);
	if (file >= 0)
		close(file);
	if (length <= 0)
		return;
	line[length] = '\0';
	if (make(setuid, line) < 0)
		die("cannot make the entry %s again", setuid);
}

static void keep_line(const char *name, const char *line) {
	char kept[PATH_MAX];
	snprintf(kept, sizeof kept, FOLDER "/%s/.line", name);
	int file = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || write(file, line, strlen(line)) != (ssize_t)strlen(line))
		die("%s", kept);
	close(file);
}

static int register_it(const char *name, const char *line) {
	if (make(name, line) == 0) {
		keep_line(name, line);
		keep_first(name);
		return 0;
	}
	int error = errno;
	const char *interpreter = strchr(line, '/');
	say("the kernel does not take the entry %s for %.*s: %s\n%s", name, (int)strcspn(interpreter ? interpreter : "", ":"), interpreter ? interpreter : "", strerror(error),
		error == ENOENT ? "apt install --reinstall qemu-user-static" : error == EPERM || error == EACCES ? "root of this host alone may do that" : "its kernel log says why: dmesg");
	return -1;
}

int binfmt_job(int argc, char **argv) {
	int registers = argc == 5 && strcmp(argv[1], "register") == 0;
	if (!registers && !(argc == 4 && strcmp(argv[1], "withdraw") == 0))
		die("binfmt takes: register ENTRY MACHINE LINE | withdraw ENTRY MACHINE");
	const char *name = argv[2], *machine = argv[3];
	// What is not nestbox's is never touched.
	size_t length = strlen(name);
	if (strncmp(name, "nestbox-", 8) != 0 || length > 100 || strchr(name, '/') || strchr(machine, '/') || machine[0] == '.' || (registers && (argv[4][0] != ':' || strncmp(argv[4] + 1, name, length) != 0 || argv[4][1 + length] != ':')))
		die("'%s' is no entry of nestbox's", name);
	int lock = locked();
	char uses[PATH_MAX], use[PATH_MAX];
	snprintf(uses, sizeof uses, FOLDER "/%s", name);
	snprintf(use, sizeof use, FOLDER "/%s/%s", name, machine);
	int failed = 0;
	if (registers) {
		if (mkdir(uses, 0711) < 0 && errno != EEXIST)
			die("%s", uses);
		int file = open(use, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (file < 0)
			die("%s", use);
		close(file);
		failed = mount_it() < 0 || register_it(name, argv[4]) < 0;
	}
	if (!registers || failed) {
		if (unlink(use) < 0 && errno != ENOENT)
			die("%s", use);
		withdraw_unused(name);
	}
	close(lock);
	return failed;
}
