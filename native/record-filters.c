/* Makes a file of system call filters: systemd-nspawn is started with nothing in it but this program, its first process is asked for its
 * filters, and then nspawn is started once more under these, to see whether it needs anything that they forbid. All of it is in a mount
 * namespace of its own, and ends with the one who asked. */
#include "person.h"
#include "try-filters.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The only child of nspawn's is the first process of the container. */
static pid_t first_of(pid_t nspawn) {
	char path[64];
	int child = -1;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", nspawn, nspawn);
	FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%d", &child) != 1)
		child = -1;
	if (file)
		fclose(file);
	return child;
}

/* A file in memory that grows: what is written to it is the rest of the file of filters. */
struct text {
	char *bytes;
	size_t length;
	FILE *file;
};

static int by_text(const void *one, const void *other) {
	return strcmp(*(char *const *)one, *(char *const *)other);
}

/* The program, and the files whose code it runs, in an order that does not change with their addresses. */
static int files_of(pid_t pid, const char *program, FILE *out) {
	char path[64], line[4400], *found[256];
	size_t count = 0;
	int whole = 1;
	const char *of = line_of_file(program);
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	if (!maps || !of)
		return 0;
	fprintf(out, "%s\n", of);
	while (whole && fgets(line, sizeof line, maps)) {
		char rights[8];
		int at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %7s %*s %*s %*s %n", rights, &at) < 1 || at == 0 || rights[2] != 'x' || line[at] != '/')
			continue;
		whole = count < sizeof found / sizeof *found && (found[count++] = line_of_file(line + at)) != NULL; /* else it has been replaced just now */
	}
	fclose(maps);
	if (whole)
		qsort(found, count, sizeof *found, by_text);
	for (size_t i = 0; whole && i < count; i++)
		if (i == 0 || strcmp(found[i], found[i - 1]) != 0)
			fprintf(out, "%s\n", found[i]);
	return whole;
}

/* A root with nothing in it, over the folder of the files, where nobody else sees it. */
static int make_root(const char *folder) {
	char path[4200];
	/* nspawn leaves folders with the name of each machine in its own. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", folder, "tmpfs", 0, "mode=0755") < 0
	    || (mount("tmpfs", "/run/systemd/nspawn", "tmpfs", 0, "mode=0755") < 0 && errno != ENOENT))
		return 0;
	snprintf(path, sizeof path, "%s/usr", folder);
	if (mkdir(path, 0755) < 0)
		return 0;
	snprintf(path, sizeof path, "%s/native", folder);
	return copy_self(path);
}

/* The file comes to be under its name whole, or not at all, and nothing is left of one that is cut off. */
static int leave(int at, const char *name, int file, struct text text) {
	char from[64];
	if (dprintf(file, "nestbox-filters 1 %016llx\n", (unsigned long long)fnv1a(FNV1A_BEGIN, text.bytes, text.length)) < 0 || write(file, text.bytes, text.length) != (ssize_t)text.length)
		return 0;
	snprintf(from, sizeof from, "/proc/self/fd/%d", file);
	unlinkat(at, name, 0);
	return linkat(AT_FDCWD, from, at, name, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST; /* another start has made it just now */
}

static int record(int at, const char *folder, const char *name, char **argv, char **options) {
	struct text text = { 0 };
	struct filters filters;
	char directory[4200], *words[64] = { argv[0], "--quiet", "--settings=no", "--register=no", "--keep-unit", "--machine=nestbox-filters", directory, "--console=pipe", "--private-users=no",
		"--link-journal=no", "--timezone=off", "--resolv-conf=off", "--as-pid2" };
	size_t count = 13;
	int file = openat(at, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	if (file < 0)
		return 0; /* nothing is started for what cannot be kept */
	snprintf(directory, sizeof directory, "--directory=%s", folder);
	if (!(text.file = open_memstream(&text.bytes, &text.length)))
		return 0;
	fprintf(text.file, "%s\n", line_of_kernel());
	for (; *options; options++) {
		if (count + 5 > sizeof words / sizeof *words) /* this one, three more, and the end */
			return 0;
		fprintf(text.file, "option %s\n", *options);
		words[count++] = *options;
	}
	words[count++] = "--";
	words[count++] = "/native";
	words[count++] = "hold";
	if (!make_root(folder))
		return 0;
	struct start first = start(words, NULL);
	const char *unfit = first.pid < 0 || await(first) ? "systemd-nspawn does not start" : NULL;
	if (unfit || !files_of(first.pid, argv[0], text.file)) {
		end(first);
		return 0;
	}
	if (read_filters(first_of(first.pid), &filters)) {
		if (errno == EPERM || errno == ESRCH) { /* somebody else traces it, or it has been ended: another time it may do */
			end(first);
			return 0;
		}
		unfit = "the filters cannot be read";
	} else if (filters.count == 0)
		unfit = "systemd-nspawn makes none";
	end(first);
	if (!unfit) {
		words[5] = "--machine=nestbox-filters-again"; /* what the first has left, as it was killed, is in the way of its name (257) */
		struct start second = start(words, &filters);
		unfit = second.pid < 0 || second.listener < 0 ? "the kernel does not tell what the filters forbid" : await(second);
		if (second.pid > 0)
			end(second);
		if (unfit == late)
			return 0;
	}
	if (unfit)
		fprintf(text.file, "unfit %s\n", unfit); /* it is not tried again until something is another */
	else
		for (size_t i = 0; i < filters.count; i++)
			fprintf(text.file, "program %u %hu\n", filters.flags[i], filters.programs[i].len);
	fputc('\n', text.file);
	for (size_t i = 0; !unfit && i < filters.count; i++)
		fwrite(filters.programs[i].filter, sizeof *filters.programs[i].filter, filters.programs[i].len, text.file);
	return fclose(text.file) == 0 && leave(at, name, file, text);
}

int record_filters(int at, const char *folder, const char *name, char **argv, char **options) {
	pid_t us = getpid();
	int status = 1;
	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != us)
			_exit(1);
		_exit(record(at, folder, name, argv, options) ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* hold: inside, says that it is there, and waits for its end. Signals are for the program that comes after it. */
int hold_job(int argc, char **argv) {
	char byte = '\n';
	sigset_t all;
	(void)argc;
	(void)argv;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (write(1, &byte, 1) == 1)
		while (read(0, &byte, 1) > 0)
			;
	return 0;
}
