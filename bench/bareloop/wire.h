/* What the bare loop and its load program say to each other, and socket work both need.
 *
 * A request is 48 bytes, as an iSCSI header is. A read is answered with the data alone; a write's
 * data follows its request and is answered with 48 bytes. Answers come in the order of the requests.
 * Both ends run on one machine: numbers are in its own byte order.
 */
#ifndef FAIRLEAD_BENCH_WIRE_H
#define FAIRLEAD_BENCH_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_BYTES 48
#define WIRE_MAGIC 0x62617265u
#define WIRE_DATA_BYTES_MAX (16u << 20)

enum wire_operation { WIRE_READ = 1, WIRE_WRITE = 2 };

struct wire_request {
	uint32_t magic;
	uint32_t operation;
	uint64_t offset_bytes;
	uint32_t length_bytes;
	uint8_t unused[28];
};

_Static_assert(sizeof(struct wire_request) == WIRE_BYTES, "a request is as long as an iSCSI header");

/* Splits "127.0.0.1:PORT" (IPv4 only). Prints what is wrong and returns false. */
bool wire_parse_address(const char *text, struct sockaddr_in *address);

/* No delay, so that a small message leaves at once. */
void wire_set_no_delay(int socket_fd);

#endif
