/* What the jobs that open and close volumes and images share. */
#pragma once
#include "native.h"
#include <sys/types.h>

/* How long a unit waits for a device, and how long a close waits for those who hold it, in seconds. */
enum { patience = 60, farewell = 30 };

int exists(const char *path);

/* Whether this is a unit that comes up with the host, so that disks may be still to come. */
int comes_up(void);

/* Where a device is mounted, in the mount namespace of a process ("self"). Asked with a path, whether it is mounted there: 1, and 2 where something else is. */
int mounted(const char *pid, dev_t device, const char *at, char *elsewhere);

/* Waits until one of those who hold the device has ended, a second at most. Their names, for people. */
void await_holders(dev_t device, char names[1024]);

/* Mounts a device of the type on an empty folder, which is held open; all files in it belong to `ids` and the ids after it, where the type has owners of its own shifted by so much.
 * In one move: a kill leaves either the whole mount or none. -1: errno says why. */
int mount_shown(const char *device, int target, const char *type, uint32_t ids, int read_only, int no_set_user_id);
