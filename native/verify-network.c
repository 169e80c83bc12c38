/* verify: who is reached by sockets, addresses and name servers. */
#include "verify.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

const char *try_socket(char **words) {
	return opened(connect_to(words[0]));
}

struct sockaddr_in internet(const char *address, unsigned port) {
	struct sockaddr_in found = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	inet_pton(AF_INET, address, &found.sin_addr);
	return found;
}

const char *try_port(char **words) {
	struct sockaddr_in address = internet(words[0], number(words[1], "a port"));
	int file = open_stream(AF_INET);
	const char *how = result(file < 0 ? -1 : connect(file, (struct sockaddr *)&address, sizeof address));
	if (file >= 0)
		close(file);
	return strcmp(how, "EINPROGRESS") == 0 ? "ETIMEDOUT" : how;
}

/* Whether another computer on the link answers to its address at all, whatever its firewall says: a line of /proc/net/arp that is
 * complete (flags 0x2), in proc_net(5). */
const char *try_neighbour(char **words) {
	struct sockaddr_in address = internet(words[0], 9); /* discard */
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (file < 0 || sendto(file, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) < 0) {
		const char *how = result(-1);
		if (file >= 0)
			close(file);
		return how;
	}
	close(file);
	for (long long limit = now() + STREAM_PATIENCE; now() < limit; usleep(20000)) {
		FILE *table = fopen("/proc/net/arp", "re");
		char line[256], found[64];
		unsigned type, flags;
		int there = 0;
		while (table && fgets(line, sizeof line, table))
			there |= sscanf(line, "%63s %x %x", found, &type, &flags) == 3 && strcmp(found, words[0]) == 0 && flags & 2;
		if (table)
			fclose(table);
		if (there)
			return "OK";
	}
	return "EHOSTUNREACH";
}

/* Asks a name server for the name servers of the root zone, which every one knows: RFC 1035, 4.1. */
static const char *ask(const struct sockaddr *server, socklen_t size) {
	const uint8_t question[] = { 0x4e, 0x62, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1 };
	uint8_t answer[2048];
	int file = socket(server->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *how = "EIO";
	if (file < 0 || connect(file, server, size) < 0 || send(file, question, sizeof question, MSG_NOSIGNAL) < 0)
		how = result(-1);
	else {
		struct pollfd waits = { .fd = file, .events = POLLIN };
		int ready = poll(&waits, 1, STREAM_PATIENCE);
		ssize_t length = ready > 0 ? recv(file, answer, sizeof answer, 0) : -1;
		how = ready == 0 ? "ETIMEDOUT" : length < 0 ? result(-1) : length >= 12 && memcmp(answer, question, 2) == 0 ? "OK" : "EIO";
	}
	if (file >= 0)
		close(file);
	return how;
}

/* A server as resolv.conf(5) has it, of IPv4 or of IPv6; NULL: it is no address. */
static const char *ask_at(char *address) {
	struct sockaddr_in server = internet(address, 53);
	if (server.sin_addr.s_addr != 0)
		return ask((const struct sockaddr *)&server, sizeof server);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	char *link = strchr(address, '%'); /* fe80::1%eth0 */
	if (link) {
		*link = '\0';
		six.sin6_scope_id = if_nametoindex(link + 1);
	}
	return inet_pton(AF_INET6, address, &six.sin6_addr) == 1 ? ask((const struct sockaddr *)&six, sizeof six) : NULL;
}

/* By the servers that programs here would ask: resolv.conf(5). */
const char *try_names(char **words) {
	(void)words;
	FILE *file = fopen("/etc/resolv.conf", "re");
	const char *how = file ? "ESRCH" : result(-1); /* no server */
	char line[256], address[64];
	while (file && strcmp(how, "OK") != 0 && fgets(line, sizeof line, file))
		if (sscanf(line, "nameserver %63s", address) == 1) {
			const char *said = ask_at(address);
			how = said ? said : how;
		}
	if (file)
		fclose(file);
	return how;
}

/* All of its network's interfaces, in one word. */
const char *try_interfaces(char **words) {
	(void)words;
	struct if_nameindex *all = if_nameindex();
	if (!all)
		return result(-1);
	for (struct if_nameindex *one = all; one->if_name; one++)
		printf("%s,", one->if_name);
	if_freenameindex(all);
	return "";
}
