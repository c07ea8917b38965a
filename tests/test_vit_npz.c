/* test_vit_npz.c - NumPy's .npz as networks are read from it: every type, storage and
 * format, which of them are read, and every refusal by its text. */
#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_npz.h"
#include "tests/test_run.h"
#include "vit/files/raw_internal.h"

static char *dir, *path;
static zip_file *z;

static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "x.npz");
    z = base_alloc(1, sizeof *z);
}

static void teardown(void)
{
    base_free(z);
    base_free(path);
    test_folder_remove(dir);
}

static vit_raw_set read_set(void)
{
    base_error err = {0};
    vit_raw_set set = {0};

    zip_end(z, "a comment");
    zip_write(z, path);
    must(vit_raw_npz_read(&set, path, &err), &err);
    return set;
}

static const float floats[6] = {1, -2, 0.5f, 3, 4, 5};
static const double doubles[6] = {1, -2, 0.5, 3, 4, 5};
static const uint16_t halves[6] = {0x3c00, 0xc000, 0x3800, 0x4200, 0x4400, 0x4500};
static const uint16_t bfloats[6] = {0x3f80, 0xc000, 0x3f00, 0x4040, 0x4080, 0x40a0};

/* The six values in every type; formats 1 to 3; stored and deflated; sizes in the entry or
 * in a ZIP64 field. */
START_TEST(every_type_and_storage_is_read)
{
    static const struct {
        const char *descr, *type;
        const void *data;
        size_t bytes;
    } types[] = {
        {"'<f4'", "float32", floats, 4},   {"'<f8'", "float64", doubles, 8},
        {"'<f2'", "float16", halves, 2},   {"'<V2'", "bfloat16", bfloats, 2},
        {"'|V2'", "bfloat16", bfloats, 2}, {"bfloat16", "bfloat16", bfloats, 2},
    };
    enum { TYPES = sizeof types / sizeof types[0] };

    z->zip64 = _i == 1;
    for (int k = 0; k < 2 * (int)TYPES; k++) {
        char name[32];
        snprintf(name, sizeof name, "a/%d", k);
        npz_add(z, name, 1 + k % 3, types[k / 2].descr, "False", "(2, 3)",
                types[k / 2].data, 6 * types[k / 2].bytes,
                k % 2 ? ZIP_DEFLATED : ZIP_STORED);
    }
    vit_raw_set set = read_set();
    ck_assert_uint_eq(set.count, 2 * TYPES);
    for (size_t k = 0; k < set.count; k++) {
        const vit_raw *raw = &set.at[k];
        char name[32];
        snprintf(name, sizeof name, "a/%zu", k);
        ck_assert_ptr_eq(vit_raw_find(&set, name), raw);
        ck_assert_str_eq(raw->type, types[k / 2].type);
        ck_assert_int_eq(raw->rank, 2);
        ck_assert(raw->shape[0] == 2 && raw->shape[1] == 3 && raw->count == 6);
        ck_assert_mem_eq(raw->values, floats, sizeof floats);
        ck_assert(!raw->used);
    }
    vit_raw_free(&set);
}
END_TEST

START_TEST(shapes_are_those_of_the_header)
{
    static const struct {
        const char *order, *shape;
        int rank;
        size_t sides[VIT_RAW_RANK], count;
    } cases[] = {
        {"False", "()", 0, {0}, 1},
        {"False", "(6,)", 1, {6}, 6},
        {"True", "(6,)", 1, {6}, 6}, /* one axis has no order */
        {"True", "()", 0, {0}, 1},
        {"False", "( 3 , 2 )", 2, {3, 2}, 6},
        {"False", "(1, 2, 1, 3, 1)", 5, {1, 2, 1, 3, 1}, 6},
        {"False", "(0, 7)", 2, {0, 7}, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%zu", i);
        npz_add(z, name, 1, "'<f4'", cases[i].order, cases[i].shape, floats,
                4 * cases[i].count, ZIP_STORED);
    }
    vit_raw_set set = read_set();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(set.at[i].rank, cases[i].rank);
        ck_assert_mem_eq(set.at[i].shape, cases[i].sides, sizeof cases[i].sides);
        ck_assert_uint_eq(set.at[i].count, cases[i].count);
        ck_assert_mem_eq(set.at[i].values, floats, 4 * cases[i].count);
    }
    vit_raw_free(&set);
    ck_assert_ptr_null(set.at);
}
END_TEST

