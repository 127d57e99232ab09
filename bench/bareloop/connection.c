/* See connection.h.
 *
 * Requests live in a ring of `depth` slots, used in turn, because answers come in order: `sent_from`
 * is the first request not wholly sent, `answered` the first not wholly answered, `queued` the next
 * to be made, all three counting up for ever. Everything waiting to be sent leaves in one call.
 */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "number.h"
#include "wire.h"

#define RECEIVE_BYTES (256u << 10)
#define VECTORS_MAX 128

struct slot {
	struct wire_request request;
	uint64_t sent_ns;
};

struct connection {
	const struct connection_options *options;
	int socket_fd;
	struct slot *slots;
	char *write_data;
	char *receive_buffer;
	uint64_t queued, sent_from, answered;
	/* Bytes of slot sent_from already sent, and of slot answered already received. */
	size_t sent_bytes, received_bytes;
	uint64_t first_place, places, next_place;
	uint64_t random_state;
	uint64_t deadline_ns;
	uint64_t last_answer_ns;
	struct outcome outcome;
};

static struct slot *slot_of(const struct connection *connection, uint64_t number)
{
	return &connection->slots[number % connection->options->depth];
}

static size_t outgoing_bytes(const struct slot *slot)
{
	return WIRE_BYTES +
	       (slot->request.operation == WIRE_WRITE ? slot->request.length_bytes : 0);
}

static size_t answer_bytes(const struct slot *slot)
{
	return slot->request.operation == WIRE_WRITE ? WIRE_BYTES : slot->request.length_bytes;
}

static void queue_requests(struct connection *connection)
{
	const struct connection_options *options = connection->options;
	uint64_t time_ns = now_ns();

	if (time_ns >= connection->deadline_ns)
		return;
	while (connection->queued - connection->answered < options->depth) {
		struct slot *slot = slot_of(connection, connection->queued++);
		bool is_read =
			random_below(&connection->random_state, 100) < options->read_percent;
		uint64_t place = connection->next_place;

		if (options->sequential)
			connection->next_place = (place + 1) % connection->places;
		else
			place = random_below(&connection->random_state, connection->places);
		slot->request = (struct wire_request){
			.magic = WIRE_MAGIC,
			.operation = is_read ? WIRE_READ : WIRE_WRITE,
			.offset_bytes = (connection->first_place + place) * options->request_bytes,
			.length_bytes = (uint32_t)options->request_bytes,
		};
		slot->sent_ns = time_ns;
	}
}

static int gather(const struct connection *connection, struct iovec *vectors)
{
	size_t skip_bytes = connection->sent_bytes;
	int count = 0;

	for (uint64_t number = connection->sent_from;
	     number < connection->queued && count + 2 <= VECTORS_MAX; number++) {
		struct slot *slot = slot_of(connection, number);
		size_t data_bytes = outgoing_bytes(slot) - WIRE_BYTES;

		if (skip_bytes < WIRE_BYTES) {
			vectors[count++] = (struct iovec){(char *)&slot->request + skip_bytes,
							  WIRE_BYTES - skip_bytes};
			skip_bytes = 0;
		} else {
			skip_bytes -= WIRE_BYTES;
		}
		if (data_bytes > 0)
			vectors[count++] = (struct iovec){connection->write_data + skip_bytes,
							  data_bytes - skip_bytes};
		skip_bytes = 0;
	}
	return count;
}

