/* A machine's root on a volume: opened at each start and closed after each end, by `nestbox run` and by the units of a machine that
 * systemd runs alike. Nothing of a passphrase is ever in an argument, in the environment or in a file: it goes from a pipe into the
 * standard input of cryptsetup. What goes wrong is told on standard error, the first line what it is, the others what to do. */
#include "volume.h"
#include "held.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>

/* Never by the caller's PATH, as we are root: the folders are those of src/probe.ts. NULL: it is not there. */
static const char *find(const char *name) {
	static const char *folders[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
	static char path[PATH_MAX];
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

static const char *must_find(const char *name, const char *package) {
	const char *path = find(name);
	if (!path)
		refuse("'%s' is not installed\napt install %s", name, package);
	return path;
}

/* What a program said on its two outputs, without the line break at its end. */
static char said[4096];

/* Runs a program to its end: its exit status, 128 and more where a signal ended it. It ends with us. `input`: a descriptor, or -1. */
static int run(const char *const argv[], int input) {
	int words = memfd_create("words", MFD_CLOEXEC);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		int in = input >= 0 ? input : open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || dup2(in, 0) < 0 || dup2(words, 1) < 0 || dup2(words, 2) < 0)
			_exit(127);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	int status;
	if (words < 0 || pid < 0 || waitpid(pid, &status, 0) != pid)
		die("%s", argv[0]);
	ssize_t length = pread(words, said, sizeof said - 1, 0);
	close(words);
	for (length = length < 0 ? 0 : length; length > 0 && said[length - 1] == '\n';)
		length--;
	said[length] = '\0';
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int exists(const char *path) {
	struct stat stat_;
	return stat(path, &stat_) == 0;
}

/* Disks that are still to come while the host does: systemd gives every unit a number, and nobody who types has one. */
int comes_up(void) {
	return getenv("INVOCATION_ID") != NULL && !isatty(0);
}

/* The kernel's name of the block device at a path, or of the loop device over a file: sda2, dm-3. Empty: there is none. */
static void name_of(const char *path, char name[256]) {
	struct stat stat_;
	char link[64], to[PATH_MAX], file[PATH_MAX];
	*name = '\0';
	if (stat(path, &stat_) < 0)
		return;
	if (S_ISBLK(stat_.st_mode)) {
		snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(stat_.st_rdev), minor(stat_.st_rdev));
		ssize_t length = readlink(link, to, sizeof to - 1);
		to[length < 0 ? 0 : length] = '\0';
		snprintf(name, 256, "%s", strrchr(to, '/') ? strrchr(to, '/') + 1 : "");
		return;
	}
	DIR *folder = opendir("/sys/class/block");
	for (struct dirent *entry; realpath(path, file) && folder && (entry = readdir(folder));) {
		snprintf(to, sizeof to, "/sys/class/block/%s/loop/backing_file", entry->d_name);
		FILE *backing = fopen(to, "re");
		if (backing && fgets(to, sizeof to, backing)) {
			to[strcspn(to, "\n")] = '\0';
			if (strcmp(to, file) == 0)
				snprintf(name, 256, "%s", entry->d_name);
		}
		if (backing)
			fclose(backing);
	}
	if (folder)
		closedir(folder);
}

/* Whether the mapping is one of LUKS over this very device. */
static int is_over(const char *mapping, const char *device) {
	char above[256], below[256], path[PATH_MAX], uuid[256] = "";
	name_of(mapping, above);
	name_of(device, below);
	snprintf(path, sizeof path, "/sys/class/block/%s/dm/uuid", above);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(uuid, sizeof uuid, file))
		uuid[0] = '\0';
	if (file)
		fclose(file);
	snprintf(path, sizeof path, "/sys/class/block/%s/slaves/%s", above, below);
	return *below && strncmp(uuid, "CRYPT-", 6) == 0 && exists(path);
}

