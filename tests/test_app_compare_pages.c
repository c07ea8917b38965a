/* test_app_compare_pages.c - what table, page and CSV files of vmoe compare say of results
 * that are known. */
#include "tests/test_compare_document.h"
#include "tests/test_run.h"
#include "tests/test_words.h"

static show_document *shown_make(void)
{
    document_make();
    return show_document_create(json_incref(json));
}

START_TEST(table_and_page_say_the_same)
{
    show_document *document = shown_make();
    char *path = test_path(dir, "page.html"), *page = NULL;
    size_t bytes = 0;
    char *out = NULL;
    FILE *file = open_memstream(&out, &bytes);

    ck_assert_int_eq(show_print_terminal(file, document, &app_compare_view, NULL), BASE_OK);
    ck_assert_int_eq(fclose(file), 0);
    char *table_text = words_document("compare.table");
    words_are(out, table_text);
    base_free(table_text);
    free(out);
    ck_assert_int_eq(show_page_write(document, &app_compare_view, path, NULL), BASE_OK);
    ck_assert_int_eq(base_file_read(&page, &bytes, path, 1 << 24, NULL), BASE_OK);
    char *words = words_of(page);
    char *page_text = words_document("compare.page");
    words_are(words, page_text);
    base_free(page_text);
    base_free(words);
    base_free(page);
    base_free(path);
    show_document_destroy(document);
}
END_TEST

/* The next field of a line without quotes, up to , or its end; *at moves behind it. */
static char *field_next(const char **at)
{
    char *field = base_text("%.*s", (int)strcspn(*at, ",\n"), *at);

    *at += strlen(field);
    *at += **at != '\0';
    return field;
}

static void field_is(const char **at, const char *want)
{
    char *field = field_next(at);

    ck_assert_str_eq(field, want);
    base_free(field);
}

static void field_near(const char **at, const char *key, double want)
{
    char *field = field_next(at);
    double value = (double)NAN;

    ck_assert_msg(base_parse_real(&value, field) &&
                      fabs(value - want) <= 1e-8 * (1 + fabs(want)),
                  "%s is '%s', expected %.12g", key, field, want);
    base_free(field);
}

static char *csv_of(const show_document *document, const char *block)
{
    char *path = test_path(dir, "out.csv"), *text = NULL;
    size_t bytes = 0;

    ck_assert_int_eq(show_csv_write(document, &app_compare_view, block, path, NULL),
                     BASE_OK);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 24, NULL), BASE_OK);
    base_free(path);
    return text;
}

static const char *const routers[] = {"ssr", "softmax", "similarity"},
                         *const settings[] = {"p=0.25 optimizer.lr=1", "", ""};

/* runs.csv in the order of the plan. */
START_TEST(each_training_is_a_row_of_the_runs)
{
    static const char *const first[] = {"label", "router", "settings", "seed", "status"};
    show_document *document = shown_make();
    char *text = csv_of(document, "entries[].runs[]");
    const char *at = text;

    for (size_t i = 0; i < 5; i++)
        field_is(&at, first[i]);
    for (size_t f = 0; f < FIGURES; f++)
        field_is(&at, figures[f].key);
    field_is(&at, "reason");
    for (size_t r = 0; r < RUNS; r++) {
        field_is(&at, labels[r / SEEDS]);
        field_is(&at, routers[r / SEEDS]);
        field_is(&at, settings[r / SEEDS]);
        field_near(&at, "seed", (double)(r % SEEDS + 1));
        field_is(&at, "finished");
        for (size_t f = 0; f < FIGURES; f++)
            field_near(&at, figures[f].key, expected_of(figures[f].key, r));
        field_is(&at, "");
    }
    ck_assert_str_eq(at, "");
    base_free(text);
    show_document_destroy(document);
}
END_TEST

START_TEST(each_router_is_a_row_of_the_summary)
{
    static const char *const first[] = {"label", "router", "settings", "seeds"},
                             *const ends[] = {"mean", "std"};
    show_document *document = shown_make();
    char *text = csv_of(document, "entries[]");
    const char *at = text;

    for (size_t i = 0; i < 4; i++)
        field_is(&at, first[i]);
    for (size_t f = 0; f < 2 * FIGURES; f++) {
        char *name = base_text("%s_%s", figures[f / 2].key, ends[f % 2]);
        field_is(&at, name);
        base_free(name);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        field_is(&at, labels[order[i]]);
        field_is(&at, routers[order[i]]);
        field_is(&at, settings[order[i]]);
        field_near(&at, "seeds", SEEDS);
        for (size_t f = 0; f < FIGURES; f++) {
            double mean, std;
            spread_of(&mean, &std, figures[f].key, order[i], ENTRIES);
            field_near(&at, figures[f].key, mean);
            field_near(&at, figures[f].key, std);
        }
    }
    ck_assert_str_eq(at, "");
    base_free(text);
    show_document_destroy(document);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_compare_pages");
    TCase *core = tcase_create("Core");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, table_and_page_say_the_same);
    tcase_add_test(core, each_training_is_a_row_of_the_runs);
    tcase_add_test(core, each_router_is_a_row_of_the_summary);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
