/* test_show_npy.c - npy files: the bytes of format 1.0, counted rows, nothing
 * half-written; columns of CSV files. */
#include "show/show.h"

#include <sys/stat.h>

#include "tests/test_folder.h"
#include "tests/test_run.h"

enum { HEADER = 128 };

static char *dir, *path;

static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "out.npy");
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

/* The file's bytes: base_free. */
static unsigned char *bytes_of(size_t *count)
{
    char *text = NULL;
    base_error err = {0};

    ck_assert_msg(base_file_read(&text, count, path, 1 << 20, &err) == BASE_OK, "%s",
                  err.text);
    return (unsigned char *)text;
}

START_TEST(the_header_is_numpys_format_1)
{
    /* numpy.lib.format.read_array accepts these bytes (checked with NumPy 2). */
    static const char dictionary[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float rows[6] = {1, 2, 3, -4, 0.5f, 1e-3f};
    show_npy npy;
    size_t count = 0;

    ck_assert_int_eq(show_npy_open(&npy, path, (size_t[]){3}, 1, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_append(&npy, rows, 1, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_append(&npy, rows + 3, 1, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_commit(&npy, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_uint_eq(count, HEADER + sizeof rows);
    ck_assert_mem_eq(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_mem_eq(bytes + 10, dictionary, sizeof dictionary - 1);
    for (size_t i = 10 + sizeof dictionary - 1; i < HEADER - 1; i++)
        ck_assert_int_eq(bytes[i], ' ');
    ck_assert_int_eq(bytes[HEADER - 1], '\n');
    ck_assert_mem_eq(bytes + HEADER, "\x00\x00\x80\x3f", 4);      /* 1.0f, little-endian */
    ck_assert_mem_eq(bytes + HEADER + 12, "\x00\x00\x80\xc0", 4); /* -4.0f */
    base_free(bytes);
}
END_TEST

START_TEST(rows_of_rank_three_give_a_shape_of_four)
{
    float rows[2 * 3 * 4 * 4] = {0};
    show_npy npy;
    size_t count = 0;

    ck_assert_int_eq(show_npy_open(&npy, path, (size_t[]){3, 4, 4}, 3, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_append(&npy, rows, 2, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_commit(&npy, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_ptr_nonnull(strstr((char *)bytes + 10, "'shape': (2, 3, 4, 4), }"));
    ck_assert_uint_eq(count, HEADER + sizeof rows);
    base_free(bytes);
}
END_TEST

START_TEST(more_values_than_the_buffer_arrive_whole)
{
    enum { ROWS = 3000 };
    static float rows[ROWS];
    show_npy npy;
    size_t count = 0;

    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (float)i;
    ck_assert_int_eq(show_npy_open(&npy, path, (size_t[]){1}, 1, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_append(&npy, rows, ROWS, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_commit(&npy, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_uint_eq(count, HEADER + sizeof rows);
    ck_assert_mem_eq(bytes + HEADER, rows, sizeof rows); /* on a little-endian machine */
    base_free(bytes);
}
END_TEST

START_TEST(no_rows_give_an_empty_table)
{
    show_npy npy;
    size_t count = 0;

    ck_assert_int_eq(show_npy_open(&npy, path, (size_t[]){10}, 1, NULL), BASE_OK);
    ck_assert_int_eq(show_npy_commit(&npy, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_uint_eq(count, HEADER);
    ck_assert_ptr_nonnull(strstr((char *)bytes + 10, "'shape': (0, 10), }"));
    base_free(bytes);
}
END_TEST

START_TEST(an_abandoned_file_leaves_the_older_one)
{
    show_npy npy;
    show_npy zero = {0};

    test_write(path, "old", 3);
    ck_assert_int_eq(show_npy_open(&npy, path, (size_t[]){1}, 1, NULL), BASE_OK);
    show_npy_abandon(&npy);
    show_npy_abandon(&npy);
    show_npy_abandon(&zero);
    test_holds(path, "old");
}
END_TEST

START_TEST(a_pipe_is_refused)
{
    show_npy npy;
    base_error err = {0};

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    FILE *reader = fopen(path, "r+"); /* so that opening to write does not wait */
    ck_assert_ptr_nonnull(reader);
    ck_assert_int_ne(show_npy_open(&npy, path, (size_t[]){1}, 1, &err), BASE_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "out.npy"));
    fclose(reader);
}
END_TEST

START_TEST(a_missing_folder_is_named)
{
    show_npy npy;
    base_error err = {0};

    ck_assert_int_eq(show_npy_open(&npy, "/no/such/folder/x.npy", (size_t[]){1}, 1, &err),
                     BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/folder/x.npy"));
}
END_TEST

START_TEST(whole_numbers_are_written_as_such)
{
    static const int32_t values[3] = {1, -2, 70000};
    size_t count = 0;

    ck_assert_int_eq(show_npy_whole_write(path, values, 3, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_uint_eq(count, HEADER + 12);
    ck_assert_mem_eq(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_ptr_nonnull(strstr(
        (char *)bytes + 10, "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }  "));
    ck_assert_mem_eq(bytes + HEADER, "\x01\x00\x00\x00\xfe\xff\xff\xff\x70\x11\x01\x00",
                     12);
    base_free(bytes);
    ck_assert_int_eq(show_npy_whole_write(path, NULL, 0, NULL), BASE_OK);
    bytes = bytes_of(&count);
    ck_assert_uint_eq(count, HEADER);
    ck_assert_ptr_nonnull(strstr((char *)bytes + 10, "'shape': (0,), }"));
    base_free(bytes);
    base_error err = {0};
    ck_assert_int_eq(show_npy_whole_write("/no/such/x.npy", values, 3, &err), BASE_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/no/such/x.npy"));
}
END_TEST

/* Rows of one number each have no shape of their own; a row of more numbers than can be
 * counted is refused. */
START_TEST(shapes_are_as_large_as_can_be_told)
{
    const float one = 1;
    const size_t huge[] = {(size_t)1 << 40, (size_t)1 << 40};
    size_t count = 0;
    base_error err = {0};
    show_npy npy;

    ck_assert_int_eq(show_npy_open(&npy, path, NULL, 0, NULL), BASE_OK);
    ck_assert_uint_eq(npy.row_floats, 1);
    ck_assert_int_eq(show_npy_append(&npy, &one, 1, NULL), BASE_OK);
    ck_assert_uint_eq(npy.rows, 1);
    ck_assert_int_eq(show_npy_commit(&npy, NULL), BASE_OK);
    unsigned char *bytes = bytes_of(&count);
    ck_assert_ptr_nonnull(strstr((char *)bytes + 10, "'shape': (1,), }"));
    base_free(bytes);
    ck_assert_int_eq(show_npy_open(&npy, path, huge, 2, &err), BASE_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "out.npy': a row has too many numbers"));
}
END_TEST

/* No line, one without an end, columns beyond the end of a line, cells that are no whole
 * number. */
START_TEST(csv_files_are_read_to_their_end)
{
    static const struct {
        const char *text;
        size_t rows;
        int64_t last;
        const char *words;
    } cases[] = {
        {"", 0, 0, NULL},
        {"a,b\n", 0, 0, NULL},
        {"a,b\n1,2\n", 1, 2, NULL},
        {"a,b\n1,2\n3,4", 2, 4, NULL}, /* without an end */
        {"b,a\n-5,2\n", 1, -5, NULL},
        {"ab,b\n1,2\n", 1, 2, NULL}, /* a name that begins with it is another */
        {"x,a,b\n1,2\n", 0, 0, "line 2"},
        {"a,b\n1,2.5\n", 0, 0, "line 2"},
        {"a,b\n1,2\n1,\n", 0, 0, "line 3"},
        {"c,d\n1,2\n", 0, 0, NULL},
    };
    static const char *const names[] = {"b"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t *cells = NULL;
        size_t rows = 9;
        base_error err = {0};
        test_write(path, cases[i].text, strlen(cases[i].text));
        const base_status status = show_csv_read(&cells, &rows, path, names, 1, &err);
        ck_assert_int_eq(status, cases[i].words ? BASE_FORMAT : BASE_OK);
        ck_assert_uint_eq(rows, cases[i].rows);
        if (cases[i].words)
            ck_assert_ptr_nonnull(strstr(err.text, cases[i].words));
        else if (rows > 0)
            ck_assert_int_eq(cells[rows - 1], cases[i].last);
        base_free(cells);
    }
}
END_TEST

/* Columns in any order; a file without one of them has no rows; a line that is not whole is
 * named. */
START_TEST(columns_of_csv_are_read_by_name)
{
    static const char csv[] = "id,name,robust_2/255\n7,a,1\n-3,,0\n";
    static const char bad[] = "id,robust_2/255\n7,1\n8\n";
    static const char *const names[] = {"robust_2/255", "id"}, *const none[] = {"robust"};
    int64_t *cells = NULL;
    base_error err = {0};
    size_t rows = 0;

    test_write(path, csv, sizeof csv - 1);
    ck_assert_int_eq(show_csv_read(&cells, &rows, path, names, 2, &err), BASE_OK);
    ck_assert_uint_eq(rows, 2);
    ck_assert(cells[0] == 1 && cells[1] == 7 && cells[2] == 0 && cells[3] == -3);
    base_free(cells);
    ck_assert_int_eq(show_csv_read(&cells, &rows, path, none, 1, &err), BASE_OK);
    ck_assert_uint_eq(rows, 0);
    base_free(cells);
    test_write(path, bad, sizeof bad - 1);
    ck_assert_int_eq(show_csv_read(&cells, &rows, path, names, 2, &err), BASE_FORMAT);
    ck_assert_ptr_null(cells);
    ck_assert_ptr_nonnull(strstr(err.text, "out.npy': line 3 is damaged"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("show_npy");
    TCase *core = tcase_create("Core");
    TCase *limits = tcase_create("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, the_header_is_numpys_format_1);
    tcase_add_test(core, rows_of_rank_three_give_a_shape_of_four);
    tcase_add_test(core, more_values_than_the_buffer_arrive_whole);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, columns_of_csv_are_read_by_name);
    tcase_add_test(limits, no_rows_give_an_empty_table);
    tcase_add_test(limits, an_abandoned_file_leaves_the_older_one);
    tcase_add_test(limits, a_pipe_is_refused);
    tcase_add_test(core, whole_numbers_are_written_as_such);
    tcase_add_test(limits, shapes_are_as_large_as_can_be_told);
    tcase_add_test(limits, csv_files_are_read_to_their_end);
    tcase_add_test(limits, a_missing_folder_is_named);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
