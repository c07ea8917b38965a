/* test_measure_target.c - a network as the target of attacks: pixels in 0..1, its gradient,
 * its experts held and told apart. */
#define TARGET_LAYERS "0,1"
#include "tests/test_run.h"
#include "tests/test_target.h"

/* ---- the target ---------------------------------------------------------------------- */

START_TEST(both_runs_give_the_same_logits)
{
    look(logits, images);
    ck_assert_int_eq(table.forward(table.user, again, images, COUNT, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[i], (double)again[i], 1e-5);
}
END_TEST

/* (v / 255 - mean) / std, as the loader makes it of a byte. */
START_TEST(a_byte_is_what_the_loader_makes_of_it)
{
    static unsigned char bytes[FLOATS];
    static float inputs[FLOATS], table_of[3 * 256];
    const data_image image = {bytes, SAMPLE_SIDE, SAMPLE_SIDE, 3, sizeof bytes};
    vit_run *run = NULL;

    for (size_t i = 0; i < FLOATS; i++) {
        bytes[i] = (unsigned char)(i * 37);
        images[i % 3 * FLOATS / 3 + i / 3] = (float)bytes[i] / 255.0f;
    }
    data_normalise_table(table_of, model_config->mean, model_config->std, 3);
    data_normalise(inputs, &image, table_of);
    ck_assert_int_eq(
        vit_run_create(&run, model, COUNT, VIT_MODE_INFER, VIT_PRECISION_FP32, NULL),
        BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, again, inputs, 1, &(vit_step){0}, NULL), BASE_OK);
    ck_assert_int_eq(table.logits(table.user, logits, images, 1, NULL), BASE_OK);
    ck_assert_mem_eq(logits, again, CLASSES * sizeof *logits);
    vit_run_destroy(run);
}
END_TEST

/* sum_c w_c z_c of one image along one direction, in pixels; the experts stay. */
START_TEST(the_gradient_is_of_the_pixels)
{
    static float gradient[COUNT * FLOATS], d_logits[COUNT * CLASSES];
    uint64_t before[COUNT], after[COUNT];
    const double h = 1e-3;
    size_t compared = 0;

    for (size_t i = 0; i < COUNT * CLASSES; i++)
        d_logits[i] = (float)((double)(i % 5) - 2);
    ck_assert_int_eq(table.forward(table.user, logits, images, COUNT, NULL), BASE_OK);
    ck_assert_int_eq(table.gradient(table.user, gradient, d_logits, NULL), BASE_OK);
    for (size_t at = 0; at < FLOATS; at += 7) {
        double slope[COUNT] = {0};

        for (int side = 0; side < 2; side++) {
            memcpy(other, images, sizeof other);
            for (size_t i = 0; i < COUNT; i++)
                other[i * FLOATS + at] += (float)(side ? h : -h);
            look(again, other);
            table.signature(table.user, side ? after : before);
            for (size_t i = 0; i < COUNT * CLASSES; i++)
                slope[i / CLASSES] +=
                    (side ? 1 : -1) * (double)d_logits[i] * (double)again[i] / (2 * h);
        }
        for (size_t i = 0; i < COUNT; i++) {
            if (before[i] != after[i])
                continue;
            const double wanted = (double)gradient[i * FLOATS + at];

            compared++;
            ck_assert_double_eq_tol(slope[i], wanted, 5e-3 + 2e-2 * fabs(wanted));
        }
    }
    ck_assert_uint_ge(compared, 100);
}
END_TEST

START_TEST(frozen_images_keep_their_experts)
{
    uint64_t clean[COUNT], held[COUNT], free_[COUNT];

    look(logits, images);
    table.signature(table.user, clean);
    ck_assert_int_eq(table.freeze(table.user, images, COUNT, NULL), BASE_OK);
    look(again, images);
    ck_assert_mem_eq(logits, again, sizeof logits); /* its own sets change nothing */
    look(again, other);
    table.signature(table.user, held);
    ck_assert_mem_eq(clean, held, sizeof clean);
    ck_assert_int_eq(table.freeze(table.user, NULL, 0, NULL), BASE_OK);
    look(again, other);
    table.signature(table.user, free_);
    ck_assert_mem_ne(clean, free_, sizeof clean);
}
END_TEST

