/* A run without Node: what src/host/warm.ts has written of one is done again. Words in lists; each list has its length before it, and all end with a NUL. */
#pragma once
#include "native.h"
#include <signal.h>
#include <sys/types.h>

struct words {
	int count;
	char **at;
};

/* One step, by its kind and what follows; `line` is its way back as the journal has it. */
struct step {
	const char *line;
	struct words words;
	int journalled;
};

struct warm {
	const char *machine;
	const char *file; /* its file; NULL: whichever it has */
	struct words *lists;
	int count;
	struct step *steps;
	int step_count;
	const char *root;
	const char *state;
	struct words program; /* what is run in it */
	int boots; /* its own init, and not the program */
	int lock, journal;
	char folder[512], journal_path[512];
	sigset_t *signals; /* as the caller had them */
	int status; /* of the container */
	int left; /* something could not be taken back */
};

/* warm-check.c: reads what was written for these variables, and tells whether all is as it was then. 0: it is a run for Node. */
int read_warm(struct warm *warm);

/* The same of any file of records, which needs only be whole. */
int read_record(struct warm *warm, const char *path);

/* All of a file that root alone can have written; NULL: it is none. */
char *contents(const char *path, size_t *length);

/* Of the variables that a plan depends on. */
uint64_t caller_key(void);

/* warm.c: the machine's own folder, locked. -1: somebody else has it. The caller's descriptors are not for those that are started. What there is to be said to people. */
int take_lock(const char *folder);
int own_descriptors(void);
void tell(const struct warm *warm);

/* What has to be in the root is there, and no link leads systemd-nspawn out of it. */
int has_inside(const struct warm *warm);

/* warm-steps.c: 0, or -1 where Node has to do it. A step that is done already is not journalled. */
int take_step(struct warm *warm, struct step *step);
int take_back(const struct step *step);

/* What a program is started with: what all are, the caller's TERM where it `has_terminal`, and these. How many: at most three more than these. */
int environment_of(struct words more, int has_terminal, char **environment);

/* A list in a list of words, at *i, which becomes the place after it. */
struct words counted(const struct words *words, int *i);

/* warm-contain.c: runs the container, with the caller's signals; `status` becomes its exit status. */
int contain(struct warm *warm, const struct words *step);

/* Signals of the person end nothing by themselves from here on. `before`: which were held already. */
void hold_signals(sigset_t *before);

/* Of these, the first that has come before the container ran; 0: none. */
int interrupted(void);

/* warm-service.c: returns when the program can be used. */
int service_do(struct warm *warm, const struct words *step);
int service_back(const struct words *step);

/* Removes a file of a program that was killed, or an empty folder, unless a living process holds it. */
int leftover(const char *path);

/* warm-network.c */
int link_do(const struct words *step);
int link_back(const struct words *step);
pid_t connect_network(struct words inside, pid_t container);

/* Of all processes below one, parents first, the first that is in another namespace of the kind "net" than we; 0: none. */
pid_t first_below(pid_t pid, const char *kind);

/* warm-keys.c */
int authorize_do(const struct words *step);
int authorize_back(const struct words *step);
int cookie_do(const struct words *step);
int copy_cookie_do(const struct words *step);

/* Ends all that runs in the groups of a list. */
int empty_groups(struct words folders);
int remove_groups(struct words folders);

/* Runs a job of nestbox-native, or a program whose path is given and that reads the input, in a process of its own, without a word; its exit status. */
int in_child(int (*job)(int argc, char **argv), int argc, char **argv);
int run_program(char **argv, const char *input);
