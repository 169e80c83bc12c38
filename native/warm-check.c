/* Whether a run can be done again as it was: what its plan was made from is unchanged. src/host/warm.ts writes what is compared here. */
#include "warm.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* In the order of src/warm.ts. */
static const char *variables[] = { "DISPLAY", "HOME", "LANG", "PKEXEC_UID", "SUDO_GID", "SUDO_UID", "TERM", "XAUTHORITY" };

uint64_t caller_key(void) {
	uint64_t hash = FNV1A_BEGIN;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *value = getenv(variables[i]);
		hash = fnv1a(hash, value ? "=" : "-", 1);
		if (value)
			hash = fnv1a(hash, value, strlen(value));
		hash = fnv1a(hash, "", 1);
	}
	return hash;
}

char *contents(const char *path, size_t *length) {
	struct stat stat_;
	int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return NULL;
	char *text = NULL;
	if (fstat(file, &stat_) == 0 && S_ISREG(stat_.st_mode) && stat_.st_uid == 0 && !(stat_.st_mode & 022) && (text = malloc((size_t)stat_.st_size + 1))) {
		ssize_t got = read(file, text, (size_t)stat_.st_size);
		*length = got < 0 ? 0 : (size_t)got;
		text[*length] = '\0';
	}
	close(file);
	return text;
}

/* The next word, or NULL at the end. */
static char *next(char **at, const char *end) {
	char *word = *at;
	if (word >= end)
		return NULL;
	*at = word + strlen(word) + 1;
	return word;
}

/* The last list is `end SUM`, of all before it: what a power cut has torn, or filled with zeroes, has another one. */
static int parse(struct warm *warm, char *text, size_t length) {
	char *at = text, *end = text + length, *word, *last = text, sum[17];
	int room = 0;
	while ((word = next(&at, end))) {
		last = word;
		int count = atoi(word);
		if (count < 1 || (size_t)count > length)
			return 0;
		if (warm->count == room && !(warm->lists = realloc(warm->lists, sizeof *warm->lists * (size_t)(room = room * 2 + 64))))
			return 0;
		struct words *list = &warm->lists[warm->count++];
		list->count = count;
		if (!(list->at = calloc((size_t)count + 1, sizeof *list->at)))
			return 0;
		for (int i = 0; i < count; i++)
			if (!(list->at[i] = next(&at, end)))
				return 0;
	}
	if (warm->count == 0)
		return 0;
	const struct words *list = &warm->lists[warm->count - 1];
	snprintf(sum, sizeof sum, "%016llx", (unsigned long long)fnv1a(FNV1A_BEGIN, text, (size_t)(last - text)));
	return list->count == 2 && strcmp(list->at[0], "end") == 0 && strcmp(list->at[1], sum) == 0;
}

static int is_same(const char *path, const char *was) {
	char is[160];
	struct stat stat_;
	if (stat(path, &stat_) < 0)
		return *was == '\0' && (errno == ENOENT || errno == ENOTDIR);
	/* The time of change of the file itself: that of what is in it anybody who owns it can set back. */
	snprintf(is, sizeof is, "%llu %llu %llu %lld.%ld", (unsigned long long)stat_.st_dev, (unsigned long long)stat_.st_ino, (unsigned long long)stat_.st_size, (long long)stat_.st_ctim.tv_sec, stat_.st_ctim.tv_nsec);
	return strcmp(is, was) == 0;
}

static int is_like(const char *path, const char *was, const char *led) {
	char is[160], leads[4096];
	struct stat stat_;
	if (stat(path, &stat_) < 0)
		return *was == '\0';
	snprintf(is, sizeof is, "%llu %llu %u %u %u %llu", (unsigned long long)stat_.st_dev, (unsigned long long)stat_.st_ino, stat_.st_mode, stat_.st_uid, stat_.st_gid, (unsigned long long)stat_.st_rdev);
	ssize_t length = readlink(path, leads, sizeof leads - 1);
	leads[length < 0 ? 0 : length] = '\0';
	return strcmp(is, was) == 0 && strcmp(leads, led) == 0;
}

static int has_text(const char *path, const char *was) {
	char is[16384];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : 0, got = 0;
	while (file >= 0 && (got = read(file, is + length, sizeof is - 1 - (size_t)length)) > 0)
		length += got;
	if (file >= 0)
		close(file);
	is[length < 0 ? 0 : length] = '\0';
	return got == 0 && length >= 0 && strcmp(is, was) == 0;
}

