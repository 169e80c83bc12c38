/* The mount jobs: `bind` shows a tree with other owners, `overlay` puts a writable layer over a tree, `ipc` keeps a namespace.
 * Both build the mount detached and attach it in one move, so that a kill leaves either the whole mount or none. */
#include "held.h"
#include "volume.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Raw calls: glibc 2.36 (Debian 12) declares them in a header that clashes with the kernel's. */
#define open_tree(...) ((int)syscall(SYS_open_tree, __VA_ARGS__))
#define move_mount(...) ((int)syscall(SYS_move_mount, __VA_ARGS__))
#define mount_setattr(...) ((int)syscall(SYS_mount_setattr, __VA_ARGS__))
#define fsopen(...) ((int)syscall(SYS_fsopen, __VA_ARGS__))
#define fsconfig(...) ((int)syscall(SYS_fsconfig, __VA_ARGS__))
#define fsmount(...) ((int)syscall(SYS_fsmount, __VA_ARGS__))
#define mount(...) ((int)syscall(SYS_mount, __VA_ARGS__))
#define umount2(...) ((int)syscall(SYS_umount2, __VA_ARGS__))
#define MNT_DETACH 2 /* <sys/mount.h> */
#define UMOUNT_NOFOLLOW 8

static void write_map(pid_t pid, const char *name, const char *map) {
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, map, strlen(map)) < 0)
		die("%s '%s'", name, map);
	close(file);
}

/* An open user namespace with the given maps, in the form of /proc/PID/uid_map (user_namespaces(7)). It has no
 * process in it: it is only good for mount_setattr(2). */
static int user_namespace(const char *uid_map, const char *gid_map) {
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			die("no user namespace can be made");
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	char byte;
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(1); /* the child has said why */
	close(ready[0]);
	write_map(pid, "uid_map", uid_map);
	write_map(pid, "gid_map", gid_map);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		die("%s", path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return file;
}

static int clone_mount(const char *path) {
	int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		die("%s", path);
	return tree;
}

/* Files are shown with the ids of the namespace (MOUNT_ATTR_IDMAP, Linux 5.12; which file systems: mount_setattr(2)). */
static void map_ids(int tree, int ids) {
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ids };
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		die("the file system cannot show other owners (mount_setattr)");
}

static void attach(int tree, const char *target) {
	if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die("%s", target);
}

/* bind FROM TO [UID_MAP GID_MAP [read-only]]: without set-user-id programs and device nodes, whoever owns them; without maps as it is. Neither end is where a link leads that others than
 * root can change. */
int bind_job(int argc, char **argv) {
	if (argc != 3 && argc < 5)
		die("bind FROM TO [UID_MAP GID_MAP [read-only]]");
	int root = hold_root(), from = hold(root, argv[1]);
	int tree = from < 0 ? -1 : open_tree(from, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		die("%s", argv[1]);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (argc > 5 ? MOUNT_ATTR_RDONLY : 0) };
	if (argc >= 5) {
		map_ids(tree, user_namespace(argv[3], argv[4]));
		if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
			die("%s", argv[2]);
	}
	int target = hold(root, argv[2]);
	if (target < 0 || move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		die("%s", argv[2]);
	return 0;
}

/* ipc PATH: a new IPC namespace, that is there as long as it is mounted on this file or a process is in it: namespaces(7). */
int ipc_job(int argc, char **argv) {
	if (argc != 2)
		die("ipc PATH");
	int target = hold(hold_root(), argv[1]);
	if (target < 0)
		die("%s", argv[1]);
	if (unshare(CLONE_NEWIPC) < 0)
		die("no IPC namespace can be made");
	int tree = clone_mount("/proc/self/ns/ipc");
	if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		die("%s", argv[1]);
	return 0;
}

int mount_shown(const char *device, int target, const char *type, uint32_t ids, int read_only, int no_set_user_id) {
	int context = fsopen(type, FSOPEN_CLOEXEC);
	if (context < 0)
		return -1;
	/* FAT has no owners: it is told whose all is. */
	int has_owners = strcmp(type, "vfat") != 0;
	char owner[16];
	snprintf(owner, sizeof owner, "%u", ids);
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", device, 0) < 0 || (read_only && fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
	    || (!has_owners && (fsconfig(context, FSCONFIG_SET_STRING, "uid", owner, 0) < 0 || fsconfig(context, FSCONFIG_SET_STRING, "gid", owner, 0) < 0))
	    || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	int tree = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0) | (no_set_user_id ? MOUNT_ATTR_NOSUID : 0));
	if (tree < 0)
		return -1;
	if (has_owners && ids != 0) {
		char map[64];
		snprintf(map, sizeof map, "0 %u 65536", ids);
		map_ids(tree, user_namespace(map, map));
	}
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static void set(int context, const char *key, const char *value) {
	if (fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) < 0)
		die("overlay: %s", key);
}

