/* test_train_start.c - model.init_from: which settings make another network, what of a file
 * is taken, and every line that is told, whole. */
#include <math.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"

static char told[4096];

static void take_note(void *user, const char *subject, const char *line)
{
    const size_t used = strlen(told);

    (void)user;
    snprintf(told + used, sizeof told - used, "%s: %s\n", subject ? subject : "-", line);
}

static const train_watch watch = {.note = take_note};

/* The first weights of a recipe with these settings as the file dir/NAME: base_free. */
static char *file_of(const char *name, const char *const *settings,
                     const char *const *labels)
{
    char *folder = test_path(dir, "maker"), *path = test_path(dir, name);
    train_trainer t = {0};

    trainer_open(&t, folder, false, NULL, settings);
    if (labels)
        ck_assert_int_eq(vit_model_labels_set(t.model, labels, 3, &err), BASE_OK);
    const vit_parameter *head = vit_model_parameter_find(t.model, "head.weight");
    for (size_t i = 0; i < head->count; i++) /* it begins with zeros */
        vit_model_weights(t.model)[head->offset + i] = (float)i + 1;
    ck_assert_msg(vit_model_save(t.model, path, VIT_PRECISION_FP32, &err) == BASE_OK, "%s",
                  err.text);
    train_trainer_destroy(&t);
    base_free(folder);
    return path;
}

/* A run that begins with the file. */
static base_status begin(train_trainer *t, const char *path, const char *const *settings)
{
    char *folder = test_path(dir, "run"), *from = base_text("model.init_from=%s", path);
    const char *all[SETTINGS_MAX] = {from, "train.seed=5"};
    size_t count = 2;

    while (*settings)
        all[count++] = *settings++;
    const train_recipe recipe = recipe_of(all);
    const train_options options = {.folder = folder, .threads = 1, .watch = watch};
    told[0] = '\0';
    err = (base_error){0};
    const base_status status = train_trainer_create(t, &recipe, &options, &err);
    base_free(from);
    base_free(folder);
    return status;
}

/* "%" of the words is the file's name. */
static char *with_path(const char *words, const char *path)
{
    char *out = base_text("%s", "");

    for (const char *at = words; *at;) {
        const size_t plain = strcspn(at, "%");
        char *more = base_text("%s%.*s%s", out, (int)plain, at, at[plain] ? path : "");
        base_free(out);
        out = more;
        at += plain + (at[plain] != '\0');
    }
    return out;
}

#define DIFFERENT " in the recipe: they are different networks"

