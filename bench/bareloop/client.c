/* bareloop-load: the load program for the bare loop, with the statistics of fairlead-load. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "number.h"
#include "outcome.h"
#include "wire.h"

#define CONNECTIONS_MAX 64

static const char USAGE[] =
	"usage: bareloop-load --connect ADDRESS:PORT --range BYTES [option ...]\n"
	"\n"
	"  --range BYTES         stay within the first BYTES of the image; K, M, G may follow\n"
	"  --initiator NAME      a name for the output\n"
	"  --read-share PERCENT  share of reads, the rest are writes (100)\n"
	"  --random, --sequential\n"
	"  --size BYTES          data of one request (4K)\n"
	"  --depth N             requests in flight for each connection (1)\n"
	"  --sessions N          connections, each with a thread (1)\n"
	"  --seconds S           how long to send (10)\n"
	"  --timeout S           give up when nothing is answered for so long (30)\n"
	"  --seed N              start of the random sequence (1)\n"
	"  --json, --hold        as in fairlead-load\n"
	"\n"
	"Exit status: as fairlead-load.\n";

struct output {
	const char *name;
	bool json;
	bool hold;
};

static struct outcome total;

static void *run_on_thread(void *connection)
{
	connection_run(connection);
	return NULL;
}

static bool take_count(const char *name, uint64_t minimum, uint64_t maximum, unsigned int *value)
{
	uint64_t number = 0;

	if (!parse_count(name, optarg, false, minimum, maximum, &number))
		return false;
	*value = (unsigned int)number;
	return true;
}

static bool take(int key, struct connection_options *options, struct output *output)
{
	uint64_t number = 0;

	switch (key) {
	case 'c':
		return wire_parse_address(optarg, &options->address);
	case 'g':
		return parse_count("--range", optarg, true, 512, INT64_MAX, &options->range_bytes);
	case 'i':
		output->name = optarg;
		return true;
	case 'r':
		return take_count("--read-share", 0, 100, &options->read_percent);
	case 'R':
	case 'S':
		options->sequential = key == 'S';
		return true;
	case 'b':
		if (!parse_count("--size", optarg, true, 512, WIRE_DATA_BYTES_MAX, &number))
			return false;
		options->request_bytes = (size_t)number;
		return true;
	case 'd':
		return take_count("--depth", 1, 1024, &options->depth);
	case 'n':
		return take_count("--sessions", 1, CONNECTIONS_MAX, &options->connections);
	case 's':
		return parse_real("--seconds", optarg, 0.01, 86400, &options->run_s);
	case 't':
		return parse_real("--timeout", optarg, 1, 3600, &options->timeout_s);
	case 'e':
		return parse_count("--seed", optarg, false, 0, UINT64_MAX, &options->seed);
	case 'j':
		output->json = true;
		return true;
	case 'h':
		output->hold = true;
		return true;
	default:
		fprintf(stderr, "%s", USAGE);
		return false;
	}
}

static bool parse(int argc, char **argv, struct connection_options *options, struct output *output)
{
	static const struct option LONG_OPTIONS[] = {
		{"connect", required_argument, NULL, 'c'},
		{"range", required_argument, NULL, 'g'},
		{"initiator", required_argument, NULL, 'i'},
		{"read-share", required_argument, NULL, 'r'},
		{"random", no_argument, NULL, 'R'},
		{"sequential", no_argument, NULL, 'S'},
		{"size", required_argument, NULL, 'b'},
		{"depth", required_argument, NULL, 'd'},
		{"sessions", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'},
		{"timeout", required_argument, NULL, 't'},
		{"seed", required_argument, NULL, 'e'},
		{"json", no_argument, NULL, 'j'},
		{"hold", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int key;

	while ((key = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1) {
		if (!take(key, options, output))
			return false;
	}
	if (optind < argc || options->address.sin_port == 0 || options->range_bytes == 0) {
		fprintf(stderr, "error: --connect and --range are needed\n%s", USAGE);
		return false;
	}
	return true;
}

static void run_all(struct connection **connections, unsigned int count)
{
	pthread_t threads[CONNECTIONS_MAX];
	unsigned int started = 0;

	for (; started < count; started++) {
		if (pthread_create(&threads[started], NULL, run_on_thread, connections[started]) !=
		    0) {
			outcome_fail(&total, EXIT_CONNECT, "no thread for connection %u", started);
			break;
		}
	}
	for (unsigned int index = 0; index < started; index++) {
		pthread_join(threads[index], NULL);
		outcome_merge(&total, connection_outcome(connections[index]));
	}
}

int main(int argc, char **argv)
{
	struct connection_options options = {
		.request_bytes = 4096,
		.depth = 1,
		.read_percent = 100,
		.run_s = 10,
		.timeout_s = 30,
		.seed = 1,
		.connections = 1,
	};
	struct output output = {.name = "bareloop"};
	struct connection *connections[CONNECTIONS_MAX] = {NULL};
	struct rusage started, ended;
	unsigned int open = 0;

	if (!parse(argc, argv, &options, &output))
		return EXIT_USAGE;
	signal(SIGPIPE, SIG_IGN);
	for (; open < options.connections; open++) {
		connections[open] = connection_open(&options, open, &total);
		if (connections[open] == NULL)
			break;
	}
	if (open == options.connections) {
		if (output.hold)
			hold("connected");
		getrusage(RUSAGE_SELF, &started);
		run_all(connections, open);
		getrusage(RUSAGE_SELF, &ended);
		outcome_print(&total, output.json, output.name, options.connections, &started,
			      &ended);
		if (output.hold)
			hold("finished");
	} else {
		fprintf(stderr, "error: %s\n", total.first_error);
	}
	while (open > 0)
		connection_close(connections[--open]);
	return (int)total.code;
}
