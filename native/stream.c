#include "stream.h"
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

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

struct sockaddr_un socket_address(const char *path, const char *suffix) {
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	errno = 0;
	if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s%s", path, suffix) >= sizeof address.sun_path)
		die("'%s' is too long for a socket", path);
	return address;
}

static struct sockaddr_un listening, unready;

static void ended(int signal) {
	(void)signal;
	unlink(unready.sun_path);
	unlink(listening.sun_path);
	_exit(0);
}

int gate_at(const char *path, int waiting) {
	listening = socket_address(path, "");
	unready = socket_address(path, ".new");
	int signals[] = { SIGTERM, SIGINT, SIGHUP };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &(struct sigaction){ .sa_handler = ended }, NULL);
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(unready.sun_path); /* of a gate that was killed */
	umask(0111); /* whoever reaches the socket may use it */
	if (file < 0 || bind(file, (struct sockaddr *)&unready, sizeof unready) < 0 || listen(file, waiting) < 0
	    || rename(unready.sun_path, listening.sun_path) < 0)
		die("%s", listening.sun_path);
	return file;
}
