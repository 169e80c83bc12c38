/* A machine over a template that is there, made as Node has made one from the same file but for the name: src/pattern.ts has what it comes to. Nothing is decided
 * here but whether that still holds, and which ids are free. What differs, is unknown or fails is left to Node, which takes back what is in the journal. */
#include "json.h"
#include "warm.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STORE "/var/lib/nestbox"
#define LONGEST 65536 /* of machine files */

/* A machine file at its name: cutAtName() of src/pattern.ts. */
struct file {
	char text[LONGEST], name[64];
	size_t before, after; /* where the name begins, and where it ends */
};

static int read_file(const char *path, struct file *file) {
	struct stat stat_;
	int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t length = descriptor >= 0 && fstat(descriptor, &stat_) == 0 && S_ISREG(stat_.st_mode) ? read(descriptor, file->text, sizeof file->text) : -1;
	if (descriptor >= 0)
		close(descriptor);
	if (length <= 0 || (size_t)length == sizeof file->text)
		return 0;
	file->text[length] = '\0';
	return strlen(file->text) == (size_t)length;
}

/* The first line that is `name = "NAME"`, whatever is behind it. */
static int cut_at_name(struct file *file) {
	for (char *line = file->text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, "name", 4) != 0)
			continue;
		char *at = line + 4 + strspn(line + 4, " \t");
		if (*at != '=')
			continue;
		at += 1 + strspn(at + 1, " \t");
		size_t length = *at == '"' ? strspn(at + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;
		/* As src/schema.ts has machines' names. */
		if (length == 0 || length > 63 || at[1 + length] != '"' || at[1] < 'a' || at[length] == '-')
			return 0;
		memcpy(file->name, at + 1, length);
		file->name[length] = '\0';
		file->before = (size_t)(at + 1 - file->text);
		file->after = file->before + length;
		return 1;
	}
	return 0;
}

static const struct words *list_of(const struct warm *pattern, const char *kind) {
	for (int i = 0; i < pattern->count; i++)
		if (strcmp(pattern->lists[i].at[0], kind) == 0)
			return &pattern->lists[i];
	return NULL;
}

/* It was kept of this text, whatever its name in the folder says. */
static int is_of(const struct warm *pattern, const struct file *file) {
	const struct words *before = list_of(pattern, "before"), *after = list_of(pattern, "after");
	return before && after && strlen(before->at[1]) == file->before && memcmp(before->at[1], file->text, file->before) == 0 && strcmp(after->at[1], file->text + file->after) == 0;
}

/* The template of which such a file was kept, with all as it was then. Another one may be of a root as it has been before. */
static int find_pattern(struct warm *pattern, const struct file *file, char template[512]) {
	char path[1024];
	uint64_t key = fnv1a(fnv1a(caller_key(), file->text, file->before), "", 1);
	key = fnv1a(key, file->text + file->after, strlen(file->text + file->after) + 1);
	DIR *templates = opendir(STORE "/templates");
	int found = 0;
	for (struct dirent *entry; templates && !found && (entry = readdir(templates));) {
		snprintf(template, 512, STORE "/templates/%s", entry->d_name);
		snprintf(path, sizeof path, "%s/patterns/%016llx", template, (unsigned long long)key);
		if (*entry->d_name == '.' || access(path, R_OK) < 0)
			continue;
		*pattern = (struct warm){ .machine = file->name, .journal = -1 };
		found = read_record(pattern, path) && is_of(pattern, file) && pattern->step_count > 0;
	}
	if (templates)
		closedir(templates);
	return found;
}

/* Nothing has this name yet; a journal would be in the way of ours. */
static int is_free(const char *machine) {
	static const char *const places[] = { STORE "/machines/%s", STORE "/services/%s", STORE "/scratch/%s", STORE "/scratch/%s.kept", STORE "/scratch/%s.owners", "/etc/nestbox/%s.toml" };
	char path[512];
	struct stat stat_;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(path, sizeof path, places[i], machine);
		if (lstat(path, &stat_) == 0 || errno != ENOENT)
			return 0;
	}
	return 1;
}

/* FNV-1a of 128 bits (RFC 9923), in two halves: not every processor has such numbers. */
struct wide {
	uint64_t high, low;
};

static struct wide fnv1a_wide(const unsigned char *bytes, size_t length) {
	const uint64_t prime = 0x13b; /* and 2^88 */
	struct wide hash = { 0x6c62272e07bb0142, 0x62b821756295c58d };
	for (size_t i = 0; i < length; i++) {
		hash.low ^= bytes[i];
		uint64_t first = (hash.low & 0xffffffff) * prime, second = (hash.low >> 32) * prime + (first >> 32);
		hash.high = hash.high * prime + (second >> 32) + (hash.low << 24);
		hash.low = second << 32 | (first & 0xffffffff);
	}
	return hash;
}