static bool send_queued(struct connection *connection)
{
	struct iovec vectors[VECTORS_MAX];
	struct msghdr message = {.msg_iov = vectors};

	message.msg_iovlen = (size_t)gather(connection, vectors);
	if (message.msg_iovlen == 0)
		return true;
	ssize_t sent = sendmsg(connection->socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	connection->sent_bytes += (size_t)sent;
	while (connection->sent_from < connection->queued) {
		size_t whole_bytes = outgoing_bytes(slot_of(connection, connection->sent_from));

		if (connection->sent_bytes < whole_bytes)
			break;
		connection->sent_bytes -= whole_bytes;
		connection->sent_from++;
	}
	return true;
}

static void count_answer(struct connection *connection, const struct slot *slot)
{
	struct outcome *outcome = &connection->outcome;

	histogram_record(&outcome->latency, connection->last_answer_ns - slot->sent_ns);
	if (slot->request.operation == WIRE_READ)
		outcome->reads++;
	else
		outcome->writes++;
	outcome->bytes += slot->request.length_bytes;
}

static bool receive_answers(struct connection *connection)
{
	ssize_t got = recv(connection->socket_fd, connection->receive_buffer, RECEIVE_BYTES,
			   MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0) {
		errno = ECONNRESET;
		return false;
	}
	connection->last_answer_ns = now_ns();
	connection->received_bytes += (size_t)got;
	while (connection->answered < connection->sent_from) {
		struct slot *slot = slot_of(connection, connection->answered);

		if (connection->received_bytes < answer_bytes(slot))
			break;
		connection->received_bytes -= answer_bytes(slot);
		connection->answered++;
		count_answer(connection, slot);
	}
	return true;
}

static bool wait_for_socket(struct connection *connection)
{
	struct pollfd poll_fd = {.fd = connection->socket_fd, .events = POLLIN};

	if (connection->sent_from < connection->queued)
		poll_fd.events |= POLLOUT;
	int ready = poll(&poll_fd, 1, (int)(connection->options->timeout_s * 1e3));

	if (ready == 0) {
		outcome_fail(&connection->outcome, EXIT_STALLED,
			     "%u requests unanswered for %.0f s",
			     (unsigned int)(connection->queued - connection->answered),
			     connection->options->timeout_s);
		return false;
	}
	if (ready < 0)
		return errno == EINTR;
	return (poll_fd.revents & (POLLIN | POLLERR | POLLHUP)) == 0 ||
	       receive_answers(connection);
}

void connection_run(struct connection *connection)
{
	uint64_t start_ns = now_ns();

	connection->deadline_ns = start_ns + (uint64_t)(connection->options->run_s * 1e9);
	connection->last_answer_ns = start_ns;
	for (;;) {
		queue_requests(connection);
		if (connection->queued == connection->answered)
			break;
		if (send_queued(connection) && wait_for_socket(connection))
			continue;
		outcome_fail(&connection->outcome, EXIT_IO, "connection lost: %s", strerror(errno));
		break;
	}
	connection->outcome.elapsed_ns = connection->last_answer_ns - start_ns;
}

const struct outcome *connection_outcome(const struct connection *connection)
{
	return &connection->outcome;
}

static bool allocate(struct connection *connection, struct outcome *outcome)
{
	const struct connection_options *options = connection->options;

	connection->slots = calloc(options->depth, sizeof(*connection->slots));
	connection->write_data = calloc(1, options->request_bytes);
	connection->receive_buffer = malloc(RECEIVE_BYTES);
	if (connection->slots != NULL && connection->write_data != NULL &&
	    connection->receive_buffer != NULL) {
		memset(connection->write_data, 0xa5, options->request_bytes);
		return true;
	}
	outcome_fail(outcome, EXIT_CONNECT, "out of memory");
	return false;
}

struct connection *connection_open(const struct connection_options *options, unsigned int index,
				   struct outcome *outcome)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL) {
		outcome_fail(outcome, EXIT_CONNECT, "out of memory");
		return NULL;
	}
	connection->options = options;
	connection->random_state = random_seed(options->seed, index);
	connection->places = options->range_bytes / options->request_bytes / options->connections;
	connection->first_place = index * connection->places;
	connection->socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->socket_fd < 0 ||
	    connect(connection->socket_fd, (const struct sockaddr *)&options->address,
		    sizeof(options->address)) != 0) {
		outcome_fail(outcome, EXIT_CONNECT, "connection %u: %s", index, strerror(errno));
	} else if (connection->places == 0) {
		outcome_fail(outcome, EXIT_CONNECT, "--range: no room for one request");
	} else if (allocate(connection, outcome)) {
		wire_set_no_delay(connection->socket_fd);
		return connection;
	}
	connection_close(connection);
	return NULL;
}

void connection_close(struct connection *connection)
{
	if (connection->socket_fd >= 0)
		close(connection->socket_fd);
	free(connection->slots);
	free(connection->write_data);
	free(connection->receive_buffer);
	free(connection);
}
