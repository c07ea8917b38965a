/* test_data_index_file.c - the file of a kept index, field by field: what a reader that is
 * given a right sum still refuses, and in which words; which layouts leave which shape. */
#include "data/data_internal.h"

#include "tests/test_layouts.h"

/* Where the header's fields lie (index_file.c, version 6). */
enum {
    ORDER = 8,
    VERSION = 12,
    TEXT = 16,
    WITNESSES = 24,
    ARCHIVES = 32,
    FOLDERS = 40,
    CLASSES = 48,
    SAMPLES = 56,
    NAMES = 64,
    LEFT_OUT = 72,
    FORMATS = LEFT_OUT + 8 * DATA_IGNORED_COUNT,
    LABELLING = FORMATS + 8 * DATA_FORMATS,
    HAS_NAMES = LABELLING + 4,
    AS_FOUND = LABELLING + 8,
    FLAGS = LABELLING + 12,
    HEADER = LABELLING + 32,
    RECORD = 24,
    WITNESS = 32,
    MOST = 1 << 28
};

static unsigned char *bytes; /* the file */
static size_t size;
static char *file;

static uint64_t get(size_t at)
{
    uint64_t value;

    memcpy(&value, bytes + at, 8);
    return value;
}

static size_t padded(uint64_t count)
{
    return (size_t)(count + 7) / 8 * 8;
}

static size_t records_at(void)
{
    return HEADER + padded(get(TEXT)) + WITNESS * get(WITNESSES);
}

/* Reads the file as it is now, with a right sum unless told otherwise. */
static base_status read_now(bool sum, base_error *err)
{
    data_source *out = base_alloc(1, sizeof *out);
    const uint64_t right = data_cache_sum(0, bytes, size - 8);

    if (sum)
        memcpy(bytes + size - 8, &right, 8);
    test_write(file, bytes, size);
    out->fd = -1;
    out->layout = &data_layout_folder;
    *err = (base_error){0};
    const base_status status =
        data_cache_read(out, file, (const char *)bytes + HEADER, err);
    data_source_close(out);
    return status;
}

/* An index of three samples in two classes, a folder and a name that is no image's. */
static void make(void)
{
    char *set = test_path(root, "set");
    data_source *source;

    set_name_file(root, "set/a/1.png");
    set_name_file(root, "set/a/2.png");
    set_name_file(root, "set/b/3.png");
    set_name_file(root, "set/b/x.gif");
    source = set_open(set, NULL);
    ck_assert_int_eq(data_cache_write(source, file, "the key", NULL), BASE_OK);
    data_source_close(source);
    char *read = NULL;
    ck_assert_int_eq(base_file_read(&read, &size, file, 1 << 20, NULL), BASE_OK);
    bytes = (unsigned char *)read;
    base_free(set);
}

static void begin(void)
{
    setup();
    file = test_path(root, "kept.index");
    bytes = NULL;
}

static void end(void)
{
    base_free(bytes);
    base_free(file);
    teardown();
}

typedef struct change {
    char from; /* 'h' of the header, 't' the text, 'r' the records, 'n' the names */
    size_t at;
    uint64_t value;
    size_t count;     /* bytes of it */
    const char *text; /* behind "is damaged: ", NULL: it is read */
} change;

