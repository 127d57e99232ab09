/* See session.h. Everything iSCSI is libiscsi's; this file decides what is sent and when.
 *
 * The loop: answers come in by iscsi_service(), which runs command_done() for each and puts its
 * command back on the free list; then every free command is sent again, all of them before the next
 * wait. Buffers are allocated once and lent to libiscsi by its vector calls, so that the client
 * copies and allocates as little as this library allows.
 */
#define _GNU_SOURCE
#include "session_state.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "number.h"
#include "stamp.h"
#include "stream.h"

#define SECOND_NS UINT64_C(1000000000)

static uint64_t chunk_lba(const struct session *session, uint64_t chunk)
{
	return session->first_lba + chunk * session->chunk_blocks;
}

static void check_stamps(struct session *session, const struct command *command)
{
	uint32_t generation = session->generations[command->chunk];

	if (generation == 0)
		return; /* Not written in this run: nothing is known about it. */
	for (uint32_t block = 0; block < session->chunk_blocks; block++) {
		struct stamp found;
		struct stamp expected = {
			.seed = session->options->seed,
			.lba = chunk_lba(session, command->chunk) + block,
			.generation = generation,
		};

		session->outcome.blocks_checked++;
		if (stamp_matches(command->buffer + (size_t)block * session->block_bytes,
				  session->block_bytes, expected, &found))
			continue;
		session->outcome.blocks_wrong++;
		outcome_fail(&session->outcome, EXIT_IO,
			     "data differs at LBA %" PRIu64 ": written as generation %" PRIu64
			     " of seed %" PRIu64 "; the block read says LBA %" PRIu64
			     ", generation %" PRIu64 ", seed %" PRIu64,
			     expected.lba, expected.generation, expected.seed, found.lba,
			     found.generation, found.seed);
	}
}

static void note_answer(struct session *session, struct command *command, int status,
			const struct scsi_task *task)
{
	struct outcome *outcome = &session->outcome;
	const char *verb = command->is_read ? "READ" : "WRITE";

	if (status != SCSI_STATUS_GOOD) {
		outcome->errors++;
		outcome_fail(outcome, EXIT_IO, "%s (16) at LBA %" PRIu64 ": status %#x: %s", verb,
			     chunk_lba(session, command->chunk), (unsigned int)status,
			     iscsi_get_error(session->iscsi));
		return;
	}
	if (task != NULL && task->residual_status != SCSI_RESIDUAL_NO_RESIDUAL) {
		outcome->errors++;
		outcome_fail(outcome, EXIT_IO, "%s (16) at LBA %" PRIu64 ": residual of %zu bytes",
			     verb, chunk_lba(session, command->chunk), task->residual);
		return;
	}
	if (session->phase == PHASE_LOAD) {
		histogram_record(&outcome->latency, session->last_answer_ns - command->sent_ns);
		outcome->reads += command->is_read;
		outcome->writes += !command->is_read;
		outcome->bytes += command->data_bytes;
		timeline_record(&outcome->timeline, session->last_answer_ns, command->is_read,
				command->data_bytes);
	}
	if (session->options->verify && command->is_read)
		check_stamps(session, command);
}

static void command_done(struct iscsi_context *iscsi, int status, void *command_data,
			 void *private_data)
{
	struct command *command = private_data;
	struct session *session = command->session;
	struct scsi_task *task = command_data;

	(void)iscsi;
	if (status != SCSI_STATUS_CANCELLED) {
		session->last_answer_ns = now_ns();
		note_answer(session, command, status, task);
	}
	if (session->busy != NULL)
		session->busy[command->chunk] = 0;
	if (task != NULL)
		scsi_free_scsi_task(task);
	command->next_free = session->free;
	session->free = command;
	session->in_flight--;
	if (session->options->shared_stream)
		stream_answered(session->options);
}

static bool is_turn(const struct session *session)
{
	return !session->options->shared_stream ||
	       stream_is_turn(session->options, session->index);
}

/* The next place of the load. With --verify no two commands are ever on one chunk, because their
 * order at the target would be undefined; session_open has made sure that a free one exists. */
