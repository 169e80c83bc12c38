/* verify.c: what is tried inside a machine for `nestbox verify`. */
#pragma once
#include "stream.h"
#include <netinet/in.h>

/* Reads tries from standard input, one a line, and answers each with a line: its number, and a word. */
int try_all(void);

/* "OK", or the name of the error number that is there now. */
const char *result(int failed);

/* The same of a descriptor, which it closes. */
const char *opened(int file);

struct sockaddr_in internet(const char *address, unsigned port);

/* One try each: the words after its verb -> its answer, of which the beginning may have been printed. */
const char *try_open(char **words);
const char *try_node(char **words);
const char *try_setting(char **words);
const char *try_write(char **words);
const char *try_writable(char **words);
const char *try_same(char **words);
const char *try_nodes(char **words);
const char *try_socket(char **words);
const char *try_port(char **words);
const char *try_neighbour(char **words);
const char *try_names(char **words);
const char *try_interfaces(char **words);

/* "OK", the name of an error number, or what the server says. */
const char *try_display(const char *socket, const char *key_file, const char *does);
const char *try_sound(const char *socket, const char *does);

const char *error_name(int error);
