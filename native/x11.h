/* Keys to X displays, and the beginning of a connection: the X Window System Protocol, version 11, section 8 and appendix B, and Xau(3). src/x11/ has the
 * same. It is spoken by root on the host and by whoever is inside: no file and no server is believed beyond its length. */
#pragma once
#include "native.h"

#define MAGIC "MIT-MAGIC-COOKIE-1"
enum { MAGIC_LENGTH = sizeof MAGIC - 1, KEY_MOST = 64 };

struct key {
	size_t length; /* 0: none */
	unsigned char bytes[KEY_MOST];
};

/* The key to the display of this host with that number, among the bytes of an .Xauthority: a person's has those to other displays as well, and to those of
 * other hosts. The first that chooseCookie() of src/x11/xauthority.ts would take, too. */
struct key key_among(const unsigned char *bytes, size_t length, const char *number);

/* Numbers as we have said that they are sent: the lowest byte first. */
void u16(unsigned char *at, unsigned value);
void u32(unsigned char *at, uint32_t value);
unsigned of_u16(const unsigned char *at);
uint32_t of_u32(const unsigned char *at);

/* The longest that a server can say of itself. */
#define SETUP_MOST (65535 * 4)

/* Greets a server with a key, or without one, and reads what it says of itself. Returns NULL, or why it does not let us in. */
const char *greet(int x, const struct key *key, unsigned char setup[SETUP_MOST]);

/* A request, its length in whole words, and the 32 bytes of the answer to it. Events that come in between are none of ours. 0; -1: an error, or no answer in time. */
int ask(int x, unsigned char *request, size_t length, unsigned char *reply);

/* The opcode of an extension (QueryExtension), whose name has up to 32 letters. 0: it is not there; -1: no answer. */
int extension(int x, const char *name);
