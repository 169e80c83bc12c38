/* verify: which files and device nodes open, can be written, and are the host's own. */
#include "verify.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static int flags_of(const char *way) {
	return (strcmp(way, "r") == 0 ? O_RDONLY : strcmp(way, "w") == 0 ? O_WRONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
}

/* A node of that number, c:10:229; anything where none is named. What is no device, or another one, is not what was asked about. */
const char *try_open(char **words) {
	struct stat stat;
	char id[64] = "";
	int file = open(words[0], flags_of(words[1]));
	if (file >= 0 && fstat(file, &stat) == 0 && (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)))
		snprintf(id, sizeof id, "%c:%u:%u", S_ISCHR(stat.st_mode) ? 'c' : 'b', major(stat.st_rdev), minor(stat.st_rdev));
	if (file >= 0 && *words[2] && strcmp(id, words[2]) != 0) {
		close(file);
		return "other";
	}
	/* What covers it may be opened by root, and is empty. */
	char byte;
	if (file >= 0 && strcmp(words[0], "/proc/kcore") == 0 && read(file, &byte, 1) <= 0) {
		close(file);
		return "empty";
	}
	return opened(file);
}

/* A node of root's own, wherever one opens: nspawn's /tmp and the root itself may be mounted without devices. */
const char *try_node(char **words) {
	const char *folders[] = { "/dev", "/tmp", "/run", "/" };
	const char *best = "ENOENT";
	dev_t device = makedev(number(words[1], "a device"), number(words[2], "a device"));
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/.nestbox-verify-%d", folders[i], getpid());
		int made = mknod(path, (*words[0] == 'b' ? S_IFBLK : S_IFCHR) | 0600, device);
		const char *how = result(made);
		if (made == 0) {
			how = opened(open(path, flags_of("r")));
			if (strcmp(how, "EACCES") == 0)
				how = opened(open(path, flags_of("w")));
			unlink(path);
			/* Anything else is from the driver: it was reached, whatever the next folder keeps from it. */
			if (strcmp(how, "EPERM") != 0 && strcmp(how, "EACCES") != 0)
				return how;
		}
		best = how;
	}
	return best;
}

/* The value that a setting of the kernel has is written into it again. */
const char *try_setting(char **words) {
	char value[4096];
	int file = open(words[0], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : pread(file, value, sizeof value, 0);
	const char *how = result(length < 0 || (length > 0 && pwrite(file, value, (size_t)length, 0) < 0) ? -1 : 0);
	if (file >= 0)
		close(file);
	return how;
}

/* Whether a file can be changed, or one made in a folder: without a name, so that nobody ever sees it (O_TMPFILE in open(2)). */
const char *try_write(char **words) {
	struct stat stat_;
	if (stat(words[0], &stat_) < 0)
		return result(-1);
	if (S_ISSOCK(stat_.st_mode) || S_ISFIFO(stat_.st_mode))
		return "nothing"; /* no mount keeps anybody from these */
	if (!S_ISDIR(stat_.st_mode))
		return opened(open(words[0], flags_of("w")));
	int file = open(words[0], O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return result(access(words[0], W_OK));
	return opened(file);
}

/* Whether anybody could write there: no mount that is read-only keeps them from it, whatever the owners say. */
const char *try_writable(char **words) {
	struct statvfs mount;
	if (statvfs(words[0], &mount) < 0)
		return result(-1);
	return mount.f_flag & ST_RDONLY && strcmp(try_write(words), "OK") != 0 ? "EROFS" : "OK";
}

/* Whether a path leads to that file of the host. */
const char *try_same(char **words) {
	struct stat stat_;
	if (stat(words[0], &stat_) < 0)
		return result(-1);
	char id[64];
	snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)stat_.st_dev, (unsigned long long)stat_.st_ino);
	return strcmp(id, words[1]) == 0 ? "OK" : "other";
}

/* Every device node below /dev, but for terminals, in one word: c:1:3:/dev/null,... */
static void list_nodes(const char *folder, int depth) {
	DIR *all = depth > 6 ? NULL : opendir(folder);
	for (struct dirent *one; all && (one = readdir(all));) {
		char path[4096];
		struct stat stat;
		if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 || snprintf(path, sizeof path, "%s/%s", folder, one->d_name) >= (int)sizeof path || lstat(path, &stat) < 0)
			continue;
		if (S_ISDIR(stat.st_mode) && strcmp(path, "/dev/pts") != 0)
			list_nodes(path, depth + 1);
		else if ((S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)) && strpbrk(path, " ,\n") == NULL)
			printf("%c:%u:%u:%s,", S_ISCHR(stat.st_mode) ? 'c' : 'b', major(stat.st_rdev), minor(stat.st_rdev), path);
	}
	if (all)
		closedir(all);
}

const char *try_nodes(char **words) {
	list_nodes(words[0], 0);
	return "";
}
