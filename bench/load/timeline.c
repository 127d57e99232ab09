/* See timeline.h. */
#include "timeline.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t timeline_intervals(double run_s, double interval_s)
{
	/* One more on each side: neither the beginning nor the end falls on an interval's edge. */
	return (size_t)ceil(run_s / interval_s) + 2;
}

bool timeline_open(struct timeline *timeline, uint64_t interval_ns, uint64_t start_ns, double run_s)
{
	timeline->interval_ns = interval_ns;
	timeline->start_ns = start_ns;
	timeline->first = start_ns / interval_ns;
	timeline->count = timeline_intervals(run_s, (double)interval_ns / 1e9);
	timeline->counts = calloc(timeline->count, sizeof(*timeline->counts));
	return timeline->counts != NULL;
}

void timeline_record(struct timeline *timeline, uint64_t answer_ns, bool is_read, uint64_t bytes)
{
	if (timeline->interval_ns == 0)
		return;
	uint64_t index = answer_ns / timeline->interval_ns - timeline->first;

	if (index >= timeline->count)
		return;
	struct interval_counts *counts = &timeline->counts[index];

	if (is_read) {
		counts->reads++;
		counts->read_bytes += bytes;
	} else {
		counts->writes++;
		counts->written_bytes += bytes;
	}
}

/* Makes `timeline` reach from interval `first` to before `end`, at least. */
static bool widen(struct timeline *timeline, uint64_t first, uint64_t end)
{
	uint64_t old_end = timeline->first + timeline->count;

	if (first > timeline->first)
		first = timeline->first;
	if (end < old_end)
		end = old_end;
	struct interval_counts *counts = calloc(end - first, sizeof(*counts));

	if (counts == NULL)
		return false;
	memcpy(counts + (timeline->first - first), timeline->counts,
	       timeline->count * sizeof(*counts));
	free(timeline->counts);
	timeline->counts = counts;
	timeline->first = first;
	timeline->count = end - first;
	return true;
}

bool timeline_merge(struct timeline *into, const struct timeline *from)
{
	if (from->interval_ns == 0)
		return true;
	if (into->interval_ns == 0) {
		*into = *from;
		into->counts = calloc(from->count, sizeof(*into->counts));
		if (into->counts == NULL)
			return false;
		memcpy(into->counts, from->counts, from->count * sizeof(*into->counts));
		return true;
	}
	if (!widen(into, from->first, from->first + from->count))
		return false;
	if (from->start_ns < into->start_ns)
		into->start_ns = from->start_ns;
	for (size_t index = 0; index < from->count; index++) {
		struct interval_counts *sum = &into->counts[from->first - into->first + index];

		sum->reads += from->counts[index].reads;
		sum->writes += from->counts[index].writes;
		sum->read_bytes += from->counts[index].read_bytes;
		sum->written_bytes += from->counts[index].written_bytes;
	}
	return true;
}

static void print_counts(const struct timeline *timeline, const char *name, size_t offset)
{
	printf(",\"%s\":[", name);
	for (size_t index = 0; index < timeline->count; index++) {
		uint64_t count;

		memcpy(&count, (const char *)&timeline->counts[index] + offset, sizeof(count));
		printf("%s%" PRIu64, index == 0 ? "" : ",", count);
	}
	printf("]");
}

void timeline_print_json(const struct timeline *timeline)
{
	if (timeline->interval_ns == 0)
		return;
	printf(",\"intervals\":{\"interval_ns\":%" PRIu64 ",\"start_ns\":%" PRIu64
	       ",\"first\":%" PRIu64,
	       timeline->interval_ns, timeline->start_ns, timeline->first);
	print_counts(timeline, "reads", offsetof(struct interval_counts, reads));
	print_counts(timeline, "writes", offsetof(struct interval_counts, writes));
	print_counts(timeline, "read_bytes", offsetof(struct interval_counts, read_bytes));
	print_counts(timeline, "written_bytes", offsetof(struct interval_counts, written_bytes));
	printf("}");
}

void timeline_close(struct timeline *timeline)
{
	free(timeline->counts);
	*timeline = (struct timeline){0};
}
