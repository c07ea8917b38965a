/* test_train_state.c - a run's state, changed behind its back one field at a time: each is
 * refused by its name, or what it says is what the run goes on with. */
#include <inttypes.h>
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"
#include "tests/test_says.h"

/* ---- notes --------------------------------------------------------------------------- */

static char told[4096];

static void take_note(void *user, const char *subject, const char *line)
{
    const size_t used = strlen(told);

    (void)user;
    snprintf(told + used, sizeof told - used, "%s: %s\n", subject ? subject : "-", line);
}

static const train_watch watch = {.note = take_note};

/* ---- a state, and a changed one ------------------------------------------------------ */

/* All keys of a state; those of the position are summed up. */
static const char *const keys[] = {
    "format",
    "version",
    "layout",
    "model_hash",
    "step",
    "evaluated",
    "skipped",
    "best_step",
    "skipped_in_a_row",
    "best_accuracy",
    "best_loss",
    "last_accuracy",
    "last_loss",
    "epoch",
    "step_in_epoch",
    "seed",
    "position_sum",
    "threads",
    "train_fingerprint",
    "val_fingerprint",
    "recipe",
};
enum { KEYS = sizeof keys / sizeof keys[0], TENSORS_MOST = 16 };

static char *folder, *state;

/* The state as it was but for what is given: a key's text (NULL: gone) and another key's;
 * a tensor left out; one number of a tensor. */
typedef struct change {
    const char *key, *text, *and, *and_text;
    const char *drop;
    const char *tensor;
    size_t at;
    double number;
} change;

/* Writes it and returns what loading says; t then stands where the state says. */
static base_status load(train_trainer *t, const change *c, const char *const *settings)
{
    static vit_tensor_file *file;
    vit_tensor tensors[TENSORS_MOST];
    vit_pair pairs[KEYS];
    size_t count = 0, texts = 0;
    double *changed = NULL;
    char *live = test_path(folder, "last/state.safetensors");
    bool found = false;

    ck_assert_msg(vit_tensors_open(&file, state, &err) == BASE_OK, "%s", err.text);
    for (size_t i = 0; i < vit_tensors_count(file); i++) {
        ck_assert_uint_lt(count, TENSORS_MOST);
        tensors[count] = *vit_tensors_at(file, i);
        if (c->drop && strcmp(tensors[count].name, c->drop) == 0)
            continue;
        if (c->tensor && strcmp(tensors[count].name, c->tensor) == 0) {
            changed = base_alloc(tensors[count].shape[0], sizeof *changed);
            memcpy(changed, tensors[count].data, tensors[count].shape[0] * sizeof *changed);
            changed[c->at] = c->number;
            tensors[count].data = changed;
        }
        count++;
    }
    for (size_t i = 0; i < KEYS; i++) {
        const char *text = vit_tensors_metadata(file, keys[i]);
        ck_assert_msg(text != NULL, "the state has no '%s'", keys[i]);
        if (c->key && strcmp(keys[i], c->key) == 0)
            text = c->text;
        if (c->and &&strcmp(keys[i], c->and) == 0)
            text = c->and_text;
        if (text)
            pairs[texts++] = (vit_pair){keys[i], text};
    }
    ck_assert_msg(vit_tensors_write(live, tensors, count, pairs, texts, &err) == BASE_OK,
                  "%s", err.text);
    vit_tensors_close(file);
    base_free(changed);
    base_free(live);
    told[0] = '\0';
    err = (base_error){0};
    trainer_open(t, folder, true, &watch, settings);
    return train_state_load(t, &found, &err);
}

#define USUAL SET("train.max_steps=4", "train.log_every=9", "optimizer.ema=0.9")

static void setup_run(void)
{
    train_trainer t = {0};
    char *live;

    setup();
    folder = test_path(dir, "run");
    state = test_path(dir, "kept.safetensors");
    trainer_open(&t, folder, false, NULL, USUAL);
    ck_assert_msg(train_trainer_run(&t, &err) == BASE_OK, "%s", err.text);
    train_trainer_destroy(&t);
    live = test_path(folder, "last/state.safetensors");
    ck_assert_int_eq(rename(live, state), 0);
    base_free(live);
}

static void teardown_run(void)
{
    base_free(state);
    base_free(folder);
    teardown();
}

