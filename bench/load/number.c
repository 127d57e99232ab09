/* See number.h. */
#include "number.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int unit_shift(char unit)
{
	switch (unit) {
	case 'K':
	case 'k':
		return 10;
	case 'M':
	case 'm':
		return 20;
	case 'G':
	case 'g':
		return 30;
	default:
		return -1;
	}
}

bool parse_count(const char *option, const char *text, bool units, uint64_t minimum,
		 uint64_t maximum, uint64_t *value)
{
	char *end = NULL;
	int shift = 0;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);

	if (end != text && *end != '\0' && units) {
		shift = unit_shift(*end);
		if (shift >= 0)
			end++;
	}
	/* strtoull takes "-1" for a large number; a digit must come first here. */
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || shift < 0 || errno != 0 ||
	    number > (UINT64_MAX >> (shift > 0 ? shift : 0))) {
		fprintf(stderr, "error: %s: '%s' is not a whole number%s\n", option, text,
			units ? " (K, M and G may follow)" : "");
		return false;
	}
	*value = (uint64_t)number << shift;
	if (*value < minimum || *value > maximum) {
		fprintf(stderr, "error: %s: %s is outside %" PRIu64 "..%" PRIu64 "\n", option, text,
			minimum, maximum);
		return false;
	}
	return true;
}

bool parse_real(const char *option, const char *text, double minimum, double maximum, double *value)
{
	char *end = NULL;

	errno = 0;
	*value = strtod(text, &end);
	if (end == text || *end != '\0' || errno != 0 || !isfinite(*value)) {
		fprintf(stderr, "error: %s: '%s' is not a number\n", option, text);
		return false;
	}
	if (*value < minimum || *value > maximum) {
		fprintf(stderr, "error: %s: %s is outside %g..%g\n", option, text, minimum,
			maximum);
		return false;
	}
	return true;
}
