/* See options.h. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "timeline.h"

static const char USAGE[] =
	"usage: fairlead-load --url iscsi://[USER%PASSWORD@]HOST[:PORT]/TARGET/LUN [option ...]\n"
	"\n"
	"Sends SCSI commands to one logical unit and measures how they are answered.\n"
	"\n"
	"  --initiator NAME      our iSCSI name (iqn.2000-01.invalid.fairlead:load)\n"
	"  --lba-range FIRST:N   stay within N blocks from FIRST on; N 0: to the end (0:0)\n"
	"  --read-share PERCENT  share of reads, the rest are writes (100)\n"
	"  --random              every request at a random place (default)\n"
	"  --sequential          requests one after another, from the range's start again at its end\n"
	"  --shared-stream       one sequential stream that the sessions send in turn, as an initiator\n"
	"                        with several paths does; --depth is then of all together\n"
	"  --size BYTES          data of one command, K and M may follow (4K); several sizes, and how\n"
	"                        often each comes: 4K=4,64K=2,1M=1\n"
	"  --depth N             commands in flight for each session (1)\n"
	"  --pace IOPS           at most so many commands per second, all sessions together\n"
	"  --sessions N          sessions of this one initiator, each with an ISID, a thread and an\n"
	"                        equal part of the range of its own (1)\n"
	"  --delay S             begin so long after the others; nothing is answered meanwhile (0)\n"
	"  --seconds S           how long to send (10); what is in flight then is waited for\n"
	"  --interval S          with --json: count for each interval of this length, too\n"
	"  --timeout S           give up when nothing is answered for so long (30)\n"
	"  --seed N              start of the random sequence (1)\n"
	"  --verify              stamp the blocks written, check each when read, and read all\n"
	"                        written blocks again at the end\n"
	"  --json                print the result as one JSON line\n"
	"  --hold                for scripts: print `connected` and wait for a line before the load,\n"
	"                        print `finished` and wait for a line after the result\n"
	"\n"
	"Exit status: 0 fine, 1 wrong option, 2 no login, 3 a command failed or data differed,\n"
	"4 commands unanswered.\n";

enum option_key {
	KEY_URL = 256,
	KEY_INITIATOR,
	KEY_LBA_RANGE,
	KEY_READ_SHARE,
	KEY_RANDOM,
	KEY_SEQUENTIAL,
	KEY_SHARED_STREAM,
	KEY_SIZE,
	KEY_DEPTH,
	KEY_PACE,
	KEY_SESSIONS,
	KEY_DELAY,
	KEY_SECONDS,
	KEY_INTERVAL,
	KEY_TIMEOUT,
	KEY_SEED,
	KEY_VERIFY,
	KEY_JSON,
	KEY_HOLD,
	KEY_HELP,
};

static const struct option LONG_OPTIONS[] = {
	{"url", required_argument, NULL, KEY_URL},
	{"initiator", required_argument, NULL, KEY_INITIATOR},
	{"lba-range", required_argument, NULL, KEY_LBA_RANGE},
	{"read-share", required_argument, NULL, KEY_READ_SHARE},
	{"random", no_argument, NULL, KEY_RANDOM},
	{"sequential", no_argument, NULL, KEY_SEQUENTIAL},
	{"shared-stream", no_argument, NULL, KEY_SHARED_STREAM},
	{"size", required_argument, NULL, KEY_SIZE},
	{"depth", required_argument, NULL, KEY_DEPTH},
	{"pace", required_argument, NULL, KEY_PACE},
	{"sessions", required_argument, NULL, KEY_SESSIONS},
	{"delay", required_argument, NULL, KEY_DELAY},
	{"seconds", required_argument, NULL, KEY_SECONDS},
	{"interval", required_argument, NULL, KEY_INTERVAL},
	{"timeout", required_argument, NULL, KEY_TIMEOUT},
	{"seed", required_argument, NULL, KEY_SEED},
	{"verify", no_argument, NULL, KEY_VERIFY},
	{"json", no_argument, NULL, KEY_JSON},
	{"hold", no_argument, NULL, KEY_HOLD},
	{"help", no_argument, NULL, KEY_HELP},
	{NULL, 0, NULL, 0},
};

static bool parse_range(const char *text, struct options *options)
{
	const char *colon = strchr(text, ':');
	char first[32];

	if (colon == NULL || (size_t)(colon - text) >= sizeof(first)) {
		fprintf(stderr, "error: --lba-range: '%s' is not FIRST:N\n", text);
		return false;
	}
	memcpy(first, text, (size_t)(colon - text));
	first[colon - text] = '\0';
	return parse_count("--lba-range", first, false, 0, INT64_MAX, &options->range_first_lba) &&
	       parse_count("--lba-range", colon + 1, false, 0, INT64_MAX, &options->range_blocks);
}

static bool take_number(const char *name, const char *text, bool units, uint64_t minimum,
			uint64_t maximum, unsigned int *value)
{
	uint64_t number = 0;

	if (!parse_count(name, text, units, minimum, maximum, &number))
		return false;
	*value = (unsigned int)number;
	return true;
}

static bool take(int key, const char *text, struct options *options)
{
	switch (key) {
	case KEY_URL:
		options->url = text;
		return true;
	case KEY_INITIATOR:
		options->initiator_name = text;
		return true;
	case KEY_LBA_RANGE:
		return parse_range(text, options);
	case KEY_READ_SHARE:
		return take_number("--read-share", text, false, 0, 100, &options->read_percent);
	case KEY_RANDOM:
	case KEY_SEQUENTIAL:
		options->sequential = key == KEY_SEQUENTIAL;
		return true;
	case KEY_SHARED_STREAM:
		options->sequential = true;
		options->shared_stream = true;
		return true;
	case KEY_SIZE:
		return mix_parse("--size", text, &options->sizes);
	case KEY_DEPTH:
		return take_number("--depth", text, false, 1, DEPTH_MAX, &options->depth);
	case KEY_PACE:
		return parse_real("--pace", text, 0.1, 1e7, &options->pace_iops);
	case KEY_SESSIONS:
		return take_number("--sessions", text, false, 1, SESSIONS_MAX, &options->sessions);
	case KEY_DELAY:
		return parse_real("--delay", text, 0, 10, &options->delay_s);
	case KEY_SECONDS:
		return parse_real("--seconds", text, 0.01, 86400, &options->run_s);
	case KEY_INTERVAL:
		return parse_real("--interval", text, 0.001, 3600, &options->interval_s);
	case KEY_TIMEOUT:
		return parse_real("--timeout", text, 1, 3600, &options->timeout_s);
	case KEY_SEED:
		return parse_count("--seed", text, false, 0, UINT64_MAX, &options->seed);
	case KEY_VERIFY:
		options->verify = true;
		return true;
	case KEY_JSON:
		options->json = true;
		return true;
	case KEY_HOLD:
		options->hold = true;
		return true;
	default:
		fprintf(stderr, "Try --help.\n");
		return false;
	}
}

static bool check(const struct options *options)
{
	uint64_t buffers_bytes =
		mix_largest_bytes(&options->sizes) * options->depth * options->sessions;

	if (options->url == NULL) {
		fprintf(stderr, "error: --url is missing. Try --help.\n");
		return false;
	}
	if (buffers_bytes > BUFFERS_BYTES_MAX) {
		fprintf(stderr,
			"error: --size x --depth x --sessions is %.1f GiB, more than the %.1f GiB "
			"allowed\n",
			(double)buffers_bytes / (double)(UINT64_C(1) << 30),
			(double)BUFFERS_BYTES_MAX / (double)(UINT64_C(1) << 30));
		return false;
	}
	if (options->verify && options->shared_stream) {
		fprintf(stderr, "error: --verify: not with --shared-stream\n");
		return false;
	}
	if (options->verify && options->sizes.count > 1) {
		fprintf(stderr, "error: --verify: takes one --size\n");
		return false;
	}
	if (options->interval_s > 0 && timeline_intervals(options->run_s, options->interval_s) >
					       TIMELINE_INTERVALS_MAX) {
		fprintf(stderr, "error: --interval: more than %d in --seconds\n",
			TIMELINE_INTERVALS_MAX);
		return false;
	}
	return true;
}

enum options_result options_parse(int argc, char **argv, struct options *options)
{
	int key;

	*options = (struct options){
		.initiator_name = "iqn.2000-01.invalid.fairlead:load",
		.read_percent = 100,
		.sizes = {.count = 1, .bytes = {4096}, .weight_ends = {1}},
		.depth = 1,
		.sessions = 1,
		.run_s = 10,
		.timeout_s = 30,
		.seed = 1,
	};
	while ((key = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1) {
		if (key == KEY_HELP) {
			fputs(USAGE, stdout);
			return OPTIONS_HELP;
		}
		if (!take(key, optarg, options))
			return OPTIONS_WRONG;
	}
	if (optind < argc) {
		fprintf(stderr, "error: '%s' is not an option. Try --help.\n", argv[optind]);
		return OPTIONS_WRONG;
	}
	return check(options) ? OPTIONS_RUN : OPTIONS_WRONG;
}