static void route(double *loss, const float *in, size_t count)
{
    ck_assert_int_eq(table.route_forward(table.user, again, loss, in, images, count, NULL),
                     BASE_OK);
}

/* Of the image itself no loss is positive; the sum over a batch has the slope that the
 * target says. */
START_TEST(the_routing_loss_reaches_the_pixels)
{
    static float gradient[COUNT * FLOATS];
    uint64_t before[COUNT], after[COUNT];
    double loss[COUNT], moved[2][COUNT];
    const double h = 1e-3;
    size_t compared = 0;

    route(loss, images, COUNT);
    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_double_lt(loss[i], 0);
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        ck_assert_double_eq_tol((double)logits[i], (double)again[i], 1e-5);
    route(loss, other, COUNT);
    ck_assert_int_eq(table.route_gradient(table.user, gradient, NULL), BASE_OK);
    static float probe[COUNT * FLOATS];
    for (size_t at = 0; at < FLOATS; at += 7) {
        for (int side = 0; side < 2; side++) {
            memcpy(probe, other, sizeof probe);
            for (size_t i = 0; i < COUNT; i++)
                probe[i * FLOATS + at] += (float)(side ? h : -h);
            route(moved[side], probe, COUNT);
            table.signature(table.user, side ? after : before);
        }
        for (size_t i = 0; i < COUNT; i++) {
            const double wanted = (double)gradient[i * FLOATS + at];
            const double slope = (moved[1][i] - moved[0][i]) / (2 * h);

            if (before[i] != after[i])
                continue;
            compared++;
            ck_assert_double_eq_tol(slope, wanted, 5e-3 + 2e-2 * fabs(wanted));
        }
    }
    ck_assert_uint_ge(compared, 100);
}
END_TEST

/* Who stands beside whom, and what was looked at before, does not matter. */
START_TEST(an_image_has_its_own_routing_loss)
{
    double all[COUNT], one;

    route(all, other, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_int_eq(table.route_forward(table.user, again, &one, other + i * FLOATS,
                                             images + i * FLOATS, 1, NULL),
                         BASE_OK);
        ck_assert_double_eq_tol(one, all[i], 1e-5);
    }
}
END_TEST

START_TEST(the_routing_loss_is_as_by_hand)
{
    /* two images of two tokens; sets of 2 among 3 experts, with room for another layer's */
    const double z[4][3] = {{3, 2, 1}, {0, 5, 1}, {1, 1, 1}, {-1, 0, 4}};
    const uint16_t sets[2][6] = {{0, 1, 0, 1, 9, 9}, {2, 0, 1, 2, 9, 9}};
    const vit_routing routing = {
        .tokens = 4, .tokens_per_image = 2, .experts = 3, .logits = &z[0][0]};
    float slope[12];
    double loss[2] = {10, 20};

    measure_route_loss(loss, slope, &routing, &sets[0][0], 6, 2);
    ck_assert_double_eq(loss[0], 10 + (1 - 2) + (1 - 0));
    ck_assert_double_eq(loss[1], 20 + (1 - 1) + (-1 - 0));
    const float wanted[12] = {0, -1, 1, -1, 0, 1, -1, 1, 0, 1, -1, 0};
    ck_assert_mem_eq(slope, wanted, sizeof wanted);
}
END_TEST

START_TEST(distributions_diverge_as_by_hand)
{
    const double p[2] = {1, 0}, q[2] = {0, 1}, r[2] = {0.5, 0.5};

    ck_assert_double_eq_tol(measure_divergence(p, q, 2), log(2), 1e-12);
    ck_assert_double_eq(measure_divergence(r, r, 2), 0);
    /* m = (3/4, 1/4): (log 4/3 + (log 2/3 + log 2) / 2) / 2 */
    ck_assert_double_eq_tol(measure_divergence(p, r, 2),
                            (log(4.0 / 3) + (log(2.0 / 3) + log(2)) / 2) / 2, 1e-12);
}
END_TEST

/* The head's bias is set so that the mean logits of the images are equal: answers differ
 * from image to image, and small changes turn them. */
