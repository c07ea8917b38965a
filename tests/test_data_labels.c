/* test_data_labels.c - which label a folder of pictures has: names, numbers, WordNet ids,
 * lists; folders that are no class. */
#include "data/data_internal.h"

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *root;

static void setup(void)
{
    root = test_folder_make();
}

static void teardown(void)
{
    test_folder_remove(root);
}

START_TEST(a_folder_without_images_is_no_class_and_shifts_no_label)
{
    set_name_file(root, "a/1.png");
    set_folder(root, "b");
    set_name_file(root, "c/1.png");
    data_source *source = set_open(root, NULL);

    ck_assert_uint_eq(data_source_classes(source), 2);
    set_lists(source, "0 a/1.png\n1 c/1.png\n");
    ck_assert_str_eq(data_source_notice(source),
                     "1 of 3 class folders without images, no classes: 'b'");
    data_source_close(source);
}
END_TEST

/* Folders without a picture: empty, the system's, of text, hidden. */
static void make_strays(void)
{
    set_folder(root, "empty");
    set_folder(root, "zz empty/below");
    set_name_file(root, "lost+found/1.png");
    set_name_file(root, "__MACOSX/n01443537/._1.png");
    set_name_file(root, ".ipynb_checkpoints/1.png");
    set_name_file(root, "annotations/a.txt");
}

START_TEST(stray_folders_leave_the_rule_as_it_is)
{
    static const char *const list[] = {"cat", "dog"};
    const data_source_options model = {.classes_of_model = 1000};
    const data_source_options two = {.classes_of_model = 2};
    const data_source_options named = {.class_list = list, .class_list_count = 2};

    make_strays();
    set_name_file(root, "n02119789/1.png");
    set_name_file(root, "n01443537/1.png");
    data_source *source = set_open(root, &model);
    set_lists(source, "1 n01443537/1.png\n278 n02119789/1.png\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "'annotations'"));
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_HIDDEN), 3);
    data_source_close(source);
    source = set_open(root, &two); /* as many as there are outputs */
    set_lists(source, "0 n01443537/1.png\n1 n02119789/1.png\n");
    data_source_close(source);
    teardown();

    setup();
    make_strays();
    set_name_file(root, "7/1.png");
    set_name_file(root, "999/1.png");
    source = set_open(root, &model);
    set_lists(source, "7 7/1.png\n999 999/1.png\n");
    data_source_close(source);
    teardown();

    setup();
    make_strays();
    set_name_file(root, "dog/1.png");
    set_name_file(root, "cat/1.png");
    source = set_open(root, &named);
    set_lists(source, "0 cat/1.png\n1 dog/1.png\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "'empty'"));
    data_source_close(source);
}
END_TEST

START_TEST(what_fits_no_output_is_named)
{
    const data_source_options model = {.classes_of_model = 1000};
    const data_source_options three = {.classes_of_model = 3};

    set_name_file(root, "ant/1.png");
    set_name_file(root, "n01443537/1.png");
    set_name_file(root, "n02119789/1.png");
    set_refused(root, &model, BASE_MISMATCH, "has the class 'ant'");
    set_refused(root, &model, BASE_MISMATCH, "--class-map");
    data_source *source = set_open(root, &three);
    set_lists(source, "0 ant/1.png\n1 n01443537/1.png\n2 n02119789/1.png\n");
    data_source_close(source);
    set_name_file(root, "bee/1.png");
    set_refused(root, &three, BASE_MISMATCH, "4 classes with images, 3 outputs");
    teardown();

    setup();
    set_name_file(root, "0/1.png");
    set_name_file(root, "2/1.png");
    set_name_file(root, "extra/1.png");
    set_name_file(root, "1/1.png");
    set_refused(root, &model, BASE_MISMATCH, "has the class 'extra'");
}
END_TEST

START_TEST(numbers_are_ranks_where_the_data_defines_the_classes)
{
    const data_source_options train = {.defines_classes = true};
    const data_source_options wider = {.defines_classes = true, .classes_of_model = 10};

    set_name_file(root, "2019/1.png");
    set_name_file(root, "990/1.png");
    set_name_file(root, "2020/1.png");
    data_source *source = set_open(root, &train);
    ck_assert_uint_eq(data_source_classes(source), 3);
    set_lists(source, "0 990/1.png\n1 2019/1.png\n2 2020/1.png\n");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "label 0 is '990'"));
    data_source_close(source);
    source = set_open(root, &wider);
    ck_assert_uint_eq(data_source_classes(source), 3);
    data_source_close(source);
    teardown();

    setup();
    for (int i = 0; i < 12; i++) {
        char *name = base_text("%d/1.png", i);
        set_name_file(root, name);
        base_free(name);
    }
    source = set_open(root, &train); /* the numbers are the ranks: no word */
    ck_assert_int_eq(data_source_label(source, 11), 11);
    ck_assert_str_eq(data_source_class_name(source, 10), "10");
    ck_assert_str_eq(data_source_notice(source), "");
    data_source_close(source);
}
END_TEST

