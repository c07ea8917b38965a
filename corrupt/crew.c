/* crew.c - a set with one worker a thread, tried out before the work begins. */
#include "corrupt/corrupt.h"

#include <string.h>

/* A hash of the photographs: runs with others are told apart. 0: there are none. */
static uint64_t frost_key(const corrupt_texture frost[CORRUPT_FROST_COUNT])
{
    uint64_t key = 0;

    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++) {
        const size_t bytes = frost[i].width * frost[i].height * 3;
        const uint64_t sides[] = {key, frost[i].width, frost[i].height};

        if (!frost[i].pixels)
            return 0;
        key = base_key(sides, 3);
        for (size_t b = 0; b < bytes; b += sizeof(uint64_t)) {
            uint64_t words[2] = {key, 0};

            memcpy(&words[1], frost[i].pixels + b,
                   bytes - b < sizeof(uint64_t) ? bytes - b : sizeof(uint64_t));
            key = base_key(words, 2);
        }
    }
    return key;
}

base_status corrupt_crew_open(corrupt_crew *out, const corrupt_config *config,
                              size_t workers, base_error *err)
{
    corrupt_crew crew = {.preset = config->preset, .frost_key = frost_key(config->frost)};
    base_status status = corrupt_set_create(&crew.set, config, err);

    crew.worker = base_alloc(
        workers, sizeof *crew.worker); /* NOLINT(bugprone-sizeof-expression): pointers */
    if (status == BASE_OK && !crew.worker)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu workers", workers);
    while (status == BASE_OK && crew.count < workers) {
        status = corrupt_worker_create(&crew.worker[crew.count], crew.set, err);
        crew.count += status == BASE_OK;
    }
    if (status == BASE_OK)
        *out = crew;
    else
        corrupt_crew_close(&crew);
    return status;
}

base_status corrupt_crew_check(const corrupt_crew *crew, const corrupt_pair *pairs,
                               size_t count, size_t size, base_error *err)
{
    base_status status = BASE_OK;
    unsigned char *in = base_alloc(size * size, 3), *out = base_alloc(size * size, 3);

    if (in && out)
        memset(in, 128, size * size * 3);
    else
        status = base_fail(err, BASE_NO_MEMORY, "no memory for a picture of %zu x %zu",
                           size, size);
    for (size_t i = 0; i < count && status == BASE_OK; i++)
        status = corrupt_apply(crew->worker[0], out, in, size, size, pairs[i].kind,
                               pairs[i].severity, 0, err);
    base_free(in);
    base_free(out);
    return status;
}

void corrupt_crew_close(corrupt_crew *crew)
{
    for (size_t i = 0; i < crew->count; i++)
        corrupt_worker_destroy(crew->worker[i]);
    base_free(crew->worker);
    corrupt_set_destroy(crew->set);
    *crew = (corrupt_crew){0};
}
