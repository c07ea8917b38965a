/* test_measure_figures.c - figures that reports take as they are, by hand: accuracy under
 * corruption, accuracy beside what was computed, loads and changed routing as JSON. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "measure/measure.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"

static const double exact = 1e-12; /* of sums of a few doubles */

/* ---- JSON ---------------------------------------------------------------------------- */

/* Numbers of the JSON are compared, not their digits. */
static void json_is(json_t *json, const char *text)
{
    json_t *want = json_loads(text, 0, NULL), *value, *one;
    const char *key;
    size_t i;

    ck_assert_ptr_nonnull(want);
    ck_assert_uint_eq(json_object_size(json), json_object_size(want));
    json_object_foreach(want, key, value)
    {
        const json_t *got = json_object_get(json, key);

        ck_assert_msg(got && json_typeof(got) == json_typeof(value), "key '%s'", key);
        if (json_is_number(value))
            ck_assert_msg(fabs(json_number_value(got) - json_number_value(value)) < 1e-9,
                          "'%s' is %.12g", key, json_number_value(got));
        else if (json_is_array(value)) {
            ck_assert_uint_eq(json_array_size(got), json_array_size(value));
            json_array_foreach(value, i, one)
            {
                ck_assert_msg(json_typeof(one) == json_typeof(json_array_get(got, i)),
                              "'%s'[%zu]", key, i);
                ck_assert_msg(fabs(json_number_value(json_array_get(got, i)) -
                                   json_number_value(one)) < 1e-9,
                              "'%s'[%zu] is %.12g", key, i,
                              json_number_value(json_array_get(got, i)));
            }
        }
    }
    json_decref(want);
    json_decref(json);
}

/* Of ten tokens two have no expert, in either; load entropies: of (6, 2, 2) / 10 and
 * (5, 5, 0) / 10 over log 3. */
START_TEST(changed_routing_is_told_in_shares)
{
    static measure_attacked a;
    static const measure_shift all = {.tokens = 10,
                                      .changed = 3,
                                      .top1_changed = 2,
                                      .iou = 6,
                                      .empty = 2,
                                      .gate_l1 = 1.5,
                                      .js = 0.25,
                                      .entropy = {5, 4},
                                      .assigned = {20, 16},
                                      .dropped = {1, 2},
                                      .usage = {{6, 2, 2, 90}, {5, 5, 0, 80}},
                                      .left = {3, 1, 2, 70}}; /* of 3 */
    static const measure_shift control = {.tokens = 8,
                                          .changed = 2,
                                          .iou = 3.5,
                                          .empty = 1,
                                          .usage = {{4, 2, 2}, {1, 1, 1}},
                                          .left = {1, 1, 1}};
    char text[1024];

    a.layers = 2;
    a.experts = 3;
    a.shift[MEASURE_GROUP_ALL][1] = all;
    a.shift[MEASURE_GROUP_CONTROL][1] = control;
    a.shift[MEASURE_GROUP_BROKEN][1] = (measure_shift){.tokens = 4, .changed = 2};
    a.shift[MEASURE_GROUP_SURVIVED][1] = (measure_shift){.tokens = 5, .changed = 1};
    snprintf(text, sizeof text,
             "{\"layer\": 7, \"changed\": 0.3, \"top1_changed\": 0.2, \"iou\": 0.75, "
             "\"routing_change\": 0.25, \"gate_l1\": 0.15, \"js\": 0.025, "
             "\"token_entropy\": [0.5, 0.4], \"load_entropy\": [%.15g, %.15g], "
             "\"usage_clean\": [0.6, 0.2, 0.2], \"usage_adv\": [0.5, 0.5, 0.0], "
             "\"left\": [0.5, 0.5, 1.0], \"control_left\": [0.25, 0.5, 0.5], "
             "\"dropped\": [0.05, 0.125], \"control_changed\": 0.25, \"control_iou\": 0.5, "
             "\"changed_broken\": 0.5, \"changed_survived\": 0.2}",
             -(0.6 * log(0.6) + 0.4 * log(0.2)) / log(3), log(2) / log(3));
    json_is(measure_shift_json(7, &a, 1), text);
    /* of nothing: no numbers */
    a.experts = 1;
    json_is(measure_shift_json(0, &a, 0),
            "{\"layer\": 0, \"changed\": null, \"top1_changed\": null, \"iou\": null, "
            "\"routing_change\": null, \"gate_l1\": null, \"js\": null, "
            "\"token_entropy\": [null, null], \"load_entropy\": [0.0, 0.0], "
            "\"usage_clean\": [null], \"usage_adv\": [null], \"left\": [null], "
            "\"control_left\": [null], \"dropped\": [null, null], "
            "\"control_changed\": null, \"control_iou\": null, \"changed_broken\": null, "
            "\"changed_survived\": null}");
}
END_TEST