static uint64_t choose_chunk(struct session *session)
{
	uint64_t chunk;

	if (session->options->shared_stream) {
		chunk = stream_take(session->options) % session->chunks;
	} else if (session->options->sequential) {
		chunk = session->next_chunk;
		session->next_chunk = (chunk + 1) % session->chunks;
	} else {
		chunk = random_below(&session->random_state, session->chunks);
	}
	while (session->busy != NULL && session->busy[chunk])
		chunk = (chunk + 1) % session->chunks;
	return chunk;
}

/* The next written chunk of the final read-back, or false when there is none left. */
static bool choose_written_chunk(struct session *session, uint64_t *chunk)
{
	while (session->next_chunk < session->chunks) {
		*chunk = session->next_chunk++;
		if (session->generations[*chunk] != 0)
			return true;
	}
	return false;
}

static void stamp_chunk(struct session *session, struct command *command)
{
	uint32_t generation = ++session->generations[command->chunk];

	for (uint32_t block = 0; block < session->chunk_blocks; block++) {
		struct stamp stamp = {
			.seed = session->options->seed,
			.lba = chunk_lba(session, command->chunk) + block,
			.generation = generation,
		};

		stamp_fill(command->buffer + (size_t)block * session->block_bytes,
			   session->block_bytes, stamp);
	}
}

static bool send_command(struct session *session, uint64_t chunk, bool is_read)
{
	struct command *command = session->free;
	uint32_t data_bytes =
		(uint32_t)mix_draw_bytes(&session->options->sizes, &session->random_state);
	int block_bytes = (int)session->block_bytes;
	uint64_t lba = chunk_lba(session, chunk);
	struct scsi_task *task;

	session->free = command->next_free;
	session->in_flight++;
	command->chunk = chunk;
	command->data_bytes = data_bytes;
	command->is_read = is_read;
	if (session->busy != NULL)
		session->busy[chunk] = 1;
	if (!is_read && session->options->verify)
		stamp_chunk(session, command);
	command->vector = (struct scsi_iovec){.iov_base = command->buffer, .iov_len = data_bytes};
	command->sent_ns = now_ns();
	if (is_read)
		task = iscsi_read16_iov_task(session->iscsi, session->url->lun, lba, data_bytes,
					     block_bytes, 0, 0, 0, 0, 0, command_done, command,
					     &command->vector, 1);
	else
		task = iscsi_write16_iov_task(session->iscsi, session->url->lun, lba, NULL,
					      data_bytes, block_bytes, 0, 0, 0, 0, 0, command_done,
					      command, &command->vector, 1);
	if (task != NULL)
		return true;
	session->in_flight--;
	session->lost = true;
	outcome_fail(&session->outcome, EXIT_IO, "cannot send a command: %s",
		     iscsi_get_error(session->iscsi));
	return false;
}

/* Whether the pace allows one more command now. */
static bool is_due(struct session *session, uint64_t time_ns)
{
	if (session->interval_ns == 0)
		return true;
	if (time_ns < session->next_due_ns)
		return false;
	if (time_ns - session->next_due_ns > session->interval_ns)
		session->outcome.late++;
	/* A backlog of more than a second is dropped: afterwards the pace is kept, not caught up. */
	if (time_ns - session->next_due_ns > SECOND_NS)
		session->next_due_ns = time_ns;
	session->next_due_ns += session->interval_ns;
	return true;
}

/* Sends what can be sent now. Returns whether the phase still has commands to send. */
static bool fill_up(struct session *session)
{
	uint64_t chunk;

	if (session->phase == PHASE_READ_BACK) {
		while (session->free != NULL) {
			if (!choose_written_chunk(session, &chunk))
				return false;
			if (!send_command(session, chunk, true))
				return false;
		}
		return true;
	}
	uint64_t time_ns = now_ns();

	if (time_ns >= session->deadline_ns)
		return false;
	while (session->free != NULL && is_turn(session) && is_due(session, time_ns)) {
		bool is_read = random_below(&session->random_state, 100) <
			       session->options->read_percent;

		if (!send_command(session, choose_chunk(session), is_read))
			return false;
	}
	return true;
}