static void fragile_make(void)
{
    const vit_parameter *bias = vit_model_parameter_find(model, "head.bias");

    look(logits, images);
    for (size_t i = 0; i < (size_t)COUNT * CLASSES; i++)
        vit_model_weights(model)[bias->offset + i % CLASSES] -= logits[i] / COUNT;
    measure_target_destroy(target);
    ck_assert_int_eq(measure_target_create(&target, model, COUNT, VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    table = measure_target_table(target);
}

/* The control's noise as it is drawn: uniform in the budget's cube, on its sphere, or
 * normal; then inside of budget and picture. */
static void control_noise(float *out, const float *x, const attack_config *config,
                          uint64_t sample)
{
    base_rng rng = base_rng_make(config->seed, BASE_PURPOSE_ATTACK, 0x726f7574, sample, 0);
    double d[FLOATS], squares = 0;

    for (size_t i = 0; i < FLOATS; i++) {
        d[i] = config->norm == ATTACK_NORM_LINF ? 2 * base_rng_uniform(&rng) - 1
                                                : base_rng_normal(&rng);
        squares += d[i] * d[i];
    }
    for (size_t i = 0; i < FLOATS; i++) {
        const double scale =
            config->eps * (config->norm == ATTACK_NORM_L2 ? 1 / sqrt(squares) : 1);
        out[i] = (float)((double)x[i] + scale * (double)(float)d[i]);
        if (config->norm != ATTACK_NORM_L1)
            out[i] = fminf(fmaxf(out[i], 0), 1);
    }
    if (config->norm == ATTACK_NORM_L1)
        attack_project(out, x, FLOATS, ATTACK_NORM_L1, config->eps);
}

/* tol: of sums whose terms may come from passes of another shape. */
static void shifts_equal(const measure_shift *got, const measure_shift *want, double tol)
{
    ck_assert_double_gt(want->tokens, 0);
    ck_assert_double_eq(got->tokens, want->tokens);
    ck_assert_double_eq(got->changed, want->changed);
    ck_assert_double_eq(got->top1_changed, want->top1_changed);
    ck_assert_double_eq(got->empty, want->empty);
    ck_assert_double_eq_tol(got->iou, want->iou, tol);
    ck_assert_double_eq_tol(got->gate_l1, want->gate_l1, tol);
    ck_assert_double_eq_tol(got->js, want->js, tol);
    for (int side = 0; side < 2; side++) {
        ck_assert_double_eq_tol(got->entropy[side], want->entropy[side], tol);
        ck_assert_double_eq(got->assigned[side], want->assigned[side]);
        ck_assert_double_eq(got->dropped[side], want->dropped[side]);
        for (size_t e = 0; e < 4; e++)
            ck_assert_double_eq(got->usage[side][e], want->usage[side][e]);
    }
    for (size_t e = 0; e < 4; e++)
        ck_assert_double_eq(got->left[e], want->left[e]);
}

enum { LAYERS = 2 };

/* What one pair of images adds, and what is counted beside it. */
typedef struct pairs {
    measure_shift of[MEASURE_GROUP_COUNT][LAYERS];
    measure_trace clean, changed;
    size_t kept, held, moved, right, broken;
} pairs;

static void pair_add(pairs *p, const attack_run *run, const attack_config *config, size_t i,
                     double change)
{
    static float drawn[FLOATS];
    const float *x = images + i * FLOATS, *v = attack_run_adversarial(run) + i * FLOATS;
    const attack_sample s = attack_run_sample(run, i);
    const size_t tokens = vit_config_tokens(model_config);
    unsigned *layers = base_alloc(tokens, sizeof *layers);
    const vit_run *passes = measure_target_run(target);

    ck_assert_int_eq(measure_target_look(target, logits, x, 1, NULL), BASE_OK);
    measure_trace_take(&p->clean, passes);
    measure_shift_assigned(p->of[MEASURE_GROUP_ALL], 0, passes, 0);
    ck_assert_int_eq(measure_target_look(target, logits, v, 1, NULL), BASE_OK);
    measure_trace_take(&p->changed, passes);
    measure_shift_assigned(p->of[MEASURE_GROUP_ALL], 1, passes, 0);
    ck_assert_double_eq_tol(
        measure_shift_add(p->of[MEASURE_GROUP_ALL],
                          p->of[s.broken ? MEASURE_GROUP_BROKEN : MEASURE_GROUP_SURVIVED],
                          &p->clean, &p->changed, 0),
        change, 1e-6);
    control_noise(drawn, x, config, i);
    ck_assert_int_eq(measure_target_look(target, logits, drawn, 1, NULL), BASE_OK);
    measure_trace_take(&p->changed, passes);
    measure_shift_add(p->of[MEASURE_GROUP_CONTROL], NULL, &p->clean, &p->changed, 0);
    p->right += attack_predict(logits, CLASSES) == s.label;
    ck_assert_int_eq(measure_target_freeze(target, x, 1, NULL), BASE_OK);
    ck_assert_int_eq(measure_target_look(target, logits, v, 1, NULL), BASE_OK);
    p->kept += s.broken && attack_predict(logits, CLASSES) != s.label;
    ck_assert_int_eq(measure_target_freeze(target, v, 1, NULL), BASE_OK);
    ck_assert_int_eq(measure_target_look(target, logits, x, 1, NULL), BASE_OK);
    p->held += attack_predict(logits, CLASSES) == s.label;
    ck_assert_int_eq(measure_target_freeze(target, NULL, 0, NULL), BASE_OK);
    for (int twice = 0; twice < 2; twice++) /* whatever stands there */
        ck_assert_int_eq(measure_attacked_tokens(layers, target, x, v, NULL), BASE_OK);
    for (size_t t = 0; t < tokens; t++)
        p->moved += layers[t];
    p->broken += s.broken;
    base_free(layers);
}

/* Image by image and pair by pair, as the batches have it; image 2 was wrong before. */
START_TEST(the_routing_of_an_attack_is_that_of_its_pairs)
{
    enum { BATCH = 4, WRONG = 2 };
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    int32_t labels[COUNT];
    measure_attacked found = {0};
    pairs p = {0};
    bool done = false;

    fragile_make();
    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        labels[i] =
            (attack_predict(logits + i * CLASSES, CLASSES) + (i == WRONG)) % CLASSES;
    config.eps = 0.02;
    ck_assert_int_eq(attack_run_create(&run, &table, &config, images, labels, COUNT, NULL),
                     BASE_OK);
    ck_assert_int_eq(attack_run_add(run, "pgd:steps=5", NULL), BASE_OK);
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    /* of the control: more than there is to the picture's ends */
    config.norm = (attack_norm)_i;
    config.eps = (double[]){0.4, 3, 12}[_i];
    ck_assert_int_eq(measure_attacked_make(&found, target, BATCH, run, images, &config,
                                           COUNT, &done, NULL),
                     BASE_OK);
    ck_assert(done && found.replayed && found.layers == LAYERS && found.experts == 4);
    const size_t tokens = vit_config_tokens(model_config);
    ck_assert_int_eq(measure_trace_create(&p.clean, LAYERS, tokens, 4, NULL), BASE_OK);
    ck_assert_int_eq(measure_trace_create(&p.changed, LAYERS, tokens, 4, NULL), BASE_OK);
    for (size_t i = 0; i < COUNT; i++) {
        if (i == WRONG)
            ck_assert(isnan(found.change[i]));
        else
            pair_add(&p, run, &config, i, (double)found.change[i]);
    }
    ck_assert_uint_eq(found.attacked, COUNT - 1);
    ck_assert_uint_eq(found.broken, p.broken);
    ck_assert_uint_eq(found.kept, p.kept);
    ck_assert_uint_gt(found.broken, 0);
    ck_assert_uint_lt(found.broken, COUNT - 1);
    ck_assert_uint_ne(2 * p.kept, found.broken); /* else the test could be turned round */
    ck_assert_uint_eq(found.clean_right, p.held);
    ck_assert_uint_eq(found.control_right, p.right);
    double changed = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        for (int group = 0; group < MEASURE_GROUP_COUNT; group++)
            shifts_equal(&found.shift[group][l], &p.of[group][l], 1e-5);
        changed += p.of[MEASURE_GROUP_ALL][l].changed;
        ck_assert_double_gt(p.of[MEASURE_GROUP_ALL][l].changed,
                            0); /* else it shows nothing */
        ck_assert_double_gt(p.of[MEASURE_GROUP_CONTROL][l].js, 0);
        ck_assert_double_eq(p.of[MEASURE_GROUP_ALL][l].assigned[1],
                            (double)(2 * tokens * (COUNT - 1))); /* k = 2 */
    }
    ck_assert_double_eq((double)p.moved, changed);
    measure_trace_destroy(&p.clean);
    measure_trace_destroy(&p.changed);
    measure_attacked_destroy(&found);
    attack_run_destroy(run);
}
END_TEST

static bool stop_asked(void *user)
{
    return --*(int *)user < 0;
}

/* After the first batch of two. */
START_TEST(what_was_looked_at_before_a_stop_counts)
{
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    int32_t labels[COUNT];
    measure_attacked found = {0};
    bool done = true;
    int left = 1;

    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        labels[i] = attack_predict(logits + i * CLASSES, CLASSES);
    config.eps = 0.01;
    ck_assert_int_eq(attack_run_create(&run, &table, &config, images, labels, COUNT, NULL),
                     BASE_OK);
    ck_assert_int_eq(attack_run_add(run, "fgsm", NULL), BASE_OK);
    ck_assert_int_eq(attack_run_go(run, NULL), BASE_OK);
    config.stop = stop_asked;
    config.user = &left;
    ck_assert_int_eq(
        measure_attacked_make(&found, target, 2, run, images, &config, COUNT, &done, NULL),
        BASE_OK);
    ck_assert(!done);
    ck_assert_uint_eq(found.attacked, 4);
    ck_assert(isfinite(found.change[3]) && isnan(found.change[4]));
    measure_attacked_destroy(&found);
    attack_run_destroy(run);
}
END_TEST

/* The same pictures, drawn and looked at here. */
static void answers_are(const measure_answers *out, const vit_model *after)
{
    enum { PICTURES = 16, ALL = PICTURES * CLASSES };
    static float noise[PICTURES * FLOATS], a[ALL], b[ALL];
    const vit_model *const models[2] = {model, after};
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, 0, 0, 0);
    double sum = 0, squares = 0, largest = 0;
    size_t differ = 0;

    for (size_t i = 0; i < PICTURES * FLOATS; i++)
        noise[i] = (float)base_rng_normal(&rng);
    for (int m = 0; m < 2; m++) {
        vit_run *run = NULL;
        ck_assert_int_eq(vit_run_create(&run, models[m], PICTURES, VIT_MODE_INFER,
                                        VIT_PRECISION_FP32, NULL),
                         BASE_OK);
        ck_assert_int_eq(
            vit_run_forward(run, m ? b : a, noise, PICTURES, &(vit_step){0}, NULL),
            BASE_OK);
        vit_run_destroy(run);
    }
    for (size_t i = 0; i < ALL; i++) {
        sum += (double)a[i] / ALL;
        largest = fmax(largest, fabs((double)a[i] - (double)b[i]));
    }
    for (size_t i = 0; i < ALL; i++)
        squares += ((double)a[i] - sum) * ((double)a[i] - sum) / ALL;
    for (size_t i = 0; i < PICTURES; i++)
        differ += measure_arg_max(a + i * CLASSES, CLASSES) !=
                  measure_arg_max(b + i * CLASSES, CLASSES);
    ck_assert_uint_eq(out->images, PICTURES);
    ck_assert_uint_eq(out->other, differ);
    ck_assert(differ > 0 && differ < PICTURES);
    ck_assert_double_eq(out->largest, largest);
    ck_assert_double_eq_tol(out->deviation, sqrt(squares), 1e-6);
}

