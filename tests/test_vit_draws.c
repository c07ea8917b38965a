/* test_vit_draws.c - that randomness moves: masks of dropout and stochastic depth differ
 * between steps, layers, branches, experts, images and views, repeat for one key, and
 * belong to the image and not to the part of the batch it is computed in. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/run_internal.h"

enum { WIDE = 64, TOKENS = 10 /* 9 patches and the class token */ };

static base_error err;

/* Where a mask of ones is 0; what is kept is 1 / (1 - rate). */
static uint64_t zeros(const float *mask, size_t count, double rate)
{
    uint64_t hash = 0;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        ck_assert(mask[i] == 0.0f ||
                  fabs((double)mask[i] - 1 / (1 - rate)) < 1e-6 / (1 - rate));
        kept += mask[i] != 0.0f;
        hash = base_key((const uint64_t[]){hash, mask[i] != 0.0f}, 2);
    }
    ck_assert_uint_gt(kept, 0);
    ck_assert_uint_lt(kept, count);
    return hash;
}

static uint64_t mask_at(uint64_t seed, uint64_t step, uint64_t site, uint64_t token)
{
    float ones[2 * WIDE];

    for (size_t i = 0; i < 2 * WIDE; i++)
        ones[i] = 1;
    vit_dropout(vit_kernels_fp32(), ones, sizeof *ones, 2, WIDE, 0.25,
                &(vit_step){.seed = seed, .step = step}, site, token);
    return zeros(ones, 2 * WIDE, 0.25);
}

START_TEST(dropout_hangs_on_each_part_of_its_key)
{
    const uint64_t mask = mask_at(1, 2, 3, 4);

    ck_assert_uint_eq(mask_at(1, 2, 3, 4), mask);
    ck_assert_uint_ne(mask_at(2, 2, 3, 4), mask);
    ck_assert_uint_ne(mask_at(1, 3, 3, 4), mask);
    ck_assert_uint_ne(mask_at(1, 2, 4, 4), mask);
    ck_assert_uint_ne(mask_at(1, 2, 3, 6), mask);
}
END_TEST

/* 40000 numbers, rate 0.25: 30000 are kept, standard deviation 87. Rows have masks of their
 * own, and every place of a row is dropped in some of them. */
START_TEST(dropout_leaves_the_share_that_is_asked_for)
{
    static float ones[100 * 400];
    size_t kept = 0;

    for (size_t i = 0; i < 100 * 400; i++)
        ones[i] = 1;
    vit_dropout(vit_kernels_fp32(), ones, sizeof(float), 100, 400, 0.25,
                &(vit_step){.seed = 5}, 0, 0);
    for (size_t i = 0; i < 100 * 400; i++)
        kept += ones[i] != 0.0f;
    ck_assert_uint_gt(kept, 30000 - 500);
    ck_assert_uint_lt(kept, 30000 + 500);
    for (size_t i = 0; i < 400; i++) {
        size_t rows = 0;
        for (size_t r = 0; r < 100; r++)
            rows += ones[r * 400 + i] == 0.0f;
        ck_assert_uint_gt(rows, 0);
        ck_assert_uint_lt(rows, 100);
    }
    for (size_t r = 1; r < 100; r++)
        ck_assert_mem_ne(ones + r * 400, ones, 400 * sizeof *ones);
}
END_TEST

/* ---- in a network -------------------------------------------------------------------- */

static vit_config dropping(const char *router, const char *layers)
{
    vit_config config = slope_config();

    config.dropout = 0.3;
    config.drop_path = 0.4;
    config.moe.dropout = 0.3;
    config.moe.k = 2;
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, NULL), BASE_OK);
    ck_assert_int_eq(vit_config_layers_set(&config, layers, NULL), BASE_OK);
    return config;
}

static void go(vit_run *run, size_t count, uint64_t seed, uint64_t step, uint64_t first)
{
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float logits[SLOPE_BATCH * SLOPE_CLASSES];
    const vit_step at = {.seed = seed, .step = step, .first_sample = first};

    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    ck_assert_msg(vit_run_forward(run, logits, images + first * SLOPE_FLOATS, count, &at,
                                  &err) == BASE_OK,
                  "%s", err.text);
}

