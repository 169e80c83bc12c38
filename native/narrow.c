/* narrow: leaves in apt's lists of packages what can get into a root, with all alternatives and providers of each dependency: a few hundred of
 * 60,000, which apt would read, and look through for each of its answers. The lists are whole beside them afterwards, as NAME.whole. Where it
 * is not certain that apt comes to the same, nothing is done.
 * update: has apt fetch the lists and look at their sums, as a hook of mmdebstrap's, and narrows them before apt has read them. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MOST_LISTS 64
#define SLOTS (1 << 18)

static struct package {
	int list, priority, is_wanted;
	size_t at, length;
	char *name, *provides, *depends[2];
} *packages;
static int count, size, *waiting, waiting_count;

/* Who bears a name, or provides it. */
static struct bearer {
	const char *name;
	struct package *package;
	struct bearer *next;
} *bearers[SLOTS];

static _Noreturn void leave(void) {
	exit(0);
}

/* Without a version, an architecture, or a restriction. */
static char *name_of(char *relation) {
	relation += strspn(relation, " \t");
	relation[strcspn(relation, " \t:([<")] = '\0';
	return relation;
}

static struct bearer **slot_of(const char *name) {
	return &bearers[fnv1a(FNV1A_BEGIN, name, strlen(name)) % SLOTS];
}

static struct bearer *bearer_of(const char *name, struct bearer *from) {
	while (from && strcmp(from->name, name) != 0)
		from = from->next;
	return from;
}

static void add_bearer(const char *name, struct package *package) {
	struct bearer *bearer = malloc(sizeof *bearer), **slot = slot_of(name);
	if (!bearer)
		leave();
	*bearer = (struct bearer){ name, package, *slot };
	*slot = bearer;
}

static void want(struct package *package) {
	if (!package->is_wanted)
		waiting[waiting_count++] = package - packages;
	package->is_wanted = 1;
}

/* All of the alternatives. Where the first that there is has several providers, as good as each other, the order of the whole list decides. */
static void want_any(char *group) {
	int is_found = 0;
	for (char *relation; (relation = strsep(&group, "|"));) {
		char *name = name_of(relation);
		struct package *best = NULL;
		int is_real = 0, is_tied = 0;
		for (struct bearer *at = bearer_of(name, *slot_of(name)); at; at = bearer_of(name, at->next)) {
			int more = best ? at->package->priority - best->priority : -1;
			is_real |= strcmp(at->package->name, name) == 0;
			is_tied = more == 0 ? is_tied || strcmp(at->package->name, best->name) != 0 : more > 0 && is_tied;
			best = more < 0 ? at->package : best;
			want(at->package);
		}
		if (best && !is_found && is_tied && !is_real)
			leave();
		is_found |= best != NULL;
	}
}

/* Fields of other names, and the lines that go on with them, are apt's. */
static void read_package(char *text, size_t at, size_t length, int list) {
	static const char *const names[] = { "Package", "Provides", "Depends", "Pre-Depends", "Priority", "Essential", "Important", "Protected" };
	static const char *const priorities[] = { "required", "important", "standard", "optional" };
	char *values[8] = { NULL };
	int known = 0;
	for (char *line; (line = strsep(&text, "\n"));) {
		char *value = strchr(line, ':');
		if (*line == ' ' || *line == '\t') {
			if (known < 8)
				leave(); // as no archive writes it
			continue;
		}
		if (!value)
			leave();
		*value++ = '\0';
		for (known = 0; known < 8 && strcasecmp(line, names[known]) != 0;)
			known++;
		if (known < 8)
			values[known] = value + strspn(value, " \t");
	}
	if (!values[0])
		leave();
	if (count == size && (!(packages = realloc(packages, (size = size * 2 + (1 << 16)) * sizeof *packages))))
		leave();
	struct package package = { .list = list, .at = at, .length = length, .name = values[0], .provides = values[1], .depends = { values[2], values[3] } };
	while (package.priority < 4 && (!values[4] || strcasecmp(values[4], priorities[package.priority]) != 0))
		package.priority++;
	package.is_wanted = package.priority < 3 || values[5] || values[6] || values[7]; // by a priority all may be asked for that have it
	packages[count++] = package;
}