/* Four experts of loads 10, 6, 4, 0; of probability masses 4, 3, 2, 1. */
static const vit_usage usage = {.experts = 4,
                                .tokens = 10,
                                .assignments = 20,
                                .dropped = 5,
                                .orphans = 2,
                                .load = {10, 6, 4, 0},
                                .importance = {4, 3, 2, 1},
                                .gate_max = 6,
                                .entropy = 9,
                                .gate_lost = 1,
                                .passes = 4,
                                .sinkhorn_passes = 2,
                                .sinkhorn_iterations = 30,
                                .sinkhorn_residual = 0.5,
                                .sinkhorn_failed = 1};

START_TEST(loads_are_told_by_their_keys)
{
    char text[1024];

    snprintf(
        text, sizeof text,
        "{\"layer\": 3, \"load_cv\": %.15g, \"max_violation\": 1.0, \"min_ratio\": 0.0, "
        "\"dead\": 1, \"entropy\": %.15g, \"importance_cv\": %.15g, \"dropped\": 0.25, "
        "\"orphans\": 0.2, \"gate_max\": 0.6, \"prob_entropy\": 0.9, "
        "\"sinkhorn_share\": 0.5, \"sinkhorn_iterations\": 15.0, "
        "\"sinkhorn_residual\": 0.25, \"sinkhorn_failed\": 1.0, "
        "\"load\": [0.5, 0.3, 0.2, 0.0]}",
        sqrt((25 + 1 + 1 + 25) / 4.0) / 5,
        -(0.5 * log(0.5) + 0.3 * log(0.3) + 0.2 * log(0.2)) / log(4),
        sqrt((2.25 + 0.25 + 0.25 + 2.25) / 4) / 2.5);
    json_is(measure_usage_json(3, &usage), text);
    /* a router that assigns nothing is silent about loads */
    vit_usage soft = usage;
    soft.assignments = 0;
    memset(soft.load, 0, sizeof soft.load);
    soft.soft_passes = 4;
    soft.combine_max = 0.75;
    soft.dispatch_max = 0.5;
    soft.combine_entropy = 12;
    json_t *json = measure_usage_json(3, &soft);
    static const char *const silent[] = {"load_cv", "max_violation", "min_ratio",
                                         "dead",    "entropy",       "dropped",
                                         "orphans", "gate_max"};
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++)
        ck_assert_msg(json_is_null(json_object_get(json, silent[i])), "%s", silent[i]);
    ck_assert_double_eq_tol(json_number_value(json_object_get(json, "prob_entropy")), 0.9,
                            exact);
    ck_assert_double_eq(json_number_value(json_array_get(json_object_get(json, "load"), 0)),
                        0);
    json_is(json_incref(json_object_get(json, "soft")),
            "{\"combine_max\": 0.75, \"dispatch_max\": 0.5, \"combine_entropy\": 1.2}");
    json_decref(json);
    json = measure_usage_json(/* one is enough to be told */
                              0, &(vit_usage){.experts = 2,
                                              .tokens = 1,
                                              .assignments = 1,
                                              .load = {0, 1}});
    ck_assert_double_eq(json_number_value(json_array_get(json_object_get(json, "load"), 1)),
                        1);
    json_decref(json);
}
END_TEST

/* ---- accuracy under corruption ------------------------------------------------------- */

enum { LAYERS = 2, CELLS = 4 };

static measure_cell cells[CELLS];

/* right of `samples` answers, each with this confidence. */
static void answers_add(measure_score *score, int samples, int right, double confidence)
{
    for (int i = 0; i < samples; i++) {
        const measure_verdict v = {.finite = true,
                                   .predicted = (size_t)(i >= right),
                                   .confidence = confidence,
                                   .rank = i >= right,
                                   .loss = 1};
        measure_score_add(score, 0, &v);
    }
}

