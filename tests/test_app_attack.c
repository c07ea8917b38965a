/* test_app_attack.c - vmoe attack as a user runs it: what is found, what does not change
 * it, and the routing. Stopping, going on and what is told: test_app_attack_reports.c; what
 * is refused: test_app_attack_limits.c. */
#include <math.h>
#include <signal.h>
#include <time.h>

#include "show/show.h"
#include "tests/test_attack_command.h"
#include "tests/test_run.h"

/* ---- Core ---------------------------------------------------------------------------- */

START_TEST(the_folder_holds_what_the_contract_names)
{
    static const char *const keys[] = {"vmoe",   "command",    "schema",    "version",
                                       "seed",   "complete",   "tool",      "model",
                                       "data",   "threat",     "clean",     "attacks",
                                       "sweep",  "worst_case", "per_class", "routing",
                                       "checks", "samples",    "adv_file",  "samples_file"};
    size_t bytes = 0, lines = 0;

    program_done(program_run(dir, ATTACK, out, "--attack", "fgsm,pgd:steps=4", "--eps",
                             "0,4/255,0.1", "--checks", "off", NULL));
    json_t *json = result(out);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        ck_assert_msg(json_object_get(json, keys[i]), "no key '%s'", keys[i]);
    ck_assert(json_is_true(json_object_get(json, "complete")));
    ck_assert_uint_eq(json_array_size(json_object_get(json, "attacks")), 2);
    ck_assert_double_eq_tol(number_at(json, "threat", "eps"), 0.1, 1e-12); /* the last */
    ck_assert_double_eq(number_at(json, "clean", "acc"), 1);
    json_decref(json);
    char *csv = file_of(out, "samples.csv", &bytes);
    for (size_t i = 0; i < bytes; i++)
        lines += csv[i] == '\n';
    ck_assert_uint_eq(lines, SAMPLE_COUNT + 1);
    ck_assert_ptr_nonnull(strstr(csv, ",robust_4/255,"));
    base_free(csv);
    char *labels = file_of(out, "labels.npy", &bytes);
    ck_assert_uint_eq(bytes, HEADER + 4 * SAMPLE_COUNT);
    ck_assert_ptr_nonnull(strstr(labels + 10, "<i4"));
    base_free(labels);
    char *page = file_of(out, "report.html", &bytes);
    ck_assert_ptr_null(strstr(page, "http"));
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_ptr_nonnull(strstr(page, "Accuracy over budgets"));
    ck_assert_ptr_nonnull(strstr(page, "</html>"));
    base_free(page);
    char *state = test_path(out, "state");
    ck_assert(!test_exists(state));
    base_free(state);
}
END_TEST

START_TEST(stored_examples_keep_their_budget)
{
    size_t bytes = 0;

    program_done(program_run(dir, ATTACK, out, "--attack", "apgd-ce:steps=10", "--eps",
                             "8/255", "--checks", "off", NULL));
    char *adv = file_of(out, "adv.npy", &bytes);
    char *clean = file_of(out, "clean.npy", &bytes);
    ck_assert_uint_eq(bytes, HEADER + 4 * SAMPLE_COUNT * FLOATS);
    double largest = 0;
    for (size_t i = 0; i < SAMPLE_COUNT * FLOATS; i++) {
        float v, x;

        memcpy(&v, adv + HEADER + 4 * i, sizeof v);
        memcpy(&x, clean + HEADER + 4 * i, sizeof x);
        ck_assert(v >= 0 && v <= 1);
        largest = fmax(largest, fabs((double)v - (double)x));
    }
    ck_assert_double_le(largest, 8.0 / 255 + 1e-6);
    ck_assert_double_ge(largest, 4.0 / 255); /* something was done */
    base_free(adv);
    base_free(clean);
}
END_TEST

/* The next picture of a page from *at on, which moves behind it (RFC 4648, section 4). */
static void picture_next(data_image *image, data_decoder *decoder, const char **at)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/";
    unsigned char bytes[4096];
    size_t size = 0;
    unsigned word = 0;
    int bits = 0;
    data_health health;

    *at = strstr(*at, "base64,");
    ck_assert_ptr_nonnull(*at);
    for (*at += 7; **at != '"' && **at != '='; (*at)++) {
        word = word << 6 | (unsigned)(strchr(digits, **at) - digits);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        ck_assert_uint_lt(size, sizeof bytes);
        bytes[size++] = (unsigned char)(word >> bits);
    }
    ck_assert_int_eq(data_decode(image, &health, decoder, bytes, size, NULL, 0, NULL),
                     BASE_OK);
    ck_assert_uint_eq(3 * image->width * image->height, FLOATS);
}

/* Of each sample that is shown: the image, the attack's, and their difference, as strong as
 * it can be. */
