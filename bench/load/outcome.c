/* See outcome.h. */
#include "outcome.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double PERCENTILES[] = {0.50, 0.90, 0.99, 0.999};
static const char *const PERCENTILE_NAMES[] = {"p50", "p90", "p99", "p99_9"};
#define PERCENTILE_COUNT (sizeof(PERCENTILES) / sizeof(PERCENTILES[0]))

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

void outcome_fail(struct outcome *outcome, enum exit_code code, const char *format, ...)
{
	va_list arguments;

	if (outcome->first_error[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(outcome->first_error, sizeof(outcome->first_error), format, arguments);
		va_end(arguments);
		/* Texts of libraries may end in newlines. */
		for (size_t end = strlen(outcome->first_error);
		     end > 0 && outcome->first_error[end - 1] <= ' '; end--)
			outcome->first_error[end - 1] = '\0';
	}
	if (code > outcome->code)
		outcome->code = code;
}

void outcome_merge(struct outcome *into, const struct outcome *from)
{
	histogram_merge(&into->latency, &from->latency);
	if (!timeline_merge(&into->timeline, &from->timeline))
		outcome_fail(into, EXIT_CONNECT, "out of memory for the intervals");
	into->reads += from->reads;
	into->writes += from->writes;
	into->bytes += from->bytes;
	into->errors += from->errors;
	into->late += from->late;
	into->blocks_checked += from->blocks_checked;
	into->blocks_wrong += from->blocks_wrong;
	if (from->elapsed_ns > into->elapsed_ns)
		into->elapsed_ns = from->elapsed_ns;
	if (from->code != EXIT_FINE)
		outcome_fail(into, from->code, "%s", from->first_error);
}

static double seconds_between(struct timeval from, struct timeval until)
{
	return (double)(until.tv_sec - from.tv_sec) + (double)(until.tv_usec - from.tv_usec) / 1e6;
}

static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

static void print_bins(const struct histogram *histogram)
{
	const char *separator = "";

	for (size_t index = 0; index < HISTOGRAM_BUCKETS; index++) {
		if (histogram->counts[index] == 0)
			continue;
		printf("%s[%" PRIu64 ",%" PRIu64 "]", separator, histogram_bucket_upper_ns(index),
		       histogram->counts[index]);
		separator = ",";
	}
}

struct rates {
	double seconds, iops, mb_per_s, user_s, system_s, cpu_us_per_command;
	uint64_t commands;
};

static void print_json(const struct outcome *outcome, const struct rates *rates, const char *name,
		       unsigned int sessions)
{
	const struct histogram *latency = &outcome->latency;

	printf("{\"initiator\":");
	print_json_string(name);
	printf(",\"sessions\":%u,\"seconds\":%.6f,\"commands\":%" PRIu64 ",\"reads\":%" PRIu64
	       ",\"writes\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"errors\":%" PRIu64
	       ",\"late\":%" PRIu64,
	       sessions, rates->seconds, rates->commands, outcome->reads, outcome->writes,
	       outcome->bytes, outcome->errors, outcome->late);
	printf(",\"blocks_checked\":%" PRIu64 ",\"blocks_wrong\":%" PRIu64, outcome->blocks_checked,
	       outcome->blocks_wrong);
	printf(",\"iops\":%.1f,\"mb_per_s\":%.3f", rates->iops, rates->mb_per_s);
	printf(",\"latency_us\":{\"mean\":%.3f", histogram_mean_ns(latency) / 1e3);
	for (size_t index = 0; index < PERCENTILE_COUNT; index++)
		printf(",\"%s\":%.3f", PERCENTILE_NAMES[index],
		       (double)histogram_percentile_ns(latency, PERCENTILES[index]) / 1e3);
	printf(",\"max\":%.3f}", (double)latency->max_ns / 1e3);
	printf(",\"client_cpu\":{\"user_s\":%.6f,\"system_s\":%.6f,\"us_per_command\":%.3f}",
	       rates->user_s, rates->system_s, rates->cpu_us_per_command);
	printf(",\"exit_code\":%d,\"first_error\":", (int)outcome->code);
	print_json_string(outcome->first_error);
	printf(",\"latency_bins_ns\":[");
	print_bins(latency);
	printf("]");
	timeline_print_json(&outcome->timeline);
	printf("}\n");
}

static void print_text(const struct outcome *outcome, const struct rates *rates, const char *name,
		       unsigned int sessions)
{
	const struct histogram *latency = &outcome->latency;

	printf("%s: %u session(s), %.2f s, %" PRIu64 " commands (%" PRIu64 " read, %" PRIu64
	       " written), %" PRIu64 " errors\n",
	       name, sessions, rates->seconds, rates->commands, outcome->reads, outcome->writes,
	       outcome->errors);
	printf("  %.0f IOPS, %.1f MB/s\n  latency us: mean %.1f", rates->iops, rates->mb_per_s,
	       histogram_mean_ns(latency) / 1e3);
	for (size_t index = 0; index < PERCENTILE_COUNT; index++)
		printf(", p%g %.1f", PERCENTILES[index] * 100.0,
		       (double)histogram_percentile_ns(latency, PERCENTILES[index]) / 1e3);
	printf(", max %.1f\n", (double)latency->max_ns / 1e3);
	printf("  own CPU: %.2f s user, %.2f s system, %.1f us per command\n", rates->user_s,
	       rates->system_s, rates->cpu_us_per_command);
	if (outcome->late != 0)
		printf("  %" PRIu64 " commands were sent late\n", outcome->late);
	if (outcome->blocks_checked != 0)
		printf("  %" PRIu64 " blocks checked, %" PRIu64 " wrong\n", outcome->blocks_checked,
		       outcome->blocks_wrong);
}

void outcome_print(const struct outcome *outcome, bool json, const char *name,
		   unsigned int sessions, const struct rusage *started, const struct rusage *ended)
{
	struct rates rates = {
		.seconds = (double)outcome->elapsed_ns / 1e9,
		.commands = outcome->reads + outcome->writes,
		.user_s = seconds_between(started->ru_utime, ended->ru_utime),
		.system_s = seconds_between(started->ru_stime, ended->ru_stime),
	};

	if (rates.seconds > 0) {
		rates.iops = (double)rates.commands / rates.seconds;
		rates.mb_per_s = (double)outcome->bytes / 1e6 / rates.seconds;
	}
	if (rates.commands > 0)
		rates.cpu_us_per_command =
			(rates.user_s + rates.system_s) * 1e6 / (double)rates.commands;
	if (json)
		print_json(outcome, &rates, name, sessions);
	else
		print_text(outcome, &rates, name, sessions);
	if (outcome->code != EXIT_FINE)
		fprintf(stderr, "error: %s\n", outcome->first_error);
	fflush(stdout);
}

void hold(const char *word)
{
	int byte;

	printf("%s\n", word);
	fflush(stdout);
	do {
		byte = getchar();
	} while (byte != EOF && byte != '\n');
}
