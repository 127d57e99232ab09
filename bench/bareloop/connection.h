/* One connection to the bare loop and the load it carries. */
#ifndef FAIRLEAD_BENCH_CONNECTION_H
#define FAIRLEAD_BENCH_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

struct connection_options {
	struct sockaddr_in address;
	/* The requests stay within this many bytes from the start of the image. */
	uint64_t range_bytes;
	size_t request_bytes;
	unsigned int depth;
	unsigned int read_percent;
	bool sequential;
	double run_s;
	double timeout_s;
	uint64_t seed;
	unsigned int connections;
};

struct connection;

/* Connects (connection `index` of options->connections). NULL after noting what went wrong. */
struct connection *connection_open(const struct connection_options *options, unsigned int index,
				   struct outcome *outcome);

/* Keeps options->depth requests in flight for options->run_s seconds; waits for the last answer. */
void connection_run(struct connection *connection);

const struct outcome *connection_outcome(const struct connection *connection);

void connection_close(struct connection *connection);

#endif