/* Waits for the socket, at most to the next moment at which something is due. */
static int wait_for_socket(struct session *session, short *ready_events)
{
	uint64_t time_ns = now_ns();
	uint64_t wake_ns = time_ns + SECOND_NS / 4;
	struct pollfd poll_fds[] = {
		{
			.fd = iscsi_get_fd(session->iscsi),
			.events = (short)iscsi_which_events(session->iscsi),
		},
		/* A negative one is passed over. What it says matters to fill_up(), which comes next. */
		{.fd = stream_turn_fd(session->index), .events = POLLIN},
	};

	if (session->phase == PHASE_LOAD) {
		if (time_ns < session->deadline_ns && session->deadline_ns < wake_ns)
			wake_ns = session->deadline_ns;
		if (session->interval_ns != 0 && session->free != NULL &&
		    session->next_due_ns < wake_ns)
			wake_ns = session->next_due_ns;
	}
	uint64_t wait_ns = wake_ns > time_ns ? wake_ns - time_ns : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(wait_ns / SECOND_NS),
		.tv_nsec = (long)(wait_ns % SECOND_NS),
	};
	int ready = ppoll(poll_fds, 2, &timeout, NULL);

	*ready_events = poll_fds[0].revents;
	return ready;
}

static void note_lost(struct session *session)
{
	session->lost = true;
	outcome_fail(&session->outcome, EXIT_IO, "connection lost with %u commands in flight: %s",
		     session->in_flight, iscsi_get_error(session->iscsi));
}

static bool is_stalled(struct session *session)
{
	uint64_t time_ns = now_ns();
	uint64_t limit_ns = (uint64_t)(session->options->timeout_s * 1e9);

	if (session->in_flight == 0) {
		session->last_answer_ns = time_ns;
		return false;
	}
	if (time_ns < session->last_answer_ns || time_ns - session->last_answer_ns < limit_ns)
		return false;
	session->lost = true;
	outcome_fail(&session->outcome, EXIT_STALLED, "%u commands unanswered for %.0f s",
		     session->in_flight, session->options->timeout_s);
	return true;
}

static void run_phase(struct session *session)
{
	bool sending = true;

	session->last_answer_ns = now_ns();
	while (!session->lost) {
		short ready_events = 0;

		if (sending)
			sending = fill_up(session);
		if (!sending && session->in_flight == 0)
			break;
		/* Sent at once: asking the kernel first whether there is room costs as much as
		 * trying, and a full socket is no error. */
		if ((iscsi_which_events(session->iscsi) & POLLOUT) != 0 &&
		    iscsi_service(session->iscsi, POLLOUT) != 0) {
			note_lost(session);
			break;
		}
		int ready = wait_for_socket(session, &ready_events);

		if (ready < 0 && errno != EINTR) {
			outcome_fail(&session->outcome, EXIT_IO, "poll: %s", strerror(errno));
			session->lost = true;
		} else if (ready_events != 0 && iscsi_service(session->iscsi, ready_events) != 0) {
			note_lost(session);
		} else if (ready == 0) {
			is_stalled(session);
		}
	}
}

static void wait_for_the_start(const struct options *options)
{
	uint64_t delay_ns = (uint64_t)(options->delay_s * 1e9);
	struct timespec left = {
		.tv_sec = (time_t)(delay_ns / SECOND_NS),
		.tv_nsec = (long)(delay_ns % SECOND_NS),
	};

	while (delay_ns != 0 && nanosleep(&left, &left) != 0)
		; /* Interrupted: the rest of it. */
}

void session_run(struct session *session)
{
	wait_for_the_start(session->options);
	uint64_t start_ns = now_ns();

	if (session->options->interval_s > 0 &&
	    !timeline_open(&session->outcome.timeline,
			   (uint64_t)llround(session->options->interval_s * 1e9), start_ns,
			   session->options->run_s)) {
		outcome_fail(&session->outcome, EXIT_CONNECT, "out of memory for the intervals");
		return;
	}
	session->deadline_ns = start_ns + (uint64_t)(session->options->run_s * 1e9);
	session->next_due_ns = start_ns;
	run_phase(session);
	session->outcome.elapsed_ns = session->last_answer_ns - start_ns;
	if (session->options->verify && !session->lost) {
		session->phase = PHASE_READ_BACK;
		session->next_chunk = 0;
		run_phase(session);
	}
}

const struct outcome *session_outcome(const struct session *session)
{
	return &session->outcome;
}
