/* What becomes a program inside: whose it is, what it may do, and how it is started. */
#pragma once
#include "native.h"
#include <sys/types.h>

struct person {
	char name[256], home[4096], shell[4096];
	uid_t uid;
	gid_t groups[64];
	size_t count;
};

/* What the programs of a container may do at most: proc_pid_status(5). */
struct bounds {
	unsigned long long capabilities;
	int no_new_privileges, filtered;
};

/* By its name or number, from the accounts of the root directory that we are in. */
struct person find_person(const char *wanted);

/* Neither we nor what we start can have more than these capabilities from now on, also by a set-user-id program. */
void hold_capabilities(unsigned long long left);

/* The user as it is inside, within the bounds of the container. The capabilities that it needs for its filter alone, if for
 * that, are gone with exec: capabilities(7). */
void become_person(const struct person *person, struct bounds bounds);

/* The same without an exec, for who goes on as this program: root keeps what it has. */
void forget_capabilities(const struct person *person);

/* Becomes the program, or with `login` the shell, whose name then begins with a hyphen, as login(1) has it. */
_Noreturn void execute(char **argv, const char *shell, int login);

/* Our child is seen inside before it becomes the program, and with it /proc/PID/exe: root inside with the host's ids could
 * keep that open and overwrite our file on the host later (as in CVE-2019-5736). So this runs from a copy that nobody can change. */
void run_from_copy(int argc, char **argv);

/* This program, as a file that is not there yet; whether it is whole. */
int copy_self(const char *path);