/* Refused with these words behind the name of the state. */
static void refused(const change *c, base_status status, const char *words)
{
    train_trainer t = {0};
    char *want = base_text("'%s/last/state.safetensors' %s", folder, words);
    const base_status got = load(&t, c, USUAL);

    ck_assert_msg(got == status, "%s = %s: %d, %s", c->key, c->text, got, err.text);
    ck_assert_str_eq(err.text, want);
    train_trainer_destroy(&t);
    base_free(want);
}

START_TEST(a_state_as_it_was_is_gone_on_with)
{
    train_trainer t = {0};
    const change none = {0};

    ck_assert_msg(load(&t, &none, USUAL) == BASE_OK, "%s", err.text);
    ck_assert_str_eq(told, "");
    ck_assert_uint_eq(t.at.step, 4);
    ck_assert_uint_eq(t.at.evaluated, 4);
    ck_assert_uint_eq(t.at.best_step > 0, 1);
    ck_assert_double_eq(t.at.sums.steps, 0); /* the last line was written */
    train_trainer_destroy(&t);
}
END_TEST

START_TEST(what_is_no_state_of_ours_is_refused)
{
    static const struct {
        change c;
        base_status status;
        const char *words;
    } cases[] = {
        {{.key = "format", .text = "vmoe-vae-state"},
         BASE_FORMAT,
         "is not the state of a run"},
        {{.key = "format"}, BASE_FORMAT, "is not the state of a run"},
        {{.key = "recipe"}, BASE_FORMAT, "is not the state of a run"},
        {{.key = "layout", .text = "0"},
         BASE_FORMAT,
         "has no usable 'layout' in its metadata"},
        {{.key = "layout", .text = "x"},
         BASE_FORMAT,
         "has no usable 'layout' in its metadata"},
        {{.key = "layout", .text = "3", .and = "version", .and_text = "9.9"},
         BASE_UNSUPPORTED,
         "is a state of layout 3, written by vmoe 9.9: this is vmoe " BASE_VERSION
         " and reads up to 2"},
        {{.key = "layout", .text = "4", .and = "version"},
         BASE_UNSUPPORTED,
         "is a state of layout 4, written by vmoe ?: this is vmoe " BASE_VERSION
         " and reads up to 2"},
        {{.drop = "sums"}, BASE_FORMAT, "has no tensor 'sums' of 7 doubles"},
        {{.drop = "load.0"}, BASE_FORMAT, NULL},
        {{.tensor = "sums", .at = 6, .number = (double)INFINITY},
         BASE_FORMAT,
         "has a number in 'sums' that is not finite"},
        {{.tensor = "load.0", .at = 0, .number = (double)INFINITY},
         BASE_FORMAT,
         "has a number in 'load.0' that is not finite"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].words) {
            refused(&cases[i].c, cases[i].status, cases[i].words);
            continue;
        }
        train_trainer t = {0};
        ck_assert_int_eq(load(&t, &cases[i].c, USUAL), cases[i].status);
        test_says(err.text,
                  "'run/last/state.safetensors' has no tensor 'load.0' of 528 doubles");
        train_trainer_destroy(&t);
    }
}
END_TEST

/* A number of the position that was changed alone does not fit the sum; with the sum gone
 * (an older file) it counts, or the key is named where it is no number. */
