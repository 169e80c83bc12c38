#include "person.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* /etc/passwd and /etc/group as the container has them. It may have put anything there: a pipe is not waited for. */
static FILE *account_file(const char *path) {
	struct stat stat;
	int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file >= 0 && (fstat(file, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size > 1 << 20)) {
		close(file);
		file = -1;
	}
	return file < 0 ? NULL : fdopen(file, "r");
}

struct person find_person(const char *wanted) {
	struct person person = { .uid = (uid_t)-1 };
	int by_number = *wanted && strspn(wanted, "0123456789") == strlen(wanted);
	FILE *file = account_file("/etc/passwd");
	for (struct passwd *entry; file && (entry = fgetpwent(file));)
		if (by_number ? entry->pw_uid == number(wanted, "a user") : strcmp(entry->pw_name, wanted) == 0) {
			snprintf(person.name, sizeof person.name, "%s", entry->pw_name);
			snprintf(person.home, sizeof person.home, "%s", entry->pw_dir);
			snprintf(person.shell, sizeof person.shell, "%s", entry->pw_shell);
			person.uid = entry->pw_uid;
			person.groups[person.count++] = entry->pw_gid;
			break;
		}
	if (file)
		fclose(file);
	if (person.count == 0 && (by_number || strcmp(wanted, "root") == 0)) {
		snprintf(person.name, sizeof person.name, "%s", wanted);
		snprintf(person.home, sizeof person.home, "/");
		person.uid = by_number ? number(wanted, "a user") : 0;
		person.groups[person.count++] = person.uid;
	}
	if (person.count == 0) {
		errno = 0;
		die("there is no user '%s' inside", wanted);
	}
	file = account_file("/etc/group");
	for (struct group *entry; file && (entry = fgetgrent(file));)
		for (char **member = entry->gr_mem; *member; member++)
			if (strcmp(*member, person.name) == 0 && person.count < 64) {
				person.groups[person.count++] = entry->gr_gid;
				break;
			}
	if (file)
		fclose(file);
	return person;
}

static void set_capabilities(unsigned long long held, int only_inheritable) {
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		die("capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].inheritable = 0;
		if (only_inheritable)
			continue;
		data[i].permitted &= (uint32_t)(held >> (32 * i));
		data[i].effective = data[i].permitted;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		die("capabilities");
}

static void limit_capabilities(unsigned long long left) {
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(left >> i & 1) && prctl(PR_CAPBSET_DROP, i) < 0)
			die("capability %d", i);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		die("ambient capabilities");
}

void hold_capabilities(unsigned long long left) {
	limit_capabilities(left);
	set_capabilities(left, 0);
	set_capabilities(0, 1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
}

void become_person(const struct person *person, struct bounds bounds) {
	/* Else the keys of the person at the host came in. It is one of the calls that nspawn's filter forbids. */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	umask(022);
	limit_capabilities(bounds.capabilities);
	gid_t group = person->groups[0];
	if (setgroups(person->count, person->groups) < 0 || setresgid(group, group, group) < 0)
		die("group %u does not exist inside", group);
	set_capabilities(0, 1);
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresuid(person->uid, person->uid, person->uid) < 0)
		die("user %u does not exist inside", person->uid);
	if (bounds.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	set_capabilities(person->uid == 0 ? bounds.capabilities : bounds.no_new_privileges ? 0 : 1ULL << CAP_SYS_ADMIN, 0);
}

void forget_capabilities(const struct person *person) {
	if (person->uid != 0)
		set_capabilities(0, 0);
}

_Noreturn void execute(char **argv, const char *shell, int login) {
	char name[4200];
	char *words[] = { name, NULL };
	if (login) {
		const char *base = strrchr(shell, '/');
		snprintf(name, sizeof name, "-%s", base ? base + 1 : shell);
		execv(shell, words);
		fprintf(stderr, "%s: %s\n", shell, strerror(errno));
	} else {
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	}
	_exit(errno == ENOENT ? 127 : 126); /* as env(1) does */
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x10 /* <linux/memfd.h>, Linux 6.3 */
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int copy_self(const char *path) {
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat stat;
	off_t at = 0;
	int is_done = from >= 0 && to >= 0 && fstat(from, &stat) == 0;
	while (is_done && at < stat.st_size)
		is_done = sendfile(to, from, &at, (size_t)(stat.st_size - at)) > 0;
	close(from);
	close(to);
	return is_done;
}

void run_from_copy(int argc, char **argv) {
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat stat;
	if (self < 0 || fstat(self, &stat) < 0)
		die("/proc/self/exe");
	if (fcntl(self, F_GET_SEALS) == SEALS) {
		close(self);
		return;
	}
	int copy = memfd_create("nestbox-native", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("nestbox-native", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t at = 0;
	while (copy >= 0 && at < stat.st_size && sendfile(copy, self, &at, (size_t)(stat.st_size - at)) > 0)
		;
	if (copy < 0 || at < stat.st_size || fcntl(copy, F_ADD_SEALS, SEALS) < 0)
		die("a copy of this program in memory");
	char *words[argc + 2];
	words[0] = "nestbox-native";
	memcpy(words + 1, argv, ((size_t)argc + 1) * sizeof *argv);
	fexecve(copy, words, environ);
	die("a copy of this program in memory");
}
