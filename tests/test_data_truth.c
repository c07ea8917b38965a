/* test_data_truth.c - files of labels line by line: what they are taken for, which image
 * has which label, and each refusal; numbers and names that the layouts share. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

/* Parses the text; NULL with *err. */
static data_truth *parse(const char *text, size_t bytes, bool imagenet, base_error *err)
{
    data_truth *truth = NULL;
    char *copy = base_alloc(bytes + 1, 1);

    memcpy(copy, text, bytes);
    *err = (base_error){0};
    const base_status status =
        data_truth_parse(&truth, copy, bytes, "the file", imagenet, err);
    ck_assert_int_eq(status == BASE_OK, truth != NULL);
    ck_assert(truth || status == BASE_FORMAT);
    return truth;
}

START_TEST(each_form_is_known_and_each_image_has_its_label)
{
    static const struct {
        const char *text;
        bool imagenet, named;
        size_t count;
        const char *kind, *labels; /* of images 1, 2, 3 and so on, or a, b, c */
    } cases[] = {
        {"1\n449\n450\n", true, false, 3, "3 ILSVRC2012 ids from 1",
         "n02119789 n01440764 n01443537"},
        {"1000\n1", true, false, 2, "2 ILSVRC2012 ids from 1", "n03255030 n02119789"},
        {"278\n0\n999\n", true, false, 3, "3 indices from 0",
         "n02119789 n01440764 n15075141"},
        {"n02119789\r\nn01440764\r\n", true, false, 2, "2 WordNet ids",
         "n02119789 n01440764"},
        {"b.JPEG 0\nx/a.png 999\n", true, true, 2, "2 names with indices from 0",
         "n15075141 n01440764"},
        {"a n01440764\n", true, true, 1, "1 names with WordNet ids", "n01440764"},
        {"a tench\nb fox\n", true, true, 2, "2 names with classes", "tench fox"},
        {"5\n2000\n", false, false, 2, "2 numbers", "5 2000"},
        {"3.0\n0.00\n", false, false, 2, "2 numbers", "3 0"},
        {"cat\n5\n", false, false, 2, "2 classes", "cat 5"},
        {"n01440764\ncat\n", false, false, 2, "2 classes", "n01440764 cat"},
        {"n01440764\nn01440764\n", false, false, 2, "2 WordNet ids", "n01440764 n01440764"},
        {"a 7\nb 8\n", false, true, 2, "2 names with numbers", "7 8"},
        {"a cat\n", false, true, 1, "1 names with classes", "cat"},
        /* what stands around */
        {"\xef\xbb\xbf"
         "cat\n",
         false, false, 1, "1 classes", "cat"},
        {"#\n# remark\n#\r\ncat\n", false, false, 1, "1 classes", "cat"},
        {"#5\n", false, false, 1, "1 classes", "#5"},
        {"\n  \n \t\r\n  cat \t\r\n\n", false, false, 1, "1 classes", "cat"},
        {"\"cat\"\n\"\n", false, false, 2, "2 classes", "cat \""},
        {"a\tmy cat\t12\nb.jpeg\tdog\n", false, true, 2, "2 names with classes",
         "my_cat dog"},
        {"\"a.jpg\",\"my cat\"\n\"x,y/b.jpg\",dog,1\n", false, true, 2,
         "2 names with classes", "my_cat dog"},
        {"a  cat  1 -2 .5\n", false, true, 1, "1 names with classes", "cat"},
        {"a,n01440764 1 2 3 4 n02119789 5 6 7 8\n", false, true, 1,
         "1 names with WordNet ids", "n01440764"},
        {"a,n0144076x 1\n", false, true, 1, "1 names with classes", "n0144076x_1"},
        {"a,n014407641 1\n", false, true, 1, "1 names with classes", "n014407641_1"},
        /* headings */
        {"ImageId,PredictionString\na,cat\n", false, true, 1, "1 names with classes",
         "cat"},
        {"\"IMAGE\",\"label\"\na,cat\n", false, true, 1, "1 names with classes", "cat"},
        {"filename\tlabel\na\tcat\n", false, true, 1, "1 names with classes", "cat"},
        {"file_name,x\nfile,x\nname,x\npath,x\nid,x\na,cat\n", false, true, 1,
         "1 names with classes", "cat"},
        {"a,dog\nid,cat\n", false, true, 2, "2 names with classes", "dog"},
        {"ids,cat\na,dog\n", false, true, 2, "2 names with classes", "dog"},
        {"id cat\na dog\n", false, true, 2, "2 names with classes", "dog"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_error err;
        char found[256] = "", name[32];
        size_t used = 0;
        data_truth *truth =
            parse(cases[i].text, strlen(cases[i].text), cases[i].imagenet, &err);
        ck_assert_msg(truth != NULL, "case %zu: %s", i, err.text);
        ck_assert_uint_eq(data_truth_count(truth), cases[i].count);
        ck_assert_int_eq(data_truth_named(truth), cases[i].named);
        ck_assert_str_eq(data_truth_kind(truth), cases[i].kind);
        for (size_t k = 0; k < cases[i].count && strlen(found) < strlen(cases[i].labels);
             k++) {
            const char *class = NULL;
            if (cases[i].named)
                snprintf(name, sizeof name, "some/%c.JPG", (char)('a' + (int)k));
            else
                snprintf(name, sizeof name, "some/val_%08zu.JPG", k + 1);
            ck_assert_msg(data_truth_take(&class, truth, name, "the file", &err) == BASE_OK,
                          "case %zu: %s", i, err.text);
            used += (size_t)snprintf(found + used, sizeof found - used, "%s%s",
                                     used ? " " : "", class);
            for (char *blank = found + used - strlen(class); *blank; blank++)
                *blank = *blank == ' ' ? '_' : *blank;
        }
        ck_assert_msg(strcmp(found, cases[i].labels) == 0, "case %zu: '%s'", i, found);
        data_truth_destroy(truth);
    }
    data_truth_destroy(NULL);
}
END_TEST

START_TEST(files_of_labels_that_say_nothing_are_refused)
{
    static const struct {
        const char *text;
        size_t bytes; /* 0: all */
        bool imagenet;
        const char *want;
    } cases[] = {
        {"", 0, false, "'the file' holds no labels"},
        {"# remark\n\n", 0, true, "'the file' holds no labels"},
        {"cat\0dog\n", 8, false, "'the file' is no text: it has a byte 0"},
        {"1\n2\n0x\n1001\n", 0, true,
         "'the file' line 3: '0x' is no ILSVRC2012 id from 1 to 1000"},
        {"1\n1001\n", 0, true,
         "'the file' line 2: '1001' is no ILSVRC2012 id from 1 to 1000"},
        {"1000\n0\n", 0, true, "'the file' line 1: '1000' is no index from 0 to 999"},
        {"a 1000\n", 0, true, "'the file' line 1: '1000' is no index from 0 to 999"},
        {"cat\n", 0, true, "'the file' line 1: 'cat' is no ILSVRC2012 id from 1 to 1000"},
        {"n01440764\n3\n", 0, true,
         "'the file' line 1: 'n01440764' is no ILSVRC2012 id from 1 to 1000"},
        {"1\n2.5\n", 0, false, "'the file' line 2: '2.5' is a number but no label"},
        {"\n-1\n", 0, true, "'the file' line 2: '-1' is a number but no label"},
        {"cat\na dog\n", 0, false, "'the file' line 2: expected one word, as before"},
        {"a dog\n\ncat\n", 0, false,
         "'the file' line 3: expected a name and a label, as before"},
        {"a,dog\ncat\n", 0, false,
         "'the file' line 2: expected a name and a label, as before"},
        {"a my dog\n", 0, false,
         "'the file' line 1: 'my' and more words, expected a name and a label: one with "
         "blanks behind a tab or a comma"},
        {"a.jpg , my cat \n", 0, false, /* commas come before any blank */
         "'the file' line 1: ',' and more words, expected a name and a label: one with "
         "blanks behind a tab or a comma"},
        {"x/a.jpg 1\nb 2\ny/a.png 3\n", 0, false,
         "'the file' line 3: 'a' has a label already"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_error err;
        const size_t bytes = cases[i].bytes ? cases[i].bytes : strlen(cases[i].text);
        data_truth *truth = parse(cases[i].text, bytes, cases[i].imagenet, &err);
        ck_assert_msg(!truth && strcmp(err.text, cases[i].want) == 0, "case %zu: %s", i,
                      err.text);
    }
}
END_TEST

START_TEST(a_line_belongs_to_one_image)
{
    base_error err;
    const char *class = NULL;
    data_truth *truth = parse("cat\ndog\n", 8, false, &err);

    ck_assert_int_eq(data_truth_take(&class, truth, "v_3.png", "f", &err), BASE_MISMATCH);
    ck_assert_str_eq(err.text, "'f' (2 classes) has no label for 'v_3.png': line k belongs "
                               "to the image whose name ends in _k, from 1");
    ck_assert_int_eq(data_truth_take(&class, truth, "v_0.png", "f", &err), BASE_MISMATCH);
    ck_assert_int_eq(data_truth_take(&class, truth, "v_2.png", "f", &err), BASE_OK);
    ck_assert_str_eq(class, "dog");
    ck_assert_int_eq(data_truth_take(&class, truth, "w_02.png", "f", &err), BASE_MISMATCH);
    ck_assert_str_eq(err.text, "'f' (2 classes) line 2 is the label of 'w_02.png' and of "
                               "another image: a line belongs to one");
    ck_assert_int_eq(data_truth_take(&class, truth, "v_1", "f", &err), BASE_OK);
    data_truth_destroy(truth);
    truth = parse("# of a\na cat\n", 13, false, &err);
    ck_assert_int_eq(data_truth_take(&class, truth, "b.png", "f", &err), BASE_MISMATCH);
    ck_assert_str_eq(err.text, "'f' (1 names with classes) has no label for 'b.png'");
    ck_assert_int_eq(data_truth_take(&class, truth, "a.gif", "f", &err), BASE_MISMATCH);
    ck_assert_int_eq(data_truth_take(&class, truth, "q/a.png", "f", &err), BASE_OK);
    ck_assert_int_eq(data_truth_take(&class, truth, "a.jpg", "f", &err), BASE_MISMATCH);
    ck_assert_ptr_nonnull(strstr(err.text, "line 2 is the label of 'a.jpg'"));
    data_truth_destroy(truth);
}
END_TEST

/* The development kit as an archive, packed or not. */
START_TEST(the_development_kit_is_looked_through)
{
    static const char name[] = "kit/data/ILSVRC2012_validation_ground_truth.txt";
    char *root = test_folder_make(), *path, *want, *packed = test_path(root, "kit.tar.gz");
    data_truth *truth = NULL;
    base_error err = {0};
    const char *class = NULL;
    FILE *tar = set_tar_open(&path, root, "kit.tar");

    set_name_member(tar, "kit/readme.txt");
    set_member(tar, name, '0', "449\n1\n", 6);
    set_member(tar, name, '0', "7\n", 2); /* the first counts */
    set_tar_end(tar);
    ck_assert_int_eq(data_truth_load(&truth, path, true, &err), BASE_OK);
    ck_assert_uint_eq(data_truth_count(truth), 2);
    ck_assert_int_eq(data_truth_take(&class, truth, "x_1", path, &err), BASE_OK);
    ck_assert_str_eq(class, "n01440764");
    data_truth_destroy(truth);
    base_free(path);
    tar = set_tar_open(&path, root, "kit.tar");
    set_name_member(tar, "kit/readme.txt");
    set_tar_end(tar);
    ck_assert_int_eq(data_truth_load(&truth, path, true, &err), BASE_FORMAT);
    want = base_text("'%s' is an archive without ILSVRC2012_validation_ground_truth.txt",
                     path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    test_write(packed, "this is no archive at all", 25);
    ck_assert_int_eq(data_truth_load(&truth, packed, true, &err), BASE_FORMAT);
    want = base_text("'%s': damaged archive: ", packed);
    ck_assert_int_eq(strncmp(err.text, want, strlen(want)), 0);
    base_free(want);
    ck_assert_int_eq(unlink(packed), 0);
    ck_assert_int_eq(data_truth_load(&truth, packed, true, &err), BASE_IO);
    base_free(packed);
    base_free(path);
    test_folder_remove(root);
}
END_TEST

START_TEST(numbers_of_images_and_classes_are_read_whole)
{
    static const struct {
        const char *name;
        size_t want;
    } images[] = {{"ILSVRC2012_val_00000012.JPEG", 12},
                  {"x_12", 12},
                  {"x12.png", 0},
                  {"x_1a.png", 0},
                  {"x_", 0},
                  {"a_b_7.x.y", 7},
                  {"_9", 9},
                  {"a_0.png", 0}};
    static const struct {
        const char *text;
        int32_t class, label;
    } numbers[] = {{"0", 0, 0},
                   {"007", 7, 7},
                   {"65535", 65535, 65535},
                   {"65536", -1, -2},
                   {"99999999999", -1, -2},
                   {"", -1, -1},
                   {"1a", -1, -1},
                   {"a", -1, -1},
                   {"-1", -1, -2},
                   {"3.0", -1, 3},
                   {"3.", -1, 3},
                   {"3.00", -1, 3},
                   {"3.01", -1, -2},
                   {".0", -1, -2},
                   {"1e3", -1, -2},
                   {" 1", -1, -1},
                   {"1/", -1, -1},
                   {"1:", -1, -1},
                   {"0000000000000003.0", -1, -2}};

    ck_assert_int_eq(DATA_CLASSES_MAX, 65536);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        ck_assert_msg(data_image_number(images[i].name) == images[i].want, "%s",
                      images[i].name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ck_assert_msg(data_class_number(numbers[i].text) == numbers[i].class, "'%s': %d",
                      numbers[i].text, data_class_number(numbers[i].text));
        ck_assert_msg(data_label_number(numbers[i].text) == numbers[i].label, "'%s': %d",
                      numbers[i].text, data_label_number(numbers[i].text));
    }
}
END_TEST

START_TEST(endings_say_what_is_read_and_what_not)
{
    static const char *const formats[] = {
        "webp", "gif", "tif", "tiff", "bmp", "heic", "heif", "avif", "jp2",
        "jxl",  "ppm", "pgm", "pbm",  "pnm", "svg",  "ico",  "psd",  "tga",
        "exr",  "dng", "cr2", "nef",  "mp4", "avi",  "webm"};
    static const char *const images[] = {"a.jpg", "b.JPEG",   "c.Png",
                                         "d.jpe", "e.x.JFIF", ".jpg"};
    static const char *const others[] = {"jpg", "a.jpg.txt", "a.", "a", "a.pn", "a.jpgx"};
    static const char *const system[] = {"lost+found", "__macosx",
                                         "@eaDir",     "$Recycle.Bin",
                                         "#recycle",   "System Volume Information"};
    data_left_out left = {0};

    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        ck_assert_msg(data_is_image_name(images[i]), "%s", images[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_msg(!data_is_image_name(others[i]), "%s", others[i]);
        data_left_out_name(&left, others[i]);
        ck_assert_uint_eq(left.by[DATA_IGNORED_OTHER], i + 1);
    }
    ck_assert_uint_eq(sizeof formats / sizeof *formats, DATA_FORMATS);
    for (size_t i = 0; i < DATA_FORMATS; i++) {
        char name[32];
        snprintf(name, sizeof name, "x.%s", formats[i]);
        data_left_out_name(&left, name);
        ck_assert_uint_eq(left.format[i], 1);
        ck_assert_uint_eq(left.by[DATA_IGNORED_FORMAT], i + 1);
        ck_assert_int_eq(i >= DATA_VIDEOS, i >= 22);
    }
    for (size_t i = 0; i < sizeof system / sizeof *system; i++) {
        const size_t bytes = strlen(system[i]);
        ck_assert(data_is_system_name(system[i], bytes));
        ck_assert(!data_is_system_name(system[i], bytes - 1));
    }
    ck_assert(!data_is_system_name("lost-found", 10));
}
END_TEST

/* ---- the index ----------------------------------------------------------------------- */

START_TEST(an_index_keeps_records_and_names_over_its_pieces)
{
    enum { MANY = DATA_CHUNK_RECORDS + 5 };
    data_index index = {0};
    char name[] = "_nn";

    for (size_t i = 0; i < MANY; i++) {
        const data_record r = {.offset = i, .size = 7, .label = (int32_t)(i % 9)};
        name[0] = (char)('a' + i % 26);
        ck_assert_int_eq(data_index_add(&index, &r, i % 5 ? name : NULL, NULL), BASE_OK);
    }
    ck_assert_uint_eq(index.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        const data_record *r = data_index_at(&index, i);
        ck_assert(r->offset == i && r->size == 7 && r->label == (int32_t)(i % 9));
        if (i % 5 == 0)
            continue;
        const char *found = data_index_name(&index, r->name);
        if (found[0] != (char)('a' + i % 26) || strlen(found) != 3)
            ck_abort_msg("name %zu: %s", i, found);
    }
    data_index_drop_names(&index);
    ck_assert_uint_eq(index.block_count, 0);
    ck_assert_uint_eq(data_index_at(&index, MANY - 1)->offset, MANY - 1);
    data_index_destroy(&index);
    ck_assert_uint_eq(index.count, 0);
}
END_TEST

/* Names that fill a block to its last byte, and one more. */
START_TEST(names_fill_a_block_to_the_byte)
{
    enum { EACH = 1024 };
    data_index index = {0};
    const data_record r = {0};
    char name[EACH];

    memset(name, 'n', EACH - 1);
    name[EACH - 1] = '\0';
    for (size_t i = 0; i < DATA_BLOCK_BYTES / EACH; i++)
        ck_assert_int_eq(data_index_add(&index, &r, name, NULL), BASE_OK);
    ck_assert_uint_eq(index.block_count, 1);
    ck_assert_uint_eq(index.block_used, DATA_BLOCK_BYTES);
    ck_assert_int_eq(data_index_add(&index, &r, "x", NULL), BASE_OK);
    ck_assert_uint_eq(index.block_count, 2);
    ck_assert_uint_eq(index.block_used, 2);
    ck_assert_str_eq(data_index_name(&index, data_index_at(&index, index.count - 1)->name),
                     "x");
    data_index_destroy(&index);
}
END_TEST

START_TEST(a_table_of_classes_numbers_them_as_they_come)
{
    static const char *const names[] = {"m", "c", "x", "a", "m", "d", "z", "a", "b"};
    static const uint32_t numbers[] = {0, 1, 2, 3, 0, 4, 5, 3, 6};
    static const uint32_t sorted[] = {3, 6, 1, 4, 0, 2, 5};
    data_class_table table = {0};
    char name[16];
    base_error err = {0};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint32_t number = 99;
        ck_assert_int_eq(data_class_add(&number, &table, names[i], NULL), BASE_OK);
        ck_assert_uint_eq(number, numbers[i]);
    }
    ck_assert_uint_eq(table.count, 7);
    for (size_t i = 0; i < 7; i++)
        ck_assert_uint_eq(table.sorted[i], sorted[i]);
    for (uint32_t i = 7, number; i < DATA_CLASSES_MAX; i++) {
        snprintf(name, sizeof name, "~%06u", (unsigned)i); /* behind the others */
        if (data_class_add(&number, &table, name, NULL) != BASE_OK || number != i)
            ck_abort_msg("class %u", (unsigned)i);
    }
    uint32_t number;
    ck_assert_int_eq(data_class_add(&number, &table, "m", NULL), BASE_OK);
    ck_assert_int_eq(data_class_add(&number, &table, "new", &err), BASE_UNSUPPORTED);
    ck_assert_str_eq(err.text, "more than 65536 classes");
    data_class_table_destroy(&table);
}
END_TEST

START_TEST(room_doubles_and_keeps_what_is_there)
{
    uint32_t *at = NULL;
    size_t room = 0;

    ck_assert(data_grow(&at, &room, 1, sizeof *at));
    ck_assert_uint_eq(room, 16);
    for (uint32_t i = 0; i < 16; i++)
        at[i] = i * i;
    const uint32_t *before = at;
    ck_assert(data_grow(&at, &room, 16, sizeof *at));
    ck_assert_ptr_eq(at, before);
    ck_assert(data_grow(&at, &room, 17, sizeof *at));
    ck_assert_uint_eq(room, 32);
    ck_assert(data_grow(&at, &room, 200, sizeof *at));
    ck_assert_uint_eq(room, 256);
    for (uint32_t i = 0; i < 256; i++)
        ck_assert_uint_eq(at[i], i < 16 ? i * i : 0);
    ck_assert(!data_grow(&at, &room, SIZE_MAX, sizeof *at));
    ck_assert_uint_eq(room, 256);
    base_free(at);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data truth");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, each_form_is_known_and_each_image_has_its_label);
    tcase_add_test(core, a_line_belongs_to_one_image);
    tcase_add_test(core, the_development_kit_is_looked_through);
    tcase_add_test(core, numbers_of_images_and_classes_are_read_whole);
    tcase_add_test(core, endings_say_what_is_read_and_what_not);
    tcase_add_test(core, an_index_keeps_records_and_names_over_its_pieces);
    tcase_add_test(core, a_table_of_classes_numbers_them_as_they_come);
    tcase_add_test(limits, files_of_labels_that_say_nothing_are_refused);
    tcase_add_test(limits, names_fill_a_block_to_the_byte);
    tcase_add_test(limits, room_doubles_and_keeps_what_is_there);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