START_TEST(a_list_of_imagenets_names_knows_its_ids)
{
    const char *list[1000];
    char *owned[1000];
    const data_source_options options = {.class_list = list, .class_list_count = 1000};

    for (size_t i = 0; i < 1000; i++)
        list[i] = owned[i] =
            base_text("%s, and more", data_imagenet_name(data_imagenet_wnid(i)));
    set_name_file(root, "n02119789/1.png");
    set_name_file(root, "n01440764/1.png");
    data_source *source = set_open(root, &options);
    set_lists(source, "0 n01440764/1.png\n278 n02119789/1.png\n");
    data_source_close(source);
    for (size_t i = 0; i < 500; i++) { /* another order is not ImageNet's */
        const char *other = list[i];
        list[i] = list[999 - i];
        list[999 - i] = other;
    }
    set_refused(root, &options, BASE_MISMATCH, "has the class 'n01440764'");
    for (size_t i = 0; i < 1000; i++)
        base_free(owned[i]);
    teardown();

    static const char *const twice[] = {"crane", "dog", "crane"};
    const data_source_options same = {.class_list = twice, .class_list_count = 3};
    setup();
    set_name_file(root, "dog/1.png");
    set_name_file(root, "crane/1.png");
    set_refused(root, &same, BASE_MISMATCH, "'crane', which two of the 3");
}
END_TEST

START_TEST(trains_and_tests_may_be_classes)
{
    set_name_file(root, "test/1.png");
    set_name_file(root, "train/2.png");
    data_source *source = set_open(root, NULL);
    set_lists(source, "0 test/1.png\n1 train/2.png\n");
    data_source_close(source);
}
END_TEST

START_TEST(wordnet_ids_keep_their_global_labels_for_1000_outputs)
{
    const data_source_options model = {.classes_of_model = 1000};
    const data_source_options small = {.classes_of_model = 10};

    set_name_file(root, "n02119789/1.png"); /* kit fox */
    set_name_file(root, "n01443537/1.png"); /* goldfish */
    data_source *source = set_open(root, &model);
    ck_assert_uint_eq(data_source_classes(source), 1000);
    set_lists(source, "1 n01443537/1.png\n278 n02119789/1.png\n");
    ck_assert_str_eq(data_source_class_name(source, 999), "n15075141");
    data_source_close(source);

    set_refused(root, &small, BASE_MISMATCH, "has the class 'n01443537'");
    set_name_file(root, "n99999999/1.png"); /* no class of ILSVRC2012 */
    set_refused(root, &model, BASE_MISMATCH, "has the class 'n99999999'");
}
END_TEST

START_TEST(imagenet_has_its_thousand_names)
{
    ck_assert_str_eq(data_imagenet_name("n01440764"), "tench");
    ck_assert_str_eq(data_imagenet_name("n02119789"), "kit fox");
    ck_assert_ptr_null(data_imagenet_name("n00000000"));
    ck_assert_ptr_null(data_imagenet_name(""));
    for (size_t i = 0; i < 1000; i++)
        ck_assert_int_eq(data_imagenet_label(data_imagenet_wnid(i)), (int)i);
    ck_assert_ptr_null(data_imagenet_wnid(1000));
}
END_TEST

START_TEST(numbers_are_labels)
{
    set_name_file(root, "10/1.png");
    set_name_file(root, "9/1.png");
    set_name_file(root, "1/1.png");
    const data_source_options model = {.classes_of_model = 20};
    data_source *source = set_open(root, &model);

    set_lists(source, "1 1/1.png\n9 9/1.png\n10 10/1.png\n");
    ck_assert_uint_eq(data_source_classes(source), 20);
    ck_assert_str_eq(data_source_class_name(source, 4), "4");
    ck_assert_str_eq(data_source_notice(source),
                     "folders are numbers: labels are these, from 0");
    data_source_close(source);

    const data_source_options few = {.classes_of_model = 10};
    set_refused(root, &few, BASE_MISMATCH, "has the class '10'");
    const data_source_options three = {.classes_of_model = 3};
    source = set_open(root, &three); /* as many as outputs: ranks */
    set_lists(source, "0 1/1.png\n1 9/1.png\n2 10/1.png\n");
    data_source_close(source);
}
END_TEST

/* A number that is no class is told as it stands in the file, as far as a record can hold
 * it. */
