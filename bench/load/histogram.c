/* See histogram.h. */
#include "histogram.h"

#include <math.h>

#define SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)

static size_t bucket_index(uint64_t value_ns)
{
	const uint64_t value_max = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;

	if (value_ns > value_max)
		value_ns = value_max;
	if (value_ns < SUB_BUCKETS)
		return (size_t)value_ns;

	unsigned int shift = 63u - (unsigned int)__builtin_clzll(value_ns) - HISTOGRAM_SUB_BITS;

	/* The top bits lie in 64..127, so octave `shift` starts where the one below it ended. */
	return ((size_t)shift << HISTOGRAM_SUB_BITS) + (size_t)(value_ns >> shift);
}

void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
	histogram->counts[bucket_index(value_ns)]++;
	histogram->total++;
	histogram->sum_ns += value_ns;
	if (value_ns > histogram->max_ns)
		histogram->max_ns = value_ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (size_t index = 0; index < HISTOGRAM_BUCKETS; index++)
		into->counts[index] += from->counts[index];
	into->total += from->total;
	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
}

uint64_t histogram_bucket_upper_ns(size_t index)
{
	if (index < 2 * SUB_BUCKETS)
		return index;

	size_t shift = (index >> HISTOGRAM_SUB_BITS) - 1;
	uint64_t top_bits = (index & (SUB_BUCKETS - 1)) + SUB_BUCKETS;

	return ((top_bits + 1) << shift) - 1;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction)
{
	uint64_t rank = (uint64_t)ceil(fraction * (double)histogram->total);
	uint64_t seen = 0;

	if (histogram->total == 0)
		return 0;
	if (rank == 0)
		rank = 1;
	for (size_t index = 0; index < HISTOGRAM_BUCKETS; index++) {
		seen += histogram->counts[index];
		if (seen >= rank) {
			uint64_t upper_ns = histogram_bucket_upper_ns(index);

			return upper_ns < histogram->max_ns ? upper_ns : histogram->max_ns;
		}
	}
	return histogram->max_ns;
}

double histogram_mean_ns(const struct histogram *histogram)
{
	return histogram->total ? (double)histogram->sum_ns / (double)histogram->total : 0.0;
}