/* Of noise, what convert tells of its changes; differences of what is no number are
 * none. */
START_TEST(answers_that_are_no_numbers_are_refused)
{
    vit_model *after = NULL;
    measure_answers out;
    base_error err = {0};

    ck_assert_int_eq(vit_model_load(&after, path, NULL, &err), BASE_OK);
    ck_assert_int_eq(measure_answers_compare(&out, model, after, 3, &err), BASE_OK);
    ck_assert_uint_eq(out.other, 0);
    ck_assert_double_eq(out.largest, 0);
    ck_assert_double_gt(out.deviation, 0);
    float *weights = vit_model_weights(after);
    const vit_parameter *bias = vit_model_parameter_find(after, "head.bias");
    weights[bias->offset] += (float)out.deviation; /* of the first class alone */
    ck_assert_int_eq(measure_answers_compare(&out, model, after, 3, &err), BASE_OK);
    answers_are(&out, after);
    weights[0] = NAN;
    ck_assert_int_eq(measure_answers_compare(&out, model, after, 3, &err), BASE_NUMERIC);
    ck_assert_str_eq(err.text, "logits that are not finite for noise");
    vit_model_destroy(after);
}
END_TEST

/* Their own answers but for one label, in batches of two that do not come out even. */
START_TEST(right_answers_are_counted_over_batches)
{
    int32_t labels[COUNT];
    size_t right = 0;
    double share = 1;

    look(logits, images);
    for (size_t i = 0; i < COUNT; i++)
        labels[i] = (int32_t)attack_predict(logits + i * CLASSES, CLASSES);
    labels[1] = (labels[1] + 1) % CLASSES;
    ck_assert_int_eq(
        measure_target_dropped(&right, &share, target, 2, images, labels, COUNT, NULL),
        BASE_OK);
    ck_assert_uint_eq(right, COUNT - 1);
    ck_assert_double_eq(share, 0);
}
END_TEST

