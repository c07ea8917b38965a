/* test_app_experts.c - vmoe inspect --experts as a user runs it, on twelve pictures and a
 * drawn network. */
#include <math.h>

#include "tests/test_command.h"
#include "tests/test_run.h"

enum { PATCHES = 4, EXPERTS = 4, CHOSEN = 2 };

static char *csv;

static void setup(void)
{
    command_setup(true);
    csv = command_path("csv");
}

#define STUDY dir, "inspect", model, "--experts", "--data", data, "--quiet"

static json_t *layer_of(const json_t *result)
{
    json_t *layers = json_object_get(result, "experts");

    ck_assert_uint_eq(json_array_size(layers), 1);
    return json_array_get(layers, 0);
}

static char *csv_text(const char *name)
{
    char *path = test_path(csv, name), *text = program_text(path);

    base_free(path);
    return text;
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(every_selected_pair_counts_once)
{
    program_done(program_run(STUDY, "--json", json, NULL));
    json_t *e = program_json(json), *layer = layer_of(e);

    ck_assert_double_eq(json_number_of(e, "samples"), SAMPLE_COUNT);
    ck_assert_double_eq(json_number_of(layer, "layer"), 1);
    ck_assert_double_eq(json_number_of(json_object_get(layer, "patches"), "assignments"),
                        SAMPLE_COUNT * PATCHES * CHOSEN);
    ck_assert_double_eq(
        json_number_of(json_object_get(layer, "class_token"), "assignments"),
        SAMPLE_COUNT * CHOSEN);
    ck_assert_double_eq(json_number_of(json_object_get(layer, "images"), "assignments"),
                        SAMPLE_COUNT);
    ck_assert_double_eq_tol(
        json_number_of(json_object_get(layer, "patches"), "class_entropy"), log(3.0), 1e-8);
    /* all patches of the twelve images were chosen, a quarter of the images held out */
    json_t *probe = json_object_get(layer, "probe_of_label");
    ck_assert_double_eq(json_number_of(probe, "train_tokens") +
                            json_number_of(probe, "test_tokens"),
                        SAMPLE_COUNT * PATCHES);
    ck_assert_double_eq(fmod(json_number_of(probe, "test_tokens"), PATCHES), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(layer, "top_classes")), EXPERTS);
    json_decref(e);
}
END_TEST

/* An image that cannot be used is a wrong answer and stands in no table. */
START_TEST(bad_images_are_skipped_as_in_eval)
{
    char *broken = test_path(data, "red/broken.png");

    program_done(program_run(STUDY, "--json", json, NULL));
    json_t *whole = program_json(json);
    test_write(broken, "", 0);
    program_refused(program_run(STUDY, NULL), 1, "broken.png");
    program_done(program_run(STUDY, "--json", json, "--bad-samples", "skip", NULL));
    json_t *e = program_json(json);
    ck_assert_double_eq(json_number_of(whole, "bad"), 0);
    ck_assert_double_eq(json_number_of(e, "bad"), 1);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(e, "facts"), 0)),
                     "1 unusable image, counted as wrong, in no table");
    ck_assert_double_eq(json_number_of(e, "samples"), SAMPLE_COUNT);
    ck_assert_double_eq_tol(json_number_of(e, "top1") * (SAMPLE_COUNT + 1),
                            json_number_of(whole, "top1") * SAMPLE_COUNT, 1e-6);
    ck_assert_double_eq(
        json_number_of(json_object_get(layer_of(e), "images"), "assignments"),
        SAMPLE_COUNT);
    json_decref(e);
    json_decref(whole);
    base_free(broken);

    /* None that can be used: nothing to tell. */
    char *none = test_path(dir, "none"), *red = test_path(none, "red");
    ck_assert_int_eq(base_folder_make(red, NULL), BASE_OK);
    broken = test_path(red, "broken.png");
    test_write(broken, "", 0);
    program_result r = program_run(dir, "inspect", model, "--experts", "--data", none,
                                   "--bad-samples", "skip", NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "none of the 1 images can be used"));
    program_result_free(&r);
    base_free(none);
    base_free(red);
    base_free(broken);
}
END_TEST

