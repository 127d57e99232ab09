/* One iSCSI session and the load it carries. A session belongs to one thread at a time. */
#ifndef FAIRLEAD_BENCH_SESSION_H
#define FAIRLEAD_BENCH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "outcome.h"

struct session;

/* Logs in (session `index` of options->sessions, told apart by its ISID), reads the capacity and
 * allocates all buffers. Returns NULL after noting in `outcome` what went wrong. */
struct session *session_open(const struct options *options, unsigned int index,
			     struct outcome *outcome);

/* Sends commands for options->run_s seconds and waits for the last answer; with --verify, reads
 * everything written again. The result is in session_outcome, errors included. */
void session_run(struct session *session);

const struct outcome *session_outcome(const struct session *session);

/* Logs out where the connection still works, and frees everything. */
void session_close(struct session *session);

#endif
