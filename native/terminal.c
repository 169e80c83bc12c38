#include "terminal.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>

struct flow {
	int from, to;
	size_t begin, end;
	char bytes[16384];
};

/* Into the program; out of it, twice. `from` is -1 where nothing is carried. */
static struct flow flows[3] = { { .from = -1, .to = -1 }, { .from = -1, .to = -1 }, { .from = -1, .to = -1 } };
static int hosts[3] = { -1, -1, -1 }; /* the descriptor of the one who asked, where the program has another in its place */
static int master = -1, signals = -1;
static int is_raw;
static struct termios before;

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT };

static void replace(int i, int theirs) {
	hosts[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
	if (hosts[i] < 0 || dup2(theirs, i) < 0)
		die("descriptor %d", i);
}

/* A new terminal. The container decides what is at /dev: it must be a multiplexer, and nothing that it makes can be taken for
 * the other end, which is opened without a path (TIOCGPTPEER in ioctl_tty(2), Linux 4.13). */
static void open_terminal(void) {
	struct stat stat;
	int lock = 0;
	master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	/* Documentation/admin-guide/devices.txt: 5:2 */
	if (master < 0 || fstat(master, &stat) < 0 || !S_ISCHR(stat.st_mode) || stat.st_rdev != makedev(5, 2))
		die("the container has no terminals (/dev/pts/ptmx)");
	int slave = ioctl(master, TIOCSPTLCK, &lock) < 0 ? -1 : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		die("a terminal inside");
	struct winsize size;
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		ioctl(master, TIOCSWINSZ, &size);
	if (tcgetattr(0, &before) == 0) {
		tcsetattr(slave, TCSANOW, &before); /* its special keys are those that the person has */
		struct termios raw = before;
		cfmakeraw(&raw);
		is_raw = tcsetattr(0, TCSADRAIN, &raw) == 0; /* killed before it is as it was, Node puts it back */
	}
	for (int i = 0; i < 3; i++)
		replace(i, slave);
	close(slave);
	flows[0].from = hosts[0], flows[0].to = master;
	flows[1].from = master, flows[1].to = hosts[1];
}

static void open_pipe(int i) {
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	int ours = i == 0 ? ends[1] : ends[0], theirs = i == 0 ? ends[0] : ends[1];
	fcntl(ours, F_SETFL, O_NONBLOCK);
	replace(i, theirs);
	close(theirs);
	flows[i].from = i == 0 ? hosts[i] : ours;
	flows[i].to = i == 0 ? ours : hosts[i];
}

void open_streams(int terminal) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++)
		sigaddset(&set, passed_on[i]);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		die("signals");
	if (terminal)
		open_terminal();
	else
		for (int i = 0; i < 3; i++)
			if (isatty(i)) /* a terminal of the host is not handed in: whoever has it open may type into it (TIOCSTI) */
				open_pipe(i);
}

void take_terminal(void) {
	sigset_t none;
	sigemptyset(&none);
	setsid();
	if (master >= 0)
		ioctl(0, TIOCSCTTY, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL); /* those that cannot be changed are as they should be */
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void finish(struct flow *flow) {
	if (flow == &flows[0] && flow->to != master && flow->to >= 0)
		close(flow->to); /* the program reads the end of its input */
	flow->from = flow->to = -1;
}

/* Moves what can be moved now; whether anything was. */
static int move(struct flow *flow, short readable, short writable) {
	if (flow->from < 0)
		return 0;
	if (flow->begin == flow->end && readable) {
		ssize_t length = read(flow->from, flow->bytes, sizeof flow->bytes);
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (length <= 0) { /* EIO: nobody has the other end of the terminal open any more */
			finish(flow);
			return 0;
		}
		flow->begin = 0, flow->end = (size_t)length;
		return 1;
	}
	if (flow->begin < flow->end && writable) {
		ssize_t length = write(flow->to, flow->bytes + flow->begin, flow->end - flow->begin);
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (length < 0) {
			finish(flow);
			return 0;
		}
		flow->begin += (size_t)length;
		return 1;
	}
	return 0;
}

int carry(pid_t program) {
	for (int i = 0; i < 3; i++)
		if (hosts[i] >= 0)
			dup2(hosts[i], i); /* the program's end is the program's alone: else its end would never be seen */
	signal(SIGPIPE, SIG_IGN);
	int status = -1;
	for (;;) {
		struct pollfd polls[7] = { { .fd = signals, .events = POLLIN } };
		for (int i = 0; i < 3; i++) {
			int full = flows[i].begin < flows[i].end;
			polls[1 + 2 * i] = (struct pollfd){ .fd = full ? -1 : flows[i].from, .events = POLLIN };
			polls[2 + 2 * i] = (struct pollfd){ .fd = full ? flows[i].to : -1, .events = POLLOUT };
		}
		int ready = poll(polls, 7, status < 0 ? -1 : 0);
		if (ready < 0 && errno != EINTR)
			die("poll");
		int moved = 0;
		for (int i = 0; i < 3; i++)
			moved += move(&flows[i], polls[1 + 2 * i].revents, polls[2 + 2 * i].revents) && i > 0;
		if (status >= 0 && !moved)
			break; /* it has ended, and all that it had said by then has been passed on */
		struct signalfd_siginfo info;
		while (ready > 0 && read(signals, &info, sizeof info) == sizeof info) {
			int how;
			if (info.ssi_signo == SIGCHLD) {
				if (waitpid(program, &how, WNOHANG) == program)
					status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
			} else if (info.ssi_signo == SIGWINCH) {
				struct winsize size;
				if (master >= 0 && ioctl(hosts[0], TIOCGWINSZ, &size) == 0)
					ioctl(master, TIOCSWINSZ, &size);
			} else if (status < 0)
				kill(program, (int)info.ssi_signo);
		}
	}
	if (is_raw)
		tcsetattr(hosts[0], TCSADRAIN, &before);
	return status;
}