/* Fog at 2 and 5, snow at 1; contrast at 4 has no image. */
static void setup(void)
{
    static const corrupt_pair pairs[CELLS] = {{CORRUPT_KIND_FOG, 2},
                                              {CORRUPT_KIND_SNOW, 1},
                                              {CORRUPT_KIND_FOG, 5},
                                              {CORRUPT_KIND_CONTRAST, 4}};
    static const int right[CELLS] = {8, 9, 4, 0};
    static const double confidence[CELLS] = {0.7, 0.9, 0.5, 0};

    for (size_t c = 0; c < CELLS; c++) {
        ck_assert_int_eq(measure_cell_create(&cells[c], pairs[c], 3, LAYERS, NULL),
                         BASE_OK);
        ck_assert_ptr_null(cells[c].score.confusion);
        ck_assert_uint_eq(cells[c].layers, LAYERS);
        answers_add(&cells[c].score, c == 3 ? 0 : 10, right[c], confidence[c]);
        cells[c].compared = c == 3 ? 0 : 10;
        cells[c].flipped = c == 0 ? 1 : c == 2 ? 5 : 0;
        for (size_t l = 0; l < LAYERS && c < 3; l++) {
            const double x = (double)(c + 1), skew = (double)(1 + l);

            cells[c].load[l] = (vit_usage){.experts = 2,
                                           .tokens = 10,
                                           .assignments = 10,
                                           .load = {5 + skew * x / 2, 5 - skew * x / 2}};
            cells[c].agreement[l] = (measure_agreement){.tokens = {6 * x, 4},
                                                        .overlap = {3, 1},
                                                        .first = {5 + (double)l, 2},
                                                        .moved = {1, 2 * x}};
        }
    }
}

static void teardown(void)
{
    for (size_t c = 0; c < CELLS; c++)
        measure_cell_destroy(&cells[c]);
}

START_TEST(errors_stand_at_kind_and_severity)
{
    measure_score clean;
    corrupt_errors e;

    ck_assert_int_eq(measure_score_create_small(&clean, 3, NULL), BASE_OK);
    measure_cell_errors(&e, cells, CELLS, &clean);
    ck_assert(isnan(e.clean));
    answers_add(&clean, 20, 19, 0.9);
    measure_cell_errors(&e, cells, CELLS, &clean);
    ck_assert_double_eq_tol(e.clean, 0.05, exact);
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        for (size_t s = 0; s < CORRUPT_SEVERITY_MAX; s++) {
            const double want = k == CORRUPT_KIND_FOG && s == 1    ? 0.2
                                : k == CORRUPT_KIND_FOG && s == 4  ? 0.6
                                : k == CORRUPT_KIND_SNOW && s == 0 ? 0.1
                                                                   : (double)NAN;
            if (isnan(want))
                ck_assert(isnan(e.error[k][s]));
            else
                ck_assert_double_eq_tol(e.error[k][s], want, exact);
        }
    ck_assert_double_eq_tol(measure_cell_error(cells, CELLS), (0.2 + 0.1 + 0.6) / 3, exact);
    ck_assert(isnan(measure_cell_error(cells + 3, 1)));
    measure_score_destroy(&clean);
}
END_TEST

