/* test_train_keys.c - every key of a recipe and every option of a router does something:
 * changed alone, weights or metrics of a short run are others; or the table says why
 * not. */
#include <jansson.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_trainer.h"

/* ---- what a run comes to ------------------------------------------------------------- */

static void add(base_sha256 *hash, const void *bytes, size_t count)
{
    base_sha256_add(hash, bytes, count);
}

/* Lines of metrics.jsonl without what the clock says. */
static void add_metrics(base_sha256 *hash, const char *path)
{
    static const char *const clock[] = {"time", "elapsed", "seconds", "images_per_second"};
    char *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, &err), BASE_OK);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        json_t *json = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        ck_assert_ptr_nonnull(json);
        for (size_t i = 0; i < sizeof clock / sizeof clock[0]; i++)
            json_object_del(json, clock[i]);
        char *rest = json_dumps(json, JSON_COMPACT);
        add(hash, rest, strlen(rest));
        free(rest);
        json_decref(json);
    }
    base_free(text);
}

/* Two steps and an evaluation. */
static void outcome(char out[BASE_SHA256_TEXT], const char *const *settings)
{
    char *folder = test_path(dir, "run");
    base_sha256 hash = base_sha256_begin();
    train_trainer t = {0};
    bool better;

    trainer_begin(&t, folder, settings);
    trainer_step(&t);
    trainer_step(&t);
    ck_assert_msg(train_trainer_evaluate(&t, &better, &err) == BASE_OK, "%s", err.text);
    add(&hash, vit_model_weights_const(t.model), vit_model_floats(t.model) * sizeof(float));
    add(&hash, &t.at.best_loss, sizeof t.at.best_loss);
    add_metrics(&hash, t.metrics_path);
    base_sha256_end(out, &hash);
    train_trainer_destroy(&t);
    base_free(folder);
}

static bool same(const char *const *one, const char *const *two)
{
    char a[BASE_SHA256_TEXT], b[BASE_SHA256_TEXT];

    outcome(a, one);
    outcome(b, two);
    return strcmp(a, b) == 0;
}

/* ---- keys of a recipe ---------------------------------------------------------------- */

/* value: another than that of test_trainer.h or the default; with: what the key needs to
 * say something. why: it changes no number of such a run. $: the test's folder. */
typedef struct key_case {
    const char *key, *value, *with[4], *why;
} key_case;