/* activate VG/LV NODE MARK: the mark is there before the volume is, and says that it was nestbox who has activated it. */
int activate_job(int argc, char **argv) {
	if (argc != 4)
		die("activate VG/LV NODE MARK");
	if (exists(argv[2]))
		return 0;
	const char *command[] = { must_find("lvchange", "lvm2"), "--activate", "y", argv[1], NULL };
	int mark = open(argv[3], O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (mark < 0)
		die("%s", argv[3]);
	close(mark);
	long long limit = now() + patience * 1000;
	while (run(command, -1) != 0) {
		/* The disks that its group is made of may be still to come: each makes a node. */
		if (comes_up() && now() < limit) {
			await_change(argv[2], exists, 1);
			continue;
		}
		unlink(argv[3]);
		refuse("the volume %s cannot be activated\n%s", argv[1], said);
	}
	if (!await_change(argv[2], exists, patience))
		refuse("the volume %s is active, and %s does not appear", argv[1], argv[2]);
	return 0;
}

/* deactivate VG/LV MARK */
int deactivate_job(int argc, char **argv) {
	if (argc != 3)
		die("deactivate VG/LV MARK");
	if (!exists(argv[2]))
		return 0;
	const char *command[] = { must_find("lvchange", "lvm2"), "--activate", "n", argv[1], NULL };
	if (run(command, -1) != 0)
		refuse("the volume %s stays active\n%s", argv[1], said);
	unlink(argv[2]);
	return 0;
}

/* A passphrase: one line, at most 512 characters as in cryptsetup(8). In memory that is never swapped out. */
struct passphrase {
	size_t length;
	char text[8192];
};

static int read_line(int file, struct passphrase *out) {
	ssize_t got;
	for (out->length = 0; out->length < sizeof out->text && (got = read(file, out->text + out->length, 1)) == 1; out->length++)
		if (out->text[out->length] == '\n')
			return 1;
	return out->length > 0;
}

static volatile pid_t asking;
static void pass_on(int number_) {
	if (asking > 0)
		kill(asking, number_);
}

/* By systemd-ask-password(1): on the terminal where there is one, else by whoever answers for the host: Plymouth, a console, wall. */
static void ask(const char *device, const char *machine, int again, struct passphrase *out) {
	if (!isatty(0) && !exists("/run/systemd/system"))
		refuse("there is no terminal on which the passphrase of %s could be asked\ngive it with --passphrase-fd, or a key-file in [root]", device);
	char prompt[PATH_MAX + 256], id[128];
	snprintf(prompt, sizeof prompt, "%sPassphrase of %s, for the machine %s:", again ? "That was not right. " : "", device, machine);
	snprintf(id, sizeof id, "--id=nestbox:%s", machine);
	const char *argv[] = { must_find("systemd-ask-password", "systemd"), id, "--icon=drive-harddisk", "--timeout=300", prompt, NULL };
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	/* When it is interrupted it leaves the terminal as it is, without an echo: we are there after it. */
	struct termios before;
	int terminal = tcgetattr(0, &before) == 0;
	pid_t parent = getpid(), pid;
	signal(SIGINT, pass_on);
	signal(SIGQUIT, pass_on);
	signal(SIGTERM, pass_on);
	asking = pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || dup2(ends[1], 1) < 0)
			_exit(127);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(ends[1]);
	int got = pid > 0 && read_line(ends[0], out), status;
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("%s", argv[0]);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (terminal)
		tcsetattr(0, TCSADRAIN, &before);
	if (WIFSIGNALED(status))
		exit(128 + WTERMSIG(status));
	if (!got || status != 0)
		refuse("nobody has given the passphrase of %s\nit was asked for five minutes; nothing has been opened", device);
}

/* Exit status of cryptsetup(8), "no permission (bad passphrase)". */
enum { wrong = 2 };

