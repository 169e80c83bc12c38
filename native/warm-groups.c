/* Control groups of a run without Node: made, emptied and removed as src/steps/programs.ts and src/host/groups.ts do it. */
#include "warm.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

static void pause_for(long milliseconds) {
	nanosleep(&(struct timespec){ milliseconds / 1000, milliseconds % 1000 * 1000000 }, NULL);
}

/* Kills all in the group and below it; how many there were. Process 0 is one of another process namespace. */
static int kill_in(const char *folder) {
	char path[4096];
	int killed = 0;
	DIR *entries = opendir(folder);
	for (struct dirent *entry; entries && (entry = readdir(entries));)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path)
			killed += kill_in(path);
	if (entries)
		closedir(entries);
	snprintf(path, sizeof path, "%s/cgroup.procs", folder);
	FILE *members = fopen(path, "re");
	int pid;
	while (members && fscanf(members, "%d", &pid) == 1)
		if (pid != 0 && ++killed)
			kill(pid, SIGKILL);
	if (members)
		fclose(members);
	return killed;
}

int empty_groups(struct words folders) {
	long long limit = now() + 30000; /* what waits for a slow disk dies when that has answered */
	for (int pause = 1;; pause = pause < 25 ? pause * 2 : 50) {
		int killed = 0;
		for (int i = 0; i < folders.count; i++)
			killed += kill_in(folders.at[i]);
		if (killed == 0)
			return 0;
		if (now() > limit)
			return -1;
		pause_for(pause);
	}
}

static int remove_group(const char *folder) {
	char path[4096];
	DIR *entries = opendir(folder);
	for (struct dirent *entry; entries && (entry = readdir(entries));)
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path && remove_group(path) < 0) {
			closedir(entries);
			return -1;
		}
	if (entries)
		closedir(entries);
	for (int pause = 1; rmdir(folder) < 0 && errno != ENOENT; pause *= 2) {
		if (errno != EBUSY || pause > 1000)
			return -1;
		pause_for(pause); /* its last process is gone but not yet forgotten */
	}
	return 0;
}

int remove_groups(struct words folders) {
	int result = empty_groups(folders);
	for (int i = 0; i < folders.count && result == 0; i++)
		result = remove_group(folders.at[i]);
	return result;
}
