/* Streams to servers, which may never answer: each wait ends after two seconds. */
#pragma once
#include "native.h"
#include <sys/un.h>

enum { STREAM_PATIENCE = 2000 /* milliseconds */ };

/* One that is not connected yet, of this family of addresses. */
int open_stream(int family);

/* A stream to a socket of this host, '@' before an abstract name; -1: errno says why. */
int connect_to(const char *path);

/* All of so many bytes, or 0. */
int send_all(int file, const void *bytes, size_t length);
int receive_all(int file, void *bytes, size_t length);

/* The address of a socket with a name; ends the process where that is too long. */
struct sockaddr_un socket_address(const char *path, const char *suffix);

/* The socket of a gate, that listens and does not block, with so many who may wait. Its name appears when connections are taken: that is what others wait for. Asked to end
 * (SIGTERM, SIGINT, SIGHUP), the process takes the name away. */
int gate_at(const char *path, int waiting);
