/* test_train_files.c - what the files of a run mean: which one a word names, what a state
 * must hold, whether the run in a folder is that of a recipe; words of other programs. */
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"
#include "tests/test_says.h"

/* ---- the file that a word means ------------------------------------------------------ */

static void file_make(const char *folder, const char *name)
{
    char *path = test_path(folder, name);

    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        ck_assert_int_eq(base_folder_make(path, NULL), BASE_OK);
        *slash = '/';
    }
    test_write(path, "x", 1);
    base_free(path);
}

static void means(const char *word, const char *file)
{
    char *found = NULL;

    ck_assert_msg(train_model_path(&found, word, &err) == BASE_OK, "%s", err.text);
    ck_assert_str_eq(found, file);
    base_free(found);
}

static void means_none(const char *word, base_status status, const char *format)
{
    char *found = NULL, *want = base_text(format, word);

    ck_assert_int_eq(train_model_path(&found, word, &err), status);
    ck_assert_str_eq(err.text, want);
    base_free(want);
}

/* From the last choice to the first: each comes before those that are there already. */
START_TEST(a_folder_means_its_best_checkpoint)
{
    static const char *const places[] = {"model.safetensors.index.json",
                                         "model.safetensors", "last/model.safetensors",
                                         "best/model.safetensors"};
    char *folder = test_path(dir, "net"), *gone = test_path(dir, "gone");

    means_none(gone, BASE_IO, "cannot open '%s': No such file or directory");
    ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
    means_none(folder, BASE_IO,
               "'%s' holds no checkpoint, expected best/model.safetensors, "
               "last/model.safetensors or model.safetensors in it");
    for (size_t i = 0; i < 4; i++) {
        char *file = test_path(folder, places[i]);
        file_make(folder, places[i]);
        means(folder, file);
        means(file, file);
        base_free(file);
    }
    base_free(gone);
    base_free(folder);
}
END_TEST

START_TEST(folders_of_other_programs_are_told_apart)
{
    static const char *const marks[][2] = {
        {"manifest.ocdbt",
         "'%s' is an Orbax checkpoint of JAX, another format than PREFIX.index: save its "
         "parameters as .npz with Python (numpy.savez)"},
        {"_METADATA",
         "'%s' is an Orbax checkpoint of JAX, another format than PREFIX.index: save its "
         "parameters as .npz with Python (numpy.savez)"},
        {"pytorch_model.bin",
         "'%s' is a folder with a PyTorch file (pytorch_model.bin), expected "
         "model.safetensors: save_file of safetensors.torch makes it"},
        {"saved_model.pb", "'%s' is a TensorFlow model, expected model.safetensors"}};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        char *folder = base_text("%s/other%zu", dir, i);
        char *ours = test_path(folder, "model.safetensors");
        ck_assert_int_eq(base_folder_make(folder, NULL), BASE_OK);
        file_make(folder, marks[i][0]);
        means_none(folder, BASE_UNSUPPORTED, marks[i][1]);
        file_make(folder, "model.safetensors"); /* ours, whatever lies beside it */
        means(folder, ours);
        base_free(ours);
        base_free(folder);
    }
}
END_TEST

/* Every member from another setting, the rest as it was. */
START_TEST(a_loader_is_fed_as_the_network_wants_it)
{
    data_loader_config got = data_loader_defaults(), want = got;
    vit_config c = vit_config_defaults();

    c.image = 32;
    c.crop = 31;
    c.channels = 1;
    c.resize = 37;
    c.crop_mode = VIT_CROP_SQUASH;
    snprintf(c.interpolation, sizeof c.interpolation, "bicubic");
    for (int i = 0; i < 3; i++) {
        c.mean[i] = 0.1f + (float)i;
        c.std[i] = 0.2f + (float)i;
    }
    train_loader_feed(&got, &c);
    ck_assert_uint_eq(got.size, 31);
    ck_assert_uint_eq(got.channels, 1);
    ck_assert_uint_eq(got.resize, 37);
    ck_assert(got.squash);
    ck_assert_str_eq(data_filter_name(got.filter), "bicubic");
    ck_assert_mem_eq(got.mean, c.mean, sizeof got.mean);
    ck_assert_mem_eq(got.std, c.std, sizeof got.std);
    ck_assert_uint_eq(got.batch, want.batch);
    c.crop_mode = VIT_CROP_CENTER;
    train_loader_feed(&got, &c);
    ck_assert(!got.squash);
}
END_TEST

/* ---- what a state holds -------------------------------------------------------------- */

