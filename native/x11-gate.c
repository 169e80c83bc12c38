/* x11-gate: lets a machine share memory with an X server of the host. Programs draw a picture into a segment of System V's and tell the server its number
 * (MIT-SHM, Attach); but numbers count in one IPC namespace, and the machine has one of its own. So the machine is given this socket instead of the
 * server's. Each connection gets one of its own to the server, to which all passes as it comes, but for Attach: the segment is looked up here, in the
 * machine's namespace, and the server is handed the memory itself, as a file (AttachFd, MIT-SHM 1.2). A number never reaches the server, for which it
 * would be another segment: one of a program of the host.
 *
 * It runs as an id that owns nothing and is let in nowhere, as the server takes it for the client: who gets in is decided by the key that the client brings.
 * It may use all segments of its namespace (CAP_IPC_OWNER) and open memory by its address (CAP_CHECKPOINT_RESTORE: proc_pid_map_files(5)).
 * The client is taken to be hostile: where a server might read something else than is read here, the connection ends.
 * The X Window System Protocol, version 11; xorgproto's shmproto.h, bigreqsproto.h and dri3proto.txt. */
#include "stream.h"
#include "x11.h"
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	CLIENTS = 250, /* the server takes 256 (Xserver(1), -maxclients) */
	HELD = 128 << 10,
	BATCH = 64, /* files of one message to the server, which takes 128 (MAX_FDS of xtrans); libxcb sends 16 */
	FILES = 2 * BATCH + 253 /* of one message at most, SCM_MAX_FD: unix(7) */,
	SETUP = 12, /* byte order, version and the lengths of what follows */
	SHM_QUERY_VERSION = 0, SHM_ATTACH = 1, SHM_ATTACH_FD = 6, ATTACH = 16 /* bytes of it */, ATTACH_FD = 12,
	BIG_REQUESTS_ENABLE = 0, SHORT = UINT16_MAX /* words of the longest request that is no long one */,
};

/* One direction of a connection. In `bytes`: sent <= passed <= end; up to `passed` it may be sent on, what follows is yet to be looked at. `rest` is how much of
 * the request at `passed` is still to come. Of `files`, which came with the bytes, the first `claimed` belong to what has passed: they are taken
 * in the order of the requests that need one, and the others wait for such a request. */
struct way {
	int from, to, most; /* files that may wait when more is read */
	bool over; /* nothing more comes */
	size_t sent, passed, end, rest;
	int files[FILES], file_count, claimed;
	uint8_t bytes[HELD];
};

static struct client {
	struct way in, out; /* as the client sees it */
	bool greeted, swapped, has_big;
} *clients[CLIENTS];

/* All places from here on are free. */
static int used;

/* What the server calls its extensions by; 0: it has none. `again` are those whose requests it may put off and read once more. */
static uint8_t shm, big_requests, dri3, again[3];
static uint32_t longest; /* words of a request */
static pid_t server_pid; /* of which that is known */

static uint16_t get16(const struct client *client, const uint8_t *at) { return client->swapped ? (uint16_t)(at[0] << 8 | at[1]) : (uint16_t)of_u16(at); }

static uint32_t get32(const struct client *client, const uint8_t *at) { return client->swapped ? __builtin_bswap32(of_u32(at)) : of_u32(at); }

static size_t room(const struct way *way) {
	return way->over || way->file_count > way->most ? 0 : HELD - (way->end - way->sent);
}

static void close_files(struct way *way, int count) {
	for (int i = 0; i < count; i++)
		close(way->files[i]);
	memmove(way->files, way->files + count, (size_t)(way->file_count -= count) * sizeof *way->files);
	way->claimed = way->claimed > count ? way->claimed - count : 0;
}

union control {
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(FILES * sizeof(int))];
};

