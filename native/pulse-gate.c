/* pulse-gate: lets a machine play sound and nothing else. PulseAudio has no rights per client: whoever reaches its
 * socket may record every sink (through its monitor), load modules and end the streams of others. So the machine is
 * given this socket instead. Each connection gets one of its own to the server, requests that are not on the list
 * below are answered here with "Access denied", and shared memory is argued out of both sides, as it would be a way
 * around the gate. The client is taken to be hostile: what it can make the gate hold is fixed, and what is not well
 * formed ends its connection. The frames: src/pulsecore/pstream.c of PulseAudio; the commands: native-common.h. */
#include "stream.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	CLIENTS = 60, /* the server takes 64 connections; the host keeps a few */
	DESCRIPTOR = 20, /* length, channel, offset (64 bits), flags; all big endian */
	FRAME_LIMIT = 16 << 20, /* PulseAudio's own */
	CONTROL_LIMIT = 64 << 10, /* a control frame is held whole to be looked at; sound passes piece by piece */
	HELD = DESCRIPTOR + CONTROL_LIMIT,
	ANSWER = DESCRIPTOR + 15, /* ERROR, tag, code */
	SEEK_MODES = 3, /* the flags a frame of sound may have; all higher bits are about shared memory */
	VERSION = 0xffff, /* the rest of the protocol version are flags: 1 << 31 shared memory, 1 << 30 memfd */
	OLDEST = 13, /* 0.9.11; to older clients the server gives shared memory without being asked */
	UPLOADS = 32, /* in all: samples (up to 16 MiB) stay in the server when their client has gone */
};

enum { ERROR = 0, REPLY = 2, AUTH = 8, CREATE_UPLOAD_STREAM = 15, ERROR_ACCESS = 1 };

static const uint8_t allowed[] = {
	/* Streams that play. */
	3 /* CREATE_PLAYBACK_STREAM */, 4 /* DELETE_PLAYBACK_STREAM */, 12 /* DRAIN_PLAYBACK_STREAM */,
	14 /* GET_PLAYBACK_LATENCY */, 41 /* CORK_PLAYBACK_STREAM */, 42 /* FLUSH_PLAYBACK_STREAM */,
	43 /* TRIGGER_PLAYBACK_STREAM */, 46 /* SET_PLAYBACK_STREAM_NAME */, 60 /* PREBUF_PLAYBACK_STREAM */,
	72 /* SET_PLAYBACK_STREAM_BUFFER_ATTR */, 74 /* UPDATE_PLAYBACK_STREAM_SAMPLE_RATE */,
	81 /* UPDATE_PLAYBACK_STREAM_PROPLIST */, 84 /* REMOVE_PLAYBACK_STREAM_PROPLIST */,

	/* What a client says of itself. */
	9 /* SET_CLIENT_NAME */, 82 /* UPDATE_CLIENT_PROPLIST */, 85 /* REMOVE_CLIENT_PROPLIST */,

	/* Volume of what plays, not of the sink: every stream here is the machine's own. */
	37 /* SET_SINK_INPUT_VOLUME */, 69 /* SET_SINK_INPUT_MUTE */,

	/* Sounds that are played by name, as desktops do when something happens (libcanberra). How many: see UPLOADS. */
	15 /* CREATE_UPLOAD_STREAM */, 16 /* DELETE_UPLOAD_STREAM */, 17 /* FINISH_UPLOAD_STREAM */, 18 /* PLAY_SAMPLE */,
	19 /* REMOVE_SAMPLE */,

	/* Questions. Programs list devices before they play, sources too, and give up when refused; the answers are about
	 * the private server. Not about its modules (25, 26): their arguments tell where the host's server is. */
	10 /* LOOKUP_SINK */, 11 /* LOOKUP_SOURCE */, 13 /* STAT */, 20 /* GET_SERVER_INFO */, 21 /* GET_SINK_INFO */,
	22 /* GET_SINK_INFO_LIST */, 23 /* GET_SOURCE_INFO */, 24 /* GET_SOURCE_INFO_LIST */, 27 /* GET_CLIENT_INFO */,
	28 /* GET_CLIENT_INFO_LIST */, 29 /* GET_SINK_INPUT_INFO */, 30 /* GET_SINK_INPUT_INFO_LIST */,
	31 /* GET_SOURCE_OUTPUT_INFO */, 32 /* GET_SOURCE_OUTPUT_INFO_LIST */, 33 /* GET_SAMPLE_INFO */,
	34 /* GET_SAMPLE_INFO_LIST */, 35 /* SUBSCRIBE */, 88 /* GET_CARD_INFO */, 89 /* GET_CARD_INFO_LIST */,

	/* EXTENSION (87) and SEND_OBJECT_MESSAGE (104) are refused, as they mean what the modules make of them. */
};