/* The first four bytes of digest() of src/digest.ts. */
static uint32_t digest(const char *name) {
	unsigned char bytes[16 + 64];
	size_t length = strlen(name);
	struct wide once = fnv1a_wide((const unsigned char *)name, length);
	for (int i = 0; i < 16; i++)
		bytes[i] = (unsigned char)((i < 8 ? once.high : once.low) >> (56 - 8 * (i % 8)));
	memcpy(bytes + 16, name, length);
	return (uint32_t)(fnv1a_wide(bytes, 16 + length).high >> 32);
}

#define FIRST_SHIFT 0x00080000u
#define LAST_SHIFT 0x6fff0000u
#define SLOTS ((LAST_SHIFT - FIRST_SHIFT) / 0x10000 + 1)

/* Of all slots of 65536 ids, those that somebody has. */
static void take_ids(unsigned char *taken, unsigned long long start, unsigned long long count) {
	for (unsigned long long slot = 0; slot < SLOTS; slot++)
		taken[slot] |= start < FIRST_SHIFT + (slot + 1) * 0x10000 && FIRST_SHIFT + slot * 0x10000 < start + count;
}

/* Those of machines that have no record: they are being made, or run and are not kept. */
static void take_ids_of_sessions(unsigned char *taken, const char *machine) {
	DIR *sessions = opendir("/run/nestbox");
	for (struct dirent *entry; sessions && (entry = readdir(sessions));) {
		char path[512], *text;
		size_t length;
		snprintf(path, sizeof path, "/run/nestbox/%s/ids", entry->d_name);
		if (*entry->d_name == '.' || strcmp(entry->d_name, machine) == 0 || !(text = contents(path, &length)))
			continue;
		take_ids(taken, strtoull(text, NULL, 10), 0x10000);
		free(text);
	}
	if (sessions)
		closedir(sessions);
}

/* 0: what one of them has cannot be told. */
static int take_ids_of_machines(unsigned char *taken) {
	static const char *const names[] = { "shift", NULL };
	DIR *machines = opendir(STORE "/machines");
	int known = machines != NULL;
	for (struct dirent *entry; known && (entry = readdir(machines));) {
		char path[512];
		size_t length = 0;
		struct json shift = { 0 };
		snprintf(path, sizeof path, STORE "/machines/%s/machine.json", entry->d_name);
		if (*entry->d_name == '.' || access(path, F_OK) < 0)
			continue; /* not whole yet, or not any more */
		char *text = contents(path, &length);
		known = text && json_members((struct json){ text, length }, names, &shift);
		if (known && shift.at && *shift.at >= '1' && *shift.at <= '9') /* else null */
			take_ids(taken, strtoull(shift.at, NULL, 10), 0x10000);
		free(text);
	}
	if (machines)
		closedir(machines);
	return known;
}

/* pickShift() of src/names.ts. 0: it cannot be told. */
static uint32_t pick_shift(const struct warm *pattern) {
	static unsigned char taken[SLOTS];
	for (int i = 0; i < pattern->count; i++)
		if (strcmp(pattern->lists[i].at[0], "taken") == 0 && pattern->lists[i].count == 3)
			take_ids(taken, strtoull(pattern->lists[i].at[1], NULL, 10), strtoull(pattern->lists[i].at[2], NULL, 10));
	take_ids_of_sessions(taken, pattern->machine); /* first: one whose record is written meanwhile is in one of the two */
	if (!take_ids_of_machines(taken))
		return 0;
	uint32_t slot = digest(pattern->machine) % SLOTS;
	for (uint32_t i = 0; i < SLOTS && taken[slot]; i++)
		slot = (slot + 1) % SLOTS;
	return taken[slot] ? 0 : FIRST_SHIFT + slot * 0x10000;
}

/* A word with what belongs to this machine in it. */
static char *filled(const char *word, const char *machine, uint32_t shift) {
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);
	for (; file && *word; word++)
		if (*word != '\x7f')
			fputc(*word, file);
		else if (*++word == 'n')
			fputs(machine, file);
		else if (*word == 's')
			fprintf(file, "%u", shift);
		else
			break;
	int failed = !file || *word || ferror(file);
	return (file && fclose(file) != 0) || failed ? NULL : text;
}

static int fill(struct warm *pattern, uint32_t shift) {
	for (int i = 0; i < pattern->step_count; i++) {
		struct step *step = &pattern->steps[i];
		if (!(step->line = filled(step->line, pattern->machine, shift)))
			return 0;
		for (int k = 0; k < step->words.count; k++)
			if (!(step->words.at[k] = filled(step->words.at[k], pattern->machine, shift)))
				return 0;
	}
	for (int i = 0; i < pattern->count; i++)
		if (strcmp(pattern->lists[i].at[0], "note") == 0 && !(pattern->lists[i].at[1] = filled(pattern->lists[i].at[1], pattern->machine, shift)))
			return 0;
	return 1;
}

