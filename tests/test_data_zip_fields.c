/* test_data_zip_fields.c - every field of a zip, one changed at a time, just below and just
 * above what is allowed: whole messages, and which member is read all the same. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <fcntl.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"
#include "tests/test_zip.h"

enum { MEMBERS = 3, END = 3, ALL_GOOD = 9, PACKED = 9 };

static char *root, *path;
static zip_file zip;
static size_t local[MEMBERS], entry[MEMBERS]; /* offsets, entries in the directory */
static size_t begin;                          /* of the directory */

static const data_source_options one_class = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
    path = test_path(root, "x.zip");
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(root);
}

/* a/1.png stored, a/2.png deflated (to 9 bytes), a/3.png stored; each holds its name. */
static void make(bool wide)
{
    static const char *const names[MEMBERS] = {"a/1.png", "a/2.png", "a/3.png"};

    memset(&zip, 0, sizeof zip);
    zip.zip64 = wide;
    for (size_t i = 0; i < MEMBERS; i++) {
        local[i] = zip.body_bytes;
        zip_name(&zip, names[i], i == 1 ? ZIP_DEFLATED : ZIP_STORED);
        entry[i] = zip.last;
    }
    begin = zip.body_bytes;
    zip_end(&zip, "");
}

/* Where a field lies: 'e' in entry i, 'l' in the header of member i, 'd' in the end,
 * 'w' in zip64's, 'o' in its locator. */
static unsigned char *place(char where, size_t member, size_t offset)
{
    const size_t end = zip.body_bytes - 22;

    return zip.body + offset +
           (where == 'e'   ? begin + entry[member]
            : where == 'l' ? local[member]
            : where == 'd' ? end
            : where == 'w' ? end - 76
                           : end - 20);
}

typedef struct change {
    char where;
    size_t member, offset;
    uint64_t value;
    int bytes;
    size_t bad;       /* the sample that cannot be read; END: the archive; ALL_GOOD */
    const char *text; /* the whole message without the path, or the reason */
} change;

static void check(const change *c, size_t number, bool wide)
{
    data_source *source = NULL;
    base_error err = {0};

    make(wide);
    zip_put(place(c->where, c->member, c->offset), c->value, c->bytes);
    zip_write(&zip, path);
    const base_status status = data_source_open(&source, path, &one_class, &err);
    if (c->bad == END) {
        char *want = base_text("'%s'%s", path, c->text);
        ck_assert_msg(status != BASE_OK, "change %zu is not seen", number);
        ck_assert_msg(strcmp(err.text, want) == 0, "change %zu: %s", number, err.text);
        base_free(want);
        return;
    }
    ck_assert_msg(status == BASE_OK, "change %zu: %s", number, err.text);
    for (size_t i = 0; i < data_source_count(source); i++) {
        unsigned char *bytes = NULL;
        size_t room = 0, size = 0;
        const base_status got = data_source_read(source, i, &bytes, &room, &size, &err);
        ck_assert_msg((got != BASE_OK) == (i == c->bad), "change %zu, sample %zu: %s",
                      number, i, got != BASE_OK ? err.text : "good");
        ck_assert_msg(i != c->bad || strcmp(err.text, c->text) == 0, "change %zu: %s",
                      number, err.text);
        base_free(bytes);
    }
    data_source_close(source);
}

#define NO_ENTRY(n, at)                                                                    \
    " is damaged: member " n " of its directory (offset " at ") is no entry"
#define ELSEWHERE(at)                                                                      \
    " is damaged: its directory is not at offset " at                                      \
    ", where its end says (cut off in front, or above 4 GiB by a program that knows no "   \
    "zip64: pack it again)"
#define METHOD(n, name)                                                                    \
    ": 'a/2.png' is packed by method " n " (" name                                         \
    "), expected stored or deflated: pack it again with zip"
#define UNPACK(n)                                                                          \
    "corrupt: it does not unpack to the " n " bytes that the zip's directory says"
