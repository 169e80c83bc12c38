/* System call filters that systemd-nspawn has made once, kept in a file. */
#pragma once
#include "leader.h"

/* What a file of filters holds for: the program and what it is linked to, the kernel, and the options that decide on filters.
 * All are texts of one line each, as they are in the file. */
struct kept {
	char **lines;
	size_t count;
	struct filters filters;
	/* Why systemd-nspawn has to make its own all the same; NULL: they can be loaded. */
	const char *unfit;
};

/* The options among nspawn's arguments by which its filters differ, in their order, ended by NULL; NULL: they may not be loaded before it. */
char **deciding_options(char **argv);

/* `file INODE SIZE MODIFIED CHANGED PATH` of a file as it is now, or NULL. */
char *line_of_file(const char *path);

/* `kernel RELEASE VERSION MACHINE` */
char *line_of_kernel(void);

/* Starts `argv`, a systemd-nspawn, with nothing in it, reads its filters, tries whether it can do its work under them, and leaves a file of that name
 * in the folder `at`, whose path is `folder`. Returns whether there is one now. */
int record_filters(int at, const char *folder, const char *name, char **argv, char **options);