/* Whole numbers are known by name and shape alone; of a training state the parameters are
 * read. */
START_TEST(what_is_no_parameter_is_not_read)
{
    static const struct {
        const char *names[3], *prefix;
        bool read[3];
    } cases[] = {
        {{"embedding/kernel", "opt/mu", "params2/x"}, "", {true, true, true}},
        {{"params/embedding/kernel", "opt/mu", "params2/x"}, "params/", {true}},
        {{"opt/target/embedding/kernel", "opt/state/x", "y"}, "opt/target/", {true}},
        {{"params/img/embedding/kernel", "params/t", "params/img/y"},
         "params/img/",
         {true, false, true}},
        {{"img/embedding/kernel", "t", "img/y"}, "img/", {true, false, true}},
        {{"params/kernel", "params/bias", "x"}, "", {true, true, true}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(z, 0, sizeof *z);
        for (size_t k = 0; k < 3; k++)
            npz_add(z, cases[i].names[k], 1, "'<f4'", "False", "(6,)", floats, 24,
                    ZIP_DEFLATED);
        npz_add(z, "step", 1, "'<i8'", "False", "()", doubles, 8, ZIP_STORED);
        vit_raw_set set = read_set();
        ck_assert_str_eq(vit_raw_prefix(&set), cases[i].prefix);
        for (size_t k = 0; k < 3; k++)
            ck_assert((set.at[k].values != NULL) == cases[i].read[k]);
        ck_assert_str_eq(set.at[3].type, "other");
        ck_assert_ptr_null(set.at[3].values);
        vit_raw_free(&set);
    }
}
END_TEST

static void one(int format, const char *descr, const char *order, const char *shape,
                size_t bytes, int method)
{
    npz_add(z, "a", format, descr, order, shape, floats, bytes, method);
}

static unsigned char *entry(void)
{
    return z->entries + z->last;
}

/* One array of six, wrong in one way. */
static void make_wrong(int which)
{
    const char *f4 = "'<f4'", *c = "False", *six = "(6,)";

    switch (which) {
    case 0: one(1, f4, "True", "(2, 3)", 24, ZIP_STORED); break;
    case 1: one(1, f4, c, "(7,)", 24, ZIP_STORED); break;
    case 2: one(1, f4, c, "(5,)", 24, ZIP_STORED); break;
    case 3: one(1, f4, c, "6,", 24, ZIP_STORED); break;
    case 4: one(1, f4, c, "(6,x)", 24, ZIP_STORED); break;
    case 5: one(1, f4, c, "(1, 1, 1, 1, 1, 6)", 24, ZIP_STORED); break;
    case 6: one(1, f4, c, "(9999999999, 9999999999)", 24, ZIP_STORED); break;
    case 7: one(4, f4, c, six, 24, ZIP_STORED); break;
    case 8: one(0, f4, c, six, 24, ZIP_STORED); break;
    case 9: zip_add(z, "a.npy", "\x93NUMPZ\1\0\2\0{}", 12, ZIP_STORED); break;
    case 10: zip_name(z, "a.txt", ZIP_STORED); break;
    case 11: zip_name(z, ".npy", ZIP_STORED); break;
    case 12:
        one(1, f4, c, six, 24, ZIP_STORED);
        one(1, f4, c, six, 24, ZIP_STORED);
        break;
    case 13:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 8, 1, 2);
        break;
    case 14:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 42, 1, 4);
        break;
    case 15:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 42, 1 << 30, 4);
        break;
    case 16:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 20, 1 << 20, 4);
        break;
    case 17:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 20, UINT32_MAX, 4);
        break;
    case 18:
        z->zip64 = true;
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 46 + 5 + 10, 16, 2); /* the field lacks the place */
        break;
    case 19:
        one(1, f4, c, six, 24, ZIP_STORED);
        zip_put(entry() + 28, 600, 2);
        break;
    case 20:
        one(1, f4, c, six, 24, ZIP_STORED);
        entry()[2] = 7;
        break;
    case 21:
        one(1, f4, c, six, 24, ZIP_DEFLATED);
        zip_put(entry() + 10, 9, 2);
        break;
    case 22:
        one(1, f4, c, six, 24, ZIP_DEFLATED);
        zip_put(entry() + 24, 200000, 4); /* more than so few bytes can hold */
        break;
    case 23: one(1, f4, c, "(50000,)", 24, ZIP_STORED); break;
    case 24:
        one(1, f4, c, six, 24, ZIP_DEFLATED);
        zip_put(entry() + 20, 40, 4); /* not even the header's packed bytes */
        break;
    case 25:
        one(1, f4, c, six, 24, ZIP_DEFLATED);
        entry()[20] -= 6; /* the last values are missing */
        break;
    case 26: {
        one(1, f4, c, "(50000,)", 24, ZIP_DEFLATED);
        const size_t plain = entry()[24] + 256u * entry()[25];
        zip_put(entry() + 24, plain - 24 + 200000, 4); /* as its header says */
        break;
    }
    case 27: zip_add(z, "a.npy", "\x93NUMPY\2\0\x70\x11\1\0{}", 14, ZIP_STORED); break;
    default: one(1, f4, c, six, 24, ZIP_STORED); break;
    }
}

