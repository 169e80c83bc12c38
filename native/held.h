/* Files in folders that somebody else can change meanwhile, held open. src/host/held.ts does the same. */
#pragma once
#include "native.h"
#include <sys/types.h>

/* A folder that is held, and a name in it. */
struct held {
	int folder;
	char name[256];
};

/* The folder of a path, and the path's last name; the folders on the way are opened one after the other from `root` on, an open folder, and links are followed that
 * nobody but root can have put there: another one ends the program. folder is -1, and errno says why, where that cannot be. */
struct held hold_folder(int root, const char *path);

/* What is there, without opening it (O_PATH); a link at the end is followed by the same rule. -1: errno says why. */
int hold(int root, const char *path);

/* The root directory of this process. */
int hold_root(void);

/* A path that leads to what is held, and to nothing else. */
struct way {
	char path[32];
};
struct way way_to(int file);

/* A plain file with this one name, empty, that belongs to the ids by now; no link is followed and no pipe waited for. Or the end of the program. */
int hold_output(const char *path, uid_t uid, gid_t gid);
