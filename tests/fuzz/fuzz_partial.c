/* fuzz_partial.c - any bytes by our own JPEG decoder and by libjpeg: the same verdict and
 * the same pixels, for the whole and for a part; parts at a scale and shaped files must
 * only not crash. */
#include "data/data_internal.h"
#include "data/shape_internal.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Rows compared with those of the whole as they come. */
typedef struct checker {
    const data_image *whole;
    data_box box;
    size_t taken;
} checker;

static void check_row(void *user, const unsigned char *rgbx)
{
    checker *c = user;

    if (c->taken >= c->box.height)
        abort();
    const size_t y = c->box.top + c->taken++;
    for (size_t x = 0; c->whole && x < c->box.width; x++) {
        const unsigned char *p =
            c->whole->pixels + (y * c->whole->width + c->box.left + x) * 3;
        if (memcmp(p, rgbx + 4 * x, 3) != 0)
            abort();
    }
}

static void check_again(void *user)
{
    ((checker *)user)->taken = 0;
}

/* A part at a scale; whole: what full scale must equal, or NULL. */
static void part(data_decoder *decoder, const data_image *whole, unsigned eighths,
                 const uint8_t *bytes, size_t size, base_rng *rng)
{
    size_t width, height;
    base_error err = {0};
    decode_note note;

    if (data_decode_open(&width, &height, decoder, bytes, size, &err) == BASE_OK) {
        if (eighths < 8 && !data_decode_can_scale(decoder))
            eighths = 8;
        width = data_decode_scaled(width, eighths);
        height = data_decode_scaled(height, eighths);
        checker c = {.whole = eighths == 8 ? whole : NULL};
        c.box.left = (size_t)base_rng_below(rng, width);
        c.box.top = (size_t)base_rng_below(rng, height);
        c.box.width = 1 + (size_t)base_rng_below(rng, width - c.box.left);
        c.box.height = 1 + (size_t)base_rng_below(rng, height - c.box.top);
        const decode_want want = {.left = c.box.left,
                                  .top = c.box.top,
                                  .width = c.box.width,
                                  .height = c.box.height,
                                  .eighths = eighths,
                                  .whole = base_rng_below(rng, 2) == 1,
                                  .take = check_row,
                                  .rewind = check_again,
                                  .user = &c};
        const base_status status = data_decode_rows(&want, &note, decoder, &err);
        if (whole && eighths == 8 && (status != BASE_OK || c.taken != c.box.height))
            abort();
    }
    data_decode_close(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const data_decode_limits limits = {.max_pixels = 1 << 18,
                                              .max_file_bytes = 1 << 20};
    /* Kept, as in a loader: an image must not hurt the next. */
    static data_decoder *quick, *slow;
    static data_scratch scratch;
    static data_image a, b, shaped;
    const data_augment augment = data_loader_defaults().augment;
    const shape_rule rule = {.augment = &augment, .size = 16, .channels = 3};
    base_rng rng = base_rng_make(size, BASE_PURPOSE_TEST, size ? bytes[size / 2] : 0, 0, 0);
    data_health of_a, of_b;
    char note_a[100], note_b[100];
    base_error err = {0};
    size_t sets = 0;

    if (!slow && (data_decoder_create(&quick, &limits, &err) != BASE_OK ||
                  data_decoder_create(&slow, &limits, &err) != BASE_OK))
        return 0;
    while (data_kernels_at(sets))
        sets++;
    data_decode_choose(quick, data_kernels_at(size % sets), false);
    data_decode_choose(slow, NULL, true);
    const base_status of_quick =
        data_decode(&a, &of_a, quick, bytes, size, note_a, sizeof note_a, &err);
    const base_status of_slow =
        data_decode(&b, &of_b, slow, bytes, size, note_b, sizeof note_b, &err);
    if (of_quick != of_slow || of_a != of_b || strcmp(note_a, note_b) != 0)
        abort();
    if (of_quick == BASE_OK && (a.width != b.width || a.height != b.height ||
                                memcmp(a.pixels, b.pixels, a.width * a.height * 3) != 0))
        abort();
    /* Parts of damaged files may differ: resynchronising depends on what is read. */
    part(quick, of_quick == BASE_OK && of_a == DATA_HEALTH_OK ? &a : NULL, 8, bytes, size,
         &rng);
    part(slow, of_slow == BASE_OK && of_b == DATA_HEALTH_OK ? &b : NULL, 8, bytes, size,
         &rng);
    part(slow, NULL, 1u << base_rng_below(&rng, 3), bytes, size, &rng);
    data_shape_file(&shaped, &of_a, quick, bytes, size, &rule, &rng, &scratch, NULL, 0,
                    &err);
    return 0;
}