static int open_with(const char *device, const char *mapping, int discards, const char *key, const struct passphrase *typed) {
	int ends[2] = { -1, -1 };
	/* A pipe holds 64 KiB: all of it is in there before anybody reads. */
	if (typed && (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], typed->text, typed->length) != (ssize_t)typed->length))
		die("pipe");
	if (typed)
		close(ends[1]);
	const char *argv[10] = { must_find("cryptsetup", "cryptsetup-bin"), "open", "--type", "luks", "--key-file", key ? key : "-" };
	int i = 6;
	if (discards)
		argv[i++] = "--allow-discards";
	argv[i++] = device, argv[i++] = mapping;
	int status = run(argv, ends[0]);
	if (typed)
		close(ends[0]);
	return status;
}

/* unlock DEVICE MAPPING MACHINE [--discards] [--key-file FILE] [--called NAME] [--passphrase-fd N]: LUKS 1 and 2. One that is open already under this
 * name is left as it is: `nestbox start` has opened it before the unit does. */
int unlock_job(int argc, char **argv) {
	if (argc < 4)
		die("unlock DEVICE MAPPING MACHINE [--discards] [--key-file FILE] [--called NAME] [--passphrase-fd N]");
	const char *device = argv[1], *called = argv[1], *machine = argv[3], *key = NULL;
	int discards = 0, given = -1;
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], "--discards") == 0)
			discards = 1;
		else if (strcmp(argv[i], "--key-file") == 0 && i + 1 < argc)
			key = argv[++i];
		else if (strcmp(argv[i], "--called") == 0 && i + 1 < argc)
			called = argv[++i]; /* by people */
		else if (strcmp(argv[i], "--passphrase-fd") == 0 && i + 1 < argc)
			fcntl(given = (int)number(argv[++i], "--passphrase-fd"), F_SETFD, FD_CLOEXEC);
		else
			die("unknown option '%s'", argv[i]);
	}
	char mapped[PATH_MAX];
	snprintf(mapped, sizeof mapped, "/dev/mapper/%s", argv[2]);
	if (exists(mapped)) {
		if (is_over(mapped, device))
			return 0;
		refuse("%s is there already, and is not %s\nsomebody else has taken the name that belongs to the machine '%s'", mapped, called, machine);
	}
	if (!await_change(device, exists, comes_up() ? patience : 0))
		refuse("%s is not there", called);
	if (given < 0 && key) {
		struct stat stat_;
		if (stat(key, &stat_) < 0)
			refuse("the key file %s cannot be read: %s", key, strerror(errno));
		if (S_ISREG(stat_.st_mode) && (stat_.st_uid != 0 || stat_.st_mode & 077))
			refuse("others than root can read the key file %s\nchown root: %s; chmod 600 %s", key, key, key);
		int status = open_with(device, argv[2], discards, key, NULL);
		if (status == wrong)
			refuse("the key in %s does not open %s", key, called);
		if (status != 0)
			refuse("%s cannot be opened\n%s", called, said);
		return 0;
	}
	static struct passphrase typed;
	mlock(&typed, sizeof typed);
	int status = wrong;
	for (int i = 0; i < (given < 0 ? 3 : 1) && status == wrong; i++) {
		if (given < 0)
			ask(called, machine, i > 0, &typed);
		else if (!read_line(given, &typed))
			refuse("there is no passphrase on descriptor %d", given);
		status = open_with(device, argv[2], discards, NULL, &typed);
		explicit_bzero(&typed, sizeof typed);
	}
	if (status == wrong)
		refuse(given < 0 ? "none of three passphrases opens %s\nnothing has been opened" : "the passphrase that was given does not open %s\nnothing has been opened", called);
	if (status != 0)
		refuse("%s cannot be opened\n%s", called, said);
	return 0;
}

/* The type that the kernel mounts what is on a device as, by the numbers that the file systems begin with (blkid(8) knows many more).
 * ext2 and ext3 as ext4: its driver has them too, and only under this name can it show other owners. NULL: none of these. */
