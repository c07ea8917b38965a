/* test_corrupt_words.c - corruptions and severities as people write them, and the crew of
 * workers that is tried out before the work. */
#include <string.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* "3-6c": the kinds as ranges, c: clean. */
static const char *kinds_text(char out[128], const bool *kinds, bool clean)
{
    size_t used = 0;

    out[0] = 0;
    for (int i = 0; i < CORRUPT_KIND_COUNT; i++) {
        int last = i;
        if (!kinds[i])
            continue;
        while (last + 1 < CORRUPT_KIND_COUNT && kinds[last + 1])
            last++;
        used +=
            (size_t)snprintf(out + used, 128 - used, "%s%d-%d", used ? " " : "", i, last);
        i = last;
    }
    snprintf(out + used, 128 - used, "%s", clean ? "c" : "");
    return out;
}

START_TEST(kinds_are_named_alone_in_groups_and_lists)
{
    static const struct {
        const char *list, *want;
    } cases[] = {{"fog", "9-9"},
                 {"gaussian_noise", "0-0"},
                 {"saturate", "18-18"},
                 {"noise", "0-2"},
                 {"blur", "3-6"},
                 {"weather", "7-10"},
                 {"digital", "11-14"},
                 {"extra", "15-18"},
                 {"bench", "0-14"},
                 {"all", "0-18"},
                 {"clean", "c"},
                 {"fog,clean", "9-9c"},
                 {"clean, snow,  frost", "7-8c"},
                 {"noise digital", "0-2 11-14"},
                 {"extra,jpeg_compression", "14-18"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool kinds[CORRUPT_KIND_COUNT] = {false}, clean = false;
        base_error err = {0};
        char found[128];
        ck_assert_msg(corrupt_kinds_add(kinds, &clean, cases[i].list, &err) == BASE_OK,
                      "%s", err.text);
        ck_assert_str_eq(kinds_text(found, kinds, clean), cases[i].want);
    }
}
END_TEST

START_TEST(kinds_are_added_to_those_there_are)
{
    bool kinds[CORRUPT_KIND_COUNT] = {[9] = true}, clean = true;
    char found[128];

    ck_assert_int_eq(corrupt_kinds_add(kinds, &clean, "snow", NULL), BASE_OK);
    ck_assert_str_eq(kinds_text(found, kinds, clean), "7-7 9-9c");
}
END_TEST

START_TEST(severities_are_digits_and_ranges)
{
    static const struct {
        const char *list, *want;
    } cases[] = {{"1", "1"},   {"5", "5"},       {"1-3", "123"},  {"1,5", "15"},
                 {"3-3", "3"}, {"4-5 1", "145"}, {"1-5", "12345"}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool severities[CORRUPT_SEVERITY_MAX + 1] = {false};
        char found[8] = "";
        ck_assert_int_eq(corrupt_severities_add(severities, cases[i].list, NULL), BASE_OK);
        for (size_t s = 0, used = 0; s <= CORRUPT_SEVERITY_MAX; s++)
            if (severities[s])
                found[used++] = (char)('0' + s);
        ck_assert_str_eq(found, cases[i].want);
    }
}
END_TEST

#define SEVERITY_TEXT " is not a whole number from 1 to 5 or a range as 1-3"
#define KIND_TEXT                                                                          \
    ", expected a name as fog, a group (noise, blur, weather, digital, extra), bench, "    \
    "all or clean"

START_TEST(other_words_are_refused)
{
    static const struct {
        const char *list, *kind, *severity;
    } cases[] = {
        {"frog", "unknown corruption 'frog', did you mean 'fog'" KIND_TEXT, NULL},
        {"fog,zzzzzzzzzzzz", "unknown corruption 'zzzzzzzzzzzz'" KIND_TEXT, NULL},
        {"", "corruption '' has an empty word", "severity '' has an empty word"},
        {"fog,", "corruption 'fog,' has an empty word", NULL},
        {"3,", NULL, "severity '3,' has an empty word"},
        {",3", "corruption ',3' has an empty word", "severity ',3' has an empty word"},
        {"0", NULL, "severity '0'" SEVERITY_TEXT},
        {"6", NULL, "severity '6'" SEVERITY_TEXT},
        {"1,7", NULL, "severity '7'" SEVERITY_TEXT},
        {"3-1", NULL, "severity '3-1'" SEVERITY_TEXT},
        {"1-6", NULL, "severity '1-6'" SEVERITY_TEXT},
        {"1+3", NULL, "severity '1+3'" SEVERITY_TEXT},
        {"12", NULL, "severity '12'" SEVERITY_TEXT},
        {"1-33", NULL, "severity '1-33'" SEVERITY_TEXT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool kinds[CORRUPT_KIND_COUNT] = {false}, clean = false;
        bool severities[CORRUPT_SEVERITY_MAX + 1] = {false};
        base_error err = {0};
        if (cases[i].kind) {
            ck_assert_int_eq(corrupt_kinds_add(kinds, &clean, cases[i].list, &err),
                             BASE_USAGE);
            ck_assert_str_eq(err.text, cases[i].kind);
        }
        if (cases[i].severity) {
            ck_assert_int_eq(corrupt_severities_add(severities, cases[i].list, &err),
                             BASE_USAGE);
            ck_assert_str_eq(err.text, cases[i].severity);
        }
    }
}
END_TEST

/* ---- the crew ------------------------------------------------------------------------ */

START_TEST(a_crew_has_its_workers_and_their_preset)
{
    corrupt_config config = corrupt_config_defaults();
    corrupt_crew crew = {0};

    config.preset = CORRUPT_PRESET_64;
    ck_assert_int_eq(corrupt_crew_open(&crew, &config, 3, NULL), BASE_OK);
    ck_assert_uint_eq(crew.count, 3);
    ck_assert_int_eq(crew.preset, CORRUPT_PRESET_64);
    ck_assert_uint_eq(crew.frost_key, 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_ptr_nonnull(crew.worker[i]);
        ck_assert(i == 0 || crew.worker[i] != crew.worker[i - 1]);
    }
    corrupt_crew_close(&crew);
    ck_assert_uint_eq(crew.count, 0);
    ck_assert_ptr_null(crew.set);
    corrupt_crew_close(&crew);
    config.preset = CORRUPT_PRESET_COUNT;
    ck_assert_int_eq(corrupt_crew_open(&crew, &config, 1, NULL), BASE_USAGE);
    ck_assert_ptr_null(crew.set);
}
END_TEST

/* Any byte of any photograph, and its sides, change the key; where the bytes end too. */
START_TEST(photographs_have_a_key)
{
    unsigned char pixels[6 * 3] = {0};
    corrupt_config config = corrupt_config_defaults();
    uint64_t found[24];
    size_t count = 0;
    corrupt_crew crew = {0};

    for (int what = 0; what < 22; what++) {
        for (int i = 0; i < CORRUPT_FROST_COUNT; i++)
            config.frost[i] = (corrupt_texture){pixels, 2, 3};
        unsigned char other[sizeof pixels] = {0};
        if (what < 18)
            other[what] = 1, config.frost[what % CORRUPT_FROST_COUNT].pixels = other;
        else if (what == 18)
            config.frost[4] = (corrupt_texture){pixels, 3, 2};
        else if (what == 19)
            config.frost[0] = (corrupt_texture){pixels, 1, 3};
        else if (what == 20)
            config.frost[0] = (corrupt_texture){pixels, 2, 2};
        ck_assert_int_eq(corrupt_crew_open(&crew, &config, 1, NULL), BASE_OK);
        found[count++] = crew.frost_key;
        corrupt_crew_close(&crew);
    }
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_ne(found[i], 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(found[i] != found[j], "%zu and %zu have one key", i, j);
    }
    /* for ever: resumed runs compare it */
    ck_assert_uint_eq(found[21], UINT64_C(15635260857678582689));
}
END_TEST

START_TEST(a_crew_tries_every_pair)
{
    const corrupt_config config = corrupt_config_defaults();
    const corrupt_pair pairs[] = {
        {CORRUPT_KIND_FOG, 1}, {CORRUPT_KIND_ELASTIC_TRANSFORM, 5}, {CORRUPT_KIND_FOG, 6}};
    corrupt_crew crew = {0};
    base_error err = {0};

    ck_assert_int_eq(corrupt_crew_open(&crew, &config, 1, NULL), BASE_OK);
    ck_assert_int_eq(corrupt_crew_check(&crew, pairs, 2, 3, &err), BASE_OK);
    ck_assert_int_eq(corrupt_crew_check(&crew, pairs, 1, 2, &err), BASE_OK);
    ck_assert_int_eq(corrupt_crew_check(&crew, pairs, 2, 2, &err), BASE_UNSUPPORTED);
    ck_assert_str_eq(err.text, "elastic_transform of an image of 2 x 2, expected at least "
                               "3 pixels a side");
    ck_assert_int_eq(corrupt_crew_check(&crew, pairs, 3, 3, &err), BASE_USAGE);
    ck_assert_str_eq(err.text, "severity 6, expected 1 to 5");
    corrupt_crew_close(&crew);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt words");
    TCase *core = test_case("Core");
    tcase_add_test(core, kinds_are_named_alone_in_groups_and_lists);
    tcase_add_test(core, kinds_are_added_to_those_there_are);
    tcase_add_test(core, severities_are_digits_and_ranges);
    tcase_add_test(core, a_crew_has_its_workers_and_their_preset);
    tcase_add_test(core, photographs_have_a_key);
    suite_add_tcase(suite, core);
    TCase *limits = test_case("Limits");
    tcase_add_test(limits, other_words_are_refused);
    tcase_add_test(limits, a_crew_tries_every_pair);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
