/* test_data_tar.c - tar archives of class folders: dialects, what is ignored, what is
 * refused. The archives are written block by block here, so that they can be wrong in one
 * place. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"

#include <fcntl.h>
#include <zlib.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static char *root, *path;
static FILE *tar;

static const data_source_options one_class = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
    tar = set_tar_open(&path, root, "x.tar");
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(root);
}

/* An extended header: one PAX record, whose length counts itself (two digits here). */
static void pax_record(FILE *file, const char *key, const char *value)
{
    char text[600];
    const size_t rest = strlen(key) + strlen(value) + 3;
    const size_t whole = rest + 2 < 100 ? rest + 2 : rest + 3;

    snprintf(text, sizeof text, "%zu %s=%s\n", whole, key, value);
    ck_assert_uint_eq(strlen(text), whole);
    set_member(file, "PaxHeader", 'x', text, whole);
}

START_TEST(a_tar_and_a_folder_number_their_samples_alike)
{
    static const char *const names[] = {"b/2.png",   "b/10.png", "B/1.JPEG",    "a/s0.jpg",
                                        "a/s/x.jpg", "a/s.jpg",  "a/notes.txt", "c/y.png"};
    char *folder = test_path(root, "tree");
    char name[64], other[64];

    for (size_t i = 0; i < 8; i++) {
        set_name_member(tar, names[i]);
        set_name_file(folder, names[i]);
    }
    set_tar_end(tar);
    data_source *a = set_open(path, NULL), *b = set_open(folder, NULL);
    ck_assert_str_eq(data_source_layout(a), "tar");
    ck_assert_uint_eq(data_source_count(a), 7);
    ck_assert_uint_eq(data_source_count(b), 7);
    ck_assert_uint_eq(data_source_classes(a), data_source_classes(b));
    ck_assert_uint_eq(data_source_ignored(a), data_source_ignored(b));
    ck_assert_uint_eq(data_source_fingerprint(a), data_source_fingerprint(b));
    for (size_t i = 0; i < 7; i++) {
        data_source_relative_name(a, i, name, sizeof name);
        data_source_relative_name(b, i, other, sizeof other);
        ck_assert_str_eq(name, other);
        ck_assert_int_eq(data_source_label(a, i), data_source_label(b, i));
        set_holds(a, i, name);
        set_holds(b, i, name);
    }
    data_source_name(a, 0, other, sizeof other);
    char *whole = base_text("%s!B/1.JPEG", path);
    char shown[512];
    ck_assert_str_eq(data_source_name(a, 0, shown, sizeof shown), whole);
    base_free(whole);
    data_source_close(a);
    data_source_close(b);
    base_free(folder);
}
END_TEST

/* No names are kept of an archive in canonical order; the labels may stand in another. */
START_TEST(an_archive_in_order_needs_no_names_for_other_labels)
{
    static const char *const list[] = {"c", "a", "b"};
    const data_source_options options = {.class_list = list, .class_list_count = 3};

    set_name_member(tar, "a/1.png");
    set_name_member(tar, "a/2.png");
    set_name_member(tar, "b/1.png");
    set_name_member(tar, "c/1.png");
    set_name_member(tar, "c/2.png");
    set_tar_end(tar);
    data_source *source = set_open(path, &options);
    set_lists(source, "0 c/1.png\n0 c/2.png\n1 a/1.png\n1 a/2.png\n2 b/1.png\n");
    set_holds(source, 1, "c/2.png");
    data_source_close(source);
}
END_TEST

START_TEST(leading_dots_and_directories_are_no_samples)
{
    set_member(tar, "./", '5', "", 0);
    set_member(tar, "./b/", '5', "", 0);
    set_member(tar, "./b//1.png", '0', "one", 3);
    set_member(tar, "a", '5', "", 0); /* without the '/' */
    set_member(tar, "/c/2.png", '0', "two", 3);
    set_tar_end(tar);
    data_source *source = set_open(path, NULL);

    set_lists(source, "0 b/1.png\n1 c/2.png\n");
    ck_assert_str_eq(data_source_class_name(source, 0), "b");
    ck_assert_str_eq(data_source_notice(source),
                     "1 of 3 class folders without images, no classes: 'a'");
    set_holds(source, 0, "one");
    data_source_close(source);
}
END_TEST

