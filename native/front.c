/* nestbox: what people call. Node takes longer to load than all that is to be done to start a machine whose units are in place
 * already, so that this is done here: `nestbox start NAME` is what systemd does when the host comes up, if nothing of what the
 * units were made from has changed since. So are runs (warm.c) and `nestbox list` (list.c), as far as they are as usual. Everything
 * else, and a start that fails, is the program's: dist/nestbox.cjs. */
#include "native.h"
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STORE "/var/lib/nestbox/services"

/* As src/host/stamp.ts writes it: a file a line, INODE SIZE SECONDS.NANOSECONDS PATH, with the time of change. */
static int is_unchanged(char *line) {
	unsigned long long inode, size, seconds, nanoseconds;
	int at = 0;
	struct stat now;
	line[strcspn(line, "\n")] = '\0';
	return sscanf(line, "%llu %llu %llu.%llu %n", &inode, &size, &seconds, &nanoseconds, &at) == 4 && at > 0 && stat(line + at, &now) == 0
	       && now.st_ino == inode && (unsigned long long)now.st_size == size
	       && (unsigned long long)now.st_ctim.tv_sec == seconds && (unsigned long long)now.st_ctim.tv_nsec == nanoseconds;
}

static int all_unchanged(const char *machine) {
	char path[PATH_MAX], line[PATH_MAX + 128];
	int lines = 0, unchanged = 1;
	snprintf(path, sizeof path, STORE "/%s/stamp", machine);
	FILE *stamp = fopen(path, "re");
	for (; stamp && unchanged && fgets(line, sizeof line, stamp); lines++)
		unchanged = is_unchanged(line);
	if (stamp)
		fclose(stamp);
	return lines > 0 && unchanged;
}

/* A machine's name, as src/schema.ts has it; the name of a file has a dot or a slash in it. */
static int is_name(const char *word) {
	return *word >= 'a' && *word <= 'z' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' && strlen(word) < 64;
}

static int start(const char *machine) {
	char unit[128], path[PATH_MAX];
	struct stat stat_;
	snprintf(path, sizeof path, "/run/nestbox/%s", machine);
	if (stat(path, &stat_) == 0 || !all_unchanged(machine)) /* the former: another nestbox has it */
		return -1;
	/* Which unit it is, its drop-in says: src/units/files.ts. */
	snprintf(path, sizeof path, "/etc/systemd/system/lxc@%s.service.d/nestbox.conf", machine);
	snprintf(unit, sizeof unit, access(path, F_OK) == 0 ? "lxc@%s.service" : "systemd-nspawn@%s.service", machine);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, 2); /* why it fails, the program tells better */
		execl("/usr/bin/systemctl", "systemctl", "start", unit, (char *)NULL);
		_exit(127);
	}
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* Of `run NAME [-- PROGRAM...]`, and what an exported launcher says: `exec --start NAME -- PROGRAM...`, where the name stands. 0: it is neither. */
static int names_run(int argc, char **argv) {
	int name = argc > 2 && strcmp(argv[1], "run") == 0 ? 2 : argc > 5 && strcmp(argv[1], "exec") == 0 && strcmp(argv[2], "--start") == 0 ? 3 : 0;
	int has_program = name && argc > name + 2 && strcmp(argv[name + 1], "--") == 0;
	return name && is_name(argv[name]) && (has_program || (name == 2 && argc == 3)) ? name : 0;
}

/* Becomes the program itself, with these words. */
_Noreturn void become_node(int argc, char **argv) {
	char self[PATH_MAX], program[PATH_MAX + 16], *words[argc + 3];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	if (length < 0)
		die("/proc/self/exe");
	self[length] = '\0';
	snprintf(program, sizeof program, "%s/nestbox.cjs", dirname(self));
	words[0] = "env", words[1] = "node", words[2] = program;
	for (int i = 1; i <= argc; i++)
		words[i + 2] = argv[i]; /* the last is the NULL at its end */
	execv("/usr/bin/env", words);
	die("/usr/bin/env");
}

/* As far as the machine does not run. -1: it is for Node. */
static int run(int argc, char **argv) {
	int name = names_run(argc, argv), left = 0, again;
	if (!name)
		return -1;
	int status = warm(argv[name], argv + name + 2, argc > name + 2 ? argc - name - 2 : 0, &left);
	if (!left)
		return status;
	pid_t pid = fork();
	if (pid == 0)
		become_node(3, (char *[]){ argv[0], "clean", argv[name], NULL });
	if (pid < 0 || waitpid(pid, &again, 0) != pid || !WIFEXITED(again) || WEXITSTATUS(again) != 0)
		return 1; /* it has said what is left */
	return status;
}

/* A machine that is installed, which root alone can run. */
static int is_for_root(int argc, char **argv) {
	char path[PATH_MAX];
	int name = names_run(argc, argv);
	snprintf(path, sizeof path, "/etc/nestbox/%s.toml", name ? argv[name] : "");
	return name && access(path, R_OK) == 0;
}

/* What a nestbox that asked for root has kept of the person's session: readKept() of src/elevation.ts. How many words; -1: what only Node can tell. */
static int take_kept(int argc, char **argv) {
	int at = 1;
	for (; at + 1 < argc && strcmp(argv[at], "--keep") == 0; at += 2) {
		char *value = strchr(argv[at + 1], '=');
		if (!value)
			return -1;
		if (strncmp(argv[at + 1], "PWD=", 4) == 0 && chdir(value + 1) < 0)
			return -1;
		for (const char *const *kept = kept_variables; *kept; kept++)
			if (strlen(*kept) == (size_t)(value - argv[at + 1]) && strncmp(*kept, argv[at + 1], strlen(*kept)) == 0)
				setenv(*kept, value + 1, 1);
	}
	return at - 1;
}

int front(int argc, char **argv) {
	if (argc == 3 && strcmp(argv[1], "start") == 0 && is_name(argv[2]) && geteuid() == 0 && start(argv[2]) == 0)
		return 0;
	if (list(argc, argv) == 0)
		return 0;
	if (getuid() != 0 && is_for_root(argc, argv))
		elevate(argc, argv);
	int kept = getuid() == 0 && geteuid() == 0 ? take_kept(argc, argv) : -1;
	if (kept >= 0) {
		int status = run(argc - kept, argv + kept);
		if (status >= 0)
			return status;
	}
	become_node(argc, argv);
}
