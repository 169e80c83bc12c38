/* Somebody inside a container, as its own files have them. */
#pragma once
#include "native.h"
#include <sys/types.h>

struct person {
	char name[256], home[4096], shell[4096];
	uid_t uid;
	gid_t groups[64];
	size_t count;
};

/* By name or number. Ends the program where there is nobody of that name. */
struct person find_person(const char *wanted);
