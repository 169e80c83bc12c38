/* verify: what can be done at a sound server of PulseAudio's protocol: play (silence, a twentieth of a second), record (a stream that
 * is held before its first sample), and load a module (of a name that there is not, but for the machine's own server). The frames: src/pulsecore/pstream.c and
 * tagstruct.c; the commands and errors: native-common.h and def.h; their fields as a client of version 13 sends them. */
#include "verify.h"
#include <arpa/inet.h>

enum { VERSION = 13, ERROR = 0, REPLY = 2, PLAY = 3, RECORD = 5, AUTH = 8, SET_CLIENT_NAME = 9, LOAD_MODULE = 51, UNLOAD_MODULE = 52, KEY = 256, RATE = 8000 };
enum { ERROR_ACCESS = 1, ERROR_EXISTS = 4, ERROR_NO_ENTITY = 5, ERROR_MODULE = 14 };

static struct {
	size_t length;
	uint8_t bytes[1024];
} frame;

static void put(const void *bytes, size_t length) {
	if (frame.length + length <= sizeof frame.bytes)
		memcpy(frame.bytes + frame.length, bytes, length);
	frame.length += length;
}

static void byte(uint8_t value) {
	put(&value, 1);
}

static void word(uint32_t value) {
	value = htonl(value);
	byte('L');
	put(&value, sizeof value);
}

static void text(const char *value) {
	byte('t');
	put(value, strlen(value) + 1);
}

static void flags(int count) {
	for (int i = 0; i < count; i++)
		byte('0');
}

static void begin(uint32_t command, uint32_t tag) {
	frame.length = 0;
	word(command);
	word(tag);
}

static int send_frame(int file, uint32_t channel) {
	uint32_t head[5] = { htonl((uint32_t)frame.length), htonl(channel) };
	return frame.length <= sizeof frame.bytes && send_all(file, head, sizeof head) && send_all(file, frame.bytes, frame.length);
}

/* The code of the error with which it is answered, 0 for none, -1 where the server hangs up. `value`: the first number of the answer. */
static int answered(int file, uint32_t tag, uint32_t *value) {
	if (!send_frame(file, UINT32_MAX))
		return -1;
	for (;;) {
		uint32_t head[5], length;
		static uint8_t body[1 << 16];
		if (!receive_all(file, head, sizeof head) || (length = ntohl(head[0])) > sizeof body || !receive_all(file, body, length))
			return -1;
		uint32_t fields[3] = { 0, 0, 0 };
		for (size_t i = 0; i < 3 && 5 * i + 5 <= length; i++) {
			memcpy(&fields[i], body + 5 * i + 1, 4);
			fields[i] = ntohl(fields[i]);
		}
		if (head[1] != UINT32_MAX || length < 10 || fields[1] != tag || (fields[0] != ERROR && fields[0] != REPLY))
			continue; /* sound, or what the server says of itself */
		*value = fields[2];
		return fields[0] == ERROR ? (int)fields[2] : 0;
	}
}

/* Sixteen bits, one channel. */
static void sample(void) {
	const uint32_t rate = htonl(RATE);
	put((uint8_t[]){ 'a', 3 /* s16le */, 1 }, 3);
	put(&rate, sizeof rate);
	put((uint8_t[]){ 'm', 1, 0 /* mono */ }, 3);
}

static const char *name_of(int error) {
	static char text_[16];
	if (error <= ERROR_ACCESS)
		return error == 0 ? "OK" : error < 0 ? "closed" : "refused";
	snprintf(text_, sizeof text_, "error%d", error);
	return text_;
}

static const char *play(int file) {
	uint32_t channel = 0;
	begin(PLAY, 2);
	sample();
	word(UINT32_MAX); /* whichever sink, by no name */
	byte('N');
	word(UINT32_MAX);
	flags(1);
	word(UINT32_MAX), word(UINT32_MAX), word(UINT32_MAX), word(0);
	const uint32_t volume = htonl(0x10000);
	put((uint8_t[]){ 'v', 1 }, 2);
	put(&volume, sizeof volume);
	flags(9);
	put("PN", 2);
	int error = answered(file, 2, &channel);
	if (error == 0) {
		memset(frame.bytes, 0, RATE / 20 * 2);
		frame.length = RATE / 20 * 2;
		if (!send_frame(file, channel))
			return "closed";
	}
	return name_of(error);
}

static const char *record(int file) {
	uint32_t channel;
	begin(RECORD, 2);
	sample();
	word(UINT32_MAX);
	byte('N');
	word(UINT32_MAX);
	byte('1'); /* held */
	word(UINT32_MAX);
	flags(9);
	put("PN", 2);
	word(UINT32_MAX);
	int error = answered(file, 2, &channel);
	return error == ERROR_NO_ENTITY ? "nothing" : name_of(error);
}

static const char *load(int file) {
	uint32_t index;
	begin(LOAD_MODULE, 2);
	text("module-nestbox-verify-is-not-there");
	text("");
	int error = answered(file, 2, &index);
	return error == ERROR_EXISTS || error == ERROR_NO_ENTITY || error == ERROR_MODULE ? "OK" : name_of(error);
}

/* One that does nothing where there is a sink, taken out again at once: only one that is there tells whether it may be loaded, as the
 * error is the same (14) for one that is not and for a server that loads none (--disallow-module-loading). */
static const char *really_load(int file) {
	uint32_t index, nothing;
	begin(LOAD_MODULE, 2);
	text("module-always-sink");
	text("");
	int error = answered(file, 2, &index);
	if (error == ERROR_MODULE)
		return "refused";
	if (error == 0) {
		begin(UNLOAD_MODULE, 3);
		word(index);
		answered(file, 3, &nothing);
	}
	return name_of(error);
}

const char *try_sound(const char *socket, const char *does) {
	int file = connect_to(socket);
	if (file < 0)
		return error_name(errno);
	static const uint8_t key[KEY];
	const uint32_t size = htonl(KEY);
	uint32_t value;
	begin(AUTH, 0);
	word(VERSION);
	byte('x');
	put(&size, sizeof size);
	put(key, sizeof key);
	int error = answered(file, 0, &value);
	if (error == 0) {
		begin(SET_CLIENT_NAME, 1);
		put("PN", 2);
		error = answered(file, 1, &value);
	}
	const char *how = error != 0 ? name_of(error) : strcmp(does, "play") == 0 ? play(file) : strcmp(does, "record") == 0 ? record(file) : strcmp(does, "module") == 0 ? load(file) : really_load(file);
	close(file);
	return how;
}
