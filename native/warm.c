/* A run of a machine without Node, which takes longer to load than all that is to be done, when nothing has changed since Node did the
 * same: src/host/warm.ts. Lock, state, journal and steps are as of a run with Node, so that a kill leaves what any nestbox takes back.
 * What is not as it was, or fails, is taken back and left to Node. */
#include "warm.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define RUNS "/run/nestbox"
#define JOURNALS "/var/lib/nestbox/journal"

/* The machine's own folder, locked: takeLock() of src/host/session.ts. -1: somebody else has it. */
int take_lock(const char *folder) {
	for (;;) {
		struct stat by_path, by_file;
		if ((mkdir(RUNS, 0711) < 0 && errno != EEXIST) || (mkdir(folder, 0711) < 0 && errno != EEXIST && errno != ENOENT))
			return -1;
		int file = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (file < 0 && errno == ENOENT)
			continue; /* removed by another nestbox that has just ended */
		if (file < 0)
			return -1;
		if (flock(file, LOCK_EX | LOCK_NB) < 0) {
			close(file);
			return -1;
		}
		/* The folder that is locked must still be the one that the path leads to. */
		if (stat(folder, &by_path) == 0 && fstat(file, &by_file) == 0 && by_path.st_ino == by_file.st_ino && by_path.st_dev == by_file.st_dev)
			return file;
		close(file);
	}
}

/* All in there is the machine's own: logs, sockets, what its host programs have left. Nothing is followed, and no mount is entered. */
static void empty_folder(int folder, dev_t device) {
	DIR *entries = fdopendir(folder);
	struct stat stat_;
	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || fstatat(folder, entry->d_name, &stat_, AT_SYMLINK_NOFOLLOW) < 0 || stat_.st_dev != device)
			continue;
		if (S_ISDIR(stat_.st_mode)) {
			int below = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below >= 0)
				empty_folder(below, device);
		}
		unlinkat(folder, entry->d_name, S_ISDIR(stat_.st_mode) ? AT_REMOVEDIR : 0);
	}
	if (entries)
		closedir(entries);
}

static int has_mounts(const char *folder) {
	char line[4096], at[600];
	snprintf(at, sizeof at, " %s/", folder);
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	int found = !mounts;
	while (mounts && !found && fgets(line, sizeof line, mounts))
		found = strstr(line, at) != NULL;
	if (mounts)
		fclose(mounts);
	return found;
}

static void close_session(struct warm *warm) {
	struct stat stat_;
	if (lstat(warm->journal_path, &stat_) < 0 && !has_mounts(warm->folder) && fstat(warm->lock, &stat_) == 0) {
		int folder = open(warm->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (folder >= 0)
			empty_folder(folder, stat_.st_dev);
	}
	rmdir(warm->folder);
	rmdir(RUNS);
	close(warm->lock);
}

/* A word of JSON: RFC 8259, section 7. */
static void put_word(FILE *file, const char *word) {
	fputc('"', file);
	for (const unsigned char *at = (const unsigned char *)word; *at; at++)
		if (*at < 0x20)
			fprintf(file, "\\u%04x", *at);
		else
			fprintf(file, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
	fputc('"', file);
}

/* state.json, as src/commands/run.ts writes it: what is not of this run alone is written down already. */
static int write_state(const struct warm *warm) {
	struct timespec time;
	int descriptor = openat(warm->lock, "state.json", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
	if (!file)
		return -1;
	clock_gettime(CLOCK_REALTIME, &time);
	fprintf(file, "{\"pid\":%d,\"started\":%lld,\"argv\":[", getpid(), time.tv_sec * 1000LL + time.tv_nsec / 1000000);
	for (int i = 0; i < warm->program.count; i++) {
		if (i > 0)
			fputc(',', file);
		put_word(file, warm->program.at[i]);
	}
	fprintf(file, "],%s", warm->state);
	int failed = ferror(file);
	return fclose(file) != 0 || failed ? -1 : 0;
}

/* As note() of src/text.ts. */
void tell(const struct warm *warm) {
	setlinebuf(stderr);
	for (int i = 0; i < warm->count; i++)
		if (strcmp(warm->lists[i].at[0], "note") == 0) {
			fputs("nestbox: ", stderr);
			for (const char *at = warm->lists[i].at[1]; *at; at++) {
				fputc(*at, stderr);
				if (*at == '\n')
					fputs("nestbox: ", stderr);
			}
			fputc('\n', stderr);
		}
}

/* Last first; each is tried. -1: something is left, and in the journal. */
static int undo(struct warm *warm) {
	int result = 0;
	for (int i = warm->step_count - 1; i >= 0; i--)
		if (take_back(&warm->steps[i]) < 0)
			result = -1;
	if (warm->journal >= 0)
		close(warm->journal);
	return result == 0 && unlink(warm->journal_path) < 0 && errno != ENOENT ? -1 : result;
}

/* -1: Node has to do it, and nothing has been done. */
static int session(struct warm *warm) {
	struct stat stat_;
	int taken = 0, asked = 0;
	if (!read_warm(warm) || (lstat(warm->journal_path, &stat_) == 0) || write_state(warm) < 0)
		return -1;
	for (int i = 0; i < warm->step_count && taken == 0 && !(asked = interrupted()); i++) {
		struct step *step = &warm->steps[i];
		const char *kind = step->words.at[0];
		if (strcmp(kind, "container") == 0) {
			/* The root is as it is seen inside from here on; and from here on all of it is ours to say. */
			if (!has_inside(warm))
				taken = -1;
			else
				tell(warm);
		}
		if (taken == 0)
			taken = take_step(warm, step);
	}
	warm->left = undo(warm) < 0;
	return asked ? 128 + asked : taken < 0 ? -1 : warm->status;
}

/* The caller's other descriptors are nobody's business: neither the container's, nor an X server's, which runs as somebody else. What is
 * opened from here on gets none of the first three numbers, which messages go to. */
int own_descriptors(void) {
	for (int file = 0; file < 3; file++)
		if (fcntl(file, F_GETFD) < 0 && open("/dev/null", O_RDWR) != file)
			return -1;
	return close_range(3, ~0U, 0);
}

int warm(const char *machine, const char *file, char **argv, int argc, int *left) {
	sigset_t before;
	struct warm warm_ = { .machine = machine, .file = file, .program = { argc, argv }, .journal = -1, .signals = &before };
	struct stat stat_;
	char path[512];
	/* Most machines have never been run before, or are not made: that costs one look. */
	snprintf(path, sizeof path, "/var/lib/nestbox/machines/%s/warm", machine);
	if (stat(path, &stat_) < 0 || own_descriptors() < 0)
		return -1;
	snprintf(warm_.folder, sizeof warm_.folder, RUNS "/%s", machine);
	snprintf(warm_.journal_path, sizeof warm_.journal_path, JOURNALS "/%s", machine);
	if ((warm_.lock = take_lock(warm_.folder)) < 0)
		return -1;
	hold_signals(&before);
	int status = session(&warm_);
	close_session(&warm_);
	*left = warm_.left;
	if (status < 0 || *left)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
