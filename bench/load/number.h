/* Numbers in options: bounded, with a clear message, shared by both load programs. */
#ifndef FAIRLEAD_BENCH_NUMBER_H
#define FAIRLEAD_BENCH_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a whole number in minimum..maximum; with `units`, a suffix K, M or G (powers of 1024) may
 * follow. Prints what is wrong, with the limits, and returns false. */
bool parse_count(const char *option, const char *text, bool units, uint64_t minimum,
		 uint64_t maximum, uint64_t *value);

/* Reads a decimal fraction in minimum..maximum. Same reporting. */
bool parse_real(const char *option, const char *text, double minimum, double maximum,
		double *value);

/* xorshift64*: small, fast, and the same sequence for a seed everywhere. `state` must not be 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545F4914F6CDD1D);
}

/* Uniform in 0..limit-1, by multiplication instead of a division. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return (uint64_t)(((unsigned __int128)random_next(state) * limit) >> 64);
}

/* A start value for random_next that differs much for seeds that differ little (splitmix64). */
static inline uint64_t random_seed(uint64_t seed, uint64_t stream)
{
	uint64_t mixed = seed + (stream + 1) * UINT64_C(0x9E3779B97F4A7C15);

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
	mixed ^= mixed >> 31;
	return mixed ? mixed : 1;
}

#endif