/* A file with one number as text under "n" (NULL: none) and a tensor "d" [shape]. */
static vit_tensor_file *state_of(const char *number, const char *type, int rank,
                                 size_t count, const void *data)
{
    char *path = test_path(dir, "state.safetensors");
    const vit_tensor tensor = {"d", type, rank, {count, 1}, data};
    const vit_pair pair = {"n", number};
    vit_tensor_file *file = NULL;

    ck_assert_msg(vit_tensors_write(path, &tensor, 1, &pair, number != NULL, &err) ==
                      BASE_OK,
                  "%s", err.text);
    ck_assert_msg(vit_tensors_open(&file, path, &err) == BASE_OK, "%s", err.text);
    base_free(path);
    return file;
}

START_TEST(numbers_of_a_state_are_whole_and_in_range)
{
    static const double zero[1] = {0};
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"0", true},           {"1", true},   {"2147483647", true},
                 {"2147483648", false}, {"-1", false}, {"x", false},
                 {"1.5", false},        {"", false},   {NULL, false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_tensor_file *file = state_of(cases[i].text, "F64", 1, 1, zero);
        uint64_t number = 7;
        const base_status status = train_state_number(&number, file, "n", "the/path", &err);
        if (cases[i].good) {
            ck_assert_int_eq(status, BASE_OK);
            ck_assert_uint_eq(number, strtoull(cases[i].text, NULL, 10));
        } else {
            ck_assert_int_eq(status, BASE_FORMAT);
            ck_assert_str_eq(err.text, "'the/path' has no usable 'n' in its metadata");
        }
        vit_tensors_close(file);
    }
}
END_TEST

START_TEST(doubles_of_a_state_are_finite_and_as_many_as_expected)
{
    const double good[3] = {1.5, -2, 0};
    double out[4] = {9, 9, 9, (double)NAN}; /* what lies behind is not looked at */
    static const struct {
        const char *name, *type;
        int rank;
        size_t count;
    } wrong[] = {{"e", "F64", 1, 3},
                 {"d", "I64", 1, 3},
                 {"d", "F64", 2, 3},
                 {"d", "F64", 1, 2},
                 {"d", "F64", 1, 4}};

    vit_tensor_file *file = state_of("1", "F64", 1, 3, good);
    ck_assert_int_eq(train_state_doubles(out, 3, file, "d", "p", &err), BASE_OK);
    ck_assert_mem_eq(out, good, sizeof good);
    ck_assert(isnan(out[3]));
    vit_tensors_close(file);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const double four[4] = {0};
        char *want = base_text("'p' has no tensor '%s' of 3 doubles", wrong[i].name);
        file = state_of("1", wrong[i].type, wrong[i].rank, wrong[i].count, four);
        ck_assert_int_eq(train_state_doubles(out, 3, file, wrong[i].name, "p", &err),
                         BASE_FORMAT);
        ck_assert_str_eq(err.text, want);
        vit_tensors_close(file);
        base_free(want);
    }
    for (size_t i = 0; i < 3; i++) {
        double bad[3] = {1, 2, 3};
        bad[i] = i == 1 ? (double)INFINITY : (double)NAN;
        file = state_of("1", "F64", 1, 3, bad);
        ck_assert_int_eq(train_state_doubles(out, 3, file, "d", "p", &err), BASE_FORMAT);
        ck_assert_str_eq(err.text, "'p' has a number in 'd' that is not finite");
        vit_tensors_close(file);
    }
}
END_TEST

START_TEST(data_are_the_same_by_their_fingerprint)
{
    static const double zero[1] = {0};
    data_source *source = NULL;
    char print[48];

    ck_assert_int_eq(data_source_open(&source, pictures, NULL, &err), BASE_OK);
    ck_assert_ptr_eq(train_state_fingerprint(print, sizeof print, source), print);
    char *want = base_text("%016llx", (unsigned long long)data_source_fingerprint(source));
    ck_assert_str_eq(print, want);
    base_free(want);
    vit_tensor_file *file = state_of(print, "F64", 1, 1, zero);
    ck_assert_int_eq(train_state_same_data(file, "n", "training", source, &err), BASE_OK);
    ck_assert_int_eq(train_state_same_data(file, "m", "training", source, &err),
                     BASE_MISMATCH);
    want = base_text("the training data '%s' has fingerprint %s, the run began with none",
                     data_source_path(source), print);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    vit_tensors_close(file);
    file = state_of("0123456789abcdef0123456789abcdef0", "F64", 1, 1, zero);
    ck_assert_int_eq(train_state_same_data(file, "n", "validation", source, &err),
                     BASE_MISMATCH);
    want = base_text("the validation data '%s' has fingerprint %s, the run began with "
                     "0123456789abcdef0123456789abcdef",
                     data_source_path(source), print);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    vit_tensors_close(file);
    data_source_close(source);
}
END_TEST

