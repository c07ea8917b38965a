/* test_train_loop.c - the order of a run's work, checkpoints that are exchanged as a whole,
 * what the lines of metrics tell, and images in memory. */
#include <math.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"
#include "tests/test_says.h"
#include "train/train_internal.h"

/* A run of four steps whose work is a letter each: an evaluation after every second step, a
 * checkpoint with it. */
typedef struct letters {
    char done[64];
    int step, evaluated, saved,
        stop_at;      /* stop_at: asked to stop at this step, -1: never */
    bool stop_inside; /* ... and only the evaluation hears of it */
} letters;

static void put(letters *l, char c)
{
    const size_t used = strlen(l->done);

    ck_assert_uint_lt(used + 1, sizeof l->done);
    l->done[used] = c;
}

static bool evaluation_due(const void *user)
{
    const letters *l = user;

    return l->step > 0 && l->step % 2 == 0 && l->evaluated != l->step;
}

static bool checkpoint_due(const void *user)
{
    const letters *l = user;

    return l->step > 0 && l->step % 2 == 0 && l->saved != l->step;
}

static bool done(const void *user)
{
    return ((const letters *)user)->step == 4;
}

static bool stop(void *user)
{
    const letters *l = user;

    return l->step == l->stop_at && (!l->stop_inside || strchr(l->done, 'i'));
}

static base_status evaluate(void *user, base_error *err)
{
    letters *l = user;

    if (l->step == l->stop_at) {
        put(l, 'i');
        return base_fail(err, BASE_INTERRUPTED, "stopped");
    }
    put(l, 'e');
    l->evaluated = l->step;
    return BASE_OK;
}

static base_status save(void *user, base_error *err)
{
    letters *l = user;

    (void)err;
    put(l, 'c');
    l->saved = l->step;
    return BASE_OK;
}

static base_status step(void *user, base_error *err)
{
    letters *l = user;

    if (l->step == 3 && l->stop_at == 99)
        return base_fail(err, BASE_NUMERIC, "not finite");
    put(l, 's');
    l->step++;
    return BASE_OK;
}

static base_status leave(void *user, base_error *err)
{
    put(user, 'l');
    return base_fail(err, BASE_INTERRUPTED, "left");
}

static base_status go(letters *l)
{
    const train_loop loop = {l,        evaluation_due, checkpoint_due, done, stop,
                             evaluate, save,           step,           leave};

    return train_loop_run(&loop, NULL);
}

START_TEST(a_run_evaluates_saves_and_steps)
{
    letters l = {.stop_at = -1};

    ck_assert_int_eq(go(&l), BASE_OK);
    ck_assert_str_eq(l.done, "ssecssec");
    ck_assert_int_eq(go(&l), BASE_OK); /* finished: nothing is done again */
    ck_assert_str_eq(l.done, "ssecssec");
}
END_TEST

START_TEST(a_run_that_goes_on_makes_the_evaluation_it_owes)
{
    letters l = {.step = 2, .stop_at = -1};

    ck_assert_int_eq(go(&l), BASE_OK);
    ck_assert_str_eq(l.done, "ecssec");
}
END_TEST

START_TEST(a_run_that_is_stopped_leaves_before_the_next_step)
{
    letters between = {.stop_at = 1}, due = {.stop_at = 4};
    letters inside = {.stop_at = 2, .stop_inside = true};

    ck_assert_int_eq(go(&between), BASE_INTERRUPTED);
    ck_assert_str_eq(between.done, "sl");
    ck_assert_int_eq(go(&due), BASE_INTERRUPTED); /* the end, but an evaluation is owed */
    ck_assert_str_eq(due.done, "ssecssl");
    ck_assert_int_eq(go(&inside), BASE_INTERRUPTED);
    ck_assert_str_eq(inside.done, "ssil");
}
END_TEST

START_TEST(a_failure_ends_the_run_as_it_is)
{
    letters l = {.stop_at = 99};

    ck_assert_int_eq(go(&l), BASE_NUMERIC);
    ck_assert_str_eq(l.done, "ssecs");
}
END_TEST

/* ---- checkpoints --------------------------------------------------------------------- */

