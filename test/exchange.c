/* exchange UID A B [once]: an account of this host that puts two of its files in each other's place, again and again until it is killed, or once as soon as both are there: renameat2(2). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc < 4 || setgroups(0, NULL) < 0 || setgid(atoi(argv[1])) < 0 || setuid(atoi(argv[1])) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while (renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE) < 0 || argc < 5)
		;
	return 0;
}