static base_status write_names(void *user, const char *model, const char *state,
                               base_error *e)
{
    (void)user, (void)e;
    test_write(model, "m", 1);
    test_write(state, "s", 1);
    return BASE_OK;
}

/* Remains of an older attempt are no part of the new one. */
START_TEST(a_checkpoint_holds_its_two_files_alone)
{
    char *model = test_path(dir, "best/model.safetensors"),
         *state = test_path(dir, "best/state.safetensors"),
         *junk = test_path(dir, "best/junk"), *last = test_path(dir, "last"),
         *old = test_path(dir, "last.old");

    file_make(dir, "best.new/junk");
    ck_assert_int_eq(train_checkpoint_save(dir, "best", write_names, NULL, &err), BASE_OK);
    test_holds(model, "m");
    test_holds(state, "s");
    ck_assert(!test_exists(junk));
    ck_assert_ptr_null(train_checkpoint_last(dir)); /* best is none */
    ck_assert_int_eq(base_folder_make(old, NULL), BASE_OK);
    char *found = train_checkpoint_last(dir);
    ck_assert_str_eq(found, old);
    base_free(found);
    ck_assert_int_eq(base_folder_make(last, NULL), BASE_OK);
    found = train_checkpoint_last(dir);
    ck_assert_str_eq(found, last);
    base_free(found);
    base_free(old);
    base_free(last);
    base_free(junk);
    base_free(state);
    base_free(model);
}
END_TEST

/* ---- whose run it is ----------------------------------------------------------------- */

static base_status look(train_position *at, bool *found, const char *folder,
                        const train_recipe *recipe, const char *train, const char *val)
{
    *at = (train_position){.step = 99};
    *found = true;
    return train_run_look(at, found, folder, recipe, train, val, &err);
}

START_TEST(the_run_in_a_folder_is_known_by_recipe_and_data)
{
    char *folder = test_path(dir, "run"), *ini = test_path(dir, "run/recipe.ini"),
         print[48];
    train_trainer t = {0};
    train_position at;
    bool found = true;

    trainer_open(&t, folder, false, NULL, SET("train.max_steps=2"));
    train_recipe recipe = t.recipe, other = t.recipe;
    train_state_fingerprint(print, sizeof print, t.train);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, print, print), BASE_OK);
    ck_assert(!found); /* there is no folder */
    ck_assert_uint_eq(at.step, 0);
    ck_assert_int_eq(train_trainer_run(&t, &err), BASE_OK);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, print, print), BASE_OK);
    ck_assert(found);
    ck_assert_int_eq(memcmp(&at, &t.at, offsetof(train_position, sums)), 0);
    other.lr = 0.5;
    ck_assert_int_eq(look(&at, &found, folder, &other, print, print), BASE_MISMATCH);
    ck_assert_str_eq(err.text,
                     "'optimizer.lr' was '0.01' when the run began and is '0.5' now");
    other = recipe;
    other.train.max_steps = 3; /* its length, too */
    ck_assert_int_eq(look(&at, &found, folder, &other, print, print), BASE_MISMATCH);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, "0", print), BASE_MISMATCH);
    char *want =
        base_text("it was trained with other training data, of fingerprint %s, than "
                  "'%s' (0)",
                  print, recipe.data.train);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, print, "1"), BASE_MISMATCH);
    want = base_text("it was trained with other validation data, of fingerprint %s, than "
                     "'%s' (1)",
                     print, recipe.data.val);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    /* A file that was written before there were lanes is of a run of one. */
    char *text = NULL;
    size_t bytes = 0;
    ck_assert_int_eq(base_file_read(&text, &bytes, ini, 1 << 20, &err), BASE_OK);
    char *lanes = strstr(text, "\nlanes = 1\n");
    ck_assert_ptr_nonnull(lanes);
    memmove(lanes, lanes + 10, strlen(lanes + 10) + 1);
    test_write(ini, text, strlen(text));
    base_free(text);
    ck_assert_msg(look(&at, &found, folder, &recipe, print, print) == BASE_OK, "%s",
                  err.text);
    /* The state alone tells it, too; a recipe.ini that is none is told, but no usage. */
    ck_assert_int_eq(unlink(ini), 0);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, print, print), BASE_OK);
    ck_assert(found);
    other = recipe;
    other.lr = 0.5;
    ck_assert_int_eq(look(&at, &found, folder, &other, print, print), BASE_MISMATCH);
    test_write(ini, "[model]\nwidht = 3\n", 18);
    ck_assert_int_eq(look(&at, &found, folder, &recipe, print, print), BASE_MISMATCH);
    ck_assert_int_eq(err.status, BASE_MISMATCH);
    test_says(
        err.text,
        "'run/recipe.ini' line 2: unknown key 'model.widht', the nearest is 'model.width'");
    train_trainer_destroy(&t);
    base_free(ini);
    base_free(folder);
}
END_TEST

