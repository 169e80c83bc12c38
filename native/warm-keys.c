/* Keys to X displays in a run without Node: made anew, copied, or made by the server itself for this machine. src/host/displays.ts and src/x11/
 * do the same for runs with it, and say where the protocol is written down. */
#include "held.h"
#include "stream.h"
#include "warm.h"
#include "x11.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { DAY = 24 * 60 * 60 }; /* how long the server keeps a key that nobody uses */

/* A file with the owner from its beginning, whole or not at all in the eyes of those who may read it: its folder is root's. */
static int put(const char *path, const void *data, size_t length, char **owner) {
	char partial[512];
	snprintf(partial, sizeof partial, "%s.%d.new", path, getpid());
	int file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0)
		return -1;
	int done = write(file, data, length) == (ssize_t)length && (!owner || fchown(file, (uid_t)strtoul(owner[0], NULL, 10), (gid_t)strtoul(owner[1], NULL, 10)) == 0);
	close(file);
	if (done && rename(partial, path) == 0)
		return 0;
	unlink(partial);
	return -1;
}

static unsigned char *field(unsigned char *at, const void *data, size_t length) {
	*at++ = (unsigned char)(length >> 8);
	*at++ = (unsigned char)length;
	memcpy(at, data, length);
	return at + length;
}

/* A file with one key, good under any host name (FamilyWild): Xau(3). */
static int put_key(const char *path, const char *display, const struct key *key, char **owner) {
	unsigned char text[256], *at = text;
	if (key->length == 0)
		return put(path, "", 0, owner);
	*at++ = 0xff, *at++ = 0xff;
	at = field(at, "", 0);
	at = field(at, display, strlen(display));
	at = field(at, MAGIC, MAGIC_LENGTH);
	at = field(at, key->bytes, key->length);
	return put(path, text, (size_t)(at - text), owner);
}

/* What is in a file in somebody else's home, as far as no link of theirs leads there: a process of its own looks, as it ends where one does. -1: it cannot be read. */
static ssize_t read_held(const char *path, unsigned char *text, size_t size) {
	int ends[2], status;
	ssize_t length = 0, got;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, 2);
		int held = hold(hold_root(), path), file = held < 0 ? -1 : open(way_to(held).path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		while (file >= 0 && (got = read(file, text, size)) > 0)
			if (write(ends[1], text, (size_t)got) != got)
				_exit(1);
		_exit(file < 0);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + length, size - (size_t)length)) > 0)
		length += got;
	close(ends[0]);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? length : -1;
}

/* The key that a program of the person's would present: chooseCookie(). -1: it cannot be read. */
static int persons_key(const char *authority, const char *display, struct key *key) {
	static unsigned char text[65536];
	key->length = 0;
	if (!*authority)
		return 0;
	ssize_t length = read_held(authority, text, sizeof text);
	if (length < 0 || length == sizeof text)
		return -1;
	*key = key_among(text, (size_t)length, display);
	return 0;
}

/* A connection with the person's key; -1: the server refuses, or is not there. */
static int connect_x(const char *socket_, const char *display, const char *authority) {
	static unsigned char setup[SETUP_MOST];
	struct key key;
	int x = persons_key(authority, display, &key) < 0 ? -1 : connect_to(socket_);
	if (x < 0 || !greet(x, &key, setup))
		return x;
	close(x);
	return -1;
}

/* The opcode of the SECURITY extension, asked for its version, as servers are used to. -1: it is not there. */
static int security(int x) {
	unsigned char version[8] = { 0, 0, 0, 0, 1 }, reply[32];
	int opcode = extension(x, "SECURITY");
	if (opcode <= 0)
		return -1;
	version[0] = (unsigned char)opcode;
	return ask(x, version, sizeof version, reply) < 0 ? -1 : opcode;
}

static int generate(int x, int opcode, int trusted, struct key *key, uint32_t *id) {
	unsigned char request[12 + 20 + 8] = { (unsigned char)opcode, 1 }, reply[32], data[KEY_MOST + 4];
	u16(request + 4, MAGIC_LENGTH);
	u32(request + 8, 1 | 2); /* what follows: how long it is kept, and whether it is trusted */
	memcpy(request + 12, MAGIC, MAGIC_LENGTH);
	u32(request + 32, DAY);
	u32(request + 36, trusted ? 0 : 1);
	if (ask(x, request, sizeof request, reply) < 0)
		return -1;
	size_t length = of_u32(reply + 4) * 4u;
	*id = of_u32(reply + 8);
	key->length = of_u16(reply + 12);
	if (length > sizeof data || key->length > KEY_MOST || key->length > length || !receive_all(x, data, length))
		return -1;
	memcpy(key->bytes, data, key->length);
	return 0;
}

static void withdraw(int x, int opcode, uint32_t id) {
	/* With a request that has an answer (GetInputFocus), so that it is done when we go on. */
	unsigned char request[8 + 4] = { (unsigned char)opcode, 2, 2, 0, 0, 0, 0, 0, 43, 0, 1, 0 }, reply[32];
	u32(request + 4, id);
	if (send_all(x, request, sizeof request))
		receive_all(x, reply, sizeof reply);
}

/* authorize SOCKET DISPLAY AUTHORITY trusted|untrusted PATH DISPLAY-INSIDE UID GID: a server without the extension is left to Node. */
int authorize_do(const struct words *step) {
	char **at = step->at, id_path[512], text[16];
	struct key key;
	uint32_t id = 0;
	int x = connect_x(at[1], at[2], at[3]), opcode = x < 0 ? -1 : security(x);
	int done = opcode >= 0 && generate(x, opcode, strcmp(at[4], "trusted") == 0, &key, &id) == 0;
	if (done) {
		snprintf(id_path, sizeof id_path, "%s.id", at[5]);
		snprintf(text, sizeof text, "%u", id);
		done = put(id_path, text, strlen(text), NULL) == 0 && put_key(at[5], at[6], &key, at + 7) == 0;
		if (!done)
			withdraw(x, opcode, id);
	}
	if (x >= 0)
		close(x);
	return done ? 0 : -1;
}

/* A server that has ended has forgotten its keys: no failure of it counts. */
int authorize_back(const struct words *step) {
	char **at = step->at, id_path[512], text[16] = "";
	snprintf(id_path, sizeof id_path, "%s.id", at[5]);
	int file = open(id_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file >= 0 && read(file, text, sizeof text - 1) > 0) {
		int x = connect_x(at[1], at[2], at[3]), opcode = x < 0 ? -1 : security(x);
		if (opcode >= 0)
			withdraw(x, opcode, (uint32_t)strtoul(text, NULL, 10));
		if (x >= 0)
			close(x);
	}
	if (file >= 0)
		close(file);
	unlink(id_path);
	unlink(at[5]);
	return 0;
}

/* cookie DISPLAY PATH UID GID PATH UID GID: from the kernel itself (random(4)). */
int cookie_do(const struct words *step) {
	char **at = step->at;
	struct key key = { .length = 16 };
	int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	int done = file >= 0 && read(file, key.bytes, key.length) == (ssize_t)key.length;
	if (file >= 0)
		close(file);
	return done && put_key(at[2], at[1], &key, at + 3) == 0 && put_key(at[5], at[1], &key, at + 6) == 0 ? 0 : -1;
}

/* copy-cookie DISPLAY AUTHORITY PATH UID GID */
int copy_cookie_do(const struct words *step) {
	char **at = step->at;
	struct key key;
	return persons_key(at[2], at[1], &key) < 0 ? -1 : put_key(at[3], at[1], &key, at + 4);
}
