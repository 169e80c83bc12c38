/* chroot: a program in a root directory, with the mounts that such a root needs. They are made in a mount namespace of its own, so
 * that they are gone with the program however it ends; `chroot-mounts` makes the same ones on the host, where they stay, and
 * `chroot-unmount` takes them away. Processes, messages, the host name and control groups have namespaces too where the kernel
 * has these. Ids and the network are the host's. */
#include "held.h"
#include "person.h"
#include "terminal.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* <sys/mount.h> clashes with <linux/mount.h> in glibc 2.36 (Debian 12). */
#define mount(...) ((int)syscall(SYS_mount, __VA_ARGS__))
#define umount2(...) ((int)syscall(SYS_umount2, __VA_ARGS__))
#define MNT_DETACH 2
#define UMOUNT_NOFOLLOW 8

struct binding {
	const char *from, *to;
	int write;
	char found[PATH_MAX]; /* where `from` leads on the host */
};

struct chamber {
	const char *root;
	struct binding bindings[512];
	size_t count;
};

/* Whatever the root has at a path, links in it lead to places in the root: it is our root directory already. */
static void make_folders(const char *path) {
	char part[PATH_MAX];
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			die("%s in the root", part);
	}
}

/* What a bind covers. In the root itself it has been made before; in /run, /dev and /tmp, which are empty, it is made here. */
static void make_place(const char *path, int folder) {
	struct stat stat_;
	if (stat(path, &stat_) == 0)
		return;
	char link[PATH_MAX];
	ssize_t length = readlink(path, link, sizeof link - 1);
	if (length > 0) { /* as /etc/resolv.conf leads to a file of a program that does not run here */
		link[length] = '\0';
		if (strncmp(link, "/run/", 5) != 0 && strncmp(link, "../run/", 7) != 0)
			die("%s in the root leads to %s, where nothing is", path, link);
		make_folders(link[0] == '/' ? link : link + 2);
	} else
		make_folders(path);
	if (folder ? mkdir(path, 0755) < 0 && errno != EEXIST : close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644)) < 0)
		die("%s in the root", path);
}

/* With all that is mounted below it, where the kernel can (5.12). */
static void make_read_only(const char *path) {
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr) == 0)
		return;
	struct statvfs now;
	if (errno != ENOSYS || statvfs(path, &now) < 0
	    || mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | (now.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC)), NULL) < 0)
		die("%s cannot be made read-only", path);
}

static void mount_new(const char *type, const char *path, unsigned long flags, const char *options) {
	make_place(path, 1);
	if (mount("nestbox", path, type, flags, options) < 0)
		die("%s on %s", type, path);
}

static void make_node(const char *path, unsigned number) {
	if (mknod(path, S_IFCHR | 0666, makedev(number >> 8, number & 255)) < 0)
		die("%s", path);
}