/* What page and table show stands in the document. */
START_TEST(the_document_has_all_that_is_shown)
{
    program_done(program_run(STUDY, "--json", json, "--points", "20", NULL));
    json_t *e = program_json(json), *layer = layer_of(e);
    json_t *tables = json_object_get(layer, "tables"), *row, *share;
    json_t *experts = json_object_get(layer, "specialists");
    size_t i, k;

    ck_assert_uint_eq(json_array_size(tables), 3);
    ck_assert(json_equal(json_array_get(tables, 1), json_object_get(layer, "patches")));
    ck_assert_str_eq(
        json_string_value(json_object_get(json_array_get(tables, 0), "tokens")),
        "class token");
    ck_assert_uint_eq(json_array_size(json_object_get(layer, "usage")), SAMPLE_CLASSES);
    json_array_foreach(json_object_get(layer, "usage"), i, row)
    {
        double sum = 0;

        json_array_foreach(json_object_get(row, "of_experts"), k, share) sum +=
            json_number_value(share);
        ck_assert_uint_eq(k, EXPERTS);
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        ck_assert_double_eq(json_number_of(row, "assignments"),
                            SAMPLE_COUNT / SAMPLE_CLASSES * PATCHES * CHOSEN);
    }
    ck_assert_uint_eq(json_array_size(experts), EXPERTS);
    ck_assert_uint_eq(json_array_size(json_object_get(layer, "cards")), EXPERTS);
    json_array_foreach(experts, i, row)
    {
        json_t *patches = json_object_get(row, "patches");

        ck_assert_double_eq_tol(
            json_number_of(row, "load"),
            json_number_value(json_array_get(json_object_get(layer, "load"), i)), 1e-9);
        ck_assert(json_equal(json_object_get(row, "top"),
                             json_array_get(json_object_get(layer, "top_classes"), i)));
        for (k = 1; k < json_array_size(patches); k++)
            ck_assert_double_le(json_number_of(json_array_get(patches, k), "gate"),
                                json_number_of(json_array_get(patches, k - 1), "gate"));
    }
    ck_assert_uint_eq(json_array_size(json_object_get(e, "class_names")), SAMPLE_CLASSES);
    ck_assert_uint_eq(
        json_array_size(json_object_get(json_object_get(layer, "embedding"), "tokens")),
        20);
    ck_assert_double_eq(json_number_of(json_object_get(e, "most_linear"), "layer"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(e, "facts")), 0);
    json_decref(e);
}
END_TEST

/* More classes than a table can name: those with images, by the expert that gives most of
 * itself to them, then by how much. */
START_TEST(classes_of_a_large_table_stand_by_their_experts)
{
    enum { CLASSES = 48 };
    const char *labels[CLASSES];
    char names[CLASSES][16];
    vit_config config = sample_config(true);
    double of_expert[EXPERTS] = {0}, table[SAMPLE_CLASSES][EXPERTS], last_lift = 0;
    size_t r, last = 0;
    json_t *row;

    config.classes = CLASSES;
    for (size_t i = 0; i < CLASSES; i++) {
        snprintf(names[i], sizeof names[i], "other %zu", i);
        labels[i] = i < SAMPLE_CLASSES ? sample_labels[i] : names[i];
    }
    sample_model_save(model, &config, labels);
    json_t *e = COMMAND_JSON("inspect", model, "--experts", "--data", data, "--quiet");
    json_t *rows = json_object_get(layer_of(e), "usage");
    ck_assert_uint_eq(json_array_size(rows), SAMPLE_CLASSES);
    json_array_foreach(rows, r, row)
    {
        for (size_t k = 0; k < EXPERTS; k++) {
            table[r][k] =
                json_number_of(row, "assignments") *
                json_number_value(json_array_get(json_object_get(row, "of_experts"), k));
            of_expert[k] += table[r][k];
        }
    }
    for (r = 0; r < SAMPLE_CLASSES; r++) {
        size_t best = 0;
        double lift = 0;

        for (size_t k = 0; k < EXPERTS; k++) {
            if (of_expert[k] > 0 && table[r][k] / of_expert[k] > lift + 1e-9) {
                lift = table[r][k] / of_expert[k];
                best = k;
            }
        }
        ck_assert_uint_ge(best, last);
        ck_assert(r == 0 || best > last || lift <= last_lift + 1e-9);
        last = best;
        last_lift = lift;
    }
    json_decref(e);
}
END_TEST

