/* test_app_finetune.c - vmoe train --from as a user runs it: what of the network is taken,
 * what begins anew and is told, what goes on after a stop. */
#include "tests/test_run.h"
#include "tests/test_train.h"

static char *model, *out, *results;

static void setup_all(void)
{
    setup();
    model = test_path(dir, "start.safetensors");
    out = test_path(dir, "run");
    results = test_path(dir, "r.json");
}

static void teardown_all(void)
{
    base_free(results);
    base_free(out);
    base_free(model);
    teardown();
}

/* Steps that change no weight. */
#define FROM                                                                               \
    "train", "--from", model, "--data", data, "--val", data, "--threads", "1", "--batch",  \
        "4", "--out", out
#define STILL "--json", results, "--set", "train.max_steps=1", "optimizer.lr=0"

static vit_model *trained(void)
{
    char *path = test_path(out, "last/model.safetensors");
    vit_model *end = NULL;

    ck_assert_int_eq(vit_model_load(&end, path, NULL, NULL), BASE_OK);
    base_free(path);
    return end;
}

static vit_model *start_model(void)
{
    vit_model *start = NULL;

    ck_assert_int_eq(vit_model_load(&start, model, NULL, NULL), BASE_OK);
    return start;
}

/* Whether the tensor is the same to the bit in both. */
static bool same(const vit_model *a, const vit_model *b, const char *name)
{
    const vit_parameter *p = vit_model_parameter_find(a, name),
                        *q = vit_model_parameter_find(b, name);

    return p && q && p->count == q->count &&
           memcmp(vit_model_weights_const(a) + p->offset,
                  vit_model_weights_const(b) + q->offset, p->count * sizeof(float)) == 0;
}

/* Everything that a file may say and the recipe's defaults do not. */
static vit_config odd_config(void)
{
    vit_config c = sample_config(true);

    c.gelu = VIT_GELU_TANH;
    c.init = VIT_INIT_VMOE;
    c.pool = VIT_POOL_PATCHES;
    c.eps = 1e-5;
    c.registers = 2;
    c.prelogits = 6;
    c.pre_norm = c.qk_norm = c.fc_norm = true;
    c.mean[0] = 0.481466f;
    c.mean[1] = c.mean[2] = 0.5f;
    c.std[0] = c.std[1] = c.std[2] = 0.27f;
    c.crop_mode = VIT_CROP_SQUASH;
    c.resize = SAMPLE_SIDE;
    snprintf(c.interpolation, sizeof c.interpolation, "bilinear-plain");
    c.moe.experts = 3;
    c.moe.shared = 1;
    c.moe.capacity = 1.5;
    c.moe.eval_capacity = 2;
    c.moe.group_images = 4;
    c.moe.dropout = 0.1;
    ck_assert_int_eq(vit_router_select(&c.moe.router, "vmoe", NULL), BASE_OK);
    ck_assert_int_eq(vit_router_set(&c.moe.router, "noise", "0.5", NULL), BASE_OK);
    return c;
}

START_TEST(a_network_is_taken_whole)
{
    const vit_config c = odd_config();
    sample_model_save(model, &c, sample_labels);
    program_result r = program_run(dir, FROM, STILL, NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.err, "by recipe 'finetune'") != NULL, "%s", r.err);
    ck_assert_msg(strstr(r.err, "here") == NULL, "%s", r.err); /* nothing differs */
    program_result_free(&r);
    vit_model *start = start_model(), *end = trained();
    for (size_t i = 0; i < vit_model_parameter_count(end); i++)
        ck_assert_msg(same(start, end, vit_model_parameter(end, i)->name), "%s",
                      vit_model_parameter(end, i)->name);
    vit_config found = *vit_model_config(end);
    ck_assert_double_eq(found.moe.dropout, 0); /* of the file's training, not of this */
    found.moe.dropout = c.moe.dropout;
    ck_assert_int_eq(vit_model_config_set(end, &found, NULL), BASE_OK);
    char *a = vit_model_config_json(start), *b = vit_model_config_json(end);
    ck_assert_str_eq(a, b);
    base_free(a);
    base_free(b);
    json_t *json = program_json(results), *from = json_object_get(json, "start");
    ck_assert_double_eq(json_number_of(from, "tensors"),
                        (double)vit_model_parameter_count(start));
    ck_assert_double_eq(json_number_of(from, "classes"), SAMPLE_CLASSES);
    ck_assert(json_is_false(json_object_get(from, "head_new")));
    json_decref(json);
    vit_model_destroy(start);
    vit_model_destroy(end);
}
END_TEST