static base_status write_both(void *user, const char *model, const char *state,
                              base_error *err)
{
    const char *word = user;

    test_write(model, word, strlen(word));
    if (strcmp(word, "bad") == 0)
        return base_fail(err, BASE_IO, "disk full");
    test_write(state, word, strlen(word));
    return BASE_OK;
}

START_TEST(a_checkpoint_is_exchanged_as_a_whole)
{
    char *dir = test_folder_make(), *model = test_path(dir, "last/model.safetensors"),
         *fresh = test_path(dir, "last.new");

    ck_assert_ptr_null(train_checkpoint_last(dir));
    ck_assert_int_eq(train_checkpoint_save(dir, "last", write_both, "one", NULL), BASE_OK);
    ck_assert_int_eq(train_checkpoint_save(dir, "last", write_both, "two", NULL), BASE_OK);
    test_holds(model, "two");
    ck_assert_int_eq(train_checkpoint_save(dir, "last", write_both, "bad", NULL), BASE_IO);
    test_holds(model, "two");
    ck_assert(!test_exists(fresh));
    base_free(fresh);
    base_free(model);
    test_folder_remove(dir);
}
END_TEST

START_TEST(a_kill_between_two_renames_leaves_the_older_one)
{
    char *dir = test_folder_make(), *live = test_path(dir, "last"),
         *old = test_path(dir, "last.old");

    ck_assert_int_eq(train_checkpoint_save(dir, "last", write_both, "one", NULL), BASE_OK);
    ck_assert_int_eq(rename(live, old), 0);
    char *found = train_checkpoint_last(dir);
    ck_assert_str_eq(found, old);
    base_free(found);
    base_free(old);
    base_free(live);
    test_folder_remove(dir);
}
END_TEST

/* By hand: a window, and what the others have of it. */
START_TEST(what_saving_among_ranks_takes)
{
    const size_t whole = VIT_WINDOW_BYTES;

    ck_assert_uint_eq(train_saving_bytes(1200, 1), 0);
    ck_assert_uint_eq(train_saving_bytes(1200, 2), 1800);
    ck_assert_uint_eq(train_saving_bytes(1200, 4), 2100);
    ck_assert_uint_eq(train_saving_bytes(whole + 1, 2), whole + whole / 2);
}
END_TEST

/* Two runs: lines at 2 and 6, and at 2, 4 and 6; the last line of the second is half a
 * line. */
