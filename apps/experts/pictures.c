/* pictures.c - pictures of what an expert takes: the patches with the largest gates, one of
 * an image, with what surrounds them; and the images most of whose patches it takes, the
 * other patches darkened. Free to change: all that a reader sees. */
#include "apps/experts/internal.h"

#include <string.h>

/* The place in list [count], best first, that rank deserves; count: none. Equal ones
 * stay. */
static size_t place_of(const app_study_shot *list, size_t count, float rank)
{
    size_t at = count;

    while (at > 0 && rank > list[at - 1].rank)
        at--;
    return at;
}

/* A new one at list[at] [count] with room for so many bytes: the last one falls out, its
 * memory is used again. */
static app_study_shot *insert(app_study_shot *list, size_t count, size_t at, float rank,
                              uint32_t sample, size_t bytes)
{
    unsigned char *spare = list[count - 1].pixels;

    memmove(list + at + 1, list + at, (count - 1 - at) * sizeof *list);
    list[at] = (app_study_shot){
        .rank = rank, .sample = sample, .pixels = spare ? spare : app_take(NULL, bytes, 1)};
    return &list[at];
}

/* Where a stretch of three patches begins that holds this one in its middle, if the border
 * allows. */
static size_t context_of(size_t at, size_t rows)
{
    const size_t most = rows > 3 ? rows - 3 : 0;
    const size_t from = at > 0 ? at - 1 : 0;

    return from < most ? from : most;
}

static void patch_cut(app_study_shot *out, const app_study *s, const data_image *picture,
                      size_t patch)
{
    const size_t p = (size_t)s->network.config->patch;
    const size_t rows = s->network.size / p, n = picture->channels;
    const size_t x = context_of(patch % rows, rows) * p;
    const size_t y = context_of(patch / rows, rows) * p;

    out->patch = (uint32_t)patch;
    out->left = (uint32_t)(patch % rows * p - x);
    out->top = (uint32_t)(patch / rows * p - y);
    for (size_t r = 0; r < s->shot_side; r++)
        memcpy(out->pixels + r * s->shot_side * n,
               picture->pixels + ((y + r) * picture->width + x) * n, s->shot_side * n);
}

/* The whole picture made smaller by whole numbers; patches outside taken [patches] at a
 * third of their light. */
static void example_cut(app_study_shot *out, const app_study *s, const data_image *picture,
                        const bool *taken)
{
    const size_t p = (size_t)s->network.config->patch, n = picture->channels;
    const size_t rows = s->network.size / p, side = s->example_side;
    const size_t by = s->network.size / side;

    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            const size_t from_y = y * by, from_x = x * by;
            const bool lit = taken[from_y / p * rows + from_x / p];

            for (size_t c = 0; c < n; c++) {
                size_t sum = 0;

                for (size_t i = 0; i < by * by; i++)
                    sum += picture->pixels[((from_y + i / by) * picture->width + from_x +
                                            i % by) *
                                               n +
                                           c];
                sum /= by * by;
                out->pixels[(y * side + x) * n + c] = (unsigned char)(lit ? sum : sum / 3);
            }
        }
    }
}

/* Of one image: each expert's patch with the largest gate, and which patches it takes. */
typedef struct look {
    float gate[VIT_EXPERTS_MAX];
    uint32_t patch[VIT_EXPERTS_MAX], count[VIT_EXPERTS_MAX];
} look;

static void look_at(look *out, const app_study *s, const vit_routing *r, size_t image)
{
    const size_t first = image * r->tokens_per_image + s->tokens.first;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < s->tokens.patches; i++) {
        for (uint32_t a = r->start[first + i]; a < r->start[first + i + 1]; a++) {
            const size_t e = r->expert[a];

            if (!r->kept[a])
                continue;
            out->count[e]++;
            if (r->gate[a] > out->gate[e]) {
                out->gate[e] = r->gate[a];
                out->patch[e] = (uint32_t)i;
            }
        }
    }
}

static void taken_fill(bool *taken, const app_study *s, const vit_routing *r, size_t image,
                       size_t expert)
{
    const size_t first = image * r->tokens_per_image + s->tokens.first;

    for (size_t i = 0; i < s->tokens.patches; i++) {
        taken[i] = false;
        for (uint32_t a = r->start[first + i]; a < r->start[first + i + 1]; a++)
            taken[i] = taken[i] || (r->kept[a] && r->expert[a] == expert);
    }
}

base_status app_study_pictures(app_study *s, app_study_layer *layer, const vit_routing *r,
                               size_t image, uint32_t sample, const float *pixels,
                               data_image *picture, bool *made, base_error *err)
{
    const size_t n = (size_t)s->network.config->channels;
    base_status status = BASE_OK;
    look seen;

    look_at(&seen, s, r, image);
    for (size_t e = 0; e < s->experts && status == BASE_OK; e++) {
        app_study_shot *patches = layer->patch + e * APP_STUDY_SHOTS;
        app_study_shot *examples = layer->example + e * APP_STUDY_EXAMPLES;
        const float share = (float)seen.count[e] / (float)s->tokens.patches;
        const size_t at = place_of(patches, APP_STUDY_SHOTS, seen.gate[e]);
        const size_t on = place_of(examples, APP_STUDY_EXAMPLES, share);

        if (at == APP_STUDY_SHOTS && on == APP_STUDY_EXAMPLES)
            continue;
        if (!*made)
            status = app_network_picture(picture, &s->network, pixels, err);
        *made = true;
        if (status == BASE_OK && at < APP_STUDY_SHOTS)
            patch_cut(insert(patches, APP_STUDY_SHOTS, at, seen.gate[e], sample,
                             s->shot_side * s->shot_side * n),
                      s, picture, seen.patch[e]);
        if (status != BASE_OK || on == APP_STUDY_EXAMPLES)
            continue;
        taken_fill(s->taken, s, r, image, e);
        example_cut(insert(examples, APP_STUDY_EXAMPLES, on, share, sample,
                           s->example_side * s->example_side * n),
                    s, picture, s->taken);
    }
    return status;
}

/* A line of one pixel around a square, light and dark by turns: seen on any picture. */
static void frame_draw(data_image *image, size_t left, size_t top, size_t side)
{
    for (size_t i = 0; i < side; i++) {
        const size_t at[4][2] = {{left + i, top},
                                 {left + i, top + side - 1},
                                 {left, top + i},
                                 {left + side - 1, top + i}};

        for (int edge = 0; edge < 4; edge++)
            memset(image->pixels +
                       (at[edge][1] * image->width + at[edge][0]) * image->channels,
                   i % 4 < 2 ? 255 : 0, image->channels);
    }
}

base_status app_study_picture(data_image *out, const app_study *s,
                              const app_study_shot *shot, bool framed, base_error *err)
{
    enum { SIDE = 72 }; /* about */
    const size_t from = framed ? s->shot_side : s->example_side;
    const size_t by = SIDE > from ? SIDE / from : 1;
    const size_t n = (size_t)s->network.config->channels;
    const base_status status = data_image_reserve(out, from * by, from * by, n, err);

    if (status != BASE_OK)
        return status;
    for (size_t y = 0; y < from * by; y++)
        for (size_t x = 0; x < from * by; x++)
            memcpy(out->pixels + (y * from * by + x) * n,
                   shot->pixels + (y / by * from + x / by) * n, n);
    if (framed)
        frame_draw(out, shot->left * by, shot->top * by,
                   (size_t)s->network.config->patch * by);
    return BASE_OK;
}