#define BAD_CRC "corrupt: the CRC-32 of the zip member is wrong"
#define VOLUMES " is one of several volumes of a zip archive: join them first"

/* Members begin at 0, 44, 90 (30 bytes, 7 of a name, 7 or 9 packed), the directory at 134:
 * entries of 53 bytes at 134, 187, 240, the end at 293. */
START_TEST(every_field_is_minded)
{
    static const change changes[] = {
        {'e', 1, 8, 1, 2, END,
         ": 'a/2.png' is encrypted: unpack it with its password first"},
        {'e', 1, 8, 0x0802, 2, ALL_GOOD, ""},
        {'e', 1, 10, 9, 2, END, METHOD("9", "deflate64")},
        {'e', 1, 10, 12, 2, END, METHOD("12", "bzip2")},
        {'e', 1, 10, 14, 2, END, METHOD("14", "lzma")},
        {'e', 1, 10, 93, 2, END, METHOD("93", "zstd")},
        {'e', 1, 10, 95, 2, END, METHOD("95", "xz")},
        {'e', 1, 10, 96, 2, END, METHOD("96", "jpeg")},
        {'e', 1, 10, 99, 2, END, METHOD("99", "AES")},
        {'e', 1, 10, 1, 2, END, METHOD("1", "an unknown method")},
        {'e', 1, 16, 5, 4, 1, BAD_CRC},
        {'e', 0, 24, 8, 4, END, " is damaged: 'a/1.png' is stored in 7 bytes, but has 8"},
        {'e', 0, 20, 6, 4, END, " is damaged: 'a/1.png' is stored in 6 bytes, but has 7"},
        {'e', 1, 24, 6, 4, 1, UNPACK("6")},
        {'e', 1, 24, 8, 4, 1, UNPACK("8")},
        {'e', 1, 20, 8, 4, 1, UNPACK("7")},
        {'e', 1, 20, 10, 4, 1, UNPACK("7")},
        {'e', 1, 24, 1032 * PACKED + 1031, 4, 1, UNPACK("10319")},
        {'e', 1, 24, 1032 * PACKED + 1032, 4, END,
         ": 'a/2.png' would unpack 9 bytes to 10320: no picture does, refused (a zip "
         "bomb?)"},
        {'e', 2, 42, 97, 4, 2,
         "corrupt: no member at offset 97, where the zip's directory says"},
        {'e', 2, 42, 98, 4, END,
         " is damaged: member 2 ('a/3.png') ends beyond the archive (7 bytes from offset "
         "98)"},
        {'e', 0, 42, 135, 4, END,
         " is damaged: member 0 ('a/1.png') ends beyond the archive (7 bytes from offset "
         "135)"},
        {'e', 0, 42, 105, 4, END,
         " is damaged: member 0 ('a/1.png') ends beyond the archive (7 bytes from offset "
         "105)"},
        {'e', 0, 42, UINT32_MAX, 4, END, NO_ENTRY("0", "134")},
        {'e', 1, 20, UINT32_MAX, 4, END, NO_ENTRY("1", "187")},
        {'e', 2, 24, UINT32_MAX, 4, END, NO_ENTRY("2", "240")},
        {'e', 0, 3, 3, 1, END, ELSEWHERE("134")},
        {'e', 1, 0, 'Q', 1, END, NO_ENTRY("1", "187")},
        {'e', 1, 1, 'Q', 1, END, NO_ENTRY("1", "187")},
        {'e', 1, 2, 2, 1, END, NO_ENTRY("1", "187")},
        {'e', 1, 3, 1, 1, END, NO_ENTRY("1", "187")},
        {'e', 2, 28, 8, 2, END, NO_ENTRY("2", "240")},
        {'e', 2, 30, 1, 2, END, NO_ENTRY("2", "240")},
        {'e', 2, 32, 1, 2, END, " is damaged: its directory is cut off"},
        {'d', 0, 10, 4, 2, END, " is damaged: its directory has 3 members, its end says 4"},
        {'d', 0, 10, 2, 2, END, " is damaged: its directory has 3 members, its end says 2"},
        {'d', 0, 8, 9, 2, ALL_GOOD, ""}, /* of this volume: nobody asks */
        {'d', 0, 4, 1, 2, END, VOLUMES},
        {'d', 0, 4, 0x00010001, 4, END, VOLUMES},
        {'d', 0, 4, UINT32_MAX, 4, ALL_GOOD, ""},
        {'d', 0, 12, 158, 4, END, NO_ENTRY("2", "240")},
        {'d', 0, 12, 160, 4, END, ELSEWHERE("134")},
        {'d', 0, 12, 45, 4, END, ELSEWHERE("134")},
        {'d', 0, 12, 52, 4, END, NO_ENTRY("0", "134")},
        {'d', 0, 16, 133, 4, END, ELSEWHERE("133")},
        {'d', 0, 16, 294, 4, END, ELSEWHERE("294")},
        {'d', 0, 20, 1, 2, END, " has no directory at its end: cut off, or no zip archive"},
        {'d', 0, 3, 5, 1, END, " has no directory at its end: cut off, or no zip archive"},
        {'l', 1, 2, 9, 1, 1,
         "corrupt: no member at offset 44, where the zip's directory says"},
        {'l', 0, 26, 8, 2, 0, BAD_CRC},
        {'l', 2, 28, 1, 2, 2, BAD_CRC},
        {'l', 2, 28, 315 - 134, 2, 2, BAD_CRC}, /* to the file's last byte */
        {'l', 2, 28, 315 - 133, 2, 2, "truncated"},
        {'l', 2, 28, 65535, 2, 2, "truncated"},
        {'l', 0, 14, 9, 4, ALL_GOOD, ""}, /* the directory's counts */
    };

    make(false);
    ck_assert_uint_eq(local[2], 90);
    ck_assert_uint_eq(begin, 134);
    ck_assert_uint_eq(zip.body_bytes, 315);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check(&changes[i], i, false);
}
END_TEST