/* One direction of a connection. In `bytes`: sent <= passed <= end; up to `passed` it may be sent on, what follows is
 * yet to be judged. `rest` is how much of the frame at `passed` is still to come, and may pass unseen. */
struct way {
	int from, to;
	bool opened; /* AUTH, or the answer to it, has passed */
	size_t sent, passed, end, rest;
	uint8_t bytes[HELD + ANSWER];
};

static struct client {
	struct way in, out; /* as the client sees it */
} *clients[CLIENTS];

/* All commands may pass: the machine is given the server itself. What remains is that any of its accounts reaches it, as
 * the one that the gate runs as, and that each client finds the server of its time: it may have been started again. */
static bool open_gate;

static bool may_pass(uint32_t command) {
	static int uploads;
	if (open_gate)
		return true;
	return command <= UINT8_MAX && memchr(allowed, (int)command, sizeof allowed)
	    && (command != CREATE_UPLOAD_STREAM || (uploads < UPLOADS && ++uploads));
}

static uint32_t get(const uint8_t *at) {
	uint32_t value;
	memcpy(&value, at, sizeof value);
	return ntohl(value);
}

static size_t room(const struct way *way) {
	size_t held = way->end - way->sent;
	return held < HELD ? HELD - held : 0;
}

static void to_front(struct way *way) {
	if (way->sent == 0)
		return;
	memmove(way->bytes, way->bytes + way->sent, way->end - way->sent);
	way->passed -= way->sent;
	way->end -= way->sent;
	way->sent = 0;
}

/* Like all below, false where the connection is to end. Whatever else came with the bytes (file descriptors,
 * credentials) is dropped by the kernel. */
