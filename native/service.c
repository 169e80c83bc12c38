/* What the units of a machine that systemd runs need and no program of the host does: see src/units/. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

/* The folder of a path, or the nearest one above that there is. */
static void folder_of(char *path) {
	struct stat stat_;
	do {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path) {
			strcpy(path, "/");
			return;
		}
		*slash = '\0';
	} while (stat(path, &stat_) < 0);
}

/* Waits until `is_there` says so: asked again at each change of the folder, and once a second, as a server may listen some
 * time after its socket has appeared. Without a limit it is systemd's own that ends it. */
int await_change(const char *path, int (*is_there)(const char *path), int seconds) {
	struct timespec began, now;
	clock_gettime(CLOCK_MONOTONIC, &began);
	while (!is_there(path)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (seconds >= 0 && now.tv_sec - began.tv_sec >= seconds)
			return 0;
		char folder[4096];
		snprintf(folder, sizeof folder, "%s", path);
		folder_of(folder);
		int changes = inotify_init1(IN_CLOEXEC);
		if (changes < 0 || inotify_add_watch(changes, folder, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF) < 0)
			die("%s", folder);
		struct pollfd poll_ = { .fd = changes, .events = POLLIN };
		if (!is_there(path))
			poll(&poll_, 1, 1000);
		close(changes);
	}
	return 1;
}

static int takes_connections(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		die("'%s' is too long for a socket", path);
	strcpy(address.sun_path, path);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result = client >= 0 ? connect(client, (struct sockaddr *)&address, sizeof address) : -1;
	if (client >= 0)
		close(client);
	return result == 0;
}

static int is_ready(const char *path) {
	struct stat stat_;
	return stat(path, &stat_) == 0 && (S_ISSOCK(stat_.st_mode) ? takes_connections(path) : stat_.st_size > 0);
}

/* ready PATH: waits for a socket that takes connections, or a file with something in it; or until the service whose it is has ended, whose number systemd says. */
int ready_job(int argc, char **argv) {
	if (argc != 2)
		die("ready PATH");
	const char *service = getenv("MAINPID");
	pid_t pid = service ? atoi(service) : 0;
	while (!await_change(argv[1], is_ready, 1))
		if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
			return 1;
	return 0;
}

/* Whether a process lives that the file is about: its listener, or the one whose number is in it (the lock of an X server). */
static int is_held(const char *path, const struct stat *stat_) {
	if (S_ISSOCK(stat_->st_mode))
		return takes_connections(path);
	char text[64] = "";
	int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (file < 0 || stat_->st_size >= (off_t)sizeof text || read(file, text, sizeof text - 1) < 0)
		text[0] = '\0';
	if (file >= 0)
		close(file);
	pid_t pid = atoi(text);
	return pid > 0 && kill(pid, 0) == 0;
}

/* leftover PATH...: removes files of a program that was killed, and leaves those that a living process holds: the place may
 * have been taken by somebody else meanwhile. */
int leftover_job(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		struct stat stat_;
		if (lstat(argv[i], &stat_) < 0 || S_ISDIR(stat_.st_mode) || is_held(argv[i], &stat_))
			continue;
		if (unlink(argv[i]) < 0 && errno != ENOENT)
			die("%s", argv[i]);
	}
	return 0;
}

/* Where systemd-machined keeps what it knows of a machine; the line LEADER= has its process 1. */
static pid_t leader;
static int is_registered(const char *path) {
	FILE *file = fopen(path, "re");
	char line[512];
	leader = 0;
	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, "LEADER=", 7) == 0)
			leader = atoi(line + 7);
	if (file)
		fclose(file);
	return leader > 0 && kill(leader, 0) == 0;
}

/* in-network MACHINE -- PROGRAM: becomes a program of the host in the network of a machine, once that is there. */
int in_network_job(int argc, char **argv) {
	if (argc < 4 || strcmp(argv[2], "--") != 0)
		die("in-network MACHINE -- PROGRAM");
	char path[4096];
	snprintf(path, sizeof path, "/run/systemd/machines/%s", argv[1]);
	await_change(path, is_registered, -1);
	snprintf(path, sizeof path, "/proc/%d/ns/net", leader);
	int network = open(path, O_RDONLY | O_CLOEXEC);
	if (network < 0 || setns(network, CLONE_NEWNET) < 0)
		die("the network of '%s'", argv[1]);
	execv(argv[3], argv + 3);
	die("%s", argv[3]);
}

