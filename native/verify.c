/* verify: tries what a machine is given and what it is denied, from inside, with no program of its root. `nestbox enter --try`
 * gets here as a user or as root of the machine, in all of its namespaces, groups and filters. Nothing is done that would be
 * noticed if it worked: what opens is closed again, what is written is what was there before or nothing at all, system calls get
 * arguments that no kernel takes, and of what is read no byte is kept. */
#include "verify.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { WORDS = 8 };

const char *error_name(int error) {
	const char *name = strerrorname_np(error);
	return error == 0 ? "OK" : name ? name : "EIO";
}

const char *result(int failed) {
	return error_name(failed < 0 ? errno : 0);
}

const char *opened(int file) {
	const char *how = result(file);
	if (file >= 0)
		close(file);
	return how;
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

/* By its number: in another IPC namespace that is another segment, or none (EINVAL). "other": what is in it is not the text. */
static const char *try_segment(char **words) {
	char *at = shmat((int)number(words[0], "a segment"), NULL, SHM_RDONLY);
	if (at == (void *)-1)
		return errno == EINVAL ? "ENOENT" : result(-1);
	const char *how = strncmp(at, words[1], strlen(words[1]) + 1) == 0 ? "OK" : "other";
	shmdt(at);
	return how;
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
	{ "mount", 1, try_mount, 1 }, { "segment", 2, try_segment, 0 }, { "variable", 2, try_variable, 0 }, { "nodes", 1, try_nodes, 0 }, { "hostname", 1, try_name, 0 }, { "x11", 3, try_x, 0 }, { "sound", 2, try_pulse, 0 },
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

/* Memory that everybody on the host may read, with a text that no other has; it is gone when we are. Its number. */
static int share(char *text, size_t size) {
	unsigned long long noise;
	int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0666);
	char *at = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
	if (at == (void *)-1 || shmctl(id, IPC_RMID, NULL) < 0 || getrandom(&noise, sizeof noise, 0) != sizeof noise)
		die("memory that is shared");
	snprintf(text, size, "%016llx", noise);
	strcpy(at, text);
	return id;
}

/* On the host: what it listens at for itself alone, so that it is seen whether a machine gets there; or what the host gets of its own
 * with the same tries. Told in a line: the port on loopback, an abstract name that the kernel has chosen (unix(7), autobind), and the memory. */
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
	char text[17];
	int segment = share(text, sizeof text);
	printf("%u %.*s %d %s\n", ntohs(loopback.sin_port), (int)(sizes[1] - offsetof(struct sockaddr_un, sun_path) - 1), abstract.sun_path + 1, segment, text);
	fflush(stdout);
	char byte;
	while (read(0, &byte, 1) > 0) /* until whoever asked has gone */
		;
	return 0;
}
