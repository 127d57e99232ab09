/* --shared-stream: one sequential stream that the sessions of a program send in turn, as an initiator
 * with several paths does. At most options->depth requests of it are in flight, all sessions together:
 * with one, a session sends when the answer to the session before it is there. */
#ifndef FAIRLEAD_BENCH_STREAM_H
#define FAIRLEAD_BENCH_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

/* Before any session runs. Returns false where the system has no descriptors left. */
bool stream_open(const struct options *options);

/* Becomes readable when it may be this session's turn; -1 where there is no stream. */
int stream_turn_fd(unsigned int session);

/* Whether it is this session's turn; says no more that it may be. */
bool stream_is_turn(const struct options *options, unsigned int session);

/* Takes the next place, in requests from the beginning on: for the session whose turn it is. */
uint64_t stream_take(const struct options *options);

/* One of its requests has been answered. */
void stream_answered(const struct options *options);

void stream_close(const struct options *options);

#endif
