/* The private network of a run without Node: the host's end of its link, and what is set up inside once that is there. src/links.ts and
 * src/host/processes.ts do the same for runs with it. */
#include "warm.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* link NAME PEER ADDRESS IP NFT TABLE DROP: the last three are empty where nothing of it goes out. */
enum { NAME = 1, PEER, ADDRESS, IP, NFT, TABLE, DROP };

int link_do(const struct words *step) {
	char **at = step->at, commands[512];
	snprintf(commands, sizeof commands, "link add %s type veth peer name %s\naddress add %s dev %s\nlink set %s up\n", at[NAME], at[PEER], at[ADDRESS], at[NAME], at[NAME]);
	if (run_program((char *[]){ at[IP], "-batch", "-", NULL }, commands) != 0)
		return -1;
	if (!*at[NFT])
		return 0;
	return run_program((char *[]){ at[NFT], at[TABLE], NULL }, "") == 0 && in_child(forwarding_job, 3, (char *[]){ "forwarding", "on", at[NFT], NULL }) == 0 ? 0 : -1;
}

/* With the container's network its end goes, and this one with it, some time after its last process. */
int link_back(const struct words *step) {
	char **at = step->at, path[128];
	struct stat stat_;
	snprintf(path, sizeof path, "/sys/class/net/%s", at[NAME]);
	int result = lstat(path, &stat_) < 0 || run_program((char *[]){ at[IP], "link", "delete", at[NAME], NULL }, "") == 0 || lstat(path, &stat_) < 0 ? 0 : -1;
	if (!*at[NFT])
		return result;
	return run_program((char *[]){ at[NFT], at[DROP], NULL }, "") == 0 && in_child(forwarding_job, 3, (char *[]){ "forwarding", "off", at[NFT], NULL }) == 0 ? result : -1;
}

/* PEER ADDRESS GATEWAY GATE IP: the program inside waits at the gate; whoever opens it for writing gets it open when that has begun to wait, and closes it
 * when the network is there. What fails ends the container, which has not begun its program. */
pid_t connect_network(struct words inside, pid_t container) {
	pid_t parent = getpid(), pid = fork();
	if (pid != 0)
		return pid;
	char **at = inside.at, path[64], number_[16], commands[512], route[128] = "";
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	int gate = open(at[3], O_WRONLY | O_CLOEXEC);
	pid_t first = gate < 0 ? 0 : first_below(container, "net");
	snprintf(number_, sizeof number_, "%d", first);
	if (*at[2])
		snprintf(route, sizeof route, "route add default via %s\n", at[2]);
	snprintf(commands, sizeof commands, "address add %s dev host0\nlink set lo up\nlink set host0 up\n%s", at[1], route);
	snprintf(path, sizeof path, "/proc/%d/ns/net", first);
	int network = first > 0 && run_program((char *[]){ at[4], "link", "set", at[0], "netns", number_, "name", "host0", NULL }, "") == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (network < 0 || setns(network, CLONE_NEWNET) < 0 || run_program((char *[]){ at[4], "-batch", "-", NULL }, commands) != 0) {
		kill(container, SIGKILL);
		/* The gate stays closed until nobody waits at it any more. */
		for (int i = 0; first > 0 && kill(first, 0) == 0 && i < 5000; i++)
			usleep(1000);
		_exit(1);
	}
	_exit(0);
}
