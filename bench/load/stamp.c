/* See stamp.h. */
#include "stamp.h"

#include <string.h>

#include "number.h"

#define STAMP_MAGIC UINT64_C(0x66616972737461ff)
#define HEADER_WORDS 4

static uint64_t fill_state(struct stamp stamp)
{
	return random_seed(stamp.seed ^ (stamp.generation << 40), stamp.lba);
}

static void header_of(struct stamp stamp, uint64_t header[HEADER_WORDS])
{
	header[0] = STAMP_MAGIC;
	header[1] = stamp.seed;
	header[2] = stamp.lba;
	header[3] = stamp.generation;
}

void stamp_fill(unsigned char *block, size_t block_bytes, struct stamp stamp)
{
	uint64_t header[HEADER_WORDS];
	uint64_t state = fill_state(stamp);

	header_of(stamp, header);
	memcpy(block, header, sizeof(header));
	for (size_t offset = sizeof(header); offset < block_bytes; offset += sizeof(uint64_t)) {
		uint64_t word = random_next(&state);

		memcpy(block + offset, &word, sizeof(word));
	}
}

bool stamp_matches(const unsigned char *block, size_t block_bytes, struct stamp expected,
		   struct stamp *found)
{
	uint64_t header[HEADER_WORDS];
	uint64_t state = fill_state(expected);
	uint64_t actual[HEADER_WORDS];

	header_of(expected, header);
	memcpy(actual, block, sizeof(actual));
	*found = (struct stamp){.seed = actual[1], .lba = actual[2], .generation = actual[3]};
	if (memcmp(header, actual, sizeof(header)) != 0)
		return false;
	for (size_t offset = sizeof(header); offset < block_bytes; offset += sizeof(uint64_t)) {
		uint64_t word = random_next(&state);

		if (memcmp(block + offset, &word, sizeof(word)) != 0)
			return false;
	}
	return true;
}
