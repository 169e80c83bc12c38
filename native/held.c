#include "held.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* path_resolution(7) */
#define MOST_LINKS 40

int hold_root(void) {
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		die("/");
	return root;
}

struct way way_to(int file) {
	struct way way;
	snprintf(way.path, sizeof way.path, "/proc/self/fd/%d", file);
	return way;
}

/* Nobody but root can have put the link into the folder, nor can put another one in its place. Who is not root has no more rights than the link's maker could use. */
static int is_trusted(int folder, const struct stat *link) {
	struct stat above;
	if (geteuid() != 0)
		return 1;
	if (link->st_uid != 0 || fstat(folder, &above) < 0 || above.st_uid != 0)
		return 0;
	return above.st_mode & S_ISVTX || (!(above.st_mode & S_IWOTH) && (!(above.st_mode & S_IWGRP) || above.st_gid == 0));
}

static int give_up(int folder, int error) {
	close(folder);
	errno = error;
	return -1;
}

/* The folder where the path ends, or with `last` the one before: the last name is then there. */
static int walk(int root, const char *path, char last[256]) {
	char rest[PATH_MAX], link[PATH_MAX], part[256];
	int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), links = 0;
	if (at < 0)
		return -1;
	if (strlen(path) >= PATH_MAX)
		return give_up(at, ENAMETOOLONG);
	strcpy(rest, path);
	for (;;) {
		const char *begins = rest + strspn(rest, "/");
		size_t length = strcspn(begins, "/");
		if (length >= sizeof part)
			return give_up(at, ENAMETOOLONG);
		memcpy(part, begins, length);
		part[length] = '\0';
		const char *more = begins + length + strspn(begins + length, "/");
		if (last && !*more) {
			if (length == 0 || strcmp(part, "..") == 0 || strcmp(part, ".") == 0)
				return give_up(at, EISDIR);
			strcpy(last, part);
			return at;
		}
		if (length == 0)
			return at;
		struct stat stat_;
		int next = openat(at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 || fstat(next, &stat_) < 0)
			return give_up(at, errno);
		if (S_ISLNK(stat_.st_mode)) {
			if (!is_trusted(at, &stat_)) {
				errno = 0;
				die("%s: %s is a link that others than root can change: nothing is done by way of it", path, part);
			}
			ssize_t count = readlinkat(next, "", link, sizeof link);
			close(next);
			if (count < 0 || ++links > MOST_LINKS)
				return give_up(at, ELOOP);
			if ((size_t)count + 1 + strlen(more) >= PATH_MAX)
				return give_up(at, ENAMETOOLONG);
			link[count] = '\0';
			memmove(rest + count + 1, more, strlen(more) + 1);
			memcpy(rest, link, (size_t)count);
			rest[count] = '/';
			if (*link == '/') {
				close(at);
				if ((at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
					return -1;
			}
			continue;
		}
		close(at);
		at = next;
		if (*more && !S_ISDIR(stat_.st_mode))
			return give_up(at, ENOTDIR);
		memmove(rest, more, strlen(more) + 1);
	}
}

struct held hold_folder(int root, const char *path) {
	struct held held = { .folder = -1 };
	held.folder = walk(root, path, held.name);
	return held;
}

int hold(int root, const char *path) {
	return walk(root, path, NULL);
}

int hold_output(const char *path, uid_t uid, gid_t gid) {
	int root = hold_root();
	struct held held = hold_folder(root, path);
	struct stat stat_;
	close(root);
	if (held.folder < 0)
		die("%s", path);
	const int how = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int file = openat(held.folder, held.name, how | O_CREAT | O_EXCL, 0644);
	if (file < 0 && errno == EEXIST)
		file = openat(held.folder, held.name, how);
	if (file < 0 || fstat(file, &stat_) < 0)
		die("%s", path);
	close(held.folder);
	if (!S_ISREG(stat_.st_mode) || stat_.st_nlink != 1) {
		errno = 0;
		die("%s is not a file with this one name: it is not written to", path);
	}
	if (ftruncate(file, 0) < 0 || fchown(file, uid, gid) < 0 || fcntl(file, F_SETFL, 0) < 0)
		die("%s", path);
	return file;
}