/* unmount TARGET: one that somebody on the host stands in, or has a file open in, is out of everybody's sight at once, and
 * gone when they let go. umount(8) does the same and takes ten times as long: it looks for its own records first. */
int unmount_job(int argc, char **argv) {
	if (argc < 2)
		die("unmount TARGET");
	/* By its name in its folder, which is held: what is mounted would be in use if it were held itself. */
	struct held held = hold_folder(hold_root(), argv[1]);
	if (held.folder < 0 || fchdir(held.folder) < 0 || (umount2(held.name, UMOUNT_NOFOLLOW) < 0 && (errno != EBUSY || umount2(held.name, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)))
		die("%s", argv[1]);
	return 0;
}

/* overlay TARGET TOP UPPER WORK LOWER [SHIFT]: UPPER and WORK are paths of folders below TOP. With SHIFT, id 0 of the layers is SHIFT in the
 * overlay, 65536 ids in all. An overlay itself cannot be idmapped; its layers can (Linux 5.19), but only where they
 * are attached in the caller's mount namespace: hence a namespace for the layers, left before the overlay is attached. */
int overlay_job(int argc, char **argv) {
	if (argc < 6 || strstr(argv[3], "..") || strstr(argv[4], ".."))
		die("overlay TARGET TOP UPPER WORK LOWER [SHIFT]");
	int layers[2] = { clone_mount(argv[2]), clone_mount(argv[5]) };
	char upper[300], work[300];
	snprintf(upper, sizeof upper, "/tmp/top/%s", argv[3]);
	snprintf(work, sizeof work, "/tmp/top/%s", argv[4]);
	const char *paths[2] = { "/tmp/top", "/tmp/lower" };
	if (argc > 6) {
		char map[64];
		snprintf(map, sizeof map, "0 %u 65536", number(argv[6], "SHIFT"));
		int ids = user_namespace(map, map);
		for (int i = 0; i < 2; i++)
			map_ids(layers[i], ids);
		/* The overlay works with the ids of whoever mounts it, and id 0 does not exist in these layers: without this
		 * it cannot make its work folder and falls back to read-only. The capabilities must outlive the change. */
		if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
			die("securebits");
		setfsgid(number(argv[6], "SHIFT"));
		setfsuid(number(argv[6], "SHIFT"));
	}
	int outside = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (outside < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
	    || mount("nestbox", "/tmp", "tmpfs", 0, "mode=0700") < 0)
		die("no mount namespace can be made");
	for (int i = 0; i < 2; i++) {
		if (mkdir(paths[i], 0700) < 0)
			die("%s", paths[i]);
		attach(layers[i], paths[i]);
	}
	int context = fsopen("overlay", FSOPEN_CLOEXEC);
	if (context < 0)
		die("the kernel has no overlay file system");
	set(context, "source", "nestbox");
	set(context, "lowerdir", "/tmp/lower");
	set(context, "upperdir", upper);
	set(context, "workdir", work);
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		die("overlay of '%s' over '%s'", argv[2], argv[5]);
	int overlay = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
	if (overlay < 0)
		die("overlay");
	if (setns(outside, CLONE_NEWNS) < 0)
		die("the way back to the mount namespace");
	attach(overlay, argv[1]);
	return 0;
}
