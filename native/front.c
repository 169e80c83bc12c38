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

/* Waits for the unit of the network, which waits for the machine: settled() of src/steps/units.ts. False: it has failed. */
static int has_settled(const char *unit) {
	char line[256], text[256];
	snprintf(line, sizeof line, "exec /usr/bin/systemctl show --property=ActiveState --property=Job %s", unit); /* a name has nothing that the shell knows */
	for (;; usleep(20000)) {
		FILE *said = popen(line, "re");
		text[said ? fread(text, 1, sizeof text - 1, said) : 0] = '\0';
		if (said)
			pclose(said);
		const char *job = strstr(text, "Job=");
		if (!(job && job[4] >= '1' && job[4] <= '9') && !strstr(text, "activating"))
			return strstr(text, "=active\n") || strstr(text, "=inactive\n");
	}
}

static int run_systemctl(const char *verb, const char *unit) {
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, 2); /* why it fails, the program tells better */
		execl("/usr/bin/systemctl", "systemctl", verb, unit, (char *)NULL);
		_exit(127);
	}
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int start(const char *machine) {
	char unit[128], network[128], path[PATH_MAX];
	struct stat stat_;
	snprintf(path, sizeof path, "/run/nestbox/%s", machine);
	if (stat(path, &stat_) == 0 || !all_unchanged(machine)) /* the former: another nestbox has it */
		return -1;
	/* Which unit it is, its drop-in says: src/units/files.ts. */
	snprintf(path, sizeof path, "/etc/systemd/system/lxc@%s.service.d/nestbox.conf", machine);
	snprintf(unit, sizeof unit, access(path, F_OK) == 0 ? "lxc@%s.service" : "systemd-nspawn@%s.service", machine);
	snprintf(network, sizeof network, "nestbox-%s.network.service", machine);
	snprintf(path, sizeof path, "/etc/systemd/system/%s", network);
	int is_linked = access(path, F_OK) == 0;
	if (!run_systemctl("start", unit))
		return -1;
	if (!is_linked || has_settled(network))
		return 0;
	run_systemctl("stop", unit); /* the program starts it again, and tells why it fails */
	return -1;
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
static int run_warm(const char *self, const char *machine, const char *file, char **program, int count) {
	int left = 0, again;
	int status = warm(machine, file, program, count, &left);
	if (!left)
		return status;
	pid_t pid = fork();
	if (pid == 0)
		become_node(3, (char *[]){ (char *)self, "clean", (char *)machine, NULL });
	if (pid < 0 || waitpid(pid, &again, 0) != pid || !WIFEXITED(again) || WEXITSTATUS(again) != 0)
		return 1; /* it has said what is left */
	return status;
}

/* A path as src/meet.ts writes it down: from / on. 0: it is one that Node has to make plain. */
static int absolute(const char *word, char path[PATH_MAX]) {
	int length;
	if (strncmp(word, "./", 2) == 0)
		word += 2;
	if (*word != '/' && !getcwd(path, PATH_MAX))
		return 0;
	length = *word == '/' ? 0 : (int)strlen(path);
	return snprintf(path + length, (size_t)(PATH_MAX - length), length > 0 ? "/%s" : "%s", word) < PATH_MAX - length && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../");
}

/* `run FILE [-- PROGRAM...]` of a file that has its machine's name, as most do. */
static int run_file(int argc, char **argv) {
	char path[PATH_MAX], name[PATH_MAX];
	if (argc < 3 || strcmp(argv[1], "run") != 0 || (argc > 3 && (argc < 5 || strcmp(argv[3], "--") != 0)) || !absolute(argv[2], path))
		return -1;
	const char *base = strrchr(path, '/') + 1;
	size_t length = strlen(base);
	if (length <= 5 || strcmp(base + length - 5, ".toml") != 0)
		return -1;
	snprintf(name, sizeof name, "%.*s", (int)length - 5, base);
	return is_name(name) ? run_warm(argv[0], name, path, argv + 4, argc > 4 ? argc - 4 : 0) : -1;
}

static int run(int argc, char **argv) {
	int name = names_run(argc, argv);
	if (!name)
		return run_file(argc, argv);
	return run_warm(argv[0], argv[name], NULL, argv + name + 2, argc > name + 2 ? argc - name - 2 : 0);
}

/* `--met NAME COUNT PROGRAM... WORD...`: Node has met the machine and written its run down (src/host/hand-over.ts), and has become this: as it was called, with these words, if it has to do it after all. */
static int run_met(int argc, char **argv) {
	int count = argc > 3 ? atoi(argv[3]) : -1, own = 4 + count;
	if (count < 0 || own >= argc)
		return 1;
	int status = run_warm(argv[0], argv[2], NULL, argv + 4, count);
	if (status >= 0)
		return status;
	setenv("NESTBOX_BY_NODE", "1", 1);
	argv[own - 1] = argv[0];
	become_node(argc - own + 1, argv + own - 1);
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
	if (argc > 2 && strcmp(argv[1], "--met") == 0 && geteuid() == 0)
		return run_met(argc, argv);
	if (argc == 3 && strcmp(argv[1], "start") == 0 && is_name(argv[2]) && geteuid() == 0 && start(argv[2]) == 0)
		return 0;
	if (list(argc, argv) == 0)
		return 0;
	if (getuid() != 0 && is_for_root(argc, argv))
		elevate(argc, argv);
	int kept = getuid() == 0 && geteuid() == 0 ? take_kept(argc, argv) : -1;
	if (kept >= 0) {
		int status = run(argc - kept, argv + kept);
		if (status < 0 && argc - kept == 3 && strcmp(argv[kept + 1], "create") == 0)
			status = create(argv[kept + 2]);
		if (status >= 0)
			return status;
	}
	become_node(argc, argv);
}
