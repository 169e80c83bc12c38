#include "x11.h"
#include "stream.h"

void u16(unsigned char *at, unsigned value) { at[0] = (unsigned char)value, at[1] = (unsigned char)(value >> 8); }
void u32(unsigned char *at, uint32_t value) { u16(at, value & 0xffff), u16(at + 2, value >> 16); }
unsigned of_u16(const unsigned char *at) { return (unsigned)(at[0] | at[1] << 8); }
uint32_t of_u32(const unsigned char *at) { return of_u16(at) | (uint32_t)of_u16(at + 2) << 16; }

struct field {
	size_t length;
	const unsigned char *bytes;
};

/* The next field of a file of keys, which its length stands before, highest byte first. 0: the file ends before it does. */
static int next_field(const unsigned char **at, const unsigned char *end, struct field *field) {
	if (end - *at < 2)
		return 0;
	*field = (struct field){ (size_t)((*at)[0] << 8 | (*at)[1]), *at + 2 };
	if ((size_t)(end - field->bytes) < field->length)
		return 0;
	*at = field->bytes + field->length;
	return 1;
}

static int is_text(struct field field, const char *text) {
	return field.length == strlen(text) && memcmp(field.bytes, text, field.length) == 0;
}

struct key key_among(const unsigned char *bytes, size_t length, const char *number) {
	enum { LOCAL = 256, WILD = 65535 }; /* Xauth.h of libXau */
	char host[256] = "";
	struct key key = { 0 };
	struct field address, display, name, data;
	gethostname(host, sizeof host - 1);
	for (const unsigned char *at = bytes, *end = bytes + length; end - at >= 2;) {
		const unsigned family = (unsigned)(at[0] << 8 | at[1]);
		at += 2;
		if (!next_field(&at, end, &address) || !next_field(&at, end, &display) || !next_field(&at, end, &name) || !next_field(&at, end, &data))
			break;
		if ((family == WILD || (family == LOCAL && is_text(address, host))) && (display.length == 0 || is_text(display, number)) && is_text(name, MAGIC) && data.length <= KEY_MOST) {
			memcpy(key.bytes, data.bytes, key.length = data.length);
			break;
		}
	}
	return key;
}

const char *greet(int x, const struct key *key, unsigned char setup[SETUP_MOST]) {
	enum { HELLO = 12, NAME = (MAGIC_LENGTH + 3) / 4 * 4 };
	unsigned char hello[HELLO + NAME + KEY_MOST] = { 'l', 0, 11 }, head[8];
	size_t length = HELLO;
	if (key->length > 0) {
		u16(hello + 6, MAGIC_LENGTH);
		u16(hello + 8, (unsigned)key->length);
		memcpy(hello + HELLO, MAGIC, MAGIC_LENGTH);
		memcpy(hello + HELLO + NAME, key->bytes, key->length);
		length += NAME + (key->length + 3) / 4 * 4;
	}
	if (!send_all(x, hello, length) || !receive_all(x, head, sizeof head) || !receive_all(x, setup, of_u16(head + 6) * 4u))
		return "closed";
	return head[0] == 1 ? NULL : "refused";
}

int ask(int x, unsigned char *request, size_t length, unsigned char *reply) {
	long long limit = now() + STREAM_PATIENCE;
	u16(request + 2, (unsigned)(length / 4));
	if (!send_all(x, request, length))
		return -1;
	do
		if (now() > limit || !receive_all(x, reply, 32))
			return -1;
	while (reply[0] > 1);
	return reply[0] == 1 ? 0 : -1;
}

int extension(int x, const char *name) {
	unsigned char request[8 + 32] = { 98 }, reply[32];
	size_t length = strlen(name);
	u16(request + 4, (unsigned)length);
	memcpy(request + 8, name, length);
	if (ask(x, request, 8 + (length + 3) / 4 * 4, reply) < 0)
		return -1;
	return reply[8] ? reply[9] : 0;
}
