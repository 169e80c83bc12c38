#include "stream.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

int open_stream(int family) {
	int file = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = STREAM_PATIENCE / 1000 };
	if (file >= 0 && (setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 || setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)) {
		close(file);
		return -1;
	}
	return file;
}

int connect_to(const char *path) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	if (length >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	int file = open_stream(AF_UNIX);
	if (file >= 0 && connect(file, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path != '@'))) < 0) {
		int error = errno;
		close(file);
		errno = error;
		return -1;
	}
	return file;
}

int send_all(int file, const void *bytes, size_t length) {
	for (const char *at = bytes; length > 0;) {
		ssize_t count = send(file, at, length, MSG_NOSIGNAL);
		if (count <= 0)
			return 0;
		at += count, length -= (size_t)count;
	}
	return 1;
}

int receive_all(int file, void *bytes, size_t length) {
	for (char *at = bytes; length > 0;) {
		ssize_t count = recv(file, at, length, 0);
		if (count <= 0)
			return 0;
		at += count, length -= (size_t)count;
	}
	return 1;
}
