/* verify: what can be done at an X server with a key, or without one. The X Window System Protocol, version 11, sections 8 and 9 and
 * appendix B; no window is made, so that nobody sees anything. */
#include "verify.h"
#include "x11.h"
#include <arpa/inet.h>
#include <fcntl.h>

enum { CREATE_PIXMAP = 53, CREATE_GC = 55, POLY_FILL_RECTANGLE = 70, GET_IMAGE = 73, QUERY_EXTENSION = 98, QUERY_KEYMAP = 44, COLOUR = 0x00336699 };

struct display {
	int file;
	uint32_t root, free_id;
	uint8_t depth;
};

/* The key in a file, read as whoever tries it. */
static struct key key_in(const char *path, const char *number) {
	static unsigned char bytes[1 << 16];
	int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
	if (file >= 0)
		close(file);
	return key_among(bytes, length > 0 ? (size_t)length : 0, number);
}

/* "OK", or why not. */
static const char *open_display(struct display *display, const char *socket, const char *key_file) {
	static unsigned char setup[SETUP_MOST];
	const char *number = strrchr(socket, 'X'); /* of /tmp/.X11-unix/X0 */
	struct key key = key_file && number ? key_in(key_file, number + 1) : (struct key){ 0 };
	display->file = connect_to(socket);
	if (display->file < 0)
		return error_name(errno);
	const char *wrong = greet(display->file, &key, setup);
	if (wrong)
		return wrong;
	/* After the vendor's name and the formats of pixmaps, eight bytes each, is the first screen. */
	size_t screen = 32 + (of_u16(setup + 16) + 3) / 4 * 4 + (size_t)setup[21] * 8;
	display->free_id = of_u32(setup + 4);
	display->root = of_u32(setup + screen);
	display->depth = setup[screen + 38];
	return "OK";
}

/* The answer to the last request, or its error: events, and errors of requests before it, come between. NULL: it hung up. */
static const uint8_t *answer(struct display *display, uint16_t request) {
	static uint8_t reply[4096];
	for (;;) {
		if (!receive_all(display->file, reply, 32))
			return NULL;
		size_t more = reply[0] == 1 ? (size_t)of_u32(reply + 4) * 4 : 0;
		if (more > sizeof reply - 32 || (more && !receive_all(display->file, reply + 32, more)))
			return NULL;
		if (reply[0] == 0 || (reply[0] == 1 && of_u16(reply + 2) == request))
			return reply;
	}
}

static void request(uint8_t *bytes, uint8_t code, uint8_t detail, uint16_t length) {
	bytes[0] = code, bytes[1] = detail;
	u16(bytes + 2, length);
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
	u32(bytes + 4, drawable);
	u32(bytes + 8, 0);
	u32(bytes + 12, 1 | 1 << 16); /* width and height */
	u32(bytes + 16, 0xffffffff);
}

/* A pixel is drawn where nobody sees it, and read back. */
static const char *draw(struct display *display) {
	uint8_t bytes[16 + 20 + 20 + 20] = { 0 };
	uint32_t picture = display->free_id, context = display->free_id + 1;
	request(bytes, CREATE_PIXMAP, display->depth, 4);
	u32(bytes + 4, picture), u32(bytes + 8, display->root), u32(bytes + 12, 1 | 1 << 16);
	request(bytes + 16, CREATE_GC, 0, 5);
	u32(bytes + 20, context), u32(bytes + 24, picture), u32(bytes + 28, 4 /* foreground */), u32(bytes + 32, COLOUR);
	request(bytes + 36, POLY_FILL_RECTANGLE, 0, 5);
	u32(bytes + 40, picture), u32(bytes + 44, context), u32(bytes + 48, 0), u32(bytes + 52, 1 | 1 << 16);
	image_of(bytes + 56, picture);
	const uint8_t *reply = send_all(display->file, bytes, sizeof bytes) ? answer(display, 4) : NULL;
	if (!reply || reply[0] != 1)
		return told(reply);
	uint32_t mask = display->depth >= 24 ? 0xffffff : 0xffff;
	return (of_u32(reply + 32) & mask) == (COLOUR & mask) || (ntohl(of_u32(reply + 32)) >> (display->depth >= 24 ? 8 : 16)) == (COLOUR & mask) ? "OK" : "other";
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
	u16(bytes + 4, 6);
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