static const char *type_of(const char *device) {
	static unsigned char bytes[0x10048];
	int file = open(device, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : pread(file, bytes, sizeof bytes, 0);
	if (file >= 0)
		close(file);
	if (length < (ssize_t)sizeof bytes)
		return NULL;
	return bytes[0x438] == 0x53 && bytes[0x439] == 0xef          ? "ext4"
	       : memcmp(bytes, "XFSB", 4) == 0                        ? "xfs"
	       : memcmp(bytes + 0x10040, "_BHRfS_M", 8) == 0          ? "btrfs"
	       : memcmp(bytes + 0x400, "\x10\x20\xf5\xf2", 4) == 0    ? "f2fs"
	       : bytes[510] == 0x55 && bytes[511] == 0xaa && (memcmp(bytes + 54, "FAT", 3) == 0 || memcmp(bytes + 82, "FAT", 3) == 0) ? "vfat"
	                                                              : NULL;
}

/* \040 and the like in mountinfo: proc(5). */
static void unescape(char *text) {
	char *to = text;
	for (; *text; text++)
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
			text += 3;
		} else
			*to++ = *text;
	*to = '\0';
}

/* Where a device is mounted, in the mount namespace of a process. btrfs has a number of its own, so that its source is looked at too.
 * Asked with a path, whether it is mounted there: 1, and 2 where something else is. */
int mounted(const char *pid, dev_t device, const char *at, char *elsewhere) {
	char path[64], line[3 * PATH_MAX], root[PATH_MAX], place[PATH_MAX], source[PATH_MAX];
	snprintf(path, sizeof path, "/proc/%s/mountinfo", pid);
	FILE *file = fopen(path, "re");
	int found = 0;
	while (file && fgets(line, sizeof line, file)) {
		unsigned first, second;
		char *after = strstr(line, " - ");
		if (!after || sscanf(line, "%*s %*s %u:%u %4095s %4095s", &first, &second, root, place) != 4 || sscanf(after, " - %*s %4095s", source) != 1)
			continue;
		unescape(place);
		struct stat stat_;
		int same = makedev(first, second) == device || (first == 0 && *source == '/' && stat(source, &stat_) == 0 && S_ISBLK(stat_.st_mode) && stat_.st_rdev == device);
		if (at && strcmp(place, at) == 0)
			found = same ? 1 : 2;
		else if (same && elsewhere)
			snprintf(elsewhere, PATH_MAX, "%s", place);
		else if (same && !at)
			found = 1;
	}
	if (file)
		fclose(file);
	return found;
}

/* The same for a root: FAT has neither owners nor links. */
static const char *root_type_of(const char *device) {
	const char *type = type_of(device);
	return type && strcmp(type, "vfat") != 0 ? type : NULL;
}

static dev_t number_of(const char *device) {
	struct stat stat_;
	if (stat(device, &stat_) < 0 || !S_ISBLK(stat_.st_mode))
		refuse("%s is not there", device);
	return stat_.st_rdev;
}

/* check DEVICE TARGET VOLUME [beside]: repairs what can be repaired without being asked. Not while it is mounted there. `beside`: it is
 * another one than the root. */
