/* test_vit_ranks.c - one network trained by several ranks (threads here): weights, moments,
 * averages and norms have the same bits on 1, 2 and 4 ranks with four lanes, for every
 * router and all that draws, repeats and clips. */
#include <math.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_peers.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/shards_internal.h"

enum { LANES = 4, PARTS = 8, STEPS = 5, PART = 3, BUCKET = 3000 };

typedef struct rank_case {
    const char *name;
    const char *layers, *router;
    const char *options[3][2];
    int k;
    double capacity, dropout, expert_dropout, drop_path;
    bool bpr;
    int group_images;
    vit_precision precision;
    vit_recompute recompute;
    vit_loss loss;
    vit_optimizer_kind optimizer;
    size_t bad_part; /* of step 2, from 1: its gradients are not finite */
    bool twice;      /* every part runs backward twice, as adversarial training does */
} rank_case;

static const rank_case cases[] = {
    {.name = "dense, drop path, sgd",
     .layers = "none",
     .router = "softmax",
     .k = 1,
     .dropout = 0.2,
     .drop_path = 0.4,
     .optimizer = VIT_OPTIMIZER_SGD},
    {.name = "ssr, half of the steps",
     .layers = "0,1,2",
     .router = "ssr",
     .options = {{"p", "0.5"}, {"noise", "0.5"}},
     .k = 2},
    {.name = "vmoe, capacity with priorities, all that drops, twice",
     .layers = "0,2",
     .router = "vmoe",
     .k = 2,
     .capacity = 1.05,
     .bpr = true,
     .dropout = 0.1,
     .expert_dropout = 0.2,
     .drop_path = 0.3,
     .twice = true},
    {.name = "softmax, groups, blocks again, sigmoid",
     .layers = "every:2",
     .router = "softmax",
     .k = 2,
     .capacity = 0.8,
     .group_images = 1,
     .recompute = VIT_RECOMPUTE_BLOCK,
     .loss = VIT_LOSS_SIGMOID},
    {.name = "softmax, attention again, bf16",
     .layers = "every:2",
     .router = "softmax",
     .k = 2,
     .recompute = VIT_RECOMPUTE_ATTENTION,
     .precision = VIT_PRECISION_BF16},
    {.name = "a part is not finite",
     .layers = "1",
     .router = "loss-free",
     .k = 2,
     .bad_part = 6},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* What a rank ends with. */
typedef struct outcome {
    const rank_case *c;
    size_t lanes;   /* of this rank */
    float *weights; /* [floats] */
    float *state;   /* [3, floats] first, second, ema, whole, on rank 0 */
    float *mean;    /* [floats] ema, gathered on every rank */
    double norm[STEPS];
    bool skipped[STEPS];
    size_t floats;
    size_t spare_allocations; /* made by the last three steps */
    size_t updates;           /* steps that were not skipped */
} outcome;

static vit_model *model_of(const rank_case *c)
{
    vit_config config = slope_config();

    config.dropout = c->dropout;
    config.drop_path = c->drop_path;
    config.moe.k = c->k;
    config.moe.capacity = c->capacity;
    config.moe.bpr = c->bpr;
    config.moe.dropout = c->expert_dropout;
    config.moe.group_images = c->group_images;
    return slope_model_routed(&config, c->layers, c->router, c->options);
}

static vit_optimizer_config optimizer_of(const rank_case *c)
{
    return (vit_optimizer_config){.kind = c->optimizer,
                                  .beta1 = 0.9,
                                  .beta2 = 0.99,
                                  .eps = 1e-8,
                                  .momentum = 0.9,
                                  .weight_decay = 0.05,
                                  .clip = 0.5,
                                  .ema = 0.7};
}

/* One part of a step, by its number in the whole step. */
static void part_run(const rank_case *c, vit_run *run, vit_optimizer *optimizer,
                     uint64_t step, size_t part, bool last, bool *finite)
{
    float images[PART * SLOPE_FLOATS], logits[PART * SLOPE_CLASSES],
        targets[PART * SLOPE_CLASSES] = {0}, d[PART * SLOPE_CLASSES];
    const vit_step at = {.seed = 3,
                         .step = step,
                         .steps = STEPS,
                         .first_sample = part * PART,
                         .loss_scale = 1.0 / PARTS};

    slope_fill(images, PART * SLOPE_FLOATS, 1 + step * PARTS + part);
    for (size_t i = 0; i < PART; i++)
        targets[i * SLOPE_CLASSES + (step + part + i) % SLOPE_CLASSES] = 1;
    ck_assert_int_eq(vit_run_forward(run, logits, images, PART, &at, NULL), BASE_OK);
    vit_loss_compute(c->loss, d, NULL, logits, targets, PART, SLOPE_CLASSES, 1.0 / PARTS);
    if (step == 2 && part + 1 == c->bad_part)
        *finite = false;
    if (!*finite)
        return;
    if (c->twice)
        ck_assert_int_eq(vit_run_backward(run, NULL, d, NULL), BASE_OK);
    if (last)
        vit_run_hand_over(run, optimizer);
    ck_assert_int_eq(vit_run_backward(run, NULL, d, NULL), BASE_OK);
}

static void step_run(outcome *o, const vit_peers *peers, vit_model *model, vit_run *run,
                     vit_optimizer *optimizer, uint64_t step, bool hands_over)
{
    const size_t parts = PARTS / peers->ranks, per_lane = parts / o->lanes;
    vit_optimizer_result result = {0};
    base_error err = {0};
    bool finite = true;

    for (size_t i = 0; i < parts; i++) {
        if (i % per_lane == 0)
            vit_run_gradients_zero(run);
        part_run(o->c, run, optimizer, step, peers->rank * parts + i,
                 hands_over && i + 1 == parts, &finite);
        if ((i + 1) % per_lane == 0)
            vit_optimizer_lane_end(optimizer, run);
    }
    ck_assert_msg(vit_optimizer_step_among(&result, optimizer, model, run,
                                           0.01 * (double)(step + 1), finite,
                                           &err) == BASE_OK,
                  "%s", err.text);
    if (!result.skipped)
        vit_optimizer_state_step(optimizer, model, run,
                                 &(vit_step){.step = step, .steps = STEPS});
    if (!result.skipped)
        vit_optimizer_share(optimizer, model);
    o->norm[step] = result.grad_norm;
    o->skipped[step] = result.skipped;
    o->updates += !result.skipped;
}

/* What this rank has sent after all steps, to the byte: gradients of others' floats, own
 * weights and sums of squares to each. */
static void bytes_check(const outcome *o, const vit_peers *peers, const vit_model *model)
{
    const mesh_counts counts = mesh_counted(((peer_rank *)peers->user)->mesh);
    const size_t others = peers->ranks - 1;
    size_t own = 0, chunks = 0;
    vit_shards *s = NULL;

    ck_assert_int_eq(vit_shards_create(&s, model, peers->rank, peers->ranks, BUCKET, NULL),
                     BASE_OK);
    for (size_t b = 0; b < s->buckets; b++)
        own += vit_shards_cut(s, b)[s->rank + 1] - vit_shards_cut(s, b)[s->rank];
    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        size_t place;
        for (size_t at = 0; at < p->count; at += VIT_CHUNK)
            chunks += vit_shards_owner(&place, s, p->offset + at) == s->rank;
    }
    vit_shards_destroy(s);
    ck_assert_uint_eq(counts.kind[MESH_KIND_EXCHANGE].sent,
                      STEPS * sizeof(float) * (o->floats - own));
    ck_assert_uint_eq(counts.kind[MESH_KIND_GATHER].sent,
                      others * (o->updates * sizeof(float) * own +
                                STEPS * sizeof(double) * (chunks + 1)));
}

