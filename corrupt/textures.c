/* textures.c - frost's pictures: the originals that were handed in, or procedural ones,
 * at the scale of the preset. Made once a set, the procedural ones when a first image
 * wants frost (most sets never do). Follows Hendrycks and Dietterich 2019: the scripts
 * for small images shrink the pictures by plain bilinear interpolation, without
 * antialiasing. */
#include "corrupt/textures_internal.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct corrupt_textures {
    bool originals;
    double scale;
    pthread_mutex_t lock; /* while they are made */
    atomic_bool ready;    /* from here on all threads only read */
    corrupt_picture picture[CORRUPT_FROST_COUNT];
    unsigned char *pixels[CORRUPT_FROST_COUNT]; /* what picture points to */
};

/* Of make_tinyimagenet_c.py and make_cifar_c.py. */
static double scale_of(corrupt_preset preset)
{
    if (preset == CORRUPT_PRESET_64)
        return 0.3;
    return preset == CORRUPT_PRESET_32 ? 0.2 : 1.0;
}

static size_t scaled(size_t extent, double scale)
{
    const size_t side = (size_t)rint((double)extent * scale);

    return side > 0 ? side : 1;
}

/* The sample before a half-pixel centre, clamped, and the part of the way to the next. */
static size_t split(float *part, size_t i, size_t extent, double step)
{
    const double at = ((double)i + 0.5) * step - 0.5;
    const double kept = at > 0.0 ? at : 0.0;
    const size_t low = (size_t)kept;

    if (low + 1 >= extent) {
        *part = 0.0f;
        return extent - 1;
    }
    *part = (float)(kept - (double)low);
    return low;
}

static void shrink(unsigned char *out, size_t height, size_t width,
                   const corrupt_picture *in, double scale)
{
    for (size_t y = 0; y < height; y++) {
        float down, across;
        const size_t top = split(&down, y, in->height, 1.0 / scale);
        const size_t low = down > 0.0f ? top + 1 : top;
        for (size_t x = 0; x < width; x++) {
            const size_t left = split(&across, x, in->width, 1.0 / scale);
            const size_t right = across > 0.0f ? left + 1 : left;
            for (size_t c = 0; c < 3; c++) {
                const float a = in->pixels[(top * in->width + left) * 3 + c];
                const float b = in->pixels[(top * in->width + right) * 3 + c];
                const float d = in->pixels[(low * in->width + left) * 3 + c];
                const float e = in->pixels[(low * in->width + right) * 3 + c];
                const float upper = a + (b - a) * across, lower = d + (e - d) * across;
                out[(y * width + x) * 3 + c] =
                    (unsigned char)(upper + (lower - upper) * down + 0.5f);
            }
        }
    }
}

/* A copy of the picture at the scale into place index. */
static base_status keep(corrupt_textures *textures, size_t index,
                        const corrupt_picture *picture, base_error *err)
{
    const size_t height = scaled(picture->height, textures->scale);
    const size_t width = scaled(picture->width, textures->scale);
    unsigned char *pixels = base_alloc(height * width, 3);

    if (!pixels)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the pictures of frost");
    if (textures->scale == 1.0)
        memcpy(pixels, picture->pixels, height * width * 3);
    else
        shrink(pixels, height, width, picture, textures->scale);
    base_free(textures->pixels[index]); /* of a try that found no memory for all */
    textures->pixels[index] = pixels;
    textures->picture[index] = (corrupt_picture){pixels, height, width};
    return BASE_OK;
}

static base_status keep_procedural(corrupt_textures *textures, base_error *err)
{
    const size_t side = CORRUPT_FROST_SIDE;
    unsigned char *made = base_alloc(side * side, 3);
    base_status status = BASE_OK;

    if (!made)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the pictures of frost");
    for (size_t i = 0; i < CORRUPT_FROST_COUNT && status == BASE_OK; i++) {
        status = corrupt_frost_texture(made, i, err);
        if (status == BASE_OK)
            status = keep(textures, i, &(corrupt_picture){made, side, side}, err);
    }
    base_free(made);
    return status;
}

base_status corrupt_textures_create(corrupt_textures **out, const corrupt_config *config,
                                    base_error *err)
{
    corrupt_textures *textures = base_alloc(1, sizeof *textures);
    base_status status = BASE_OK;

    if (!textures)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the pictures of frost");
    pthread_mutex_init(&textures->lock, NULL);
    textures->scale = scale_of(config->preset);
    textures->originals = config->frost[0].pixels != NULL;
    for (size_t i = 0; textures->originals && i < CORRUPT_FROST_COUNT; i++) {
        const corrupt_texture *given = &config->frost[i];
        status = keep(textures, i,
                      &(corrupt_picture){given->pixels, given->height, given->width}, err);
        if (status != BASE_OK) {
            corrupt_textures_destroy(textures);
            return status;
        }
    }
    atomic_init(&textures->ready, textures->originals);
    *out = textures;
    return BASE_OK;
}

base_status corrupt_textures_get(corrupt_picture *out, corrupt_textures *textures,
                                 size_t index, base_error *err)
{
    base_status status = BASE_OK;

    if (!atomic_load_explicit(&textures->ready, memory_order_acquire)) {
        pthread_mutex_lock(&textures->lock);
        if (!atomic_load_explicit(&textures->ready, memory_order_relaxed)) {
            status = keep_procedural(textures, err);
            atomic_store_explicit(&textures->ready, status == BASE_OK,
                                  memory_order_release);
        }
        pthread_mutex_unlock(&textures->lock);
    }
    if (status == BASE_OK)
        *out = textures->picture[index];
    return status;
}

void corrupt_textures_destroy(corrupt_textures *textures)
{
    if (!textures)
        return;
    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++)
        base_free(textures->pixels[i]);
    pthread_mutex_destroy(&textures->lock);
    base_free(textures);
}

const char *corrupt_textures_name(const corrupt_textures *textures)
{
    return textures->originals ? "originals" : "procedural v1";
}