START_TEST(links_hidden_and_climbing_names_are_ignored_and_counted)
{
    set_name_member(tar, "a/1.png");
    set_member(tar, "a/soft.png", '2', "", 0);
    set_member(tar, "a/hard.png", '1', "", 0);
    set_member(tar, "a/pipe.png", '6', "", 0);
    set_name_member(tar, "a/._1.png");
    set_name_member(tar, "../b/1.png");
    set_name_member(tar, "a/../1.png");
    set_name_member(tar, "top.png");
    set_name_member(tar, "a/notes");
    set_name_member(tar, "a/2.webp");
    set_tar_end(tar);
    data_source *source = set_open(path, &one_class);

    set_lists(source, "0 a/1.png\n");
    ck_assert_uint_eq(data_source_ignored(source), 9);
    ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_FORMAT), 1);
    data_source_close(source);
}
END_TEST

START_TEST(long_names_of_all_dialects_are_read)
{
    char gnu[200] = "gnu/", pax[200] = "pax/", text[600];

    memset(gnu + 4, 'g', 150);
    memset(pax + 4, 'p', 150);
    strncat(gnu, ".png", 8);
    strncat(pax, "\xc3\xa9.png", 8); /* UTF-8 */
    set_member(tar, "././@LongLink", 'L', gnu, strlen(gnu) + 1);
    set_member(tar, "gnu/cut", '0', "GNU", 3);
    pax_record(tar, "path", pax);
    set_member(tar, "pax/cut", '0', "PAX", 3);
    set_header h = set_header_make("name.png", '0', 5); /* ustar: prefix and name */
    snprintf((char *)h.at + 345, 155, "ustar/prefix");
    set_sign(&h);
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "USTAR", 5);
    h = set_header_make("v7/old.png", '\0', 2); /* no magic */
    memset(h.at + 257, 0, 8);
    set_sign(&h);
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "V7", 2);
    set_tar_end(tar);

    data_source *source = set_open(path, NULL);
    snprintf(text, sizeof text, "0 %s\n1 %s\n2 ustar/prefix/name.png\n3 v7/old.png\n", gnu,
             pax);
    set_lists(source, text);
    set_holds(source, 0, "GNU");
    set_holds(source, 1, "PAX");
    set_holds(source, 2, "USTAR");
    set_holds(source, 3, "V7");
    data_source_close(source);
}
END_TEST

START_TEST(sizes_in_base_256_and_pax_are_read)
{
    set_header h = set_header_make("a/1.png", '0', 0);

    memset(h.at + 124, 0, 12);
    h.at[124] = 0x80;
    h.at[135] = 5;
    set_sign(&h);
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "first", 5);
    pax_record(tar, "size", "6");
    h = set_header_make("a/2.png", '0', 0);
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "second", 6);
    set_tar_end(tar);
    data_source *source = set_open(path, &one_class);
    set_holds(source, 0, "first");
    set_holds(source, 1, "second");
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
}
END_TEST

START_TEST(of_members_with_one_name_the_last_counts)
{
    set_member(tar, "a/1.png", '0', "old", 3);
    set_member(tar, "a/0.png", '0', "other", 5);
    set_member(tar, "./a/1.png", '0', "newer", 5);
    set_tar_end(tar);
    data_source *source = set_open(path, &one_class);

    set_lists(source, "0 a/0.png\n0 a/1.png\n");
    set_holds(source, 1, "newer");
    ck_assert_uint_eq(data_source_ignored(source), 1);
    data_source_close(source);
}
END_TEST

START_TEST(an_archive_without_end_blocks_is_accepted_with_a_notice)
{
    set_name_member(tar, "a/1.png");
    ck_assert_int_eq(fclose(tar), 0);
    data_source *source = set_open(path, &one_class);
    set_holds(source, 0, "a/1.png");
    ck_assert_ptr_nonnull(strstr(data_source_notice(source), "without its two blocks"));
    data_source_close(source);

    ck_assert_int_eq(truncate(path, SET_BLOCK + 7), 0); /* the padding is cut too */
    source = set_open(path, &one_class);
    set_holds(source, 0, "a/1.png");
    data_source_close(source);
}
END_TEST

