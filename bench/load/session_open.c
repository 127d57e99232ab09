/* See session.h: logging in, dividing the range, buffers, and the way back. */
#include "session_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "number.h"

/* --verify holds 5 bytes for each request-sized chunk of the range. */
#define VERIFY_CHUNKS_MAX (UINT64_C(64) << 20)

static bool log_in(struct session *session, unsigned int index, struct outcome *outcome)
{
	const struct options *options = session->options;

	session->iscsi = iscsi_create_context(options->initiator_name);
	if (session->iscsi == NULL) {
		outcome_fail(outcome, EXIT_CONNECT, "no iSCSI context for initiator '%s'",
			     options->initiator_name);
		return false;
	}
	session->url = iscsi_parse_full_url(session->iscsi, options->url);
	if (session->url == NULL) {
		outcome_fail(outcome, EXIT_USAGE, "--url: %s", iscsi_get_error(session->iscsi));
		return false;
	}
	if (session->url->user[0] != '\0')
		iscsi_set_initiator_username_pwd(session->iscsi, session->url->user,
						 session->url->passwd);
	/* Type "random": the process tells apart programs that run as one initiator. */
	iscsi_set_isid_random(session->iscsi, (uint32_t)getpid() & 0xffffff, index);
	iscsi_set_targetname(session->iscsi, session->url->target);
	iscsi_set_session_type(session->iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_timeout(session->iscsi, (int)options->timeout_s);
	if (iscsi_full_connect_sync(session->iscsi, session->url->portal, session->url->lun) != 0) {
		outcome_fail(outcome, EXIT_CONNECT, "session %u: no login at %s (is a target listening there?): %s", index,
			     session->url->portal, iscsi_get_error(session->iscsi));
		return false;
	}
	/* A lost connection ends the run: a measurement across a silent reconnect would be wrong.
	 * From here on run_phase() watches over unanswered commands. */
	iscsi_set_noautoreconnect(session->iscsi, 1);
	iscsi_set_timeout(session->iscsi, 0);
	return true;
}

/* Volume size in blocks, by READ CAPACITY (16); 0 after noting what went wrong. */
static uint64_t read_capacity(struct session *session, struct outcome *outcome)
{
	struct scsi_task *task = iscsi_readcapacity16_sync(session->iscsi, session->url->lun);
	const struct scsi_readcapacity16 *capacity = NULL;
	uint64_t blocks = 0;

	if (task != NULL && task->status == SCSI_STATUS_GOOD)
		capacity = scsi_datain_unmarshall(task);
	if (capacity == NULL) {
		outcome_fail(outcome, EXIT_CONNECT, "READ CAPACITY (16): %s",
			     iscsi_get_error(session->iscsi));
	} else if (capacity->block_length < 512 || capacity->block_length % 8 != 0 ||
		   capacity->returned_lba >= INT64_MAX) {
		outcome_fail(outcome, EXIT_CONNECT,
			     "READ CAPACITY (16): %" PRIu32 "-byte blocks up to LBA %" PRIu64
			     " cannot be used",
			     capacity->block_length, capacity->returned_lba);
	} else {
		session->block_bytes = capacity->block_length;
		blocks = capacity->returned_lba + 1;
	}
	if (task != NULL)
		scsi_free_scsi_task(task);
	return blocks;
}

static bool divide_range(struct session *session, unsigned int index, uint64_t volume_blocks,
			 struct outcome *outcome)
{
	const struct options *options = session->options;
	uint64_t range_blocks = options->range_blocks;

	if (options->range_first_lba >= volume_blocks ||
	    range_blocks > volume_blocks - options->range_first_lba) {
		outcome_fail(outcome, EXIT_CONNECT,
			     "--lba-range: %" PRIu64 ":%" PRIu64 " is not within the %" PRIu64
			     " blocks of the volume",
			     options->range_first_lba, range_blocks, volume_blocks);
		return false;
	}
	for (unsigned int size = 0; size < options->sizes.count; size++) {
		if (options->sizes.bytes[size] % session->block_bytes == 0)
			continue;
		outcome_fail(outcome, EXIT_CONNECT, "--size: %zu is no multiple of %" PRIu32
			     "-byte blocks", options->sizes.bytes[size], session->block_bytes);
		return false;
	}
	if (range_blocks == 0)
		range_blocks = volume_blocks - options->range_first_lba;
	session->chunk_blocks =
		(uint32_t)(mix_largest_bytes(&options->sizes) / session->block_bytes);
	session->chunks = range_blocks / session->chunk_blocks;
	session->first_lba = options->range_first_lba;
	if (!options->shared_stream) {
		session->chunks /= options->sessions;
		session->first_lba += index * session->chunks * session->chunk_blocks;
	}
	/* Twice the depth: with --verify a free chunk must be near. */
	uint64_t chunks_min = options->verify ? UINT64_C(2) * options->depth : 1;

	if (session->chunks < chunks_min) {
		outcome_fail(outcome, EXIT_CONNECT,
			     "--lba-range: %" PRIu64 " blocks hold %" PRIu64
			     " requests for each session, at least %" PRIu64 " are needed",
			     range_blocks, session->chunks, chunks_min);
		return false;
	}
	if (options->verify && session->chunks > VERIFY_CHUNKS_MAX / options->sessions) {
		outcome_fail(outcome, EXIT_CONNECT,
			     "--verify remembers at most %" PRIu64
			     " requests; choose a smaller --lba-range",
			     VERIFY_CHUNKS_MAX);
		return false;
	}
	return true;
}

static bool allocate(struct session *session, struct outcome *outcome)
{
	const struct options *options = session->options;
	size_t request_bytes = mix_largest_bytes(&options->sizes);
	size_t buffers_bytes = request_bytes * options->depth;

	session->commands = calloc(options->depth, sizeof(*session->commands));
	if (posix_memalign((void **)&session->buffers, 4096, buffers_bytes) != 0)
		session->buffers = NULL;
	if (options->verify) {
		session->generations = calloc(session->chunks, sizeof(*session->generations));
		session->busy = calloc(session->chunks, sizeof(*session->busy));
	}
	if (session->commands == NULL || session->buffers == NULL ||
	    (options->verify && (session->generations == NULL || session->busy == NULL))) {
		outcome_fail(outcome, EXIT_CONNECT, "out of memory for %u commands of %zu bytes",
			     options->depth, request_bytes);
		return false;
	}
	for (size_t offset = 0; offset < buffers_bytes; offset += sizeof(uint64_t)) {
		uint64_t word = random_next(&session->random_state);

		memcpy(session->buffers + offset, &word, sizeof(word));
	}
	for (unsigned int index = 0; index < options->depth; index++) {
		struct command *command = &session->commands[index];

		command->session = session;
		command->buffer = session->buffers + index * request_bytes;
		command->next_free = session->free;
		session->free = command;
	}
	return true;
}

struct session *session_open(const struct options *options, unsigned int index,
			     struct outcome *outcome)
{
	struct session *session = calloc(1, sizeof(*session));
	uint64_t volume_blocks;

	if (session == NULL) {
		outcome_fail(outcome, EXIT_CONNECT, "out of memory");
		return NULL;
	}
	session->options = options;
	session->index = index;
	session->random_state = random_seed(options->seed, index);
	if (options->pace_iops > 0)
		session->interval_ns = (uint64_t)(1e9 * options->sessions / options->pace_iops);
	if (log_in(session, index, outcome) &&
	    (volume_blocks = read_capacity(session, outcome)) != 0 &&
	    divide_range(session, index, volume_blocks, outcome) && allocate(session, outcome))
		return session;
	session_close(session);
	return NULL;
}

void session_close(struct session *session)
{
	if (session->iscsi != NULL) {
		if (!session->lost && iscsi_is_logged_in(session->iscsi)) {
			iscsi_set_timeout(session->iscsi, 2);
			iscsi_logout_sync(session->iscsi);
		}
		/* Commands still in flight are handed to command_done() as cancelled. */
		iscsi_destroy_context(session->iscsi);
	}
	if (session->url != NULL)
		iscsi_destroy_url(session->url);
	timeline_close(&session->outcome.timeline);
	free(session->generations);
	free(session->busy);
	free(session->buffers);
	free(session->commands);
	free(session);
}