START_TEST(each_number_of_the_position_is_summed_up_and_counts)
{
    static const struct {
        const char *key, *text;
        size_t at; /* in train_position; SIZE_MAX: it follows from others */
        double real;
    } cases[] = {
        {"step", "4", SIZE_MAX, 0}, /* as it was; below */
        {"evaluated", "3", offsetof(train_position, evaluated), -1},
        {"skipped", "2", offsetof(train_position, skipped), -1},
        {"skipped_in_a_row", "0", SIZE_MAX, 0},
        {"best_step", "1", offsetof(train_position, best_step), -1},
        {"best_accuracy", "0.5", offsetof(train_position, best_accuracy), 0.5},
        {"best_loss", "0.125", offsetof(train_position, best_loss), 0.125},
        {"last_accuracy", "0.75", offsetof(train_position, last_accuracy), 0.75},
        {"last_loss", "-1", offsetof(train_position, last_loss), -1},
        {"epoch", "7", SIZE_MAX, 0},
        {"step_in_epoch", "7", SIZE_MAX, 0},
        {"seed", "7", SIZE_MAX, 0},
    };

    for (size_t i = 1; i < sizeof cases / sizeof cases[0]; i++) {
        const bool counts = cases[i].at != SIZE_MAX,
                   whole = cases[i].real < 0 && strcmp(cases[i].key, "last_loss") != 0;
        train_trainer t = {0};
        change c = {.key = cases[i].key,
                    .text = strcmp(cases[i].key, "skipped_in_a_row") == 0 ? "00"
                                                                          : cases[i].text};
        refused(&c, BASE_FORMAT,
                "tells of a position that was changed since it was written");
        c.and = "position_sum";
        ck_assert_msg(load(&t, &c, USUAL) == BASE_OK, "%s: %s", c.key, err.text);
        const char *place = (const char *)&t.at + (counts ? cases[i].at : 0);
        if (counts && whole)
            ck_assert_uint_eq(*(const uint64_t *)(const void *)place,
                              strtoull(cases[i].text, NULL, 10));
        else if (counts)
            ck_assert_double_eq(*(const double *)(const void *)place, cases[i].real);
        train_trainer_destroy(&t);
        if (i >= 9)
            continue; /* not read */
        char *words = base_text("has no usable '%s' in its metadata", c.key);
        c.text = "x";
        refused(&c, BASE_FORMAT, words);
        c.text = NULL;
        refused(&c, BASE_FORMAT, words);
        base_free(words);
    }
    refused(&(change){.key = "step"}, BASE_FORMAT, "has no usable 'step' in its metadata");
    refused(&(change){.key = "step", .text = "5"}, BASE_FORMAT,
            "tells of a position that was changed since it was written");
    refused(&(change){.key = "step", .text = "5", .and = "position_sum"}, BASE_FORMAT,
            "stands at step 5 of 4");
    refused(&(change){.key = "position_sum", .text = "0"}, BASE_FORMAT,
            "tells of a position that was changed since it was written");
}
END_TEST

/* Numbers that contradict one another, just beyond what is allowed and just within: they
 * are looked at before the sum is. */
START_TEST(numbers_of_the_position_agree_with_one_another)
{
    static const struct {
        const char *key, *within, *beyond, *words, *and, *and_text;
    } cases[] = {
        {"evaluated", "4", "5", "tells of an evaluation after the last step", NULL, NULL},
        {"best_step", "4", "5", "tells of a best step after the last evaluation", NULL,
         NULL},
        {"best_step", "3", "4", "tells of a best step after the last evaluation",
         "evaluated", "3"},
        {"skipped", "4", "5", "tells of more skipped steps than steps", NULL, NULL},
        {"skipped_in_a_row", "0", "1",
         "tells of more skipped steps in a row than skipped steps", NULL, NULL},
        {"skipped_in_a_row", "2", "3",
         "tells of more skipped steps in a row than skipped steps", "skipped", "2"},
        {"best_accuracy", "1", "1.001", "tells of an accuracy outside 0 to 1", NULL, NULL},
        {"best_accuracy", "0", "-0.001", "tells of an accuracy outside 0 to 1", NULL, NULL},
        {"last_accuracy", "1", "1.001", "tells of an accuracy outside 0 to 1", NULL, NULL},
        {"last_accuracy", "0", "-0.001", "tells of an accuracy outside 0 to 1", NULL, NULL},
        {"best_loss", "-1", "-1.001", "tells of a loss below 0", NULL, NULL},
        {"last_loss", "-1", "-1.001", "tells of a loss below 0", NULL, NULL},
    };
    char *path = test_path(folder, "last/state.safetensors");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_state_facts facts = {0};
        bool found = false;
        change c = {.key = cases[i].key,
                    .text = cases[i].beyond,
                    .and = cases[i].and,
                    .and_text = cases[i].and_text};
        refused(&c, BASE_FORMAT, cases[i].words);
        ck_assert_int_eq(train_state_peek(&facts, &found, folder, &err), BASE_FORMAT);
        char *want = base_text("'run/last/state.safetensors' %s", cases[i].words);
        test_says(err.text, want);
        base_free(want);
        /* within: nothing is wrong but that it was changed */
        c.text = cases[i].within;
        train_trainer t = {0};
        const base_status status = load(&t, &c, USUAL);
        ck_assert_msg(status == BASE_OK || strstr(err.text, "a position that was changed"),
                      "%s = %s: %s", c.key, c.text, err.text);
        train_trainer_destroy(&t);
    }
    base_free(path);
}
END_TEST