START_TEST(a_sparse_member_is_a_bad_sample)
{
    set_header h = set_header_make("a/1.png", 'S', SET_BLOCK);

    memcpy(h.at + 257, "ustar  ", 8);                 /* GNU */
    snprintf((char *)h.at + 386, 12, "%011o", 1024u); /* one piece at 1024 */
    snprintf((char *)h.at + 398, 12, "%011o", 512u);  /* of 512 bytes */
    snprintf((char *)h.at + 483, 12, "%011o", 1536u); /* of a file of 1536 */
    set_sign(&h);
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "data", 4);
    set_name_member(tar, "a/2.png");
    set_tar_end(tar);
    char name[600];
    data_source *source = set_open(path, &one_class);
    ck_assert_uint_eq(data_source_count(source), 2);
    set_unreadable(source, 0, "unsupported format sparse");
    data_source_name(source, 0, name, sizeof name);
    ck_assert_ptr_nonnull(strstr(name, "x.tar!a/1.png"));
    set_holds(source, 1, "a/2.png");
    data_source_close(source);
}
END_TEST

START_TEST(a_file_cut_after_indexing_is_truncated)
{
    set_name_member(tar, "a/1.png");
    set_name_member(tar, "a/2.png");
    set_tar_end(tar);
    data_source *source = set_open(path, &one_class);

    ck_assert_int_eq(truncate(path, 3 * SET_BLOCK + 3), 0);
    set_holds(source, 0, "a/1.png");
    set_unreadable(source, 1, "truncated");
    data_source_close(source);
}
END_TEST

START_TEST(a_wrong_checksum_is_named_with_its_offset)
{
    set_name_member(tar, "a/1.png"); /* 0 .. 1023 */
    set_header h = set_header_make("a/2.png", '0', 3);
    h.at[0] = 'b';
    set_body(tar, h.at, SET_BLOCK);
    set_body(tar, "two", 3);
    set_tar_end(tar);
    set_refused(path, &one_class, BASE_FORMAT,
                "x.tar': tar header checksum mismatch at offset 1024");

    /* Behind a long name the member's own header is meant, not the record's. */
    tar = fopen(path, "wb");
    set_member(tar, "././@LongLink", 'L', "a/long.png", 11);
    set_body(tar, h.at, SET_BLOCK);
    set_tar_end(tar);
    set_refused(path, &one_class, BASE_FORMAT, "checksum mismatch at offset 1024");
}
END_TEST

START_TEST(what_is_no_tar_is_refused)
{
    fputs("this is a text and no archive at all, however it is called\n", tar);
    fclose(tar);
    set_refused(path, NULL, BASE_FORMAT, "x.tar'");
    test_write(path, "", 0);
    set_refused(path, NULL, BASE_FORMAT, "x.tar' is empty, expected a tar archive");
    char zeros[4096] = {0};
    test_write(path, zeros, sizeof zeros);
    set_refused(path, NULL, BASE_FORMAT, "x.tar' holds no images");
    memset(zeros, 'x', sizeof zeros);
    test_write(path, zeros, sizeof zeros);
    set_refused(path, NULL, BASE_FORMAT, "mismatch at offset 0: not a tar archive");
}
END_TEST

START_TEST(sizes_beyond_the_archive_are_refused)
{
    set_name_member(tar, "a/1.png");
    set_member(tar, "a/2.png", '0', "0123456789", 10);
    ck_assert_int_eq(fclose(tar), 0);
    ck_assert_int_eq(truncate(path, 3 * SET_BLOCK + 4), 0);
    set_refused(path, &one_class, BASE_FORMAT,
                "member a/2.png ends beyond the end of the archive");

    tar = fopen(path, "wb");
    set_header h = set_header_make("a/1.png", '0', 0);
    memset(h.at + 124, 0, 12);
    h.at[124] = 0x80;
    h.at[128] = 0x40; /* 2^62 */
    set_sign(&h);
    set_body(tar, h.at, SET_BLOCK);
    set_tar_end(tar);
    set_refused(path, &one_class, BASE_FORMAT,
                "member size 4611686018427387904 exceeds the archive");
}
END_TEST

START_TEST(a_header_cut_in_two_is_refused)
{
    set_name_member(tar, "a/1.png");
    set_name_member(tar, "a/2.png");
    ck_assert_int_eq(fclose(tar), 0);
    ck_assert_int_eq(truncate(path, 2 * SET_BLOCK + 100), 0);
    set_refused(path, &one_class, BASE_FORMAT, "damaged tar archive at offset 1024");
}
END_TEST

