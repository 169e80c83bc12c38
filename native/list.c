/* `nestbox list` without Node, which alone takes longer to load than machinectl takes for a thousand machines. It reads the same files as src/commands/list.ts and prints the same
 * bytes; test/container/list.test.ts has both look at hosts of all kinds. What is not as nestbox and systemd write it (names of other than plain characters, files that are no JSON) is left
 * to Node, before anything is printed: this knows no way in which such a thing is shown. Nothing is given back of what is allocated: it ends, or becomes Node. */
#include "console.h"
#include "list.h"
#include "seats.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

static struct row *rows;
static size_t count, room;
static char **words;
static int word_count;

_Noreturn void leave_to_node(void) {
	become_node(word_count, words);
}

int is_plain_text(const char *text, size_t length) {
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return 0;
	return 1;
}

char *copy(const char *text, size_t length) {
	char *made = strndup(text, length);
	if (!made)
		die("list");
	return made;
}

const char *formatted(const char *format, ...) {
	static char made[PATH_MAX];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(made, sizeof made, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof made)
		leave_to_node();
	return made;
}

static void add(const char *name, size_t length, unsigned in) {
	if (count == room && !(rows = realloc(rows, sizeof *rows * (room = room * 2 + 1024))))
		die("list");
	if (length == 0 || !is_plain_text(name, length))
		leave_to_node();
	rows[count++] = (struct row){ .name = copy(name, length), .in = in };
}

static int is_folder(int at, const struct dirent *entry) {
	struct stat stat_;
	return entry->d_type == DT_DIR || (entry->d_type == DT_UNKNOWN && fstatat(at, entry->d_name, &stat_, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat_.st_mode));
}

static struct dirent *next_in(DIR *folder) {
	struct dirent *entry;
	do
		entry = folder ? readdir(folder) : NULL;
	while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

/* What is in a folder, of files with a suffix what is before that. One that cannot be read is empty. */
static void collect(const char *from, const char *suffix, unsigned in) {
	DIR *folder = opendir(from);
	for (struct dirent *entry; (entry = next_in(folder));) {
		size_t length = strlen(entry->d_name), end = strlen(suffix);
		if (length < end || strcmp(entry->d_name + length - end, suffix) != 0 || (in == SEAT && *entry->d_name == '.'))
			continue;
		add(entry->d_name, length - end, in | (in == RUN && is_folder(dirfd(folder), entry) ? SESSION : 0));
	}
	if (folder)
		closedir(folder);
}

static int by_name(const void *a, const void *b) {
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* One row for each name. */
static void merge(void) {
	size_t kept = 0;
	if (count > 0)
		qsort(rows, count, sizeof *rows, by_name);
	for (size_t i = 0; i < count; i++)
		if (kept > 0 && strcmp(rows[kept - 1].name, rows[i].name) == 0)
			rows[kept - 1].in |= rows[i].in;
		else
			rows[kept++] = rows[i];
	count = kept;
}

/* What is mounted at RUNS and below. */
static struct {
	const char **at;
	size_t count;
} mounts;

static int by_text(const void *a, const void *b) {
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_mounts(void) {
	char *line = NULL;
	size_t size = 0;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	while (file && getline(&line, &size, file) > 0) {
		char *at = line;
		for (int field = 0; field < 4 && at; field++)
			at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
		if (!at || strncmp(at, RUNS, sizeof RUNS - 1) != 0)
			continue;
		at[strcspn(at, " ")] = '\0';
		if (strchr(at, '\\'))
			leave_to_node();
		if (!(mounts.at = realloc(mounts.at, sizeof *mounts.at * (mounts.count + 1))))
			die("list");
		if (at[sizeof RUNS - 1] == '\0' || at[sizeof RUNS - 1] == '/')
			mounts.at[mounts.count++] = copy(at, strlen(at));
	}
	free(line);
	if (file)
		fclose(file);
	if (mounts.count > 0)
		qsort(mounts.at, mounts.count, sizeof *mounts.at, by_text);
}

static int is_mounted(const char *at) {
	return bsearch(&at, mounts.at, mounts.count, sizeof *mounts.at, by_text) != NULL;
}

/* Has files in it, and all of them mounted there: sessionNames() of src/host/session.ts says why. */
static int is_of_host(const char *at) {
	DIR *folder = opendir(at);
	int entries = 0, all = 1;
	for (struct dirent *entry; all && (entry = next_in(folder)); entries++) {
		const char *inside = copy(formatted("%s/%s", at, entry->d_name), PATH_MAX); /* not on the stack: whoever is in a machine makes folders in some of these, as deep as they want */
		all = is_folder(dirfd(folder), entry) ? is_of_host(inside) : is_mounted(inside);
	}
	if (folder)
		closedir(folder);
	return entries > 0 && all;
}

/* The folders of RUNS that the host has mounted here for a machine that we are in belong to no session. */
static void tell_sessions(void) {
	char folder[PATH_MAX];
	read_mounts();
	for (size_t i = 0; i < count && mounts.count > 0; i++)
		if (rows[i].in & SESSION && snprintf(folder, sizeof folder, RUNS "/%s", rows[i].name) > 0 && (is_mounted(folder) || is_of_host(folder)))
			rows[i].in &= ~(unsigned)SESSION;
}

/* Whether a nestbox has its session: isHeld() of src/host/session.ts. */
static int is_held(const struct row *row) {
	if (row->is_running)
		return 1;
	int folder = open(formatted(RUNS "/%s", row->name), O_RDONLY | O_DIRECTORY | O_CLOEXEC), is_free = folder < 0 || flock(folder, LOCK_SH | LOCK_NB) == 0;
	if (folder >= 0)
		close(folder);
	return !is_free;
}

static void read_row(struct row *row, int active) {
	if (row->in & MACHINE)
		read_machine(row);
	if (row->in & RUN)
		read_state(row);
	if (row->in & SERVICE)
		read_service(row);
	if (row->in & SEAT)
		row->terminal = LAST_TERMINAL;
	if (!active)
		row->terminal = 0;
	if (!row->file)
		row->file = copy(formatted(FILES "/%s.toml", row->name), PATH_MAX);
	if (row->pid)
		row->state = "running";
	else if (row->in & JOURNAL)
		row->state = is_held(row) ? "changing" : "cut off";
	else
		row->state = row->in & MOUNTED ? "mounted" : row->in & MACHINE ? "ready" : "not made";
}

/* A folder of a run with a dot in its name is none of a machine's. */
static int is_shown(const struct row *row) {
	return row->in & (MACHINE | FILE_ | SERVICE | MOUNTED) || (row->in & SESSION && !strchr(row->name, '.'));
}

int list(int argc, char **argv) {
	int is_json = argc == 3 && strcmp(argv[2], "--json") == 0;
	if (argc < 2 || strcmp(argv[1], "list") != 0 || (argc > 2 && !is_json))
		return -1;
	word_count = argc, words = argv;
	int active = read_active();
	collect(LIB "/machines", "", MACHINE);
	collect(FILES, ".toml", FILE_);
	collect(RUNS, "", RUN);
	collect(LIB "/services", "", SERVICE);
	collect(LIB "/scratch", ".kept", MOUNTED);
	collect(LIB "/journal", "", JOURNAL);
	collect(SEATS, "", SEAT);
	merge();
	tell_sessions();
	size_t shown = 0;
	for (size_t i = 0; i < count; i++) {
		read_row(&rows[i], active);
		if (is_shown(&rows[i]))
			rows[shown++] = rows[i];
	}
	print_list(rows, shown, active, is_json);
	return 0;
}
