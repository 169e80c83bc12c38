/* seal: one line that another tree, or the same tree changed, does not have: how many files there are, and a sum over each one's path, kind, mode,
 * owner, size, time of change and what it leads to. Contents are not read: who writes to a file changes its time, and what a disk loses is fsck's
 * business. It keeps mistakes apart and no attackers: the trees are root's alone. No mount is entered. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#define DEEPEST 2000 /* one descriptor a level */
#define MOST_THREADS 4 /* the kernel's own locks leave nothing to more of them */

/* Of one thread. */
static _Thread_local uint64_t sum, files;

/* Folders that whichever thread has nothing to do looks into. */
static struct {
	struct folder {
		int file, depth;
		uint64_t path;
	} waiting[64];
	int count, busy;
	dev_t device;
	uint64_t sum, files;
	pthread_mutex_t lock;
	pthread_cond_t changed;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static int leave_to_others(struct folder folder) {
	pthread_mutex_lock(&all.lock);
	int is_left = all.count < (int)(sizeof all.waiting / sizeof *all.waiting);
	if (is_left) {
		all.waiting[all.count++] = folder;
		pthread_cond_signal(&all.changed);
	}
	pthread_mutex_unlock(&all.lock);
	return is_left;
}

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

static void add_folder(struct folder above) {
	DIR *folder = fdopendir(above.file);
	if (!folder || above.depth > DEEPEST)
		die("a folder that is too deep");
	for (struct dirent *entry; errno = 0, (entry = readdir(folder));) {
		struct stat stat;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(above.file, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
			die("%s", entry->d_name);
		struct folder below = { .depth = above.depth + 1, .path = add_file(above.path, above.file, entry->d_name, &stat) };
		if (!S_ISDIR(stat.st_mode) || stat.st_dev != all.device)
			continue;
		below.file = openat(above.file, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below.file < 0)
			die("%s", entry->d_name);
		if (!leave_to_others(below))
			add_folder(below);
	}
	if (errno)
		die("a folder");
	closedir(folder);
}

static void *add_folders(void *nothing) {
	pthread_mutex_lock(&all.lock);
	for (;;) {
		while (all.count == 0 && all.busy > 0)
			pthread_cond_wait(&all.changed, &all.lock);
		if (all.count == 0)
			break;
		struct folder next = all.waiting[--all.count];
		all.busy++;
		pthread_mutex_unlock(&all.lock);
		add_folder(next);
		pthread_mutex_lock(&all.lock);
		all.busy--;
	}
	all.sum += sum;
	all.files += files;
	pthread_cond_broadcast(&all.changed); /* nobody has anything left */
	pthread_mutex_unlock(&all.lock);
	return nothing;
}

int seal_job(int argc, char **argv) {
	struct stat stat;
	int file = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, count = 0;
	pthread_t threads[MOST_THREADS - 1];
	if (argc != 2)
		return 2;
	if (file < 0 || fstat(file, &stat) < 0)
		die("%s", argv[1]);
	all.device = stat.st_dev;
	leave_to_others((struct folder){ .file = file, .path = add_file(FNV1A_BEGIN, file, "", &stat) });
	int most = other_processors();
	while (count < most && count < MOST_THREADS - 1 && pthread_create(&threads[count], NULL, add_folders, NULL) == 0)
		count++;
	add_folders(NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("1 %llu %016llx\n", (unsigned long long)all.files, (unsigned long long)all.sum);
	return 0;
}