START_TEST(compressed_archives_are_refused_with_advice)
{
    fclose(tar);
    char *packed = base_text("%s.gz", path);
    gzFile gz = gzopen(packed, "wb");
    const set_header h = set_header_make("a/1.png", '0', 0);
    ck_assert_int_eq(gzwrite(gz, h.at, SET_BLOCK), SET_BLOCK);
    gzclose(gz);
    set_refused(packed, NULL, BASE_UNSUPPORTED, "is compressed (gzip)");
    set_refused(packed, NULL, BASE_UNSUPPORTED, "gunzip");
    base_free(packed);
}
END_TEST

START_TEST(archives_that_are_none_in_an_archive_are_refused)
{
    set_name_member(tar, "n01440764.tar");
    set_name_member(tar, "n01443537.tar");
    set_tar_end(tar);
    set_refused(path, NULL, BASE_FORMAT, "tar header checksum mismatch at offset 512");
    char *spec = base_text("tar:%s", path);
    set_refused(spec, NULL, BASE_UNSUPPORTED, "holds 2 archives and no images");
    base_free(spec);
}
END_TEST

START_TEST(one_class_in_a_tar_is_refused_unless_allowed)
{
    set_name_member(tar, "a/1.png");
    set_tar_end(tar);
    set_refused(path, NULL, BASE_FORMAT, "has one class only ('a')");
}
END_TEST

/* ---- to the byte --------------------------------------------------------------------- */

/* Opens the archive: status and the whole message, behind its path. */
static void check_message(base_status status, const char *text)
{
    data_source *source = NULL;
    base_error err = {0};
    char *want = base_text("'%s'%s", path, text);

    ck_assert_int_eq(data_source_open(&source, path, &one_class, &err), status);
    if (status != BASE_OK)
        ck_assert_str_eq(err.text, want);
    data_source_close(source);
    base_free(want);
}

/* The archive of two members, the second of 10 bytes, cut at every place. */
START_TEST(a_cut_archive_is_read_as_far_as_its_members_are_whole)
{
    set_name_member(tar, "a/1.png"); /* 0 .. 1023 */
    set_member(tar, "a/2.png", '0', "0123456789", 10);
    set_tar_end(tar);
    char *whole = NULL;
    size_t all = 0;
    ck_assert_int_eq(base_file_read(&whole, &all, path, 1 << 20, NULL), BASE_OK);
    for (size_t bytes = 2048; bytes > 1024;
         bytes -= bytes > 1600 || bytes < 1500 ? 97 : 1) {
        char text[200];
        test_write(path, whole, bytes);
        snprintf(
            text, sizeof text,
            ": member a/2.png ends beyond the end of the archive (10 bytes from offset "
            "1536 of %ld)",
            (long)bytes);
        if (bytes >= 1546)
            check_message(BASE_OK, "");
        else if (bytes >= 1536)
            check_message(BASE_FORMAT, text);
        else
            set_refused(path, &one_class, BASE_FORMAT,
                        "damaged tar archive at offset 1024");
    }
    test_write(path, whole, 1546);
    base_free(whole);
    data_source *source = set_open(path, &one_class);
    set_holds(source, 1, "0123456789");
    ck_assert_str_eq(data_source_notice(source),
                     "the archive ends without its two blocks of zeros");
    data_source_close(source);
}
END_TEST

/* A header that is refused for another reason than its sum, which may have six digits,
 * blanks in front, or all eight places; there the kind of the member, a digit too, is
 * next. */
START_TEST(a_right_sum_is_not_blamed)
{
    for (int way = 0; way < 3; way++) {
        set_header h =
            set_header_make("././@LongLink", 'L', 64 << 20); /* no name is so long */
        FILE *file = fopen(path, "wb");
        char *want = base_text("'%s': damaged tar archive at offset 0: ", path);
        data_source *source = NULL;
        base_error err = {0};
        if (way == 1) {
            memset(h.at, 0xff, 100);
            memset(h.at + 345, 0xff, 155);
        }
        if (way == 2) {
            h = set_header_make("a/1.png", '7', 0);
            memset(h.at + 124, 0xff, 12); /* a size below nothing */
        }
        for (set_sign(&h); !memchr(h.at + 148, '7', 6); set_sign(&h))
            h.at[500]++; /* every digit is one */
        ck_assert_int_eq(h.at[148], way == 1 ? '2' : '0');
        if (way == 2) { /* to the right end */
            memmove(h.at + 150, h.at + 148, 6);
            h.at[148] = h.at[149] = '0';
        }
        for (size_t i = 148; h.at[i] == '0'; i++)
            h.at[i] = ' ';
        set_body(file, h.at, SET_BLOCK);
        set_body(file, "name", 4);
        set_tar_end(file);
        ck_assert_int_eq(data_source_open(&source, path, &one_class, &err), BASE_FORMAT);
        ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "%s", err.text);
        base_free(want);
    }
    fclose(tar);
}
END_TEST

