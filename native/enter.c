/* enter: a program in a running container, as if the container had started it itself. It is in the container's control groups
 * before it is anywhere else inside, so that device rights and limits hold from its first moment; it has no capability, no limit
 * and no system call that the container's own programs lack; and it gets nothing of the host but the three descriptors of the
 * one who asked. All of that is done in this process, which nobody inside can see or trace, as it does not join their process
 * namespace; its child is born there, and is by then no more than any other program of the container's. */
#include "leader.h"
#include "person.h"
#include "terminal.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* What /proc/PID/status says of the leader: proc_pid_status(5). */
struct bounds {
	unsigned long long capabilities;
	int no_new_privileges, filtered;
};

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

static void set_capabilities(unsigned long long held, int only_inheritable) {
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		die("capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].inheritable = 0;
		if (only_inheritable)
			continue;
		data[i].permitted &= (uint32_t)(held >> (32 * i));
		data[i].effective = data[i].permitted;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		die("capabilities");
}

/* The user as it is inside, within the bounds of the container. The capabilities that it needs for its filter alone, if for
 * that, are gone with exec: capabilities(7). */
static void become(const struct person *person, struct bounds bounds) {
	/* Else the keys of the person at the host came in. It is one of the calls that nspawn's filter forbids. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	umask(022);
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(bounds.capabilities >> i & 1) && prctl(PR_CAPBSET_DROP, i) < 0)
			die("capability %d", i);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		die("ambient capabilities");
	gid_t group = person->groups[0];
	if (setgroups(person->count, person->groups) < 0 || setresgid(group, group, group) < 0)
		die("group %u does not exist inside", group);
	set_capabilities(0, 1);
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresuid(person->uid, person->uid, person->uid) < 0)
		die("user %u does not exist inside", person->uid);
	if (bounds.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	set_capabilities(person->uid == 0 ? bounds.capabilities : bounds.no_new_privileges ? 0 : 1ULL << CAP_SYS_ADMIN, 0);
}

/* Whether a device opens, for `nestbox why`: for each way one line of words, with what is there as it is seen inside. */
static const char *error_name(int error) {
	const char *name = strerrorname_np(error);
	return error == 0 ? "OK" : name ? name : "EIO";
}

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

/* With `login` the name begins with a hyphen, as login(1) has it. */
static _Noreturn void execute(char **argv, const char *shell, int login) {
	char name[4200];
	char *words[] = { name, NULL };
	if (login) {
		const char *base = strrchr(shell, '/');
		snprintf(name, sizeof name, "-%s", base ? base + 1 : shell);
		execv(shell, words);
		fprintf(stderr, "%s: %s\n", shell, strerror(errno));
	} else {
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	}
	_exit(errno == ENOENT ? 127 : 126); /* as env(1) does */
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x10 /* <linux/memfd.h>, Linux 6.3 */
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Our child is seen inside before it becomes the program, and with it /proc/PID/exe: root inside with the host's ids could
 * keep that open and overwrite our file on the host later (as in CVE-2019-5736). So this runs from a copy that nobody can change. */
static void run_from_copy(int argc, char **argv) {
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat stat;
	if (self < 0 || fstat(self, &stat) < 0)
		die("/proc/self/exe");
	if (fcntl(self, F_GET_SEALS) == SEALS) {
		close(self);
		return;
	}
	int copy = memfd_create("nestbox-native", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("nestbox-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t at = 0;
	while (copy >= 0 && at < stat.st_size && sendfile(copy, self, &at, (size_t)(stat.st_size - at)) > 0)
		;
	if (copy < 0 || at < stat.st_size || fcntl(copy, F_ADD_SEALS, SEALS) < 0)
		die("a copy of this program in memory");
	char *words[argc + 2];
	words[0] = "nestbox-native";
	memcpy(words + 1, argv, ((size_t)argc + 1) * sizeof *argv);
	fexecve(copy, words, environ);
	die("a copy of this program in memory");
}

int enter_job(int argc, char **argv) {
	const char *user = "root", *directory = NULL, *device = NULL;
	int terminal = 0, login = 0, i = 3;
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
	if (!device && !login && i + 1 >= argc)
		die("enter needs -- PROGRAM");

	die_with(parent);
	struct bounds bounds = bounds_of(leader);
	struct filters filters = { 0, NULL };
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

	become(&person, bounds);
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
	if (device)
		return try_to_open(device);
	execute(program, shell, login);
}
