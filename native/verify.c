/* verify: tries what a machine is given and what it is denied, from inside, with no program of its root. `nestbox enter --try`
 * gets here as a user or as root of the machine, in all of its namespaces, groups and filters. Nothing is done that would be
 * noticed if it worked: what opens is closed again, what is written is what was there before or nothing at all, system calls get
 * arguments that no kernel takes, and of what is read no byte is kept. */
#include "verify.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { WORDS = 8, PATIENCE = 2000 /* milliseconds, of one try that waits for somebody */ };

const char *error_name(int error) {
	const char *name = strerrorname_np(error);
	return error == 0 ? "OK" : name ? name : "EIO";
}

static const char *result(int failed) {
	return error_name(failed < 0 ? errno : 0);
}

/* Closes it, and says how it was opened. */
static const char *opened(int file) {
	const char *how = result(file);
	if (file >= 0)
		close(file);
	return how;
}

static int flags_of(const char *way) {
	return (strcmp(way, "r") == 0 ? O_RDONLY : strcmp(way, "w") == 0 ? O_WRONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
}

/* A node of that number, c:10:229; anything where none is named. What is no device, or another one, is not what was asked about. */
static const char *try_open(char **words) {
	struct stat stat;
	char id[64] = "";
	int file = open(words[0], flags_of(words[1]));
	if (file >= 0 && fstat(file, &stat) == 0 && (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)))
		snprintf(id, sizeof id, "%c:%u:%u", S_ISCHR(stat.st_mode) ? 'c' : 'b', major(stat.st_rdev), minor(stat.st_rdev));
	if (file >= 0 && *words[2] && strcmp(id, words[2]) != 0) {
		close(file);
		return "other";
	}
	/* What covers it may be opened by root, and is empty. */
	char byte;
	if (file >= 0 && strcmp(words[0], "/proc/kcore") == 0 && read(file, &byte, 1) <= 0) {
		close(file);
		return "empty";
	}
	return opened(file);
}

/* A node of root's own, wherever one opens: nspawn's /tmp and the root itself may be mounted without devices. */
static const char *try_node(char **words) {
	const char *folders[] = { "/dev", "/tmp", "/run", "/" };
	const char *best = "ENOENT";
	dev_t device = makedev(number(words[1], "a device"), number(words[2], "a device"));
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/.nestbox-verify-%d", folders[i], getpid());
		int made = mknod(path, (*words[0] == 'b' ? S_IFBLK : S_IFCHR) | 0600, device);
		const char *how = result(made);
		if (made == 0) {
			how = opened(open(path, flags_of("r")));
			if (strcmp(how, "EACCES") == 0)
				how = opened(open(path, flags_of("w")));
			unlink(path);
			/* Anything else is from the driver: it was reached, whatever the next folder keeps from it. */
			if (strcmp(how, "EPERM") != 0 && strcmp(how, "EACCES") != 0)
				return how;
		}
		best = how;
	}
	return best;
}

/* The value that a setting of the kernel has is written into it again. */
static const char *try_setting(char **words) {
	char value[4096];
	int file = open(words[0], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : pread(file, value, sizeof value, 0);
	const char *how = result(length < 0 || (length > 0 && pwrite(file, value, (size_t)length, 0) < 0) ? -1 : 0);
	if (file >= 0)
		close(file);
	return how;
}

/* Whether a file can be changed, or one made in a folder: without a name, so that nobody ever sees it (O_TMPFILE in open(2)). */
static const char *try_write(char **words) {
	struct stat stat_;
	if (stat(words[0], &stat_) < 0)
		return result(-1);
	if (S_ISSOCK(stat_.st_mode) || S_ISFIFO(stat_.st_mode))
		return "nothing"; /* no mount keeps anybody from these */
	if (!S_ISDIR(stat_.st_mode))
		return opened(open(words[0], flags_of("w")));
	int file = open(words[0], O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return result(access(words[0], W_OK));
	return opened(file);
}

/* Whether anybody could write there: no mount that is read-only keeps them from it, whatever the owners say. */
static const char *try_writable(char **words) {
	struct statvfs mount;
	if (statvfs(words[0], &mount) < 0)
		return result(-1);
	return mount.f_flag & ST_RDONLY && strcmp(try_write(words), "OK") != 0 ? "EROFS" : "OK";
}

/* Whether a path leads to that file of the host. */
static const char *try_same(char **words) {
	struct stat stat_;
	if (stat(words[0], &stat_) < 0)
		return result(-1);
	char id[64];
	snprintf(id, sizeof id, "%llu:%llu", (unsigned long long)stat_.st_dev, (unsigned long long)stat_.st_ino);
	return strcmp(id, words[1]) == 0 ? "OK" : "other";
}

static int stream(int family) {
	int file = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = PATIENCE / 1000 };
	if (file >= 0 && (setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 || setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)) {
		close(file);
		return -1;
	}
	return file;
}

int connect_to(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	if (length >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	int file = stream(AF_UNIX);
	if (file >= 0 && connect(file, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path != '@'))) < 0) {
		int error = errno;
		close(file);
		errno = error;
		return -1;
	}
	return file;
}