/* Loads of two experts 5 +- d: CV and violation are d / 5; d of fog: 1/2, 1 and 3/2, 3. */
START_TEST(means_are_over_the_severities_that_were_measured)
{
    const measure_cell_means m = measure_cell_means_of(cells, CELLS, CORRUPT_KIND_FOG);

    ck_assert(m.measured);
    ck_assert_double_eq_tol(m.ece, ((0.8 - 0.7) + (0.5 - 0.4)) / 2, 1e-9);
    ck_assert_double_eq_tol(m.flipped, 6.0 / 20, exact);
    ck_assert_double_eq_tol(m.cv, (0.5 + 1 + 1.5 + 3) / 4 / 5, exact);
    ck_assert_double_eq_tol(m.violation, (0.5 + 1 + 1.5 + 3) / 4 / 5, exact);
    /* tokens 6 + 4 and 18 + 4 of each layer */
    ck_assert_double_eq_tol(m.routing.overlap, 16.0 / 64, exact);
    ck_assert_double_eq_tol(m.routing.first, (7 + 8 + 7 + 8) / 64.0, exact);
    ck_assert_double_eq_tol(m.routing.moved, (3 + 3 + 7 + 7) / 64.0, exact);
    ck_assert(measure_cell_means_of(cells, CELLS, CORRUPT_KIND_SNOW).measured);
    ck_assert(!measure_cell_means_of(cells, CELLS, CORRUPT_KIND_CONTRAST).measured);
    ck_assert(!measure_cell_means_of(cells, CELLS, CORRUPT_KIND_FROST).measured);
    const measure_agreement a = measure_cell_agreement(cells, CELLS, CORRUPT_KIND_FOG, 1);
    ck_assert_double_eq(a.tokens[0], 24);
    ck_assert_double_eq(a.tokens[1], 8);
    ck_assert_double_eq(a.overlap[0], 6);
    ck_assert_double_eq(a.overlap[1], 2);
    ck_assert_double_eq(a.first[0], 12);
    ck_assert_double_eq(a.first[1], 4);
    ck_assert_double_eq(a.moved[0], 2);
    ck_assert_double_eq(a.moved[1], 8);
    const measure_agreement_means unflipped = measure_agreement_of(&a, 0),
                                  flipped = measure_agreement_of(&a, 1);
    ck_assert_double_eq_tol(unflipped.overlap, 0.25, exact);
    ck_assert_double_eq_tol(unflipped.first, 0.5, exact);
    ck_assert_double_eq_tol(flipped.moved, 1, exact);
}
END_TEST

START_TEST(a_dense_cell_counts_answers_alone)
{
    measure_cell cell;

    ck_assert_int_eq(
        measure_cell_create(&cell, (corrupt_pair){CORRUPT_KIND_FOG, 1}, 3, 0, NULL),
        BASE_OK);
    measure_cell_compare(&cell, true, NULL, NULL, 0);
    measure_cell_compare(&cell, false, NULL, NULL, 1);
    ck_assert_uint_eq(cell.compared, 2);
    ck_assert_uint_eq(cell.flipped, 1);
    answers_add(&cell.score, 2, 1, 0.5);
    const measure_cell_means m = measure_cell_means_of(&cell, 1, CORRUPT_KIND_FOG);
    ck_assert(isnan(m.cv) && isnan(m.violation) && isnan(m.routing.overlap));
    ck_assert_double_eq(m.flipped, 0.5);
    measure_cell_destroy(&cell);
}
END_TEST

/* ---- accuracy beside what was computed ----------------------------------------------- */

/* Ten images keep 3, 1, 4, 1, 5, 9, 2, 6, 5, 3: of nine gaps 5 % is 0.45, 25 % 2.25. */
START_TEST(kept_assignments_are_told_in_levels)
{
    static const uint32_t kept[10] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
    static const uint64_t levels[MEASURE_COMPUTE_LEVELS] = {1, 1, 2, 4, 5, 9, 9};
    static measure_compute c;

    ck_assert_int_eq(measure_compute_create(&c, 10, 3, NULL), BASE_OK);
    measure_compute_means m = measure_compute_summary(&c);
    ck_assert_double_eq(m.kept + m.dropped + m.no_expert + m.tokens[0], 0);
    c.images = 10;
    memcpy(c.kept, kept, sizeof kept);
    c.load[0] = (vit_usage){.assignments = 20, .dropped = 5, .tokens = 10, .orphans = 1};
    c.load[5] = (vit_usage){.assignments = 30, .dropped = 0, .tokens = 30, .orphans = 1};
    c.tokens[0] = 2;
    c.tokens[1] = 5;
    c.tokens[3] = 1;
    m = measure_compute_summary(&c);
    ck_assert_double_eq_tol(m.kept, 3.9, exact);
    for (size_t i = 0; i < MEASURE_COMPUTE_LEVELS; i++)
        ck_assert_uint_eq(m.level[i], levels[i]);
    ck_assert_double_eq_tol(m.dropped, 0.1, exact);
    ck_assert_double_eq_tol(m.no_expert, 0.05, exact);
    ck_assert_uint_eq(m.most_experts, 3);
    ck_assert_double_eq_tol(m.tokens[0], 0.25, exact);
    ck_assert_double_eq_tol(m.tokens[1], 0.625, exact);
    ck_assert_double_eq(m.tokens[2], 0);
    ck_assert_double_eq_tol(m.tokens[3], 0.125, exact);
    measure_compute_destroy(&c);
}
END_TEST