/* ---- words --------------------------------------------------------------------------- */

static const char *const words[][2] = {
    {"learning_rate", "optimizer.lr"},
    {"base_lr", "optimizer.lr"},
    {"optimizer", "optimizer.name"},
    {"opt", "optimizer.name"},
    {"wd", "optimizer.weight_decay"},
    {"clip_grad", "optimizer.clip"},
    {"grad_clip", "optimizer.clip"},
    {"model_ema_decay", "optimizer.ema"},
    {"ema_decay", "optimizer.ema"},
    {"lr_scheduler", "schedule.name"},
    {"scheduler", "schedule.name"},
    {"sched", "schedule.name"},
    {"warmup_steps", "schedule.warmup"},
    {"min_lr", "schedule.final"},
    {"batch_size", "train.batch"},
    {"num_epochs", "train.epochs"},
    {"steps", "train.max_steps"},
    {"accum_steps", "train.accumulate"},
    {"smoothing", "train.label_smoothing"},
    {"log_interval", "train.log_every"},
    {"checkpoint", "train.checkpoint_every"},
    {"eval_interval", "train.eval_every"},
    {"model", "model.size"},
    {"arch", "model.size"},
    {"num_classes", "model.classes"},
    {"patch_size", "model.patch"},
    {"embed_dim", "model.width"},
    {"num_heads", "model.heads"},
    {"pretrained", "model.init_from"},
    {"image_size", "data.image"},
    {"img_size", "data.image"},
    {"num_workers", "data.workers"},
    {"router", "router.name"},
    {"num_experts", "router.experts"},
    {"top_k", "router.k"},
    {"num_selected_experts", "router.k"},
    {"capacity_factor", "router.capacity"},
    {"random_erasing", "augment.erase"},
};

START_TEST(words_of_other_programs_mean_keys_of_ours)
{
    char out[64];

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        ck_assert_str_eq(train_synonym(words[i][0]), words[i][1]);
        ck_assert_ptr_nonnull(base_field_find(train_recipe_keys, words[i][1]));
        ck_assert(train_hint(out, sizeof out, words[i][0]));
        ck_assert_str_eq(out, words[i][1]);
    }
    ck_assert_ptr_null(train_synonym("lr"));
}
END_TEST

/* A name of an option: other hyphens, with or without its section; the first section that
 * has it. */
START_TEST(an_option_means_the_key_of_its_name)
{
    static const char *const hints[][2] = {{"warmup-steps", "schedule.warmup"},
                                           {"lr", "optimizer.lr"},
                                           {"epochs", "train.epochs"},
                                           {"weight-decay", "optimizer.weight_decay"},
                                           {"name", "optimizer.name"},
                                           {"final", "schedule.final"},
                                           {"patch", "model.patch"},
                                           {"k", "router.k"},
                                           {"image", "data.image"},
                                           {"mixup", "augment.mixup"},
                                           {"train.batch", "train.batch"},
                                           {"eps", "optimizer.eps"},
                                           {"dropout", "model.dropout"},
                                           {"router.dropout", "router.dropout"}};
    static const char *const none[] = {"nothing", "train.lr", "", "trainxbatch"};
    char out[64], longest[80];

    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        ck_assert_msg(train_hint(out, sizeof out, hints[i][0]), "%s", hints[i][0]);
        ck_assert_str_eq(out, hints[i][1]);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        ck_assert_msg(!train_hint(out, sizeof out, none[i]), "%s", none[i]);
    memset(longest, 'a', sizeof longest);
    longest[63] = '\0';
    ck_assert(!train_hint(out, sizeof out, longest));
    longest[63] = 'a';
    longest[64] = '\0';
    ck_assert(!train_hint(out, sizeof out, longest));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_files");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, a_folder_means_its_best_checkpoint);
    tcase_add_test(core, folders_of_other_programs_are_told_apart);
    tcase_add_test(core, a_loader_is_fed_as_the_network_wants_it);
    tcase_add_test(core, numbers_of_a_state_are_whole_and_in_range);
    tcase_add_test(core, doubles_of_a_state_are_finite_and_as_many_as_expected);
    tcase_add_test(core, data_are_the_same_by_their_fingerprint);
    tcase_add_test(core, a_checkpoint_holds_its_two_files_alone);
    tcase_add_test(core, the_run_in_a_folder_is_known_by_recipe_and_data);
    tcase_add_test(core, words_of_other_programs_mean_keys_of_ours);
    tcase_add_test(core, an_option_means_the_key_of_its_name);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
