/* enter: a program in a running container, as if the container had started it itself. It is in the container's control groups
 * before it is anywhere else inside, so that device rights and limits hold from its first moment; it has no capability, no limit
 * and no system call that the container's own programs lack; and it gets nothing of the host but the three descriptors of the
 * one who asked. All of that is done in this process, which nobody inside can see or trace, as it does not join their process
 * namespace; its child is born there, and is by then no more than any other program of the container's. */
#include "leader.h"
#include "person.h"
#include "terminal.h"
#include "verify.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* What /proc/PID/status says of the leader. */
static struct bounds bounds_of(struct leader leader) {
	struct bounds bounds = { 0, 0, 0 };
	char line[512];
	FILE *file = fdopen(open_of(leader, "status", O_RDONLY), "r");
	int found = 0;
	while (file && fgets(line, sizeof line, file))
		found += sscanf(line, "CapBnd: %llx", &bounds.capabilities) == 1 || sscanf(line, "NoNewPrivs: %d", &bounds.no_new_privileges) == 1
		         || sscanf(line, "Seccomp: %d", &bounds.filtered) == 1;
	if (found != 3)
		die("what the container may do cannot be read");
	fclose(file);
	return bounds;
}

/* A limit of the host's that is wider must not come in with us. */
static void take_limits(struct leader leader) {
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;
		if (prlimit(leader.pid, (enum __rlimit_resource)i, NULL, &limit) == 0 && setrlimit((enum __rlimit_resource)i, &limit) < 0)
			die("limit %d of the container", i);
	}
}

/* Whether a device opens, for `nestbox why`: for each way one line of words, with what is there as it is seen inside. */
static int try_to_open(const char *path) {
	struct stat stat;
	struct statvfs mount;
	if (lstat(path, &stat) == 0)
		printf("node %c %u %u %o %u %u %s\n", S_ISCHR(stat.st_mode) ? 'c' : S_ISBLK(stat.st_mode) ? 'b' : '-', major(stat.st_rdev), minor(stat.st_rdev), stat.st_mode & 07777,
		       stat.st_uid, stat.st_gid, statvfs(path, &mount) == 0 && mount.f_flag & ST_NODEV ? "nodev" : "dev");
	const int ways[] = { O_RDONLY, O_RDWR };
	for (int i = 0; i < 2; i++) {
		int file = open(path, ways[i] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		printf("%s %s\n", i == 0 ? "read" : "write", error_name(file < 0 ? errno : 0));
		if (file >= 0)
			close(file);
	}
	fflush(stdout);
	return 0;
}

static void die_with(pid_t parent) {
	if (parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		exit(1);
}

int enter_job(int argc, char **argv) {
	const char *user = "root", *directory = NULL, *device = NULL;
	int terminal = 0, login = 0, tries = 0, i = 3;
	pid_t parent = 0;
	if (argc < 4)
		die("enter PID STARTED ... -- PROGRAM");
	run_from_copy(argc, argv);
	struct leader leader = open_leader(argv[1], argv[2]);
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--terminal") == 0)
			terminal = 1;
		else if (strcmp(argv[i], "--login") == 0)
			login = 1;
		else if (strcmp(argv[i], "--try") == 0)
			tries = 1;
		else if (i + 1 >= argc)
			die("%s needs a value", argv[i]);
		else if (strcmp(argv[i], "--cgroup") == 0)
			join_group(argv[++i]);
		else if (strcmp(argv[i], "--user") == 0)
			user = argv[++i];
		else if (strcmp(argv[i], "--directory") == 0)
			directory = argv[++i];
		else if (strcmp(argv[i], "--open") == 0)
			device = argv[++i];
		else if (strcmp(argv[i], "--die-with") == 0)
			parent = (pid_t)number(argv[++i], "--die-with");
		else
			die("unknown option '%s'", argv[i]);
	}
	char **program = argv + i + 1;
	if (!device && !login && !tries && i + 1 >= argc)
		die("enter needs -- PROGRAM");

	die_with(parent);
	struct bounds bounds = bounds_of(leader);
	struct filters filters = { 0, NULL, NULL };
	if (bounds.filtered == 2) /* SECCOMP_MODE_FILTER */
		filters = filters_of(leader);
	take_limits(leader);
	join(leader, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | (is_elsewhere(leader, "user") ? CLONE_NEWUSER : 0));
	die_with(parent); /* the change of user namespace has cleared it, as that of the user will: prctl(2) */
	if (close_range(3, ~0U, 0) < 0)
		die("open descriptors");

	struct person person = find_person(user);
	setenv("HOME", person.home, 1);
	setenv("USER", person.name, 1);
	setenv("LOGNAME", person.name, 1);
	const char *shell = *person.shell ? person.shell : "/bin/sh";
	if (login)
		setenv("SHELL", shell, 1);

	become_person(&person, bounds);
	die_with(parent);
	int alive[2];
	if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0)
		die("pipe");
	open_streams(terminal);
	install(filters);
	pid_t child = fork();
	if (child < 0)
		die("a process inside");
	if (child > 0) {
		close(alive[0]);
		return carry(child);
	}
	/* We are not seen from in here: that we have died before this took hold is told by the pipe. */
	close(alive[1]);
	char byte;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || read(alive[0], &byte, 1) == 0)
		_exit(1);
	take_terminal();
	if (chdir(directory ? directory : person.home) < 0 && chdir("/") < 0)
		die("/");
	if (device || tries)
		forget_capabilities(&person); /* no exec takes away what was kept for the filters */
	if (tries)
		return try_all();
	if (device)
		return try_to_open(device);
	execute(program, shell, login);
}