/* ---- a sweep of capacities ----------------------------------------------------------- */

enum { IMAGES = 4, FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE };

static vit_model *network_make(const char *router)
{
    vit_config config = sample_config(true);
    vit_model *network = NULL;

    config.moe.capacity_multiple = 1;
    if (router)
        ck_assert_int_eq(vit_router_select(&config.moe.router, router, NULL), BASE_OK);
    ck_assert_int_eq(vit_model_create(&network, &config, NULL), BASE_OK);
    vit_model_init(network, 7);
    const vit_parameter *head = vit_model_parameter_find(network, "head.weight");
    for (size_t i = 0; i < head->count; i++)
        vit_model_weights(network)[head->offset + i] = (float)(i % 5) - 2;
    return network;
}

/* What a pass kept, counted anew: of each image, and its tokens by the number of
 * experts. */
static void kept_of(uint32_t *kept, uint64_t *tokens, const vit_run *run, size_t image)
{
    const vit_routing r = vit_run_routing(run, 0);

    *kept = 0;
    for (size_t t = image * r.tokens_per_image; t < (image + 1) * r.tokens_per_image; t++) {
        size_t own = 0;
        for (size_t a = r.start[t]; a < r.start[t + 1]; a++)
            own += r.kept[a];
        tokens[own]++;
        *kept += (uint32_t)own;
    }
}