START_TEST(what_does_not_fit_begins_anew_and_is_told)
{
    vit_config c = odd_config();
    c.classes = 7;
    sample_model_save(model, &c, NULL);
    program_result r = program_run(dir, FROM, STILL, "data.image=16", "model.prelogits=0",
                                   "router.name=xmoe", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    const char *const words[] = {
        "positions interpolated from 8 to 16 pixels",
        "head of 3 classes begins at zero, its bias at -ln of their number (in place of the "
        "file's 7)",
        "tensors of routers drawn anew",
        "2 tensors of the file have no place here and are left out",
        "its router is 'vmoe', here 'xmoe'",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(r.err, words[i]) != NULL, "'%s' in %s", words[i], r.err);
    program_result_free(&r);
    vit_model *start = start_model(), *end = trained();
    ck_assert_int_eq(vit_model_config(end)->resize, 16); /* in proportion */
    ck_assert(same(start, end, "blocks.1.moe.experts.fc1.weight"));
    const vit_parameter *head = vit_model_parameter_find(end, "head.weight");
    for (size_t i = 0; i < head->count; i++)
        ck_assert(vit_model_weights_const(end)[head->offset + i] == 0);
    json_t *json = program_json(results), *from = json_object_get(json, "start");
    ck_assert(json_is_true(json_object_get(from, "head_new")));
    ck_assert(json_is_true(json_object_get(from, "positions_interpolated")));
    ck_assert_double_eq(json_number_of(from, "left_out"), 2);
    ck_assert_double_gt(json_number_of(from, "routers_drawn"), 0);
    json_decref(json);
    vit_model_destroy(start);
    vit_model_destroy(end);
}
END_TEST

START_TEST(mlps_of_a_dense_network_become_experts)
{
    const vit_config c = sample_config(false);
    sample_model_save(model, &c, sample_labels);
    program_result r =
        program_run(dir, FROM, STILL, "router.layers=1", "router.experts=3", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.err, "experts of 1 block are copies of its MLP, their routers "
                                "drawn anew") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    vit_model *start = start_model(), *end = trained();
    const vit_parameter *one = vit_model_parameter_find(start, "blocks.1.mlp.fc1.weight");
    const vit_parameter *all =
        vit_model_parameter_find(end, "blocks.1.moe.experts.fc1.weight");
    for (size_t e = 0; e < 3; e++)
        ck_assert_mem_eq(vit_model_weights_const(end) + all->offset + e * one->count,
                         vit_model_weights_const(start) + one->offset,
                         one->count * sizeof(float));
    ck_assert(same(start, end, "head.weight"));
    json_t *json = program_json(results), *from = json_object_get(json, "start");
    ck_assert_double_eq(json_number_of(from, "experts_from_mlps"), 1);
    json_decref(json);
    vit_model_destroy(start);
    vit_model_destroy(end);
}
END_TEST

START_TEST(options_about_the_network_become_keys)
{
    vit_config c = sample_config(false);
    c.classes = 5; /* another head too */
    sample_model_save(model, &c, NULL);
    program_done(program_run(dir, FROM, "--mean", "half", "--size", "16", "--resize", "20",
                             "--interpolation", "area", STILL, NULL));
    vit_model *end = trained();
    const vit_config *found = vit_model_config(end);
    ck_assert(found->mean[2] == 0.5f);
    ck_assert(found->std[2] == c.std[2]);
    ck_assert_int_eq(found->image, 16);
    ck_assert_int_eq(found->resize, 20);
    ck_assert_str_eq(found->interpolation, "area");
    vit_model_destroy(end);
    json_t *json = program_json(results);
    ck_assert(json_is_true(json_object_get(json_object_get(json, "start"), "head_new")));
    json_decref(json);
    program_refused(program_run(dir, TINY, out, "--size", "16", NULL), 2,
                    "--size means nothing without --from MODEL");
    program_refused(program_run(dir, TINY, out, "--interpolation", "area", NULL), 2,
                    "--interpolation means nothing without --from MODEL");
}
END_TEST

/* The same command goes on, also when the network is no more; another one is refused. */
START_TEST(a_run_goes_on_to_the_same_bytes)
{
    char *whole = out, *part = test_path(dir, "part");
    const vit_config c = odd_config();
    sample_model_save(model, &c, sample_labels);

    program_done(
        program_run(dir, FROM, "--set", "train.epochs=4", "schedule.name=constant", NULL));
    out = part;
    program_done(
        program_run(dir, FROM, "--set", "train.epochs=2", "schedule.name=constant", NULL));
    program_refused(program_run(dir, FROM, "--quiet", "--resume", "--std", "half", "--set",
                                "train.epochs=4", "schedule.name=constant", NULL),
                    1, "'data.std' was '0.27,0.27,0.27' when the run began");
    ck_assert_int_eq(unlink(model), 0);
    program_done(program_run(dir, FROM, "--resume", "--set", "train.epochs=4",
                             "schedule.name=constant", NULL));
    same_file("run", "part", "last/model.safetensors");
    same_file("run", "part", "last/state.safetensors");
    same_file("run", "part", "best/model.safetensors");
    out = whole;
    base_free(part);
}
END_TEST

START_TEST(data_alone_is_enough)
{
    const vit_config c = sample_config(false);
    sample_model_save(model, &c, sample_labels);
    program_result r = program_run(dir, "train", "--from", model, "--data", data, "--out",
                                   out, "--batch", "4", "--set", "train.max_steps=2", NULL);

    ck_assert_msg(r.code == 0, "%s", r.err);
    ck_assert_msg(strstr(r.err, "no --val: validated with '") != NULL &&
                      strstr(r.err, "accuracy says nothing about other images") != NULL,
                  "%s", r.err);
    program_result_free(&r);
    program_refused(program_run(dir, "train", "--from", "no/such", "--data", data, "--out",
                                out, "--quiet", NULL),
                    1, "no/such");
}
END_TEST

START_TEST(a_kept_head_of_other_classes_is_told)
{
    static const char *const others[] = {"blue", "jade", "red"};
    const vit_config c = sample_config(false);
    sample_model_save(model, &c, others);
    program_result r = program_run(dir, FROM, STILL, NULL);

    ck_assert_msg(strstr(r.err, "its class 1 is 'jade', here 'green': the head is kept all "
                                "the same") != NULL,
                  "%s", r.err);
    program_result_free(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_finetune");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup_all, teardown_all);
    tcase_add_test(core, a_network_is_taken_whole);
    tcase_add_test(core, what_does_not_fit_begins_anew_and_is_told);
    tcase_add_test(core, mlps_of_a_dense_network_become_experts);
    tcase_add_test(core, options_about_the_network_become_keys);
    tcase_add_test(core, a_run_goes_on_to_the_same_bytes);
    tcase_add_test(core, data_alone_is_enough);
    tcase_add_test(core, a_kept_head_of_other_classes_is_told);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