/* 2^48 bytes are no file's size; below, the archive was cut. */
START_TEST(absurd_sizes_are_told_apart_from_cuts)
{
    for (int less = 0; less < 2; less++) {
        set_header h = set_header_make("a/1.png", '0', 0);
        FILE *file = fopen(path, "wb");
        memset(h.at + 124, less ? 0xff : 0, 12);
        h.at[124] = 0x80;
        memset(h.at + 125, 0, 4);
        h.at[129] = less ? 0 : 1; /* 2^48, or one less */
        set_sign(&h);
        set_body(file, h.at, SET_BLOCK);
        set_tar_end(file);
        check_message(BASE_FORMAT,
                      less
                          ? ": member a/1.png ends beyond the end of the archive "
                            "(281474976710655 bytes from offset 512 of 1536)"
                          : ": member size 281474976710656 exceeds the archive (a/1.png at "
                            "offset 512)");
    }
    fclose(tar);
}
END_TEST

START_TEST(kinds_of_compression_are_told_by_their_first_bytes)
{
    static const struct {
        const char *first, *name, *undo; /* NULL: none */
    } kinds[] = {
        {"\x1f\x8b\x08.....", "gzip", "gunzip"},
        {"BZh91AY.", "bzip2", "bunzip2"},
        {"\xfd"
         "7zXZ...",
         "xz", "unxz"},
        {"\x28\xb5\x2f\xfd....", "zstd", "unzstd"},
        {"PK\3\4....", "zip", "unzip"},
        {"\x1f\x8c......", NULL, NULL},
        {"BZ.91AY.", NULL, NULL},
        {"\xfd"
         "7zXY...",
         NULL, NULL},
        {"\x28\xb5\x2f\xfe....", NULL, NULL},
        {"PK\3\5....", NULL, NULL},
        {"\x1f\x8b", NULL, NULL}, /* too short to be any */
    };

    fclose(tar);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        base_error err = {0};
        test_write(path, kinds[i].first, strlen(kinds[i].first));
        const int fd = open(path, O_RDONLY);
        const base_status status = data_tar_refuse_compressed(fd, "x", &err);
        close(fd);
        ck_assert_int_eq(status, kinds[i].name ? BASE_UNSUPPORTED : BASE_OK);
        if (!kinds[i].name)
            continue;
        char *want = base_text("'x' is compressed (%s) and so has no random access: "
                               "decompress it first, with %s",
                               kinds[i].name, kinds[i].undo);
        ck_assert_str_eq(err.text, want);
        base_free(want);
    }
}
END_TEST

START_TEST(a_tar_is_known_by_its_name_or_its_magic)
{
    static const char *const names[] = {"a.tar",     "a.TGZ",    "a.tar.gz",
                                        "a.tar.bz2", "a.tar.xz", "a.tar.zst"};
    char bytes[300] = {0};

    fclose(tar);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *name = test_path(root, names[i]);
        test_write(name, "x", 1);
        ck_assert_msg(data_tar_looks(name), "%s", name);
        base_free(name);
    }
    char *plain = test_path(root, "plain");
    memcpy(bytes + 257, "ustar", 5);
    for (size_t size = 261; size <= 262; size++) {
        test_write(plain, bytes, size);
        ck_assert(data_tar_looks(plain) == (size == 262));
    }
    bytes[261] = 'R';
    test_write(plain, bytes, sizeof bytes);
    ck_assert(!data_tar_looks(plain));
    ck_assert(!data_tar_looks(root));
    ck_assert(!data_tar_looks("/nowhere.tar"));
    base_free(plain);
}
END_TEST

