/* --size: how large requests are, one size or several and how often each comes. */
#ifndef FAIRLEAD_BENCH_MIX_H
#define FAIRLEAD_BENCH_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIX_SIZES_MAX 8
/* One command's data. Larger transfers are beyond what targets announce as their maximum. */
#define REQUEST_BYTES_MAX (UINT64_C(16) << 20)

struct mix {
	unsigned int count;
	size_t bytes[MIX_SIZES_MAX];
	/* Sum of the weights up to and with this size. */
	uint64_t weight_ends[MIX_SIZES_MAX];
};

/* Reads `4K` or `4K=4,64K=2,1M=1`. Says what is wrong on standard error and returns false. */
bool mix_parse(const char *option, const char *text, struct mix *mix);

size_t mix_largest_bytes(const struct mix *mix);

/* The next request's size. Draws nothing where there is one size only, so that a seed keeps giving
 * the same places. */
size_t mix_draw_bytes(const struct mix *mix, uint64_t *random_state);

#endif
