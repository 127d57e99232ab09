/* Command line of the load program. */
#ifndef FAIRLEAD_BENCH_OPTIONS_H
#define FAIRLEAD_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mix.h"

#define SESSIONS_MAX 64
#define DEPTH_MAX 1024
/* All requests of all sessions together: a mistyped depth must not take the machine's memory. */
#define BUFFERS_BYTES_MAX (UINT64_C(2) << 30)

struct options {
	const char *url;
	const char *initiator_name;
	/* In blocks; range_blocks 0: to the end of the volume. */
	uint64_t range_first_lba;
	uint64_t range_blocks;
	unsigned int read_percent;
	bool sequential;
	/* All sessions take their requests from one sequential stream. */
	bool shared_stream;
	struct mix sizes;
	unsigned int depth;
	/* Commands per second of all sessions together; 0: as fast as answers come. */
	double pace_iops;
	unsigned int sessions;
	/* From the start of the program's load to this one's first command. */
	double delay_s;
	double run_s;
	/* 0: nothing is counted by interval. */
	double interval_s;
	double timeout_s;
	uint64_t seed;
	bool verify;
	bool json;
	bool hold;
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/* Reads the command line. Says what is wrong on standard error; never exits. */
enum options_result options_parse(int argc, char **argv, struct options *options);

#endif
