/* Programs of the host side in a run without Node: an X server. src/host/processes.ts has the same for runs with it. */
#include "warm.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The words of a step: service NAME READY LOG early|late UID:GID IPC (where the namespace is kept that it runs in, or nothing) opens| INPUT (or nothing) and the lists of groups, words, variables and files that it leaves. */
enum { NAME = 1, READY, LOG, EARLY, USER, IPC, OPENS, INPUT, LISTS };

/* A socket that listens already: who connects waits until the server takes it over (sd_listen_fds(3)), so that nobody has to wait for the server. */
static int listen_at(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		return -1;
	strcpy(address.sun_path, path);
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Who may connect, the key decides. Its rights are there from the beginning: the folder may be somebody else's, who could put a link in the place of the file. */
	mode_t before = umask(0);
	int bound = file >= 0 && bind(file, (struct sockaddr *)&address, sizeof address) == 0;
	umask(before);
	if (bound && listen(file, 128) == 0)
		return file;
	if (file >= 0)
		close(file);
	return -1;
}

static _Noreturn void become_service(const struct words *step, const sigset_t *signals, int socket_, pid_t parent) {
	int i = LISTS, k = 0;
	struct words groups = counted(step, &i), words = counted(step, &i), variables = counted(step, &i);
	char *argv[groups.count * 2 + words.count + 13], *environment[variables.count + 5], number_[16], listens[32], pid[32];
	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	setsid();
	int log = open(step->at[LOG], O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || chdir("/") < 0)
		_exit(1);
	int e = environment_of(variables, 0, environment);
	if (socket_ >= 0) {
		/* The first descriptor that is passed on is number 3. */
		if (socket_ == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(socket_, 3) < 0)
			_exit(1);
		snprintf(listens, sizeof listens, "LISTEN_FDS=1");
		snprintf(pid, sizeof pid, "LISTEN_PID=%d", getpid());
		environment[e++] = listens;
		environment[e++] = pid;
	}
	environment[e] = NULL;
	argv[k++] = "launch";
	for (int n = 0; n < groups.count; n++)
		argv[k++] = "--cgroup", argv[k++] = groups.at[n];
	if (*step->at[IPC])
		argv[k++] = "--ipc", argv[k++] = step->at[IPC];
	if (*step->at[OPENS])
		argv[k++] = "--opens-memory";
	if (*step->at[INPUT])
		argv[k++] = "--input", argv[k++] = step->at[INPUT];
	argv[k++] = "--user", argv[k++] = step->at[USER];
	snprintf(number_, sizeof number_, "%d", parent);
	argv[k++] = "--die-with", argv[k++] = number_, argv[k++] = "--";
	for (int n = 0; n < words.count; n++)
		argv[k++] = words.at[n];
	argv[k] = NULL;
	environ = environment;
	sigprocmask(SIG_SETMASK, signals, NULL);
	_exit(launch_job(k, argv));
}

static pid_t started;

static int takes_connections(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, path);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result = -1;
	if (client >= 0) {
		result = connect(client, (struct sockaddr *)&address, sizeof address);
		close(client);
	}
	return result == 0;
}

static int is_ready_or_over(const char *path) {
	return takes_connections(path) || waitpid(started, NULL, WNOHANG) == started;
}

int service_do(struct warm *warm, const struct words *step) {
	const char *ready = step->at[READY];
	struct stat stat_;
	if (lstat(ready, &stat_) == 0)
		return -1; /* somebody has it: Node says who */
	int socket_ = strcmp(step->at[EARLY], "early") == 0 ? listen_at(ready) : -1;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		become_service(step, warm->signals, socket_, parent);
	if (socket_ >= 0)
		close(socket_);
	if (pid < 0 || socket_ >= 0)
		return pid < 0 ? -1 : 0;
	started = pid;
	return await_change(ready, is_ready_or_over, 20) && kill(pid, 0) == 0 ? 0 : -1;
}

/* Whether somebody uses a file: its listener, who has a lock on it, or the one whose number is in it, as in the lock of an X server (isHeld() of src/host/files.ts). */
static int is_held(const char *path, const struct stat *stat_) {
	char line[512], inode[32], text[64] = "";
	FILE *list = fopen(S_ISSOCK(stat_->st_mode) ? "/proc/net/unix" : "/proc/locks", "re");
	snprintf(inode, sizeof inode, ":%llu ", (unsigned long long)stat_->st_ino);
	int held = !list;
	while (list && !held && fgets(line, sizeof line, list)) {
		line[strcspn(line, "\n")] = '\0';
		const char *last = strrchr(line, ' ');
		held = S_ISSOCK(stat_->st_mode) ? last && strcmp(last + 1, path) == 0 : strstr(line, inode) != NULL;
	}
	if (list)
		fclose(list);
	if (held || S_ISSOCK(stat_->st_mode))
		return held;
	int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (file < 0 || read(file, text, sizeof text - 1) < 0)
		text[0] = '\0';
	if (file >= 0)
		close(file);
	return atoi(text) > 0 && kill(atoi(text), 0) == 0;
}

int leftover(const char *path) {
	struct stat stat_;
	if (lstat(path, &stat_) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (S_ISDIR(stat_.st_mode))
		return rmdir(path) == 0 || errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT || errno == EBUSY ? 0 : -1;
	return is_held(path, &stat_) || unlink(path) == 0 || errno == ENOENT ? 0 : -1;
}

int service_back(const struct words *step) {
	int i = LISTS, result;
	struct words groups = counted(step, &i);
	counted(step, &i);
	counted(step, &i);
	struct words leaves = counted(step, &i);
	result = empty_groups(groups);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		; /* one that is dead and not yet collected would still hold its lock */
	for (int n = 0; n < leaves.count; n++)
		if (leftover(leaves.at[n]) < 0)
			result = -1;
	return result;
}