/* Half of the room that all need, in batches of four and two. */
START_TEST(dropped_assignments_are_counted_over_batches)
{
    enum { BATCH = 4 };
    vit_config narrow = *model_config;
    measure_target *own = NULL;
    int32_t labels[COUNT] = {0};
    size_t right = 0, answered = 0;
    double share = 0, made = 0, dropped = 0;

    narrow.moe.eval_capacity = 0.5;
    narrow.moe.capacity_multiple = 1;
    ck_assert_int_eq(vit_model_config_set(model, &narrow, NULL), BASE_OK);
    ck_assert_int_eq(measure_target_create(&own, model, BATCH, VIT_PRECISION_FP32, NULL),
                     BASE_OK);
    for (size_t first = 0; first < COUNT; first += BATCH) {
        const size_t count = COUNT - first < BATCH ? COUNT - first : BATCH;

        ck_assert_int_eq(
            measure_target_look(own, logits, images + first * FLOATS, count, NULL),
            BASE_OK);
        for (size_t i = 0; i < count; i++)
            answered += attack_predict(logits + i * CLASSES, CLASSES) == 0;
        for (size_t l = 0; l < LAYERS; l++) {
            const vit_routing r = vit_run_routing(measure_target_run(own), l);

            for (size_t a = 0; a < r.count; a++) {
                made++;
                dropped += !r.kept[a];
            }
        }
    }
    ck_assert_int_eq(
        measure_target_dropped(&right, &share, own, BATCH, images, labels, COUNT, NULL),
        BASE_OK);
    ck_assert_uint_eq(right, answered);
    ck_assert_double_gt(dropped, 0);
    ck_assert_double_eq_tol(share, dropped / made, 1e-12);
    measure_target_destroy(own);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_target");
    TCase *core = tcase_create("Core");
    TCase *hand = tcase_create("Hand");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, both_runs_give_the_same_logits);
    tcase_add_test(core, a_byte_is_what_the_loader_makes_of_it);
    tcase_add_test(core, the_gradient_is_of_the_pixels);
    tcase_add_test(core, frozen_images_keep_their_experts);
    tcase_add_test(core, the_routing_loss_reaches_the_pixels);
    tcase_add_test(core, an_image_has_its_own_routing_loss);
    tcase_add_loop_test(core, the_routing_of_an_attack_is_that_of_its_pairs, 0, 3);
    tcase_add_test(core, what_was_looked_at_before_a_stop_counts);
    tcase_add_test(core, answers_that_are_no_numbers_are_refused);
    tcase_add_test(core, dropped_assignments_are_counted_over_batches);
    tcase_add_test(core, right_answers_are_counted_over_batches);
    suite_add_tcase(suite, core);
    tcase_add_test(hand, the_routing_loss_is_as_by_hand);
    tcase_add_test(hand, distributions_diverge_as_by_hand);
    suite_add_tcase(suite, hand);
    return test_run(suite);
}
