/* launch: becomes a program of the host side of a machine. It joins its control groups first, so that nothing it
 * starts can be outside them: emptying the groups then ends it all, however nestbox itself ended. */
#include "held.h"
#include "native.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *value(int argc, char **argv, int *i) {
	if (*i + 1 >= argc)
		die("%s needs a value", argv[*i]);
	return argv[++*i];
}

/* A new group of cpuset has no processors and no memory, and takes nobody: Documentation/admin-guide/cgroup-v1/cpusets.rst. It gets those of the one above. */
static int inherit_processors(const char *group) {
	static const char *names[] = { "cpuset.cpus", "cpuset.mems" };
	char above[4096];
	int done = 1;
	snprintf(above, sizeof above, "%s", group);
	char *slash = strrchr(above, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	for (int i = 0; i < 2; i++) {
		char path[4200], text[4096];
		for (int again = 0; again < 2; again++) {
			snprintf(path, sizeof path, "%s/%s", above, names[i]);
			int file = open(path, O_RDONLY | O_CLOEXEC);
			ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
			if (file >= 0)
				close(file);
			if (length < 0)
				return 0; /* the top has been reached: it is no group of cpuset */
			if (length <= 1) {
				if (again || !inherit_processors(above))
					return 0;
				continue;
			}
			snprintf(path, sizeof path, "%s/%s", group, names[i]);
			file = open(path, O_WRONLY | O_CLOEXEC);
			done &= file >= 0 && write(file, text, (size_t)length) == length;
			if (file >= 0)
				close(file);
			break;
		}
	}
	return done;
}

void join_group(const char *group) {
	char path[4096];
	snprintf(path, sizeof path, "%s/cgroup.procs", group);
	int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || (write(file, "0", 1) < 0 && (errno != ENOSPC || !inherit_processors(group) || write(file, "0", 1) < 0)))
		die("%s", path);
	close(file);
}

void join_ipc(const char *path) {
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || setns(file, CLONE_NEWIPC) < 0)
		die("%s", path);
	close(file);
}

/* Rights that a program which is executed keeps only where they are ambient. */
static void keep(uint64_t rights) {
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = data[i].inheritable = (uint32_t)(rights >> 32 * i);
	if (syscall(SYS_capset, &header, data) < 0)
		die("capabilities");
	for (int right = 0; right < 64; right++)
		if (rights >> right & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, right, 0, 0) < 0)
			die("capabilities");
}

/* UID:GID[,GID]... ; the first group is the primary one, and no other groups of the caller are kept. */
static void become(char *who, uint64_t rights) {
	char *groups = strchr(who, ':');
	if (!groups)
		die("'%s' is not UID:GID", who);
	*groups++ = '\0';
	gid_t list[64];
	size_t count = 0;
	for (char *group = strtok(groups, ","); group && count < 64; group = strtok(NULL, ","))
		list[count++] = number(group, "a group");
	if (count == 0)
		die("a user needs a group");
	uid_t uid = number(who, "a user");
	if (setgroups(count, list) < 0 || setresgid(list[0], list[0], list[0]) < 0 || (rights && prctl(PR_SET_KEEPCAPS, 1) < 0) || setresuid(uid, uid, uid) < 0)
		die("user %s", who);
	if (rights)
		keep(rights);
}