int send_all(int file, const void *bytes, size_t length) {
	for (const char *at = bytes; length > 0;) {
		ssize_t count = send(file, at, length, MSG_NOSIGNAL);
		if (count <= 0)
			return 0;
		at += count, length -= (size_t)count;
	}
	return 1;
}

int receive_all(int file, void *bytes, size_t length) {
	for (char *at = bytes; length > 0;) {
		ssize_t count = recv(file, at, length, 0);
		if (count <= 0)
			return 0;
		at += count, length -= (size_t)count;
	}
	return 1;
}

static const char *try_socket(char **words) {
	return opened(connect_to(words[0]));
}

static struct sockaddr_in internet(const char *address, unsigned port) {
	struct sockaddr_in found = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, address, &found.sin_addr);
	return found;
}

static const char *try_port(char **words) {
	struct sockaddr_in address = internet(words[0], number(words[1], "a port"));
	int file = stream(AF_INET);
	const char *how = result(file < 0 ? -1 : connect(file, (struct sockaddr *)&address, sizeof address));
	if (file >= 0)
		close(file);
	return strcmp(how, "EINPROGRESS") == 0 ? "ETIMEDOUT" : how;
}

/* Whether another computer on the link answers to its address at all, whatever its firewall says: a line of /proc/net/arp that is
 * complete (flags 0x2), in proc_net(5). */
static const char *try_neighbour(char **words) {
	struct sockaddr_in address = internet(words[0], 9); /* discard */
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (file < 0 || sendto(file, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) < 0) {
		const char *how = result(-1);
		if (file >= 0)
			close(file);
		return how;
	}
	close(file);
	for (long long limit = now() + PATIENCE; now() < limit; usleep(20000)) {
		FILE *table = fopen("/proc/net/arp", "re");
		char line[256], found[64];
		unsigned type, flags;
		int there = 0;
		while (table && fgets(line, sizeof line, table))
			there |= sscanf(line, "%63s %x %x", found, &type, &flags) == 3 && strcmp(found, words[0]) == 0 && flags & 2;
		if (table)
			fclose(table);
		if (there)
			return "OK";
	}
	return "EHOSTUNREACH";
}

