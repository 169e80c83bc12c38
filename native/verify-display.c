/* verify: what can be done at an X server with a key, or without one. The X Window System Protocol, version 11, sections 8 and 9 and
 * appendix B; no window is made, so that nobody sees anything. */
#include "verify.h"
#include <arpa/inet.h>
#include <fcntl.h>

enum { CREATE_PIXMAP = 53, CREATE_GC = 55, POLY_FILL_RECTANGLE = 70, GET_IMAGE = 73, QUERY_EXTENSION = 98, QUERY_KEYMAP = 44, COLOUR = 0x00336699 };

#define MAGIC "MIT-MAGIC-COOKIE-1"

struct display {
	int file;
	uint32_t root, free_id;
	uint8_t depth;
};

static uint32_t at32(const uint8_t *bytes) {
	uint32_t value;
	memcpy(&value, bytes, sizeof value);
	return value;
}

/* One of the four fields of an entry, which its length stands before, big endian: its place, and the next one's in `at`. 0: the file ends. */
static int field_at(const uint8_t *bytes, size_t length, size_t *at, const uint8_t **field, size_t *size) {
	if (*at + 2 > length)
		return 0;
	*size = (size_t)bytes[*at] << 8 | bytes[*at + 1];
	*field = bytes + *at + 2;
	*at += 2 + *size;
	return *at <= length;
}

static int is_text(const uint8_t *field, size_t size, const char *text) {
	return strlen(text) == size && memcmp(field, text, size) == 0;
}

/* The key to a display in a file of keys: family, address, number, name and key, in Xau(3). A person's has those to other displays as well,
 * and to those of other hosts. src/x11/xauthority.ts takes the same one. 0 bytes: there is none. */
static size_t key_in(const char *path, const char *number, uint8_t *key, size_t room) {
	enum { LOCAL = 256, WILD = 65535 };
	static uint8_t bytes[1 << 16];
	char host[256] = "";
	gethostname(host, sizeof host - 1);
	int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
	if (file >= 0)
		close(file);
	for (size_t at = 0; length > 0 && at + 2 <= (size_t)length;) {
		const unsigned family = (unsigned)bytes[at] << 8 | bytes[at + 1];
		const uint8_t *fields[4];
		size_t sizes[4];
		at += 2;
		for (int i = 0; i < 4; i++)
			if (!field_at(bytes, (size_t)length, &at, &fields[i], &sizes[i]))
				return 0;
		if (!(family == WILD || (family == LOCAL && is_text(fields[0], sizes[0], host))) || !(sizes[1] == 0 || is_text(fields[1], sizes[1], number)) || !is_text(fields[2], sizes[2], MAGIC) || sizes[3] > room)
			continue;
		memcpy(key, fields[3], sizes[3]);
		return sizes[3];
	}
	return 0;
}

/* "OK", or why not. */
static const char *open_display(struct display *display, const char *socket, const char *key_file) {
	static const char name[] = MAGIC;
	uint8_t key[64];
	const char *number = strrchr(socket, 'X'); /* of /tmp/.X11-unix/X0 */
	size_t size = key_file && number ? key_in(key_file, number + 1, key, sizeof key) : 0;
	const uint16_t one = 1;
	struct { uint8_t order, unused; uint16_t major, minor, name, data, unused_; } hello = { *(const uint8_t *)&one ? 'l' : 'B', 0, 11, 0, size ? sizeof name - 1 : 0, (uint16_t)size, 0 };
	uint8_t words[20 + sizeof key] = { 0 };
	if (size) {
		memcpy(words, name, sizeof name - 1);
		memcpy(words + 20, key, size);
	}
	display->file = connect_to(socket);
	if (display->file < 0)
		return error_name(errno);
	uint8_t head[8];
	static uint8_t setup[1 << 18];
	if (!send_all(display->file, &hello, sizeof hello) || (size && !send_all(display->file, words, 20 + (size + 3) / 4 * 4)) || !receive_all(display->file, head, sizeof head))
		return "closed";
	uint16_t length;
	memcpy(&length, head + 6, sizeof length);
	if (!receive_all(display->file, setup, (size_t)length * 4))
		return "closed";
	if (head[0] != 1)
		return "refused";
	/* After the vendor's name and the formats of pixmaps, eight bytes each, is the first screen. */
	size_t vendor = (size_t)(setup[16] | setup[17] << 8);
	if (*(const uint8_t *)&one == 0)
		vendor = (size_t)(setup[16] << 8 | setup[17]);
	size_t screen = 32 + (vendor + 3) / 4 * 4 + (size_t)setup[21] * 8;
	display->free_id = at32(setup + 4);
	display->root = at32(setup + screen);
	display->depth = setup[screen + 38];
	return "OK";
}