/* The seal of what is in the template now, as it is told on a pipe; it ends with us. */
static pid_t start_seal(const char *template, int *from) {
	int ends[2];
	char root[600];
	snprintf(root, sizeof root, "%s/root", template);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(ends[1], 1) < 0 || dup2(null, 2) < 0)
			_exit(1);
		exit(seal_job(2, (char *[]){ "seal", root, NULL }));
	}
	close(ends[1]);
	*from = ends[0];
	return pid;
}

static int is_sealed(const char *template, pid_t pid, int from) {
	char path[600], is[256], *was;
	size_t length;
	ssize_t got, all = 0;
	int status;
	while ((got = read(from, is + all, sizeof is - 1 - (size_t)all)) > 0)
		all += got;
	is[all] = '\0';
	snprintf(path, sizeof path, "%s/seal", template);
	return waitpid(pid, &status, 0) == pid && status == 0 && (was = contents(path, &length)) && strcmp(is, was) == 0;
}

/* All ways back, on the disk before the first step: one that has nothing to take back does nothing. */
static int write_journal(struct warm *pattern) {
	pattern->journal = open(pattern->journal_path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (pattern->journal < 0)
		return 0;
	for (int i = 0; i < pattern->step_count; i++) {
		struct step *step = &pattern->steps[i];
		struct stat stat_;
		size_t length = strlen(step->line);
		int is_done = length == 0 || (strcmp(step->words.at[0], "mkdir") == 0 && lstat(step->words.at[1], &stat_) == 0);
		if (!is_done && write(pattern->journal, step->line, length) != (ssize_t)length)
			return 0;
		step->line = "";
	}
	return fsync(pattern->journal) == 0;
}

/* Nobody else chooses ids as long as this is open: choosing() of src/host/session.ts. */
static int lock_ids(void) {
	int all = open(STORE "/machines", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all >= 0 && flock(all, LOCK_EX) == 0)
		return all;
	if (all >= 0)
		close(all);
	return -1;
}

/* Tells the others, until there is a record. */
static int tell_ids(const struct warm *pattern, uint32_t shift) {
	int file = openat(pattern->lock, "ids", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int told = file >= 0 && dprintf(file, "%u", shift) > 0;
	if (file >= 0)
		close(file);
	return told;
}

/* With the lock held. -1: nothing has been done, or what has been is in the journal. */
static int make(struct warm *pattern, const char *template, int ids) {
	char undo[512];
	int from, asked = 0;
	uint32_t shift = is_free(pattern->machine) ? pick_shift(pattern) : 0;
	int told = shift != 0 && tell_ids(pattern, shift);
	close(ids);
	if (!told || !fill(pattern, shift))
		return -1;
	pid_t pid = start_seal(template, &from);
	int journalled = pid > 0 && write_journal(pattern);
	/* Somebody may have put a file of that name there meanwhile: it is not ours to take back. */
	if (pid < 0 || !is_sealed(template, pid, from) || !journalled || !is_free(pattern->machine) || (asked = interrupted())) {
		if (pattern->journal >= 0)
			unlink(pattern->journal_path);
		return asked ? 128 + asked : -1;
	}
	for (int i = 0; i < pattern->step_count; i++)
		if (take_step(pattern, &pattern->steps[i]) < 0)
			return -1;
	snprintf(undo, sizeof undo, STORE "/machines/%s/undo", pattern->machine);
	if (rename(pattern->journal_path, undo) < 0)
		return -1;
	tell(pattern);
	return 0;
}

int create(const char *path) {
	static struct file file;
	char template[512];
	struct warm pattern;
	sigset_t before;
	size_t length = strlen(path);
	if (length < 6 || strcmp(path + length - 5, ".toml") != 0 || *path == '-' || !read_file(path, &file) || !cut_at_name(&file) || !find_pattern(&pattern, &file, template) || own_descriptors() < 0)
		return -1;
	snprintf(pattern.folder, sizeof pattern.folder, "/run/nestbox/%s", file.name);
	snprintf(pattern.journal_path, sizeof pattern.journal_path, STORE "/journal/%s", file.name);
	int status = -1, ids = lock_ids(); /* it can be waited for: a signal ends us as yet */
	hold_signals(&before);
	if (ids >= 0 && (pattern.lock = take_lock(pattern.folder)) >= 0) {
		status = make(&pattern, template, ids);
		unlinkat(pattern.lock, "ids", 0);
		rmdir(pattern.folder);
		rmdir("/run/nestbox");
		close(pattern.lock);
	}
	if (pattern.journal >= 0)
		close(pattern.journal);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