/* Asks a name server for the name servers of the root zone, which every one knows: RFC 1035, 4.1. */
static const char *ask(const struct sockaddr *server, socklen_t size) {
	const uint8_t question[] = { 0x4e, 0x62, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1 };
	uint8_t answer[2048];
	int file = socket(server->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *how = "EIO";
	if (file < 0 || connect(file, server, size) < 0 || send(file, question, sizeof question, MSG_NOSIGNAL) < 0)
		how = result(-1);
	else {
		struct pollfd waits = { .fd = file, .events = POLLIN };
		int ready = poll(&waits, 1, PATIENCE);
		ssize_t length = ready > 0 ? recv(file, answer, sizeof answer, 0) : -1;
		how = ready == 0 ? "ETIMEDOUT" : length < 0 ? result(-1) : length >= 12 && memcmp(answer, question, 2) == 0 ? "OK" : "EIO";
	}
	if (file >= 0)
		close(file);
	return how;
}

/* A server as resolv.conf(5) has it, of IPv4 or of IPv6; NULL: it is no address. */
static const char *ask_at(char *address) {
	struct sockaddr_in server = internet(address, 53);
	if (server.sin_addr.s_addr != 0)
		return ask((const struct sockaddr *)&server, sizeof server);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	char *link = strchr(address, '%'); /* fe80::1%eth0 */
	if (link) {
		*link = '\0';
		six.sin6_scope_id = if_nametoindex(link + 1);
	}
	return inet_pton(AF_INET6, address, &six.sin6_addr) == 1 ? ask((const struct sockaddr *)&six, sizeof six) : NULL;
}

/* By the servers that programs here would ask: resolv.conf(5). */
static const char *try_names(char **words) {
	(void)words;
	FILE *file = fopen("/etc/resolv.conf", "re");
	const char *how = file ? "ESRCH" : result(-1); /* no server */
	char line[256], address[64];
	while (file && strcmp(how, "OK") != 0 && fgets(line, sizeof line, file))
		if (sscanf(line, "nameserver %63s", address) == 1) {
			const char *said = ask_at(address);
			how = said ? said : how;
		}
	if (file)
		fclose(file);
	return how;
}

/* All of its network's interfaces, in one word. */
static const char *try_interfaces(char **words) {
	(void)words;
	struct if_nameindex *all = if_nameindex();
	if (!all)
		return result(-1);
	for (struct if_nameindex *one = all; one->if_name; one++)
		printf("%s,", one->if_name);
	if_freenameindex(all);
	return "";
}

/* No kernel takes these arguments: what is seen is whether it gets as far as to look at them. */
static const char *try_call(char **words) {
	static const char nothing[1];
	const char *name = words[0];
	long answer;
	if (strcmp(name, "init_module") == 0)
		answer = syscall(SYS_init_module, nothing, 0UL, ""); /* an empty image: ENOEXEC */
	else if (strcmp(name, "delete_module") == 0)
		answer = syscall(SYS_delete_module, "", O_NONBLOCK); /* of no name: ENOENT */
	else if (strcmp(name, "kexec_load") == 0)
		answer = syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0x8000UL); /* a flag that there is not: EINVAL */
	else if (strcmp(name, "bpf") == 0)
		answer = syscall(SYS_bpf, 0x7fff, NULL, 0); /* a command that there is not: EINVAL */
	else if (strcmp(name, "keyctl") == 0)
		answer = syscall(SYS_keyctl, 0x7fff); /* the same: EOPNOTSUPP */
	else if (strcmp(name, "perf_event_open") == 0)
		answer = syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL); /* EFAULT */
	else if (strcmp(name, "open_by_handle_at") == 0)
		answer = syscall(SYS_open_by_handle_at, -1, NULL, 0); /* EFAULT or EBADF */
	else if (strcmp(name, "swapon") == 0)
		answer = syscall(SYS_swapon, "", 0); /* ENOENT */
	else if (strcmp(name, "userfaultfd") == 0)
		answer = syscall(SYS_userfaultfd, 0x4000); /* EINVAL */
	else
		return "EINVAL";
	return answer >= 0 ? "OK" : errno == EPERM || errno == ENOSYS || errno == EACCES ? error_name(errno) : "OK";
}

/* Mounts in a namespace of this process alone: nobody sees them, and they are gone with it. */
static const char *try_mount(char **words) {
	const char *what = words[0];
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return result(-1);
	if (strcmp(what, "sysctl") == 0)
		return result(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL) < 0 || access("/proc/sys/kernel/core_pattern", W_OK) < 0 ? -1 : 0);
	return result(mount("nestbox-verify", "/proc", what, MS_NOSUID | MS_NOEXEC | MS_RDONLY, NULL));
}

/* Whether a process is the first one or has been started by it: the fourth field of proc_pid_stat(5). */
static int is_first(int pid) {
	char path[32], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int file = open(path, O_RDONLY | O_CLOEXEC), parent = 0;
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	text[length < 0 ? 0 : length] = '\0';
	char *name = strrchr(text, ')');
	return pid == 1 || (name && sscanf(name, ") %*c %d", &parent) == 1 && parent == 1);
}

/* What the programs of the machine were started with: process 1, or one of those that it has started. "other": each has another value. */
static const char *try_variable(char **words) {
	static char text[1 << 17];
	const size_t name = strlen(words[0]);
	const char *how = "absent";
	for (int pid = 1; pid < 100; pid++) {
		char path[32];
		snprintf(path, sizeof path, "/proc/%d/environ", pid);
		int file = is_first(pid) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		size_t end = 0;
		for (ssize_t count; file >= 0 && end < sizeof text - 1 && (count = read(file, text + end, sizeof text - 1 - end)) > 0;)
			end += (size_t)count;
		if (file >= 0)
			close(file);
		text[end] = '\0';
		for (const char *at = text; at < text + end; at += strlen(at) + 1) {
			if (strncmp(at, words[0], name) != 0 || at[name] != '=')
				continue;
			if (strcmp(at + name + 1, words[1]) == 0)
				return "OK";
			how = "other";
		}
	}
	return how;
}

/* Every device node below /dev, but for terminals, in one word: c:1:3:/dev/null,... */
static void list_nodes(const char *folder, int depth) {
	DIR *all = depth > 6 ? NULL : opendir(folder);
	for (struct dirent *one; all && (one = readdir(all));) {
		char path[4096];
		struct stat stat;
		if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 || snprintf(path, sizeof path, "%s/%s", folder, one->d_name) >= (int)sizeof path || lstat(path, &stat) < 0)
			continue;
		if (S_ISDIR(stat.st_mode) && strcmp(path, "/dev/pts") != 0)
			list_nodes(path, depth + 1);
		else if ((S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)) && strpbrk(path, " ,\n") == NULL)
			printf("%c:%u:%u:%s,", S_ISCHR(stat.st_mode) ? 'c' : 'b', major(stat.st_rdev), minor(stat.st_rdev), path);
	}
	if (all)
		closedir(all);
}

