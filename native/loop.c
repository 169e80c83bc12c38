/* Partitions of disk images, and of disks, as block devices of their own: loop devices with an offset, as the kernel of this host need not know
 * the kind of table. Which number one has got is told late, so that each carries the name of its machine (lo_file_name): by that it is found again. */
#include "volume.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static uint64_t bytes(const char *text, const char *what) {
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		die("'%s' is not a number for %s", text, what);
	return value;
}

/* The next loop device that is over anything: its open descriptor and what the kernel says of it. -1: there is no other. */
static int next_loop(DIR *folder, char path[300], struct loop_info64 *info) {
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		if (strncmp(entry->d_name, "loop", 4) != 0)
			continue;
		snprintf(path, 300, "/sys/class/block/%s/loop/backing_file", entry->d_name);
		if (!exists(path))
			continue;
		snprintf(path, 300, "/dev/%s", entry->d_name);
		int loop = open(path, O_RDONLY | O_CLOEXEC);
		if (loop < 0)
			continue;
		if (ioctl(loop, LOOP_GET_STATUS64, info) == 0)
			return loop;
		close(loop);
	}
	return -1;
}

/* As the kernel writes numbers of devices in 64 bits: huge_encode_dev() in linux/kdev_t.h. */
static dev_t decoded(uint64_t number_) {
	return makedev((number_ & 0xfff00) >> 8, (number_ & 0xff) | ((number_ >> 12) & 0xfff00));
}

static int is_over(const struct loop_info64 *info, const struct stat *file) {
	return S_ISBLK(file->st_mode) ? decoded(info->lo_rdevice) == file->st_rdev : info->lo_inode == file->st_ino && decoded(info->lo_device) == file->st_dev;
}

static int belongs_to(const struct loop_info64 *info, const char *machine) {
	return strncmp((const char *)info->lo_file_name, machine, LO_NAME_SIZE) == 0;
}

/* The path leads to the device from one moment to the next. */
static void lead(const char *link_, const char *device) {
	char partial[PATH_MAX];
	snprintf(partial, sizeof partial, "%s.new", link_);
	unlink(partial);
	if (symlink(device, partial) < 0 || rename(partial, link_) < 0)
		die("%s", link_);
}

/* loop FILE START SIZE LINK MACHINE: a loop device over these bytes of the file or disk, to which LINK leads. One that the machine has already is taken:
 * `nestbox start` has made it before the unit does. Anybody else's is refused: two file systems over the same bytes destroy them. */