/* Nobody has the display of that number: its socket, its lock, its abstract socket (findDisplays() of src/probe.ts). */
static int is_free(const char *number) {
	char path[64], line[512];
	struct stat stat_;
	snprintf(path, sizeof path, "/tmp/.X%s-lock", number);
	if (lstat(path, &stat_) == 0)
		return 0;
	snprintf(path, sizeof path, "@/tmp/.X11-unix/X%s", number);
	if (lstat(path + 1, &stat_) == 0)
		return 0;
	FILE *sockets = fopen("/proc/net/unix", "re");
	int taken = !sockets;
	while (sockets && !taken && fgets(line, sizeof line, sockets)) {
		line[strcspn(line, "\n")] = '\0';
		const char *name = strrchr(line, ' ');
		taken = name && strcmp(name + 1, path) == 0;
	}
	if (sockets)
		fclose(sockets);
	return !taken;
}

/* Whether what a list says still holds; those that say something else hold. */
static int holds(const struct words *list) {
	char **at = list->at;
	const char *kind = at[0], *value = list->count > 1 ? getenv(at[1]) : NULL;
	struct stat stat_;
	if (strcmp(kind, "boot") == 0)
		return has_text("/proc/sys/kernel/random/boot_id", at[1]);
	if (strcmp(kind, "set") == 0)
		return value && strcmp(value, at[2]) == 0;
	if (strcmp(kind, "unset") == 0)
		return !value;
	if (strcmp(kind, "same") == 0)
		return is_same(at[1], at[2]);
	if (strcmp(kind, "none") == 0)
		return lstat(at[1], &stat_) < 0 && errno == ENOENT;
	if (strcmp(kind, "like") == 0)
		return is_like(at[1], at[2], at[3]);
	if (strcmp(kind, "text") == 0)
		return has_text(at[1], at[2]);
	return strcmp(kind, "display") != 0 || is_free(at[1]);
}

static int take_in(struct warm *warm, struct words *list) {
	const char *kind = list->at[0];
	if (strcmp(kind, "state") == 0)
		warm->state = list->at[1];
	else if (strcmp(kind, "root") == 0)
		warm->root = list->at[1];
	else if (strcmp(kind, "program") == 0 && warm->program.count == 0)
		warm->program = (struct words){ list->count - 1, list->at + 1 };
	else if (strcmp(kind, "step") == 0)
		warm->steps[warm->step_count++] = (struct step){ .line = list->at[1], .words = { list->count - 2, list->at + 2 } };
	return holds(list);
}

int read_record(struct warm *warm, const char *path) {
	size_t length = 0;
	char *text = contents(path, &length);
	if (!text || !parse(warm, text, length) || !(warm->steps = calloc((size_t)warm->count, sizeof *warm->steps)))
		return 0;
	for (int i = 0; i < warm->count; i++)
		if (!take_in(warm, &warm->lists[i]))
			return 0;
	return 1;
}

/* The state begins with the machine's file, in JSON: src/commands/run.ts. A path that has other letters there is never the same. */
static int is_of(const char *state, const char *file) {
	size_t length = strlen(file);
	return strncmp(state, "\"file\":\"", 8) == 0 && strncmp(state + 8, file, length) == 0 && state[8 + length] == '"' && !strchr(file, '\\');
}

int read_warm(struct warm *warm) {
	char path[512];
	int length = snprintf(path, sizeof path - 8, "/var/lib/nestbox/machines/%s/warm/%016llx", warm->machine, (unsigned long long)caller_key());
	/* To boot a machine is another run than that of a program in it, and is what is meant where no program is named. */
	if (warm->program.count == 0) {
		snprintf(path + length, 8, ".boot");
		warm->boots = access(path, F_OK) == 0;
		if (!warm->boots)
			path[length] = '\0';
	}
	return read_record(warm, path) && warm->state && warm->root && warm->step_count > 0 && warm->program.count > 0
	       && (!warm->file || is_of(warm->state, warm->file));
}

/* `flags`: O_NOFOLLOW for what may be a link itself. One that leads out of the root, as any absolute one does, is Node's to complain about. */
static int is_inside(int root, const char *path, uint64_t flags) {
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags, .resolve = RESOLVE_BENEATH };
	int there = (int)syscall(SYS_openat2, root, path + 1, &how, sizeof how);
	if (there >= 0)
		close(there);
	return there >= 0;
}

/* `inside PATH`, `inside PATH TARGET` where it has to be there only if the target is, and `covered PATH`, which systemd-nspawn follows if it is a link. */
static int is_met(int root, const struct words *list) {
	char **at = list->at;
	if (strcmp(at[0], "covered") == 0)
		return is_inside(root, at[1], 0);
	if (strcmp(at[0], "inside") != 0)
		return 1;
	return is_inside(root, at[1], O_NOFOLLOW) || (list->count == 3 && !is_inside(root, at[2], O_NOFOLLOW) && errno == ENOENT);
}

int has_inside(const struct warm *warm) {
	int root = open(warm->root, O_PATH | O_DIRECTORY | O_CLOEXEC), all = root >= 0;
	for (int i = 0; i < warm->count && all; i++)
		all = is_met(root, &warm->lists[i]);
	if (root >= 0)
		close(root);
	return all;
}