static const char *try_nodes(char **words) {
	list_nodes(words[0], 0);
	return "";
}

static const char *try_name(char **words) {
	char name[256] = "";
	return gethostname(name, sizeof name - 1) < 0 ? result(-1) : strcmp(name, words[0]) == 0 ? "OK" : "other";
}

static const char *try_x(char **words) {
	return try_display(words[0], *words[1] ? words[1] : NULL, words[2]);
}

static const char *try_pulse(char **words) {
	return try_sound(words[0], words[1]);
}

static const struct {
	const char *verb;
	int takes;
	const char *(*how)(char **words);
	int apart; /* in a process of its own, which it changes */
} verbs[] = {
	{ "open", 3, try_open, 0 }, { "node", 3, try_node, 0 }, { "setting", 1, try_setting, 0 }, { "write", 1, try_write, 0 }, { "writable", 1, try_writable, 0 }, { "same", 2, try_same, 0 }, { "socket", 1, try_socket, 0 },
	{ "port", 2, try_port, 0 }, { "neighbour", 1, try_neighbour, 0 }, { "names", 0, try_names, 0 }, { "interfaces", 0, try_interfaces, 0 }, { "call", 1, try_call, 0 },
	{ "mount", 1, try_mount, 1 }, { "variable", 2, try_variable, 0 }, { "nodes", 1, try_nodes, 0 }, { "hostname", 1, try_name, 0 }, { "x11", 3, try_x, 0 }, { "sound", 2, try_pulse, 0 },
};

/* %2F is a slash, as in a URL: so no word has a blank in it. */
static void decode(char *word) {
	char *to = word;
	for (const char *from = word; *from; from++) {
		unsigned value;
		if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1)
			*to++ = (char)value, from += 2;
		else
			*to++ = *from;
	}
	*to = '\0';
}

/* "7 open /dev/null r": "7 OK". A word that is empty is '-'. */
static void try_line(char *line) {
	char *words[WORDS] = { NULL };
	int count = 0;
	for (char *at = strtok(line, " \n"); at && count < WORDS; at = strtok(NULL, " \n")) {
		words[count] = strcmp(at, "-") == 0 ? "" : at;
		if (*words[count])
			decode(words[count]);
		count++;
	}
	for (size_t i = 0; count >= 2 && i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(words[1], verbs[i].verb) != 0 || count != verbs[i].takes + 2)
			continue;
		printf("%s ", words[0]);
		fflush(stdout);
		pid_t child = verbs[i].apart ? fork() : 0;
		errno = 0;
		if (child > 0) {
			while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
				;
			return;
		}
		puts(child < 0 ? result(-1) : verbs[i].how(words + 2));
		fflush(stdout);
		if (verbs[i].apart && child == 0)
			_exit(0);
		return;
	}
}

int try_all(void) {
	char *line = NULL;
	size_t room = 0;
	while (getline(&line, &room, stdin) > 0)
		try_line(line);
	free(line);
	return 0;
}

/* On the host: what it listens at for itself alone, so that it is seen whether a machine gets there; or what the host gets of its own
 * with the same tries. Told in a line: the port on loopback, and an abstract name that the kernel has chosen (unix(7), autobind). */
int verify_job(int argc, char **argv) {
	if (argc == 2 && strcmp(argv[1], "try") == 0)
		return try_all();
	if (argc != 2 || strcmp(argv[1], "listen") != 0)
		die("verify listen | try");
	struct sockaddr_in loopback = internet("127.0.0.1", 0);
	struct sockaddr_un abstract = { .sun_family = AF_UNIX };
	socklen_t sizes[] = { sizeof loopback, sizeof abstract };
	int network = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (network < 0 || local < 0 || bind(network, (struct sockaddr *)&loopback, sizes[0]) < 0 || bind(local, (struct sockaddr *)&abstract, sizeof abstract.sun_family) < 0
	    || listen(network, 8) < 0 || listen(local, 8) < 0 || getsockname(network, (struct sockaddr *)&loopback, &sizes[0]) < 0 || getsockname(local, (struct sockaddr *)&abstract, &sizes[1]) < 0)
		die("a place to listen at");
	printf("%u %.*s\n", ntohs(loopback.sin_port), (int)(sizes[1] - offsetof(struct sockaddr_un, sun_path) - 1), abstract.sun_path + 1);
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) > 0) /* until whoever asked has gone */
		;
	return 0;
}
