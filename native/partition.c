/* A program at work on one partition of an image: by a loop device over its bytes alone, so that what goes wrong in there cannot reach the
 * others, and mounted where only this process sees it, where the file system wants that. The kernel takes both away when the last
 * process that has them open is gone, however it ended. */
#include "native.h"
#include <fcntl.h>
#include <glob.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static uint64_t bytes(const char *text) {
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		die("'%s' is not a number of bytes", text);
	return value;
}

/* As the kernel packs it for lo_device: huge_encode_dev(). */
static uint64_t packed(dev_t device) {
	return (minor(device) & 0xff) | ((uint64_t)major(device) << 8) | ((uint64_t)(minor(device) & ~0xffu) << 12);
}

/* The loop device that somebody else has over the image, by the file itself and not by a name of it; empty: there is none. One that is about
 * to go with its last user (udev looks at each) is waited for, a moment. */
static void find_user(int image, char name[64]) {
	struct stat stat_;
	if (fstat(image, &stat_) < 0)
		die("image");
	*name = '\0';
	for (int tries = 0; tries < 30; tries++) {
		glob_t found;
		int leaving = 0;
		*name = '\0';
		if (glob("/sys/block/loop*/loop", GLOB_NOSORT, NULL, &found) != 0)
			return;
		for (size_t i = 0; i < found.gl_pathc && !*name; i++) {
			char device[64];
			snprintf(device, sizeof device, "/dev/%.*s", (int)strcspn(found.gl_pathv[i] + 11, "/"), found.gl_pathv[i] + 11);
			struct loop_info64 info;
			int file = open(device, O_RDONLY | O_CLOEXEC);
			if (file >= 0 && ioctl(file, LOOP_GET_STATUS64, &info) == 0 && (S_ISBLK(stat_.st_mode) ? info.lo_rdevice == packed(stat_.st_rdev) : info.lo_device == packed(stat_.st_dev) && info.lo_inode == stat_.st_ino)) {
				snprintf(name, 64, "%s", device);
				leaving = (info.lo_flags & LO_FLAGS_AUTOCLEAR) && strncmp((char *)info.lo_file_name, "nestbox:", 8) == 0;
			}
			if (file >= 0)
				close(file);
		}
		globfree(&found);
		if (!*name || !leaving)
			return;
		usleep(100000);
	}
}

/* Returns an open descriptor of a loop device, whose name it writes. */
static int attach(int image, uint64_t start, uint64_t size, int read_only, char name[64]) {
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		die("there are no loop devices: /dev/loop-control");
	for (int tries = 0; tries < 100; tries++) {
		int number_ = ioctl(control, LOOP_CTL_GET_FREE);
		if (number_ < 0)
			die("no loop device is free");
		snprintf(name, 64, "/dev/loop%d", number_);
		/* The node comes with udev where it is there, and with devtmpfs where it is not. */
		int device = open(name, (read_only ? O_RDONLY : O_RDWR));
		if (device < 0)
			die("%s", name);
		struct loop_config config = { .fd = (uint32_t)image, .info = { .lo_offset = start, .lo_sizelimit = size, .lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0) } };
		snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, "nestbox:%d", getpid());
		if (ioctl(device, LOOP_CONFIGURE, &config) == 0) {
			close(control);
			return device;
		}
		if (errno != EBUSY) /* somebody else has taken it in between */
			die("%s", name);
		close(device);
	}
	die("no loop device is free");
}

/* On the description that it was given, which the caller has too. Whoever was killed just now takes a moment to let go of it. */
static int take_lock(int image) {
	for (int tries = 0; tries < 100; tries++) {
		if (flock(image, LOCK_EX | LOCK_NB) == 0)
			return 1;
		usleep(100000);
	}
	return 0;
}

/* partition DESCRIPTOR START SIZE [--lock] [--bare] [--read-only] [--mount TYPE] --die-with PID -- PROGRAM [ARGUMENT]...: {} is the device, or where it is mounted.
 * `bare`: the image itself, and where in it. */
int partition_job(int argc, char **argv) {
	int read_only = 0, lock = 0, bare = 0, i = 4;
	const char *type = NULL;
	pid_t parent = 0;
	if (argc < 6)
		die("partition DESCRIPTOR START SIZE [--lock] [--bare] [--read-only] [--mount TYPE] --die-with PID -- PROGRAM [ARGUMENT]...");
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--read-only") == 0)
			read_only = 1;
		else if (strcmp(argv[i], "--lock") == 0)
			lock = 1;
		else if (strcmp(argv[i], "--bare") == 0)
			bare = 1;
		else if (strcmp(argv[i], "--mount") == 0 && i + 1 < argc)
			type = argv[++i];
		else if (strcmp(argv[i], "--die-with") == 0 && i + 1 < argc)
			parent = (pid_t)number(argv[++i], "--die-with");
		else
			die("unknown option '%s'", argv[i]);
	}
	if (i + 1 >= argc)
		die("partition needs -- PROGRAM");
	if (parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		return 1;
	int image = (int)number(argv[1], "a descriptor");
	if (lock && !take_lock(image)) {
		fprintf(stderr, "another program has locked the image\nwait for its end\n");
		return 200; /* no program that is run has this one */
	}
	char name[64];
	find_user(image, name);
	if (*name) {
		fprintf(stderr, "the image is in use: %s is over it\nlosetup --detach %s, when nobody needs it\n", name, name);
		return 200; /* no program that is run has this one */
	}
	errno = 0;
	const char *place = name;
	/* As the programs of e2fsprogs take it: they need no device for that, and the way to the disk is half as long. */
	if (bare)
		snprintf(name, sizeof name, "/proc/self/fd/%d?offset=%llu", image, (unsigned long long)bytes(argv[2]));
	else
		attach(image, bytes(argv[2]), bytes(argv[3]), read_only, name);
	if (type) {
		place = access("/mnt", F_OK) == 0 ? "/mnt" : "/tmp";
		/* A log that is still to be replayed is not, where nothing is to be written. */
		const char *options = !read_only ? "" : strcmp(type, "xfs") == 0 ? "norecovery" : strcmp(type, "btrfs") == 0 ? "rescue=nologreplay" : "";
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			die("no mount namespace can be made");
		if (mount(name, place, type, MS_NODEV | MS_NOSUID | MS_NOEXEC | (read_only ? MS_RDONLY : 0), options) < 0) {
			fprintf(stderr, "the kernel does not mount it as %s: %s\n", type, errno == ENODEV ? "it has no driver for that" : strerror(errno));
			return 201;
		}
	}
	char **words = argv + i + 1;
	for (char **word = words; *word; word++)
		if (strcmp(*word, "{}") == 0)
			*word = (char *)place;
	execv(words[0], words);
	die("%s", words[0]);
}