START_TEST(every_field_of_the_file_is_minded)
{
    static const char range[] = "its counts are out of range",
                      length[] = "its size is not what its beginning tells",
                      shape[] = "it is not of this layout",
                      nothing[] = "a sample refers to nothing",
                      name[] = "it has a name that no scan makes";
    static const change changes[] = {
        {'h', 0, 'w', 1, "it is no index"},
        {'h', 7, 1, 1, "it is no index"},
        {'h', ORDER, 0x04030201, 4, "it is no index"},
        {'h', TEXT, MOST + 1, 8, range},
        {'h', TEXT, MOST, 8, length},
        {'h', WITNESSES, MOST + 1, 8, range},
        {'h', WITNESSES, MOST, 8, length},
        {'h', ARCHIVES, MOST + 1, 8, range},
        {'h', ARCHIVES, 1, 8, shape},
        {'h', FOLDERS, 65537, 8, range},
        {'h', FOLDERS, 65536, 8, "it has a name twice"},
        {'h', FOLDERS, 1, 8, nothing},
        {'h', CLASSES, 65537, 8, range},
        {'h', CLASSES, 65536, 8, name},
        {'h', CLASSES, 1, 8, nothing},
        {'h', SAMPLES, (uint64_t)1 << 32, 8, range},
        {'h', SAMPLES, UINT32_MAX, 8, length},
        {'h', NAMES, (uint64_t)1 << 32, 8, range},
        {'h', NAMES, UINT32_MAX, 8, length},
        {'h', LEFT_OUT, (uint64_t)1 << 32, 8, range},
        {'h', FORMATS - 8, (uint64_t)1 << 32, 8, range},
        {'h', FORMATS - 8, UINT32_MAX, 8, NULL},
        {'h', FORMATS, (uint64_t)1 << 32, 8, range},
        {'h', LABELLING - 8, (uint64_t)1 << 32, 8, range},
        {'h', LABELLING, DATA_LABELS_NONE + 1, 4, shape},
        {'h', LABELLING, DATA_LABELS_NUMBERS, 4, shape},
        {'h', HAS_NAMES, 0, 4, shape},
        {'h', HAS_NAMES, 2, 4, shape},
        {'h', AS_FOUND, 1, 4, shape},
        {'h', FLAGS, 1, 4, shape},
        {'h', FLAGS, 2, 4, NULL},
        {'h', FLAGS, 4, 4, shape},
        {'h', FLAGS, 8, 4, shape},
        {'r', 12, 2, 4, nothing}, /* the container of the first */
        {'r', 16, 2, 4, nothing}, /* its label */
        {'r', 16, UINT32_MAX, 4, nothing},
        {'r', 20, 18, 4, nothing}, /* its name: of 3 * 6 bytes */
        {'r', 20, 17, 4, name},    /* an empty one */
        {'r', 2 * RECORD + 12, 2, 4, nothing},
        {'n', 0, '.', 1, name},
        {'n', 0, '/', 1, name},
        {'n', 1, '/', 1, NULL}, /* "1/png" */
        {'n', 2, '/', 1, NULL},
        {'n', 17, 'x', 1, "a name has no end"},
    };

    make();
    ck_assert_uint_eq(get(SAMPLES), 3);
    ck_assert_uint_eq(get(NAMES), 18);
    ck_assert_uint_eq(get(FOLDERS), 2);
    unsigned char *kept = base_alloc(size, 1);
    memcpy(kept, bytes, size);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const change *c = &changes[i];
        base_error err;
        const size_t from = c->from == 'h'   ? 0
                            : c->from == 'r' ? records_at()
                                             : records_at() + RECORD * get(SAMPLES);
        memcpy(bytes + from + c->at, &c->value, c->count);
        const base_status status = read_now(true, &err);
        char *want = base_text("'%s' is damaged: %s", file, c->text ? c->text : "");
        ck_assert_msg(status == (c->text ? BASE_FORMAT : BASE_OK), "change %zu: %s", i,
                      err.text);
        ck_assert_msg(!c->text || strcmp(err.text, want) == 0, "change %zu: %s", i,
                      err.text);
        base_free(want);
        memcpy(bytes, kept, size);
    }
    base_free(kept);
}
END_TEST