int check_job(int argc, char **argv) {
	if (argc != 4 && argc != 5)
		die("check DEVICE TARGET VOLUME [beside]");
	if (!await_change(argv[1], exists, comes_up() ? patience : 0))
		refuse("%s is not there", argv[1]);
	if (mounted("self", number_of(argv[1]), argv[2], NULL) == 1)
		return 0;
	const char *type = argc == 5 ? type_of(argv[1]) : root_type_of(argv[1]);
	if (!type)
		refuse("there is no file system on %s that %s\next4, xfs, btrfs%s are known", argv[3], argc == 5 ? "could be mounted" : "a root could be in", argc == 5 ? ", f2fs and FAT" : " and f2fs");
	int is_ext = strcmp(type, "ext4") == 0;
	/* xfs and btrfs repair themselves when they are mounted: fsck.xfs(8), fsck.btrfs(8). */
	const char *program = is_ext ? must_find("e2fsck", "e2fsprogs") : strcmp(type, "f2fs") == 0 ? find("fsck.f2fs") : strcmp(type, "vfat") == 0 ? find("fsck.fat") : NULL;
	if (!program)
		return 0;
	const char *command[] = { program, is_ext ? "-p" : "-a", argv[1], NULL };
	int status = run(command, -1);
	int is_fat = strcmp(type, "vfat") == 0;
	if (status >= (is_ext ? 4 : is_fat ? 2 : 1)) { /* fsck(8), fsck.fat(8): 1 (and 2, of ext) are errors that have been corrected */
		const char *name = is_ext ? "e2fsck" : is_fat ? "fsck.fat" : "fsck.f2fs";
		char by_hand[3 * PATH_MAX];
		if (strncmp(argv[1], "/run/", 5) == 0) /* a link to a loop device */
			snprintf(by_hand, sizeof by_hand, "nestbox image check --repair, with the name of the image");
		else if (strcmp(argv[1], argv[3]) == 0)
			snprintf(by_hand, sizeof by_hand, "%s -f %s", name, argv[3]);
		else
			snprintf(by_hand, sizeof by_hand, "cryptsetup open %s repair && %s -f /dev/mapper/repair; cryptsetup close repair", argv[3], name);
		refuse("the file system on %s has errors that are not repaired without being asked\n%s\n%swhat was said:\n%s", argv[3], by_hand, strncmp(argv[1], "/run/", 5) == 0 ? "" : "an LVM volume has to be active for that: lvchange -ay; ", said);
	}
	if (status != 0)
		fprintf(stderr, "the file system on %s has been repaired: %s\n", argv[3], said);
	return 0;
}

static int is_empty(int at) {
	int listing = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = listing < 0 ? NULL : fdopendir(listing);
	int entries = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		entries += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (folder)
		closedir(folder);
	return folder && entries == 0;
}

/* mount DEVICE TARGET VOLUME [beside IDS [read-only] [outside]]: makes the folder and mounts it there. Device nodes in it are of no use: it may be a
 * stranger's. `beside`: it is another one than the root; IDS are added to those of its files.
 * `outside`: it is for people of the host to look at, and gives nobody there what its set-user-id programs would. */
int mount_job(int argc, char **argv) {
	int beside = argc > 5 && strcmp(argv[4], "beside") == 0;
	if (argc != 4 && !beside)
		die("mount DEVICE TARGET VOLUME [beside IDS [read-only] [outside]]");
	int read_only = 0, outside = 0;
	for (int i = 6; i < argc; i++) {
		read_only |= strcmp(argv[i], "read-only") == 0;
		outside |= strcmp(argv[i], "outside") == 0;
	}
	char elsewhere[PATH_MAX] = "";
	dev_t device = number_of(argv[1]);
	int there = mounted("self", device, argv[2], elsewhere);
	if (there == 1)
		return 0;
	if (there == 2)
		refuse("something else is mounted on %s\numount %s", argv[2], argv[2]);
	/* The kernel would mount it twice. */
	if (*elsewhere)
		refuse("%s is mounted on %s\numount %s", argv[3], elsewhere, elsewhere);
	const char *type = beside ? type_of(argv[1]) : root_type_of(argv[1]);
	if (!type)
		refuse("there is no file system on %s that could be mounted", argv[3]);
	/* A folder of a person's is theirs to change until it is covered: it is held. */
	struct held held = hold_folder(hold_root(), argv[2]);
	if (held.folder < 0 || (mkdirat(held.folder, held.name, 0755) < 0 && errno != EEXIST))
		die("%s", argv[2]);
	int target = openat(held.folder, held.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || !is_empty(target))
		refuse("%s is there already, and is no empty folder\nthe root of a machine on a volume is mounted there: move it away, or give the machine another name", argv[2]);
	/* By its own name, as the path may be a link of ours that is gone before the mount is. */
	char own[PATH_MAX];
	if (!realpath(argv[1], own))
		die("%s", argv[1]);
	if (beside ? mount_shown(own, target, type, number(argv[5], "IDS"), read_only, outside) < 0 : mount(own, way_to(target).path, type, MS_NODEV, NULL) < 0) {
		int error = errno;
		unlinkat(held.folder, held.name, AT_REMOVEDIR);
		refuse("the file system on %s (%s) cannot be mounted: %s\nthe kernel says why: journalctl --dmesg, or dmesg%s", argv[3], type, strerror(error), strcmp(type, "xfs") == 0 ? "; xfs_repair(8) repairs it" : "");
	}
	return 0;
}