static const char *forwarding = "/proc/sys/net/ipv4/ip_forward";

static int set_forwarding(const char *value) {
	int file = open(forwarding, O_WRONLY | O_CLOEXEC);
	int done = file >= 0 && write(file, value, 1) == 1;
	int error = errno;
	if (file >= 0)
		close(file);
	errno = error;
	return done;
}

static int nft(const char *program, const char *words) {
	pid_t pid = fork();
	if (pid == 0) {
		execl(program, program, words, (char *)NULL);
		_exit(127);
	}
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Names of the tables of version 4, and whether one of them is a machine's, or says that forwarding was switched on by nestbox. */
static void tables(const char *program, int *of_machines, int *marked) {
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		execl(program, program, "list tables ip", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	FILE *list = fdopen(ends[0], "r");
	char line[512];
	*of_machines = *marked = 0;
	while (list && fgets(line, sizeof line, list)) {
		line[strcspn(line, "\n")] = '\0';
		*of_machines |= strncmp(line, "table ip nestbox-", 17) == 0;
		*marked |= strcmp(line, "table ip nestbox") == 0;
	}
	fclose(list);
	waitpid(pid, NULL, 0);
}

/* forwarding on|off NFT: whether the host passes packets on is one setting for all. An empty table 'nestbox' says that it was
 * nestbox that has switched it on; it is switched off when no machine is left that needs it. */
int forwarding_job(int argc, char **argv) {
	if (argc != 3)
		die("forwarding on|off NFT");
	if (strcmp(argv[1], "on") == 0) {
		char now = '1';
		int file = open(forwarding, O_RDONLY | O_CLOEXEC);
		if (file < 0 || read(file, &now, 1) != 1)
			die("%s", forwarding);
		close(file);
		if (now != '0')
			return 0;
		if (nft(argv[2], "add table ip nestbox") != 0)
			die("%s", argv[2]);
		if (!set_forwarding("1")) {
			int error = errno;
			nft(argv[2], "delete table ip nestbox");
			errno = error;
			die("%s", forwarding);
		}
		return 0;
	}
	int of_machines, marked;
	tables(argv[2], &of_machines, &marked);
	if (!marked || of_machines)
		return 0;
	if (!set_forwarding("0"))
		die("%s", forwarding);
	nft(argv[2], "add table ip nestbox ; delete table ip nestbox");
	tables(argv[2], &of_machines, &marked);
	if (of_machines) { /* a machine that has started in the meantime still found it on */
		nft(argv[2], "add table ip nestbox");
		set_forwarding("1");
	}
	return 0;
}

static int is_device(const char *path) {
	struct stat stat_;
	return stat(path, &stat_) == 0 && (S_ISCHR(stat_.st_mode) || S_ISBLK(stat_.st_mode));
}

/* node MODE UID:GID FROM PATH [FROM PATH]...: device nodes with the numbers of the host's own, which after a boot may be others.
 * While the host comes up, those may still be to come: udev makes no unit of most of them that could be waited for. */
int node_job(int argc, char **argv) {
	if (argc < 5 || argc % 2 == 0 || !strchr(argv[2], ':'))
		die("node MODE UID:GID FROM PATH [FROM PATH]...");
	mode_t mode = strtoul(argv[1], NULL, 8) & 0777;
	char *colon = strchr(argv[2], ':');
	*colon = '\0';
	uid_t uid = number(argv[2], "a user");
	gid_t gid = number(colon + 1, "a group");
	for (int i = 3; i < argc; i += 2) {
		struct stat stat_;
		if (!is_device(argv[i])) {
			fprintf(stderr, "waiting for the device %s\n", argv[i]);
			await_change(argv[i], is_device, -1);
		}
		if (stat(argv[i], &stat_) < 0)
			die("%s", argv[i]);
		/* With no rights at all until it has its owner. */
		if (mknod(argv[i + 1], stat_.st_mode & S_IFMT, stat_.st_rdev) < 0 || chown(argv[i + 1], uid, gid) < 0 || chmod(argv[i + 1], mode) < 0)
			die("%s", argv[i + 1]);
	}
	return 0;
}

/* forget-devices UNIT SYSTEMCTL: takes away the drop-ins that gave devices to a machine while it ran (src/steps/devices.ts), as what else was made for
 * them has ended with the container; and what a systemd-nspawn that was killed has left. */
int forget_devices_job(int argc, char **argv) {
	if (argc != 3)
		die("forget-devices UNIT SYSTEMCTL");
	char path[4096];
	/* 256 and later refuse to start where it is still mounted. */
	const char *machine = strchr(argv[1], '@');
	if (machine++) {
		int length = strcspn(machine, ".");
		snprintf(path, sizeof path, "/run/systemd/nspawn/unix-export/%.*s", length, machine);
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			rmdir(path);
		snprintf(path, sizeof path, "/run/systemd/nspawn/propagate/%.*s", length, machine);
		rmdir(path);
		snprintf(path, sizeof path, "/var/lib/machines/.#%.*s.lck", length, machine);
		unlink(path);
	}
	snprintf(path, sizeof path, "/run/systemd/system/%s.d", argv[1]);
	DIR *folder = opendir(path);
	int removed = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		if (strncmp(entry->d_name, "nestbox-attached-", 17) == 0)
			removed |= unlinkat(dirfd(folder), entry->d_name, 0) == 0;
	if (!removed)
		return 0;
	rmdir(path); /* unless there is something of somebody else's in it */
	execl(argv[2], argv[2], "daemon-reload", (char *)NULL);
	die("%s", argv[2]);
}

/* forget-ports NFT PROTOCOL PORT [PROTOCOL PORT]...: takes ports of the host out of the table in which systemd-nspawn sends them on: one
 * that was killed leaves them there. Mostly they are gone already, and nobody wants to read that. */
int forget_ports_job(int argc, char **argv) {
	if (argc < 4 || argc % 2)
		die("forget-ports NFT PROTOCOL PORT [PROTOCOL PORT]...");
	for (int i = 2; i < argc; i += 2)
		for (int six = 0; six < 2; six++) {
			char words[256];
			snprintf(words, sizeof words, "delete element %s io.systemd.nat map_port_ipport { %s . %s }", six ? "ip6" : "ip", argv[i], argv[i + 1]);
			pid_t pid = fork();
			if (pid == 0) {
				int nothing = open("/dev/null", O_WRONLY);
				dup2(nothing, 2);
				execl(argv[1], argv[1], words, (char *)NULL);
				_exit(127);
			}
			waitpid(pid, NULL, 0);
		}
	return 0;
}

/* Runs the program whose words begin at argv[i]; *next becomes where the one after it begins. Its exit status, 1 where it was killed. */
static int run_one(int argc, char **argv, int i, int *next) {
	int end = i;
	while (end < argc && strcmp(argv[end], "--then") != 0)
		end++;
	argv[end] = NULL; /* at the end it is that already */
	*next = end + 1;
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[i], argv + i);
		die("%s", argv[i]);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("%s", argv[i]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* each PROGRAM [ARGUMENT]... [--then PROGRAM [ARGUMENT]...]...: one after the other; the first that fails is the last, and its exit status ours. */
int each_job(int argc, char **argv) {
	int status = 0;
	for (int i = 1, next; i < argc && status == 0; i = next)
		status = run_one(argc, argv, i, &next);
	return status;
}

/* every PROGRAM [ARGUMENT]... [--then PROGRAM [ARGUMENT]...]...: each is tried, whatever became of those before. Who is killed has done none of what
 * follows, which a line of a unit each would not have heard of. */
int every_job(int argc, char **argv) {
	int failed = 0;
	for (int i = 1, next; i < argc; i = next)
		failed |= run_one(argc, argv, i, &next) != 0;
	return failed;
}
