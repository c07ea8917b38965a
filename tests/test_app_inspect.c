/* test_app_inspect.c - vmoe inspect: its figures are those of the network. */
#include "tests/test_command.h"
#include "tests/test_run.h"

static void setup(void)
{
    command_setup(true);
}

START_TEST(the_parameters_are_counted_by_hand)
{
    /* width 8, patch 4, 3 channels, 4 patches + class token, mlp 12, block 0 dense,
     * block 1 with 4 experts of which a token meets 2. patch 8*48+8 = 392; position 5*8
     * + 8 = 48; attention 24*8+24 + 8*8+8 = 288; norms 2*16 = 32; MLP 12*8+12 + 8*12+8 =
     * 212; router 4*8 = 32; norm 16; head 3*8+3 = 27. all: 392+48 + (320+212) +
     * (320+32+4*212) + 16+27 = 2215; active: 2 experts fewer. */
    json_t *i = COMMAND_JSON("inspect", model);
    json_t *block = json_array_get(json_object_get(i, "blocks"), 1);

    ck_assert_double_eq(json_number_of(i, "parameters"), 2215);
    ck_assert_double_eq(json_number_of(i, "active_parameters"), 2215 - 2 * 212);
    ck_assert_double_eq(json_number_of(i, "tokens"), 5);
    ck_assert(json_is_true(json_object_get(block, "moe")));
    ck_assert_double_eq(json_number_of(block, "parameters"), 320 + 32 + 4 * 212);
    ck_assert_double_eq(json_number_of(block, "active_parameters"), 320 + 32 + 2 * 212);
    json_decref(i);
}
END_TEST

START_TEST(the_config_is_the_checkpoints)
{
    json_t *i = COMMAND_JSON("inspect", model);
    json_t *config = json_object_get(i, "config");

    ck_assert_double_eq(json_number_of(config, "width"), 8);
    ck_assert_double_eq(json_number_of(config, "classes"), 3);
    ck_assert_str_eq(
        json_string_value(json_array_get(json_object_get(config, "labels"), 1)), "green");
    json_decref(i);
}
END_TEST

START_TEST(the_table_shows_layers_and_router)
{
    program_result r = program_run(dir, "inspect", model, NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "block 1"));
    ck_assert_ptr_nonnull(strstr(r.out, "2 of 4 experts"));
    ck_assert_ptr_nonnull(strstr(r.out, "router  ssr, "));
    ck_assert_ptr_nonnull(strstr(r.out, "2,215"));
    ck_assert_ptr_nonnull(strstr(r.out, "blue, green, red"));
    ck_assert_ptr_null(strstr(r.out, "blocks.0.attn.qkv.weight"));
    for (const char *line = r.out; *line; line += strcspn(line, "\n") + 1)
        if (!strstr(r.out, dir) || line > strchr(r.out, '\n')) /* but for the path */
            ck_assert_msg(strcspn(line, "\n") <= 80, "%s", line);
    program_result_free(&r);
    r = program_run(dir, "inspect", model, "--tensors", NULL);
    ck_assert_ptr_nonnull(strstr(r.out, "blocks.0.attn.qkv.weight"));
    program_result_free(&r);
}
END_TEST

START_TEST(the_document_holds_what_the_table_shows)
{
    json_t *i = COMMAND_JSON("inspect", model, "--tensors");
    const json_t *layers = json_object_get(i, "layers"), *routing, *tensor;

    ck_assert_uint_eq(json_array_size(layers), 7); /* patches, position, 2, norm, head */
    ck_assert_double_eq(json_number_of(json_array_get(layers, 6), "parameters"), 2215);
    routing = json_object_get(i, "routing");
    ck_assert_str_eq(json_string_value(json_object_get(routing, "name")), "ssr");
    ck_assert_uint_gt(json_array_size(json_object_get(routing, "settings")), 1);
    tensor = json_array_get(json_object_get(i, "tensors"), 0);
    ck_assert_ptr_nonnull(json_object_get(tensor, "shape"));
    json_decref(i);
    i = COMMAND_JSON("inspect", model);
    ck_assert(json_is_null(json_object_get(i, "tensors")));
    json_decref(i);
}
END_TEST

START_TEST(a_dense_network_has_no_router)
{
    const vit_config config = sample_config(false);

    sample_model_save(model, &config, NULL);
    program_result r = program_run(dir, "inspect", model, NULL);
    ck_assert_int_eq(r.code, 0);
    ck_assert_ptr_null(strstr(r.out, "router"));
    ck_assert_ptr_nonnull(strstr(r.out, "without names"));
    program_result_free(&r);
}
END_TEST

START_TEST(what_is_no_checkpoint_is_named)
{
    program_refused(program_run(dir, "inspect", "/no/model", NULL), 1, "/no/model");
    program_refused(program_run(dir, "inspect", dir, "x", NULL), 2, "MODEL");
    test_write(model, "not a checkpoint", 16);
    program_refused(program_run(dir, "inspect", model, NULL), 1, model);
    test_write(model, "", 0);
    program_refused(program_run(dir, "inspect", model, NULL), 1, model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_inspect");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_set_timeout(core, 60);
    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_test(core, the_parameters_are_counted_by_hand);
    tcase_add_test(core, the_config_is_the_checkpoints);
    tcase_add_test(core, the_table_shows_layers_and_router);
    tcase_add_test(core, the_document_holds_what_the_table_shows);
    suite_add_tcase(suite, core);
    tcase_set_timeout(limits, 60);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(limits, a_dense_network_has_no_router);
    tcase_add_test(limits, what_is_no_checkpoint_is_named);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