int loop_job(int argc, char **argv) {
	if (argc != 6 || strlen(argv[5]) >= LO_NAME_SIZE)
		die("loop FILE START SIZE LINK MACHINE");
	const char *file = argv[1], *machine = argv[5];
	uint64_t start = bytes(argv[2], "START"), size = bytes(argv[3], "SIZE");
	if (!await_change(file, exists, comes_up() ? patience : 0))
		refuse("%s is not there", file);
	struct stat stat_;
	if (stat(file, &stat_) < 0)
		die("%s", file);
	char path[300];
	struct loop_info64 info;
	int ours = 0;
	DIR *folder = opendir("/sys/class/block");
	for (int loop; (loop = next_loop(folder, path, &info)) >= 0; close(loop)) {
		if (!is_over(&info, &stat_))
			continue;
		if (!belongs_to(&info, machine)) {
			const char *name = (const char *)info.lo_file_name;
			/* Those that others make have a path there: losetup(8). */
			if (strncmp(name, "image.", 6) == 0)
				refuse("%s is mounted by nestbox image mount, or being changed\nnestbox image unmount %s", file, file);
			if (*name && !strchr(name, '/'))
				refuse("%s is in use by the machine '%.*s'\nnestbox stop %.*s", file, LO_NAME_SIZE, name, LO_NAME_SIZE, name);
			refuse("%s is in use: %s is over it\nlosetup --detach %s, when nothing of it is mounted any more", file, path, path);
		}
		if (info.lo_offset == start && info.lo_sizelimit == size) {
			lead(argv[4], path);
			return 0;
		}
		ours = 1;
	}
	if (folder)
		closedir(folder);
	/* The claim lives as long as the loop device, which has this open file: of a disk the kernel's own, so that nobody can mount a partition of it;
	 * of a file a lock, which the next nestbox meets, and QEMU. A second partition of the same machine has the first one's. */
	int backing = open(file, O_RDWR | O_CLOEXEC | (S_ISBLK(stat_.st_mode) && !ours ? O_EXCL : 0));
	if (backing < 0 && errno == EBUSY)
		refuse("%s is in use\nlsblk %s shows what is mounted, or made of it", file, file);
	if (backing < 0)
		refuse("%s cannot be opened for writing: %s", file, strerror(errno));
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (!ours && !S_ISBLK(stat_.st_mode) && fcntl(backing, F_OFD_SETLK, &whole) < 0 && (errno == EAGAIN || errno == EACCES))
		refuse("%s is in use: a program has it locked\nlsof %s, or fuser, names it", file, file);
	struct loop_config config = { .fd = (uint32_t)backing, .info = { .lo_offset = start, .lo_sizelimit = size } };
	strncpy((char *)config.info.lo_file_name, machine, LO_NAME_SIZE - 1);
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		refuse("this kernel has no loop devices: %s\nmodprobe loop", strerror(errno));
	for (;;) {
		int number_ = ioctl(control, LOOP_CTL_GET_FREE);
		if (number_ < 0)
			die("a free loop device");
		snprintf(path, sizeof path, "/dev/loop%d", number_);
		int loop = await_change(path, exists, 5) ? open(path, O_RDWR | O_CLOEXEC) : -1;
		if (loop < 0)
			die("%s", path);
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			break; /* it stays open until we end: nobody detaches it before the link leads there */
		if (errno != EBUSY) /* somebody else was faster, and there are others */
			die("%s over %s", path, file);
		close(loop);
	}
	lead(argv[4], path);
	return 0;
}

/* Takes away what is mounted of it, in our own namespace: what a container has ends with that. */
static void unmount_all(dev_t device) {
	char at[PATH_MAX];
	for (int tries = 0; tries < 16 && (*at = '\0', mounted("self", device, NULL, at), *at); tries++)
		if (umount2(at, UMOUNT_NOFOLLOW) < 0 && (errno != EBUSY || umount2(at, UMOUNT_NOFOLLOW | MNT_DETACH) < 0))
			return;
}

/* loop-end MACHINE [START]: the machine's loop devices, or the one that begins there, are let go, when nobody is in them any more. Without START also what is mounted of them. */
int loop_end_job(int argc, char **argv) {
	if (argc != 2 && argc != 3)
		die("loop-end MACHINE [START]");
	uint64_t start = argc == 3 ? bytes(argv[2], "START") : 0;
	char path[300], names[1024] = "";
	struct loop_info64 info;
	for (long long limit = now() + farewell * 1000;;) {
		dev_t left = 0;
		char which[300];
		DIR *folder = opendir("/sys/class/block");
		for (int loop; (loop = next_loop(folder, path, &info)) >= 0; close(loop)) {
			struct stat stat_;
			if (!belongs_to(&info, argv[1]) || (argc == 3 && info.lo_offset != start) || fstat(loop, &stat_) < 0)
				continue;
			if (argc == 2)
				unmount_all(stat_.st_rdev);
			ioctl(loop, LOOP_CLR_FD, 0); /* one that is in use is let go by the kernel with its last user */
			left = stat_.st_rdev;
			memcpy(which, path, sizeof which);
		}
		if (folder)
			closedir(folder);
		/* The kernel lets go when we have closed it: only then it can be told. */
		int gone = 1;
		folder = opendir("/sys/class/block");
		for (int loop; left && (loop = next_loop(folder, path, &info)) >= 0; close(loop))
			gone &= !belongs_to(&info, argv[1]) || (argc == 3 && info.lo_offset != start);
		if (folder)
			closedir(folder);
		if (gone)
			return 0;
		if (now() > limit)
			refuse("%s stays open: %s\n%s", which, *names ? "somebody uses it" : "it is in use", *names ? names : "losetup --detach lets it go by hand");
		await_holders(left, names);
	}
}
