/* bareloop: the yardstick. Receive 48 bytes, pread, send: what no storage server can do without.
 *
 * One blocking thread for each connection, no protocol, no scheduler, no accounts. It receives all
 * requests that have arrived in one call, does one pread (pwrite) for each, and sends their answers
 * in one call, as any server does that wants to be fast at depth; at depth 1 these are three calls
 * for each command. The CPU time a target needs beyond this is what being a target costs it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define CONNECTIONS_MAX 64
/* Answers are sent when they are so many bytes; 32 answers of 4 KiB leave together. */
#define SEND_BYTES (256u << 10)
#define INPUT_BYTES (2u * (WIRE_DATA_BYTES_MAX + WIRE_BYTES))

static int image_fd = -1;
static uint64_t image_bytes;
static unsigned int connections;
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;

/* One connection: bytes received and not yet served lie in input[head..tail). */
struct loop {
	int socket_fd;
	char *input;
	char *output;
	size_t head, tail, output_bytes;
};

static bool send_output(struct loop *loop)
{
	size_t done_bytes = 0;

	while (done_bytes < loop->output_bytes) {
		ssize_t sent = send(loop->socket_fd, loop->output + done_bytes,
				    loop->output_bytes - done_bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0)
			done_bytes += (size_t)sent;
	}
	loop->output_bytes = 0;
	return true;
}

static bool is_valid(const struct wire_request *request)
{
	bool valid = request->magic == WIRE_MAGIC &&
		     (request->operation == WIRE_READ || request->operation == WIRE_WRITE) &&
		     request->length_bytes <= WIRE_DATA_BYTES_MAX &&
		     request->offset_bytes <= image_bytes &&
		     request->length_bytes <= image_bytes - request->offset_bytes;

	if (!valid)
		fprintf(stderr,
			"error: bad request: operation %" PRIu32 ", %" PRIu32 " bytes at %" PRIu64
			" of %" PRIu64 "\n",
			request->operation, request->length_bytes, request->offset_bytes,
			image_bytes);
	return valid;
}

static bool serve_request(struct loop *loop, const struct wire_request *request)
{
	size_t data_bytes = request->length_bytes;
	off_t offset_bytes = (off_t)request->offset_bytes;
	size_t answer_bytes = request->operation == WIRE_READ ? data_bytes : sizeof(*request);

	if (loop->output_bytes != 0 && loop->output_bytes + answer_bytes > SEND_BYTES &&
	    !send_output(loop))
		return false;
	char *answer = loop->output + loop->output_bytes;

	loop->output_bytes += answer_bytes;
	if (request->operation == WIRE_READ)
		return pread(image_fd, answer, data_bytes, offset_bytes) == (ssize_t)data_bytes;
	memcpy(answer, request, sizeof(*request));
	return pwrite(image_fd, loop->input + loop->head + sizeof(*request), data_bytes,
		      offset_bytes) == (ssize_t)data_bytes;
}

/* Serves every request that is there as a whole. False ends the connection. */
static bool serve_received(struct loop *loop)
{
	struct wire_request request;

	while (loop->tail - loop->head >= sizeof(request)) {
		memcpy(&request, loop->input + loop->head, sizeof(request));
		if (!is_valid(&request))
			return false;
		size_t whole_bytes = sizeof(request) +
				     (request.operation == WIRE_WRITE ? request.length_bytes : 0);

		if (loop->tail - loop->head < whole_bytes)
			break;
		if (!serve_request(loop, &request))
			return false;
		loop->head += whole_bytes;
	}
	if (loop->head == loop->tail) {
		loop->head = loop->tail = 0;
	} else if (INPUT_BYTES - loop->head < sizeof(request) + WIRE_DATA_BYTES_MAX) {
		memmove(loop->input, loop->input + loop->head, loop->tail - loop->head);
		loop->tail -= loop->head;
		loop->head = 0;
	}
	return send_output(loop);
}

static void run_loop(struct loop *loop)
{
	do {
		ssize_t got = recv(loop->socket_fd, loop->input + loop->tail,
				   INPUT_BYTES - loop->tail, 0);

		if (got == 0 || (got < 0 && errno != EINTR))
			return;
		if (got > 0)
			loop->tail += (size_t)got;
	} while (serve_received(loop));
}

static void *serve_connection(void *argument)
{
	struct loop loop = {.socket_fd = (int)(intptr_t)argument};

	/* Reserved, not touched: only what requests need becomes resident. */
	loop.input = malloc(INPUT_BYTES);
	loop.output = malloc(SEND_BYTES + WIRE_DATA_BYTES_MAX);
	if (loop.input != NULL && loop.output != NULL)
		run_loop(&loop);
	free(loop.input);
	free(loop.output);
	close(loop.socket_fd);
	pthread_mutex_lock(&connections_lock);
	connections--;
	pthread_mutex_unlock(&connections_lock);
	return NULL;
}

static bool count_connection(void)
{
	pthread_mutex_lock(&connections_lock);
	bool room = connections < CONNECTIONS_MAX;

	connections += room;
	pthread_mutex_unlock(&connections_lock);
	return room;
}

static void accept_for_ever(int listen_fd)
{
	for (;;) {
		int socket_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (socket_fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			fprintf(stderr, "error: accept: %s\n", strerror(errno));
			return;
		}
		if (!count_connection()) {
			fprintf(stderr, "error: more than %d connections\n", CONNECTIONS_MAX);
			close(socket_fd);
			continue;
		}
		wire_set_no_delay(socket_fd);
		if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)socket_fd) !=
		    0) {
			fprintf(stderr, "error: no thread for a connection\n");
			close(socket_fd);
			return;
		}
		pthread_detach(thread);
	}
}

static bool open_image(const char *path)
{
	struct stat status;

	image_fd = open(path, O_RDWR | O_CLOEXEC);
	if (image_fd < 0 || fstat(image_fd, &status) != 0) {
		fprintf(stderr, "error: %s: %s\n", path, strerror(errno));
		return false;
	}
	image_bytes = (uint64_t)status.st_size;
	return true;
}

/* Returns the listening socket after printing `ready PORT`, or -1. */
static int start_listening(const char *text)
{
	struct sockaddr_in address;
	socklen_t address_bytes = sizeof(address);
	int on = 1;

	if (!wire_parse_address(text, &address))
		return -1;
	int listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listen_fd < 0 ||
	    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listen_fd, CONNECTIONS_MAX) != 0 ||
	    getsockname(listen_fd, (struct sockaddr *)&address, &address_bytes) != 0) {
		fprintf(stderr, "error: %s: %s\n", text, strerror(errno));
		return -1;
	}
	printf("ready %u\n", ntohs(address.sin_port));
	fflush(stdout);
	return listen_fd;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: bareloop ADDRESS:PORT IMAGE\n"
				"Prints `ready PORT` when it listens; port 0 takes a free one.\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	if (!open_image(argv[2]))
		return 2;
	int listen_fd = start_listening(argv[1]);

	if (listen_fd < 0)
		return 2;
	accept_for_ever(listen_fd);
	return 3;
}
