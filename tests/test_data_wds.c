/* test_data_wds.c - WebDataset: which files a path with braces means, what a shard is, the
 * labels of its samples rule by rule; names of members. */
#include "data/data_internal.h"
#include "data/sources/archives_internal.h"
#include "data/sources/wds_internal.h"

#include "tests/test_layouts.h"

static const data_source_options one = {.allow_single_class = true};

static bool is_shard(const char *name)
{
    return data_ends_in(name, ".s");
}

/* The shards of a spec, between blanks and without the root: base_free. */
static char *shards(const char *spec, base_error *err)
{
    wds_list list = {0};
    char *whole = base_text("%s/%s", root, spec), *out = base_alloc(4096, 1);
    size_t used = 0;

    *err = (base_error){0};
    const base_status status = data_wds_list_shards(&list, whole, is_shard, "files", err);
    ck_assert_int_eq(status == BASE_OK, err->text[0] == '\0');
    for (size_t i = 0; i < list.count && status == BASE_OK; i++)
        used += (size_t)snprintf(out + used, 4096 - used, "%s%s", used ? " " : "",
                                 list.path[i] + strlen(root) + 1);
    data_wds_list_free(&list);
    base_free(whole);
    return out;
}

START_TEST(braces_and_globs_mean_files)
{
    static const struct {
        const char *spec, *want;
    } cases[] = {
        {"x", "x"},
        {"x-{0..3}", "x-0 x-1 x-2 x-3"},
        {"x-{08..11}y", "x-08y x-09y x-10y x-11y"},
        {"x-{0..0}", "x-0"},
        {"x-{9..10}", "x-10 x-9"}, /* bytewise */
        {"x-{000..002}.s", "x-000.s x-001.s x-002.s"},
        {"{b,a}{0..1}", "a0 a1 b0 b1"},
        {"{a,b,a}", "a b"},
        {"{a,}x", "ax x"},
        {"x-{a", "x-{a"},
        {"*.s", "a.s b.s"},
        {"?.s", "a.s b.s"},
        {"[b-z].s", "b.s"},
        {"{a,b}.*", "a.s b.s b.t"},
        {"d", "d/a.s d/b.s"},
        {"{0..1}{0..1}{0..0}{0..0}{0..0}{0..0}{0..0}{0..0}",
         "00000000 01000000 10000000 11000000"},
    };
    static const struct {
        const char *spec, *want; /* ~: the root */
    } bad[] = {
        {"x-{3..0}", "'{3..0}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{a..b}", "'{a..b}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{0..}", "'{0..}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{..1}", "'{..1}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{0.1}", "'{0.1}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{}", "'{}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"x-{0..1048576}",
         "'{0..1048576}' is no range of shards, expected {0000..1023} or {a,b}"},
        {"*.none", "no file matches '~/*.none'"},
        {"{0..0}{0..0}{0..0}{0..0}{0..0}{0..0}{0..0}{0..0}{0..0}",
         "more than 8 groups of braces in '~/00000000{0..0}'"},
        {"e", "'~/e' holds no files"},
    };
    base_error err;

    set_text("a.s", "");
    set_text("b.s", "");
    set_text("b.t", "");
    set_text("d/b.s", "");
    set_text("d/a.s", "");
    set_text("d/c.t", "");
    set_text("d/.h.s", "");
    set_folder(root, "e");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = shards(cases[i].spec, &err);
        ck_assert_msg(strcmp(found, cases[i].want) == 0, "'%s': '%s' %s", cases[i].spec,
                      found, err.text);
        base_free(found);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *found = shards(bad[i].spec, &err);
        const char *tilde = strchr(bad[i].want, '~');
        char *want = tilde ? base_text("%.*s%s%s", (int)(tilde - bad[i].want), bad[i].want,
                                       root, tilde + 1)
                           : base_text("%s", bad[i].want);
        ck_assert_str_eq(err.text, want);
        base_free(want);
        base_free(found);
    }
}
END_TEST