static void make_devices(void) {
	mount_new("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=4m,nr_inodes=64k");
	/* Documentation/admin-guide/devices.txt */
	static const struct { const char *path; unsigned number; } nodes[] = {
		{ "/dev/null", 0x103 }, { "/dev/zero", 0x105 }, { "/dev/full", 0x107 }, { "/dev/random", 0x108 }, { "/dev/urandom", 0x109 }, { "/dev/tty", 0x500 }, { "/dev/net/tun", 0xac8 },
	};
	static const char *const links[][2] = {
		{ "pts/ptmx", "/dev/ptmx" }, { "/proc/self/fd", "/dev/fd" }, { "/proc/self/fd/0", "/dev/stdin" }, { "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
	};
	if (mkdir("/dev/net", 0755) < 0)
		die("/dev/net");
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		make_node(nodes[i].path, nodes[i].number);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			die("%s", links[i][1]);
	mount_new("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_new("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777");
}

/* Settings of the kernel, and what tells of its memory, are the whole host's. */
static void mount_proc(void) {
	mount_new("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	static const char *const settings[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs" };
	static const char *const secrets[] = { "/proc/kcore", "/proc/kallsyms", "/proc/keys", "/proc/kmsg", "/proc/timer_list" };
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		if (mount(settings[i], settings[i], NULL, MS_BIND, NULL) == 0)
			make_read_only(settings[i]);
		else if (errno != ENOENT)
			die("%s", settings[i]);
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		if (mount("/dev/null", secrets[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
			die("%s", secrets[i]);
}

static void make_mounts(struct chamber *chamber, int outside) {
	umask(0);
	/* The first that is mounted, and so the last that is unmounted: chroot-unmount goes by it. */
	mount_new("tmpfs", "/run", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=0755");
	make_place("/sys", 1);
	if (mount("nestbox", "/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		die("sysfs on /sys");
	make_devices();
	mount_new("tmpfs", "/tmp", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777");
	if (mkdir("/run/user", 0755) < 0 || mkdir("/run/user/0", 0700) < 0)
		die("/run/user");
	if (fchdir(outside) < 0)
		die("the root of the host");
	for (size_t i = 0; i < chamber->count; i++) {
		struct binding *one = &chamber->bindings[i];
		struct stat stat_;
		int from = hold(outside, one->found); /* in a folder of a person's there may be a link by now */
		if (from < 0 || fstat(from, &stat_) < 0)
			die("%s", one->from);
		make_place(one->to, S_ISDIR(stat_.st_mode));
		/* The host's /proc: our working directory is the host's root. */
		if (mount(way_to(from).path + 1, one->to, NULL, MS_BIND | MS_REC, NULL) < 0)
			die("%s on %s", one->from, one->to);
		close(from);
		if (!one->write)
			make_read_only(one->to);
	}
}

static void add_binding(struct chamber *chamber, const char *from, const char *to, int write) {
	if (chamber->count == sizeof chamber->bindings / sizeof *chamber->bindings || *to != '/')
		die("--bind %s %s", from, to);
	struct binding *one = &chamber->bindings[chamber->count++];
	*one = (struct binding){ .from = from, .to = to, .write = write };
	if (!realpath(from, one->found))
		die("%s", from);
}

/* An option that both jobs have: how many words it took, or 0. */
static int mount_option(struct chamber *chamber, int argc, char **argv, int i) {
	int write = strcmp(argv[i], "--bind") == 0;
	if ((!write && strcmp(argv[i], "--bind-ro") != 0) || i + 2 >= argc)
		return 0;
	add_binding(chamber, argv[i + 1], argv[i + 2], write);
	return 3;
}

static int open_folder(const char *path) {
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		die("%s", path);
	return folder;
}

/* Is there when all has been mounted: steps/mounts.ts looks for it. */
#define MADE "/run/nestbox/mounts"

/* chroot-mounts ROOT [--bind|--bind-ro FROM TO]...: as `chroot` makes them, for everybody on the host to see. */
int chroot_mounts_job(int argc, char **argv) {
	static struct chamber chamber;
	if (argc < 2)
		die("chroot-mounts ROOT");
	for (int i = 2, taken; i < argc; i += taken)
		if (!(taken = mount_option(&chamber, argc, argv, i)))
			die("unknown option '%s'", argv[i]);
	int outside = open_folder("/");
	if (chroot(argv[1]) < 0 || chdir("/") < 0)
		die("%s", argv[1]);
	make_mounts(&chamber, outside);
	mount_proc();
	make_folders(MADE);
	if (close(open(MADE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0)
		die("%s in the root", MADE);
	return 0;
}

/* chroot-unmount ROOT [BEFORE]...: whatever is mounted below ROOT, the last first, but for what was there BEFORE; nothing where none of
 * our own is there any more, as after the host was started anew. The names are the kernel's, which has followed all links: no link in the
 * root leads to a mount elsewhere. */
int chroot_unmount_job(int argc, char **argv) {
	char root[PATH_MAX], *line = NULL;
	size_t room = 0, count = 0;
	int ours = 0;
	static char *found[4096];
	if (argc < 2)
		die("chroot-unmount ROOT");
	if (!realpath(argv[1], root))
		return 0;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	if (!mounts)
		die("/proc/self/mountinfo");
	while (getline(&line, &room, mounts) > 0 && count < sizeof found / sizeof *found) {
		char *at = line, *end = strstr(line, " - "); /* type and source: proc_pid_mountinfo(5) */
		char source[16] = "";
		if (end)
			sscanf(end, " - %*s %15s", source);
		for (int field = 1; at && field < 5; field++)
			at = (at = strchr(at, ' ')) ? at + 1 : NULL;
		if (!at)
			continue;
		at[strcspn(at, " ")] = '\0';
		char *to = at; /* \040 and the like */
		for (char *from = at; *from; to++)
			if (from[0] == '\\' && from[1] && from[2] && from[3])
				*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0')), from += 4;
			else
				*to = *from++;
		*to = '\0';
		size_t length = strlen(root);
		int known = strncmp(at, root, length) != 0 || at[length] != '/';
		for (int i = 2; i < argc && !known; i++) /* each once: the same place can be mounted over again, and the older comes first */
			if (strcmp(argv[i], at) == 0)
				known = 1, argv[i] = "";
		if (known)
			continue;
		ours |= strcmp(source, "nestbox") == 0;
		if (!(found[count++] = strdup(at)))
			die("memory");
	}
	fclose(mounts);
	while (ours && count-- > 0)
		if (umount2(found[count], UMOUNT_NOFOLLOW) < 0 && (errno != EBUSY || umount2(found[count], UMOUNT_NOFOLLOW | MNT_DETACH) < 0) && errno != EINVAL)
			die("%s", found[count]);
	return 0;
}

/* The root directory becomes ours, and where a mount namespace has been made, what was there before is out of reach. */
static void enter_root(struct chamber *chamber, int kept) {
	int outside = open_folder("/");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount(chamber->root, chamber->root, NULL, MS_BIND | MS_REC, NULL) < 0)
		die("%s cannot be mounted", chamber->root);
	if (chdir(chamber->root) < 0)
		die("%s", chamber->root);
	/* A system that still runs from its initramfs cannot change its root so: pivot_root(2). switch_root(8) moves the mount. */
	int moved = syscall(SYS_pivot_root, ".", ".") < 0;
	if (moved && (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0))
		die("%s cannot become the root directory", chamber->root);
	if (!kept)
		make_mounts(chamber, outside);
	if (!moved && (fchdir(outside) < 0 || umount2(".", MNT_DETACH) < 0))
		die("the root of the host cannot be left");
	close(outside);
	if (chdir("/") < 0)
		die("/");
}

/* Where the kernel has no such namespaces, they are not made. */
static void separate(int kind) {
	if (unshare(kind) < 0 && errno != EINVAL)
		die("a namespace cannot be made");
}

struct wish {
	const char *hostname, *user, *directory, *ipc;
	unsigned long long capabilities;
	int login, terminal, kept;
	char **program;
	char *variables[512];
	size_t count;
};

/* /etc/profile first, as a login does and the Gentoo handbook has it; what was granted counts more than what is said there. No
 * text of a machine file is read by the shell as its own. */
static const char profile[] = "if [ -r /etc/profile ]; then . /etc/profile; fi; while [ \"$1\" != -- ]; do export \"$1\"; shift; done; shift; exec \"$@\"";

static _Noreturn void become_program(const struct wish *wish, const struct person *person) {
	if (chdir(wish->directory) < 0 && chdir("/") < 0)
		die("/");
	size_t length = 0;
	while (wish->program[length])
		length++;
	char *words[length + wish->count + 6], **at = words;
	if (wish->login && access("/bin/sh", X_OK) == 0 && access("/etc/profile", R_OK) == 0) {
		*at++ = "/bin/sh", *at++ = "-c", *at++ = (char *)profile, *at++ = "sh";
		for (size_t i = 0; i < wish->count; i++)
			*at++ = wish->variables[i];
		*at++ = "--";
	}
	for (size_t i = 0; i <= length; i++)
		*at++ = wish->program[i];
	execute(words, person->shell, 0);
}

/* The first process of the namespace: it has the program for its child, and waits for all that lose their parents. It may do no more than
 * the program, which can look into it. */
static int first_process(const struct wish *wish, const struct person *person, int alive, int argc, char **argv) {
	sigset_t heard;
	sigemptyset(&heard);
	sigaddset(&heard, SIGTERM);
	sigaddset(&heard, SIGCHLD);
	char byte;
	/* That who carries our streams has died before this took hold is told by the pipe. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || read(alive, &byte, 1) == 0)
		_exit(1);
	mount_proc();
	struct bounds bounds = { wish->capabilities, 1, 0 };
	hold_capabilities(bounds.capabilities);
	pid_t program = fork();
	if (program < 0)
		die("a process inside");
	if (program == 0) {
		become_person(person, bounds);
		take_terminal();
		become_program(wish, person);
	}
	for (int i = 1; i < argc; i++) /* paths of the host, for all inside to be read in /proc/1/cmdline */
		memset(argv[i], 0, strlen(argv[i]));
	close_range(0, ~0U, 0); /* the program's descriptors are the program's alone: else its end would never be seen */
	for (;;) {
		int signal = sigwaitinfo(&heard, NULL), how;
		if (signal == SIGTERM)
			_exit(128 + SIGTERM); /* and all others here with us */
		for (pid_t ended; (ended = waitpid(-1, &how, WNOHANG)) > 0;)
			if (ended == program)
				_exit(WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how));
	}
}

/* NAME=VALUE of an option --NAME=VALUE. */
static char *value_of(char *word, const char *name) {
	size_t length = strlen(name);
	return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static void read_wish(struct wish *wish, struct chamber *chamber, int argc, char **argv) {
	int i = 2, taken;
	for (char *value; i < argc && strcmp(argv[i], "--") != 0; i += taken) {
		taken = 1;
		if (strcmp(argv[i], "--terminal") == 0)
			wish->terminal = 1;
		else if (strcmp(argv[i], "--login") == 0)
			wish->login = 1;
		else if (strcmp(argv[i], "--kept") == 0)
			wish->kept = 1;
		else if ((value = value_of(argv[i], "--hostname")))
			wish->hostname = value;
		else if ((value = value_of(argv[i], "--user")))
			wish->user = value;
		else if ((value = value_of(argv[i], "--directory")))
			wish->directory = value;
		else if ((value = value_of(argv[i], "--ipc")))
			wish->ipc = value;
		else if ((value = value_of(argv[i], "--capabilities")))
			wish->capabilities = strtoull(value, NULL, 16);
		else if ((value = value_of(argv[i], "--personality"))) {
			if (strcmp(value, "x86") != 0 || personality(PER_LINUX32) < 0)
				die("personality %s", value);
		} else if ((value = value_of(argv[i], "--setenv")) && strchr(value, '=') && wish->count < sizeof wish->variables / sizeof *wish->variables)
			wish->variables[wish->count++] = value;
		else if (!(taken = mount_option(chamber, argc, argv, i)))
			die("unknown option '%s'", argv[i]);
	}
	if (i + 1 >= argc)
		die("chroot needs -- PROGRAM");
	wish->program = argv + i + 1;
}

static void set_variables(const struct wish *wish, const struct person *person) {
	clearenv();
	setenv("PATH", PROGRAM_FOLDERS, 1);
	setenv("HOME", person->home, 1);
	setenv("USER", person->name, 1);
	setenv("LOGNAME", person->name, 1);
	setenv("SHELL", *person->shell ? person->shell : "/bin/sh", 1);
	for (size_t i = 0; i < wish->count; i++)
		putenv(wish->variables[i]);
}

int chroot_job(int argc, char **argv) {
	static struct chamber chamber;
	static struct wish wish = { .user = "root", .directory = "/" };
	if (argc < 4)
		die("chroot ROOT [OPTION]... -- PROGRAM");
	run_from_copy(argc, argv);
	chamber.root = argv[1];
	read_wish(&wish, &chamber, argc, argv);
	if (unshare(CLONE_NEWNS) < 0)
		die("no mount namespace can be made");
	if (wish.ipc)
		join_ipc(wish.ipc);
	else
		separate(CLONE_NEWIPC);
	separate(CLONE_NEWUTS);
	separate(CLONE_NEWCGROUP);
	if (wish.hostname && sethostname(wish.hostname, strlen(wish.hostname)) < 0)
		die("the host name");
	enter_root(&chamber, wish.kept);
	close_range(3, ~0U, 0);
	umask(022);
	struct person person = find_person(wish.user);
	set_variables(&wish, &person);
	/* The terminal is the program's. This change clears what ends us with our parent: prctl(2). */
	int last = 0;
	pid_t parent = getppid();
	prctl(PR_GET_PDEATHSIG, &last);
	setfsgid(person.groups[0]);
	setfsuid(person.uid);
	open_streams(wish.terminal);
	setfsuid(0);
	setfsgid(0);
	if (prctl(PR_SET_PDEATHSIG, last) < 0 || getppid() != parent)
		return 1;
	int alive[2];
	if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0)
		die("pipe");
	separate(CLONE_NEWPID);
	pid_t first = fork();
	if (first < 0)
		die("a process inside");
	if (first == 0) {
		close(alive[1]);
		return first_process(&wish, &person, alive[0], argc, argv);
	}
	close(alive[0]);
	return carry(first);
}