#define NO_END64 " is damaged: its zip64 end is not there"

/* Entries of 89 bytes at 134, 223 and 312, zip64's end at 401, its locator at 457, the end
 * at 477. An entry's extra fields begin at 53: another's 8 bytes, then 1, 24, size, packed,
 * offset. */
START_TEST(every_field_of_zip64_is_minded)
{
    static const change changes[] = {
        {'e', 1, 46 + 7 + 8 + 2, 16, 2, END, NO_ENTRY("1", "223")},
        {'e', 1, 46 + 7 + 8 + 2, 25, 2, END, NO_ENTRY("1", "223")},
        {'e', 1, 46 + 7 + 8 + 2, 24, 2, ALL_GOOD, ""},
        {'e', 1, 46 + 7 + 8, 2, 2, END, NO_ENTRY("1", "223")},
        {'e', 1, 46 + 7 + 2, 5, 2, END, NO_ENTRY("1", "223")},
        {'e', 1, 46 + 7 + 2, 33, 2, END, NO_ENTRY("1", "223")},
        {'e', 1, 46 + 7 + 12, 8, 8, 1, UNPACK("8")},
        {'e', 1, 46 + 7 + 20, 8, 8, 1, UNPACK("7")},
        {'e', 1, 46 + 7 + 28, 43, 8, 1,
         "corrupt: no member at offset 43, where the zip's directory says"},
        {'o', 0, 8, 402, 8, END, NO_END64},
        {'o', 0, 8, 400, 8, END, NO_END64},
        {'o', 0, 3, 8, 1, END, ELSEWHERE("4294967295")},
        {'w', 0, 2, 7, 1, END, NO_END64},
        {'w', 0, 32, 4, 8, END, " is damaged: its directory has 3 members, its end says 4"},
        {'w', 0, 32, 65539, 8, END, /* not modulo 65536 */
         " is damaged: its directory has 3 members, its end says 65539"},
        {'w', 0, 40, 268, 8, END, ELSEWHERE("134")},
        {'w', 0, 40, 266, 8, END, NO_ENTRY("2", "312")},
        {'w', 0, 48, 135, 8, END, ELSEWHERE("135")},
    };

    make(true);
    ck_assert_uint_eq(begin, 134);
    ck_assert_uint_eq(zip.body_bytes, 499);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check(&changes[i], i, true);
}
END_TEST

