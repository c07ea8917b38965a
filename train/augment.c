/* augment.c - corruptions as augmentation of training. Who trains on the corruptions of the
 * benchmark must not report its mCE (Hendrycks and Dietterich 2019, section 4.1): `extra`
 * is there for training and tuning. Relied on elsewhere, for ever: the order of draws,
 * which makes a resumed run exact. */
#include "train/train_internal.h"
#include "corrupt/corrupt.h"

#include <string.h>

/* Added to the third key of BASE_PURPOSE_AUGMENT: without it the stream is the geometry's
 * (data/loader_fill.c). */
static const uint64_t choice_stream = (uint64_t)1 << 32;

struct train_augment {
    corrupt_crew crew;
    corrupt_kind kind[CORRUPT_KIND_COUNT];
    size_t kinds; /* then, with clean, one choice more that leaves the picture alone */
    bool clean;
    int severity[CORRUPT_SEVERITY_MAX];
    size_t severities;
    double probability;
    uint64_t seed;
    data_image *spare; /* [2 * crew.count]: a worker's picture before and after */
};

/* The recipe's words into a; pairs [CORRUPT_PAIRS_MAX]: all that can be drawn. */
static base_status names_read(train_augment *a, corrupt_pair *pairs, size_t *count,
                              const train_recipe *recipe, base_error *err)
{
    bool kinds[CORRUPT_KIND_COUNT] = {false};
    bool severities[CORRUPT_SEVERITY_MAX + 1] = {false};
    base_status status = corrupt_kinds_add(kinds, &a->clean, recipe->corrupt.names, err);

    if (status == BASE_OK)
        status = corrupt_severities_add(severities, recipe->corrupt.severity, err);
    if (status != BASE_OK)
        return status;
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        if (severities[s])
            a->severity[a->severities++] = s;
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++) {
        if (!kinds[k])
            continue;
        a->kind[a->kinds++] = (corrupt_kind)k;
        for (size_t s = 0; s < a->severities; s++)
            pairs[(*count)++] = (corrupt_pair){(corrupt_kind)k, a->severity[s]};
    }
    return BASE_OK;
}

base_status train_augment_create(train_augment **out, const train_recipe *recipe,
                                 size_t workers, base_error *err)
{
    corrupt_config config = corrupt_config_defaults();
    const size_t size = (size_t)recipe->config.image;
    corrupt_pair pairs[CORRUPT_PAIRS_MAX];
    size_t count = 0;

    *out = NULL;
    if (!recipe->corrupt.names[0])
        return BASE_OK;
    train_augment *a = base_alloc(1, sizeof *a);
    if (!a)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the augmentation");
    a->probability = recipe->corrupt.probability;
    a->seed = (uint64_t)recipe->train.seed;
    config.seed = a->seed;
    config.preset = corrupt_preset_of_size(size, size);
    base_status status = names_read(a, pairs, &count, recipe, err);
    if (status != BASE_OK)
        base_error_prepend(err, "recipe '%s': augment.corrupt: ", recipe->name);
    if (status == BASE_OK)
        status = corrupt_crew_open(&a->crew, &config, workers, err);
    if (status == BASE_OK && corrupt_preset_side(config.preset) != size)
        a->crew.nearest_to = size;
    if (status == BASE_OK)
        status = corrupt_crew_check(&a->crew, pairs, count, size, err);
    if (status == BASE_OK && !(a->spare = base_alloc(2 * workers, sizeof *a->spare)))
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu workers", workers);
    for (size_t w = 0; w < 2 * workers && status == BASE_OK; w++)
        status = data_image_reserve(&a->spare[w], size, size, 3, err);
    if (status == BASE_OK)
        *out = a;
    else
        train_augment_destroy(a);
    return status;
}

const struct corrupt_crew *train_augment_crew(const train_augment *augment)
{
    return &augment->crew;
}

void train_augment_destroy(train_augment *a)
{
    if (!a)
        return;
    for (size_t w = 0; a->spare && w < 2 * a->crew.count; w++)
        data_image_destroy(&a->spare[w]);
    base_free(a->spare);
    corrupt_crew_close(&a->crew);
    base_free(a);
}

base_status train_augment_alter(void *augment, size_t worker, data_image *image,
                                uint64_t epoch, uint32_t sample, uint64_t copy,
                                base_error *err)
{
    train_augment *a = augment;
    data_image *before = &a->spare[2 * worker], *after = before + 1;
    const uint64_t name[] = {epoch, sample, copy};
    const size_t bytes = image->width * image->height * image->channels;
    base_rng rng =
        base_rng_make(a->seed, BASE_PURPOSE_AUGMENT, epoch, sample, choice_stream + copy);
    const bool wanted = base_rng_uniform(&rng) < a->probability;
    const size_t choice = (size_t)base_rng_below(&rng, a->kinds + a->clean);
    const size_t severity = (size_t)base_rng_below(&rng, a->severities);

    if (!wanted || choice == a->kinds)
        return BASE_OK;
    base_status status =
        data_image_reserve(before, image->width, image->height, image->channels, err);
    if (status == BASE_OK) {
        memcpy(before->pixels, image->pixels, bytes);
        status = data_image_convert(before, 3, err);
    }
    if (status == BASE_OK)
        status = data_image_reserve(after, image->width, image->height, 3, err);
    if (status == BASE_OK)
        status = corrupt_apply(a->crew.worker[worker], after->pixels, before->pixels,
                               image->height, image->width, a->kind[choice],
                               a->severity[severity], base_key(name, 3), err);
    if (status == BASE_OK)
        status = data_image_convert(after, image->channels, err);
    if (status == BASE_OK)
        memcpy(image->pixels, after->pixels, bytes);
    return status;
}