START_TEST(pictures_show_what_was_added)
{
    const data_decode_limits limits = data_loader_defaults().limits;
    data_decoder *decoder = NULL;
    data_image image[3] = {0};
    size_t bytes = 0, shown = 0;

    program_done(program_run(dir, ATTACK, out, "--norm", "l2", "--attack", "pgd:steps=3",
                             "--eps", "1", "--checks", "off", NULL));
    char *page = file_of(out, "report.html", &bytes);
    char *adv = file_of(out, "adv.npy", &bytes), *clean = file_of(out, "clean.npy", &bytes);
    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    for (const char *at = page; (at = strstr(at, "<div class=\"triple\">")); shown++) {
        float v[FLOATS], x[FLOATS], largest = 0;

        for (size_t i = 0; i < 3; i++)
            picture_next(&image[i], decoder, &at);
        at = strstr(at, "sample ");
        ck_assert_ptr_nonnull(at);
        const size_t sample = (size_t)strtoul(at + 7, NULL, 10);
        ck_assert_uint_lt(sample, SAMPLE_COUNT);
        memcpy(v, adv + HEADER + sample * sizeof v, sizeof v);
        memcpy(x, clean + HEADER + sample * sizeof x, sizeof x);
        for (size_t i = 0; i < FLOATS; i++)
            largest = fmaxf(largest, fabsf(v[i] - x[i]));
        for (size_t i = 0; i < FLOATS; i++) { /* planes here, pixels there */
            const size_t k = i % (FLOATS / 3) * 3 + i / (FLOATS / 3);
            const double added = largest > 0 ? (double)((v[i] - x[i]) / largest) : 0;

            ck_assert_double_eq_tol(image[0].pixels[k], 255 * (double)x[i], 1);
            ck_assert_double_eq_tol(image[1].pixels[k], 255 * (double)v[i], 1);
            ck_assert_double_eq_tol(image[2].pixels[k], 127.5 + 127.5 * added, 1);
        }
    }
    ck_assert_uint_ge(shown, 2);
    for (size_t i = 0; i < 3; i++)
        data_image_destroy(&image[i]);
    data_decoder_destroy(decoder);
    base_free(page);
    base_free(adv);
    base_free(clean);
}
END_TEST

START_TEST(clean_accuracy_is_that_of_eval)
{
    char *json = test_path(dir, "eval.json");

    program_done(program_run(dir, "eval", model, "--data", data, "--json", json, NULL));
    program_done(program_run(dir, "attack", model, "--data", data, "--out", out, "--attack",
                             "fgsm", "--eps", "2/255", "--checks", "off", NULL));
    json_t *e = program_json(json), *a = result(out);
    ck_assert_double_eq(json_number_of(e, "top1"), number_at(a, "clean", "acc"));
    ck_assert_double_eq_tol(json_number_of(e, "loss"), number_at(a, "clean", "loss"), 1e-9);
    json_decref(e);
    json_decref(a);
    base_free(json);
}
END_TEST

START_TEST(accuracy_falls_with_the_budget)
{
    double last = 2;
    size_t i, seen = 0;
    json_t *one;

    program_done(program_run(dir, ATTACK, out, "--attack", "quick", "--eps",
                             "0,1/255,16/255,1", "--checks", "off", NULL));
    json_t *json = result(out);
    json_array_foreach(json_object_get(json, "sweep"), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "attack")), "worst_case") != 0)
            continue;
        const double robust = json_number_of(one, "robust_acc");
        if (seen++ == 0)
            ck_assert_double_eq(robust, number_at(json, "clean", "acc"));
        ck_assert_double_le(robust, last);
        last = robust;
    }
    ck_assert_uint_eq(seen, 4);
    json_decref(json);
}
END_TEST

START_TEST(batches_and_threads_change_nothing)
{
    static const char *const batches[] = {"1", "5"}, *const threads[] = {"1", "2"};

    unsetenv("OMP_NUM_THREADS"); /* as many as there are */
    program_done(program_run(dir, ATTACK, out, "--attack", "pgd:steps=5,square:queries=30",
                             "--eps", "4/255", "--checks", "off", NULL));
    for (size_t i = 0; i < 2; i++) {
        program_done(program_run(dir, ATTACK, other, "--attack",
                                 "pgd:steps=5,square:queries=30", "--eps", "4/255",
                                 "--checks", "off", "--batch", batches[i], "--threads",
                                 threads[i], "--force", NULL));
        files_equal("adv.npy"); /* margins may differ in their last digits */
    }
}
END_TEST

