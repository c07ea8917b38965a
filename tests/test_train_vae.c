/* test_train_vae.c - runs of the autoencoder of experts in this process: what it measures
 * against sums over its images, what its lines tell, each field of its state, its keys. */
#include <jansson.h>
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"
#include "tests/test_says.h"
#include "train/vae/vae.h"

static char *dir, *pictures, *folder;
static base_error err;

static void setup(void)
{
    dir = test_folder_make();
    pictures = test_path(dir, "data");
    folder = test_path(dir, "run");
    ck_assert_int_eq(base_folder_make(pictures, NULL), BASE_OK);
    sample_folder_make(pictures);
}

static void teardown(void)
{
    base_free(pictures);
    base_free(folder);
    test_folder_remove(dir);
}

/* Twelve pictures in three steps an epoch; two epochs. */
static train_vae_recipe small(void)
{
    static const char *const set[] = {
        "vae.experts=3",   "vae.latent=3",     "vae.hidden=10",     "vae.decoder=6",
        "vae.balance=0.5", "vae.sharpen=0.25", "data.image=8",      "schedule.warmup=2",
        "train.epochs=2",  "train.batch=4",    "train.log_every=2", "optimizer.lr=0.01"};
    train_vae_recipe r = train_vae_recipe_defaults();

    ck_assert_msg(train_vae_recipe_set(&r, set, sizeof set / sizeof set[0], &err) ==
                      BASE_OK,
                  "%s", err.text);
    snprintf(r.train, sizeof r.train, "%s", pictures);
    snprintf(r.val, sizeof r.val, "%s", pictures);
    return r;
}

static base_status open_run(train_vae *v, const train_vae_recipe *r, bool resume)
{
    const train_vae_options options = {.folder = folder, .resume = resume};

    err = (base_error){0};
    return train_vae_open(v, r, &options, &err);
}

/* ---- measures ------------------------------------------------------------------------ */

