/* What `nestbox list` prints. */
#include "console.h"
#include "list.h"
#include <limits.h>
#include <poll.h>
#include <signal.h>

static const char *screen_of(const struct row *row, int active) {
	if (row->terminal == 0)
		return "-";
	if (row->terminal == LAST_TERMINAL)
		return "a seat";
	return copy(formatted("terminal %d%s", row->terminal, row->terminal == active ? ", visible" : ""), PATH_MAX);
}

enum { COLUMNS = 6 };

/* table() of src/text.ts. */
static void print_table(FILE *out, const struct row *rows, size_t count, int active) {
	const char *(*cells)[COLUMNS] = calloc(count + 1, sizeof *cells);
	int widths[COLUMNS] = { 0 }, is_terminal = isatty(1);
	if (!cells || count == 0)
		return;
	memcpy(cells[0], (const char *[COLUMNS]){ "NAME", "STATE", "BY", "SCREEN", "ROOT", "FILE" }, sizeof *cells);
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		if (!*row->file || row->file[strlen(row->file) - 1] == ' ')
			leave_to_node(); /* the blanks at the end of a line are cut off */
		memcpy(cells[i + 1], (const char *[COLUMNS]){ row->name, row->state, row->in & SERVICE ? row->enabled ? "systemd, enabled" : "systemd" : "-", screen_of(row, active), row->root ? row->root : "-", row->file }, sizeof *cells);
	}
	for (size_t i = 0; i <= count; i++)
		for (int column = 0; column < COLUMNS; column++)
			if ((int)strlen(cells[i][column]) > widths[column])
				widths[column] = (int)strlen(cells[i][column]);
	for (size_t i = 0; i <= count; i++) {
		int is_bold = i == 0 && is_terminal;
		fputs(is_bold ? "\x1b[1m" : "", out);
		for (int column = 0; column < COLUMNS - 1; column++)
			fprintf(out, "%-*s  ", widths[column], cells[i][column]);
		fprintf(out, "%s%s\n", cells[i][COLUMNS - 1], is_bold ? "\x1b[22m" : "");
	}
}

static void print_number(FILE *out, const char *name, int number) {
	if (number)
		fprintf(out, "    \"%s\": %d,\n", name, number);
	else
		fprintf(out, "    \"%s\": null,\n", name);
}

static void print_json(FILE *out, const struct row *rows, size_t count) {
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		fprintf(out, "%s  {\n    \"name\": \"%s\",\n    \"state\": \"%s\",\n", i == 0 ? "[\n" : ",\n", row->name, row->state);
		print_number(out, "pid", row->pid);
		fprintf(out, "    \"service\": %s,\n    \"enabled\": %s,\n", row->in & SERVICE ? "true" : "false", row->enabled ? "true" : "false");
		print_number(out, "terminal", row->terminal);
		if (row->root)
			fprintf(out, "    \"root\": \"%s\",\n", row->root);
		else
			fputs("    \"root\": null,\n", out);
		fprintf(out, "    \"file\": \"%s\"\n  }", row->file);
	}
	fputs(count == 0 ? "[]\n" : "\n]\n", out);
}

/* Where a reader has gone, or a disk is full, nobody is told, as by src/cli.ts. */
static void put(const char *text, size_t length) {
	struct pollfd room_ = { .fd = 1, .events = POLLOUT };
	signal(SIGPIPE, SIG_IGN);
	for (ssize_t done; length > 0; text += done, length -= (size_t)done) {
		done = write(1, text, length);
		if (done < 0 && errno == EAGAIN)
			poll(&room_, 1, -1);
		else if (done < 0 && errno != EINTR)
			return;
		done = done < 0 ? 0 : done;
	}
}

void print_list(const struct row *rows, size_t count, int active, int is_json) {
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		die("list");
	if (is_json)
		print_json(out, rows, count);
	else
		print_table(out, rows, count, active);
	fclose(out);
	put(text, length);
}