START_TEST(a_model_of_another_state_is_refused)
{
    train_trainer t = {0};
    change c = {.key = "model_hash", .text = "0123456789abcdef"};
    char *model = test_path(folder, "last/model.safetensors"), *want;

    ck_assert_int_eq(load(&t, &c, USUAL), BASE_MISMATCH);
    want =
        base_text("'%s' is not the model that the state beside it was written with", model);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    train_trainer_destroy(&t);
    c.text = NULL;
    ck_assert_int_eq(load(&t, &c, USUAL), BASE_OK);
    ck_assert_str_eq(told,
                     "resume: the state is of an older vmoe and does not say which model "
                     "it belongs to: taken as the one beside it\n");
    train_trainer_destroy(&t);
    /* One weight of the model, one bit of it. */
    vit_model *stored = NULL;
    ck_assert_int_eq(vit_model_load(&stored, model, NULL, &err), BASE_OK);
    float *w = vit_model_weights(stored) + vit_model_floats(stored) - 1;
    *w = nextafterf(*w, 1);
    ck_assert_int_eq(vit_model_save(stored, model, VIT_PRECISION_FP32, &err), BASE_OK);
    vit_model_destroy(stored);
    ck_assert_int_eq(load(&t, &(change){0}, USUAL), BASE_MISMATCH);
    train_trainer_destroy(&t);
    /* Another network. */
    vit_config config = sample_config(false);
    ck_assert_int_eq(vit_model_create(&stored, &config, &err), BASE_OK);
    ck_assert_int_eq(vit_model_save(stored, model, VIT_PRECISION_FP32, &err), BASE_OK);
    vit_model_destroy(stored);
    ck_assert_int_eq(load(&t, &(change){0}, USUAL), BASE_MISMATCH);
    want = base_text("'%s' holds another network than the recipe", model);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    train_trainer_destroy(&t);
    base_free(model);
}
END_TEST

/* Where it went on and how: number of threads, lanes, another end. */
START_TEST(what_makes_a_difference_is_told)
{
    static const struct {
        change c;
        const char *set[4], *told;
    } cases[] = {
        {{.key = "threads", .text = "1"}, {NULL}, ""},
        {{.key = "threads"}, {NULL}, ""},
        {{.key = "threads", .text = "x"}, {NULL}, ""},
        {{.key = "threads", .text = "3"},
         {NULL},
         "resume: the run began with 3 threads and goes on with 1: the last bits of its weights "
         "may differ\n"},
        {{.key = NULL},
         {"train.max_steps=8", NULL},
         "resume: the run ended at step 4 and ends at step 8 now; its learning rate goes another "
         "way\n: the cosine schedule follows the end: 0.005 at step 4 in place of 0; a run begun "
         "with this length would differ\n"},
        {{.key = NULL},
         {"train.max_steps=0", "train.epochs=2", NULL}, /* six steps */
         "resume: the run ended at step 4 and ends at step 6 now; its learning rate goes another "
         "way\n: the cosine schedule follows the end: 0.0025 at step 4 in place of 0; a run begun "
         "with this length would differ\n"},
        {{.key = NULL},
         {"train.epochs=9", NULL},
         ""}, /* it ends by its steps all the same */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        train_trainer t = {0};
        const char *settings[SETTINGS_MAX] = {"train.max_steps=4", "train.log_every=9",
                                              "optimizer.ema=0.9"};
        for (size_t k = 0; k < 4 && cases[i].set[k]; k++)
            settings[3 + k] = cases[i].set[k];
        ck_assert_msg(load(&t, &cases[i].c, settings) == BASE_OK, "%s", err.text);
        ck_assert_str_eq(told, cases[i].told);
        train_trainer_destroy(&t);
    }
}
END_TEST

