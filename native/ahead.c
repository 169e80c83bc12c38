/* ahead: while mmdebstrap and dpkg work on one package, the other processors unpack what comes later, each package once, into memory that goes with
 * the mount namespace. dpkg-deb is this program then, which lies there as well, first in $PATH outside and inside the root; it hands out what is
 * unpacked, and runs the real one for all else. A package comes into apt's folder when apt has looked at its sum, and is known by its inode, size and time. */
#include "native.h"
#include "person.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ARCHIVES "/var/cache/apt/archives"
#define AHEAD "/var/cache/apt/ahead"
#define MOST (256LL << 20) /* bytes that wait to be taken */
#define MOST_WORKERS 3

/* The file for what is in a package: it is whole when nobody has it locked and there is something in it. */
static int tar_of(const char *folder, int package, int flags) {
	struct stat stat;
	char path[PATH_MAX + 80];
	if (fstat(package, &stat) < 0 || !S_ISREG(stat.st_mode))
		return -1;
	snprintf(path, sizeof path, "%s/%llu-%lld-%lld.tar", folder, (unsigned long long)stat.st_ino, (long long)stat.st_size, (long long)stat.st_mtime);
	return open(path, flags | O_CLOEXEC, 0600);
}

static long long size_of(int file) {
	struct stat stat;
	return fstat(file, &stat) < 0 ? 0 : stat.st_size;
}

static void run_own(char **argv) {
	char own[PATH_MAX];
	if (!find_own("dpkg-deb", AHEAD "/", own, sizeof own))
		die("dpkg-deb");
	execv(own, argv);
	die("%s", own);
}

/* The file is ours, and empty. */
static void unpack(int package, int tar) {
	int status;
	pid_t child = fork();
	if (child == 0) {
		dup2(package, 0); /* whichever file bears the name by now */
		dup2(tar, 1);
		run_own((char *[]){ "dpkg-deb", "--fsys-tarfile", "/proc/self/fd/0", NULL });
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
		(void)!ftruncate(tar, 0); /* such as a full disk; the real one says what it is */
}

static _Noreturn void work(const char *folder, const char *archives) {
	char events[4096];
	int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	inotify_add_watch(changes, archives, IN_MOVED_TO);
	for (;;) {
		long long waiting = 0;
		struct dirent *entry;
		struct stat stat;
		int is_done = 0;
		DIR *names = opendir(folder);
		while (names && (entry = readdir(names)))
			waiting += fstatat(dirfd(names), entry->d_name, &stat, 0) == 0 ? stat.st_size : 0;
		closedir(names);
		names = opendir(archives);
		while (names && waiting < MOST && !is_done && (entry = readdir(names))) {
			const char *end = strrchr(entry->d_name, '.');
			int package = end && strcmp(end, ".deb") == 0 ? openat(dirfd(names), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
			int tar = package < 0 ? -1 : tar_of(folder, package, O_RDWR | O_CREAT | O_EXCL);
			if (tar >= 0 && flock(tar, LOCK_EX | LOCK_NB) == 0 && size_of(tar) == 0) {
				unpack(package, tar);
				is_done = 1;
			}
			if (tar >= 0)
				close(tar);
			if (package >= 0)
				close(package);
		}
		closedir(names);
		if (!is_done) {
			poll(&(struct pollfd){ changes, POLLIN, 0 }, 1, 200);
			while (read(changes, events, sizeof events) > 0)
				continue;
		}
	}
}

int dpkg_deb(int argc, char **argv) {
	const char *started = (const char *)getauxval(AT_EXECFN), *slash = started ? strrchr(started, '/') : NULL;
	char folder[PATH_MAX];
	int package = argc == 3 && slash && strcmp(argv[1], "--fsys-tarfile") == 0 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	if (package < 0)
		run_own(argv);
	snprintf(folder, sizeof folder, "%.*s", (int)(slash - started), started);
	/* What mmdebstrap unpacks will be unpacked once more by dpkg, within the root. */
	int is_first = strcmp(folder, AHEAD) != 0, tar = tar_of(folder, package, O_RDWR | (is_first ? O_CREAT : 0));
	if (tar < 0 || flock(tar, LOCK_EX) < 0)
		run_own(argv);
	if (is_first && size_of(tar) == 0)
		unpack(package, tar);
	long long size = size_of(tar);
	if (size == 0)
		run_own(argv);
	for (off_t at = 0; at < size;)
		if (sendfile(1, tar, &at, (size_t)(size - at)) < 0)
			die("%s", argv[2]);
	return is_first || ftruncate(tar, 0) == 0 ? 0 : 1;
}

int ahead_job(int argc, char **argv) {
	char folder[PATH_MAX], archives[PATH_MAX], program[PATH_MAX + 16], path[2 * PATH_MAX];
	if (argc < 4 || strcmp(argv[2], "--") != 0)
		return 2;
	snprintf(folder, sizeof folder, "%s" AHEAD, argv[1]);
	snprintf(archives, sizeof archives, "%s" ARCHIVES, argv[1]);
	snprintf(program, sizeof program, "%s/dpkg-deb", folder);
	int workers = other_processors();
	/* Where one of these cannot be it only takes longer. */
	if (mkdir(folder, 0755) == 0 && mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=10%") == 0 && copy_self(program)) {
		for (int i = 0; i < workers && i < MOST_WORKERS; i++)
			if (fork() == 0) {
				int null = open("/dev/null", O_RDWR);
				for (int j = 0; j < 3; j++)
					dup2(null, j);
				work(folder, archives);
			}
		snprintf(path, sizeof path, "%s:" AHEAD ":%s", folder, getenv("PATH"));
		setenv("PATH", path, 1);
	}
	execv(argv[3], argv + 3);
	die("%s", argv[3]);
}