/* Like all below, false where the connection is to end. */
static bool receive(struct way *way) {
	if (room(way) == 0)
		return true;
	if (way->sent > 0) {
		memmove(way->bytes, way->bytes + way->sent, way->end - way->sent);
		way->passed -= way->sent, way->end -= way->sent, way->sent = 0;
	}
	union control control;
	struct iovec part = { way->bytes + way->end, room(way) };
	/* CMSG_SPACE would have room for one more where their number is odd. */
	struct msghdr message = { NULL, 0, &part, 1, &control, CMSG_LEN((size_t)(FILES - way->file_count) * sizeof(int)), 0 };
	ssize_t count = recvmsg(way->from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (count < 0)
		return errno == EAGAIN || errno == EINTR;
	way->end += (size_t)count;
	way->over = count == 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
		if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
			size_t files = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(way->files + way->file_count, CMSG_DATA(header), files * sizeof(int));
			way->file_count += (int)files;
		}
	return !(message.msg_flags & MSG_CTRUNC);
}

static bool deliver(struct way *way) {
	if (way->sent == way->passed)
		return true;
	int files = way->claimed;
	union control control = { .header = { CMSG_LEN((size_t)files * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	memcpy(CMSG_DATA(&control.header), way->files, (size_t)files * sizeof(int));
	struct iovec part = { way->bytes + way->sent, way->passed - way->sent };
	struct msghdr message = { NULL, 0, &part, 1, files ? &control : NULL, files ? CMSG_SPACE((size_t)files * sizeof(int)) : 0, 0 };
	ssize_t count = sendmsg(way->to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (count < 0)
		return errno == EAGAIN || errno == EINTR;
	way->sent += (size_t)count;
	close_files(way, files);
	return true;
}

/* Who is at the other end: unix(7). */
static bool peer_of(int socket_, struct ucred *peer) {
	socklen_t length = sizeof *peer;
	return getsockopt(socket_, SOL_SOCKET, SO_PEERCRED, peer, &length) == 0;
}

/* As the X server decides it for its own clients (shm_access in Xext/shm.c): by the client's user and first group. */
static bool may_use(const struct client *client, const struct ipc_perm *segment, bool reads_only) {
	struct ucred user;
	if (!peer_of(client->out.from, &user))
		return false;
	mode_t mask = reads_only ? S_IRUSR : S_IRUSR | S_IWUSR;
	if (user.uid != segment->uid && user.uid != segment->cuid)
		mask >>= user.gid == segment->gid || user.gid == segment->cgid ? 3 : 6;
	return user.uid == 0 || (segment->mode & mask) == mask;
}

/* The file that is mapped at an address of this process; -1: there is none. */
static int file_at(const void *address, int flags) {
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long begin, end, wanted = (unsigned long)address;
	char path[64];
	int file = -1;
	while (maps && file < 0 && fscanf(maps, "%lx-%lx%*[^\n]", &begin, &end) == 2)
		if (begin == wanted) {
			snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", begin, end);
			file = open(path, flags | O_CLOEXEC);
			break;
		}
	if (maps)
		fclose(maps);
	return file;
}

/* The memory of a segment as a file; -1: there is no such segment, or the client may not use it. */
static int file_of(const struct client *client, int segment, bool reads_only) {
	struct shmid_ds state;
	static bool told;
	if (shmctl(segment, IPC_STAT, &state) < 0 || !may_use(client, &state.shm_perm, reads_only))
		return -1;
	void *memory = shmat(segment, NULL, reads_only ? SHM_RDONLY : 0);
	if (memory == (void *)-1)
		return -1;
	int file = file_at(memory, reads_only ? O_RDONLY : O_RDWR);
	if (file < 0 && !told) {
		fprintf(stderr, "nestbox: the memory of a program cannot be handed to the X server: %m\n");
		told = true;
	}
	shmdt(memory);
	return file;
}

static void put_length(const struct client *client, uint8_t *request, size_t words) {
	request[2] = (uint8_t)(client->swapped ? words >> 8 : words);
	request[3] = (uint8_t)(client->swapped ? words : words >> 8);
}

/* Takes so many bytes out at a place of what is yet to be looked at. */
static void cut(struct way *way, uint8_t *at, size_t count) {
	memmove(at, at + count, (size_t)(way->bytes + way->end - at) - count);
	way->end -= count;
}

/* Puts AttachFd in the place of an Attach. Where the client cannot have the segment, it becomes one of a segment that cannot be, so that it is the server who says no, in its
 * place in the order of answers. */
static void attach(struct client *client) {
	struct way *out = &client->out;
	uint8_t *at = out->bytes + out->passed; /* segment 4, number 8, whether it is read only 12 */
	int file = file_of(client, (int)get32(client, at + 8), at[12]);
	if (file < 0) {
		u32(at + 8, UINT32_MAX);
		out->passed += ATTACH;
		return;
	}
	at[1] = SHM_ATTACH_FD;
	put_length(client, at, ATTACH_FD / 4);
	cut(out, at + 8, ATTACH - ATTACH_FD);
	out->passed += ATTACH_FD;
	memmove(out->files + out->claimed + 1, out->files + out->claimed, (size_t)(out->file_count++ - out->claimed) * sizeof *out->files);
	out->files[out->claimed++] = file;
}

/* How many files a request comes with, of which `ready` bytes are there; -1: that cannot be said yet. */
static int files_of(const uint8_t *request, size_t ready) {
	if (shm && request[0] == shm && request[1] == SHM_ATTACH_FD)
		return 1;
	if (!dri3 || request[0] != dri3)
		return 0;
	switch (request[1]) {
	case 2: /* PixmapFromBuffer */
	case 4: /* FenceFromFD */
	case 10: /* ImportSyncobj */
		return 1;
	case 7: /* PixmapFromBuffers: so many as the byte after pixmap and window says */
		return ready > 12 ? request[12] : -1;
	default:
		return 0;
	}
}

/* Looks at what has come. It stops where that is to be sent on first. */
static bool look(struct client *client) {
	struct way *out = &client->out;
	for (;;) {
		size_t ready = out->end - out->passed, step = ready < out->rest ? ready : out->rest;
		out->passed += step;
		out->rest -= step;
		ready -= step;
		uint8_t *request = out->bytes + out->passed;
		if (!client->greeted) {
			if (ready < SETUP)
				return true;
			client->swapped = request[0] == 'B';
			client->greeted = true;
			if (!client->swapped && request[0] != 'l')
				return false;
			out->rest = SETUP + (get16(client, request + 6) + 3u) / 4 * 4 + (get16(client, request + 8) + 3u) / 4 * 4;
			continue;
		}
		if (ready < 4)
			return true;
		size_t words = get16(client, request + 2);
		if (words == 0) {
			if (!client->has_big)
				return false;
			if (ready < 8)
				return true;
			words = get32(client, request + 4);
			if (words < 2 || words > longest || (words > SHORT && memchr(again, request[0], sizeof again)))
				return false;
			/* A long request that need not be one: some servers forget, when they read one again, how long it was. */
			if (words - 1 <= SHORT) {
				cut(out, request + 4, 4);
				put_length(client, request, words - 1);
				continue;
			}
		}
		if (big_requests && request[0] == big_requests && request[1] == BIG_REQUESTS_ENABLE && words == 1)
			client->has_big = true;
		if (shm && request[0] == shm && request[1] == SHM_ATTACH && words == ATTACH / 4) {
			if (ready < ATTACH || out->claimed == BATCH)
				return true;
			attach(client);
			continue;
		}
		int files = files_of(request, ready);
		if (files < 0 && words > 3)
			return true;
		if (files > BATCH)
			return false;
		if (files > 0) {
			if (out->claimed + files > BATCH)
				return true;
			out->claimed = out->claimed + files < out->file_count ? out->claimed + files : out->file_count;
		}
		out->rest = words * 4;
	}
}

/* More files that belong to nothing than a message has are no program's that is in its right mind. */
static bool pass(struct client *client) {
	struct way *in = &client->in, *out = &client->out;
	size_t before;
	in->passed = in->end; /* what the server says passes unseen */
	in->claimed = in->file_count;
	if (!deliver(in))
		return false;
	do {
		before = out->end - out->passed;
		if (!look(client) || !deliver(out))
			return false;
	} while (out->sent == out->passed && out->end - out->passed < before);
	return out->file_count - out->claimed <= BATCH;
}

static bool turn(struct client *client) {
	struct way *in = &client->in, *out = &client->out;
	return receive(in) && receive(out) && pass(client) && !(in->over && in->sent == in->end) && !(out->over && out->sent == out->passed);
}

/* False where the system has no files or memory left to accept with. */
static bool admit(int listener, const char *server) {
	int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (from < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	struct client **place = clients;
	struct ucred peer;
	while (place < clients + CLIENTS && *place)
		place++;
	if (place == clients + used && used < CLIENTS)
		used++;
	int to = place < clients + CLIENTS ? connect_to(server) : -1;
	if (to < 0 || !peer_of(to, &peer) || peer.pid != server_pid /* another one that may call its extensions otherwise */ || !(*place = calloc(1, sizeof **place))) {
		close(from);
		if (to >= 0)
			close(to);
		return true;
	}
	(*place)->out.most = BATCH; /* what one message of the server brings is not put together with that of another: a client takes sixteen at once */
	(*place)->out.from = (*place)->in.to = from;
	(*place)->out.to = (*place)->in.from = to;
	return true;
}

static void dismiss(struct client *client) {
	close_files(&client->in, client->in.file_count);
	close_files(&client->out, client->out.file_count);
	close(client->in.from);
	close(client->in.to);
	free(client);
}

static uint8_t known(int x, const char *name) {
	int opcode = extension(x, name);
	if (opcode < 0)
		die("the X server does not answer");
	return (uint8_t)opcode;
}

static void meet(const char *server) {
	static unsigned char bytes[1 << 16], setup[SETUP_MOST];
	const char *number = strrchr(server, 'X'); /* of /tmp/.X11-unix/X0 */
	ssize_t length = read(0, bytes, sizeof bytes);
	int x = connect_to(server);
	if (length < 0 || x < 0)
		die("%s", length < 0 ? "the key" : server);
	struct key key = key_among(bytes, (size_t)length, number ? number + 1 : "");
	const char *wrong = greet(x, &key, setup);
	errno = 0;
	if (wrong)
		die("the X server: %s", wrong);
	struct ucred peer;
	if (!peer_of(x, &peer))
		die("%s", server);
	server_pid = peer.pid;
	shm = known(x, "MIT-SHM");
	dri3 = known(x, "DRI3");
	static const char *const names[] = { "GLX", "DRI2", "XTEST" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		again[i] = known(x, names[i]);
	uint8_t version[4] = { shm, SHM_QUERY_VERSION }, answer[32];
	if (!shm || ask(x, version, sizeof version, answer) < 0 || (of_u16(answer + 8) == 1 && of_u16(answer + 10) < 2))
		die("the X server takes no shared memory as files (MIT-SHM 1.2)");
	if ((big_requests = known(x, "BIG-REQUESTS")) != 0) {
		uint8_t enable[4] = { big_requests, BIG_REQUESTS_ENABLE };
		if (ask(x, enable, sizeof enable, answer) < 0)
			die("the X server does not answer");
		longest = of_u32(answer + 8);
	}
	close(x);
}

int x11_gate_job(int argc, char **argv) {
	if (argc != 3)
		die("x11-gate LISTEN SERVER");
	meet(argv[2]);
	int listener = gate_at(argv[1], CLIENTS);
	for (int patience = -1;;) {
		struct pollfd files[1 + 2 * CLIENTS];
		files[0] = (struct pollfd){ .fd = patience < 0 ? listener : -1, .events = POLLIN };
		for (int i = 0; i < used; i++)
			for (int side = 0; side < 2; side++) {
				struct pollfd *file = &files[1 + 2 * i + side];
				*file = (struct pollfd){ .fd = -1 };
				if (!clients[i])
					continue;
				struct way *read = side ? &clients[i]->in : &clients[i]->out, *write = side ? &clients[i]->out : &clients[i]->in;
				file->events = (room(read) ? POLLIN : 0) | (write->sent < write->passed ? POLLOUT : 0);
				if (file->events) /* else poll(2) would come back at once for a peer that has gone */
					file->fd = read->from;
			}
		if (poll(files, 1 + 2 * (nfds_t)used, patience) < 0 && errno != EINTR)
			die("poll");
		int watched = used;
		/* Who could not be accepted is still there: poll(2) would not wait. */
		patience = files[0].revents && !admit(listener, argv[2]) ? 1000 : -1;
		for (int i = 0; i < watched; i++)
			if (clients[i] && (files[1 + 2 * i].revents || files[2 + 2 * i].revents) && !turn(clients[i])) {
				dismiss(clients[i]);
				clients[i] = NULL;
			}
	}
}
