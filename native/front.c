/* nestbox: what people call. Node takes longer to load than all that is to be done to start a machine whose units are in place
 * already, so that this is done here: `nestbox start NAME` is what systemd does when the host comes up, if nothing of what the
 * units were made from has changed since. Everything else, and a start that fails, is the program's: dist/nestbox.cjs. */
#include "native.h"
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STORE "/var/lib/nestbox/services"

/* As src/host/stamp.ts writes it: a file a line, INODE SIZE SECONDS.NANOSECONDS PATH. */
static int is_unchanged(char *line) {
	unsigned long long inode, size, seconds, nanoseconds;
	int at = 0;
	struct stat now;
	line[strcspn(line, "\n")] = '\0';
	return sscanf(line, "%llu %llu %llu.%llu %n", &inode, &size, &seconds, &nanoseconds, &at) == 4 && at > 0 && stat(line + at, &now) == 0
	       && now.st_ino == inode && (unsigned long long)now.st_size == size
	       && (unsigned long long)now.st_mtim.tv_sec == seconds && (unsigned long long)now.st_mtim.tv_nsec == nanoseconds;
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

int front(int argc, char **argv) {
	if (argc == 3 && strcmp(argv[1], "start") == 0 && is_name(argv[2]) && geteuid() == 0 && start(argv[2]) == 0)
		return 0;
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