/* A straight line to the end; a constant does not follow it. */
START_TEST(other_schedules_say_their_name_or_go_on)
{
    static const char *const kinds[][2] = {
        {"schedule.name=linear",
         "resume: the run ended at step 2 and ends at step 4 now; its learning rate goes another "
         "way\n: the linear schedule follows the end: 0.005 at step 2 in place of 0; a run begun "
         "with this length would differ\nresume: going on at step 2 of 4\n"},
        {"schedule.name=rsqrt",
         "resume: the run ended at step 2 and ends at step 4 now; its learning rate goes on as "
         "before\nresume: going on at step 2 of 4\n"}};

    for (size_t i = 0; i < 2; i++) {
        char *run = base_text("%s/other%zu", dir, i);
        train_trainer t = {0};
        trainer_open(&t, run, true, &watch, SET("train.max_steps=2", kinds[i][0]));
        told[0] = '\0';
        ck_assert_int_eq(train_trainer_run(&t, &err), BASE_OK);
        ck_assert_str_eq(told, "resume: no checkpoint yet, beginning at step 0 of 2\n");
        train_trainer_destroy(&t);
        told[0] = '\0';
        trainer_open(&t, run, true, &watch, SET("train.max_steps=4", kinds[i][0]));
        ck_assert_msg(train_trainer_run(&t, &err) == BASE_OK, "%s", err.text);
        ck_assert_str_eq(told, kinds[i][1]);
        train_trainer_destroy(&t);
        base_free(run);
    }
}
END_TEST

