/* test_attack_limits.c - bad input gives one clear line or a marked entry, never a crash or
 * a silent number. */
#include "attacks/attacks_internal.h"
#include "test_attack_net.h"
#include "test_run.h"

enum { N = 12, SIDE = 4, INPUTS = SIDE * SIDE, CLASSES = 5 };

static const char *const ALL =
    "noise fgsm pgd:steps=5 pgd:steps=4,targets=9 mi-fgsm:steps=4 "
    "apgd-ce:steps=10 apgd-dlr:steps=10 apgd-t:steps=8";

static test_net net;
static float images[N * INPUTS];
static int32_t labels[N];
static base_error err;

static void make_net(size_t classes)
{
    net = test_net_make(INPUTS, 6, classes, 3);
    test_net_samples(&net, images, labels, N, 0.2, 0.8, 3);
}

static void setup(void)
{
    make_net(CLASSES);
    err = (base_error){0};
}

static void teardown(void)
{
    test_net_free(&net);
}

static base_status create(attack_run **run, const attack_config *config, size_t n)
{
    const attack_target target = test_net_target(&net, 1, SIDE, 5);

    return attack_run_create(run, &target, config, images, labels, n, &err);
}

static attack_run *search(const attack_config *config, const char *attacks)
{
    attack_run *run = NULL;

    ck_assert_msg(create(&run, config, N) == BASE_OK, "%s", err.text);
    ck_assert_msg(attack_run_add(run, attacks, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(attack_run_go(run, &err) == BASE_OK, "%s", err.text);
    return run;
}

/* The run is refused with this text. */
static void refused(const attack_config *config, size_t n, base_status status,
                    const char *text)
{
    attack_run *run = NULL;

    ck_assert_int_eq(create(&run, config, n), status);
    ck_assert_ptr_null(run);
    ck_assert_str_eq(err.text, text);
}

START_TEST(a_run_is_configured_like_this)
{
    const attack_config c = attack_config_defaults();

    ck_assert_int_eq(c.norm, ATTACK_NORM_LINF);
    ck_assert_double_eq(c.eps, 8.0 / 255);
    ck_assert_uint_eq(c.seed, 0);
    ck_assert_int_eq(c.mode, ATTACK_MODE_CASCADE);
    ck_assert(c.early_stop && !c.fixed_batch && !c.fixed_routing);
    ck_assert(!c.samples && !c.stop && !c.progress && !c.save && !c.save_due && !c.user);
}
END_TEST

START_TEST(budgets_out_of_range_are_refused)
{
    attack_config config = attack_config_defaults();

    config.eps = 8;
    refused(&config, N, BASE_USAGE,
            "eps is 8, but pixels lie in 0..1: did you mean 8/255?");
    config.eps = 256;
    refused(&config, N, BASE_USAGE, "eps is 256, expected 0 to 1 in linf");
    config.eps = -0.1;
    refused(&config, N, BASE_USAGE, "eps is -0.1, expected 0 to 1 in linf");
    config.eps = NAN;
    refused(&config, N, BASE_USAGE, "eps is nan, expected 0 to 1 in linf");
    config.norm = ATTACK_NORM_L2;
    config.eps = 4.1;
    refused(&config, N, BASE_USAGE, "eps is 4.1, expected 0 to 4 in l2");
    config.norm = ATTACK_NORM_L1;
    config.eps = 17;
    refused(&config, N, BASE_USAGE, "eps is 17, expected 0 to 16 in l1");
    config.norm = ATTACK_NORM_LINF;
    config.eps = 255;
    refused(&config, N, BASE_USAGE,
            "eps is 255, but pixels lie in 0..1: did you mean 255/255?");
    for (int norm = 0; norm < 3; norm++) { /* as far as there is room */
        attack_run *run = NULL;
        config.norm = (attack_norm)norm;
        config.eps = (double[]){1, 4, 16}[norm];
        ck_assert_int_eq(create(&run, &config, N), BASE_OK);
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(no_images_are_refused)
{
    const attack_config config = attack_config_defaults();

    refused(&config, 0, BASE_USAGE, "there are no images to attack");
    refused(&config, (size_t)UINT32_MAX + 1, BASE_USAGE, /* samples have 32 bits */
            "4294967296 images of 1 x 4 x 4, 5 at a time");
}
END_TEST

START_TEST(pixels_and_labels_out_of_range_are_named)
{
    const attack_config config = attack_config_defaults();

    images[3 * INPUTS + 2] = 1.5f;
    refused(&config, N, BASE_NUMERIC, "image 3 has the pixel value 1.5, expected 0 to 1");
    images[3 * INPUTS + 2] = NAN;
    refused(&config, N, BASE_NUMERIC, "image 3 has the pixel value nan, expected 0 to 1");
    images[3 * INPUTS + 2] = 0.5f;
    labels[4] = CLASSES;
    refused(&config, N, BASE_USAGE, "image 4 has label 5, expected 0 to 4");
    labels[4] = -1;
    refused(&config, N, BASE_USAGE, "image 4 has label -1, expected 0 to 4");
}
END_TEST

/* One size after the other is none. */
START_TEST(sizes_of_nothing_are_refused)
{
    const attack_config config = attack_config_defaults();
    static const char *const told[] = {
        "12 images of 0 x 4 x 4, 5 at a time", "12 images of 1 x 0 x 4, 5 at a time",
        "12 images of 1 x 4 x 0, 5 at a time", "12 images of 1 x 4 x 4, 0 at a time",
        "12 images of 18446744073709551615 x 4 x 4, 5 at a time"};

    for (size_t way = 0; way < 5; way++) {
        attack_target target = test_net_target(&net, 1, SIDE, 5);
        attack_run *run = NULL;

        *(way == 0 || way == 4 ? &target.channels
          : way == 1           ? &target.height
          : way == 2           ? &target.width
                               : &target.batch) = way == 4 ? SIZE_MAX : 0;
        ck_assert_int_eq(attack_run_create(&run, &target, &config, images, labels, N, &err),
                         BASE_USAGE);
        ck_assert_str_eq(err.text, told[way]);
        ck_assert_ptr_null(run);
    }
}
END_TEST

START_TEST(routing_that_cannot_be_fixed_is_refused)
{
    attack_config config = attack_config_defaults();

    config.fixed_routing = true;
    refused(&config, N, BASE_USAGE,
            "routing cannot be fixed: the model has none, or cannot hold it");
}
END_TEST

START_TEST(one_class_is_refused)
{
    const attack_config config = attack_config_defaults();

    teardown();
    make_net(1);
    refused(&config, N, BASE_USAGE,
            "the model tells 1 class apart, an attack needs at least 2");
}
END_TEST

/* dlr with two classes, the targeted ratio with three, nine targets where there are
 * fewer. */
START_TEST(few_classes_fall_back_and_say_so)
{
    static const char *const notes[] = {
        "margin-target in place of dlr-target: 2 classes are too few",
        "margin-target in place of dlr-target: 3 classes are too few",
        "3 targets in place of 9: 4 classes"};
    attack_config config = attack_config_defaults();

    config.eps = 0.05;
    for (size_t classes = 2; classes <= 4; classes++) {
        teardown();
        make_net(classes);
        attack_run *run = search(&config, ALL);
        const attack_result *dlr = attack_run_result(run, 6),
                            *t = attack_run_result(run, 7);
        ck_assert_str_eq(dlr->loss, classes < 3 ? "margin" : "dlr");
        ck_assert_str_eq(t->loss, classes < 4 ? "margin-target" : "dlr-target");
        ck_assert_uint_eq(t->restarts, classes - 1);
        ck_assert_str_eq(attack_run_result(run, 0)->note, "");
        ck_assert_str_eq(
            dlr->note, classes < 3 ? "margin in place of dlr: 2 classes are too few" : "");
        ck_assert_str_eq(t->note, notes[classes - 2]);
        ck_assert_uint_lt(attack_run_robust(run), N);
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(without_a_budget_nothing_changes)
{
    for (int norm = 0; norm < 3; norm++) {
        attack_config config = attack_config_defaults();
        config.norm = (attack_norm)norm;
        config.eps = 0;
        attack_run *run = search(&config, norm == 2 ? "noise pgd apgd-ce fab" : ALL);
        ck_assert_uint_eq(attack_run_clean(run), N);
        ck_assert_uint_eq(attack_run_robust(run), N);
        ck_assert(memcmp(attack_run_adversarial(run), images, sizeof images) == 0);
        ck_assert(attack_run_result(run, 1)->complete);
        ck_assert_uint_eq(attack_run_result(run, 1)->evaluated, N);
        ck_assert_double_eq(attack_run_result(run, 0)->draw_accuracy, 1);
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(a_model_that_is_wrong_on_everything_has_nothing_to_attack)
{
    const attack_config config = attack_config_defaults();

    for (size_t i = 0; i < N; i++)
        labels[i] = (labels[i] + 1) % CLASSES;
    attack_run *run = search(&config, ALL);
    ck_assert_uint_eq(attack_run_clean(run), 0);
    ck_assert_uint_eq(attack_run_robust(run), 0);
    for (size_t a = 0; a < attack_run_count(run); a++) {
        const attack_result *result = attack_run_result(run, a);
        ck_assert(result->complete);
        ck_assert_uint_eq(result->evaluated, 0);
        ck_assert_uint_eq(result->broken, 0);
        ck_assert(isnan(result->median_norm) && isnan(result->queries_median));
    }
    ck_assert(memcmp(attack_run_adversarial(run), images, sizeof images) == 0);
    attack_run_destroy(run);
}
END_TEST

START_TEST(logits_that_are_no_numbers_mark_all_samples)
{
    const attack_config config = attack_config_defaults();

    net.nan_logits = true;
    attack_run *run = search(&config, ALL);
    ck_assert_uint_eq(attack_run_clean(run), 0);
    for (size_t i = 0; i < N; i++) {
        const attack_sample sample = attack_run_sample(run, i);
        ck_assert(sample.invalid && !sample.right && !sample.broken);
        ck_assert_int_eq(sample.clean_prediction, -1);
        ck_assert(isnan(sample.clean_margin));
    }
    attack_run_destroy(run);
}
END_TEST

START_TEST(gradients_that_are_no_numbers_are_counted_and_break_nothing)
{
    const attack_config config = attack_config_defaults();

    net.nan_gradient = true;
    attack_run *run =
        search(&config, "fgsm pgd:start=none,steps=5 apgd-t:steps=8,targets=2");
    for (size_t a = 0; a < 2; a++) {
        ck_assert_uint_eq(attack_run_result(run, a)->invalid, N);
        ck_assert_uint_eq(attack_run_result(run, a)->broken, 0);
    }
    for (size_t i = 0; i < N; i++)
        ck_assert(attack_run_sample(run, i).invalid);
    attack_run_destroy(run);
}
END_TEST

START_TEST(gradients_of_zero_are_counted_and_move_nothing)
{
    attack_config config = attack_config_defaults();

    net.gradient_scale = 0;
    attack_run *run = search(&config, "fgsm pgd:start=none,steps=5 mi-fgsm:steps=4");
    for (size_t a = 0; a < 3; a++)
        ck_assert_uint_eq(attack_run_result(run, a)->zero_grad, N);
    ck_assert_uint_eq(attack_run_robust(run), N);
    ck_assert(memcmp(attack_run_adversarial(run), images, sizeof images) == 0);
    attack_run_destroy(run);
}
END_TEST

/* Logits drawn anew at every call: what broke in the search is asked again before it
 * counts. */
START_TEST(a_success_that_does_not_repeat_does_not_count)
{
    attack_config config = attack_config_defaults();

    config.eps = 1e-6;
    net.noise = 1;
    attack_run *run = search(&config, "pgd:steps=20");
    const attack_result *result = attack_run_result(run, 0);
    ck_assert_uint_gt(result->unconfirmed, 0);
    ck_assert_uint_le(result->broken + result->unconfirmed, result->evaluated);
    attack_run_destroy(run);
}
END_TEST

START_TEST(means_over_evaluations_steady_a_random_model)
{
    attack_config config = attack_config_defaults();

    config.eps = 0.02;
    attack_run *run = search(&config, "rand");
    ck_assert_double_ge(attack_run_result(run, 0)->forward_evals,
                        20 * (double)attack_run_result(run, 0)->evaluated);
    attack_run *plain = search(&config, "apgd-ce apgd-dlr");
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(attack_run_sample(run, i).broken,
                         attack_run_sample(plain, i).broken);
    attack_run_destroy(run);
    attack_run_destroy(plain);
}
END_TEST

/* ---- specs --------------------------------------------------------------------------- */

static void add_refused(attack_run *run, const char *spec, const char *text)
{
    const size_t before = attack_run_count(run);

    ck_assert_int_eq(attack_run_add(run, spec, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, text);
    ck_assert_uint_eq(attack_run_count(run), before);
}

START_TEST(specs_that_mean_nothing_are_refused_with_the_nearest)
{
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;

    ck_assert_int_eq(create(&run, &config, N), BASE_OK);
    add_refused(run, "pgf", "no attack or preset is called 'pgf'; the nearest is 'pgd'");
    add_refused(run, "fgsm standrad",
                "no attack or preset is called 'standrad'; the nearest is 'standard'");
    add_refused(run, "pgd:step=4",
                "attack 'pgd' has no option 'step'; the nearest is 'steps'");
    add_refused(run, "pgd:steps=0",
                "attack 'pgd': 'steps' is '0', expected a whole number from 1 to 100000");
    add_refused(run, "pgd:steps=2.5",
                "attack 'pgd': 'steps' is '2.5', expected a whole number from 1 to 100000");
    add_refused(
        run, "pgd:alpha=2/0",
        "attack 'pgd': 'alpha' is '2/0', expected a number from 0 to 1000000 or auto");
    add_refused(run, "pgd:loss=mse",
                "attack 'pgd': 'loss' is 'mse', expected one of ce|margin|dlr");
    add_refused(run, "pgd:loss=m",
                "attack 'pgd': 'loss' is 'm', expected one of ce|margin|dlr");
    add_refused(run, "pgd:steps", "attack 'pgd': 'steps' is not of the form key=value");
    add_refused(run, "pgd:", "attack 'pgd': '' is not of the form key=value");
    add_refused(run, " ", "the list of attacks is empty");
    add_refused(run, "router", "attack 'router' needs a model with experts to choose from");
    add_refused(run, "cw", "attack 'cw' works in l2, not in linf");
    add_refused(run, "apgd-l1-ce", "attack 'apgd-l1-ce' works in l1, not in linf");
    char many[5 * 65 + 1] = "", text[300], long_spec[170];
    for (size_t i = 0; i < 65; i++)
        memcpy(many + 5 * i, "fgsm ", 6);
    add_refused(run, many, "more than 64 attacks at once");
    memset(long_spec, 'x', 160);
    long_spec[160] = 0;
    snprintf(text, sizeof text, "attack '%.40s...' is longer than 159 characters",
             long_spec);
    add_refused(run, long_spec, text);
    long_spec[159] = 0;
    snprintf(text, sizeof text,
             "no attack or preset is called '%s'; the nearest is 'autoattack'", long_spec);
    ck_assert_int_eq(attack_run_add(run, long_spec, &err), BASE_USAGE);
    ck_assert_int_eq(strncmp(err.text, text, 140), 0);
    many[5 * 64 - 1] = 0;
    ck_assert_int_eq(attack_specs_check(many, ATTACK_NORM_L2, &err), BASE_OK);
    add_refused(
        run, "pgd:restarts=1000,targets=1000,steps=7,alpha=0x1p",
        "attack 'pgd': 'alpha' is '0x1p', expected a number from 0 to 1000000 or auto");
    attack_run_destroy(run);
    config.norm = ATTACK_NORM_L1;
    ck_assert_int_eq(create(&run, &config, N), BASE_OK);
    add_refused(run, "fgsm", "attack 'fgsm' works in linf, l2, not in l1");
    attack_run_destroy(run);
}
END_TEST

/* Seven pixels a side leave a row and a column beside the first squares: of what a lane did
 * before nothing stays there. */
START_TEST(square_starts_from_nothing_whoever_was_there)
{
    enum { WIDTH = 7, PIXELS = WIDTH * WIDTH, COUNT = 6 };
    static float x[COUNT * PIXELS];
    static int32_t y[COUNT];
    test_net wide = test_net_make(PIXELS, 6, 3, 3);
    attack_config config = attack_config_defaults();
    attack_run *run[2] = {NULL, NULL};

    test_net_samples(&wide, x, y, COUNT, 0.2, 0.8, 3);
    config.norm = ATTACK_NORM_L2;
    config.eps = 0.3;
    config.early_stop = false;
    for (int alone = 0; alone < 2; alone++) {
        const attack_target target = test_net_target(&wide, 1, WIDTH, alone ? 1 : COUNT);
        ck_assert_int_eq(
            attack_run_create(&run[alone], &target, &config, x, y, COUNT, &err), BASE_OK);
        ck_assert_int_eq(attack_run_add(run[alone], "square:queries=3", &err), BASE_OK);
        ck_assert_int_eq(attack_run_go(run[alone], &err), BASE_OK);
    }
    ck_assert_mem_eq(attack_run_adversarial(run[0]), attack_run_adversarial(run[1]),
                     sizeof x);
    ck_assert_mem_ne(attack_run_adversarial(run[0]), x, sizeof x);
    attack_run_destroy(run[0]);
    attack_run_destroy(run[1]);
    test_net_free(&wide);
}
END_TEST

/* What stands in a result before it has run: rounds, and the axis of the curve, whose
 * points are all steps or 64 of them. */
START_TEST(a_result_says_what_is_to_come)
{
    static const struct {
        const char *spec, *name, *loss;
        size_t steps, rounds, by_restart;
        const char *note;
    } cases[] = {
        {"fgsm", "fgsm", "ce", 1, 1, 1, ""},
        {"noise:draws=5", "noise", "margin", 4, 1, 1, ""},
        {"pgd:steps=62,loss=margin", "pgd", "margin", 62, 1, 1, ""},
        {"pgd:steps=63,restarts=63", "pgd", "ce", 63, 63, 63, ""},
        {"pgd:steps=64,restarts=64,aim=next", "pgd", "ce-target", 64, 64, 64, ""},
        {"pgd:steps=65,restarts=65", "pgd", "ce", 65, 65, 64, ""},
        {"pgd:steps=1000,restarts=33,targets=4", "pgd", "ce-target", 1000, 132, 64, ""},
        {"pgd:targets=5,restarts=2", "pgd", "ce-target", 20, 8, 8,
         "4 targets in place of 5: 5 classes"},
        {"apgd-t:restarts=2", "apgd-t", "dlr-target", 100, 8, 8,
         "4 targets in place of 9: 5 classes"},
    };
    const attack_config config = attack_config_defaults();

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        attack_run *run = NULL;
        ck_assert_int_eq(create(&run, &config, N), BASE_OK);
        ck_assert_int_eq(attack_run_add(run, cases[c].spec, &err), BASE_OK);
        const attack_result *r = attack_run_result(run, 0);
        const size_t steps = cases[c].steps, points = steps < 64 ? steps + 1 : 64;
        ck_assert_str_eq(r->spec, cases[c].spec);
        ck_assert_str_eq(r->name, cases[c].name);
        ck_assert_str_eq(r->loss, cases[c].loss);
        ck_assert_str_eq(r->note, cases[c].note);
        ck_assert_uint_eq(r->restarts, cases[c].rounds);
        ck_assert_uint_eq(r->by_restart_count, cases[c].by_restart);
        ck_assert_uint_eq(r->curve_count, points);
        for (size_t i = 0; i < points; i++) {
            ck_assert_uint_eq(r->curve_step[i], steps < 64 ? i : i * steps / 63);
            ck_assert(isnan(r->curve[i]));
        }
        ck_assert(!r->complete && r->evaluated == 0 && r->seconds == 0);
        ck_assert(isnan(r->median_norm) && isnan(r->max_norm) && isnan(r->minimal_norm));
        ck_assert(isnan(r->queries_median) && isnan(r->draw_accuracy));
        ck_assert(isnan(r->late_rise));
        ck_assert_ptr_null(attack_run_result(run, 1));
        attack_run_destroy(run);
    }
}
END_TEST

START_TEST(rounds_have_a_limit)
{
    attack_config config = attack_config_defaults();
    attack_run *run = NULL;

    test_net_free(&net);
    make_net(80);
    ck_assert_int_eq(create(&run, &config, N), BASE_OK);
    add_refused(
        run, "pgd fab-t:restarts=1000,targets=79",
        "attack 'fab-t:restarts=1000,targets=79' has 79000 rounds, expected at most "
        "65535");
    attack_run_destroy(run);
    net.classes = 257; /* it is not asked */
    ck_assert_int_eq(create(&run, &config, N), BASE_OK);
    add_refused(run, "fab-t:restarts=256,targets=256",
                "attack 'fab-t:restarts=256,targets=256' has 65536 rounds, expected at "
                "most 65535");
    ck_assert_int_eq(attack_run_add(run, "fab-t:restarts=257,targets=255", &err), BASE_OK);
    ck_assert_uint_eq(attack_run_result(run, 0)->restarts, 65535);
    attack_run_destroy(run);
}
END_TEST

START_TEST(lists_are_checked_before_there_is_a_run)
{
    ck_assert_int_eq(
        attack_specs_check("standard pgd:steps=7 router", ATTACK_NORM_L2, &err), BASE_OK);
    ck_assert_int_eq(attack_specs_check("fgsm pgd:stepz=7", ATTACK_NORM_L2, &err),
                     BASE_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "'steps'"));
    ck_assert_int_eq(attack_specs_check("pgd router", ATTACK_NORM_L1, &err), BASE_USAGE);
}
END_TEST

START_TEST(fractions_and_words_are_understood)
{
    attack_spec spec;

    ck_assert_int_eq(attack_spec_parse(&spec,
                                       "pgd:alpha=2/255,steps=7,loss=margin,aim=least",
                                       ATTACK_NORM_LINF, &err),
                     BASE_OK);
    ck_assert_double_eq_tol(spec.settings.alpha, 2.0 / 255, 1e-15);
    ck_assert_int_eq(spec.settings.steps, 7);
    ck_assert_int_eq(spec.settings.loss, 1);
    ck_assert_int_eq(spec.settings.aim, 2);
    ck_assert_str_eq(spec.text, "pgd:alpha=2/255,steps=7,loss=margin,aim=least");
}
END_TEST

START_TEST(every_preset_and_attack_is_understood)
{
    for (int norm = 0; norm < 3; norm++) {
        attack_config config = attack_config_defaults();
        attack_run *run = NULL;
        config.norm = (attack_norm)norm;
        config.eps = 0.5;
        ck_assert_int_eq(create(&run, &config, N), BASE_OK);
        for (size_t i = 0; attack_preset_name(i); i++)
            if (attack_preset(attack_preset_name(i), config.norm))
                ck_assert_msg(attack_run_add(run, attack_preset_name(i), &err) == BASE_OK,
                              "%s", err.text);
        for (size_t i = 0; attack_name(i); i++) {
            const bool knows = attack_knows_norm(attack_name(i), config.norm) &&
                               strcmp(attack_name(i), "router") != 0; /* no experts */
            ck_assert_int_eq(attack_run_add(run, attack_name(i), &err),
                             knows ? BASE_OK : BASE_USAGE);
            ck_assert(attack_summary(attack_name(i))[0] != 0);
            ck_assert_ptr_nonnull(attack_options(attack_name(i)));
        }
        attack_run_destroy(run);
    }
    ck_assert_ptr_null(attack_summary("nothing"));
    ck_assert_ptr_null(attack_options("nothing"));
    ck_assert_ptr_null(attack_preset("nothing", ATTACK_NORM_LINF));
    ck_assert(!attack_knows_norm("nothing", ATTACK_NORM_LINF));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attack_limits");
    TCase *limits = tcase_create("Limits"), *specs = tcase_create("Specs");

    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_checked_fixture(specs, setup, teardown);
    tcase_add_test(limits, a_run_is_configured_like_this);
    tcase_add_test(limits, budgets_out_of_range_are_refused);
    tcase_add_test(limits, no_images_are_refused);
    tcase_add_test(limits, pixels_and_labels_out_of_range_are_named);
    tcase_add_test(limits, sizes_of_nothing_are_refused);
    tcase_add_test(limits, routing_that_cannot_be_fixed_is_refused);
    tcase_add_test(limits, one_class_is_refused);
    tcase_add_test(limits, few_classes_fall_back_and_say_so);
    tcase_add_test(limits, without_a_budget_nothing_changes);
    tcase_add_test(limits, a_model_that_is_wrong_on_everything_has_nothing_to_attack);
    tcase_add_test(limits, logits_that_are_no_numbers_mark_all_samples);
    tcase_add_test(limits, gradients_that_are_no_numbers_are_counted_and_break_nothing);
    tcase_add_test(limits, gradients_of_zero_are_counted_and_move_nothing);
    tcase_add_test(limits, a_success_that_does_not_repeat_does_not_count);
    tcase_add_test(limits, means_over_evaluations_steady_a_random_model);
    tcase_add_test(specs, specs_that_mean_nothing_are_refused_with_the_nearest);
    tcase_add_test(specs, a_result_says_what_is_to_come);
    tcase_add_test(specs, rounds_have_a_limit);
    tcase_add_test(specs, square_starts_from_nothing_whoever_was_there);
    tcase_add_test(specs, lists_are_checked_before_there_is_a_run);
    tcase_add_test(specs, fractions_and_words_are_understood);
    tcase_add_test(specs, every_preset_and_attack_is_understood);
    suite_add_tcase(suite, limits);
    suite_add_tcase(suite, specs);
    return test_run(suite);
}
