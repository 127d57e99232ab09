/* Log-linear latency histogram: 64 linear buckets for every power of two of nanoseconds.
 *
 * A recorded value is known to within 1/64 (1.6 %), whatever its magnitude. Recording is a shift and
 * an addition. Histograms of several sessions are merged by adding their counts, so percentiles of a
 * whole run are exact to the same 1.6 %; percentiles themselves are never averaged.
 */
#ifndef FAIRLEAD_BENCH_HISTOGRAM_H
#define FAIRLEAD_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
/* Largest value kept apart: 2^41 ns, 37 minutes. Anything above is counted there. */
#define HISTOGRAM_VALUE_BITS 41
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t max_ns;
	uint64_t sum_ns;
};

/* Counts one value. */
void histogram_record(struct histogram *histogram, uint64_t value_ns);

/* Adds every value of `from` to `into`. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The largest value that falls into bucket `index`. */
uint64_t histogram_bucket_upper_ns(size_t index);

/* The value below or at which `fraction` (0..1) of all values lie, by nearest rank; 0 when empty.
 * Rounded up to its bucket's upper edge, never above the largest value recorded. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction);

/* Mean of the values themselves (not of the buckets); 0 when empty. */
double histogram_mean_ns(const struct histogram *histogram);

#endif