START_TEST(lines_of_metrics_are_summed_by_their_steps)
{
    static const char first[] =
        "{\"kind\":\"train\",\"step\":2,\"loss\":3,\"accuracy\":0.5,"
        "\"moe\":[{\"load_cv\":1,\"dead\":2},{\"load_cv\":3,\"dead\":0}]}\n"
        "{\"kind\":\"eval\",\"step\":2,\"loss\":7}\n"
        "{\"kind\":\"train\",\"step\":6,\"loss\":1,\"accuracy\":null,"
        "\"moe\":[{\"load_cv\":5,\"dead\":4}]}\n";
    static const char second[] = "{\"kind\":\"train\",\"step\":2,\"loss\":5}\n"
                                 "{\"kind\":\"train\",\"step\":4,\"loss\":9}\n"
                                 "{\"kind\":\"train\",\"step\":6,\"lo";
    char *dir = test_folder_make(), *path = base_text("%s/metrics.jsonl", dir);
    train_lines runs[2], mean, none = {0};

    ck_assert_int_eq(train_lines_read(&mean, path, "eval", NULL), BASE_OK); /* no file */
    ck_assert_uint_eq(mean.count, 0);
    ck_assert_int_eq(train_lines_read(&mean, dir, "eval", NULL), BASE_IO); /* a folder */
    ck_assert_uint_eq(mean.count, 0);
    test_write(path, first, sizeof first - 1);
    ck_assert_int_eq(train_lines_read(&runs[0], path, "train", NULL), BASE_OK);
    ck_assert_int_eq(train_lines_read(&mean, path, "eval", NULL), BASE_OK);
    ck_assert_uint_eq(mean.count, 1);
    ck_assert_double_eq(train_lines_last(&mean, TRAIN_LINE_LOSS), 7);
    ck_assert_double_eq(train_lines_last(&mean, TRAIN_LINE_CV), 0); /* no layers */
    train_lines_destroy(&mean);
    test_write(path, second, sizeof second - 1);
    ck_assert_int_eq(train_lines_read(&runs[1], path, "train", NULL), BASE_OK);
    ck_assert_uint_eq(runs[0].count, 2);
    ck_assert_uint_eq(runs[1].count, 2);
    ck_assert_double_eq(train_lines_last(&runs[0], TRAIN_LINE_LOSS), 1);
    ck_assert(isnan(train_lines_last(&runs[0], TRAIN_LINE_ACCURACY)));
    ck_assert_double_eq(train_lines_sum(&runs[0], TRAIN_LINE_CV), 2 * 2 + 4 * 5);
    ck_assert_double_eq(train_lines_sum(&runs[0], TRAIN_LINE_DEAD), 2 * 1 + 4 * 4);
    ck_assert_double_eq(train_lines_at(&runs[0], TRAIN_LINE_LOSS, 5), 1.5);
    ck_assert_double_eq(train_lines_at(&runs[0], TRAIN_LINE_LOSS, 2), 3);
    ck_assert_double_eq(train_lines_at(&runs[0], TRAIN_LINE_LOSS, 6.4), 1);
    ck_assert(isnan(train_lines_at(&runs[0], TRAIN_LINE_LOSS, 7)));
    ck_assert(isnan(train_lines_at(&runs[0], TRAIN_LINE_LOSS, 1)));
    mean = train_lines_mean(runs, 2); /* step 4 is not the first run's */
    ck_assert_uint_eq(mean.count, 2);
    ck_assert_double_eq(mean.line[0].at[TRAIN_LINE_LOSS], 4);
    ck_assert_double_eq(mean.line[1].at[TRAIN_LINE_LOSS], 1);
    ck_assert(isnan(train_lines_last(&none, TRAIN_LINE_LOSS)) &&
              isnan(train_lines_sum(&none, TRAIN_LINE_LOSS)) &&
              isnan(train_lines_at(&none, TRAIN_LINE_LOSS, 1)));
    train_lines_destroy(&mean);
    ck_assert_uint_eq(runs[0].layers, 2);
    ck_assert(isnan(runs[0].cv[3])); /* the second line tells of one layer */
    train_lines_thin(&runs[0], 2);
    ck_assert_uint_eq(runs[0].count, 2);
    train_lines_thin(&runs[0], 1); /* what is not there does not count */
    ck_assert_uint_eq(runs[0].count, 1);
    ck_assert_double_eq(train_lines_last(&runs[0], TRAIN_LINE_STEP), 4);
    ck_assert_double_eq(train_lines_last(&runs[0], TRAIN_LINE_LOSS), 2);
    ck_assert_double_eq(train_lines_last(&runs[0], TRAIN_LINE_ACCURACY), 0.5);
    ck_assert_double_eq(runs[0].cv[0], 3);
    ck_assert_double_eq(runs[0].cv[1], 3);
    train_lines_destroy(&runs[0]);
    train_lines_destroy(&runs[1]);
    base_free(path);
    test_folder_remove(dir);
}
END_TEST

static base_status count_shown(void *user, size_t done, double top1, base_error *err)
{
    size_t *shown = user;

    (void)err;
    ck_assert(done > *shown && top1 >= 0 && top1 <= 1);
    *shown = done;
    return BASE_OK;
}

static base_status stop_shown(void *user, size_t done, double top1, base_error *err)
{
    (void)user;
    (void)done;
    (void)top1;
    return base_fail(err, BASE_INTERRUPTED, "enough");
}

/* Twelve pictures, one of them broken: pixels are those that the network was fed, put back,
 * and its answers those of a pass over them. */
