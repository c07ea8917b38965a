/* test_data_held.c - a part of the training data held out for validation, and pairs of data
 * sets that are opened together. */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

/* ---- held out ------------------------------------------------------------------------ */

/* 40 files of 4 classes, the same numbers as `train` of a folder with parts. */
static void held_make(const char *below)
{
    for (int i = 0; i < 40; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%c/%02d.png", below, 'a' + i % 4, i);
        set_name_file(root, name);
    }
}

/* Opens PREFIX-and-root and marks its samples by the number in their name. */
static size_t held_mark(bool seen[40], const char *prefix, uint64_t *fingerprint)
{
    char *spec = base_text("%s:%s", prefix, root), name[300];
    data_source *source = set_open(spec, NULL);
    const size_t count = data_source_count(source);

    for (size_t i = 0; i < count; i++) {
        data_source_relative_name(source, i, name, sizeof name);
        const char *file = strchr(name, '/') + 1;
        const int number = (file[0] - '0') * 10 + file[1] - '0';
        ck_assert(!seen[number]);
        ck_assert_int_eq(data_source_label(source, i), number % 4);
        ck_assert_uint_gt(data_source_bytes(source, i), 0);
        data_source_name(source, i, name, sizeof name);
        ck_assert_ptr_nonnull(strstr(name, file));
        seen[number] = true;
    }
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "of 40 samples"));
    ck_assert_uint_eq(data_source_classes(source), 4);
    *fingerprint = data_source_fingerprint(source);
    data_source_close(source);
    base_free(spec);
    return count;
}

START_TEST(a_part_held_out_and_the_rest_are_the_whole)
{
    bool seen[40] = {false}, again[40] = {false}, other[40] = {false};
    uint64_t print[4];

    held_make(_i ? "train/" : "");
    if (_i)
        set_name_file(root, "val/a/00.png"), set_name_file(root, "val/b/01.png"),
            set_name_file(root, "val/c/02.png"), set_name_file(root, "val/d/03.png");
    ck_assert_uint_eq(held_mark(seen, "held-10", &print[0]), 10);
    ck_assert_uint_eq(held_mark(again, "held-10", &print[1]), 10);
    ck_assert_mem_eq(seen, again, sizeof seen); /* the same ones, always */
    ck_assert_uint_eq(held_mark(other, "held-11", &print[2]), 11);
    ck_assert_uint_eq(held_mark(seen, "rest-10", &print[3]), 30); /* none of them twice */
    ck_assert(print[0] == print[1] && print[0] != print[2] && print[0] != print[3]);
}
END_TEST

/* Which samples they are, for ever: the first of a permutation that no seed of the user's
 * changes. */
START_TEST(the_part_held_out_is_the_same_for_ever)
{
    static const uint32_t three[] = {9, 29, 28}; /* of 40, worked out once */
    uint32_t order[40];
    char name[300];

    held_make("");
    data_source *whole = set_open(root, NULL);
    for (size_t held = 1; held < 40; held += 2) {
        base_rng rng = base_rng_make(0, BASE_PURPOSE_SUBSET, 1, 0, 0);
        bool out[40] = {false};
        base_rng_permutation(&rng, order, 40);
        for (size_t i = 0; i < held; i++)
            out[order[i]] = true;
        for (int rest = 0; rest < 2; rest++) {
            char *spec = base_text("%s-%zu:%s", rest ? "rest" : "held", held, root), *want;
            data_source *source = set_open(spec, NULL);
            size_t at = 0;
            for (size_t i = 0; i < 40; i++) {
                char other[300];
                if (out[i] == (rest == 1))
                    continue;
                data_source_relative_name(source, at, name, sizeof name);
                data_source_relative_name(whole, i, other, sizeof other);
                ck_assert_str_eq(name, other);
                ck_assert_int_eq(data_source_label(source, at),
                                 data_source_label(whole, i));
                at++;
            }
            ck_assert_uint_eq(data_source_count(source), at);
            want = base_text("%zu of 40 samples, %s", at,
                             rest ? "those not held out" : "those held out");
            ck_assert_str_eq(data_source_notice(source), want);
            ck_assert_uint_eq(
                data_source_fingerprint(source),
                base_key((uint64_t[]){data_source_fingerprint(whole), (uint64_t)rest, held},
                         3));
            base_free(want);
            base_free(spec);
            data_source_close(source);
        }
        if (held == 3)
            for (size_t i = 0; i < 3; i++)
                ck_assert_msg(out[three[i]], "%u %u %u", order[0], order[1], order[2]);
    }
    data_source_close(whole);
}
END_TEST

START_TEST(too_much_cannot_be_held_out)
{
    static const char *const words[] = {"held-40", "rest-40", "held-0", "rest-0",
                                        "held-99"};
    base_error err = {0};
    data_source *source = NULL;

    held_make("");
    char *spec = base_text("%s:%s", words[_i], root);
    ck_assert_int_eq(data_source_open(&source, spec, NULL, &err), BASE_USAGE);
    ck_assert_msg(strstr(err.text, "40 samples") && strstr(err.text, "1 to 39"), "%s",
                  err.text);
    base_free(spec);
}
END_TEST