/* Image 2 cannot be used: it is wrong, and nothing is counted of it. */
START_TEST(points_of_a_sweep_are_passes_of_their_own)
{
    static const double factors[] = {0.5, 2};
    static const double capacities[] = {0, 0.5, 2, 0.5, 2};
    static float images[IMAGES * FLOATS], logits[IMAGES * SAMPLE_CLASSES],
        own[IMAGES * SAMPLE_CLASSES];
    const int32_t labels[IMAGES] = {0, 1, 2, 1};
    const bool bad[IMAGES] = {[2] = true};
    vit_model *network = network_make(NULL);
    vit_run *run = NULL, *other = NULL;
    measure_capacity sweep;
    double dropped[5];

    for (size_t i = 0; i < IMAGES * FLOATS; i++)
        images[i] = (float)sin((double)(i * i % 1013));
    ck_assert_int_eq(
        vit_run_create(&run, network, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    ck_assert_int_eq(
        vit_run_create(&other, network, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    ck_assert_int_eq(measure_capacity_open(&sweep, network, factors, 2, true, 8, IMAGES,
                                           VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    ck_assert_uint_eq(sweep.points, 5);
    ck_assert_uint_eq(sweep.batch, IMAGES);
    ck_assert_ptr_null(sweep.option);
    ck_assert_int_eq(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, NULL),
                     BASE_OK);
    for (size_t i = 0; i < sweep.points; i++) {
        const measure_capacity_point *p = &sweep.point[i];
        uint64_t tokens[VIT_EXPERTS_MAX + 1] = {0}, top1 = 0;
        uint32_t kept[IMAGES];
        double loss = 0;
        size_t at = 0;

        ck_assert_double_eq(p->capacity, capacities[i]);
        ck_assert_int_eq(p->bpr, i > 2);
        ck_assert_ptr_null(p->own);
        ck_assert_int_eq(measure_capacity_pass(&sweep, i, run, logits, images, labels, bad,
                                               IMAGES, NULL),
                         BASE_OK);
        ck_assert_int_eq(vit_run_capacity_set(other, capacities[i], i > 2, NULL), BASE_OK);
        ck_assert_int_eq(vit_run_forward(other, own, images, IMAGES, &(vit_step){0}, NULL),
                         BASE_OK);
        ck_assert_mem_eq(logits, own, sizeof own);
        for (size_t k = 0; k < IMAGES; k++) {
            if (bad[k])
                continue;
            const measure_verdict v =
                measure_verdict_make(own + k * SAMPLE_CLASSES, SAMPLE_CLASSES, labels[k]);
            top1 += v.rank == 0;
            loss += v.loss;
            kept_of(&kept[at++], tokens, other, k);
        }
        ck_assert_uint_eq(p->spent.score.samples, IMAGES);
        ck_assert_uint_eq(p->spent.score.bad, 1);
        ck_assert_uint_eq(p->spent.score.top1, top1);
        ck_assert_double_eq_tol(p->spent.score.loss, loss, 1e-9);
        ck_assert_uint_eq(p->spent.images, at);
        ck_assert_mem_eq(p->spent.kept, kept, at * sizeof *kept);
        ck_assert_mem_eq(p->spent.tokens, tokens, sizeof tokens);
        ck_assert_double_eq(p->spent.load[0].tokens,
                            (double)(at * vit_run_routing(other, 0).tokens_per_image));
        dropped[i] = p->spent.load[0].dropped / p->spent.load[0].assignments;
    }
    base_error err = {0};
    logits[2 * SAMPLE_CLASSES] = NAN; /* of the image that cannot be used */
    ck_assert_int_eq(
        measure_capacity_pass(&sweep, 0, run, logits, images, labels, bad, IMAGES, &err),
        BASE_OK);
    logits[3 * SAMPLE_CLASSES] = NAN;
    ck_assert_int_eq(
        measure_capacity_pass(&sweep, 0, run, logits, images, labels, bad, IMAGES, &err),
        BASE_NUMERIC);
    ck_assert_str_eq(err.text, "logits that are not finite with capacity 0");
    ck_assert_double_eq(dropped[0], 0);
    ck_assert_double_ge(dropped[1], 0.4); /* half of the room that all need */
    ck_assert_double_lt(dropped[2], dropped[1]);
    ck_assert_int_eq(measure_capacity_end(&sweep, run, NULL), BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, NULL),
                     BASE_OK);
    const vit_routing r = vit_run_routing(run, 0);
    for (size_t a = 0; a < r.count; a++)
        ck_assert(r.kept[a]); /* without limits again */
    measure_capacity_close(&sweep);
    vit_run_destroy(other);
    vit_run_destroy(run);
    vit_model_destroy(network);
}
END_TEST

START_TEST(sweeps_without_sense_are_refused)
{
    const vit_config dense = sample_config(false);
    const double factor = 2, most = 100;
    vit_model *network = NULL;
    measure_capacity sweep;
    base_error err = {0};

    ck_assert_int_eq(vit_model_create(&network, &dense, NULL), BASE_OK);
    ck_assert_int_eq(measure_capacity_open(&sweep, network, &factor, 1, false, 1, 1,
                                           VIT_PRECISION_FP32, &err),
                     BASE_USAGE);
    ck_assert_str_eq(err.text, "a dense network has no capacity of experts");
    measure_capacity_close(&sweep);
    vit_model_destroy(network);
    network = network_make("expert-choice");
    ck_assert_int_eq(measure_capacity_open(&sweep, network, &factor, 1, true, 1, 1,
                                           VIT_PRECISION_FP32, &err),
                     BASE_USAGE);
    ck_assert_str_eq(err.text,
                     "an order of tokens means nothing to router 'expert-choice', which "
                     "drops no token: the capacity alone sets its router.cf");
    measure_capacity_close(&sweep);
    ck_assert_int_eq(measure_capacity_open(&sweep, network, &most, 1, false, 1, 1,
                                           VIT_PRECISION_FP32, &err),
                     BASE_OK); /* of at most all experts */
    ck_assert_str_eq(sweep.option, "cf");
    ck_assert_uint_eq(sweep.points, 2);
    ck_assert(!sweep.point[0].own && sweep.point[1].own);
    measure_capacity_close(&sweep);
    vit_model_destroy(network);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_figures");
    TCase *json = tcase_create("JSON"), *corrupted = tcase_create("Corruption"),
          *spent = tcase_create("Compute");

    tcase_add_test(json, changed_routing_is_told_in_shares);
    tcase_add_test(json, loads_are_told_by_their_keys);
    suite_add_tcase(suite, json);
    tcase_add_checked_fixture(corrupted, setup, teardown);
    tcase_add_test(corrupted, errors_stand_at_kind_and_severity);
    tcase_add_test(corrupted, means_are_over_the_severities_that_were_measured);
    tcase_add_test(corrupted, a_dense_cell_counts_answers_alone);
    suite_add_tcase(suite, corrupted);
    tcase_add_test(spent, kept_assignments_are_told_in_levels);
    tcase_add_test(spent, points_of_a_sweep_are_passes_of_their_own);
    tcase_add_test(spent, sweeps_without_sense_are_refused);
    suite_add_tcase(suite, spent);
    return test_run(suite);
}
