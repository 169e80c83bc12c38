/* x11-gate: lets a machine share memory with an X server of the host. Programs draw a picture into a segment of System V's and tell the server its number
 * (MIT-SHM, Attach); but numbers count in one IPC namespace, and the machine has one of its own. So the machine is given this socket instead of the
 * server's. Each connection gets one of its own to the server, to which all passes as it comes, but for Attach: the segment is looked up here, in the
 * machine's namespace, and the server is handed the memory itself, as a file (AttachFd, MIT-SHM 1.2). A number never reaches the server, for which it
 * would be another segment: one of a program of the host.
 *
 * It runs as an id that owns nothing and is let in nowhere, as the server takes it for the client: who gets in is decided by the key that the client brings.
 * It may use all segments of its namespace (CAP_IPC_OWNER) and open memory by its address (CAP_CHECKPOINT_RESTORE: proc_pid_map_files(5)).
 * The client is taken to be hostile: what is not well formed ends its connection.
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
	FILES = 64, /* that wait to be sent on; libxcb sends 16 at once */
	SETUP = 12, /* byte order, version and the lengths of what follows */
	QUERY_EXTENSION = 98,
	SHM_QUERY_VERSION = 0, SHM_ATTACH = 1, SHM_ATTACH_FD = 6, ATTACH = 16 /* bytes of it */, ATTACH_FD = 12,
	BIG_REQUESTS_ENABLE = 0,
};

/* One direction of a connection. In `bytes`: sent <= passed <= end; up to `passed` it may be sent on, what follows is yet to be looked at. `rest` is how much of
 * the request at `passed` is still to come. Of `files`, which came with the bytes, the first `claimed` belong to what has passed: the server
 * takes them in the order of the requests that need one. */