START_TEST(other_versions_sums_keys_and_lengths_are_told)
{
    base_error err;
    char *want;

    make();
    ck_assert_int_eq(read_now(false, &err), BASE_OK);
    want = base_text("'%s' was written by another version", file);
    for (unsigned char version = 5; version <= 7; version += 2) {
        bytes[VERSION] = version;
        ck_assert_int_eq(read_now(true, &err), BASE_FORMAT);
        ck_assert_str_eq(err.text, want);
    }
    bytes[VERSION] = 6;
    base_free(want);
    want = base_text("'%s' is damaged: its sum is wrong", file);
    ck_assert_int_eq(read_now(true, &err), BASE_OK);
    for (size_t i = 1; i <= 8; i += 7) {
        bytes[size - i] ^= 1;
        ck_assert_int_eq(read_now(false, &err), BASE_FORMAT);
        ck_assert_str_eq(err.text, want);
        bytes[size - i] ^= 1;
    }
    base_free(want);
    want = base_text("'%s' is damaged: its size is not what its beginning tells", file);
    size -= 8;
    ck_assert_int_eq(read_now(true, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    want = base_text("'%s' is damaged: it ends too early", file);
    size = HEADER - 8;
    ck_assert_int_eq(read_now(true, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, want);
    base_free(want);
}
END_TEST

/* ---- shapes -------------------------------------------------------------------------- */

/* What a scan of a layout leaves; -1: either. */
static const struct shape {
    const data_layout *layout;
    unsigned labellings; /* a bit each */
    int names, as_found, flat, archives, folders;
} shapes[] = {
    {&data_layout_folder, 1u << DATA_LABELS_CLASSES, 1, 0, 0, 0, -1},
    {&data_layout_folder, 1u << DATA_LABELS_TRUTH, 1, 0, 1, 0, 1},
    {&data_layout_tar, 1u << DATA_LABELS_CLASSES, 0, 0, 0, 1, 0},
    {&data_layout_tar, 1u << DATA_LABELS_TRUTH, 0, 0, 1, 1, 0},
    {&data_layout_zip, 1u << DATA_LABELS_CLASSES, 0, 0, 0, 1, 0},
    {&data_layout_zip, 1u << DATA_LABELS_TRUTH, 0, 0, 1, 1, 0},
    {&data_layout_ilsvrc, 1u << DATA_LABELS_CLASSES, 0, 0, -1, 1, 0},
    {&data_layout_ilsvrc, 1u << DATA_LABELS_TRUTH | 1u << DATA_LABELS_NONE, 1, 0, -1, 1, 0},
    {&data_layout_wds, 1u << DATA_LABELS_CLASSES, 0, 1, -1, -1, 0},
    {&data_layout_wds, 1u << DATA_LABELS_NUMBERS | 1u << DATA_LABELS_NONE, 0, 0, -1, -1, 0},
    {&data_layout_tfrecord, 1u << DATA_LABELS_CLASSES, 0, 1, -1, -1, 0},
    {&data_layout_tfrecord, 1u << DATA_LABELS_NUMBERS | 1u << DATA_LABELS_NONE, 0, 0, -1,
     -1, 0},
    {&data_layout_list,
     1u << DATA_LABELS_CLASSES | 1u << DATA_LABELS_NUMBERS | 1u << DATA_LABELS_NONE, 1, 1,
     -1, -1, 2},
    {&data_layout_kaggle,
     1u << DATA_LABELS_CLASSES | 1u << DATA_LABELS_TRUTH | 1u << DATA_LABELS_NONE, 1, 0, -1,
     0, -1},
    {&data_layout_images, 1u << DATA_LABELS_TRUTH, 1, 0, -1, 0, 1},
    {&data_layout_imagenet_c, 1u << DATA_LABELS_CLASSES, 0, 0, -1, 1, 0},
    {&data_layout_imagenet_c, 1u << DATA_LABELS_CLASSES, 1, 0, -1, 0, -1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Bits of all: labelling, names, as_found, flat, a file of labels, archives, folders. */
static bool is_left(const data_layout *layout, unsigned labelling, int names, int as_found,
                    int flat, int truth, int archives, int folders)
{
    if (truth && (!flat || archives != 1))
        return false;
    for (size_t i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        if (s->layout == layout && s->labellings & 1u << labelling && s->names == names &&
            s->as_found == as_found && (s->flat < 0 || s->flat == flat) &&
            (s->archives < 0 || s->archives == archives) &&
            (s->folders < 0 || s->folders == folders))
            return true;
    }
    return false;
}

/* An index without samples, written and read again. */
static void check_shape(const data_layout *layout, unsigned labelling, int number)
{
    const int names = number & 1, as_found = number >> 1 & 1, flat = number >> 2 & 1;
    const int truth = number >> 3 & 1, archives = number >> 4 & 1, folders = number >> 5;
    data_source *source = base_alloc(1, sizeof *source);
    data_source *out = base_alloc(1, sizeof *out);
    char *archive = test_path(root, "archive");
    base_error err = {0};
    uint32_t id;

    source->fd = out->fd = -1;
    source->layout = out->layout = layout;
    source->labelling = (data_labelling)labelling;
    source->names = names;
    source->as_found = as_found;
    source->flat = flat;
    source->has_truth = truth;
    source->truth = (data_record){.offset = 5, .size = 6, .name = 7};
    ck_assert_int_eq(data_files_create(&source->files, NULL), BASE_OK);
    for (int i = 0; i < archives; i++)
        ck_assert_int_eq(data_files_add(&id, source->files, archive, NULL), BASE_OK);
    for (int i = 0; i < folders; i++)
        ck_assert_int_eq(data_class_add(&id, &source->folders, i ? "y" : "x", NULL),
                         BASE_OK);
    ck_assert_int_eq(data_cache_write(source, file, "key", NULL), BASE_OK);
    const base_status status = data_cache_read(out, file, "key", &err);
    const bool want =
        is_left(layout, labelling, names, as_found, flat, truth, archives, folders);
    ck_assert_msg((status == BASE_OK) == want, "%s %u %d: %s", layout->name, labelling,
                  number, err.text);
    ck_assert_msg(want || strstr(err.text, "it is not of this layout"), "%s", err.text);
    if (want)
        ck_assert(out->labelling == source->labelling && out->names == source->names &&
                  out->as_found == source->as_found && out->flat == source->flat &&
                  out->has_truth == source->has_truth && out->truth.offset == 5 &&
                  out->truth.size == 6 && out->truth.name == 7);
    data_source_close(source);
    data_source_close(out);
    base_free(archive);
}

START_TEST(layouts_leave_their_shapes_and_no_others)
{
    const data_layout *layout = NULL;

    set_text("archive", "bytes");
    for (size_t i = 0; i < SHAPES; i++) {
        if (shapes[i].layout == layout)
            continue;
        layout = shapes[i].layout;
        for (unsigned labelling = 0; labelling <= DATA_LABELS_NONE; labelling++)
            for (int number = 0; number < 3 << 5; number++)
                check_shape(layout, labelling, number);
    }
}
END_TEST

/* The sum is over words of eight bytes and goes on from one piece to the next. */
START_TEST(the_sum_is_of_words)
{
    static const unsigned char text[] = "sixteen bytes...";
    const uint64_t whole = data_cache_sum(0, text, 16);

    ck_assert_uint_eq(data_cache_sum(data_cache_sum(0, text, 8), text + 8, 8), whole);
    ck_assert_uint_eq(data_cache_sum(0, text, 15), data_cache_sum(0, text, 8));
    ck_assert_uint_ne(data_cache_sum(1, text, 16), whole);
    uint64_t word = 1, sum = (0 ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    sum ^= sum >> 29;
    ck_assert_uint_eq(data_cache_sum(0, &word, 8), sum);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data index file");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, begin, end);
    tcase_add_test(core, every_field_of_the_file_is_minded);
    tcase_add_test(core, other_versions_sums_keys_and_lengths_are_told);
    tcase_add_test(core, layouts_leave_their_shapes_and_no_others);
    tcase_add_test(core, the_sum_is_of_words);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
