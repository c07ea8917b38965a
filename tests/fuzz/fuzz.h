/* fuzz.h - what every fuzz target offers, to libFuzzer or to replay.c. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input of any content. Returns 0; crashes, hangs and leaks are what is looked for. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
