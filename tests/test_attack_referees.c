/* test_attack_referees.c - what AutoAttack and foolbox say of 100 images of a small trained
 * network, and what we say (tests/golden/attack_referees.*, made by
 * tests/reference/attack_referees.py): image by image where nothing is drawn or the draws
 * are ours, in frequency where the draws are theirs. */
#include "attacks/attacks_internal.h"

#include "tests/test_attack_net.h"
#include "tests/test_run.h"
#include "vit/vit.h"

enum { N = 100, SIDE = 10, INPUTS = 3 * SIDE * SIDE, HIDDEN = 16, CLASSES = 10, KEPT = 20 };
enum { RUNS = 10 }; /* of theirs, for a frequency */

/* foolbox's examples: theirs are double, ours float32. */
static const double EXAMPLE_CLOSE = 1e-5;
/* Highest losses after a hundred steps, absolute or relative, the larger. In Linf a step is
 * a sign and both are float32. In L2 the loss creeps at the end by less than float32 can
 * tell, so that the order of a sum decides when the step is halved (seen: 2e-3). */
static const double LOSS_CLOSE[] = {1e-4, 5e-3};
/* DLR is the ratio of two differences: above this the lower one is next to nothing. */
static const double LOSS_ILL = 10;
/* Smallest norms: FAB and CW end on the boundary, whose float32 side decides when they turn
 * back; foolbox's CW does not look at the last point of a round, and starts from pixels
 * that went through arctanh. */
static const double NORM_CLOSE = 5e-3;
enum { STRAY = 1 }; /* may take another boundary where the C library rounds otherwise */

static test_net net;
static float images[N * INPUTS];
static int32_t labels[N];
static bool right[N];
static vit_tensor_file *tensors;

static const void *tensor(const char *name)
{
    const vit_tensor *t = vit_tensors_find(tensors, name);

    ck_assert_ptr_nonnull(t);
    return t->data;
}

static void setup(void)
{
    char *path = base_text("%s/golden/attack_referees.safetensors", getenv("VMOE_TESTS"));
    float z[CLASSES], h[HIDDEN];

    ck_assert_int_eq(vit_tensors_open(&tensors, path, NULL), BASE_OK);
    net = test_net_make(INPUTS, HIDDEN, CLASSES, 1);
    memcpy(net.w1, tensor("w1"), HIDDEN * INPUTS * sizeof *net.w1);
    memcpy(net.w2, tensor("w2"), CLASSES * HIDDEN * sizeof *net.w2);
    memcpy(net.bias, tensor("bias"), CLASSES * sizeof *net.bias);
    const unsigned char *pixels = tensor("images"), *truth = tensor("labels");
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < INPUTS; j++)
            images[i * INPUTS + j] = (float)pixels[i * INPUTS + j] / 255.0f;
        labels[i] = truth[i];
        test_net_raw(&net, z, h, images + i * INPUTS);
        right[i] = attack_predict(z, CLASSES) == labels[i];
    }
    base_free(path);
}

static void teardown(void)
{
    test_net_free(&net);
    vit_tensors_close(tensors);
}

/* ---- their verdicts ------------------------------------------------------------------ */

typedef struct golden {
    double figure[N], second[N]; /* second NaN: none */
} golden;

/* Has a line for every image that is right, in their eyes and in ours. */
static golden golden_read(const char *attack)
{
    char *path = base_text("%s/golden/attack_referees.tsv", getenv("VMOE_TESTS")), *text;
    size_t bytes, count = 0, wanted = 0;
    golden g;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    for (char *line = text; *line; line += strcspn(line, "\n") + 1) {
        char name[32], first[32], second[32];
        unsigned image;
        int label;

        if (sscanf(line, "%31s %u %d %31s %31s", name, &image, &label, first, second) !=
                5 ||
            strcmp(name, attack) != 0)
            continue;
        ck_assert_uint_lt(image, N);
        ck_assert_int_eq(label, labels[image]);
        ck_assert(right[image]);
        ck_assert(base_parse_real(&g.figure[image], first));
        g.second[image] = NAN;
        ck_assert(strcmp(second, "-") == 0 || base_parse_real(&g.second[image], second));
        count++;
    }
    for (size_t i = 0; i < N; i++)
        wanted += right[i];
    ck_assert_uint_eq(count, wanted);
    ck_assert(count >= 60 && count <= 90); /* neither hopeless nor sure */
    base_free(text);
    base_free(path);
    return g;
}

static double budget(attack_norm norm)
{
    return norm == ATTACK_NORM_LINF ? 6.0 / 255 : 0.25;
}