/* The answer to the last request, or its error: events, and errors of requests before it, come between. NULL: it hung up. */
static const uint8_t *answer(struct display *display, uint16_t request) {
	static uint8_t reply[4096];
	for (;;) {
		if (!receive_all(display->file, reply, 32))
			return NULL;
		uint16_t of;
		memcpy(&of, reply + 2, sizeof of);
		size_t more = reply[0] == 1 ? (size_t)at32(reply + 4) * 4 : 0;
		if (more > sizeof reply - 32 || (more && !receive_all(display->file, reply + 32, more)))
			return NULL;
		if (reply[0] == 0 || (reply[0] == 1 && of == request))
			return reply;
	}
}

static void put(uint8_t *to, uint32_t value) {
	memcpy(to, &value, sizeof value);
}

static void request(uint8_t *bytes, uint8_t code, uint8_t detail, uint16_t length) {
	bytes[0] = code, bytes[1] = detail;
	memcpy(bytes + 2, &length, sizeof length);
}

static const char *told(const uint8_t *reply) {
	static char text[16];
	if (!reply)
		return "closed";
	if (reply[0] == 1)
		return "OK";
	snprintf(text, sizeof text, "error%u", reply[1]);
	return text;
}

/* One pixel of a window, or of a picture: GetImage, as ZPixmap. */
static void image_of(uint8_t *bytes, uint32_t drawable) {
	request(bytes, GET_IMAGE, 2, 5);
	put(bytes + 4, drawable);
	put(bytes + 8, 0);
	put(bytes + 12, 1 | 1 << 16); /* width and height */
	put(bytes + 16, 0xffffffff);
}

/* A pixel is drawn where nobody sees it, and read back. */
static const char *draw(struct display *display) {
	uint8_t bytes[16 + 20 + 20 + 20] = { 0 };
	uint32_t picture = display->free_id, context = display->free_id + 1;
	request(bytes, CREATE_PIXMAP, display->depth, 4);
	put(bytes + 4, picture), put(bytes + 8, display->root), put(bytes + 12, 1 | 1 << 16);
	request(bytes + 16, CREATE_GC, 0, 5);
	put(bytes + 20, context), put(bytes + 24, picture), put(bytes + 28, 4 /* foreground */), put(bytes + 32, COLOUR);
	request(bytes + 36, POLY_FILL_RECTANGLE, 0, 5);
	put(bytes + 40, picture), put(bytes + 44, context), put(bytes + 48, 0), put(bytes + 52, 1 | 1 << 16);
	image_of(bytes + 56, picture);
	const uint8_t *reply = send_all(display->file, bytes, sizeof bytes) ? answer(display, 4) : NULL;
	if (!reply || reply[0] != 1)
		return told(reply);
	uint32_t mask = display->depth >= 24 ? 0xffffff : 0xffff;
	return (at32(reply + 32) & mask) == (COLOUR & mask) || (ntohl(at32(reply + 32)) >> (display->depth >= 24 ? 8 : 16)) == (COLOUR & mask) ? "OK" : "other";
}

static const char *look_at(struct display *display, const char *does) {
	uint8_t bytes[20] = { 0 };
	if (strcmp(does, "screen") == 0) {
		image_of(bytes, display->root);
		return told(send_all(display->file, bytes, 20) ? answer(display, 1) : NULL);
	}
	if (strcmp(does, "keys") == 0) {
		request(bytes, QUERY_KEYMAP, 0, 1);
		return told(send_all(display->file, bytes, 4) ? answer(display, 1) : NULL);
	}
	request(bytes, QUERY_EXTENSION, 0, 4); /* RECORD: by it every key is heard, whoever it is for */
	bytes[4] = 6;
	if (*(const uint16_t *)"\1\0" != 1)
		bytes[4] = 0, bytes[5] = 6;
	memcpy(bytes + 8, "RECORD", 6);
	const uint8_t *reply = send_all(display->file, bytes, 16) ? answer(display, 1) : NULL;
	return reply && reply[0] == 1 && !reply[8] ? "absent" : told(reply);
}

const char *try_display(const char *socket, const char *key_file, const char *does) {
	struct display display = { .file = -1 };
	const char *how = open_display(&display, socket, key_file);
	if (strcmp(how, "OK") == 0 && strcmp(does, "enter") != 0)
		how = strcmp(does, "draw") == 0 ? draw(&display) : look_at(&display, does);
	if (display.file >= 0)
		close(display.file);
	return how;
}
