/* fairlead-load: an iSCSI initiator that works and counts. Debian's libiscsi does the protocol. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "outcome.h"
#include "session.h"
#include "stream.h"

/* Large (a histogram), hence not on the stack. */
static struct outcome total;

static void *run_on_thread(void *session)
{
	session_run(session);
	return NULL;
}

static void run_all(struct session **sessions, unsigned int count)
{
	pthread_t threads[SESSIONS_MAX];
	unsigned int started = 0;

	for (; started < count; started++) {
		int error =
			pthread_create(&threads[started], NULL, run_on_thread, sessions[started]);

		if (error != 0) {
			outcome_fail(&total, EXIT_CONNECT, "thread %u of %u: %s", started, count,
				     strerror(error));
			break;
		}
	}
	for (unsigned int index = 0; index < started; index++) {
		pthread_join(threads[index], NULL);
		outcome_merge(&total, session_outcome(sessions[index]));
	}
}

int main(int argc, char **argv)
{
	struct options options;
	struct session *sessions[SESSIONS_MAX] = {NULL};
	struct rusage started, ended;
	unsigned int open = 0;

	switch (options_parse(argc, argv, &options)) {
	case OPTIONS_HELP:
		return EXIT_FINE;
	case OPTIONS_WRONG:
		return EXIT_USAGE;
	case OPTIONS_RUN:
		break;
	}
	/* A target that goes away is an error message of ours, not a signal. */
	signal(SIGPIPE, SIG_IGN);
	if (!stream_open(&options)) {
		perror("error: eventfd");
		return EXIT_CONNECT;
	}
	for (; open < options.sessions; open++) {
		sessions[open] = session_open(&options, open, &total);
		if (sessions[open] == NULL)
			break;
	}
	if (open == options.sessions) {
		if (options.hold)
			hold("connected");
		getrusage(RUSAGE_SELF, &started);
		run_all(sessions, open);
		getrusage(RUSAGE_SELF, &ended);
		outcome_print(&total, options.json, options.initiator_name, options.sessions,
			      &started, &ended);
		if (options.hold)
			hold("finished");
	} else {
		fprintf(stderr, "error: %s\n", total.first_error);
	}
	while (open > 0)
		session_close(sessions[--open]);
	stream_close(&options);
	return (int)total.code;
}
