/* What the parts of `nestbox list` share: list.c, list-read.c, list-print.c. */
#pragma once
#include "native.h"

/* src/store.ts has the names of all that is read. */
#define LIB "/var/lib/nestbox"
#define RUNS "/run/nestbox"
#define FILES "/etc/nestbox"

/* Where a name was found. */
enum { MACHINE = 1, FILE_ = 2, RUN = 4, SESSION = 8, SERVICE = 16, MOUNTED = 32, JOURNAL = 64, SEAT = 128 };

struct row {
	const char *name;
	unsigned in;
	const char *root, *file, *state;
	int is_running; /* as a nestbox has written it down, whether or not what is there is a session */
	int pid, enabled, terminal; /* 0: none */
};

/* What is not as it is known here how to show it: Node does all of it, as nothing has been printed yet. */
_Noreturn void leave_to_node(void);

/* As long as it has characters, as wide as it is seen, in the same order for C and JavaScript, and nothing to escape in JSON. */
int is_plain_text(const char *text, size_t length);

char *copy(const char *text, size_t length);

/* A path, or anything else that is as short, until the next one is asked for. */
const char *formatted(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* list-read.c: the visible terminal; 0: there are none. */
int read_active(void);

/* machine.json: MachineRecord of src/facts.ts. Where it cannot be read, the machine was not made. */
void read_machine(struct row *row);

/* state.json of a machine that runs: RunState of src/host/session.ts. */
void read_state(struct row *row);

/* A machine whose units are in place: serviceRecords() of src/probe.ts. */
void read_service(struct row *row);

/* list-print.c: what src/commands/list.ts prints of these. */
void print_list(const struct row *rows, size_t count, int active, int is_json);
