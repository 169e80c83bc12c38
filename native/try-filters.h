/* A start of systemd-nspawn, alone or under filters that may forbid what it needs. */
#pragma once
#include "kept-filters.h"

/* A start of nspawn: what runs in it says a byte once it is there. */
struct start {
	pid_t pid;
	int ready, hold;
	int listener; /* -1: nobody asks us */
};

/* `under`: NULL, or filters that it is started with; `listener` then tells of each call that they forbid. `pid` is -1 where they cannot be tried. */
struct start start(char **argv, const struct filters *under);

/* Kills it, with all that is in it. */
void end(struct start started);

/* Waits until what is inside runs. Returns NULL, or why not: `late` where that was only a matter of time. */
const char *await(struct start started);
extern const char *const late;