/* The files hold the same counts: MI from usage.csv by its definition. */
START_TEST(the_files_give_the_same_information)
{
    double n[SAMPLE_CLASSES][EXPERTS] = {{0}}, all = 0, mutual = 0;

    program_done(program_run(STUDY, "--json", json, "--csv", csv, "--points", "20", NULL));
    char *text = csv_text("usage.csv");
    for (size_t at = 0; text[at]; at += strcspn(text + at, "\n") + 1) {
        unsigned c, x, count;
        char label[32];

        if (sscanf(text + at, "1,patches,%u,%31[^,],%u,%u", &c, label, &x, &count) != 4)
            continue;
        n[c][x] += count;
        all += count;
    }
    base_free(text);
    for (size_t c = 0; c < SAMPLE_CLASSES; c++) {
        for (size_t x = 0; x < EXPERTS; x++) {
            double of_class = 0, of_expert = 0;

            for (size_t i = 0; i < EXPERTS; i++)
                of_class += n[c][i];
            for (size_t i = 0; i < SAMPLE_CLASSES; i++)
                of_expert += n[i][x];
            mutual += n[c][x] > 0
                          ? n[c][x] / all * log(n[c][x] * all / (of_class * of_expert))
                          : 0;
        }
    }
    json_t *e = program_json(json);
    json_t *patches = json_object_get(layer_of(e), "patches");
    ck_assert_double_eq_tol(json_number_of(patches, "mutual_information"), mutual, 1e-7);
    ck_assert_double_lt(json_number_of(patches, "above_chance"), mutual);
    json_decref(e);
    text = csv_text("embedding.csv");
    ck_assert_ptr_eq(
        strstr(text, "block,method,x,y,expert,label,correct,held_out,patch,sample,name\n"),
        text);
    ck_assert_uint_eq(lines_of(text), 1 + 2 * 20);
    base_free(text);
    static const char *const others[] = {"measures.csv", "experts.csv", "patches.csv"};
    static const char *const heads[] = {
        "block,tokens,assignments,mutual_information,above_chance,normalised,class_entropy,"
        "expert_entropy,expert_given_class,purity,purity_by_chance,probe_of_expert,"
        "probe_of_expert_chance,probe_of_label,probe_of_label_chance\n1,class token,24,",
        "block,expert,load,importance,rank,class,label,lift,share_of_class\n1,0,",
        "block,expert,rank,gate,row,column,sample,label,name\n1,0,0,"};
    for (size_t i = 0; i < 3; i++) {
        text = csv_text(others[i]);
        ck_assert_ptr_eq(strstr(text, heads[i]), text);
        ck_assert_uint_ge(lines_of(text), 3);
        base_free(text);
    }
}
END_TEST

/* Sums of gates and gates themselves: their last bits depend on the shapes of products. */
static void gates_remove(json_t *layer)
{
    json_t *expert, *patch;
    size_t e, i;

    json_array_foreach(json_object_get(layer, "specialists"), e, expert)
    {
        json_object_del(expert, "importance");
        json_array_foreach(json_object_get(expert, "patches"), i, patch)
            json_object_del(patch, "gate");
    }
}

START_TEST(threads_and_batches_change_nothing)
{
    json_t *first = NULL;
    static const char *const batches[] = {"12", "12", "5"}, *const threads[] = {"1", "2",
                                                                                "1"};

    for (size_t i = 0; i < 3; i++) {
        program_done(program_run(STUDY, "--json", json, "--batch", batches[i], "--threads",
                                 threads[i], NULL));
        json_t *e = program_json(json);
        json_object_del(e, "seconds");
        json_object_del(e, "threads");
        json_t *layer = layer_of(e);
        static const char *const clocked[] = {"load_cv", "gate_max", "prob_entropy",
                                              "importance_cv"}; /* sums in another order */
        for (size_t k = 0; k < 4; k++)
            json_object_del(layer, clocked[k]);
        gates_remove(layer);
        /* another batch is another product of matrices: the last bits of what is fitted */
        for (size_t k = 0; i == 2 && k < 3; k++) {
            static const char *const fitted[] = {"probe_of_expert", "probe_of_label",
                                                 "embedding"};
            json_object_del(layer, fitted[k]);
            json_object_del(layer_of(first), fitted[k]);
        }
        if (!first)
            first = json_incref(e);
        char *a = json_dumps(first, JSON_SORT_KEYS), *b = json_dumps(e, JSON_SORT_KEYS);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
        json_decref(e);
    }
    json_decref(first);
}
END_TEST

