/* compute.c - accuracy beside what was computed for it: kept assignments of every image and
 * token (Riquelme et al. 2021, "Scaling Vision with Sparse Mixture of Experts", section 4).
 * Counts in the order of the images: nothing depends on batches or threads. */
#include <stdlib.h>

#include "measure/measure.h"

base_status measure_compute_create(measure_compute *out, size_t room, size_t classes,
                                   base_error *err)
{
    measure_compute made = {.room = room};
    const base_status status = measure_score_create_small(&made.score, classes, err);

    if (status != BASE_OK)
        return status;
    made.kept = base_alloc(room, sizeof *made.kept);
    if (!made.kept) {
        measure_score_destroy(&made.score);
        return base_fail(err, BASE_NO_MEMORY, "no memory to count %zu images", room);
    }
    *out = made;
    return BASE_OK;
}

void measure_compute_destroy(measure_compute *c)
{
    measure_score_destroy(&c->score);
    base_free(c->kept);
    c->kept = NULL;
}

void measure_compute_pass(measure_compute *c, const vit_run *run, const bool *bad)
{
    for (size_t l = 0; l < vit_run_moe_count(run); l++) {
        vit_routing routing = vit_run_routing(run, l);

        routing.left_out = bad;
        vit_usage_add(&c->load[l], &routing);
    }
}

/* Kept assignments of the image; counts its tokens by the number of their experts. */
static uint32_t image_count(measure_compute *c, const vit_routing *r, size_t image)
{
    uint32_t all = 0;

    for (size_t t = image * r->tokens_per_image; t < (image + 1) * r->tokens_per_image;
         t++) {
        uint32_t kept = 0;

        for (uint32_t a = r->start[t]; a < r->start[t + 1]; a++)
            kept += r->kept[a];
        c->tokens[kept]++;
        all += kept;
    }
    return all;
}

void measure_compute_add(measure_compute *c, const vit_run *run, size_t image,
                         int32_t label, const measure_verdict *verdict)
{
    uint32_t kept = 0;

    measure_score_add(&c->score, label, verdict);
    for (size_t l = 0; verdict && l < vit_run_moe_count(run); l++) {
        const vit_routing routing = vit_run_routing(run, l);

        kept += image_count(c, &routing, image);
    }
    if (verdict && c->images < c->room)
        c->kept[c->images++] = kept;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

measure_compute_means measure_compute_summary(measure_compute *c)
{
    static const double share[MEASURE_COMPUTE_LEVELS] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    double sum = 0, made = 0, dropped = 0, tokens = 0, none = 0, counted = 0;
    measure_compute_means out = {0};

    for (size_t l = 0; l < VIT_DEPTH_MAX; l++) {
        made += c->load[l].assignments;
        dropped += c->load[l].dropped;
        tokens += c->load[l].tokens;
        none += c->load[l].orphans;
    }
    out.dropped = made > 0 ? dropped / made : 0;
    out.no_expert = tokens > 0 ? none / tokens : 0;
    for (size_t i = 0; i <= VIT_EXPERTS_MAX; i++) {
        counted += (double)c->tokens[i];
        out.most_experts = c->tokens[i] > 0 ? i : out.most_experts;
    }
    for (size_t i = 0; i <= out.most_experts && counted > 0; i++)
        out.tokens[i] = (double)c->tokens[i] / counted;
    if (c->images == 0)
        return out;
    for (size_t i = 0; i < c->images; i++)
        sum += c->kept[i];
    qsort(c->kept, c->images, sizeof *c->kept, by_value);
    out.kept = sum / (double)c->images;
    for (size_t i = 0; i < MEASURE_COMPUTE_LEVELS; i++)
        out.level[i] = c->kept[(size_t)(share[i] * (double)(c->images - 1) + 0.5)];
    return out;
}
