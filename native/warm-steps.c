/* The steps of a run without Node, each as src/steps/ has it: whether it is done, the doing, and the way back. Paths are root's alone. */
#include "warm.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

struct words counted(const struct words *words, int *i) {
	if (*i >= words->count)
		return (struct words){ 0, words->at + words->count };
	int count = atoi(words->at[*i]);
	struct words list = { count, words->at + *i + 1 };
	*i += 1 + count;
	return list;
}

/* What programs of the host are given, never the caller's own. */
static const char *const clean[] = { CLEAN_PATH, "LANG=C.UTF-8", NULL };

int environment_of(struct words more, int has_terminal, char **environment) {
	const char *term = has_terminal ? getenv("TERM") : NULL;
	int count = 0;
	for (; clean[count]; count++)
		environment[count] = (char *)clean[count];
	if (term && *term && asprintf(&environment[count], "TERM=%s", term) > 0)
		count++;
	memcpy(environment + count, more.at, (size_t)more.count * sizeof *environment);
	return count + more.count;
}

static void hush(void) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
}

static int end_of(pid_t pid) {
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int in_child(int (*job)(int argc, char **argv), int argc, char **argv) {
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1); /* it must not mount anything after a kill of ours has been taken back */
		hush(); /* what fails is done again by Node, which says so better */
		environ = (char **)clean;
		_exit(job(argc, argv));
	}
	return end_of(pid);
}

int run_program(char **argv, const char *input) {
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], input, strlen(input)) < 0)
		return -1; /* it is far less than a pipe holds */
	close(ends[1]);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		sigset_t none;
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1); /* nor make a link or a table */
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		hush();
		dup2(ends[0], 0);
		execve(argv[0], argv, (char **)clean);
		_exit(127);
	}
	close(ends[0]);
	return end_of(pid);
}