int launch_job(int argc, char **argv) {
	char *user = NULL;
	const char *filters = NULL;
	uint64_t rights = 0;
	pid_t parent = 0;
	int input = -1, output = -1;
	int last = SIGKILL;
	int i = 1;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--cgroup") == 0)
			join_group(value(argc, argv, &i));
		else if (strcmp(argv[i], "--user") == 0)
			user = (char *)value(argc, argv, &i);
		else if (strcmp(argv[i], "--ipc") == 0) {
			join_ipc(value(argc, argv, &i));
			/* Segments of those inside have their ids. It counts in the IPC namespace that the process is in, and only CAP_SYS_ADMIN would let it into another one. */
			rights |= 1ULL << CAP_IPC_OWNER;
		} else if (strcmp(argv[i], "--opens-memory") == 0)
			rights |= 1ULL << CAP_CHECKPOINT_RESTORE; /* by which a process opens what it has mapped: proc_pid_map_files(5) */
		else if (strcmp(argv[i], "--input") == 0) {
			const char *path = value(argc, argv, &i);
			if ((input = open(path, O_RDONLY | O_CLOEXEC)) < 0)
				die("%s", path);
		} else if (strcmp(argv[i], "--output") == 0) {
			const char *path = value(argc, argv, &i);
			uid_t uid = number(value(argc, argv, &i), "a user");
			output = hold_output(path, uid, number(value(argc, argv, &i), "a group"));
		} else if (strcmp(argv[i], "--die-with") == 0)
			parent = (pid_t)number(value(argc, argv, &i), "--die-with");
		else if (strcmp(argv[i], "--gently") == 0)
			last = SIGTERM; /* what it has started does not die with it: it must see to that itself */
		else if (strcmp(argv[i], "--own-mounts") == 0) {
			if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
				die("no mount namespace can be made");
		} else if (strcmp(argv[i], "--no-sync") == 0)
			ignore_sync();
		else if (strcmp(argv[i], "--filters") == 0)
			filters = value(argc, argv, &i);
		else if (strcmp(argv[i], "--bind") == 0) {
			const char *from = value(argc, argv, &i), *to = value(argc, argv, &i);
			if (mount(from, to, NULL, MS_BIND, NULL) < 0)
				die("bind of '%s' to '%s'", from, to);
		} else
			die("unknown option '%s'", argv[i]);
	}
	if (i + 1 >= argc)
		die("launch needs -- PROGRAM");
	if (input >= 0 && dup2(input, 0) < 0)
		die("standard input");
	if (output >= 0 && dup2(output, 1) < 0)
		die("standard output");
	int program = open(argv[i + 1], O_PATH | O_CLOEXEC);
	if (user)
		become(user, rights);
	/* After the change of user, which clears it (prctl(2)); the parent may be gone already. */
	if (parent && (prctl(PR_SET_PDEATHSIG, last) < 0 || getppid() != parent))
		return 1;
	if (filters && load_filters(filters, argv + i + 1) && setenv("SYSTEMD_SECCOMP", "0", 1) < 0)
		die("systemd-nspawn");
	execv(argv[i + 1], argv + i + 1);
	if (errno == EACCES) /* our own program, where it is in a home that the user cannot look into */
		syscall(SYS_execveat, program, "", argv + i + 1, environ, AT_EMPTY_PATH);
	die("%s", argv[i + 1]);
}

/* wait PIPE -- PROGRAM: inside a container, becomes the program once somebody outside has opened the pipe for writing
 * and closed it again: until then its network is not there. Who writes to it says that there will be none. */
int wait_job(int argc, char **argv) {
	if (argc < 4 || strcmp(argv[2], "--") != 0)
		die("wait PIPE -- PROGRAM");
	int pipe = open(argv[1], O_RDONLY | O_CLOEXEC);
	char byte;
	ssize_t length = pipe < 0 ? -1 : read(pipe, &byte, 1);
	if (length < 0)
		die("%s", argv[1]);
	errno = 0;
	if (length > 0)
		die("the network of this machine could not be set up");
	close(pipe);
	execvp(argv[3], argv + 3);
	fprintf(stderr, "%s: %s\n", argv[3], strerror(errno));
	return errno == ENOENT ? 127 : 126; /* as env(1) does */
}

/* gate make|open|refuse PIPE: the other end of the pipe of wait, for systemd's units. open waits until somebody inside waits. refuse is what ExecStopPost= says:
 * to who waits inside, or does so in the next ten seconds, if the unit has failed (systemd.exec(5) has the variables). */
int gate_job(int argc, char **argv) {
	if (argc == 3 && strcmp(argv[1], "make") == 0) {
		umask(0);
		if (mkfifo(argv[2], 0644) < 0 && errno != EEXIST)
			die("%s", argv[2]);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "open") == 0) {
		if (open(argv[2], O_WRONLY | O_CLOEXEC) < 0)
			die("%s", argv[2]);
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "refuse") != 0)
		die("gate make|open|refuse PIPE");
	const char *result = getenv("SERVICE_RESULT"), *status = getenv("EXIT_STATUS");
	int is_stopped = !result || strcmp(result, "success") == 0 || (strcmp(result, "signal") == 0 && status && strcmp(status, "TERM") == 0);
	for (long long limit = now() + 10000; !is_stopped && now() < limit; usleep(50000)) {
		int pipe = open(argv[2], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (pipe >= 0)
			return write(pipe, "", 1) < 0;
		if (errno == ENOENT)
			break;
	}
	return 0;
}