/* What belongs together lies side by side among the first 64 members. */
START_TEST(shards_are_known_by_companions)
{
    static const struct {
        const char *members; /* names between blanks */
        size_t before;       /* other members in front */
        int fits;
    } cases[] = {
        {"1.jpg 1.cls", 0, 2},       {"1.cls 1.png", 0, 2},     {"1.json 1.jpeg", 0, 2},
        {"1.jpg 2.cls", 0, 0},       {"1.jpg 1.txt", 0, 0},     {"1.jpg 2.jpg 1.cls", 0, 0},
        {"a/1.jpg b/1.cls", 0, 0},   {"1.x.jpg 1.x.cls", 0, 2}, {"1.JPG 1.CLS", 0, 2},
        {"1.jpg 1.txt 1.cls", 0, 2}, {"1.jpg 1.cls", 62, 2},    {"1.jpg 1.cls", 63, 0},
        {"1.gif 1.cls", 0, 0},       {"cls jpg", 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path, copy[100];
        FILE *tar = set_tar_open(&path, root, "x.tar");
        for (size_t k = 0; k < cases[i].before; k++)
            set_name_member(tar, "notes");
        snprintf(copy, sizeof copy, "%s", cases[i].members);
        for (char *at = copy, *blank; at; at = blank) {
            blank = strchr(at, ' ');
            if (blank)
                *blank++ = '\0';
            set_name_member(tar, at);
        }
        set_tar_end(tar);
        ck_assert_msg(data_wds_fits(path) == cases[i].fits, "'%s' behind %zu",
                      cases[i].members, cases[i].before);
        base_free(path);
    }
    char *none = test_path(root, "none"), *braces = test_path(root, "none-{0..1}.tar");
    ck_assert_int_eq(data_wds_fits(none), 0);
    ck_assert_int_eq(data_wds_fits(braces), 1);
    ck_assert_int_eq(data_wds_fits(root), 0); /* the last of them */
    base_free(none);
    base_free(braces);
}
END_TEST

/* ---- labels -------------------------------------------------------------------------- */

START_TEST(labels_of_samples_follow_their_rules)
{
    static const struct {
        const char *part,
            *values; /* of samples 0, 1, ..., between '|'; "-": no such part */
        const char *want;
    } cases[] = {
        {"cls", "0|1|-|1", "0 1 x(no label part) 1"},
        {"cls", "65535|0", "65535 0"},
        {"cls", "65536|0", "x(label out of range 65536) 0"},
        {"cls", "99999999999|0", "x(label out of range 1073741821 or more) 0"},
        {"cls", "-3|0", "x(label out of range -3) 0"},
        {"cls", "2.5|0", "x(label out of range: no whole number) 0"},
        {"cls", " 7\r\n|\t0", "7 0"},
        {"cls", "3.0|0.", "3 0"},
        {"cls", " |0", "x(no label part) 0"},
        {"cls", "cat|ant|cat|-", "1 0 1 x(no label part)"},
        {"CLS", "4|0", "4 0"},
        {"json", "{\"label\": 4}|{\"cls\": 0}|{\"class_id\": 2}", "4 0 2"},
        {"json", "{\"cls\": 5, \"label\": 4}|{\"label\": 0}", "4 0"},
        {"json", "{\"label\": 4.0}|{\"label\": 0}", "4 0"},
        {"json", "{\"label\": 4.5}|{\"label\": 0}",
         "x(label out of range: no whole number) 0"},
        {"json", "{\"label\": -1}|{\"label\": 0}", "x(label out of range -1) 0"},
        {"json", "{\"label\": 65536}|{\"label\": 0}", "x(label out of range 65536) 0"},
        {"json", "{\"label\": 65536.0}|{\"label\": 0}", "x(label out of range 65536) 0"},
        {"json", "{\"label\": \"4\"}|{\"label\": 0}", "4 0"},
        {"json", "{\"label\": [4]}|{\"label\": 0}", "x(no label part) 0"},
        {"json", "{\"label\": 4|{\"label\": 0}", "x(no label part) 0"},
        {"json", "{\"label\": true}|{\"label\": 0}", "x(no label part) 0"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path, copy[300], name[32], found[300] = "";
        FILE *tar = set_tar_open(&path, root, "x.tar");
        size_t number = 0, used = 0;
        snprintf(copy, sizeof copy, "%s", cases[i].values);
        for (char *at = copy, *bar; at; at = bar, number++) {
            bar = strchr(at, '|');
            if (bar)
                *bar++ = '\0';
            snprintf(name, sizeof name, "%zu.jpg", number);
            set_name_member(tar, name);
            snprintf(name, sizeof name, "%zu.%s", number, cases[i].part);
            if (strcmp(at, "-") != 0)
                set_member(tar, name, '0', at, strlen(at));
        }
        set_tar_end(tar);
        data_source *source = set_open(path, &one);
        ck_assert_str_eq(data_source_layout(source), "wds");
        for (size_t k = 0; k < data_source_count(source); k++) {
            unsigned char *bytes = NULL;
            size_t room = 0, size = 0;
            base_error err = {0};
            const bool good =
                data_source_read(source, k, &bytes, &room, &size, &err) == BASE_OK;
            used += (size_t)(good ? snprintf(found + used, sizeof found - used, "%s%d",
                                             k ? " " : "", data_source_label(source, k))
                                  : snprintf(found + used, sizeof found - used, "%sx(%s)",
                                             k ? " " : "", err.text));
            base_free(bytes);
        }
        ck_assert_msg(strcmp(found, cases[i].want) == 0, "case %zu: %s", i, found);
        data_source_close(source);
        base_free(path);
    }
}
END_TEST

START_TEST(the_best_image_of_a_sample_is_taken)
{
    static const struct {
        const char *parts, *best; /* NULL: none */
    } cases[] = {{"png jpeg jpg", "jpg"}, {"jpg jpeg", "jpg"}, {"png jpeg", "jpeg"},
                 {"png txt", "png"},      {"PNG jpe", "jpe"},  {"jfif png", "jfif"},
                 {"txt json", NULL},      {"x.jpg txt", NULL}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path, copy[64], name[96];
        FILE *tar = set_tar_open(&path, root, "x.tar");
        snprintf(copy, sizeof copy, "%s", cases[i].parts);
        for (char *at = copy, *blank; at; at = blank) {
            blank = strchr(at, ' ');
            if (blank)
                *blank++ = '\0';
            snprintf(name, sizeof name, "k.%s", at);
            set_name_member(tar, name);
        }
        set_member(tar, "k.cls", '0', "1", 1);
        set_name_member(tar, "l.jpg");
        set_member(tar, "l.cls", '0', "0", 1);
        set_tar_end(tar);
        data_source *source = set_open(path, NULL);
        ck_assert_uint_eq(data_source_count(source), 2);
        if (cases[i].best) {
            snprintf(name, sizeof name, "k.%s", cases[i].best);
            set_holds(source, 0, name);
        } else {
            set_unreadable(source, 0, "no image part");
        }
        set_holds(source, 1, "l.jpg");
        data_source_close(source);
        base_free(path);
    }
}
END_TEST

/* ---- names of members ---------------------------------------------------------------- */

START_TEST(names_of_members_are_made_plain_or_left_out)
{
    static const struct {
        const char *from, *to; /* NULL: left out */
    } names[] = {
        {"a/b.png", "a/b.png"},
        {"./a/b", "a/b"},
        {"a//b", "a/b"},
        {"/a/b", "a/b"},
        {"a/./b", "a/b"},
        {"./", ""},
        {"", ""},
        {"a/", "a/"},
        {".//./a/.//b/", "a/b/"},
        {"..", NULL},
        {"../a", NULL},
        {"a/../b", NULL},
        {".a", NULL},
        {"a/.b", NULL},
        {"a/.b/c", NULL},
        {"a.b", "a.b"},
        {"__MACOSX/a", NULL},
        {"a/@eadir/b", NULL},
        {"a/b..", "a/b.."},
    };
    char out[DATA_NAME_MAX + 2], longest[DATA_NAME_MAX + 2];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const bool good = data_member_name(out, names[i].from);
        ck_assert_msg(good == (names[i].to != NULL), "'%s'", names[i].from);
        ck_assert_msg(!good || strcmp(out, names[i].to) == 0, "'%s': '%s'", names[i].from,
                      out);
    }
    ck_assert(!data_member_name(out, NULL));
    memset(longest, 'n', sizeof longest);
    longest[DATA_NAME_MAX] = '\0';
    ck_assert(!data_member_name(out, longest));
    longest[DATA_NAME_MAX - 1] = '\0';
    ck_assert(data_member_name(out, longest));
    ck_assert_str_eq(out, longest);
    longest[1] = '/';
    ck_assert(data_member_name(out, longest));
    ck_assert(data_ends_in("a.TAR", ".tar") && data_ends_in(".tar", ".tar"));
    ck_assert(!data_ends_in("tar", ".tar") && !data_ends_in("a.tarx", ".tar"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data wds");
    TCase *core = test_case("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, braces_and_globs_mean_files);
    tcase_add_test(core, shards_are_known_by_companions);
    tcase_add_test(core, labels_of_samples_follow_their_rules);
    tcase_add_test(core, the_best_image_of_a_sample_is_taken);
    tcase_add_test(core, names_of_members_are_made_plain_or_left_out);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