START_TEST(what_would_be_another_network_is_refused_by_its_key)
{
    static const struct {
        const char *file[3], *here[3], *words;
    } cases[] = {
        {{NULL}, {"model.patch=2"}, "'model.patch' is 4 in '%' and 2" DIFFERENT},
        {{NULL}, {"model.width=12"}, "'model.width' is 8 in '%' and 12" DIFFERENT},
        {{NULL}, {"model.depth=3"}, "'model.depth' is 2 in '%' and 3" DIFFERENT},
        {{NULL}, {"model.heads=4"}, "'model.heads' is 2 in '%' and 4" DIFFERENT},
        {{NULL}, {"model.mlp=16"}, "'model.mlp' is 12 in '%' and 16" DIFFERENT},
        {{NULL}, {"data.channels=1"}, "'data.channels' is 3 in '%' and 1" DIFFERENT},
        {{NULL}, {"model.registers=2"}, "'model.registers' is 0 in '%' and 2" DIFFERENT},
        {{"model.pool=gap"},
         {"model.pool=gap", "model.fc_norm=true"},
         "'model.fc_norm' is 0 in '%' and 1" DIFFERENT},
        {{"model.pre_norm=true"}, {NULL}, "'model.pre_norm' is 1 in '%' and 0" DIFFERENT},
        {{"model.qk_norm=true"}, {NULL}, "'model.qk_norm' is 1 in '%' and 0" DIFFERENT},
        {{"model.pool=patches"},
         {NULL},
         "'model.pool' is patches in '%' and token" DIFFERENT},
        {{NULL}, {"model.pool=gap"}, "'model.pool' is token in '%' and gap" DIFFERENT},
        {{NULL}, {"model.gelu=tanh"}, "'model.gelu' is erf in '%' and tanh" DIFFERENT},
        {{"model.gelu=tanh"}, {NULL}, "'model.gelu' is tanh in '%' and erf" DIFFERENT},
        {{"model.position=sincos"},
         {NULL},
         "'model.position' is sincos in '%' and learned" DIFFERENT},
        {{NULL}, {"router.experts=3"}, "'router.experts' is 4 in '%' and 3" DIFFERENT},
        {{"router.shared=1"}, {NULL}, "'router.shared' is 1 in '%' and 0" DIFFERENT},
        {{NULL}, {"router.layers=none"}, "'router.experts' is 4 in '%' and 0" DIFFERENT},
        {{NULL},
         {"router.layers=0"},
         "block 0 has an MLP in '%' and experts in the recipe (router.layers)"},
        {{"router.layers=0,1"},
         {NULL},
         "block 0 has experts in '%' and an MLP in the recipe (router.layers)"},
        {{NULL},
         {"model.prelogits=5"},
         "'%' lacks the tensor 'pre_logits.fc.weight', the recipe's network is another"},
        {{"model.prelogits=5"},
         {"model.prelogits=6"},
         "'%' has another shape of the tensor 'pre_logits.fc.weight', the recipe's network "
         "is another"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = file_of(
            "other.safetensors",
            SET(cases[i].file[0], cases[i].file[0] ? cases[i].file[1] : NULL), NULL);
        char *want = with_path(cases[i].words, path);
        train_trainer t = {0};
        ck_assert_int_eq(
            begin(&t, path,
                  SET(cases[i].here[0], cases[i].here[0] ? cases[i].here[1] : NULL)),
            BASE_MISMATCH);
        ck_assert_str_eq(err.text, want);
        ck_assert_str_eq(told, "");
        train_trainer_destroy(&t);
        base_free(want);
        base_free(path);
    }
}
END_TEST

/* Whole and in order, nothing else. N: the tensors of the network, of which `lost` are not
 * the file's. */
START_TEST(everything_that_differs_is_told_and_nothing_else)
{
    static const struct {
        const char *file[4], *here[4];
        int lost;
        const char *words;
    } cases[] = {
        {{NULL}, {NULL}, 0, ""},
        {{"model.dropout=0.3"}, {"optimizer.lr=0.5", "router.dropout=0.2"}, 0, ""},
        {{NULL}, {"data.image=16"}, 0, ": positions interpolated from 8 to 16 pixels\n"},
        {{"model.position=sincos"}, {"model.position=sincos", "data.image=16"}, 0, ""},
        {{NULL},
         {"model.classes=5"},
         2,
         ": head of 5 classes begins at zero (in place of the file's 3)\n"},
        {{NULL},
         {"model.classes=5", "model.init=vmoe"},
         2,
         ": head of 5 classes begins at zero, its bias at -ln of their number (in place of the "
         "file's 3)\n"},
        {{"model.prelogits=5"},
         {NULL},
         1, /* the bias fits */
         ": head of 3 classes begins at zero (in place of the file's 3)\n"
         ": 2 tensors of the file have no place here and are left out\n"},
        {{"router.layers=none"},
         {NULL},
         0,
         ": experts of 1 block are copies of its MLP, their routers drawn anew\n"},
        {{"router.layers=none"},
         {"router.layers=0,1", "router.shared=1"},
         0,
         ": experts of 2 blocks are copies of its MLPs, their routers drawn anew, shared "
         "experts add nothing at first\n"},
        {{NULL},
         {"router.name=xmoe"},
         3,
         ": 3 tensors of routers drawn anew\n"
         ": its router is 'softmax', here 'xmoe'\n"},
        {{NULL},
         {"router.balance=0.25"},
         0,
         ": its router is 'softmax', here 'softmax' with other options\n"},
        {{NULL},
         {"router.k=1"},
         0,
         ": its tokens meet 2 experts with capacity 0 (0 in evaluation), here 1 with 0 (0)\n"},
        {{NULL},
         {"router.capacity=1.5"},
         0,
         ": its tokens meet 2 experts with capacity 0 (0 in evaluation), here 2 with 1.5 (0)\n"},
        {{"router.capacity=1.5"},
         {NULL},
         0,
         ": its tokens meet 2 experts with capacity 1.5 (0 in evaluation), here 2 with 0 (0)\n"},
        {{NULL},
         {"router.eval_capacity=2"},
         0,
         ": its tokens meet 2 experts with capacity 0 (0 in evaluation), here 2 with 0 (2)\n"},
        {{"router.eval_capacity=2"},
         {NULL},
         0,
         ": its tokens meet 2 experts with capacity 0 (2 in evaluation), here 2 with 0 (0)\n"},
        {{NULL},
         {"data.mean=half"},
         0,
         ": its pixels were made ready with mean 0.485.. and std 0.229.., here with mean 0.5.. "
         "and std 0.229.. (data.mean, data.std)\n"},
        {{NULL},
         {"data.std=0.229,0.224,0.5"},
         0,
         ": its pixels were made ready with mean 0.485.. and std 0.229.., here with mean 0.485.. "
         "and std 0.229.. (data.mean, data.std)\n"},
        {{NULL},
         {"data.interpolation=bicubic"},
         0,
         ": its pixels were made ready bilinear, here bicubic\n"},
        {{"data.crop_mode=squash"},
         {NULL},
         0,
         ": its pixels were made ready bilinear, squashed, here bilinear\n"},
        {{NULL},
         {"data.crop_mode=squash"},
         0,
         ": its pixels were made ready bilinear, here bilinear, squashed\n"},
        {{NULL},
         {"model.eps=1e-5"},
         0,
         ": its norms have the epsilon 1e-06, here 1e-05 (model.eps)\n"},
        {{"model.eps=1e-5"},
         {NULL},
         0,
         ": its norms have the epsilon 1e-05, here 1e-06 (model.eps)\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = file_of(
            "other.safetensors",
            SET(cases[i].file[0], cases[i].file[0] ? cases[i].file[1] : NULL), NULL);
        train_trainer t = {0};
        ck_assert_msg(begin(&t, path,
                            SET(cases[i].here[0],
                                cases[i].here[0] ? cases[i].here[1] : NULL)) == BASE_OK,
                      "%s", err.text);
        const size_t all = vit_model_parameter_count(t.model);
        char *want = base_text("start: '%s': %zu tensors loaded\n%s", path,
                               all - (size_t)cases[i].lost, cases[i].words);
        ck_assert_str_eq(told, want);
        ck_assert(t.start.done);
        ck_assert_uint_eq(t.start.loaded, all - (size_t)cases[i].lost);
        ck_assert_int_eq(t.start.image, 8);
        ck_assert_int_eq(t.start.classes, 3);
        train_trainer_destroy(&t);
        base_free(want);
        base_free(path);
    }
}
END_TEST

/* Of what fits every weight is the file's; routers of another kind and another head are
 * those that the recipe's seed draws. */
START_TEST(weights_are_the_files_where_they_fit)
{
    char *path = file_of("other.safetensors", SET("train.seed=9"), NULL),
         *folder = test_path(dir, "fresh");
    vit_model *file = NULL;
    train_trainer t = {0}, fresh = {0};
    size_t taken = 0;

    ck_assert_int_eq(begin(&t, path, SET("router.name=xmoe", "model.classes=4")), BASE_OK);
    trainer_open(&fresh, folder, false, NULL,
                 SET("router.name=xmoe", "model.classes=4", "train.seed=5"));
    ck_assert_int_eq(vit_model_load(&file, path, NULL, &err), BASE_OK);
    const float *w = vit_model_weights_const(t.model), *f = vit_model_weights_const(file),
                *own = vit_model_weights_const(fresh.model);
    for (size_t i = 0; i < vit_model_parameter_count(t.model); i++) {
        const vit_parameter *p = vit_model_parameter(t.model, i);
        const vit_parameter *q = vit_model_parameter_find(file, p->name);
        const bool anew = strstr(p->name, "router") || strncmp(p->name, "head.", 5) == 0;
        ck_assert_msg(memcmp(w + p->offset, anew ? own + p->offset : f + q->offset,
                             p->count * sizeof *w) == 0,
                      "%s", p->name);
        taken += !anew;
    }
    ck_assert_uint_eq(t.start.loaded, taken);
    ck_assert(t.start.head && !t.start.positions);
    ck_assert_uint_gt(t.start.drawn, 0);
    vit_model_destroy(file);
    train_trainer_destroy(&t);
    train_trainer_destroy(&fresh);
    base_free(folder);
    base_free(path);
}
END_TEST

/* A head that is kept is told of where its first class with another name is; a file without
 * a head; one whose network is no file. */
START_TEST(heads_are_kept_with_a_word_or_not_there)
{
    static const char *const others[] = {"blue", "jade", "gold"};
    char *path = file_of("other.safetensors", SET(NULL), others), *want;
    train_trainer t = {0};

    ck_assert_int_eq(begin(&t, path, SET(NULL)), BASE_OK);
    want = base_text(
        "start: '%s': %zu tensors loaded\n: its class 1 is 'jade', here 'green': the "
        "head is kept all the same\n",
        path, vit_model_parameter_count(t.model));
    ck_assert_str_eq(told, want);
    base_free(want);
    ck_assert(!t.start.head);
    const vit_parameter *head = vit_model_parameter_find(t.model, "head.weight");
    ck_assert(vit_model_weights_const(t.model)[head->offset + 2] == 3.0f);
    train_trainer_destroy(&t);
    ck_assert_int_eq(begin(&t, path, SET("model.classes=4")), BASE_OK); /* another head */
    ck_assert_ptr_null(strstr(told, "jade"));
    train_trainer_destroy(&t);
    ck_assert_int_eq(begin(&t, "no/such", SET(NULL)), BASE_IO);
    ck_assert_str_eq(err.text, "cannot open 'no/such': No such file or directory");
    train_trainer_destroy(&t);
    base_free(path);
}
END_TEST

/* A file of nothing but tensors, and no head among them: what it does not say of heads and
 * pooling, the recipe says. */
START_TEST(a_bare_file_is_what_the_recipe_says)
{
    static const char *const kinds[][3] = {
        {"model.heads=2", "model.pool=token"},
        {"model.heads=4", "model.pool=token"},
        {"model.heads=1", "model.pool=patches"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *const *set =
            SET("router.layers=none", "model.width=64", kinds[i][0], kinds[i][1]);
        char *whole = file_of("whole.safetensors", set, NULL),
             *bare = test_path(dir, "bare.safetensors");
        vit_tensor_file *file = NULL;
        vit_tensor tensors[64];
        size_t count = 0;
        train_trainer t = {0};

        ck_assert_int_eq(vit_tensors_open(&file, whole, &err), BASE_OK);
        for (size_t k = 0; k < vit_tensors_count(file); k++) {
            ck_assert_uint_lt(count, 64);
            tensors[count] = *vit_tensors_at(file, k);
            count += strncmp(tensors[count].name, "head.", 5) != 0;
        }
        ck_assert_int_eq(vit_tensors_write(bare, tensors, count, NULL, 0, &err), BASE_OK);
        vit_tensors_close(file);
        ck_assert_msg(begin(&t, bare, set) == BASE_OK, "%s", err.text);
        char *want =
            base_text("start: '%s': %zu tensors loaded\n: head of 3 classes begins at zero "
                      "(the file has none)\n",
                      bare, count);
        ck_assert_msg(strncmp(told, want, strlen(want)) == 0, "%s", told);
        ck_assert_int_eq(t.start.classes, 0);
        ck_assert(t.start.head);
        ck_assert_uint_eq(t.start.loaded, count);
        train_trainer_destroy(&t);
        base_free(want);
        base_free(whole);
        base_free(bare);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_start");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, what_would_be_another_network_is_refused_by_its_key);
    tcase_add_test(core, everything_that_differs_is_told_and_nothing_else);
    tcase_add_test(core, weights_are_the_files_where_they_fit);
    tcase_add_test(core, heads_are_kept_with_a_word_or_not_there);
    tcase_add_test(core, a_bare_file_is_what_the_recipe_says);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