START_TEST(lanes_are_told_where_they_decide_about_bits)
{
    static const struct {
        const char *parts, *lanes, *told;
    } cases[] = {
        {"train.accumulate=4", "train.lanes=1", ""},
        {"train.accumulate=4", "train.lanes=4",
         "resume: a run of 4 lanes goes on with 1 rank: same bits\n"},
        {"train.accumulate=3", "train.lanes=3",
         "resume: 3 lanes on 1 ranks, not both powers of two: last bits differ from those of "
         "another number of ranks\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *run = base_text("%s/lanes%zu", dir, i);
        const char *const *set =
            SET("train.batch=12", "train.max_steps=1", cases[i].parts, cases[i].lanes);
        train_trainer t = {0};
        bool found = false;
        trainer_open(&t, run, false, &watch, set);
        ck_assert_msg(train_trainer_run(&t, &err) == BASE_OK, "%s", err.text);
        train_trainer_destroy(&t);
        told[0] = '\0';
        trainer_open(&t, run, true, &watch, set);
        ck_assert_int_eq(train_state_load(&t, &found, &err), BASE_OK);
        ck_assert_str_eq(told, cases[i].told);
        train_trainer_destroy(&t);
        base_free(run);
    }
}
END_TEST

/* Sums and loads since the last line: each number alone comes back in its place. */
START_TEST(sums_and_loads_come_back)
{
    enum { SUMS = sizeof(train_sums) / sizeof(double) };

    for (size_t i = 0; i < SUMS; i++) {
        train_trainer t = {0};
        ck_assert_msg(load(&t, &(change){.tensor = "sums", .at = i, .number = 42}, USUAL) ==
                          BASE_OK,
                      "%s", err.text);
        const double *sums = (const double *)(const void *)&t.at.sums;
        for (size_t k = 0; k < SUMS; k++)
            ck_assert_double_eq(sums[k], k == i ? 42 : 0);
        train_trainer_destroy(&t);
    }
    train_trainer t = {0};
    ck_assert_int_eq(load(&t, &(change){.tensor = "load.0", .number = 42}, USUAL), BASE_OK);
    ck_assert_uint_eq(t.load[0].experts, 4);
    ck_assert_double_eq(t.load[0].tokens, 42);
    train_trainer_destroy(&t);
}
END_TEST

/* Every tensor is needed, by its name and with its numbers: what the optimiser remembers
 * and averages too, which come back where they were. */
START_TEST(each_tensor_of_a_state_is_needed)
{
    vit_tensor_file *file = NULL;
    size_t met = 0;

    ck_assert_int_eq(vit_tensors_open(&file, state, &err), BASE_OK);
    for (size_t i = 0; i < vit_tensors_count(file); i++, met++) {
        const char *name = vit_tensors_at(file, i)->name;
        char *quoted = base_text("'%s'", name);
        train_trainer t = {0};
        ck_assert_msg(load(&t, &(change){.drop = name}, USUAL) != BASE_OK, "%s", name);
        ck_assert_msg(strstr(err.text, quoted) != NULL, "%s: %s", name, err.text);
        train_trainer_destroy(&t);
        base_free(quoted);
    }
    ck_assert_uint_ge(met, 5); /* sums, load.0, two moments, averages */
    vit_tensors_close(file);
}
END_TEST

START_TEST(a_glance_at_a_state_tells_what_it_is_of)
{
    static const char *const needed[] = {"recipe", "train_fingerprint", "val_fingerprint"};
    char *none = test_path(dir, "none"), print[48];
    train_state_facts facts = {.recipe = none};
    train_trainer t = {0};
    bool found = true;

    ck_assert_int_eq(train_state_peek(&facts, &found, none, &err), BASE_OK);
    ck_assert(!found);
    ck_assert_ptr_null(facts.recipe);
    ck_assert_int_eq(load(&t, &(change){.key = "val_fingerprint", .text = "abc"}, USUAL),
                     BASE_MISMATCH);
    char *want = base_text("cannot resume '%s': the validation data", folder);
    ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
    base_free(want);
    ck_assert_int_eq(train_state_peek(&facts, &found, folder, &err), BASE_OK);
    ck_assert(found);
    ck_assert_uint_eq(facts.at.step, 4);
    ck_assert_uint_eq(facts.at.evaluated, 4);
    ck_assert_str_eq(facts.train, train_state_fingerprint(print, sizeof print, t.train));
    ck_assert_str_eq(facts.val, "abc");
    char *recipe = train_recipe_fixed_text(&t.recipe);
    ck_assert_str_eq(facts.recipe, recipe);
    base_free(recipe);
    base_free(facts.recipe);
    train_trainer_destroy(&t);
    for (size_t i = 0; i < 3; i++) {
        load(&t, &(change){.key = needed[i]}, USUAL);
        ck_assert_int_eq(train_state_peek(&facts, &found, folder, &err), BASE_FORMAT);
        test_says(err.text, "'run/last/state.safetensors' is not the state of a run");
        ck_assert_ptr_null(facts.recipe);
        train_trainer_destroy(&t);
    }
    base_free(none);
}
END_TEST

/* What a state says of itself, on the run of setup_run. */
START_TEST(a_state_says_where_it_was_written)
{
    static const char *const texts[][2] = {
        {"format", "vmoe-state"},  {"version", BASE_VERSION},
        {"layout", "2"},           {"step", "4"},
        {"evaluated", "4"},        {"skipped", "0"},
        {"skipped_in_a_row", "0"}, {"epoch", "1"},
        {"step_in_epoch", "1"},    {"seed", "1"},
        {"threads", "1"}};
    vit_tensor_file *file = NULL;

    ck_assert_int_eq(vit_tensors_open(&file, state, &err), BASE_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(strcmp(vit_tensors_metadata(file, texts[i][0]), texts[i][1]) == 0,
                      "%s is %s", texts[i][0], vit_tensors_metadata(file, texts[i][0]));
    ck_assert_uint_eq(strlen(vit_tensors_metadata(file, "model_hash")), 16);
    ck_assert_uint_eq(strlen(vit_tensors_metadata(file, "position_sum")), 16);
    vit_tensors_close(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_state");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup_run, teardown_run);
    tcase_add_test(core, a_state_as_it_was_is_gone_on_with);
    tcase_add_test(core, what_is_no_state_of_ours_is_refused);
    tcase_add_test(core, each_number_of_the_position_is_summed_up_and_counts);
    tcase_add_test(core, numbers_of_the_position_agree_with_one_another);
    tcase_add_test(core, a_model_of_another_state_is_refused);
    tcase_add_test(core, what_makes_a_difference_is_told);
    tcase_add_test(core, other_schedules_say_their_name_or_go_on);
    tcase_add_test(core, lanes_are_told_where_they_decide_about_bits);
    tcase_add_test(core, sums_and_loads_come_back);
    tcase_add_test(core, each_tensor_of_a_state_is_needed);
    tcase_add_test(core, a_glance_at_a_state_tells_what_it_is_of);
    tcase_add_test(core, a_state_says_where_it_was_written);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
