/* first USER STATUS -- PROGRAM [ARGUMENT]...: process 1 of a container that runs a program and no system: systemd-nspawn has one of its own, LXC has
 * not. It starts the program as somebody of the container's, passes signals on to it, takes in the processes that have lost their parents, and ends
 * with the program: the kernel then ends all others. lxc-start(1) does not tell how the program ended: its exit status goes into the file STATUS.
 * The words stand in a file that knows no quotes: \xHH is the byte with that number, and \x alone the empty word. */
#include "person.h"
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

static int digit(char letter) {
	return letter >= '0' && letter <= '9' ? letter - '0' : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* In its place. */
static void decode(char *word) {
	char *to = word;
	if (strcmp(word, "\\x") == 0)
		*word = '\0';
	for (const char *at = word; *at; to++) {
		if (at[0] == '\\' && at[1] == 'x' && digit(at[2]) >= 0 && digit(at[3]) >= 0) {
			*to = (char)(digit(at[2]) << 4 | digit(at[3]));
			at += 4;
		} else
			*to = *at++;
	}
	*to = '\0';
}

static _Noreturn void become(const char *user, char **program) {
	struct person person = find_person(user);
	setenv("HOME", person.home, 1);
	setenv("USER", person.name, 1);
	setenv("LOGNAME", person.name, 1);
	setenv("SHELL", *person.shell ? person.shell : "/bin/sh", 1);
	setsid();
	ioctl(0, TIOCSCTTY, 0); /* it is none where nobody sits at one */
	gid_t group = person.groups[0];
	if (setgroups(person.count, person.groups) < 0 || setresgid(group, group, group) < 0 || setresuid(person.uid, person.uid, person.uid) < 0)
		die("user '%s'", user);
	if (chdir(person.home) < 0 && chdir("/") < 0)
		die("/");
	execute(program, NULL, 0);
}

static void tell(const char *path, int status) {
	int file = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return;
	dprintf(file, "%d\n", status);
	close(file);
}

int first_job(int argc, char **argv) {
	if (argc < 5 || strcmp(argv[3], "--") != 0)
		die("first USER STATUS -- PROGRAM");
	for (int i = 4; i < argc; i++)
		decode(argv[i]);
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL);
	umask(022);
	pid_t program = fork();
	if (program < 0)
		die("a process");
	if (program == 0) {
		for (int i = 1; i < NSIG; i++)
			signal(i, SIG_DFL); /* those that cannot be changed are as they should be */
		sigprocmask(SIG_SETMASK, &none, NULL);
		become(argv[1], argv + 4);
	}
	for (;;) {
		int signal_ = sigwaitinfo(&all, NULL);
		if (signal_ > 0 && signal_ != SIGCHLD)
			kill(program, signal_);
		int how;
		for (pid_t pid; (pid = waitpid(-1, &how, WNOHANG)) > 0;)
			if (pid == program) {
				int status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
				tell(argv[2], status);
				return status;
			}
	}
}
