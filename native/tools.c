/* The host's programs in place of the root's own, where that is for another processor and its programs are emulated. This file is bound
 * into the machine under the name of each; the programs, their libraries and their dynamic linker lie beside it, in a place that
 * nothing else looks into. Only what comes out the same to the byte whichever version does it is done by the host's: unpacking, sums,
 * removing. With any other argument than those that are known here the root's own program is run, which is the next in $PATH. */
#include "native.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FOLDER "/run/nestbox/tools"
#define LOADER FOLDER "/loader"

/* Words and sets of letters that a program may be called with. */
struct tool {
	const char *name;
	const char *letters; /* that may stand in -abc */
	const char *one_of; /* letters of which one must be there, or a word of `words` that begins with + */
	const char *const *words;
	const char *first; /* words of which the first argument must be one, between spaces; the others must not begin with '-' */
	const char *own; /* where the root's is, if no $PATH leads to it */
};

#define WORDS(...) (const char *const[]){ __VA_ARGS__, NULL }
#define UNPACKS WORDS("+--decompress", "+--uncompress", "--stdout", "--to-stdout", "--keep", "--force", "--quiet", "-T0", "--threads=0")
#define SUMS WORDS("--check", "--status", "--quiet", "--binary", "--text", "--strict", "-")

static const struct tool tools[] = {
	{ .name = "dpkg-deb", .first = " --control -e --ctrl-tarfile --fsys-tarfile --extract -x " },
	{ .name = "dpkg-split", .first = " -Qao --auto " },
	/* As dpkg-deb calls it. */
	{ .name = "tar", .letters = "xmpf", .one_of = "x", .words = WORDS("--warning=no-timestamp", "-") },
	{ .name = "rm", .letters = "rRfvd", .one_of = "f", .words = WORDS("+--force", "--recursive", "--verbose") },
	{ .name = "bzip2", .letters = "dcfkqv", .one_of = "d", .words = UNPACKS },
	{ .name = "gzip", .letters = "dcfkqvn", .one_of = "d", .words = UNPACKS },
	{ .name = "xz", .letters = "dcfkqv", .one_of = "d", .words = UNPACKS },
	{ .name = "zstd", .letters = "dcfkqv", .one_of = "d", .words = UNPACKS },
	{ .name = "b2sum", .letters = "bct", .words = SUMS },
	{ .name = "md5sum", .letters = "bct", .words = SUMS },
	{ .name = "sha1sum", .letters = "bct", .words = SUMS },
	{ .name = "sha224sum", .letters = "bct", .words = SUMS },
	{ .name = "sha256sum", .letters = "bct", .words = SUMS },
	{ .name = "sha384sum", .letters = "bct", .words = SUMS },
	{ .name = "sha512sum", .letters = "bct", .words = SUMS },
	/* It is told by apt what to do, in messages that all versions understand: Debian's libapt-pkg-doc, method.html. */
	{ .name = "apt-method-file", .letters = "", .words = (const char *const[]){ NULL }, .own = "/usr/lib/apt/methods/file" },
};

static int is_first(const char *words, const char *argument) {
	char between[64];
	return (size_t)snprintf(between, sizeof between, " %s ", argument) < sizeof between && strstr(words, between);
}

static int is_known(const struct tool *tool, int argc, char **argv) {
	if (tool->first) {
		for (int i = 2; i < argc; i++)
			if (argv[i][0] == '-')
				return 0;
		return argc > 2 && is_first(tool->first, argv[1]);
	}
	int wanted = !tool->one_of;
	for (int i = 1; i < argc; i++) {
		const char *argument = argv[i];
		if (argument[0] != '-')
			continue;
		if (strcmp(argument, "--") == 0)
			break;
		const char *const *word = tool->words;
		while (*word && strcmp(*word + (**word == '+'), argument) != 0)
			word++;
		if (*word)
			wanted |= **word == '+';
		else if (argument[1] && argument[1 + strspn(argument + 1, tool->letters)] == '\0')
			wanted |= tool->one_of && strpbrk(argument + 1, tool->one_of) != NULL;
		else
			return 0;
	}
	return wanted;
}

/* Whoever has libraries loaded into every program (fakeroot, eatmydata, Raspberry Pi OS) has them for the root's processor. */
static int preloads(void) {
	struct stat found;
	return getenv("LD_PRELOAD") || getenv("LD_LIBRARY_PATH") || (stat("/etc/ld.so.preload", &found) == 0 && found.st_size > 0);
}

int find_own(const char *name, const char *ours, char *path, size_t size) {
	const char *folders = getenv("PATH");
	if (!folders)
		folders = "/usr/sbin:/usr/bin:/sbin:/bin";
	for (const char *at = folders; at; at = *at ? at + 1 : NULL) {
		size_t length = strcspn(at, ":");
		int fits = snprintf(path, size, "%.*s%s%s", (int)length, at, length ? "/" : "./", name) < (int)size;
		struct stat found;
		if (fits && !strstr(path, ours) && stat(path, &found) == 0 && S_ISREG(found.st_mode) && access(path, X_OK) == 0)
			return 1;
		at += length;
	}
	return 0;
}

/* Linkers of glibc before 2.33 cannot be told what the program is to call itself. */
static int takes_argv0(void) {
	int file = open(LOADER, O_RDONLY | O_CLOEXEC);
	struct stat found;
	if (file < 0 || fstat(file, &found) < 0)
		return 0;
	size_t size = (size_t)found.st_size;
	const char *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
	close(file);
	return text != MAP_FAILED && memmem(text, size, "--argv0", sizeof "--argv0");
}

int tool(const char *name, int argc, char **argv) {
	char own[PATH_MAX], program[PATH_MAX];
	const struct tool *known = NULL;
	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
		if (strcmp(tools[i].name, name) == 0)
			known = &tools[i];
	if (known && known->own) {
		snprintf(own, sizeof own, "%s", known->own);
	} else if (!find_own(name, FOLDER "/", own, sizeof own)) {
		errno = 0;
		fprintf(stderr, "%s: not found\n", name);
		return 127;
	}
	if (known && !preloads() && is_known(known, argc, argv)) {
		snprintf(program, sizeof program, FOLDER "/programs/%s", name);
		setenv("LOCPATH", FOLDER "/none", 1); // the root's locales are for its own C library: another may stop at them
		char *words[argc + 8];
		int n = 0;
		words[n++] = LOADER;
		words[n++] = "--inhibit-cache";
		words[n++] = "--library-path";
		words[n++] = FOLDER "/lib";
		if (takes_argv0()) {
			words[n++] = "--argv0";
			words[n++] = argv[0];
		}
		words[n++] = program;
		for (int i = 1; i < argc; i++)
			words[n++] = argv[i];
		words[n] = NULL;
		execv(LOADER, words);
	}
	execv(own, argv);
	die("%s", own);
}