/* What changes after indexing is seen when the member is read. */
START_TEST(a_member_that_changed_is_a_bad_sample)
{
    static const change changes[] = {
        {'e', 1, 0, 'Q', 1, 1, "corrupt: its entry in the zip's directory"},
        {'e', 1, 24, 8, 4, 1, "corrupt: its entry in the zip's directory"},
        {'e', 1, 30, 60000, 2, 1, "corrupt: its entry in the zip's directory"},
        {'e', 1, 8, 1, 2, 1, "unsupported format encrypted zip member"},
        {'e', 1, 10, 12, 2, 1, "unsupported format zip method 12"},
        {'e', 0, 20, 6, 4, 0, "unsupported format zip method 0"},
        {'e', 2, 42, 285, 4, 2,
         "corrupt: no member at offset 285, where the zip's directory says"},
        {'e', 2, 42, 286, 4, 2, "truncated"},
        {'e', 2, 42, 316, 4, 2, "truncated"},
        {'e', 2, 20, 500, 4, 2, "truncated"},
    };

    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        const change *c = &changes[k];
        base_error err = {0};
        make(false);
        zip_write(&zip, path);
        data_source *source = set_open(path, &one_class);
        zip_put(place(c->where, c->member, c->offset), c->value, c->bytes);
        zip_write(&zip, path);
        for (size_t i = 0; i < MEMBERS; i++) {
            unsigned char *bytes = NULL;
            size_t room = 0, size = 0;
            const base_status got = data_source_read(source, i, &bytes, &room, &size, &err);
            ck_assert_msg((got != BASE_OK) == (i == c->bad), "change %zu, sample %zu", k,
                          i);
            ck_assert_msg(i != c->bad || strcmp(err.text, c->text) == 0, "change %zu: %s",
                          k, err.text);
            base_free(bytes);
        }
        data_source_close(source);
    }
}
END_TEST

/* An entry of 8192 bytes is read by its name, a longer one is left out. */
START_TEST(entries_may_be_long_but_not_longer)
{
    for (size_t more = 0; more < 2; more++) {
        memset(&zip, 0, sizeof zip);
        zip_name(&zip, "a/1.png", ZIP_STORED);
        zip_name(&zip, "a/2.png", ZIP_STORED);
        const size_t extra = 8192 - 46 - 7 + more;
        zip_put(zip.entries + zip.last + 30, extra, 2);
        zip_put(zip.entries + zip.entry_bytes, 0x7777, 2);
        zip_put(zip.entries + zip.entry_bytes + 2, extra - 4, 2);
        zip.entry_bytes += extra;
        zip_end(&zip, "");
        zip_write(&zip, path);
        data_source *source = set_open(path, &one_class);
        set_lists(source, more ? "0 a/1.png\n" : "0 a/1.png\n0 a/2.png\n");
        if (!more)
            set_holds(source, 1, "a/2.png");
        data_source_close(source);
    }
}
END_TEST