/* What a member becomes in the index. */
START_TEST(records_of_members_say_where_they_lie)
{
    data_member m = {.header = 1024, .at = 2048, .size = 7};
    data_record r = data_member_record(&m, 3, -1);

    ck_assert(r.offset == 2048 && r.size == 7 && r.container == 3 && r.label == -1);
    ck_assert_uint_eq(r.name, 1024);
    m.size = DATA_SIZE_MOST;
    ck_assert(
        data_record_readable(&(data_record){.size = data_member_record(&m, 0, 0).size}));
    m.size++;
    ck_assert_uint_eq(data_member_record(&m, 0, 0).size, data_size_unreadable(DATA_LARGE));
    m.sparse = true;
    ck_assert_uint_eq(data_member_record(&m, 0, 0).size, data_size_unreadable(DATA_SPARSE));
    m = (data_member){.header = 5 * 512 + 2048, .at = 2048, .size = 1}; /* a link's */
    r = data_member_record(&m, 0, 0);
    ck_assert_uint_eq(r.name, DATA_NAME_AFTER | 5);
    m = (data_member){.header = 99, .size = 4, .zip = true};
    r = data_member_record(&m, 0, 0);
    ck_assert(r.offset == 99 && r.name == DATA_NAME_ZIP && r.size == 4);
    fclose(tar);
}
END_TEST

/* Links to links, up to sixteen of them, in any order; of two files of one name the
 * last. */
START_TEST(links_lead_as_far_as_sixteen_steps)
{
    static const size_t steps[] = {1, 16, 17};

    fclose(tar);
    for (size_t i = 0; i < 3; i++) {
        FILE *file = fopen(path, "wb");
        char name[32], target[32];
        for (size_t k = 0; k <= steps[i]; k++) {
            snprintf(name, sizeof name, "a/%02zu.png", k);
            snprintf(target, sizeof target, "a/%02zu.png", k + 1);
            set_header h = set_header_make(name, '1', 0);
            snprintf((char *)h.at + 157, 100, "%s", target);
            set_sign(&h);
            set_body(file, h.at, SET_BLOCK);
        }
        set_member(file, target, '0', "first", 5);
        set_member(file, target, '0', "second", 6);
        set_tar_end(file);
        data_source *source = set_open(path, &one_class);
        /* the link next to the file leads there in one step, the first in all of them */
        ck_assert_uint_eq(data_source_count(source), steps[i] < 17 ? steps[i] + 2 : 18);
        set_holds(source, 0, "second");
        ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_LINK),
                          steps[i] < 17 ? 0 : 1);
        ck_assert_uint_eq(data_source_ignored_for(source, DATA_IGNORED_AGAIN), 1);
        data_source_close(source);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_tar");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, a_tar_and_a_folder_number_their_samples_alike);
    tcase_add_test(core, an_archive_in_order_needs_no_names_for_other_labels);
    tcase_add_test(core, leading_dots_and_directories_are_no_samples);
    tcase_add_test(core, links_hidden_and_climbing_names_are_ignored_and_counted);
    tcase_add_test(core, long_names_of_all_dialects_are_read);
    tcase_add_test(core, sizes_in_base_256_and_pax_are_read);
    tcase_add_test(core, of_members_with_one_name_the_last_counts);
    tcase_add_test(core, an_archive_without_end_blocks_is_accepted_with_a_notice);
    tcase_add_test(core, a_sparse_member_is_a_bad_sample);
    tcase_add_test(core, a_file_cut_after_indexing_is_truncated);
    tcase_add_test(limits, a_wrong_checksum_is_named_with_its_offset);
    tcase_add_test(limits, what_is_no_tar_is_refused);
    tcase_add_test(limits, sizes_beyond_the_archive_are_refused);
    tcase_add_test(limits, a_header_cut_in_two_is_refused);
    tcase_add_test(limits, compressed_archives_are_refused_with_advice);
    tcase_add_test(limits, archives_that_are_none_in_an_archive_are_refused);
    tcase_add_test(limits, one_class_in_a_tar_is_refused_unless_allowed);
    tcase_add_test(core, kinds_of_compression_are_told_by_their_first_bytes);
    tcase_add_test(core, a_tar_is_known_by_its_name_or_its_magic);
    tcase_add_test(core, records_of_members_say_where_they_lie);
    tcase_add_test(core, links_lead_as_far_as_sixteen_steps);
    tcase_add_test(limits, a_cut_archive_is_read_as_far_as_its_members_are_whole);
    tcase_add_test(limits, absurd_sizes_are_told_apart_from_cuts);
    tcase_add_test(limits, a_right_sum_is_not_blamed);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