static attack_run *search(attack_norm norm, double eps, bool early_stop, const char *spec)
{
    const attack_target target = test_net_target(&net, 3, SIDE, 32);
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;
    base_error err = {0};

    config.norm = norm;
    config.eps = eps;
    config.early_stop = early_stop;
    ck_assert_msg(attack_run_create(&run, &target, &config, images, labels, N, &err) ==
                          BASE_OK &&
                      attack_run_add(run, spec, &err) == BASE_OK &&
                      attack_run_go(run, &err) == BASE_OK,
                  "%s", err.text);
    return run;
}

/* ---- foolbox: steps without a draw --------------------------------------------------- */

static const struct {
    const char *name, *spec;
    attack_norm norm;
    bool counts_steps;
} steps[] = {
    {"fgsm-linf", "fgsm", ATTACK_NORM_LINF, false},
    {"fgsm-l2", "fgsm", ATTACK_NORM_L2, false},
    {"pgd-linf", "pgd:steps=10,alpha=1/255,start=none", ATTACK_NORM_LINF, true},
    {"pgd-l2", "pgd:steps=10,alpha=0.05,start=none", ATTACK_NORM_L2, true},
};

START_TEST(steps_are_foolbox_s)
{
    const golden g = golden_read(steps[_i].name);
    const float *theirs = tensor(steps[_i].name);
    attack_run *run = search(steps[_i].norm, budget(steps[_i].norm), true, steps[_i].spec);

    for (size_t i = 0; i < N; i++) {
        const attack_sample s = attack_run_sample(run, i);
        const int ours = !steps[_i].counts_steps ? s.broken : s.broken ? s.step : -1;

        ck_assert_int_eq(s.right, right[i]);
        if (!right[i])
            continue;
        ck_assert_msg(ours == (int)g.figure[i], "%s: image %zu: %d, not %g", steps[_i].name,
                      i, ours, g.figure[i]);
        const float *v = attack_run_adversarial(run) + i * INPUTS;
        for (size_t j = 0; i < KEPT && j < INPUTS; j++)
            ck_assert_msg(fabs((double)(v[j] - theirs[i * INPUTS + j])) <= EXAMPLE_CLOSE,
                          "%s: image %zu, number %zu: %.8g, not %.8g", steps[_i].name, i, j,
                          (double)v[j], (double)theirs[i * INPUTS + j]);
    }
    attack_run_destroy(run);
}
END_TEST

/* ---- AutoAttack's APGD from our starts ----------------------------------------------- */

static const struct {
    const char *name, *spec;
    attack_norm norm;
    attack_loss loss;
} ascents[] = {
    {"apgd-ce-linf", "apgd-ce", ATTACK_NORM_LINF, ATTACK_LOSS_CE},
    {"apgd-ce-l2", "apgd-ce", ATTACK_NORM_L2, ATTACK_LOSS_CE},
    {"apgd-dlr-linf", "apgd-dlr", ATTACK_NORM_LINF, ATTACK_LOSS_DLR},
    {"apgd-dlr-l2", "apgd-dlr", ATTACK_NORM_L2, ATTACK_LOSS_DLR},
    {"apgd-t-linf", "apgd-t", ATTACK_NORM_LINF, ATTACK_LOSS_DLR_TARGET},
};

START_TEST(ascents_end_where_autoattack_s_do)
{
    const golden g = golden_read(ascents[_i].name);
    const bool all_steps = ascents[_i].loss != ATTACK_LOSS_DLR_TARGET;
    attack_run *run =
        search(ascents[_i].norm, budget(ascents[_i].norm), !all_steps, ascents[_i].spec);
    float z[CLASSES], h[HIDDEN];

    for (size_t i = 0; i < N; i++) {
        const attack_sample s = attack_run_sample(run, i);

        if (!right[i])
            continue;
        ck_assert_msg(s.broken == (g.figure[i] > 0), "%s: image %zu is %s",
                      ascents[_i].name, i, s.broken ? "broken" : "not broken");
        if (isnan(g.second[i]))
            continue;
        test_net_raw(&net, z, h, attack_run_adversarial(run) + i * INPUTS);
        const double loss =
            attack_loss_compute(NULL, ascents[_i].loss, z, CLASSES, labels[i], -1);
        if (fabs(g.second[i]) < LOSS_ILL)
            ck_assert_msg(fabs(loss - g.second[i]) <=
                              LOSS_CLOSE[ascents[_i].norm] * fmax(1, fabs(g.second[i])),
                          "%s: image %zu: highest loss %.6f, not %.6f", ascents[_i].name, i,
                          loss, g.second[i]);
    }
    attack_run_destroy(run);
}
END_TEST

