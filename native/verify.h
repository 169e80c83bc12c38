/* verify.c: what is tried inside a machine for `nestbox verify`. */
#pragma once
#include "native.h"

/* Reads tries from standard input, one a line, and answers each with a line: its number, and a word. */
int try_all(void);

/* A stream to a socket of this host, '@' before an abstract name; -1: errno says why. It gives up after two seconds. */
int connect_to(const char *path);

/* All of so many bytes, or 0. */
int send_all(int file, const void *bytes, size_t length);
int receive_all(int file, void *bytes, size_t length);

/* "OK", the name of an error number, or what the server says. */
const char *try_display(const char *socket, const char *key_file, const char *does);
const char *try_sound(const char *socket, const char *does);

const char *error_name(int error);