START_TEST(labels_out_of_range_are_told_to_the_last)
{
    static const struct {
        int64_t n;
        const char *text;
    } cases[] = {{-1, "-1"},
                 {-2, "-2"},
                 {0, "0"},
                 {7, "7"},
                 {70000, "70000"},
                 {DATA_LABEL_MOST - 1, "1073741820"},
                 {DATA_LABEL_MOST, "1073741821 or more"},
                 {DATA_LABEL_MOST + 1, "1073741821 or more"},
                 {INT64_MAX, "1073741821 or more"},
                 {-DATA_LABEL_MOST + 1, "-1073741820"},
                 {-DATA_LABEL_MOST, "-1073741821 or less"},
                 {-DATA_LABEL_MOST - 1, "-1073741821 or less"},
                 {INT64_MIN + 1, "-1073741821 or less"},
                 {INT64_MIN, ": no whole number"}};

    set_name_file(root, "a/1.png");
    data_source *source =
        set_open(root, &(data_source_options){.allow_single_class = true});
    data_record *record = data_index_at(&source->index, 0);
    record->size = data_size_unreadable(DATA_LABEL_RANGE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char *buffer = NULL;
        size_t room = 0, size = 0;
        base_error err = {0};
        char want[64];

        record->label = data_label_refused(cases[i].n);
        ck_assert_int_lt(record->label, -1);
        ck_assert_int_eq(data_source_label(source, 0), -1);
        ck_assert_uint_eq(data_source_bytes(source, 0), 0);
        ck_assert_int_eq(data_source_read(source, 0, &buffer, &room, &size, &err),
                         BASE_FORMAT);
        snprintf(want, sizeof want, "label out of range%s%s",
                 cases[i].text[0] == ':' ? "" : " ", cases[i].text);
        ck_assert_str_eq(err.text, want);
        ck_assert_ptr_null(buffer);
    }
    data_source_close(source);
}
END_TEST

START_TEST(a_given_list_decides_the_labels)
{
    static const char *const list[] = {"dog", "cat", "bird"};
    const data_source_options options = {.class_list = list, .class_list_count = 3};

    set_name_file(root, "bird/1.png");
    set_name_file(root, "dog/1.png");
    data_source *source = set_open(root, &options);
    ck_assert_uint_eq(data_source_classes(source), 3);
    set_lists(source, "0 dog/1.png\n2 bird/1.png\n");
    data_source_close(source);

    set_name_file(root, "cow/1.png");
    set_refused(root, &options, BASE_MISMATCH,
                "has the class 'cow', which is not among the 3 known classes (the next in "
                "order is 'dog')");
}
END_TEST

START_TEST(a_list_may_spell_what_is_no_utf8)
{
    static const char *const list[] = {"caf\\xe9", "tea"};
    const data_source_options options = {.class_list = list, .class_list_count = 2};

    set_name_file(root, "caf\xe9/1.png");
    set_name_file(root, "tea/1.png");
    data_source *source = set_open(root, &options);
    set_lists(source, "0 caf\xe9/1.png\n1 tea/1.png\n");
    data_source_close(source);
}
END_TEST

START_TEST(numbers_are_places_in_a_given_list)
{
    static const char *const list[] = {"dog", "cat", "bird"};
    const data_source_options options = {.class_list = list, .class_list_count = 3};

    set_name_file(root, "2/1.png");
    set_name_file(root, "0/1.png");
    data_source *source = set_open(root, &options);
    set_lists(source, "0 0/1.png\n2 2/1.png\n");
    ck_assert_str_eq(data_source_class_name(source, 2), "bird");
    data_source_close(source);
    set_name_file(root, "3/1.png");
    set_refused(root, &options, BASE_MISMATCH, "has the class '3'");
}
END_TEST

START_TEST(one_class_is_refused_unless_allowed)
{
    const data_source_options allowed = {.allow_single_class = true};

    set_name_file(root, "only/1.png");
    set_refused(root, NULL, BASE_FORMAT,
                "has one class only ('only'), expected two or more");
    data_source *source = set_open(root, &allowed);
    ck_assert_uint_eq(data_source_classes(source), 1);
    data_source_close(source);
}
END_TEST

START_TEST(two_folders_for_one_number_are_refused)
{
    set_name_file(root, "1/1.png");
    set_name_file(root, "01/1.png");
    const data_source_options model = {.classes_of_model = 10};
    set_refused(root, &model, BASE_FORMAT, "has two folders for class 1: '01' and '1'");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_labels");
    TCase *core = test_case("Core"), *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_folder_without_images_is_no_class_and_shifts_no_label);
    tcase_add_test(core, stray_folders_leave_the_rule_as_it_is);
    tcase_add_test(core, what_fits_no_output_is_named);
    tcase_add_test(core, numbers_are_ranks_where_the_data_defines_the_classes);
    tcase_add_test(core, a_list_of_imagenets_names_knows_its_ids);
    tcase_add_test(core, trains_and_tests_may_be_classes);
    tcase_add_test(core, wordnet_ids_keep_their_global_labels_for_1000_outputs);
    tcase_add_test(core, imagenet_has_its_thousand_names);
    tcase_add_test(core, numbers_are_labels);
    tcase_add_test(core, labels_out_of_range_are_told_to_the_last);
    tcase_add_test(core, a_given_list_decides_the_labels);
    tcase_add_test(core, a_list_may_spell_what_is_no_utf8);
    tcase_add_test(core, numbers_are_places_in_a_given_list);
    tcase_add_test(limits, one_class_is_refused_unless_allowed);
    tcase_add_test(limits, two_folders_for_one_number_are_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