static const key_case keys[] = {
    {"model.size", "vmoe-nano", {0}, NULL},
    {"model.patch", "2", {0}, NULL},
    {"model.width", "12", {0}, NULL},
    {"model.depth", "3", {0}, NULL},
    {"model.heads", "4", {0}, NULL},
    {"model.mlp", "16", {0}, NULL},
    {"model.classes", "5", {0}, NULL},
    {"model.pool", "gap", {0}, NULL},
    {"model.gelu", "tanh", {0}, NULL},
    {"model.position", "sincos", {0}, NULL},
    {"model.eps", "0.01", {0}, NULL},
    {"model.registers", "2", {0}, NULL},
    {"model.prelogits", "5", {0}, NULL},
    {"model.fc_norm", "true", {"model.pool=gap"}, NULL},
    {"model.pre_norm", "true", {0}, NULL},
    {"model.qk_norm", "true", {0}, NULL},
    {"model.init", "vmoe", {0}, NULL},
    {"model.init_from", "$/start.safetensors", {0}, NULL},
    {"model.dropout", "0.3", {0}, NULL},
    {"model.drop_path", "0.6", {0}, NULL},
    {"router.name", "vmoe", {0}, NULL},
    {"router.experts", "3", {0}, NULL},
    {"router.k", "1", {0}, NULL},
    {"router.layers", "0", {0}, NULL},
    {"router.capacity", "0.5", {0}, NULL},
    {"router.eval_capacity", "0.5", {0}, NULL},
    {"router.capacity_multiple", "7", {"router.capacity=0.5"}, NULL},
    {"router.bpr", "true", {"router.capacity=0.5"}, NULL},
    {"router.eval_bpr", "true", {"router.eval_capacity=0.5"}, NULL},
    {"router.group_images", "1", {"router.capacity=0.5"}, NULL},
    {"router.dropout", "0.4", {0}, NULL},
    {"router.shared", "1", {0}, NULL},
    {"data.train", "$/other", {0}, NULL},
    {"data.val", "$/other", {0}, NULL},
    {"data.val_labels", NULL, {0}, "of images in no class folders: test_data_above"},
    {"data.class_map", NULL, {0}, "another order of the classes: test_data_layouts"},
    {"data.label_key", NULL, {0}, "of shards: test_data_layouts"},
    {"data.index_cache", NULL, {0}, "the same index, sooner: test_data_cache"},
    {"data.image", "12", {0}, NULL},
    {"data.channels", "1", {0}, NULL},
    {"data.mean", "half", {0}, NULL},
    {"data.std", "half", {0}, NULL},
    {"data.interpolation", "bicubic", {0}, NULL},
    {"data.resize", "10", {0}, NULL},
    {"data.crop_mode", "squash", {"data.resize=10"}, NULL},
    {"data.limit", "5", {0}, NULL},
    {"data.val_limit", "5", {0}, NULL},
    {"data.workers", NULL, {0}, "the same batches, sooner: test_data_loader"},
    {"data.queue", NULL, {0}, "the same batches, sooner: test_data_loader"},
    {"data.max_bad", NULL, {0}, "only where images are bad: test_data_loader_bad"},
    {"data.strict", NULL, {0}, "only where images are bad: test_data_loader_bad"},
    {"data.exact", NULL, {0}, "only of large JPEG files: test_data_partial"},
    {"data.repeats", "2", {0}, NULL},
    {"augment.crop", "eval", {0}, NULL},
    {"augment.area_low", "0.6", {"augment.crop=random"}, NULL},
    {"augment.area_high", "0.5", {"augment.crop=random"}, NULL},
    {"augment.padding", "3", {0}, NULL},
    {"augment.flip", "1", {0}, NULL},
    {"augment.policy", "three", {0}, NULL},
    {"augment.policy_operations", "1", {"augment.policy=randaugment"}, NULL},
    {"augment.policy_magnitude", "28", {"augment.policy=randaugment"}, NULL},
    {"augment.brightness", "0.5", {0}, NULL},
    {"augment.contrast", "0.5", {0}, NULL},
    {"augment.saturation", "0.5", {0}, NULL},
    {"augment.hue", "0.3", {0}, NULL},
    {"augment.mixup", "0.4", {0}, NULL},
    {"augment.cutmix", "1", {0}, NULL},
    {"augment.mixup_style", "torchvision", {"augment.mixup=0.4"}, NULL},
    {"augment.mix_probability", "0", {"augment.mixup=0.4"}, NULL},
    {"augment.erase", "1", {0}, NULL},
    {"augment.erase_noise", "true", {"augment.erase=1"}, NULL},
    {"augment.corrupt", "contrast", {0}, NULL},
    {"augment.corrupt_severity", "5", {"augment.corrupt=contrast"}, NULL},
    {"augment.corrupt_probability", "0", {"augment.corrupt=contrast"}, NULL},
    {"optimizer.name", "sgd", {0}, NULL},
    {"optimizer.lr", "0.02", {0}, NULL},
    {"optimizer.beta1", "0.5", {0}, NULL},
    {"optimizer.beta2", "0.5", {0}, NULL},
    {"optimizer.eps", "0.1", {0}, NULL},
    {"optimizer.momentum", "0.5", {"optimizer.name=sgd"}, NULL},
    {"optimizer.nesterov", "true", {"optimizer.name=sgd"}, NULL},
    {"optimizer.weight_decay", "0.5", {0}, NULL},
    {"optimizer.layer_decay", "0.5", {0}, NULL},
    {"optimizer.freeze", "trunk", {0}, NULL},
    {"optimizer.clip", "0.01", {"optimizer.name=sgd"}, NULL},
    {"optimizer.ema", "0.5", {0}, NULL},
    {"optimizer.ema_copies_state",
     "true",
     {"optimizer.ema=0.99", "router.name=loss-free", "router.u=0.5"},
     NULL},
    {"schedule.name", "constant", {0}, NULL},
    {"schedule.warmup", "5", {0}, NULL},
    {"schedule.warmup_epochs", "2", {0}, NULL},
    {"schedule.final", "0.005", {0}, NULL},
    {"schedule.timescale", "1", {"schedule.name=rsqrt"}, NULL},
    {"train.epochs", "9", {0}, NULL},
    {"train.max_steps", "5", {0}, NULL},
    {"train.batch", "6", {0}, NULL},
    {"train.accumulate", "2", {0}, NULL},
    {"train.lanes", "4", {"train.accumulate=4"}, NULL},
    {"train.eval_batch", NULL, {0}, "figures do not depend on it: test_app_eval"},
    {"train.seed", "2", {0}, NULL},
    {"train.precision", NULL, {0}, "not on every processor: test_vit_run"},
    {"train.recompute", NULL, {0}, "the same numbers: test_vit_recompute"},
    {"train.loss", "sigmoid", {0}, NULL},
    {"train.label_smoothing", "0.1", {0}, NULL},
    {"train.adversarial", "pgd", {0}, NULL},
    {"train.adversarial_eps", "0.1", {"train.adversarial=pgd"}, NULL},
    {"train.adversarial_steps", "2", {"train.adversarial=pgd"}, NULL},
    {"train.adversarial_alpha", "0.001", {"train.adversarial=pgd"}, NULL},
    {"train.adversarial_beta", "1", {"train.adversarial=trades"}, NULL},
    {"train.checkpoint_every", NULL, {0}, "when files are written: test_train_step"},
    {"train.eval_every", NULL, {0}, "when it is evaluated: test_train_step"},
    {"train.eval_steps", NULL, {0}, "when it is evaluated: test_train_step"},
    {"train.log_every", "2", {0}, NULL},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

/* The settings of a case, with and without its key; freed by the caller. */
static void settings_of(const char *out[SETTINGS_MAX], const key_case *c, char **own)
{
    size_t count = 0;

    for (size_t i = 0; i < 4 && c->with[i]; i++)
        out[count++] = c->with[i];
    if (own) {
        *own = *c->value == '$' ? base_text("%s=%s%s", c->key, dir, c->value + 1)
                                : base_text("%s=%s", c->key, c->value);
        out[count++] = *own;
    }
    out[count] = NULL;
}

/* Other pictures, and a network to start from. */
static void prepare(void)
{
    char *other = test_path(dir, "other"), *start = test_path(dir, "start.safetensors"),
         *folder = test_path(dir, "first");
    train_trainer t = {0};

    ck_assert_int_eq(base_folder_make(other, NULL), BASE_OK);
    sample_folder_make(other);
    char *more = test_path(other, "red/9.png");
    sample_picture_save(more, 2, 9);
    trainer_begin(&t, folder, (const char *const[]){"train.seed=9", NULL});
    ck_assert_int_eq(vit_model_save(t.model, start, VIT_PRECISION_FP32, &err), BASE_OK);
    train_trainer_destroy(&t);
    base_free(more);
    base_free(folder);
    base_free(start);
    base_free(other);
}

START_TEST(every_key_of_a_recipe_does_something)
{
    size_t met = 0;

    prepare();
    for (const base_field *f = train_recipe_keys; f->name; f++, met++) {
        size_t i = 0;

        while (i < KEYS && strcmp(keys[i].key, f->name) != 0)
            i++;
        ck_assert_msg(i < KEYS, "'%s' has no line in this test", f->name);
        ck_assert_msg((keys[i].value != NULL) != (keys[i].why != NULL), "%s", f->name);
        if (keys[i].why)
            continue;
        const char *before[SETTINGS_MAX], *after[SETTINGS_MAX];
        char *own = NULL;
        settings_of(before, &keys[i], NULL);
        settings_of(after, &keys[i], &own);
        ck_assert_msg(!same(before, after), "%s changes nothing", own);
        base_free(own);
    }
    ck_assert_uint_eq(met, KEYS);
}
END_TEST

/* ---- options of routers -------------------------------------------------------------- */

typedef struct option_case {
    const char *router, *option, *value, *with[4];
} option_case;

/* Options that need company, or another value than the one that is taken by itself. */
static const option_case options[] = {
    {"sinkhorn", "gate", "prob", {"router.k=1"}},
    {"ssr", "max_iter", "1", {"router.p=1"}},
    {"sinkhorn", "max_iter", "1", {0}},
    {"ssr", "delta", "0.9", {"router.p=1"}},
    {"sinkhorn", "delta", "0.9", {0}},
    {"sinkhorn", "scope", "group", {"router.group_images=2"}},
    {"ssr", "scope", "group", {"router.group_images=2", "router.p=1"}},
    {"ssr", "p", "1", {0}},
    {"ssr", "steps", "12", {0}},
    {"ssr", "cost", "softmax", {"router.p=1"}},
    {"ssr", "xi", "0.2", {"router.p=1"}},
    {"ssr", "init", "paper", {"router.p=1", "router.max_iter=1"}},
    {"ssr", "noise_ot", "none", {"router.p=1", "router.noise=2"}},
    {"ssr", "gradient", "frozen", {"router.p=1"}},
    {"momentum", "mu", NULL, {"router.layers=0,1"}},
    {"adam", "mu", NULL, {"router.layers=0,1"}},
    {"adam", "gamma", NULL, {"router.layers=0,1"}},
    {"robust-momentum", "L", "1.1", {"router.layers=0,1"}},
    {"robust-momentum", "m", "0.7", {"router.layers=0,1"}},
    {"robust-momentum", "rho", "0.15", {"router.layers=0,1"}},
    {"robust-momentum", "beta", NULL, {"router.layers=0,1"}},
    {"robust-momentum", "eta", NULL, {"router.layers=0,1"}},
    {"expert-choice", "cf", "1.5", {0}},
    {"expert-choice", "multiple", "4", {0}},
    {"s2moe", "contrast_tokens", "4", {0}},
    {"loss-free", "freeze", "1", {0}},
    {"quantile", "lambda", NULL, {"router.form=dynamic"}},
    {"soft", "slots", "2", {0}},
    {"soft", "cf", "2", {0}},
    {"acmoe", "scope", NULL, {"router.layers=0,1"}},
};
enum { OPTIONS = sizeof options / sizeof options[0] };

/* Another value than the default: the next choice, the other truth, half or a half. */
static char *another(const base_field *f, const char *now)
{
    if (f->kind == BASE_KIND_BOOL)
        return base_text("%s", strcmp(now, "true") == 0 ? "false" : "true");
    if (f->kind == BASE_KIND_CHOICE) {
        const size_t length = strlen(now);
        const char *at = strstr(f->choices, now) + length;
        if (*at == '|')
            return base_text("%.*s", (int)strcspn(at + 1, "|"), at + 1);
        return base_text("%.*s", (int)strcspn(f->choices, "|"), f->choices);
    }
    if (f->kind == BASE_KIND_INT || f->whole) {
        int64_t whole = 0;
        base_parse_int(&whole, now);
        return base_text("%lld", (long long)(whole + (f->high > (double)whole ? 1 : -1)));
    }
    double real = 0;
    const double value = base_parse_real(&real, now) && real > 0 ? real / 2 : 0.5;
    return base_text("%g", value);
}

START_TEST(every_option_of_a_router_does_something)
{
    for (size_t r = 0; vit_router_name(r); r++) {
        const char *name = vit_router_name(r);
        char *router = base_text("router.name=%s", name);
        vit_router_config config;

        ck_assert_int_eq(vit_router_select(&config, name, &err), BASE_OK);
        for (const base_field *f = vit_router_options(name); f && f->name; f++) {
            const char *before[SETTINGS_MAX] = {router}, *after[SETTINGS_MAX];
            const option_case *c = NULL;
            char now[64];
            size_t count = 1;

            for (size_t i = 0; i < OPTIONS; i++)
                if (strcmp(options[i].option, f->name) == 0 &&
                    strcmp(options[i].router, name) == 0)
                    c = &options[i];
            for (size_t i = 0; c && i < 4 && c->with[i]; i++)
                before[count++] = c->with[i];
            memcpy(after, before, sizeof after);
            vit_router_get(&config, f->name, now, sizeof now);
            char *value = c && c->value ? base_text("%s", c->value) : another(f, now);
            char *own = base_text("router.%s=%s", f->name, value);
            after[count] = own;
            ck_assert_msg(!same(before, after), "%s: %s in place of %s changes nothing",
                          name, own, now);
            base_free(own);
            base_free(value);
        }
        base_free(router);
    }
}
END_TEST

/* What makes the loops above mean something. */
START_TEST(the_same_recipe_comes_to_the_same)
{
    ck_assert(same(NULL, NULL));
    ck_assert(
        same((const char *const[]){"train.adversarial=pgd", "augment.mixup=0.2", NULL},
             (const char *const[]){"augment.mixup=0.2", "train.adversarial=pgd", NULL}));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train_keys");
    TCase *core = test_case_of_threads("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, every_key_of_a_recipe_does_something);
    tcase_add_test(core, every_option_of_a_router_does_something);
    tcase_add_test(core, the_same_recipe_comes_to_the_same);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