struct way {
	int from, to;
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

/* What the server calls its extensions by; 0: it has none. */
static uint8_t shm, big_requests, dri3;
static bool takes_files;

static uint16_t get16(const struct client *client, const uint8_t *at) { return client->swapped ? (uint16_t)(at[0] << 8 | at[1]) : (uint16_t)of_u16(at); }

static uint32_t get32(const struct client *client, const uint8_t *at) { return client->swapped ? __builtin_bswap32(of_u32(at)) : of_u32(at); }

static size_t room(const struct way *way) {
	return way->over || way->file_count == FILES ? 0 : HELD - (way->end - way->sent);
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
	/* Where nothing is waiting to be looked at, no request is known that would take what is left of them. */
	int files = way->passed == way->end ? way->file_count : way->claimed;
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

/* As the X server decides it for its own clients (shm_access in Xext/shm.c): by the client's user and first group. */
static bool may_use(const struct client *client, const struct ipc_perm *segment, bool reads_only) {
	struct ucred user;
	socklen_t length = sizeof user;
	if (getsockopt(client->out.from, SOL_SOCKET, SO_PEERCRED, &user, &length) < 0)
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
	if (!takes_files || shmctl(segment, IPC_STAT, &state) < 0 || !may_use(client, &state.shm_perm, reads_only))
		return -1;
	void *memory = shmat(segment, NULL, reads_only ? SHM_RDONLY : 0);
	if (memory == (void *)-1)
		return -1;
	int file = file_at(memory, reads_only ? O_RDONLY : O_RDWR);
	if (file < 0)
		fprintf(stderr, "nestbox: the memory of a program cannot be handed to the X server: %m\n");
	shmdt(memory);
	return file;
}

/* Puts AttachFd in the place of an Attach of `length` bytes, whose segment, number and flag are its last twelve. Where the client cannot have it, it becomes one of
 * a segment that cannot be, so that it is the server who says no, in its place in the order of answers. */
static void attach(struct client *client, size_t length) {
	struct way *out = &client->out;
	uint8_t *at = out->bytes + out->passed, *body = at + length - 12;
	int file = out->file_count < FILES ? file_of(client, (int)get32(client, body + 4), body[8]) : -1;
	if (file < 0) {
		u32(body + 4, UINT32_MAX);
		out->passed += length;
		return;
	}
	uint8_t instead[ATTACH_FD] = { shm, SHM_ATTACH_FD, client->swapped ? 0 : ATTACH_FD / 4, client->swapped ? ATTACH_FD / 4 : 0, body[0], body[1], body[2], body[3], body[8] };
	memcpy(at, instead, ATTACH_FD);
	memmove(at + ATTACH_FD, at + length, out->end - out->passed - length);
	out->passed += ATTACH_FD;
	out->end -= length - ATTACH_FD;
	memmove(out->files + out->claimed + 1, out->files + out->claimed, (size_t)(out->file_count++ - out->claimed) * sizeof *out->files);
	out->files[out->claimed++] = file;
}

/* How many files a request comes with, of which `ready` bytes are there, `header` of them its head; -1: that cannot be said yet. */
static int files_of(const uint8_t *request, size_t header, size_t ready) {
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
		return ready > header + 8 ? request[header + 8] : -1;
	default:
		return 0;
	}
}

static bool look(struct client *client) {
	struct way *out = &client->out;
	for (;;) {
		size_t ready = out->end - out->passed, step = ready < out->rest ? ready : out->rest;
		out->passed += step;
		out->rest -= step;
		ready -= step;
		const uint8_t *request = out->bytes + out->passed;
		if (!client->greeted) {
			if (ready < SETUP)
				return true;
			client->swapped = request[0] == 'B';
			client->greeted = true;
			out->rest = SETUP + (get16(client, request + 6) + 3u) / 4 * 4 + (get16(client, request + 8) + 3u) / 4 * 4;
			continue;
		}
		size_t header = 4;
		if (ready < header)
			return true;
		size_t length = get16(client, request + 2) * 4u;
		if (length == 0) {
			header = 8;
			if (!client->has_big)
				return false;
			if (ready < header)
				return true;
			length = get32(client, request + 4) * (size_t)4;
			if (length < header)
				return false;
		}
		if (big_requests && request[0] == big_requests && request[1] == BIG_REQUESTS_ENABLE && length == 4)
			client->has_big = true;
		if (shm && request[0] == shm && request[1] == SHM_ATTACH && length == ATTACH + header - 4) {
			if (ready < length)
				return true;
			attach(client, length);
			continue;
		}
		int files = files_of(request, header, ready);
		if (files < 0 && length > header + 8)
			return true;
		out->claimed = files > out->file_count - out->claimed ? out->file_count : out->claimed + (files > 0 ? files : 0);
		out->rest = length;
	}
}

static bool turn(struct client *client) {
	struct way *in = &client->in, *out = &client->out;
	if (!receive(in) || !receive(out) || !look(client))
		return false;
	in->passed = in->end; /* what the server says passes unseen */
	return deliver(in) && deliver(out) && !(in->over && in->sent == in->end) && !(out->over && out->sent == out->passed);
}

/* False where the system has no files or memory left to accept with. */
static bool admit(int listener, const char *server) {
	int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (from < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	struct client **place = clients;
	while (place < clients + CLIENTS && *place)
		place++;
	if (place == clients + used && used < CLIENTS)
		used++;
	int to = place < clients + CLIENTS ? connect_to(server) : -1;
	if (to < 0 || !(*place = calloc(1, sizeof **place))) {
		close(from);
		if (to >= 0)
			close(to);
		return true;
	}
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

/* A reply of 32 bytes; events come between. */
static bool reply(int x, uint8_t bytes[32]) {
	do
		if (!receive_all(x, bytes, 32))
			return false;
	while ((bytes[0] & 0x7f) > 1);
	return bytes[0] == 1;
}

static uint8_t extension(int x, const char *name) {
	uint8_t request[32] = { QUERY_EXTENSION }, answer[32];
	size_t length = strlen(name);
	u16(request + 2, 2 + (unsigned)(length + 3) / 4);
	u16(request + 4, (unsigned)length);
	memcpy(request + 8, name, length);
	if (!send_all(x, request, 8 + (length + 3) / 4 * 4) || !reply(x, answer))
		die("the X server does not answer");
	return answer[8] ? answer[9] : 0;
}

static void meet(const char *server, const char *key_file) {
	static unsigned char bytes[1 << 16], setup[SETUP_MOST];
	const char *number = strrchr(server, 'X'); /* of /tmp/.X11-unix/X0 */
	int file = open(key_file, O_RDONLY | O_CLOEXEC), x = connect_to(server);
	ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
	if (length < 0)
		die("%s", key_file);
	if (x < 0)
		die("%s", server);
	struct key key = key_among(bytes, (size_t)length, number ? number + 1 : "");
	const char *wrong = greet(x, &key, setup);
	if (wrong)
		die("the X server: %s", wrong);
	shm = extension(x, "MIT-SHM");
	big_requests = extension(x, "BIG-REQUESTS");
	dri3 = extension(x, "DRI3");
	uint8_t request[4] = { shm, SHM_QUERY_VERSION, 1 }, answer[32];
	takes_files = shm && send_all(x, request, sizeof request) && reply(x, answer) && (of_u16(answer + 8) > 1 || of_u16(answer + 10) >= 2);
	if (!takes_files)
		fprintf(stderr, "nestbox: the X server takes no shared memory: pictures go over the socket\n");
	close(file);
	close(x);
}

int x11_gate_job(int argc, char **argv) {
	if (argc != 4)
		die("x11-gate LISTEN SERVER KEY");
	meet(argv[2], argv[3]);
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
