/* What a session is made of. For session.c (runs it) and session_open.c (makes and frees it) only. */
#ifndef FAIRLEAD_BENCH_SESSION_STATE_H
#define FAIRLEAD_BENCH_SESSION_STATE_H

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "session.h"

enum phase { PHASE_LOAD, PHASE_READ_BACK };

struct command {
	struct session *session;
	struct command *next_free;
	struct scsi_iovec vector;
	unsigned char *buffer;
	uint64_t sent_ns;
	uint64_t chunk;
	uint32_t data_bytes;
	bool is_read;
};

struct session {
	const struct options *options;
	unsigned int index;
	struct iscsi_context *iscsi;
	struct iscsi_url *url;
	struct command *commands;
	struct command *free;
	unsigned char *buffers;
	/* This session's part of the range, in chunks of one (of the largest) request each. */
	uint64_t first_lba;
	uint64_t chunks;
	uint64_t next_chunk;
	uint32_t block_bytes;
	uint32_t chunk_blocks;
	unsigned int in_flight;
	enum phase phase;
	bool lost;
	/* --verify: how often each chunk was written (0: never), and whether a command is on it. */
	uint32_t *generations;
	uint8_t *busy;
	uint64_t random_state;
	uint64_t deadline_ns;
	uint64_t interval_ns;
	uint64_t next_due_ns;
	uint64_t last_answer_ns;
	struct outcome outcome;
};

#endif