START_TEST(the_page_needs_nothing_else)
{
    program_done(program_run(STUDY, "--html", page, "--points", "20", NULL));
    char *text = program_text(page);

    ck_assert_ptr_null(strstr(text, "http"));
    ck_assert_ptr_null(strstr(text, "<script"));
    ck_assert_ptr_nonnull(strstr(text, "data:image/png;base64,"));
    ck_assert_ptr_nonnull(strstr(text, "t-SNE, by class"));
    ck_assert_ptr_nonnull(strstr(text, "expert 3"));
    ck_assert_ptr_nonnull(strstr(text, "</html>"));
    base_free(text);
}
END_TEST

START_TEST(the_table_is_for_people)
{
    program_result r = program_run(STUDY, "--points", "10", NULL);

    ck_assert_int_eq(r.code, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "above chance"));
    ck_assert_ptr_nonnull(strstr(r.out, "class token"));
    ck_assert_ptr_nonnull(strstr(r.out, "linear probes"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n1.3  ")); /* block 1, expert 3 */
    program_result_free(&r);
}
END_TEST

/* Against itself nothing flips; with the experts' router rows moved by one everything
 * does. */
START_TEST(the_flip_rate_is_that_of_first_choices)
{
    char *other = test_path(dir, "other.safetensors");
    vit_model *moved = NULL;

    program_done(
        program_run(STUDY, "--json", json, "--against", model, "--points", "5", NULL));
    json_t *e = program_json(json);
    json_t *against = json_object_get(layer_of(e), "against");
    ck_assert_double_eq(json_number_of(against, "flip_rate"), 0);
    ck_assert_double_eq(json_number_of(against, "set_change"), 0);
    json_decref(e);
    ck_assert_int_eq(vit_model_load(&moved, model, NULL, NULL), BASE_OK);
    const vit_parameter *p = vit_model_parameter_find(moved, "blocks.1.moe.router.weight");
    float *w = vit_model_weights(moved) + p->offset, held[64];
    const size_t row = p->count / EXPERTS;
    memcpy(held, w, row * sizeof *w);
    memmove(w, w + row, (EXPERTS - 1) * row * sizeof *w);
    memcpy(w + (EXPERTS - 1) * row, held, row * sizeof *w);
    ck_assert_int_eq(vit_model_save(moved, other, VIT_PRECISION_FP32, NULL), BASE_OK);
    vit_model_destroy(moved);
    program_done(
        program_run(STUDY, "--json", json, "--against", other, "--points", "5", NULL));
    e = program_json(json);
    against = json_object_get(layer_of(e), "against");
    ck_assert_double_eq(json_number_of(against, "flip_rate"), 1);
    ck_assert_double_gt(json_number_of(against, "set_change"), 0.3);
    json_decref(e);
    base_free(other);
}
END_TEST

/* Tokens with no expert or several, where this build has such routers; and drops for
 * capacity. */
START_TEST(tokens_may_have_any_number_of_experts)
{
    static const char *const routers[] = {"expert-choice", "usmoe", "softmax"};
    vit_config config = sample_config(true);

    if (vit_router_select(&config.moe.router, routers[_i], NULL) != BASE_OK)
        return;
    if (_i == 2)
        config.moe.eval_capacity = 0.25;
    config.pool = VIT_POOL_GAP; /* no class token either */
    sample_model_save(model, &config, sample_labels);
    program_done(program_run(STUDY, "--json", json, "--html", page, "--csv", csv, NULL));
    json_t *e = program_json(json), *layer = layer_of(e);
    ck_assert(json_is_null(json_object_get(layer, "class_token")));
    ck_assert_double_gt(json_number_of(json_object_get(layer, "patches"), "assignments"),
                        0);
    ck_assert_double_le(json_number_of(json_object_get(layer, "images"), "assignments"),
                        SAMPLE_COUNT);
    json_decref(e);
}
END_TEST

/* An image counts for the expert that most of its patches chose, of equals the first. */
START_TEST(an_image_is_of_the_first_expert_with_most_of_its_patches)
{
    static const char *const seeds[] = {"1", "2", "3", "4"};
    size_t ties = 0;

    for (size_t s = 0; s < 4; s++) {
        unsigned patches[EXPERTS] = {0}, images[EXPERTS] = {0}, c, x, count;
        size_t best = 0, equal = 0;
        char kind[16], label[32];

        program_done(
            program_run(STUDY, "--limit", "1", "--seed", seeds[s], "--csv", csv, NULL));
        char *text = csv_text("usage.csv");
        for (const char *at = text; *at;
             at += strcspn(at, "\n") + (strchr(at, '\n') != NULL))
            if (sscanf(at, "1,%15[^,],%u,%31[^,],%u,%u", kind, &c, label, &x, &count) == 5)
                (strcmp(kind, "patches") == 0  ? patches
                 : strcmp(kind, "images") == 0 ? images
                                               : (unsigned[EXPERTS]){0})[x] += count;
        for (size_t i = 1; i < EXPERTS; i++)
            best = patches[i] > patches[best] ? i : best;
        for (size_t i = 0; i < EXPERTS; i++)
            equal += patches[i] == patches[best];
        ck_assert_uint_eq(images[best], 1);
        ties += equal > 1;
        base_free(text);
    }
    ck_assert_uint_gt(ties, 0);
}
END_TEST

/* ---- Limits -------------------------------------------------------------------------- */

START_TEST(one_image_and_one_token_are_enough)
{
    program_done(program_run(STUDY, "--limit", "1", "--tokens", "16", "--points", "3",
                             "--json", json, "--html", page, "--csv", csv, NULL));
    json_t *e = program_json(json);
    ck_assert_double_eq(
        json_number_of(json_object_get(layer_of(e), "patches"), "mutual_information"), 0);
    json_decref(e);
}
END_TEST

START_TEST(what_means_nothing_is_refused)
{
    const vit_config dense = sample_config(false);
    char *other = test_path(dir, "dense.safetensors");

    sample_model_save(other, &dense, sample_labels);
    program_refused(program_run(dir, "inspect", model, "--experts", NULL), 2,
                    "expected --data");
    program_refused(program_run(dir, "inspect", model, "--data", data, NULL), 2,
                    "belongs to --experts");
    program_refused(program_run(dir, "inspect", model, "--csv", csv, NULL), 2,
                    "belongs to --experts");
    program_refused(
        program_run(dir, "inspect", other, "--experts", "--data", data, "--quiet", NULL), 2,
        "has no experts");
    program_refused(program_run(STUDY, "--against", other, NULL), 1,
                    "differ in MoE layers");
    program_refused(program_run(STUDY, "--html", "/nowhere/at/all.html", NULL), 1,
                    "/nowhere/at/all.html");
    base_free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_experts");
    TCase *core = tcase_create("Core"), *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, command_teardown);
    tcase_add_checked_fixture(limits, setup, command_teardown);
    tcase_add_test(core, every_selected_pair_counts_once);
    tcase_add_test(core, bad_images_are_skipped_as_in_eval);
    tcase_add_test(core, the_document_has_all_that_is_shown);
    tcase_add_test(core, classes_of_a_large_table_stand_by_their_experts);
    tcase_add_test(core, an_image_is_of_the_first_expert_with_most_of_its_patches);
    tcase_add_test(core, the_files_give_the_same_information);
    tcase_add_test(core, threads_and_batches_change_nothing);
    tcase_add_test(core, the_page_needs_nothing_else);
    tcase_add_test(core, the_table_is_for_people);
    tcase_add_test(core, the_flip_rate_is_that_of_first_choices);
    tcase_add_loop_test(core, tokens_may_have_any_number_of_experts, 0, 3);
    tcase_add_test(limits, one_image_and_one_token_are_enough);
    tcase_add_test(limits, what_means_nothing_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
