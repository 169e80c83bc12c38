/* What `nestbox list` reads of one machine. */
#include "json.h"
#include "list.h"
#include <fcntl.h>
#include <sys/stat.h>

#define UNITS "/etc/systemd/system"

static int is_there(const char *at) {
	struct stat stat_;
	return lstat(at, &stat_) == 0;
}

/* All of a text, with a zero after it; one that cannot be read has no `at`. */
static struct json text_of(const char *at) {
	size_t length = 0, size = 0;
	ssize_t got = 0;
	char *text = NULL;
	int file = open(at, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return (struct json){ 0 };
	do {
		length += (size_t)got;
		if (size - length < 2048 && !(text = realloc(text, size = size * 2 + 4096)))
			die("list");
	} while ((got = read(file, text + length, size - length - 1)) > 0);
	close(file);
	text[length] = '\0';
	if (strlen(text) != length)
		leave_to_node();
	return got < 0 ? (struct json){ 0 } : (struct json){ text, length };
}

/* What `??` passes over. */
static int is_none(struct json member) {
	return !member.at || (member.length == 4 && memcmp(member.at, "null", 4) == 0);
}

/* A text that is a member, NULL where there is none; what is neither is Node's. */
static const char *text_in(struct json member) {
	if (is_none(member))
		return NULL;
	if (*member.at != '"' || !is_plain_text(member.at + 1, member.length - 2))
		leave_to_node();
	return copy(member.at + 1, member.length - 2);
}

static int digits(const char *text) {
	return (int)strspn(text, "0123456789");
}

/* The same of a number; 0 where there is none. */
static int number_in(struct json member) {
	if (is_none(member))
		return 0;
	if (member.length > 9 || (size_t)digits(member.at) != member.length)
		leave_to_node();
	return atoi(member.at);
}

void read_machine(struct row *row) {
	static const char *const names[] = { "name", "template", "volume", "directory", "file", NULL }, *const of_volume[] = { "path", NULL };
	struct json members[5], volume = { 0 }, text = text_of(formatted(LIB "/machines/%s/machine.json", row->name));
	if (!text.at) {
		row->in &= ~(unsigned)MACHINE;
		return;
	}
	if (!json_members(text, names, members))
		leave_to_node();
	const char *name = text_in(members[0]);
	if (!name || strcmp(name, row->name) != 0)
		leave_to_node();
	if (!is_none(members[2]) && !json_members(members[2], of_volume, &volume))
		leave_to_node();
	const char *roots[] = { text_in(members[1]), text_in(volume), text_in(members[3]) };
	for (int i = 0; i < 3 && !row->root; i++)
		row->root = roots[i];
	row->file = text_in(members[4]);
}

void read_state(struct row *row) {
	static const char *const names[] = { "pid", "file", "terminal", NULL };
	struct json members[3], text = text_of(formatted(RUNS "/%s/state.json", row->name));
	if (!text.at)
		return;
	if (!json_members(text, names, members) || number_in(members[0]) == 0)
		leave_to_node();
	int pid = number_in(members[0]);
	struct stat stat_;
	if (stat(formatted("/proc/%d", pid), &stat_) < 0)
		return;
	row->is_running = 1;
	row->terminal = number_in(members[2]);
	if (!(row->in & SESSION))
		return;
	row->pid = pid;
	const char *file = text_in(members[1]);
	row->file = file ? file : row->file;
}

/* The first process, as systemd-machined has written it down; 0: it does not run. */
static int leader_of(const char *name) {
	struct json text = is_there(formatted("/run/systemd/machines/unit:systemd-nspawn@%s.service", name)) ? text_of(formatted("/run/systemd/machines/%s", name)) : (struct json){ 0 };
	for (const char *line = text.at; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, "LEADER=", 7) != 0)
			continue;
		int length = digits(line + 7);
		if (length == 0 || length > 9 || line[7 + length] != '\n')
			leave_to_node();
		return atoi(line + 7);
	}
	return 0;
}

/* Where the container of a unit of LXC's may run, to look for its first process is left to Node. */
static void look_for_container(const char *name) {
	static const char *const trees[] = { "", "/systemd", "/unified" };
	for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
		if (is_there(formatted("/sys/fs/cgroup%s/machine.slice/lxc@%s.service/lxc.payload.%s", trees[i], name, name)))
			leave_to_node();
}

/* The terminal that its unit takes: take() of src/steps/terminals.ts writes it there. */
static int terminal_of(const char *name) {
	static const char before[] = " console take ";
	struct json text = text_of(formatted(UNITS "/nestbox-%s.service", name));
	for (const char *at = text.at; at && (at = strstr(at, before)); at++) {
		int length = digits(at + sizeof before - 1), number = atoi(at + sizeof before - 1);
		if (length > 0 && length < 3 && at[sizeof before - 1] != '0' && at[sizeof before - 1 + (size_t)length] == ' ')
			return number;
	}
	return 0;
}

void read_service(struct row *row) {
	if (access(formatted(LIB "/services/%s/undo", row->name), F_OK) < 0) {
		row->in &= ~(unsigned)SERVICE;
		return;
	}
	int is_lxc = access(formatted(UNITS "/systemd-nspawn@%s.service.d/nestbox.conf", row->name), F_OK) < 0 && access(formatted(UNITS "/lxc@%s.service.d/nestbox.conf", row->name), F_OK) == 0;
	row->enabled = is_there(formatted(UNITS "/multi-user.target.wants/%s@%s.service", is_lxc ? "lxc" : "systemd-nspawn", row->name));
	int terminal = terminal_of(row->name), leader = is_lxc ? 0 : leader_of(row->name);
	if (is_lxc)
		look_for_container(row->name);
	row->terminal = terminal ? terminal : row->terminal;
	row->pid = row->pid ? row->pid : leader;
}

int read_active(void) {
	struct json text = text_of("/sys/class/tty/tty0/active");
	if (!text.at)
		return 0;
	int length = strncmp(text.at, "tty", 3) == 0 ? digits(text.at + 3) : 0, active = length > 0 && length < 3 ? atoi(text.at + 3) : 0;
	if (active == 0 || strcmp(text.at + 3 + length, "\n") != 0)
		leave_to_node();
	return active;
}