/* ---- smallest norms ------------------------------------------------------------------ */

static const struct {
    const char *name, *spec;
    attack_norm norm;
    bool all_steps;
    const char *deepfool; /* no nearer than this; NULL: not asked */
} minimal[] = {
    {"fab-linf", "fab:steps=40", ATTACK_NORM_LINF, false, "deepfool-linf"},
    {"fab-l2", "fab:steps=40", ATTACK_NORM_L2, false, "deepfool-l2"},
    {"fab-t-linf", "fab-t:steps=40,targets=5", ATTACK_NORM_LINF, false, NULL},
    {"fab-t-l2", "fab-t:steps=40,targets=5", ATTACK_NORM_L2, false, NULL},
    {"cw-l2", "cw:steps=200,rounds=6,c=0.01,lr=0.01", ATTACK_NORM_L2, true, NULL},
};

/* The budget is so small that no search ends early for it. DeepFool stops at the first
 * boundary that it reaches: FAB, which goes on from there, ends nearer, or beside it by its
 * overshoot of 5 % that forty steps have shrunk to less than 1 %. */
START_TEST(smallest_norms_are_theirs)
{
    const golden g = golden_read(minimal[_i].name);
    attack_run *run =
        search(minimal[_i].norm, 1e-9, !minimal[_i].all_steps, minimal[_i].spec);
    size_t stray = 0;

    for (size_t i = 0; i < N; i++)
        stray +=
            right[i] &&
            !(fabs((double)run->trials[i].minimal_norm / g.figure[i] - 1) <= NORM_CLOSE);
    ck_assert_msg(stray <= STRAY, "%s: %zu images differ", minimal[_i].name, stray);
    if (minimal[_i].deepfool) {
        const golden first = golden_read(minimal[_i].deepfool);

        for (size_t i = 0; i < N; i++) {
            const double ratio = (double)run->trials[i].minimal_norm / first.figure[i];
            if (right[i])
                ck_assert_msg(ratio < 1.01 && ratio > 0.5,
                              "image %zu: %g of DeepFool's norm", i, ratio);
        }
    }
    attack_run_destroy(run);
}
END_TEST

/* ---- AutoAttack with its own draws --------------------------------------------------- */

static const struct {
    const char *name, *spec;
    attack_norm norm;
} drawn[] = {
    {"random-apgd-ce-linf", "apgd-ce", ATTACK_NORM_LINF},
    {"random-apgd-ce-l2", "apgd-ce", ATTACK_NORM_L2},
    {"random-apgd-dlr-linf", "apgd-dlr", ATTACK_NORM_LINF},
    {"random-apgd-dlr-l2", "apgd-dlr", ATTACK_NORM_L2},
    {"random-square-linf", "square:queries=300", ATTACK_NORM_LINF},
    {"random-square-l2", "square:queries=300", ATTACK_NORM_L2},
};

/* What all their runs break, or none, is a verdict; between them an image is broken as
 * often as in their runs, and the count of broken ones has the variance that follows. An
 * image of theirs that ten runs broke or spared may still be one of a rate of 5 %: two may
 * differ. */
START_TEST(draws_of_ours_break_what_theirs_break)
{
    const golden g = golden_read(drawn[_i].name);
    attack_run *run = search(drawn[_i].norm, budget(drawn[_i].norm), true, drawn[_i].spec);
    double mean = 0, variance = 0;
    size_t broken = 0, stray = 0;

    for (size_t i = 0; i < N; i++) {
        const attack_sample s = attack_run_sample(run, i);
        const double rate = g.figure[i] / RUNS;

        if (!right[i])
            continue;
        mean += rate;
        variance += rate * (1 - rate);
        broken += s.broken;
        stray += (rate <= 0 && s.broken) || (rate >= 1 && !s.broken);
    }
    ck_assert_msg(stray <= 2, "%s: %zu unanimous verdicts are not ours", drawn[_i].name,
                  stray);
    ck_assert_msg(fabs((double)broken - mean) <= 1 + 3 * sqrt(variance),
                  "%s: %zu broken, theirs %g", drawn[_i].name, broken, mean);
    attack_run_destroy(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_referees");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_loop_test(core, steps_are_foolbox_s, 0, sizeof steps / sizeof steps[0]);
    tcase_add_loop_test(core, ascents_end_where_autoattack_s_do, 0,
                        sizeof ascents / sizeof ascents[0]);
    tcase_add_loop_test(core, smallest_norms_are_theirs, 0,
                        sizeof minimal / sizeof minimal[0]);
    tcase_add_loop_test(core, draws_of_ours_break_what_theirs_break, 0,
                        sizeof drawn / sizeof drawn[0]);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