/* All of the state to rank 0, as a checkpoint takes it. */
static void state_keep(outcome *o, const vit_peers *peers, vit_optimizer *optimizer)
{
    vit_tensor tensors[8];
    size_t count = 8;
    float *to = o->state;
    base_error err = {0};

    ck_assert_int_eq(vit_optimizer_state(optimizer, tensors, &count, &err), BASE_OK);
    for (size_t i = 0; i < count && peers->rank == 0; i++) {
        if (strcmp(tensors[i].type, "F32") != 0)
            continue;
        if (tensors[i].data)
            memcpy(to, tensors[i].data, o->floats * sizeof *to);
        else
            ck_assert_msg(vit_optimizer_fill(optimizer, tensors[i].name, to, 0,
                                             o->floats * sizeof *to, &err) == BASE_OK,
                          "%s", err.text);
        to += o->floats;
    }
    ck_assert_msg(vit_optimizer_follow(optimizer, &err) == BASE_OK, "%s", err.text);
}

static void rank_run(void *user, const vit_peers *peers)
{
    outcome *o = user;
    vit_model *model = model_of(o->c);
    const vit_optimizer_config config = optimizer_of(o->c);
    vit_optimizer *optimizer = NULL;
    vit_run *run = NULL;
    base_error err = {0};
    const vit_run_options options = {
        .mode = VIT_MODE_TRAIN, .precision = o->c->precision, .recompute = o->c->recompute};
    uint64_t before = 0;

    o->floats = vit_model_floats(model);
    o->weights = base_alloc(o->floats, sizeof(float));
    o->state = base_alloc(3 * o->floats, sizeof(float));
    o->mean = base_alloc(o->floats, sizeof(float));
    ck_assert_msg(vit_optimizer_create_among(&optimizer, model, &config, peers, o->lanes,
                                             &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_msg(vit_run_create_options(&run, model, PART, &options, &err) == BASE_OK,
                  "%s", err.text);
    for (uint64_t step = 0; step < STEPS; step++) {
        if (step == 2)
            before = base_alloc_count();
        step_run(o, peers, model, run, optimizer, step, step != 3);
    }
    o->spare_allocations = (size_t)(base_alloc_count() - before);
    ck_assert_int_eq(vit_optimizer_shared(optimizer, NULL), BASE_OK);
    memcpy(o->weights, vit_model_weights_const(model), o->floats * sizeof(float));
    if (peers->ranks > 1)
        bytes_check(o, peers, model);
    state_keep(o, peers, optimizer);
    ck_assert_int_eq(vit_optimizer_ema_gather(o->mean, optimizer, NULL), BASE_OK);
    vit_run_destroy(run);
    vit_optimizer_destroy(optimizer);
    vit_model_destroy(model);
}

/* lanes: of each rank. On two ranks weights come late. */
static void ranks_run(outcome *out, const rank_case *c, size_t ranks, size_t lanes)
{
    void *user[PEERS_MOST];

    memset(out, 0, ranks * sizeof *out);
    for (size_t r = 0; r < ranks; r++) {
        out[r].c = c;
        out[r].lanes = lanes;
        user[r] = &out[r];
    }
    peers_run(ranks, BUCKET, ranks == 2, rank_run, user);
}

static void outcomes_free(outcome *out, size_t ranks)
{
    for (size_t r = 0; r < ranks; r++) {
        base_free(out[r].weights);
        base_free(out[r].state);
        base_free(out[r].mean);
    }
}

static void check_equal(const outcome *a, const outcome *b, size_t ranks)
{
    for (size_t r = 0; r < ranks; r++) {
        ck_assert_msg(memcmp(a->weights, b[r].weights, a->floats * sizeof(float)) == 0,
                      "%s: rank %zu of %zu has other weights", a->c->name, r, ranks);
        ck_assert_msg(memcmp(a->mean, b[r].mean, a->floats * sizeof(float)) == 0,
                      "%s: rank %zu of %zu has other averages", a->c->name, r, ranks);
        for (size_t s = 0; s < STEPS; s++) {
            ck_assert_int_eq(a->skipped[s], b[r].skipped[s]);
            ck_assert_msg(a->skipped[s] ||
                              memcmp(&a->norm[s], &b[r].norm[s], sizeof a->norm[s]) == 0,
                          "%s: step %zu has another norm", a->c->name, s);
        }
    }
    ck_assert_msg(memcmp(a->state, b[0].state, 3 * a->floats * sizeof(float)) == 0,
                  "%s: %zu ranks have another state", a->c->name, ranks);
}

/* Whatever the number of ranks, and again. */
static void check_case(const rank_case *c)
{
    outcome one, more[PEERS_MOST];

    ranks_run(&one, c, 1, LANES);
    ck_assert_int_eq(one.skipped[2], c->bad_part > 0);
    for (size_t ranks = 2; ranks <= 4; ranks *= 2) {
        ranks_run(more, c, ranks, LANES / ranks);
        check_equal(&one, more, ranks);
        outcomes_free(more, ranks);
    }
    outcomes_free(&one, 1);
}

START_TEST(ranks_end_with_the_same_bits)
{
    if (cases[_i].precision == VIT_PRECISION_BF16 && !vit_bf16_available())
        return;
    check_case(&cases[_i]);
}
END_TEST

static size_t router_count(void)
{
    size_t count = 0;

    while (vit_router_name(count))
        count++;
    return count;
}

START_TEST(every_router_ends_with_the_same_bits)
{
    const rank_case c = {.name = vit_router_name((size_t)_i),
                         .layers = "0,1,2",
                         .router = vit_router_name((size_t)_i),
                         .k = vit_router_uses_k(vit_router_name((size_t)_i)) ? 2 : 1};

    check_case(&c);
}
END_TEST

START_TEST(three_ranks_repeat_to_the_bit_and_are_near)
{
    const rank_case c = {.name = "three",
                         .layers = "1",
                         .router = "softmax",
                         .k = 2,
                         .optimizer = VIT_OPTIMIZER_SGD};
    outcome one, first[3], again[3];
    float most = 0, apart = 0;

    /* six of the eight parts: two a rank, against one rank that has them in one lane */
    ranks_run(first, &c, 3, 1);
    ranks_run(again, &c, 3, 1);
    check_equal(&first[0], again, 3);
    for (size_t r = 1; r < 3; r++)
        ck_assert_mem_eq(first[0].weights, first[r].weights,
                         first[0].floats * sizeof(float));
    ranks_run(&one, &c, 1, 1);
    outcomes_free(&one, 1);
    ranks_run(&one, &c, 1, LANES);
    outcome plain;
    ranks_run(&plain, &c, 1, 1);
    for (size_t i = 0; i < one.floats; i++) {
        most = fmaxf(most, fabsf(one.weights[i]));
        apart = fmaxf(apart, fabsf(one.weights[i] - plain.weights[i]));
    }
    ck_assert(apart <= 1e-5f * most);
    outcomes_free(&one, 1);
    outcomes_free(&plain, 1);
    outcomes_free(first, 3);
    outcomes_free(again, 3);
}
END_TEST

/* ---- lanes on one rank --------------------------------------------------------------- */

START_TEST(one_lane_is_the_optimiser_as_it_was)
{
    const rank_case *c = &cases[2];
    vit_model *model = model_of(c);
    const vit_optimizer_config config = optimizer_of(c);
    vit_optimizer *optimizer = NULL;
    vit_run *run = NULL;
    outcome one;

    omp_set_num_threads(1);
    ranks_run(&one, c, 1, 1);
    ck_assert_uint_eq(one.spare_allocations, 0);
    ck_assert_int_eq(vit_optimizer_create(&optimizer, model, &config, NULL), BASE_OK);
    ck_assert_int_eq(
        vit_run_create(&run, model, PART, VIT_MODE_TRAIN, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    for (uint64_t step = 0; step < STEPS; step++) {
        bool finite = true;
        vit_run_gradients_zero(run);
        for (size_t part = 0; part < PARTS; part++)
            part_run(c, run, optimizer, step, part, false, &finite);
        const vit_optimizer_result result = vit_optimizer_step(
            optimizer, model, vit_run_gradients(run), 0.01 * (double)(step + 1));
        ck_assert_double_eq(result.grad_norm, one.norm[step]);
    }
    ck_assert_mem_eq(one.weights, vit_model_weights_const(model),
                     one.floats * sizeof(float));
    ck_assert_mem_eq(one.state + 2 * one.floats, vit_optimizer_ema(optimizer),
                     one.floats * sizeof(float));
    ck_assert_mem_eq(one.mean, vit_optimizer_ema(optimizer), one.floats * sizeof(float));
    outcomes_free(&one, 1);
    vit_run_destroy(run);
    vit_optimizer_destroy(optimizer);
    vit_model_destroy(model);
}
END_TEST

/* Three numbers whose sum tells the order: (1 + 2^24) + -2^24 is 0 in fp32, 1 + (2^24 -
 * 2^24) is 1. */
START_TEST(the_tree_adds_halves_by_halves)
{
    const float big = 16777216.0f;
    const float a[] = {1.0f, 1.0f}, b[] = {big, 1.0f}, c[] = {-big, 1.0f},
                d[] = {1.0f, 1.0f};
    const float *const from[] = {a, b, c, d};
    float sum[2];

    vit_tree_sum(sum, from, 1, 2);
    ck_assert_mem_eq(sum, a, sizeof sum);
    vit_tree_sum(sum, from, 3, 2); /* (1 + 2^24) - 2^24 */
    ck_assert_double_eq((double)sum[0], (double)(0.0f));
    ck_assert_double_eq((double)sum[1], (double)(3.0f));
    vit_tree_sum(sum, from, 4, 2); /* 2^24 + (1 - 2^24) */
    ck_assert_double_eq((double)sum[0], (double)(1.0f));
    ck_assert_double_eq((double)sum[1], (double)(4.0f));
    vit_tree_sum(sum, (const float *const[]){sum, b, sum, c}, 4, 2); /* in place */
    ck_assert_double_eq((double)sum[0], (double)((1.0f + big) + (1.0f - big)));
}
END_TEST

/* ---- shares -------------------------------------------------------------------------- */

START_TEST(every_chunk_has_one_owner)
{
    vit_model *model = model_of(&cases[1]);

    for (size_t ranks = 1; ranks <= 8; ranks++) {
        size_t floats = 0, most = 0;

        for (size_t rank = 0; rank < ranks; rank++) {
            vit_shards *s = NULL;
            ck_assert_int_eq(vit_shards_create(&s, model, rank, ranks, BUCKET, NULL),
                             BASE_OK);
            ck_assert_uint_gt(s->buckets, 2);
            ck_assert_uint_eq(vit_shards_cut(s, 0)[ranks], vit_model_floats(model));
            for (size_t b = 0; b < s->buckets; b++) {
                const size_t *cut = vit_shards_cut(s, b);
                ck_assert_uint_eq(cut[0],
                                  b + 1 < s->buckets ? vit_shards_cut(s, b + 1)[ranks] : 0);
                for (size_t r = 0; r < ranks; r++) {
                    size_t place;
                    ck_assert_uint_le(cut[r], cut[r + 1]);
                    if (cut[r] == cut[r + 1])
                        continue;
                    ck_assert_uint_eq(vit_shards_owner(&place, s, cut[r]), r);
                    ck_assert_uint_eq(vit_shards_owner(&place, s, cut[r + 1] - 1), r);
                    if (r == rank)
                        ck_assert_uint_lt(place, s->owned);
                }
                floats += cut[rank + 1] - cut[rank];
            }
            most = s->owned > most ? s->owned : most;
            vit_shards_destroy(s);
        }
        ck_assert_uint_eq(floats, vit_model_floats(model));
        if (ranks == 1)
            ck_assert_uint_ge(most, floats);
    }
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_ranks");
    TCase *core = test_case_of_threads("Core");

    tcase_set_timeout(core, 300);
    tcase_add_loop_test(core, ranks_end_with_the_same_bits, 0, CASES);
    tcase_add_loop_test(core, every_router_ends_with_the_same_bits, 0, (int)router_count());
    tcase_add_test(core, three_ranks_repeat_to_the_bit_and_are_near);
    tcase_add_test(core, one_lane_is_the_optimiser_as_it_was);
    tcase_add_test(core, the_tree_adds_halves_by_halves);
    tcase_add_test(core, every_chunk_has_one_owner);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