START_TEST(images_in_memory_are_what_the_network_sees)
{
    enum { FLOATS = 3 * SAMPLE_SIDE * SAMPLE_SIDE };
    char *dir = test_folder_make(), *broken = base_text("%s/red/broken.png", dir);
    const vit_config config = sample_config(true);
    data_loader_config feed = data_loader_defaults();
    base_error err = {0};
    vit_model *network = NULL;
    vit_run *run = NULL;
    data_source *source = NULL;
    train_images images;
    float inputs[13 * FLOATS], logits[13 * SAMPLE_CLASSES];
    size_t shown = 0, right = 0;

    sample_folder_make(dir);
    test_write(broken, "", 0);
    ck_assert_int_eq(vit_model_create(&network, &config, &err), BASE_OK);
    vit_model_init(network, 7);
    for (size_t i = 0; i < vit_model_floats(network); i += 3) /* a head that answers */
        vit_model_weights(network)[i] += 0.1f;
    ck_assert_msg(data_source_open(&source, dir, NULL, &err) == BASE_OK, "%s", err.text);
    train_loader_feed(&feed, &config);
    feed.batch = 5;
    feed.skip_bad = true;
    ck_assert_msg(train_images_read(&images, network, "net", source, &feed,
                                    VIT_PRECISION_FP32, count_shown, &shown,
                                    &err) == BASE_OK,
                  "%s", err.text);
    ck_assert_uint_eq(images.n, 13);
    ck_assert_uint_eq(shown, 13);
    ck_assert_uint_eq(images.bad_count, 1);
    for (size_t i = 0; i < 13 * FLOATS; i++) {
        const size_t c = i % FLOATS / (SAMPLE_SIDE * SAMPLE_SIDE);
        inputs[i] = (images.pixels[i] - config.mean[c]) / config.std[c];
    }
    ck_assert_int_eq(
        vit_run_create(&run, network, 13, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
        BASE_OK);
    ck_assert_int_eq(vit_run_forward(run, logits, inputs, 13, &(vit_step){0}, &err),
                     BASE_OK);
    for (size_t i = 0; i < 13; i++) {
        const int32_t answer = attack_predict(logits + i * SAMPLE_CLASSES, SAMPLE_CLASSES);

        ck_assert_uint_eq(images.sample[i], i);
        ck_assert_int_eq(images.label[i], data_source_label(source, i));
        ck_assert_int_eq(images.predicted[i], answer);
        right += !images.bad[i] && answer == images.label[i];
    }
    ck_assert_uint_eq(images.right, right);
    ck_assert_double_gt(images.loss, 0);
    train_images_destroy(&images);
    feed.skip_bad = false;
    ck_assert_int_ne(train_images_read(&images, network, "net", source, &feed,
                                       VIT_PRECISION_FP32, NULL, NULL, &err),
                     BASE_OK);
    test_says(err.text, "~/red/broken.png: empty file (sample 12, class red, 0 bytes)");
    train_images_destroy(&images);
    feed.skip_bad = true;
    ck_assert_int_eq(train_images_read(&images, network, "net", source, &feed,
                                       VIT_PRECISION_FP32, stop_shown, NULL, &err),
                     BASE_INTERRUPTED);
    ck_assert_uint_eq(images.n, 5);
    train_images_destroy(&images);
    for (size_t i = 0; i < vit_model_floats(network); i++)
        vit_model_weights(network)[i] = NAN;
    ck_assert_int_eq(train_images_read(&images, network, "net", source, &feed,
                                       VIT_PRECISION_FP32, NULL, NULL, &err),
                     BASE_NUMERIC);
    ck_assert_int_eq(strncmp(err.text, "'net' gives logits that are not finite for '", 44),
                     0);
    train_images_destroy(&images);
    vit_run_destroy(run);
    vit_model_destroy(network);
    data_source_close(source);
    base_free(broken);
    test_folder_remove(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_loop");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, a_run_evaluates_saves_and_steps);
    tcase_add_test(core, a_run_that_goes_on_makes_the_evaluation_it_owes);
    tcase_add_test(core, a_run_that_is_stopped_leaves_before_the_next_step);
    tcase_add_test(core, a_checkpoint_is_exchanged_as_a_whole);
    tcase_add_test(core, images_in_memory_are_what_the_network_sees);
    tcase_add_test(core, what_saving_among_ranks_takes);
    tcase_add_test(core, lines_of_metrics_are_summed_by_their_steps);
    tcase_add_test(limits, a_failure_ends_the_run_as_it_is);
    tcase_add_test(limits, a_kill_between_two_renames_leaves_the_older_one);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
