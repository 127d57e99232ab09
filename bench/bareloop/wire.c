/* See wire.h. */
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "number.h"

bool wire_parse_address(const char *text, struct sockaddr_in *address)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];
	uint64_t port = 0;

	*address = (struct sockaddr_in){.sin_family = AF_INET};
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host)) {
		fprintf(stderr, "error: '%s' is not ADDRESS:PORT\n", text);
		return false;
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &address->sin_addr) != 1) {
		fprintf(stderr, "error: '%s' is not an IPv4 address\n", host);
		return false;
	}
	if (!parse_count("port", colon + 1, false, 0, 65535, &port))
		return false;
	address->sin_port = htons((uint16_t)port);
	return true;
}

void wire_set_no_delay(int socket_fd)
{
	int on = 1;

	setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
