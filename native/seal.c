/* seal: one line that another tree, or the same tree changed, does not have: how many files there are, and a sum over each one's path, kind, mode,
 * owner, size, time of change and what it leads to. Contents are not read: who writes to a file changes its time, and what a disk loses is fsck's
 * business. It keeps mistakes apart and no attackers: the trees are root's alone. No mount is entered. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DEEPEST 2000 /* one descriptor a level */

static uint64_t sum, files;

/* `above` stands for the path of the folder. The order in which a folder lists its files is nobody's to rely on: so each counts by itself. */
static uint64_t add_file(uint64_t above, int folder, const char *name, const struct stat *stat) {
	char to[4096];
	uint64_t path = fnv1a(above ^ 0x2f, name, strlen(name) + 1), hash = path;
	/* A folder's size and count of names say how it is kept, and not what is in it. */
	int is_folder = S_ISDIR(stat->st_mode), is_node = S_ISCHR(stat->st_mode) || S_ISBLK(stat->st_mode);
	uint64_t facts[] = { stat->st_mode, stat->st_uid, stat->st_gid, is_folder ? 0 : stat->st_size, is_folder ? 0 : stat->st_nlink, is_node ? stat->st_rdev : 0, stat->st_mtim.tv_sec, stat->st_mtim.tv_nsec };
	hash = fnv1a(hash, facts, sizeof facts);
	if (S_ISLNK(stat->st_mode)) {
		ssize_t length = readlinkat(folder, name, to, sizeof to);
		if (length < 0)
			die("%s", name);
		hash = fnv1a(hash, to, length);
	}
	sum += hash;
	files++;
	return path;
}

static void add_folder(int file, dev_t device, uint64_t path, int depth) {
	DIR *folder = fdopendir(file);
	if (!folder || depth > DEEPEST)
		die("a folder that is too deep");
	for (struct dirent *entry; errno = 0, (entry = readdir(folder));) {
		struct stat stat;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(file, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
			die("%s", entry->d_name);
		uint64_t own = add_file(path, file, entry->d_name, &stat);
		if (!S_ISDIR(stat.st_mode) || stat.st_dev != device)
			continue;
		int below = openat(file, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			die("%s", entry->d_name);
		add_folder(below, device, own, depth + 1);
	}
	if (errno)
		die("a folder");
	closedir(folder);
}

int seal_job(int argc, char **argv) {
	struct stat stat;
	int file = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (argc != 2)
		return 2;
	if (file < 0 || fstat(file, &stat) < 0)
		die("%s", argv[1]);
	uint64_t path = add_file(FNV1A_BEGIN, file, "", &stat);
	add_folder(file, stat.st_dev, path, 0);
	printf("1 %llu %016llx\n", (unsigned long long)files, (unsigned long long)sum);
	return 0;
}