static bool receive(struct way *way) {
	if (room(way) == 0)
		return true;
	to_front(way);
	ssize_t count = recv(way->from, way->bytes + way->end, room(way), MSG_DONTWAIT);
	if (count > 0)
		way->end += (size_t)count;
	return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/* AUTH is granted by who sends it. The server asks the kernel for that only after it has accepted the connection, so
 * what comes sooner must bring it along. */
static bool deliver(struct way *way) {
	if (way->sent == way->passed)
		return true;
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(struct ucred))];
	} sender = { .header = { CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS } };
	struct ucred self = { getpid(), getuid(), getgid() };
	memcpy(CMSG_DATA(&sender.header), &self, sizeof self);
	struct iovec part = { way->bytes + way->sent, way->passed - way->sent };
	struct msghdr message = { NULL, 0, &part, 1, &sender, sizeof sender, 0 };
	ssize_t count = sendmsg(way->to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (count > 0)
		way->sent += (size_t)count;
	return count >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Puts an error between two frames of the server, or says that there is no place for it now. */
static bool deny(struct way *in, const uint8_t *tag) {
	if (in->rest || in->end - in->sent + ANSWER > sizeof in->bytes)
		return false;
	to_front(in);
	uint8_t *at = in->bytes + in->passed;
	memmove(at + ANSWER, at, in->end - in->passed);
	const uint8_t answer[ANSWER] = {
		0, 0, 0, ANSWER - DESCRIPTOR, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		'L', 0, 0, 0, ERROR, 'L', tag[0], tag[1], tag[2], tag[3], 'L', 0, 0, 0, ERROR_ACCESS,
	};
	memcpy(at, answer, ANSWER);
	in->passed += ANSWER;
	in->end += ANSWER;
	return true;
}

static bool clear_flags(uint8_t *version) {
	bool known = (get(version) & VERSION) >= OLDEST;
	version[0] = version[1] = 0;
	return known;
}

static bool judge_server(struct way *in) {
	for (;;) {
		size_t ready = in->end - in->passed, step = ready < in->rest ? ready : in->rest;
		in->passed += step;
		in->rest -= step;
		ready -= step;
		if (ready < DESCRIPTOR)
			return true;
		uint8_t *frame = in->bytes + in->passed, *body = frame + DESCRIPTOR;
		size_t length = get(frame);
		if (length == 0 || length > FRAME_LIMIT)
			return false;
		if (!in->opened) { /* The first frame answers AUTH: REPLY, tag, version. */
			if (length > CONTROL_LIMIT)
				return false;
			if (ready < DESCRIPTOR + length)
				return true;
			if (length < 15 || (get(body + 1) == REPLY && !clear_flags(body + 11)))
				return false;
			in->opened = true;
		}
		in->rest = DESCRIPTOR + length;
	}
}

static bool judge_client(struct way *out, struct way *in) {
	for (;;) {
		size_t ready = out->end - out->passed, step = ready < out->rest ? ready : out->rest;
		out->passed += step;
		out->rest -= step;
		ready -= step;
		if (ready < DESCRIPTOR)
			return true;
		uint8_t *frame = out->bytes + out->passed, *body = frame + DESCRIPTOR;
		size_t length = get(frame);
		bool control = get(frame + 4) == UINT32_MAX;
		if (length == 0 || length > (control ? CONTROL_LIMIT : FRAME_LIMIT)
		    || get(frame + 16) > (control ? 0 : SEEK_MODES))
			return false;
		if (control) { /* The command and the number that its answer bears, each after the letter of its type. */
			if (ready < DESCRIPTOR + length)
				return true;
			if (length < 10 || body[0] != 'L' || body[5] != 'L')
				return false;
			uint32_t command = get(body + 1);
			if ((command == AUTH) == out->opened)
				return false;
			if (command == AUTH) {
				if (length < 15 || body[10] != 'L' || !clear_flags(body + 11))
					return false;
				out->opened = true;
			} else if (!may_pass(command)) {
				/* What has passed before it is sent first, so that dropping it moves nothing. */
				if (out->sent != out->passed || !deny(in, body + 6))
					return true;
				out->sent = out->passed += DESCRIPTOR + length;
				continue;
			}
		} else if (!out->opened)
			return false;
		out->rest = DESCRIPTOR + length;
	}
}

/* What passes here is sent in the next turn, so whatever waits for room waits for something poll(2) tells of. */
static bool turn(struct client *client) {
	struct way *in = &client->in, *out = &client->out;
	return deliver(in) && deliver(out) && receive(in) && receive(out) && judge_server(in) && judge_client(out, in);
}

/* Waits for a server that has many connections to take in (it lets few queue), but not for one that hangs. */
static int connected(const struct sockaddr_un *server) {
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 1 };
	if (file >= 0 && setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0
	    && connect(file, (const struct sockaddr *)server, sizeof *server) == 0)
		return file;
	if (file >= 0)
		close(file);
	return -1;
}

/* False where the system has no files or memory left to accept with. */
static bool admit(int listener, const struct sockaddr_un *server) {
	int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (from < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	struct client **place = clients;
	while (place < clients + CLIENTS && *place)
		place++;
	int to = place < clients + CLIENTS ? connected(server) : -1;
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

int pulse_gate_job(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], "--open") == 0) {
		open_gate = true;
		argc--, argv++;
	}
	if (argc != 3)
		die("pulse-gate [--open] LISTEN SERVER");
	struct sockaddr_un server = socket_address(argv[2], "");
	int listener = gate_at(argv[1], CLIENTS);
	for (int patience = -1;;) {
		struct pollfd files[1 + 2 * CLIENTS] = { { .fd = patience < 0 ? listener : -1, .events = POLLIN } };
		for (int i = 0; i < CLIENTS; i++)
			for (int side = 0; side < 2; side++) {
				struct pollfd *file = &files[1 + 2 * i + side];
				file->fd = -1;
				if (!clients[i])
					continue;
				struct way *read = side ? &clients[i]->in : &clients[i]->out;
				struct way *write = side ? &clients[i]->out : &clients[i]->in;
				file->events = (room(read) ? POLLIN : 0) | (write->sent < write->passed ? POLLOUT : 0);
				if (file->events) /* else poll(2) would come back at once for a peer that has gone */
					file->fd = read->from;
			}
		if (poll(files, 1 + 2 * CLIENTS, patience) < 0 && errno != EINTR)
			die("poll");
		/* Who could not be accepted is still there: poll(2) would not wait. */
		patience = files[0].revents && !admit(listener, &server) ? 1000 : -1;
		for (int i = 0; i < CLIENTS; i++)
			if (clients[i] && (files[1 + 2 * i].revents || files[2 + 2 * i].revents) && !turn(clients[i])) {
				close(clients[i]->in.from);
				close(clients[i]->in.to);
				free(clients[i]);
				clients[i] = NULL;
			}
	}
}