START_TEST(the_routing_has_its_control)
{
    program_done(program_run(dir, ATTACK, out, "--attack", "pgd:steps=5", "--eps", "32/255",
                             "--checks", "off", NULL));
    json_t *json = result(out);
    json_t *routing = json_object_get(json, "routing");
    json_t *layers = json_object_get(routing, "layers");
    ck_assert_uint_eq(json_array_size(layers), 1);
    json_t *layer = json_array_get(layers, 0);
    const double changed = json_number_of(layer, "changed");
    ck_assert(changed >= 0 && changed <= 1);
    ck_assert(json_number_of(layer, "control_changed") >= 0);
    ck_assert_double_ge(json_number_of(layer, "iou"), 1 - changed - 1e-9);
    ck_assert_ptr_nonnull(json_object_get(routing, "replay"));
    json_decref(json);
}
END_TEST

/* The search for other experts moves more tokens than noise does, and changes nothing of
 * the accuracy. */
START_TEST(the_router_attack_is_told_apart)
{
    static const char *const files[] = {"adv.npy", "samples.csv"};
    size_t bytes = 0;

    program_done(program_run(dir, ATTACK, out, "--attack", "router:steps=8,pgd:steps=5",
                             "--eps", "2/255,32/255", "--checks", "off", NULL));
    json_t *json = result(out), *attack = json_object_get(json, "router_attack");
    ck_assert_uint_eq(json_array_size(json_object_get(json, "attacks")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(attack, "loss")), "routing");
    const json_t *layers = json_object_get(attack, "layers");
    ck_assert_uint_eq(json_array_size(layers), 1);
    const json_t *layer = json_array_get(layers, 0);
    ck_assert_double_gt(json_number_of(layer, "changed"),
                        json_number_of(layer, "control_changed"));
    ck_assert_double_ge(json_number_of(layer, "changed"),
                        json_number_of(layer, "attack_changed"));
    const double robust = number_at(json, "worst_case", "robust_acc");
    json_decref(json);
    char *v = file_of(out, "adv_router.npy", &bytes);
    ck_assert_uint_eq(bytes, HEADER + SAMPLE_COUNT * FLOATS * sizeof(float));
    base_free(v);
    char *page = file_of(out, "report.html", &bytes);
    ck_assert_ptr_nonnull(strstr(page, "Attack on the routing"));
    base_free(page);
    program_done(program_run(dir, ATTACK, other, "--attack", "pgd:steps=5", "--eps",
                             "2/255,32/255", "--checks", "off", NULL));
    json = result(other);
    ck_assert(json_is_null(json_object_get(json, "router_attack")));
    ck_assert_double_eq(number_at(json, "worst_case", "robust_acc"), robust);
    json_decref(json);
    for (size_t i = 0; i < 2; i++)
        files_equal(files[i]);
}
END_TEST

START_TEST(a_dense_network_has_no_routing)
{
    const vit_config config = sample_config(false);

    sample_model_save(model, &config, sample_labels);
    program_done(program_run(dir, ATTACK, out, "--attack", "fgsm", "--eps", "4/255",
                             "--checks", "off", NULL));
    json_t *json = result(out);
    ck_assert(json_is_null(json_object_get(json, "routing")));
    json_decref(json);
    program_refused(program_run(dir, ATTACK, other, "--attack", "fgsm,router", "--eps",
                                "4/255", "--quiet", NULL),
                    2, "is dense");
}
END_TEST

START_TEST(checks_come_with_their_numbers)
{
    size_t i;
    json_t *one;

    program_done(program_run(dir, ATTACK, out, "--attack", "pgd:steps=5", "--eps", "4/255",
                             "--transfer", model, NULL));
    json_t *json = result(out);
    json_t *checks = json_object_get(json, "checks");
    ck_assert_uint_eq(json_array_size(checks), 20);
    json_array_foreach(checks, i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));
        const char *status = json_string_value(json_object_get(one, "status"));

        ck_assert_ptr_nonnull(json_string_value(json_object_get(one, "text")));
        if (strcmp(id, "C8") == 0 || strcmp(id, "C16") == 0 || strcmp(id, "C19") == 0)
            ck_assert_msg(strcmp(status, "PASS") == 0, "%s: %s", id,
                          json_string_value(json_object_get(one, "text")));
    }
    json_decref(json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_attack");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, the_folder_holds_what_the_contract_names);
    tcase_add_test(core, stored_examples_keep_their_budget);
    tcase_add_test(core, pictures_show_what_was_added);
    tcase_add_test(core, clean_accuracy_is_that_of_eval);
    tcase_add_test(core, accuracy_falls_with_the_budget);
    tcase_add_test(core, batches_and_threads_change_nothing);
    tcase_add_test(core, the_routing_has_its_control);
    tcase_add_test(core, the_router_attack_is_told_apart);
    tcase_add_test(core, a_dense_network_has_no_routing);
    tcase_add_test(core, checks_come_with_their_numbers);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
