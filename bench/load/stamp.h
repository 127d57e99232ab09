/* Stamped blocks for --verify: every block says where, when and by which run it was written.
 *
 * A block holds its seed, its LBA and its generation (counting its writes), and is filled up
 * with a sequence derived from the three, so that any misplaced, stale, torn or foreign block differs.
 */
#ifndef FAIRLEAD_BENCH_STAMP_H
#define FAIRLEAD_BENCH_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stamp {
	uint64_t seed;
	uint64_t lba;
	uint64_t generation;
};

/* Fills one block; `block_bytes` is a multiple of 8 and at least 64. */
void stamp_fill(unsigned char *block, size_t block_bytes, struct stamp stamp);

/* Tells whether a block is exactly what stamp_fill makes of `expected`. When it is not, `found`
 * receives the stamp the block carries, whatever that is. */
bool stamp_matches(const unsigned char *block, size_t block_bytes, struct stamp expected,
		   struct stamp *found);

#endif
