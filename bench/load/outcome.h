/* What a load run did, and how it is told: a text for people, one JSON line for scripts. */
#ifndef FAIRLEAD_BENCH_OUTCOME_H
#define FAIRLEAD_BENCH_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "histogram.h"
#include "timeline.h"

#define OUTCOME_TEXT_BYTES 512

/* Exit codes of both load programs. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_USAGE = 1,	  /* An option is missing or wrong; nothing was sent. */
	EXIT_CONNECT = 2, /* No connection, no login, or a volume that does not fit the options. */
	EXIT_IO = 3,	  /* A command failed, a connection was lost, or data did not match. */
	EXIT_STALLED = 4, /* Commands stayed unanswered for longer than --timeout. */
};

struct outcome {
	struct histogram latency;
	struct timeline timeline;
	uint64_t reads;
	uint64_t writes;
	uint64_t bytes;
	uint64_t errors;
	/* --pace: commands sent more than one interval after they were due. */
	uint64_t late;
	/* --verify: blocks compared, and blocks that were not what was written. */
	uint64_t blocks_checked;
	uint64_t blocks_wrong;
	/* Start of the load to its last answer; the longest of all sessions. */
	uint64_t elapsed_ns;
	enum exit_code code;
	char first_error[OUTCOME_TEXT_BYTES];
};

/* Monotonic time. */
uint64_t now_ns(void);

/* Notes a failure: the first text is kept, the gravest code wins. */
void outcome_fail(struct outcome *outcome, enum exit_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void outcome_merge(struct outcome *into, const struct outcome *from);

/* Writes the result to standard output. `name` is the initiator's; `started` and `ended` are this
 * process's own resource usage around the load. */
void outcome_print(const struct outcome *outcome, bool json, const char *name,
		   unsigned int sessions, const struct rusage *started, const struct rusage *ended);

/* The --hold protocol: prints `word` on a line of its own and waits for a line (or the end) of
 * standard input. A script thereby starts several programs at one moment and reads the server's
 * counters while no command is in flight. */
void hold(const char *word);

#endif