START_TEST(what_a_member_is_stands_in_its_mode)
{
    static const struct {
        uint32_t made_by, attributes;
        size_t count, link, hidden;
        const char *name;
    } cases[] = {
        {3, 0100644u << 16, 2, 0, 0, NULL},
        {3, 0040755u << 16, 1, 0, 0, NULL},
        {3, 0010644u << 16, 1, 1, 0, NULL},
        {3, 0120777u << 16, 1, 1, 0, NULL},
        {3, 16, 2, 0, 0, NULL},
        {19, 0120777u << 16, 1, 1, 0, NULL},
        {0, 0120777u << 16, 2, 0, 0, NULL},
        {0, 16, 1, 0, 0, NULL},
        {0, 15, 2, 0, 0, NULL},
        {0, 0, 2, 0, 0, "b\\2.png"},
        {3, 0, 1, 0, 0, "b\\2.png"},
        {19, 0, 1, 0, 0, "b\\2.png"},
        {0, 0, 1, 0, 0, "b/\\.png/"},
        {3, 0, 1, 0, 1, "b/.2png"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&zip, 0, sizeof zip);
        zip_name(&zip, "a/1.png", ZIP_STORED);
        zip_name(&zip, cases[i].name ? cases[i].name : "a/2.png", ZIP_STORED);
        zip_put(zip.entries + zip.last + 5, cases[i].made_by, 1);
        zip_put(zip.entries + zip.last + 38, cases[i].attributes, 4);
        zip_end(&zip, "");
        zip_write(&zip, path);
        data_source *source = set_open(path, &one_class);
        ck_assert_msg(data_source_count(source) == cases[i].count, "case %zu: %zu", i,
                      data_source_count(source));
        ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_LINK),
                          cases[i].link);
        ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_HIDDEN),
                          cases[i].hidden);
        data_source_close(source);
    }
}
END_TEST

/* Above 16 MiB a picture may be packed 200 : 1 at most. */
START_TEST(bombs_are_known_by_size_and_ratio)
{
    static const struct {
        uint32_t size, packed;
        bool bomb;
    } cases[] = {{16 << 20, 83885, false},
                 {(16 << 20) + 1, 83886, false},
                 {(16 << 20) + 1, 83885, true}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        data_source *source = NULL;
        memset(&zip, 0, sizeof zip);
        zip_name(&zip, "a/1.png", ZIP_DEFLATED);
        zip_put(zip.entries + zip.last + 20, cases[i].packed, 4);
        zip_put(zip.entries + zip.last + 24, cases[i].size, 4);
        zip.body_bytes += cases[i].packed;
        zip_end(&zip, "");
        zip_write(&zip, path);
        ck_assert_int_eq(data_source_open(&source, path, &one_class, NULL),
                         cases[i].bomb ? BASE_FORMAT : BASE_OK);
        data_source_close(source);
    }
}
END_TEST

/* Together members may take what lies before the directory, to the byte. */
START_TEST(members_together_fill_the_archive_at_most)
{
    for (uint32_t more = 0; more < 2; more++) {
        data_source *source = NULL;
        base_error err = {0};
        memset(&zip, 0, sizeof zip);
        zip_name(&zip, "a/1.png", ZIP_DEFLATED);
        zip_name(&zip, "a/2.png", ZIP_DEFLATED);
        const size_t before = zip.body_bytes; /* 92: 2 * (30 + 9) and the names */
        zip_put(zip.entries + 20, before - 30 - 39 + more, 4);
        zip_end(&zip, "");
        zip_write(&zip, path);
        const base_status status = data_source_open(&source, path, &one_class, &err);
        ck_assert_int_eq(status, more ? BASE_FORMAT : BASE_OK);
        ck_assert(!more || strstr(err.text, "x.zip': its members lie in one another: "
                                            "refused (a zip bomb?)"));
        data_source_close(source);
    }
}
END_TEST

/* A member without bytes needs its header only, which may end where the directory
 * begins. */
START_TEST(an_empty_member_may_lie_at_the_end)
{
    for (size_t beyond = 0; beyond < 2; beyond++) {
        data_source *source = NULL;
        make(false);
        zip_put(place('e', 2, 20), 0, 8); /* packed to and of no bytes */
        zip_put(place('e', 2, 42), begin - 30 + beyond, 4);
        zip_write(&zip, path);
        ck_assert_int_eq(data_source_open(&source, path, &one_class, NULL),
                         beyond ? BASE_FORMAT : BASE_OK);
        if (!beyond)
            set_unreadable(source, 2, "empty file");
        data_source_close(source);
    }
}
END_TEST