static void find_wanted(int argc, char **argv) {
	waiting = malloc(((size_t)count + 1) * sizeof *waiting);
	if (!waiting)
		leave();
	for (struct package *package = packages; package < packages + count; package++) {
		add_bearer(package->name, package);
		for (char *provided; (provided = strsep(&package->provides, ","));)
			if (strcmp(name_of(provided), package->name) != 0)
				add_bearer(name_of(provided), package);
		if (package->is_wanted)
			waiting[waiting_count++] = package - packages;
	}
	for (int i = 0; i < argc; i++) {
		char *name = name_of(argv[i]);
		if (!bearer_of(name, *slot_of(name)))
			leave();
		want_any(argv[i]);
	}
	while (waiting_count > 0)
		for (char **depends = packages[waiting[--waiting_count]].depends, **end = depends + 2; depends < end; depends++)
			for (char *group; (group = strsep(depends, ","));)
				want_any(group);
}

int narrow_job(int argc, char **argv) {
	struct { char name[NAME_MAX + 1]; int file; } lists[MOST_LISTS];
	int list_count = 0;
	if (argc < 2 || chdir(argv[1]) < 0)
		die("narrow");
	DIR *folder = opendir(".");
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		size_t length = strlen(entry->d_name);
		struct stat stat;
		if (length < 9 || strcmp(entry->d_name + length - 9, "_Packages") != 0)
			continue;
		int file = open(entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		char *text = file < 0 || fstat(file, &stat) < 0 || list_count == MOST_LISTS ? NULL : malloc((size_t)stat.st_size + 1);
		if (!text || read(file, text, (size_t)stat.st_size) != stat.st_size)
			leave();
		text[stat.st_size] = '\0';
		for (char *at = text, *end; *at; at = end) {
			end = strstr(at, "\n\n");
			end = end ? end + 2 : text + stat.st_size;
			size_t length = (size_t)(end - at);
			while (end > at && end[-1] == '\n')
				*--end = '\0';
			if (end > at)
				read_package(at, (size_t)(at - text), length, list_count);
			end = at + length;
		}
		strcpy(lists[list_count].name, entry->d_name);
		lists[list_count++].file = file;
	}
	find_wanted(argc - 2, argv + 2);
	for (int i = 0; i < list_count; i++) {
		char whole[NAME_MAX + 8];
		snprintf(whole, sizeof whole, "%.*s.whole", NAME_MAX, lists[i].name);
		if (rename(lists[i].name, whole) < 0)
			die("%s", whole);
		int file = open(lists[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		for (struct package *package = packages; package < packages + count; package++) {
			off_t at = (off_t)package->at;
			if (package->list == i && package->is_wanted && sendfile(file, lists[i].file, &at, package->length) != (ssize_t)package->length)
				die("%s", lists[i].name);
		}
		close(file);
	}
	return 0;
}

int update_job(int argc, char **argv) {
	const char *configuration = getenv("MMDEBSTRAP_APT_CONFIG"); /* mmdebstrap(1) */
	int status;
	if (argc < 2 || !configuration || chdir(argv[1]) < 0)
		die("update");
	pid_t child = fork();
	if (child == 0) {
		setenv("APT_CONFIG", configuration, 1);
		execlp("apt-get", "apt-get", "update", "-qq", "--error-on=any", "--option=pkgCacheFile::Generate=false", NULL);
		die("apt-get");
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		die("apt-get");
	if (status != 0)
		return 1; /* it has said why */
	argv[1] = "var/lib/apt/lists";
	return narrow_job(argc, argv);
}
