/* inside: makes and removes single things in a running container's /dev and /run, from the host's side. Root inside with ids of
 * its own cannot make a device node; the container's /dev is a tmpfs of the host's, in which root of the host can. What is there
 * is the container's to change at any moment: no link is followed, and no mount is entered but the tmpfs itself, so that nothing
 * can lead into a folder that is shared with the host. */
#include "leader.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* New files belong to these ids at once, not after a moment in which somebody else could put another file into their place. */
static void act_as(uid_t uid, gid_t gid) {
	setfsgid(gid);
	setfsuid(uid);
}

/* The folder of `path`, and its name in it; folders on the way are made where `make` says, for root inside. -1: it is not there. */
static int folder_of(const char *path, int make, int devices, const char **name) {
	if ((strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/run/", 5) != 0) || strstr(path, "//") || path[strlen(path) - 1] == '/')
		die("'%s' is not a path below /dev or /run", path);
	char top[5] = "";
	memcpy(top, path, 4);
	int folder = open(top, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs found;
	struct stat root;
	if (folder < 0 || fstatfs(folder, &found) < 0 || fstat(folder, &root) < 0)
		die("%s of the container", top);
	if (found.f_type != TMPFS_MAGIC || (devices && found.f_flags & ST_NODEV)) {
		errno = 0;
		die("%s of the container is not what it was when it started", top);
	}
	const char *at = path + 5;
	for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
		char part[256];
		snprintf(part, sizeof part, "%.*s", (int)(slash - at), at);
		if (make) {
			act_as(root.st_uid, root.st_gid);
			if (mkdirat(folder, part, 0755) < 0 && errno != EEXIST)
				die("%s in the container", path);
		}
		struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
		int next = (int)syscall(SYS_openat2, folder, part, &how, sizeof how);
		if (next < 0 && !make)
			return -1; /* a link or a mount has taken the place of the folder: what we made is not there any more */
		if (next < 0)
			die("%s in the container", path);
		close(folder);
		folder = next;
	}
	*name = at;
	return folder;
}

static mode_t type_of(const char *letter) {
	return *letter == 'b' ? S_IFBLK : S_IFCHR;
}

static void make_node(char **words) {
	const char *name;
	int folder = folder_of(words[0], 1, 1, &name);
	dev_t device = makedev(number(words[2], "a device"), number(words[3], "a device"));
	act_as(number(words[5], "a user"), number(words[6], "a group"));
	if (mknodat(folder, name, type_of(words[1]) | ((mode_t)strtoul(words[4], NULL, 8) & 0777), device) < 0)
		die("%s in the container", words[0]);
}

static void make_file(char **words) {
	const char *name;
	int folder = folder_of(words[0], 1, 0, &name);
	struct stat top;
	if (fstat(folder, &top) < 0)
		die("%s in the container", words[0]);
	act_as(top.st_uid, top.st_gid);
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		die("%s in the container", words[0]);
	int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	char bytes[65536];
	ssize_t length;
	while (file >= 0 && (length = read(0, bytes, sizeof bytes)) > 0)
		if (write(file, bytes, (size_t)length) != length)
			die("%s in the container", words[0]);
	if (file < 0)
		die("%s in the container", words[0]);
}

/* Only what has been made here: another device that has come to the same name stays. Folders that are empty then go too. */
static void remove_one(int count, char **words) {
	const char *name;
	int folder = folder_of(words[0], 0, 0, &name);
	struct stat stat;
	if (folder < 0 || fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (count >= 4 ? (stat.st_mode & S_IFMT) != type_of(words[1]) || stat.st_rdev != makedev(number(words[2], "a device"), number(words[3], "a device")) : !S_ISREG(stat.st_mode))
		return;
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		die("%s in the container", words[0]);
	char above[4096];
	snprintf(above, sizeof above, "%s", words[0]);
	for (char *slash; (slash = strrchr(above, '/')) && slash > above + 4;) {
		*slash = '\0';
		folder = folder_of(above, 0, 0, &name);
		if (folder < 0 || unlinkat(folder, name, AT_REMOVEDIR) < 0)
			return;
	}
}

/* "c 10:232", or nothing. */
static void look(char **words) {
	const char *name;
	int folder = folder_of(words[0], 0, 0, &name);
	struct stat stat;
	if (folder < 0 || fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode))
		printf("%c %u:%u\n", S_ISBLK(stat.st_mode) ? 'b' : 'c', major(stat.st_rdev), minor(stat.st_rdev));
	else
		puts("no device");
}

int inside_job(int argc, char **argv) {
	if (argc < 5)
		die("inside PID STARTED node|file|remove|look PATH ...");
	struct leader leader = open_leader(argv[1], argv[2]);
	join(leader, CLONE_NEWNS);
	/* A change of the file system user must not take the capabilities with it, as with the overlay. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		die("securebits");
	umask(0);
	const char *what = argv[3];
	char **words = argv + 4;
	int count = argc - 4;
	if (strcmp(what, "node") == 0 && count == 7)
		make_node(words);
	else if (strcmp(what, "file") == 0 && count == 1)
		make_file(words);
	else if (strcmp(what, "remove") == 0)
		remove_one(count, words);
	else if (strcmp(what, "look") == 0)
		look(words);
	else
		die("inside %s: not so many words", what);
	return 0;
}