/* Whether the process has a folder or file of the device open, stands in it, or has it mounted in its own namespace. */
static int holds(const char *pid, dev_t device) {
	if (mounted(pid, device, NULL, NULL))
		return 1;
	char path[PATH_MAX];
	struct stat stat_;
	static const char *const links[] = { "cwd", "root", "exe" };
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		snprintf(path, sizeof path, "/proc/%s/%s", pid, links[i]);
		if (stat(path, &stat_) == 0 && stat_.st_dev == device)
			return 1;
	}
	snprintf(path, sizeof path, "/proc/%s/fd", pid);
	DIR *folder = opendir(path);
	int found = 0;
	for (struct dirent *entry; folder && !found && (entry = readdir(folder));)
		found = fstatat(dirfd(folder), entry->d_name, &stat_, 0) == 0 && (stat_.st_dev == device || (S_ISBLK(stat_.st_mode) && stat_.st_rdev == device));
	if (folder)
		closedir(folder);
	return found;
}

enum { most = 64 };

/* Waits until one of those who hold the device has ended, a second at most: others may have come. Their names, for people. */
void await_holders(dev_t device, char names[1024]) {
	struct pollfd ends[most];
	nfds_t count = 0;
	size_t length = 0;
	DIR *processes = opendir("/proc");
	names[0] = '\0';
	for (struct dirent *entry; processes && (entry = readdir(processes)) && count < most;) {
		pid_t pid = atoi(entry->d_name);
		if (pid <= 0 || pid == getpid() || !holds(entry->d_name, device))
			continue;
		int end = (int)syscall(SYS_pidfd_open, pid, 0);
		if (end < 0)
			continue;
		fcntl(end, F_SETFD, FD_CLOEXEC);
		ends[count++] = (struct pollfd){ .fd = end, .events = POLLIN };
		char path[300], name[64] = "?";
		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		FILE *comm = fopen(path, "re");
		if (comm && fgets(name, sizeof name, comm))
			name[strcspn(name, "\n")] = '\0';
		if (comm)
			fclose(comm);
		if (length < 900)
			length += (size_t)snprintf(names + length, 1024 - length, "%s%d (%s)", length ? ", " : "", pid, name);
	}
	if (processes)
		closedir(processes);
	/* With nobody there it is the kernel that is about to let go, or udev that looks at it: neither tells. */
	poll(ends, count, count ? 1000 : 100);
	while (count)
		close(ends[--count].fd);
}

/* Exit status of cryptsetup(8), "device already exists or device is busy". */
enum { busy = 5 };

/* lock MAPPING: closes it. The kernel refuses that as long as a container, which has its own copy of the mount, or anybody else is in it. */
int lock_job(int argc, char **argv) {
	if (argc != 2)
		die("lock MAPPING");
	char path[PATH_MAX], names[1024] = "";
	snprintf(path, sizeof path, "/dev/mapper/%s", argv[1]);
	const char *command[] = { must_find("cryptsetup", "cryptsetup-bin"), "close", argv[1], NULL };
	for (long long limit = now() + farewell * 1000; exists(path);) {
		dev_t device = number_of(path);
		int status = run(command, -1);
		if (status == 0 || !exists(path))
			return 0;
		if (status != busy)
			refuse("%s stays open\n%s", path, said);
		if (now() > limit)
			refuse("%s stays open: it is in use%s%s\nend what uses it: nestbox clean closes it then", path, *names ? " by " : "", names); /* in one line: of several failures no more is told */
		await_holders(device, names);
	}
	return 0;
}