/* Every figure again, from passes over the validation images in their order. */
START_TEST(measures_are_sums_over_the_images)
{
    enum { E = 3, CLASSES = 3, PIXELS = 3 * 8 * 8 };
    train_vae_recipe r = small();
    train_vae_measures m = {0};
    train_vae v = {0};
    const bool label = _i == 1;
    double best = 0, all = 0, kl = 0, entropy = 0, errors[E] = {0}, agree = 0, spread = 0;
    uint64_t table[CLASSES * E] = {0}, load[E] = {0};
    size_t n = 0;
    data_batch b;

    r.routing = label ? TRAIN_VAE_LABEL : TRAIN_VAE_LEARNED;
    ck_assert_msg(open_run(&v, &r, false) == BASE_OK, "%s", err.text);
    ck_assert_uint_eq(v.total, 6);
    ck_assert_msg(train_vae_run(&v, &err) == BASE_OK, "%s", err.text);
    ck_assert_msg(train_vae_measure(&m, &v, _i == 2, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(data_loader_seek(v.val_loader, 0, 0, &err), BASE_OK);
    while (data_loader_next(v.val_loader, &b, &err) == BASE_OK && b.count > 0) {
        vit_vae_losses l;
        int32_t given[16];
        ck_assert_int_eq(
            vit_vae_forward(v.run, &l, b.images, b.count, VIT_VAE_ALL, NULL, NULL, &err),
            BASE_OK);
        all += (double)b.count * l.squares;
        for (size_t i = 0; i < b.count; i++)
            given[i] = b.labels[i] % E;
        ck_assert_int_eq(vit_vae_forward(v.run, &l, b.images, b.count,
                                         label ? VIT_VAE_GIVEN : VIT_VAE_BEST, given, NULL,
                                         &err),
                         BASE_OK);
        kl += (double)b.count * l.kl;
        entropy += (double)b.count * l.entropy;
        for (size_t i = 0; i < b.count; i++, n++) {
            const size_t e = (size_t)vit_vae_expert(v.run)[i], y = (size_t)b.labels[i];
            const float *gate = vit_vae_gate(v.run) + i * E;
            table[y * E + e]++;
            load[e]++;
            errors[e] += vit_vae_errors(v.run)[i];
            best += vit_vae_errors(v.run)[i];
            agree += measure_arg_max(gate, E) == e;
            ck_assert_int_eq(m.expert[n], (int32_t)e);
            ck_assert_int_eq(m.labels[n], b.labels[i]);
            ck_assert_mem_eq(m.latents + 3 * n, vit_vae_latent(v.run) + 3 * i,
                             3 * sizeof(float));
        }
    }
    ck_assert_uint_eq(n, 12);
    ck_assert_uint_eq(m.images, 12);
    ck_assert_uint_eq(m.classes, CLASSES);
    ck_assert_uint_eq(m.experts, E);
    ck_assert_uint_eq(m.latent, 3);
    ck_assert_double_eq_tol(m.best, best / (12.0 * PIXELS), 1e-9);
    if (label)
        ck_assert(isnan(m.all));
    else
        ck_assert_double_eq_tol(m.all, all / (12.0 * PIXELS), 1e-9);
    ck_assert_double_eq_tol(m.kl, kl / 12, 1e-9);
    ck_assert_double_eq_tol(m.entropy, entropy / 12, 1e-9);
    ck_assert_double_eq_tol(m.agreement, agree / 12, 1e-12);
    ck_assert_mem_eq(m.table, table, sizeof table);
    ck_assert_mem_eq(m.load, load, sizeof load);
    size_t dead = 0;
    for (size_t e = 0; e < E; e++) {
        const double share = (double)load[e] / 12;
        dead += load[e] == 0;
        if (load[e] > 0)
            ck_assert_double_eq_tol(m.expert_error[e],
                                    errors[e] / ((double)load[e] * PIXELS), 1e-9);
        else
            ck_assert(isnan(m.expert_error[e]));
        spread -= share > 0 ? share * log(share) / log(E) : 0;
    }
    ck_assert_uint_eq(m.dead, dead);
    ck_assert_double_eq_tol(m.load_entropy, spread, 1e-12);
    const measure_table found = measure_table_of(table, CLASSES, E);
    ck_assert_double_eq(m.found.mutual, found.mutual);
    ck_assert_uint_eq(m.points, 12);
    ck_assert_uint_eq(m.near_points, 12);
    if (_i == 2) {
        for (size_t i = 0; i < 12; i++)
            ck_assert_uint_eq(m.point[i], i);
        ck_assert_uint_eq(m.of_label.train_count + m.of_label.test_count, 12);
        ck_assert(m.total > 0 && m.variance[0] >= m.variance[1]);
    }
    train_vae_measures_free(&m);
    train_vae_close(&v);
}
END_TEST

/* ---- loaders ------------------------------------------------------------------------- */

static data_loader_config seen;

static void look(void *user, data_loader_config *config)
{
    seen = *config;
    config->skip_bad = *(const bool *)user;
}

/* Pixels stay 0..1 at the size of the network; an image without a label ends a measure. */
START_TEST(loaders_are_asked_for_and_an_image_needs_a_label)
{
    train_vae_recipe r = small();
    bool skip = true;
    char *broken = test_path(pictures, "green/2.png");
    const train_vae_options options = {.folder = folder,
                                       .watch = {.user = &skip, .loaders = look}};
    train_vae_measures m = {0};
    train_vae v = {0};

    r.seed = 5;
    test_write(broken, "x", 1);
    ck_assert_msg(train_vae_open(&v, &r, &options, &err) == BASE_OK, "%s", err.text);
    ck_assert(seen.size == 8 && seen.resize == 8 && seen.channels == 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert(seen.mean[i] == 0 && seen.std[i] == 1);
    ck_assert_uint_eq(seen.seed, 5);
    ck_assert_int_eq(train_vae_measure(&m, &v, false, &err), BASE_FORMAT);
    test_says(err.text, "image 6 of 'data' has no label");
    ck_assert_ptr_null(m.table);
    train_vae_close(&v);
    skip = false; /* as it is: refused when it is read */
    ck_assert_msg(train_vae_open(&v, &r, &options, &err) == BASE_OK, "%s", err.text);
    ck_assert_int_eq(train_vae_measure(&m, &v, false, &err), BASE_FORMAT);
    test_says(err.text, "~/green/2.png: ");
    ck_assert_ptr_null(m.table);
    train_vae_close(&v);
    base_free(broken);
}
END_TEST

/* ---- lines --------------------------------------------------------------------------- */

static double number(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    ck_assert_msg(json_is_number(value), "'%s' is no number", key);
    return json_number_value(value);
}

typedef struct sums {
    double squares, kl, balance, entropy;
    int steps;
} sums;

static void stepped(void *user, const train_vae *v, const vit_vae_losses *l)
{
    sums *s = user;

    (void)v;
    s[s->steps / 2].squares += l->squares / 2; /* two steps a line */
    s[s->steps / 2].kl += l->kl / 2;
    s[s->steps / 2].balance += l->balance / 2;
    s[s->steps / 2].entropy += l->entropy / 2;
    s->steps++;
}

/* Lines of two steps each are means of their losses; the rate is that of the last step:
 * a warm-up of two, then a cosine over four. */
START_TEST(lines_tell_of_the_steps)
{
    const double pi = 3.14159265358979323846;
    const double rates[] = {0.01, 0.005 * (1 + cos(pi / 4)), 0.005 * (1 + cos(3 * pi / 4))};
    const train_vae_recipe r = small();
    sums s[4] = {{0}};
    train_vae v = {0};
    char *text = NULL;
    size_t bytes = 0, at = 0, evals = 0;

    const train_vae_options told = {.folder = folder,
                                    .watch = {.user = s, .stepped = stepped}};
    ck_assert_int_eq(train_vae_open(&v, &r, &told, &err), BASE_OK);
    ck_assert_int_eq(train_vae_run(&v, &err), BASE_OK);
    ck_assert_int_eq(base_file_read(&text, &bytes, v.metrics_path, 1 << 20, &err), BASE_OK);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        json_t *json = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        if (strcmp(json_string_value(json_object_get(json, "kind")), "eval") == 0) {
            ck_assert_double_eq(number(json, "step"), 3 * (double)++evals);
            ck_assert_uint_eq(json_object_size(json), 10);
            json_decref(json);
            continue;
        }
        ck_assert_uint_eq(json_object_size(json), 10);
        ck_assert_double_eq(number(json, "step"), 2 * (double)(at + 1));
        ck_assert_double_eq_tol(number(json, "mse"), s[at].squares / 192, 1e-6);
        ck_assert_double_eq_tol(number(json, "kl"), s[at].kl, 1e-6);
        ck_assert_double_eq_tol(number(json, "balance"), s[at].balance, 1e-6);
        ck_assert_double_eq_tol(number(json, "gate_entropy"), s[at].entropy, 1e-6);
        ck_assert_double_eq_tol(number(json, "lr"), rates[at], 1e-8);
        ck_assert_double_gt(number(json, "grad_norm"), 0);
        at++;
        json_decref(json);
    }
    ck_assert_uint_eq(at, 3);
    ck_assert_uint_eq(evals, 2);
    ck_assert_uint_eq(v.step, 6);
    ck_assert_uint_eq(v.evaluated, 6);
    ck_assert_uint_eq(v.skipped, 0);
    ck_assert(!v.unsaved);
    base_free(text);
    train_vae_close(&v);
}
END_TEST

/* A hundred steps may be skipped, in all; one more ends the run. */
START_TEST(too_many_gradients_that_are_not_finite_end_a_run)
{
    const train_vae_recipe r = small();
    train_vae v = {0};

    ck_assert_msg(open_run(&v, &r, false) == BASE_OK, "%s", err.text);
    v.skipped = 98;
    vit_vae_weights(v.vae)[0] = NAN;
    ck_assert_int_eq(train_vae_run(&v, &err), BASE_NUMERIC);
    ck_assert_str_eq(err.text, "more than 100 gradients were not finite");
    ck_assert_uint_eq(v.skipped, 101);
    ck_assert_uint_eq(v.step, 3);
    train_vae_close(&v);
}
END_TEST

/* ---- the state ----------------------------------------------------------------------- */

static const char *const keys[] = {"format",          "version", "step",
                                   "evaluated",       "skipped", "train_fingerprint",
                                   "val_fingerprint", "recipe"};
enum { KEYS = sizeof keys / sizeof keys[0], TENSORS = 16 };

/* The state of last/ with one text changed (NULL: gone) and one tensor left out. */
static void change(const char *key, const char *text, const char *drop)
{
    char *live = test_path(folder, "last/state.safetensors"),
         *kept = test_path(dir, "kept");
    vit_tensor_file *file = NULL;
    vit_tensor tensors[TENSORS];
    vit_pair pairs[KEYS];
    size_t count = 0, texts = 0;

    ck_assert_msg(vit_tensors_open(&file, kept, &err) == BASE_OK, "%s", err.text);
    for (size_t i = 0; i < vit_tensors_count(file); i++) {
        ck_assert_uint_lt(count, TENSORS);
        tensors[count] = *vit_tensors_at(file, i);
        count += !drop || strcmp(tensors[count].name, drop) != 0;
    }
    for (size_t i = 0; i < KEYS; i++) {
        const char *now = vit_tensors_metadata(file, keys[i]);
        ck_assert_msg(now != NULL, "the state has no '%s'", keys[i]);
        if (key && strcmp(key, keys[i]) == 0)
            now = text;
        if (now)
            pairs[texts++] = (vit_pair){keys[i], now};
    }
    ck_assert_int_eq(vit_tensors_write(live, tensors, count, pairs, texts, &err), BASE_OK);
    vit_tensors_close(file);
    base_free(live);
    base_free(kept);
}

/* "%" of the words is the state's name. */
static void refused(base_status status, const char *words)
{
    const train_vae_recipe r = small();
    char *last = test_path(folder, "last"), want[1024];
    train_vae v = {0};
    size_t used = 0;

    snprintf(want, sizeof want, "cannot resume from '%s': ", last);
    used = strlen(want);
    for (const char *at = words; *at; at++)
        used += *at == '%' ? (size_t)snprintf(want + used, sizeof want - used,
                                              "%s/state.safetensors", last)
                           : (size_t)snprintf(want + used, sizeof want - used, "%c", *at);
    ck_assert_int_eq(open_run(&v, &r, true), BASE_OK);
    ck_assert_msg(train_vae_run(&v, &err) == status, "%s: %s", words, err.text);
    ck_assert_str_eq(err.text, want);
    train_vae_close(&v);
    base_free(last);
}

START_TEST(each_field_of_a_state_is_looked_at)
{
    const train_vae_recipe r = small();
    char *live = test_path(folder, "last/state.safetensors"),
         *kept = test_path(dir, "kept");
    train_vae v = {0};

    ck_assert_int_eq(open_run(&v, &r, false), BASE_OK);
    ck_assert_int_eq(train_vae_run(&v, &err), BASE_OK);
    train_vae_close(&v);
    ck_assert_int_eq(rename(live, kept), 0);
    change("format", "vmoe-state", NULL);
    refused(BASE_FORMAT, "it is no state of vmoe vae");
    change("format", NULL, NULL);
    refused(BASE_FORMAT, "it is no state of vmoe vae");
    change("recipe", NULL, NULL);
    refused(BASE_FORMAT, "it is no state of vmoe vae");
    static const char *const numbers[] = {"step", "evaluated", "skipped"};
    for (size_t i = 0; i < 3; i++) {
        char *words = base_text("'%%' has no usable '%s' in its metadata", numbers[i]);
        change(numbers[i], NULL, NULL);
        refused(BASE_FORMAT, words);
        change(numbers[i], "x", NULL);
        refused(BASE_FORMAT, words);
        base_free(words);
    }
    change("step", "7", NULL);
    refused(BASE_FORMAT, "'%' stands at step 7 of 6, evaluated at 6 with 0 skipped");
    change("evaluated", "7", NULL);
    refused(BASE_FORMAT, "'%' stands at step 6 of 6, evaluated at 7 with 0 skipped");
    change("skipped", "7", NULL);
    refused(BASE_FORMAT, "'%' stands at step 6 of 6, evaluated at 6 with 7 skipped");
    change(NULL, NULL, "sums");
    refused(BASE_FORMAT, "'%' has no tensor 'sums' of 7 doubles");
    /* weights of another network beside it */
    char *model = test_path(folder, "last/model.safetensors"), *own = test_path(dir, "own");
    vit_vae_config config = r.config;
    vit_vae *other = NULL;
    config.channels = 3;
    config.hidden = 11;
    ck_assert_int_eq(rename(model, own), 0);
    ck_assert_int_eq(vit_vae_create(&other, &config, &err), BASE_OK);
    ck_assert_int_eq(vit_vae_save(other, model, NULL, 0, &err), BASE_OK);
    vit_vae_destroy(other);
    change(NULL, NULL, NULL);
    refused(BASE_MISMATCH, "it holds another network");
    ck_assert_int_eq(rename(own, model), 0);
    base_free(model);
    base_free(own);
    /* at the edge it is taken */
    change("skipped", "6", NULL);
    ck_assert_int_eq(open_run(&v, &r, true), BASE_OK);
    ck_assert_msg(train_vae_run(&v, &err) == BASE_OK, "%s", err.text);
    ck_assert_uint_eq(v.skipped, 6);
    ck_assert_uint_eq(v.step, 6);
    ck_assert_uint_eq(v.evaluated, 6);
    train_vae_close(&v);
    /* and what is not at the end goes on */
    change("evaluated", "0", NULL);
    ck_assert_int_eq(open_run(&v, &r, true), BASE_OK);
    ck_assert_msg(train_vae_run(&v, &err) == BASE_OK, "%s", err.text);
    ck_assert_uint_eq(v.evaluated, 6); /* the evaluation that it owed */
    train_vae_close(&v);
    base_free(live);
    base_free(kept);
}
END_TEST

static bool stop(void *user)
{
    const uint64_t *at = user;

    return *at > 0;
}

static void count(void *user, const train_vae *v, const vit_vae_losses *l)
{
    (void)l;
    *(uint64_t *)user = v->step == 2; /* asked to stop after the second step */
}

static char told[256];

static void note(void *user, const char *subject, const char *line)
{
    (void)user;
    snprintf(told, sizeof told, "%s: %s", subject, line);
}

/* Stopped by a watch or by its recipe, saved, taken up: the same weights in the end. */
START_TEST(a_run_that_is_stopped_ends_with_the_same_weights)
{
    train_vae_recipe r = small();
    uint64_t asked = 0;
    char *whole = test_path(dir, "whole");
    const train_vae_options other = {.folder = whole},
                            watched = {.folder = folder,
                                       .watch = {&asked, NULL, NULL, note, NULL, count,
                                                 NULL, stop}};
    train_vae one = {0}, v = {0};

    ck_assert_int_eq(train_vae_open(&one, &r, &other, &err), BASE_OK);
    ck_assert_int_eq(train_vae_run(&one, &err), BASE_OK);
    if (_i == 0) {
        ck_assert_int_eq(train_vae_open(&v, &r, &watched, &err), BASE_OK);
    } else {
        r.stop_after = 2;
        ck_assert_int_eq(open_run(&v, &r, false), BASE_OK);
    }
    ck_assert_int_eq(train_vae_run(&v, &err), BASE_INTERRUPTED);
    ck_assert_str_eq(err.text, "stopped at step 2, go on with --resume");
    ck_assert(!v.unsaved);
    train_vae_close(&v);
    r.stop_after = 0;
    const train_vae_options go = {
        .folder = folder, .resume = true, .watch = {.note = note}};
    ck_assert_int_eq(train_vae_open(&v, &r, &go, &err), BASE_OK);
    ck_assert_msg(train_vae_run(&v, &err) == BASE_OK, "%s", err.text);
    ck_assert_str_eq(told, "resume: going on at step 2 of 6");
    ck_assert_uint_eq(vit_vae_floats(v.vae), vit_vae_floats(one.vae));
    ck_assert_mem_eq(vit_vae_weights(v.vae), vit_vae_weights(one.vae),
                     vit_vae_floats(v.vae) * sizeof(float));
    train_vae_close(&v);
    train_vae_close(&one);
    base_free(whole);
}
END_TEST

/* ---- keys ---------------------------------------------------------------------------- */

START_TEST(keys_are_refused_by_their_name)
{
    static const char *const wrong[][2] = {
        {"vae.expert=3",
         "--set: unknown key 'vae.expert' of vmoe vae, the nearest is 'vae.experts'"},
        {"vae.experts=257",
         "--set: 'vae.experts' is '257', expected a whole number from 1 to 256"},
        {"vae.routing=gate",
         "--set: 'vae.routing' is 'gate', expected one of learned|label"}};
    train_vae_recipe r = train_vae_recipe_defaults();

    ck_assert_str_eq(r.name, "plain settings");
    ck_assert_int_eq(r.config.channels, 0);
    for (size_t i = 0; i < 3; i++) {
        const char *const words[] = {wrong[i][0]};
        ck_assert_int_eq(train_vae_recipe_set(&r, words, 1, &err), BASE_USAGE);
        ck_assert_str_eq(err.text, wrong[i][1]);
    }
    ck_assert_int_eq(train_vae_recipe_load(&r, "smoe-vae", &err), BASE_OK);
    ck_assert_str_eq(r.name, "smoe-vae");
    ck_assert_int_eq(train_vae_recipe_load(&r, "smoe-vea", &err), BASE_USAGE);
    test_says(err.text, "no recipe is named 'smoe-vea', the nearest is 'smoe-vae'");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_vae");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_loop_test(core, measures_are_sums_over_the_images, 0, 3);
    tcase_add_test(core, loaders_are_asked_for_and_an_image_needs_a_label);
    tcase_add_test(core, lines_tell_of_the_steps);
    tcase_add_test(core, too_many_gradients_that_are_not_finite_end_a_run);
    tcase_add_test(core, each_field_of_a_state_is_looked_at);
    tcase_add_loop_test(core, a_run_that_is_stopped_ends_with_the_same_weights, 0, 2);
    tcase_add_test(core, keys_are_refused_by_their_name);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