START_TEST(a_member_is_placed_for_reading_ahead)
{
    char name[DATA_NAME_MAX + 2];
    uint64_t at = 0, bytes = 0;

    make(false);
    zip_write(&zip, path);
    const int fd = open(path, O_RDONLY);
    ck_assert(data_zip_place(&at, &bytes, fd, begin + entry[1]));
    ck_assert_uint_eq(at, 44);
    ck_assert_uint_eq(bytes, 9 + 30 + 7);
    ck_assert(data_zip_name(name, fd, begin + entry[2]));
    ck_assert_str_eq(name, "a/3.png");
    ck_assert(!data_zip_place(&at, &bytes, fd, begin + entry[1] + 1));
    ck_assert(!data_zip_name(name, fd, begin + entry[1] + 1));
    ck_assert_int_eq(close(fd), 0);
    make(true);
    zip_write(&zip, path);
    const int wide = open(path, O_RDONLY);
    ck_assert(data_zip_place(&at, &bytes, wide, begin + entry[2]));
    ck_assert_uint_eq(at, 90);
    ck_assert_uint_eq(bytes, 7 + 30 + 7 + 36); /* the extra fields as the entry has them */
    ck_assert_int_eq(close(wide), 0);
}
END_TEST

/* A directory larger than the window in which it is read; two windows' edges are
 * crossed. */
START_TEST(a_long_directory_is_walked_over_whole)
{
    enum { MANY = 2800 };
    char name[110];
    base_error err = {0};

    memset(&zip, 0, sizeof zip);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%c/%0*zu.png", (char)('a' + (int)(i / 1400)),
                 (int)(20 + i % 83), i);
        zip_add(&zip, name, "", 0, ZIP_STORED);
    }
    ck_assert_uint_gt(zip.entry_bytes, 1u << 18);
    zip_end(&zip, "");
    zip_write(&zip, path);
    data_source *source = set_open(path, NULL);
    ck_assert_msg(data_source_count(source) == MANY, "%s", err.text);
    ck_assert_uint_eq(data_source_classes(source), 2);
    data_source_close(source);
}
END_TEST

START_TEST(a_zip_is_known_by_its_name_or_first_bytes)
{
    static const struct {
        const char *name, *bytes;
        bool zip;
    } cases[] = {{"x.zip", "none", true},   {"y.ZIP", "", true},    {"z", "PK\3\4", true},
                 {"z", "PK\5\6", true},     {"z", "PK\1\2", false}, {"z", "PK\3\6", false},
                 {"z", "PK\3", false},      {"z", "QK\3\4", false}, {"z", "PQ\3\4", false},
                 {"z.npz", "PK\3\4", false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *where = test_path(root, cases[i].name);
        test_write(where, cases[i].bytes, strlen(cases[i].bytes));
        ck_assert_msg(data_zip_looks(where) == cases[i].zip, "case %zu", i);
        base_free(where);
    }
    ck_assert(!data_zip_looks(root));
    ck_assert(!data_zip_looks("/nowhere.zip"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data zip fields");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, what_a_member_is_stands_in_its_mode);
    tcase_add_test(core, a_member_is_placed_for_reading_ahead);
    tcase_add_test(core, a_long_directory_is_walked_over_whole);
    tcase_add_test(core, a_zip_is_known_by_its_name_or_first_bytes);
    tcase_add_test(limits, every_field_is_minded);
    tcase_add_test(limits, every_field_of_zip64_is_minded);
    tcase_add_test(limits, bombs_are_known_by_size_and_ratio);
    tcase_add_test(limits, a_member_that_changed_is_a_bad_sample);
    tcase_add_test(limits, entries_may_be_long_but_not_longer);
    tcase_add_test(limits, an_empty_member_may_lie_at_the_end);
    tcase_add_test(limits, members_together_fill_the_archive_at_most);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