static int is_folder(const char *path) {
	struct stat stat_;
	return lstat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

/* An owner is two words, empty where it stays root's. */
static int own(const char *path, char **owner, const char *mode) {
	return (*owner[0] && lchown(path, (uid_t)strtoul(owner[0], NULL, 10), (gid_t)strtoul(owner[1], NULL, 10)) < 0) || chmod(path, (mode_t)strtoul(mode, NULL, 8)) < 0 ? -1 : 0;
}

static int set(const char *path, const char *value) {
	int file = open(path, O_WRONLY | O_CLOEXEC);
	int done = file >= 0 && write(file, value, strlen(value)) == (ssize_t)strlen(value);
	if (file >= 0)
		close(file);
	return done ? 0 : -1;
}

/* All of the lines are in the file, and no others. */
static int has_lines(const char *path, char **lines, int count) {
	char line[512];
	int found = 0;
	FILE *file = fopen(path, "re");
	while (file && found >= 0 && fgets(line, sizeof line, file)) {
		int i = 0;
		line[strcspn(line, "\n")] = '\0';
		while (i < count && strcmp(lines[i], line) != 0)
			i++;
		found = i < count ? found + 1 : -1;
	}
	if (file)
		fclose(file);
	return found == count;
}

static int mkdir_do(const struct words *step) {
	char **at = step->at;
	if (mkdir(at[1], 0700) < 0)
		return errno == EEXIST && is_folder(at[1]) ? 0 : -1; /* another run has made it meanwhile */
	return own(at[1], at + 3, at[2]);
}

/* In a folder that is root's alone: nobody sees it half written. */
static int write_do(const struct words *step) {
	char **at = step->at;
	int file = open(at[1], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t length = (ssize_t)strlen(at[5]);
	int done = file >= 0 && write(file, at[5], (size_t)length) == length;
	if (file >= 0)
		close(file);
	return done ? own(at[1], at + 3, at[2]) : -1;
}

static int symlink_do(const struct words *step) { return symlink(step->at[2], step->at[1]); }

static int overlay_do(const struct words *step) {
	return in_child(overlay_job, step->count, step->at) == 0 ? 0 : -1;
}

static int bind_do(const struct words *step) {
	return in_child(bind_job, step->count, step->at) == 0 ? 0 : -1;
}

static int ipc_do(const struct words *step) {
	return in_child(ipc_job, step->count, step->at) == 0 ? 0 : -1;
}

static int tmpfs_do(const struct words *step) {
	unsigned long flags = MS_NOSUID | (strcmp(step->at[2], "devices") == 0 ? MS_NOEXEC : MS_NODEV);
	return mount("nestbox", step->at[1], "tmpfs", flags, step->at[3]);
}

static int node_do(const struct words *step) {
	char **at = step->at;
	dev_t numbers = makedev((unsigned)atoi(at[3]), (unsigned)atoi(at[4]));
	/* With no rights at all until it has its owner. */
	return mknod(at[1], *at[2] == 'b' ? S_IFBLK : S_IFCHR, numbers) < 0 ? -1 : own(at[1], at + 6, at[5]);
}

static int fifo_do(const struct words *step) {
	return mkfifo(step->at[1], 0600) < 0 ? -1 : chmod(step->at[1], 0644);
}

static int cgroup_do(const struct words *step) {
	int i = 1;
	struct words folders = counted(step, &i), settings = counted(step, &i);
	for (int k = 0; k < folders.count; k++)
		if ((mkdir(folders.at[k], 0755) < 0 && errno != EEXIST) || chmod(folders.at[k], 0755) < 0)
			return -1;
	for (int k = 0; k + 1 < settings.count; k += 2)
		if (set(settings.at[k], settings.at[k + 1]) < 0)
			return -1;
	return i >= step->count || has_lines(step->at[i], step->at + i + 1, step->count - i - 1) ? 0 : -1;
}

static int remove_path(const char *path) {
	struct stat stat_;
	if (lstat(path, &stat_) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISDIR(stat_.st_mode))
		return unlink(path);
	return rmdir(path) == 0 || errno == ENOTEMPTY ? 0 : -1; /* what has come into it is somebody else's too */
}

static int remove_back(const struct words *step) { return remove_path(step->at[1]); }
static int copy_cookie_back(const struct words *step) { return remove_path(step->at[3]); }
static int cookie_back(const struct words *step) {
	int first = remove_path(step->at[2]);
	return remove_path(step->at[5]) < 0 ? -1 : first;
}

static int unmount(const char *path) {
	if (umount2(path, UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
		return 0; /* the latter: nothing is mounted there */
	return errno == EBUSY ? umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) : -1;
}

static int at_first(const struct words *step) { return unmount(step->at[1]); }
static int at_second(const struct words *step) { return unmount(step->at[2]); }

static int cgroup_back(const struct words *step) {
	int i = 1;
	return remove_groups(counted(step, &i));
}

/* A unit that devices were given to while it ran has files that systemd has read: Node knows what to do. */
static int stop_unit(char *unit, char *systemctl) {
	char path[512];
	snprintf(path, sizeof path, "/run/systemd/system/%s.d", unit);
	if (is_folder(path))
		return -1;
	run_program((char *[]){ systemctl, "stop", unit, NULL }, ""); /* one that is not there any more is stopped */
	return 0;
}

static int container_back(const struct words *step) {
	int i = 1, result;
	struct words groups = counted(step, &i);
	result = *step->at[i] ? stop_unit(step->at[i], step->at[i + 1]) : empty_groups(groups);
	i += 4;
	counted(step, &i);
	i += 2;
	counted(step, &i);
	counted(step, &i);
	struct words paths = counted(step, &i);
	for (int k = 0; k < paths.count; k++)
		if (unmount(paths.at[k]) < 0 || leftover(paths.at[k]) < 0)
			result = -1;
	return result;
}

static int is_mounted(const char *path) {
	struct stat own_, above;
	char folder[4096];
	snprintf(folder, sizeof folder, "%s/..", path);
	return lstat(path, &own_) == 0 && S_ISDIR(own_.st_mode) && stat(folder, &above) == 0 && own_.st_dev != above.st_dev;
}

static const struct {
	const char *kind;
	int (*take)(const struct words *step);
	int (*start)(struct warm *warm, const struct words *step); /* in its place, where it is a program */
	int (*back)(const struct words *step);
} kinds[] = {
	{ "mkdir", mkdir_do, NULL, remove_back },
	{ "write", write_do, NULL, remove_back },
	{ "symlink", symlink_do, NULL, remove_back },
	{ "overlay", overlay_do, NULL, at_first },
	{ "bind", bind_do, NULL, at_second },
	{ "tmpfs", tmpfs_do, NULL, at_first },
	{ "ipc", ipc_do, NULL, at_first },
	{ "node", node_do, NULL, remove_back },
	{ "cgroup", cgroup_do, NULL, cgroup_back },
	{ "fifo", fifo_do, NULL, remove_back },
	{ "link", link_do, NULL, link_back },
	{ "cookie", cookie_do, NULL, cookie_back },
	{ "copy-cookie", copy_cookie_do, NULL, copy_cookie_back },
	{ "authorize", authorize_do, NULL, authorize_back },
	{ "service", NULL, service_do, service_back },
	{ "container", NULL, contain, container_back },
};

static int kind_of(const struct words *words) {
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (words->count > 0 && strcmp(words->at[0], kinds[i].kind) == 0)
			return (int)i;
	return -1;
}

int take_step(struct warm *warm, struct step *step) {
	int kind = kind_of(&step->words);
	if (kind < 0)
		return -1;
	if (strcmp(step->words.at[0], "mkdir") == 0 && is_folder(step->words.at[1]))
		return 0;
	/* In folders of this run nothing can be mounted yet; if something is, Node tells whose. */
	if ((strcmp(step->words.at[0], "overlay") == 0 || strcmp(step->words.at[0], "tmpfs") == 0) && is_mounted(step->words.at[1]))
		return -1;
	size_t length = strlen(step->line);
	if (warm->journal < 0 && (warm->journal = open(warm->journal_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
		return -1;
	if (length > 0 && write(warm->journal, step->line, length) != (ssize_t)length)
		return -1;
	step->journalled = 1;
	return kinds[kind].take ? kinds[kind].take(&step->words) : kinds[kind].start(warm, &step->words);
}

int take_back(const struct step *step) {
	return step->journalled ? kinds[kind_of(&step->words)].back(&step->words) : 0;
}
