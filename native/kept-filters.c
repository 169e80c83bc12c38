/* systemd-nspawn compiles the same system call filters at each start, which takes most of its time. They are kept in a file, read back
 * from one that it has made (record-filters.c), and loaded before it is started, with SYSTEMD_SECCOMP=0 in its environment
 * (ENVIRONMENT.md of systemd: then it makes none). So nspawn itself is filtered as well, and nobody is less than before. */
#include "kept-filters.h"
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

/* Longest file that is read: 64 filters of the most instructions that the kernel takes (BPF_MAXINSNS) are fewer bytes. */
#define MOST (4 << 20)

char *line_of_file(const char *path) {
	struct stat stat_of;
	char *line = NULL;
	if (stat(path, &stat_of) < 0 || asprintf(&line, "file %llu %lld %lld.%09ld %lld.%09ld %s", (unsigned long long)stat_of.st_ino, (long long)stat_of.st_size,
	        (long long)stat_of.st_mtim.tv_sec, stat_of.st_mtim.tv_nsec, (long long)stat_of.st_ctim.tv_sec, stat_of.st_ctim.tv_nsec, path) < 0)
		return NULL;
	return line;
}

char *line_of_kernel(void) {
	struct utsname host;
	char *line = NULL;
	return uname(&host) < 0 || asprintf(&line, "kernel %s %s %s", host.release, host.version, host.machine) < 0 ? NULL : line;
}

static int begins(const char *text, const char *with) {
	return strncmp(text, with, strlen(with)) == 0;
}

/* nspawn's filters depend on the capabilities of what it runs, to which a network of its own adds one, and on the lists of system calls. The
 * other options have no part in them, but the processor's personality and the right to new privileges are what libseccomp could ask for. */
char **deciding_options(char **argv) {
	static const char *kinds[] = { "--capability=", "--drop-capability=", "--system-call-filter=", "--personality=", "--no-new-privileges=", "--private-network" };
	size_t count = 0;
	int alone = 0;
	while (argv[count])
		count++;
	char **options = calloc(count + 1, sizeof *options), **next = options;
	for (char **word = argv + 1; options && *word && strcmp(*word, "--") != 0 && **word == '-'; word++) {
		/* What a machine is forbidden beyond the usual, nspawn itself may need. */
		if (begins(*word, "--system-call-filter=~") || begins(*word, "--suppress-sync") || strchr(*word, '\n'))
			return NULL;
		alone |= strcmp(*word, "--settings=no") == 0;
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (begins(*word, kinds[i])) {
				*next++ = *word;
				break;
			}
	}
	return alone ? options : NULL; /* else a file of the administrator's has a say, too */
}

/* The folder that files of filters are in: root's alone. */
static int open_folder(const char *folder) {
	char above[4096];
	const char *slash = strrchr(folder, '/');
	if (slash && slash > folder && snprintf(above, sizeof above, "%.*s", (int)(slash - folder), folder) < (int)sizeof above)
		mkdir(above, 0755);
	mkdir(folder, 0700);
	struct stat found;
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (at >= 0 && fstat(at, &found) == 0 && found.st_uid == 0 && !(found.st_mode & 022))
		return at;
	if (at >= 0)
		close(at);
	return -1;
}

