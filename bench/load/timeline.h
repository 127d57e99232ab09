/* --interval: what was answered in each stretch of time.
 *
 * Intervals begin at multiples of their length on the monotonic clock, which is one for the whole
 * machine: the counts of several load programs belong together, interval by interval, however far
 * apart the programs were started.
 */
#ifndef FAIRLEAD_BENCH_TIMELINE_H
#define FAIRLEAD_BENCH_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMELINE_INTERVALS_MAX 100000

struct interval_counts {
	uint64_t reads;
	uint64_t writes;
	uint64_t read_bytes;
	uint64_t written_bytes;
};

/* All zero: nothing is counted. */
struct timeline {
	/* Length of an interval; 0: no timeline. */
	uint64_t interval_ns;
	/* When the load began. */
	uint64_t start_ns;
	/* The first interval's number: its beginning divided by the length. */
	uint64_t first;
	size_t count;
	struct interval_counts *counts;
};

/* How many intervals a run touches, at most. */
size_t timeline_intervals(double run_s, double interval_s);

/* Makes room for a run that begins now and lasts so long. False: no memory. */
bool timeline_open(struct timeline *timeline, uint64_t interval_ns, uint64_t start_ns,
		   double run_s);

/* Counts an answer; one that comes after the run's end is in no interval. */
void timeline_record(struct timeline *timeline, uint64_t answer_ns, bool is_read, uint64_t bytes);

/* Adds up, interval by interval, also where the two begin or end at different times. False: no
 * memory. */
bool timeline_merge(struct timeline *into, const struct timeline *from);

/* Writes `,"intervals":{...}`, or nothing where there is no timeline. */
void timeline_print_json(const struct timeline *timeline);

void timeline_close(struct timeline *timeline);

#endif
