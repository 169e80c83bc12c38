/* The container of a run without Node, and the signals of the person: src/host/processes.ts has the same for runs with it. */
#include "warm.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
enum { PASSED_ON = sizeof passed_on / sizeof *passed_on };

void hold_signals(sigset_t *before) {
	sigset_t held;
	sigemptyset(&held);
	for (int i = 0; i < PASSED_ON; i++) {
		signal(passed_on[i], SIG_DFL); /* one that is ignored would not be noted */
		sigaddset(&held, passed_on[i]);
	}
	signal(SIGCHLD, SIG_DFL);
	sigaddset(&held, SIGCHLD);
	sigaddset(&held, SIGPIPE); /* who does not read what we say ends nothing */
	sigprocmask(SIG_BLOCK, &held, before);
}

int interrupted(void) {
	sigset_t pending;
	sigpending(&pending);
	for (int i = 0; i < PASSED_ON; i++)
		if (sigismember(&pending, passed_on[i]))
			return passed_on[i];
	return 0;
}

/* What nspawn is started as: one place, whatever it is given besides. It ends with us, and ends what is in the container itself.
 * `ipc`: where the IPC namespace is kept that it is to be in, or ""; `filters`: the folder with the system call filters that it would make, or ""; `environment` has a place for one more. */
static _Noreturn void become_container(const struct warm *warm, struct words groups, const char *ipc, const char *filters, char **argv, char **environment, int variables, pid_t parent) {
	for (int signal_ = 1; signal_ < NSIG; signal_++)
		signal(signal_, SIG_DFL);
	sigprocmask(SIG_SETMASK, warm->signals, NULL);
	for (int i = 0; i < groups.count; i++) {
		/* One level below the rules: root with the host's ids can mount its control group and change it, but not beyond the one above. */
		char inside[4096];
		snprintf(inside, sizeof inside, "%s/inside", groups.at[i]);
		if (mkdir(inside, 0777) < 0 && errno != EEXIST)
			die("%s", inside);
		join_group(inside);
	}
	if (*ipc)
		join_ipc(ipc);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(1);
	if (*filters && load_filters(filters, argv))
		environment[variables++] = "SYSTEMD_SECCOMP=0";
	environment[variables] = NULL;
	execve(argv[0], argv, environment);
	die("%s", argv[0]);
}

/* Whether a process is the first of its process namespace: NSpid in proc(5). */
static int is_first(pid_t pid) {
	char path[64], line[256];
	int first = 0;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, "NSpid:", 6) == 0) {
			const char *last = strrchr(line, '\t');
			first = last && strcmp(last, "\t1\n") == 0;
		}
	if (file)
		fclose(file);
	return first;
}

/* Whether it is in another namespace than we; one that has ended is in none. */
static int is_elsewhere(pid_t pid, const char *kind) {
	char path[64], own[64], its[64];
	snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
	ssize_t length = readlink(path, its, sizeof its);
	snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
	return length > 0 && (readlink(path, own, sizeof own) != length || memcmp(its, own, (size_t)length) != 0);
}

static pid_t find_below(pid_t pid, int (*is_it)(pid_t pid, const char *kind), const char *kind) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	pid_t found = 0;
	for (struct dirent *task; tasks && !found && (task = readdir(tasks));) {
		char children[400];
		int child;
		snprintf(children, sizeof children, "%s/%s/children", path, task->d_name);
		FILE *list = task->d_name[0] == '.' ? NULL : fopen(children, "re");
		while (list && !found && fscanf(list, "%d", &child) == 1)
			found = is_it(child, kind) ? child : find_below(child, is_it, kind);
		if (list)
			fclose(list);
	}
	if (tasks)
		closedir(tasks);
	return found;
}

/* The program inside is no first process of a namespace: that is nspawn's own. */
static int is_program(pid_t pid, const char *kind) {
	return is_elsewhere(pid, kind) && !is_first(pid);
}

pid_t first_below(pid_t pid, const char *kind) {
	return find_below(pid, is_elsewhere, kind);
}

/* A signal of the person's is the program's; the second time it is for nspawn: a program that does not listen can be ended all the same. Where it boots
 * nspawn has it shut down. */
static void pass_on(const struct warm *warm, pid_t container, int signal_) {
	static sigset_t told;
	pid_t program = warm->boots ? 0 : find_below(container, is_program, "pid");
	if (program > 0 && !sigismember(&told, signal_))
		kill(program, signal_);
	else
		kill(container, SIGTERM);
	sigaddset(&told, signal_);
}

int contain(struct warm *warm, const struct words *step) {
	int i = 1, k = 0;
	struct words groups = counted(step, &i);
	i += 2;
	const char *ipc = step->at[i++], *filters = step->at[i++];
	struct words before = counted(step, &i);
	char *console = step->at[i + (isatty(0) && isatty(1) ? 0 : 1)];
	i += 2;
	struct words options = counted(step, &i), more = counted(step, &i);
	counted(step, &i);
	struct words inside = counted(step, &i);
	char *argv[before.count + options.count + warm->program.count + 2], *environment[more.count + 5];
	for (int n = 0; n < before.count; n++)
		argv[k++] = before.at[n];
	if (*console)
		argv[k++] = console;
	for (int n = 0; n < options.count; n++)
		argv[k++] = options.at[n];
	for (int n = 0; !warm->boots && n < warm->program.count; n++)
		argv[k++] = warm->program.at[n];
	argv[k] = NULL;
	int variables = environment_of(more, 1, environment);

	sigset_t awaited;
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGCHLD);
	for (int n = 0; n < PASSED_ON; n++)
		sigaddset(&awaited, passed_on[n]);
	pid_t self = getpid(), container = fork();
	if (container < 0)
		return -1;
	if (container == 0)
		become_container(warm, groups, ipc, filters, argv, environment, variables, self);
	pid_t connecting = inside.count > 0 ? connect_network(inside, container) : 0;
	int status, connected = 0;
	for (;;) {
		if (waitpid(container, &status, WNOHANG) == container)
			break;
		int signal_ = sigwaitinfo(&awaited, NULL);
		if (signal_ > 0 && signal_ != SIGCHLD)
			pass_on(warm, container, signal_);
	}
	if (connecting > 0 && (kill(connecting, SIGKILL) < 0 || waitpid(connecting, &connected, 0) < 0 || (WIFEXITED(connected) && WEXITSTATUS(connected) != 0)))
		return -1;
	warm->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}