/* The bytes of a file that nobody but root can have written, or NULL. `wrong`: it is there, and is not to be believed. */
static char *bytes_of(int at, const char *name, size_t *length, const char **wrong) {
	struct stat found;
	int file = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	*wrong = file < 0 && errno != ENOENT ? "cannot be opened" : NULL;
	if (file < 0)
		return NULL;
	char *bytes = NULL;
	if (fstat(file, &found) < 0 || !S_ISREG(found.st_mode) || found.st_size > MOST)
		*wrong = "is none of nestbox's";
	else if (found.st_uid != 0 || found.st_mode & 022)
		*wrong = "can be written by others than root";
	else if ((bytes = malloc((size_t)found.st_size + 1)) && read(file, bytes, (size_t)found.st_size) == found.st_size)
		bytes[*length = (size_t)found.st_size] = '\0';
	else
		*wrong = "cannot be read";
	close(file);
	if (*wrong) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

/* The file is a first line with the checksum of what follows, lines that end with an empty one, and the instructions of all programs. */
static int parse(char *bytes, size_t length, struct kept *kept) {
	unsigned long long sum;
	int head = 0;
	if (sscanf(bytes, "nestbox-filters 1 %16llx%n", &sum, &head) != 1 || bytes[head] != '\n' || fnv1a(FNV1A_BEGIN, bytes + head + 1, length - (size_t)head - 1) != sum)
		return 0;
	char *line = bytes + head + 1, *end;
	size_t most = length / 2 + 1; /* no line is shorter */
	*kept = (struct kept){ .lines = calloc(most, sizeof(char *)), .filters = { 0, calloc(most, sizeof(struct sock_fprog)), calloc(most, sizeof(unsigned)) } };
	if (!kept->lines || !kept->filters.programs || !kept->filters.flags)
		return 0;
	for (; (end = strchr(line, '\n')) && end != line; line = end + 1) {
		unsigned flags;
		unsigned short count;
		*end = '\0';
		if (begins(line, "unfit "))
			kept->unfit = line + 6;
		else if (sscanf(line, "program %u %hu", &flags, &count) == 2) {
			kept->filters.flags[kept->filters.count] = flags;
			kept->filters.programs[kept->filters.count++].len = count;
		} else
			kept->lines[kept->count++] = line;
	}
	if (!end)
		return 0;
	size_t left = length - (size_t)(end + 1 - bytes);
	char *code = end + 1;
	for (size_t i = 0; i < kept->filters.count; i++) {
		struct sock_fprog *program = &kept->filters.programs[i];
		size_t size = program->len * sizeof *program->filter;
		if (size > left || !(program->filter = malloc(size)))
			return 0;
		memcpy(program->filter, code, size);
		code += size;
		left -= size;
	}
	return left == 0 && (kept->unfit || kept->filters.count > 0);
}

/* Whether they are of this program, as it is now, of this kernel and of these options. */
static int holds(const struct kept *kept, const char *program, char **options) {
	size_t i = 0;
	const char *kernel = line_of_kernel();
	if (!kernel || i >= kept->count || strcmp(kept->lines[i++], kernel) != 0)
		return 0;
	for (; *options; options++, i++)
		if (i >= kept->count || !begins(kept->lines[i], "option ") || strcmp(kept->lines[i] + 7, *options) != 0)
			return 0;
	if (i == kept->count)
		return 0;
	for (int first = 1; i < kept->count; i++, first = 0) {
		int path = 0;
		if (sscanf(kept->lines[i], "file %*s %*s %*s %*s %n", &path) < 0 || path == 0)
			return 0;
		const char *now = line_of_file(kept->lines[i] + path);
		if (!now || strcmp(now, kept->lines[i]) != 0 || (first && strcmp(kept->lines[i] + path, program) != 0))
			return 0;
	}
	return 1;
}

/* A file for each set of options: the name keeps them apart, what it is for stands in it. */
static void name_of(char **options, const char *program, char name[17]) {
	uint64_t hash = fnv1a(FNV1A_BEGIN, program, strlen(program) + 1);
	for (; *options; options++)
		hash = hash * 31 + fnv1a(FNV1A_BEGIN, *options, strlen(*options) + 1);
	snprintf(name, 17, "%016llx", (unsigned long long)hash);
}

int load_filters(const char *folder, char **argv) {
	char **options = deciding_options(argv), name[17];
	int at = options ? open_folder(folder) : -1;
	if (at < 0)
		return 0;
	name_of(options, argv[0], name);
	struct kept kept = { 0 };
	int fresh = 0;
	for (int again = 0; again < 2 && !fresh; again++) {
		size_t length = 0;
		const char *wrong;
		char *bytes = bytes_of(at, name, &length, &wrong);
		if (bytes && !parse(bytes, length, &kept))
			wrong = "is damaged";
		if (wrong)
			fprintf(stderr, "nestbox-native: %s/%s %s: systemd-nspawn makes its system call filters anew, going on\n", folder, name, wrong);
		fresh = bytes && !wrong && holds(&kept, argv[0], options);
		if (fresh)
			utimensat(at, name, NULL, AT_SYMLINK_NOFOLLOW); /* src/host/filters.ts forgets what was not used for long */
		if (!fresh && (again || !record_filters(at, folder, name, argv, options)))
			break;
	}
	close(at);
	if (!fresh || kept.unfit)
		return 0;
	/* nspawn gives what it runs a session keyring of its own, and could not do it any more. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS && errno != EPERM && errno != EACCES)
		return 0;
	for (size_t i = 0; i < kept.filters.count; i++)
		if (add_filter(&kept.filters.programs[i], kept.filters.flags[i]) < 0) {
			if (i == 0)
				return 0; /* none is loaded yet: it can say itself what is wrong */
			die("the system call filters of systemd-nspawn");
		}
	return 1;
}
