/* See mix.h. */
#include "mix.h"

#include <stdio.h>
#include <string.h>

#include "number.h"

#define WEIGHT_MAX 1000000
#define PART_BYTES 64

static bool parse_part(const char *option, char *part, struct mix *mix)
{
	char *equals = strchr(part, '=');
	uint64_t bytes = 0, weight = 1;

	if (mix->count == MIX_SIZES_MAX) {
		fprintf(stderr, "error: %s: more than %d sizes\n", option, MIX_SIZES_MAX);
		return false;
	}
	if (equals != NULL) {
		*equals = '\0';
		if (!parse_count(option, equals + 1, false, 1, WEIGHT_MAX, &weight))
			return false;
	}
	if (!parse_count(option, part, true, 512, REQUEST_BYTES_MAX, &bytes))
		return false;
	mix->bytes[mix->count] = (size_t)bytes;
	mix->weight_ends[mix->count] =
		weight + (mix->count == 0 ? 0 : mix->weight_ends[mix->count - 1]);
	mix->count++;
	return true;
}

bool mix_parse(const char *option, const char *text, struct mix *mix)
{
	*mix = (struct mix){0};
	for (;;) {
		size_t length = strcspn(text, ",");
		char part[PART_BYTES];

		if (length >= sizeof(part)) {
			fprintf(stderr, "error: %s: '%s' is not BYTES[=WEIGHT],...\n", option, text);
			return false;
		}
		memcpy(part, text, length);
		part[length] = '\0';
		if (!parse_part(option, part, mix))
			return false;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

size_t mix_largest_bytes(const struct mix *mix)
{
	size_t largest = 0;

	for (unsigned int index = 0; index < mix->count; index++)
		largest = mix->bytes[index] > largest ? mix->bytes[index] : largest;
	return largest;
}

size_t mix_draw_bytes(const struct mix *mix, uint64_t *random_state)
{
	if (mix->count == 1)
		return mix->bytes[0];
	uint64_t place = random_below(random_state, mix->weight_ends[mix->count - 1]);
	unsigned int index = 0;

	while (place >= mix->weight_ends[index])
		index++;
	return mix->bytes[index];
}