static vit_run *training(vit_model *model, size_t batch)
{
    vit_run *run = NULL;

    ck_assert_msg(vit_run_create(&run, model, batch, VIT_MODE_TRAIN, VIT_PRECISION_FP32,
                                 &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

/* The mask that a branch of block i puts on an image of the pass that was just made,
 * without stochastic depth. */
static uint64_t branch_mask(const vit_run *run, size_t i, uint64_t site, size_t image)
{
    const size_t d = (size_t)run->config.width;
    float ones[TOKENS * 24];

    ck_assert_uint_eq(run->tokens_per_image, TOKENS);
    ck_assert_uint_eq(d, 24);
    for (size_t j = 0; j < TOKENS * d; j++)
        ones[j] = 1;
    run->block[i].branch_scale[site == VIT_SITE_MLP][image] = 1;
    vit_branch_regularise(ones, run, i, site, image * TOKENS, TOKENS);
    return zeros(ones, TOKENS * d, 0.3);
}

START_TEST(masks_of_branches_move_and_repeat)
{
    const vit_config config = dropping("softmax", "none");
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, SLOPE_BATCH);
    uint64_t mask[7];

    go(run, SLOPE_BATCH, 3, 4, 0);
    mask[0] = branch_mask(run, 1, VIT_SITE_MLP, 2);
    mask[1] = branch_mask(run, 1, VIT_SITE_ATTENTION, 2);
    mask[2] = branch_mask(run, 2, VIT_SITE_MLP, 2);
    mask[3] = branch_mask(run, 1, VIT_SITE_MLP, 3);
    go(run, SLOPE_BATCH, 3, 5, 0);
    mask[4] = branch_mask(run, 1, VIT_SITE_MLP, 2);
    go(run, SLOPE_BATCH, 4, 4, 0);
    mask[5] = branch_mask(run, 1, VIT_SITE_MLP, 2);
    go(run, 2, 3, 4, 2); /* another part: the image has the mask that it has in the whole */
    ck_assert_uint_eq(branch_mask(run, 1, VIT_SITE_MLP, 0), mask[0]);
    ck_assert_uint_eq(branch_mask(run, 1, VIT_SITE_MLP, 1), mask[3]);
    mask[6] = branch_mask(run, 1, VIT_SITE_ATTENTION, 1);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(mask[i], mask[j]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* What enters the first block is 0 where the embedding was dropped. */
static uint64_t embedded(const vit_run *run, size_t image)
{
    const float *x = run->block[0].x + image * TOKENS * (size_t)run->config.width;
    uint64_t hash = 0;

    for (size_t i = 0; i < TOKENS * (size_t)run->config.width; i++)
        hash = base_key((const uint64_t[]){hash, x[i] != 0.0f}, 2);
    return hash;
}

START_TEST(masks_of_the_embedding_move_and_repeat)
{
    const vit_config config = dropping("softmax", "none");
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, SLOPE_BATCH);

    go(run, SLOPE_BATCH, 3, 4, 0);
    const uint64_t mask = embedded(run, 2);
    ck_assert_uint_ne(embedded(run, 3), mask);
    go(run, SLOPE_BATCH, 3, 5, 0);
    ck_assert_uint_ne(embedded(run, 2), mask);
    go(run, 2, 3, 4, 2);
    ck_assert_uint_eq(embedded(run, 0), mask);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* The mask on what an expert gives for a token (of the second view from run->tokens on);
 * which: the first expert of the token, the second. */
static uint64_t expert_mask(const vit_run *run, size_t i, size_t token, int which)
{
    const vit_block_state *s = &run->block[i];
    const size_t d = (size_t)run->config.width;
    uint64_t hash = 0;
    int met = 0;

    for (size_t e = 0; e < (size_t)run->config.moe.experts; e++)
        for (size_t r = s->dispatch.offset[e]; r < s->dispatch.offset[e + 1]; r++) {
            if (s->pass.out.token[s->dispatch.assignment[r]] != token || met++ != which)
                continue;
            const float *y =
                (const float *)s->rows_out + (s->place[e] + r - s->dispatch.offset[e]) * d;
            for (size_t j = 0; j < d; j++)
                hash = base_key((const uint64_t[]){hash, y[j] != 0.0f}, 2);
        }
    ck_assert_int_gt(met, which);
    return hash;
}

START_TEST(masks_of_experts_move_and_repeat)
{
    vit_config config = dropping("s2moe", "0,2");
    config.moe.dropout = 0.5;
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, SLOPE_BATCH);
    const size_t token = 2 * TOKENS + 5;
    uint64_t mask[7];

    go(run, SLOPE_BATCH, 3, 4, 0);
    mask[0] = expert_mask(run, 2, token, 0);
    mask[1] = expert_mask(run, 2, token, 1); /* another expert */
    mask[2] =
        expert_mask(run, 2, run->tokens + token, 0); /* the same one, the other view */
    mask[3] = expert_mask(run, 0, token, 0);
    mask[4] = expert_mask(run, 2, token + 1, 0);
    go(run, SLOPE_BATCH, 3, 5, 0);
    mask[5] = expert_mask(run, 0, token, 0);
    go(run, 2, 3, 4, 2);
    ck_assert_uint_eq(expert_mask(run, 0, 5, 0), mask[3]);
    mask[6] = expert_mask(run, 0, run->tokens + 5, 0);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(mask[i] != mask[j], "%zu and %zu", i, j);
    go(run, SLOPE_BATCH, 3, 4, 0);
    ck_assert_uint_eq(expert_mask(run, 0, run->tokens + token, 0), mask[6]);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* Seed 3, step 4: the mask of a site's key on rows of d numbers from a token on. */
static uint64_t drawn(uint64_t site, size_t first, size_t rows, size_t d, double rate)
{
    float ones[TOKENS * 24];

    ck_assert_uint_le(rows * d, TOKENS * 24);
    for (size_t j = 0; j < rows * d; j++)
        ones[j] = 1;
    vit_dropout(vit_kernels_fp32(), ones, sizeof *ones, rows, d, rate,
                &(vit_step){.seed = 3, .step = 4}, site, first);
    return zeros(ones, rows * d, rate);
}

/* The keys are part of every result: a resumed run, or another release, draws the same. */
START_TEST(masks_are_those_of_their_keys)
{
    vit_config config = dropping("s2moe", "1,2"); /* block 0 has no second view */
    config.moe.dropout = 0.5;
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, SLOPE_BATCH);
    const size_t token = 2 * TOKENS + 5, d = (size_t)config.width;
    uint64_t least = VIT_EXPERTS_MAX;

    go(run, 2, 3, 4, 2);
    ck_assert_uint_eq(embedded(run, 1), drawn(VIT_SITE_EMBED, 3 * TOKENS, TOKENS, d, 0.3));
    ck_assert_uint_eq(branch_mask(run, 2, VIT_SITE_ATTENTION, 1),
                      drawn(8 * 2 + VIT_SITE_ATTENTION, 3 * TOKENS, TOKENS, d, 0.3));
    ck_assert_uint_eq(branch_mask(run, 1, VIT_SITE_MLP, 1),
                      drawn(8 * 1 + VIT_SITE_MLP, 3 * TOKENS, TOKENS, d, 0.3));
    go(run, SLOPE_BATCH, 3, 4, 0);
    const vit_router_out *out = &run->block[2].pass.out;
    for (size_t a = 0; a < out->count; a++)
        if (out->token[a] == token && out->expert[a] < least)
            least = out->expert[a];
    ck_assert_uint_eq(
        expert_mask(run, 2, token, 0),
        drawn(8 * 2 + VIT_SITE_EXPERT + 1024 * (1 + least), token, 1, d, 0.5));
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- stochastic depth ---------------------------------------------------------------- */

START_TEST(depth_is_dropped_more_often_further_up)
{
    vit_config config = slope_config();
    size_t dropped = 0;

    config.depth = 5;
    config.drop_path = 0.4;
    for (size_t i = 0; i < 5; i++)
        ck_assert_double_eq_tol(vit_drop_path_rate(&config, i), 0.1 * (double)i, 1e-12);
    config.depth = 1;
    ck_assert_double_eq(vit_drop_path_rate(&config, 0), 0);
    /* 10000 draws at 0.4: standard deviation 49 */
    for (uint64_t image = 0; image < 10000; image++) {
        const float scale = vit_drop_path(0.4, &(vit_step){.seed = 1}, 2, image);
        ck_assert(scale == 0.0f || fabs((double)scale - 1 / 0.6) < 1e-6);
        dropped += scale == 0.0f;
    }
    ck_assert_uint_gt(dropped, 4000 - 300);
    ck_assert_uint_lt(dropped, 4000 + 300);
}
END_TEST

/* 64 images: the pattern of a branch is another for every key. */
START_TEST(stochastic_depth_moves_and_repeats)
{
    static const uint64_t key[][3] = {{1, 2, 3}, {2, 2, 3}, {1, 3, 3}, {1, 2, 4}};
    uint64_t pattern[4] = {0}, again = 0, shifted = 0;

    for (size_t k = 0; k < 4; k++)
        for (uint64_t image = 0; image < 64; image++)
            pattern[k] |=
                (uint64_t)(vit_drop_path(0.5,
                                         &(vit_step){.seed = key[k][0], .step = key[k][1]},
                                         key[k][2], image) > 0)
                << image;
    for (uint64_t image = 0; image < 64; image++) {
        const vit_step step = {.seed = 1, .step = 2};
        again |= (uint64_t)(vit_drop_path(0.5, &step, 3, image) > 0) << image;
        shifted |= (uint64_t)(vit_drop_path(0.5, &step, 3, image + 64) > 0) << image;
    }
    ck_assert_uint_eq(again, pattern[0]);
    ck_assert_uint_ne(shifted, pattern[0]);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(pattern[i], pattern[j]);
}
END_TEST

/* What is drawn for a pass: by block, branch and place in the step's batch; nothing outside
 * training. */
START_TEST(scales_of_a_pass_are_those_of_its_keys)
{
    const vit_config config = dropping("softmax", "none");
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, SLOPE_BATCH), *still = NULL;

    go(run, 4, 3, 4, 2);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++)
            for (size_t b = 0; b < 4; b++) {
                const vit_step step = {.seed = 3, .step = 4};
                const float want =
                    i == 0 ? 1
                           : vit_drop_path(0.2 * (double)i, &step,
                                           8 * i + (j ? VIT_SITE_MLP : VIT_SITE_ATTENTION),
                                           2 + b);
                ck_assert(run->block[i].branch_scale[j][b] == want);
            }
    ck_assert_int_eq(vit_run_create(&still, model, SLOPE_BATCH, VIT_MODE_INPUT_GRADIENT,
                                    VIT_PRECISION_FP32, &err),
                     BASE_OK);
    go(still, SLOPE_BATCH, 3, 4, 0);
    for (size_t b = 0; b < SLOPE_BATCH; b++)
        ck_assert(still->block[2].branch_scale[0][b] == 1.0f);
    vit_run_destroy(still);
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

/* ---- groups and views ---------------------------------------------------------------- */

/* With a second view of the tokens and a capacity, a group of two images and what is left
 * are each what they are alone: neither takes places of the other, in neither view. */
START_TEST(groups_do_not_meet_in_either_view)
{
    static const size_t first[] = {0, 0, 2}, count[] = {3, 2, 1};
    vit_config config = dropping("s2moe", "0,2");
    float images[SLOPE_BATCH * SLOPE_FLOATS], logits[3][3 * SLOPE_CLASSES];
    size_t dropped[3] = {0};

    config.moe.group_images = 2;
    config.moe.capacity = 0.8;
    config.moe.capacity_multiple = 1;
    vit_model *model = slope_model(&config);
    vit_run *run = training(model, 3);
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    for (size_t turn = 0; turn < 3; turn++) { /* both groups, the first, the second */
        const vit_step step = {.seed = 3, .step = 4, .first_sample = first[turn]};
        ck_assert_int_eq(vit_run_forward(run, logits[turn],
                                         images + first[turn] * SLOPE_FLOATS, count[turn],
                                         &step, &err),
                         BASE_OK);
        const vit_block_state *s = &run->block[2];
        for (size_t a = 0; a < s->pass.out.count; a++)
            dropped[turn] += !s->dispatch.kept[a];
        ck_assert_uint_gt(dropped[turn], 0);
    }
    ck_assert_uint_eq(dropped[0], dropped[1] + dropped[2]);
    for (size_t i = 0; i < 3 * SLOPE_CLASSES; i++) { /* sums of a few hundred, f32 */
        const size_t of = i / (2 * SLOPE_CLASSES);
        const float alone = logits[1 + of][i - of * 2 * SLOPE_CLASSES];
        ck_assert_double_eq_tol((double)logits[0][i], (double)alone, 1e-4);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_draws");
    TCase *core = test_case_of_threads("Core");

    tcase_add_test(core, dropout_hangs_on_each_part_of_its_key);
    tcase_add_test(core, dropout_leaves_the_share_that_is_asked_for);
    tcase_add_test(core, masks_of_branches_move_and_repeat);
    tcase_add_test(core, masks_of_the_embedding_move_and_repeat);
    tcase_add_test(core, masks_of_experts_move_and_repeat);
    tcase_add_test(core, masks_are_those_of_their_keys);
    tcase_add_test(core, depth_is_dropped_more_often_further_up);
    tcase_add_test(core, stochastic_depth_moves_and_repeats);
    tcase_add_test(core, scales_of_a_pass_are_those_of_its_keys);
    tcase_add_test(core, groups_do_not_meet_in_either_view);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