/* What is wrong behind the last member, when the archive is whole. */
static void make_end_wrong(int which)
{
    unsigned char *end = z->body + z->body_bytes - 22;

    switch (which) {
    case 28: end[1] = 'X'; break;
    case 29: zip_put(end + 16, z->body_bytes + 1, 4); break;
    case 30: zip_put(end + 10, 2000, 2); break;
    case 31: zip_put(end - 20 + 8, z->body_bytes, 8); break;
    case 32: zip_put(end - 20 + 8, 0, 8); break;
    default: break;
    }
}

START_TEST(wrong_archives_are_named)
{
    static const char *const words[] = {
        "'X' member 'a.npy' is in Fortran's order, expected C's",
        "'X' member 'a.npy' has another size than its array header says",
        "'X' member 'a.npy' has another size than its array header says",
        "'X' member 'a.npy' has an array header that is none",
        "'X' member 'a.npy' has an array header that is none",
        "'X' member 'a.npy' has an array header that is none",
        "'X' member 'a.npy' has an array header that is none",
        "'X' member 'a.npy' is no .npy array, or damaged",
        "'X' member 'a.npy' is no .npy array, or damaged",
        "'X' member 'a.npy' is no .npy array, or damaged",
        "'X' member 'a.txt' is no .npy array",
        "'X' member '.npy' is no .npy array",
        "'X' member 'a.npy' is there twice",
        "'X' member 'a.npy' is encrypted",
        "'X' member 'a.npy' lies outside of the file",
        "'X' member 'a.npy' lies outside of the file",
        "'X' member 'a.npy' lies outside of the file",
        "'X' member 'a.npy' has sizes that its ZIP64 field does not tell",
        "'X' member 'a.npy' has sizes that its ZIP64 field does not tell",
        "'X' has a central directory that ends early",
        "'X' has a central directory that ends early",
        "'X' member 'a.npy' is no .npy array, or damaged",
        "'X' member 'a.npy' has another size than its array header says",
        "'X' member 'a.npy' has another size than its array header says",
        "'X' member 'a.npy' is cut off or damaged",
        "'X' member 'a.npy' is cut off or damaged",
        "'X' member 'a.npy' cannot hold what it announces",
        "'X' member 'a.npy' has a header that is too long",
        "'X' is no ZIP archive, or cut off: its directory is missing",
        "'X' has a central directory outside of the file",
        "'X' has a central directory outside of the file",
        "'X' has a ZIP64 directory that is not there",
        "'X' has a ZIP64 directory that is not there",
    };
    base_error err = {0};
    vit_raw_set set = {0};

    z->zip64 = _i > 30;
    make_wrong(_i);
    zip_end(z, "");
    make_end_wrong(_i);
    zip_write(z, path);
    ck_assert_int_eq(vit_raw_npz_read(&set, path, &err), BASE_FORMAT);
    char *expected = base_text("'%s%s", path, words[_i] + 2);
    ck_assert_str_eq(err.text, expected);
    ck_assert_ptr_null(set.at);
    base_free(expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_npz");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_loop_test(core, every_type_and_storage_is_read, 0, 2);
    tcase_add_test(core, shapes_are_those_of_the_header);
    tcase_add_test(core, what_is_no_parameter_is_not_read);
    tcase_add_loop_test(limits, wrong_archives_are_named, 0, 33);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
