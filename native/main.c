/* nestbox-native: what Node cannot do by itself. One job per sub-command; each leaves nothing behind when killed. */
#include "native.h"
#include <sched.h>
#include <stdarg.h>
#include <time.h>
#include <sys/auxv.h>

_Noreturn void die(const char *format, ...) {
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	fputs("nestbox-native: ", stderr);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (error)
		fprintf(stderr, ": %s", strerror(error));
	fputc('\n', stderr);
	exit(1);
}

int other_processors(void) {
	cpu_set_t processors;
	return sched_getaffinity(0, sizeof processors, &processors) == 0 ? CPU_COUNT(&processors) - 1 : 0;
}

long long now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

uint64_t fnv1a(uint64_t hash, const void *bytes, size_t length) {
	for (const unsigned char *at = bytes, *end = at + length; at < end; at++)
		hash = (hash ^ *at) * 0x100000001b3u;
	return hash;
}

static void line(const char *format, va_list arguments) {
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void say(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
}

_Noreturn void refuse(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
	exit(1);
}

uint32_t number(const char *text, const char *what) {
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > UINT32_MAX) {
		errno = 0;
		die("'%s' is not a number for %s", text, what);
	}
	return (uint32_t)value;
}

static const struct {
	const char *name, *takes;
	int (*run)(int argc, char **argv);
} jobs[] = {
	{ "activate", "VG/LV NODE MARK", activate_job },
	{ "ahead", "ROOT -- PROGRAM [ARGUMENT]...", ahead_job },
	{ "bind", "FROM TO UID_MAP GID_MAP [read-only]", bind_job },
	{ "binfmt", "register ENTRY MACHINE LINE | withdraw ENTRY MACHINE", binfmt_job },
	{ "check", "DEVICE TARGET VOLUME [beside]", check_job },
	{ "chroot", "ROOT [--terminal] [--hostname=NAME] [--user=NAME] [--directory=FOLDER] [--ipc=PATH] [--capabilities=MASK] [--personality=x86] [--login] [--setenv=NAME=VALUE]... [--kept] [--bind|--bind-ro FROM TO]... -- PROGRAM [ARGUMENT]...", chroot_job },
	{ "chroot-mounts", "ROOT [--bind|--bind-ro FROM TO]...", chroot_mounts_job },
	{ "chroot-unmount", "ROOT [MOUNTED BEFORE]...", chroot_unmount_job },
	{ "console", "take|give-back TERMINAL FILE | show TERMINAL", console_job },
	{ "deactivate", "VG/LV MARK", deactivate_job },
	{ "each", "PROGRAM [ARGUMENT]... [--then PROGRAM [ARGUMENT]...]...", each_job },
	{ "enter", "PID STARTED [--cgroup FOLDER]... [--user NAME|UID] [--directory FOLDER] [--terminal] [--die-with PID] --login | --open DEVICE | --try | -- PROGRAM [ARGUMENT]...", enter_job },
	{ "every", "PROGRAM [ARGUMENT]... [--then PROGRAM [ARGUMENT]...]...", every_job },
	{ "first", "USER STATUS -- PROGRAM [ARGUMENT]...", first_job },
	{ "forget-devices", "UNIT SYSTEMCTL", forget_devices_job },
	{ "forget-ports", "NFT PROTOCOL PORT [PROTOCOL PORT]...", forget_ports_job },
	{ "forwarding", "on|off NFT", forwarding_job },
	{ "gate", "make|open|refuse PIPE", gate_job },
	{ "hold", "", hold_job },
	{ "in-network", "MACHINE -- PROGRAM [ARGUMENT]...", in_network_job },
	{ "inside", "PID STARTED node PATH c|b MAJOR MINOR MODE UID GID | file PATH | remove PATH [c|b MAJOR MINOR] | look PATH", inside_job },
	{ "ipc", "PATH", ipc_job },
	{ "launch", "[--cgroup FOLDER]... [--ipc PATH] [--user UID:GID[,GID]...] [--output FILE UID GID] [--die-with PID [--gently]] [--own-mounts [--bind FROM TO]...] [--no-sync] [--filters FOLDER] -- PROGRAM [ARGUMENT]...", launch_job },
	{ "lease", "CARD CONNECTOR UID:GID FOLDER", lease_job },
	{ "leftover", "PATH...", leftover_job },
	{ "lock", "MAPPING", lock_job },
	{ "loop", "FILE START SIZE LINK MACHINE", loop_job },
	{ "loop-end", "MACHINE [START]", loop_end_job },
	{ "mount", "DEVICE TARGET VOLUME [beside IDS [read-only] [outside]]", mount_job },
	{ "narrow", "LISTS PACKAGE...", narrow_job },
	{ "node", "MODE UID:GID FROM PATH [FROM PATH]...", node_job },
	{ "on-lease", "SOCKET SERVER [ARGUMENT]...", on_lease_job },
	{ "overlay", "TARGET TOP UPPER WORK LOWER [SHIFT]", overlay_job },
	{ "owners", "preview DIRECTORY FROM TO | change DIRECTORY FROM TO NOTES", owners_job },
	{ "partition", "DESCRIPTOR START SIZE [--lock] [--bare] [--read-only] [--mount TYPE] --die-with PID -- PROGRAM [ARGUMENT]...", partition_job },
	{ "press", "", press_job },
	{ "pulse-gate", "LISTEN SERVER", pulse_gate_job },
	{ "ready", "PATH", ready_job },
	{ "seal", "DIRECTORY", seal_job },
	{ "seat", "take MACHINE [path:PLACE|id:VENDOR:PRODUCT|name:NAME]... | give-back MACHINE", seat_job },
	{ "udev-relay", "[--seat SEAT] [--visible TERMINAL|--seat-of MACHINE] --machine NAME|--group FOLDER NODES UDEV UID:GID MODE", udev_relay_job },
	{ "unlock", "DEVICE MAPPING MACHINE [--discards] [--key-file FILE] [--called NAME] [--passphrase-fd N]", unlock_job },
	{ "unmount", "TARGET", unmount_job },
	{ "update", "ROOT PACKAGE...", update_job },
	{ "verify", "listen | try", verify_job },
	{ "wait", "PIPE -- PROGRAM [ARGUMENT]...", wait_job },
	{ "x11-gate", "LISTEN SERVER", x11_gate_job },
};

int main(int argc, char **argv) {
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], "nestbox") == 0)
		return front(argc, argv);
	/* invoke-rc.d(8): 101 forbids what is asked for. It is bound there for a run of an image. */
	if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], "policy-rc.d") == 0)
		return 101;
	const char *started = (const char *)getauxval(AT_EXECFN);
	if (argc > 0 && started && strncmp(started, TOOLS, sizeof TOOLS - 1) == 0)
		return tool(started + sizeof TOOLS - 1, argc, argv);
	if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], "dpkg-deb") == 0)
		return dpkg_deb(argc, argv);
	for (size_t i = 0; argc > 1 && i < sizeof jobs / sizeof *jobs; i++)
		if (strcmp(argv[1], jobs[i].name) == 0)
			return jobs[i].run(argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
		fprintf(stderr, "nestbox-native %s %s\n", jobs[i].name, jobs[i].takes);
	return 2;
}