/* What is held out must not be trained on. */
START_TEST(a_part_held_out_goes_with_its_rest_alone)
{
    static const struct {
        const char *train, *val;
        int shared;
    } pairs[] = {{"", "held-10:", 10},       {"rest-10:", "held-10:", 0},
                 {"rest-10:", "", 30},       {"rest-20:", "held-10:", 0},
                 {"rest-4:", "held-10:", 6}, {"held-10:", "held-10:", 10}};
    const data_source_options options = {0};

    held_make("");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *train = base_text("%s%s", pairs[i].train, root), text[80];
        char *val = base_text("%s%s", pairs[i].val, root);
        data_source *a = NULL, *b = NULL;
        base_error err = {0};
        const base_status status = data_pair_open(&a, &b, train, val, &options, &err);
        snprintf(text, sizeof text, "%d of the ", pairs[i].shared);
        const base_status want = pairs[i].shared == 0 ? BASE_OK : BASE_USAGE;
        ck_assert_int_eq(status, want);
        ck_assert_msg(pairs[i].shared <= 0 || strncmp(err.text, text, strlen(text)) == 0,
                      "%s", err.text);
        ck_assert(status == BASE_OK || strstr(err.text, "'rest-N:DATA'"));
        data_source_close(a);
        data_source_close(b);
        base_free(train);
        base_free(val);
    }
}
END_TEST

/* Whatever the options allow elsewhere. */
START_TEST(data_to_train_on_or_to_validate_on_without_labels_is_refused)
{
    const data_source_options options = {.allow_unlabelled = true};
    data_source *train = NULL, *val = NULL;
    base_error err = {0};

    held_make("");
    char *bare = base_text("images:%s", root);
    const base_status status =
        data_pair_open(&train, &val, _i ? root : bare, _i ? bare : root, &options, &err);
    ck_assert_int_eq(status, BASE_FORMAT);
    ck_assert_msg(strstr(err.text, "no class folders or labels"), "%s", err.text);
    data_source_close(train);
    data_source_close(val);
    base_free(bare);
}
END_TEST

/* Whole refusals of two data sets that do not go together; ~ is the root. */
START_TEST(pairs_that_do_not_fit_are_told)
{
    static const struct {
        const char *train, *val, *labels, *map, *key;
        base_status status;
        const char *text;
    } cases[] = {
        {"t", "v", NULL, NULL, NULL, BASE_OK, ""},
        {"t", "v", "l.txt", NULL, NULL, BASE_USAGE,
         "--val-labels means nothing for '~/v' (folder), whose labels are its own"},
        {"t", "v", NULL, NULL, "k", BASE_USAGE,
         "--label-key means nothing for '~/v' (folder) nor for ~/t"},
        {"t", "l.txt", NULL, "m", NULL, BASE_OK, ""}, /* of use for the first */
        {"l.txt", "l.txt", NULL, "m", NULL, BASE_USAGE,
         "--class-map means nothing for '~/l.txt' (list) nor for ~/l.txt"},
        {"t", "w", NULL, NULL, NULL, BASE_MISMATCH,
         "'~/w' has the class 'cow', which is not among the 2 known classes (the next in "
         "order is 'bee'): --class-map FILE says what it is"},
        {"v1", "v", NULL, NULL, NULL, BASE_FORMAT,
         "'~/v1' has one class only ('ant'), expected two or more"},
        {"t", "v1", NULL, NULL, NULL, BASE_OK, ""},
        {"none", "v", NULL, NULL, NULL, BASE_IO,
         "cannot open '~/none': No such file or directory"},
    };

    set_name_file(root, "t/ant/1.png");
    set_name_file(root, "t/bee/2.png");
    set_name_file(root, "v/ant/3.png");
    set_name_file(root, "v/bee/4.png");
    set_name_file(root, "v1/ant/3.png");
    set_name_file(root, "w/ant/5.png");
    set_name_file(root, "w/cow/6.png");
    set_file(root, "m", "ant\t1\nbee\t0\n", 12);
    set_file(root, "l.txt", "t/ant/1.png\t1\nt/bee/2.png\t0\n", 28);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *train = test_path(root, cases[i].train), *val = test_path(root, cases[i].val);
        char *labels = cases[i].labels ? test_path(root, cases[i].labels) : NULL;
        char *map = cases[i].map ? test_path(root, cases[i].map) : NULL;
        const data_source_options options = {
            .val_labels = labels, .class_map = map, .label_key = cases[i].key};
        data_source *a = NULL, *b = NULL;
        base_error err = {0};
        char said[600] = "";
        const base_status status = data_pair_open(&a, &b, train, val, &options, &err);
        size_t used = 0;
        for (const char *at = err.text; *at;) {
            const bool here = strncmp(at, root, strlen(root)) == 0;
            said[used++] = here ? '~' : *at;
            at += here ? strlen(root) : 1;
        }
        ck_assert_msg(status == cases[i].status, "case %zu: %s", i, said);
        ck_assert_msg(status == BASE_OK || strcmp(said, cases[i].text) == 0, "case %zu: %s",
                      i, said);
        if (status == BASE_OK)
            for (size_t k = 0; k < data_source_classes(a); k++)
                ck_assert(k >= data_source_classes(b) ||
                          strcmp(data_source_class_name(a, k),
                                 data_source_class_name(b, k)) == 0);
        data_source_close(a);
        data_source_close(b);
        base_free(train);
        base_free(val);
        base_free(labels);
        base_free(map);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_held");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_part_held_out_goes_with_its_rest_alone);
    tcase_add_test(core, the_part_held_out_is_the_same_for_ever);
    tcase_add_test(core, pairs_that_do_not_fit_are_told);
    tcase_add_loop_test(core, a_part_held_out_and_the_rest_are_the_whole, 0, 2);
    tcase_add_loop_test(core, too_much_cannot_be_held_out, 0, 5);
    tcase_add_loop_test(limits,
                        data_to_train_on_or_to_validate_on_without_labels_is_refused, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
