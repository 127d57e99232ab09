/* Reads nanoseconds, one per line; prints count, mean, maximum and percentiles. For the tests, which
 * hold histogram.c to values computed from the whole list. */
#include <inttypes.h>
#include <stdio.h>

#include "histogram.h"

int main(void)
{
	static const double FRACTIONS[] = {0.5, 0.9, 0.99, 0.999, 1.0};
	static struct histogram halves[2], merged;
	uint64_t value_ns;

	/* Two histograms in turn, then merged: the way several sessions are counted. */
	for (size_t index = 0; scanf("%" SCNu64, &value_ns) == 1; index++)
		histogram_record(&halves[index % 2], value_ns);
	histogram_merge(&merged, &halves[0]);
	histogram_merge(&merged, &halves[1]);
	printf("%" PRIu64 " %.3f %" PRIu64, merged.total, histogram_mean_ns(&merged),
	       merged.max_ns);
	for (size_t index = 0; index < sizeof(FRACTIONS) / sizeof(FRACTIONS[0]); index++)
		printf(" %" PRIu64, histogram_percentile_ns(&merged, FRACTIONS[index]));
	printf("\n");
	return 0;
}
