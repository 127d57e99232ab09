/* See stream.h. */
#include "stream.h"

#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Atomic uint64_t taken;
static _Atomic uint64_t answered;
static int turn_fds[SESSIONS_MAX];

bool stream_open(const struct options *options)
{
	for (unsigned int index = 0; index < SESSIONS_MAX; index++)
		turn_fds[index] = -1;
	if (!options->shared_stream)
		return true;
	for (unsigned int index = 0; index < options->sessions; index++) {
		turn_fds[index] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (turn_fds[index] < 0)
			return false;
	}
	return true;
}

int stream_turn_fd(unsigned int session)
{
	return turn_fds[session];
}

static bool has_room(const struct options *options)
{
	return atomic_load(&taken) - atomic_load(&answered) < options->depth;
}

/* Who is next looks again. What they have not read of this by then, they need not know. */
static void wake_next(const struct options *options)
{
	uint64_t one = 1;
	ssize_t written =
		write(turn_fds[atomic_load(&taken) % options->sessions], &one, sizeof(one));

	(void)written;
}

bool stream_is_turn(const struct options *options, unsigned int session)
{
	uint64_t turns;
	ssize_t length = read(turn_fds[session], &turns, sizeof(turns));

	(void)length;
	return atomic_load(&taken) % options->sessions == session && has_room(options);
}

uint64_t stream_take(const struct options *options)
{
	uint64_t place = atomic_fetch_add(&taken, 1);

	if (has_room(options))
		wake_next(options);
	return place;
}

void stream_answered(const struct options *options)
{
	atomic_fetch_add(&answered, 1);
	wake_next(options);
}

void stream_close(const struct options *options)
{
	for (unsigned int index = 0; options->shared_stream && index < options->sessions; index++)
		if (turn_fds[index] >= 0)
			close(turn_fds[index]);
}
