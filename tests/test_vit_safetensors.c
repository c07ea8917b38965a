/* test_vit_safetensors.c - tensor files written and read, and the ways in which one can
 * lie. */
#include <string.h>
#include <sys/stat.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

/* A file of this announced header length (0: the true one), header and zeros as data,
 * opened. */
static base_status open_made(uint64_t length, const char *header, size_t data,
                             base_error *err)
{
    char *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    const size_t text = strlen(header);
    unsigned char *bytes = base_alloc(8 + text + data, 1);
    const uint64_t announced = length ? length : text;
    vit_tensor_file *file = NULL;

    memcpy(bytes, &announced, 8);
    memcpy(bytes + 8, header, text);
    test_write(path, bytes, 8 + text + data);
    const base_status status = vit_tensors_open(&file, path, err);
    ck_assert(status == BASE_OK || file == NULL);
    vit_tensors_close(file);
    base_free(bytes);
    base_free(path);
    test_folder_remove(folder);
    return status;
}

START_TEST(what_is_written_is_read)
{
    static const float floats[] = {1.5f, -2, 3, 4, 5, 6};
    static const double doubles[] = {0.1};
    static const int64_t whole[] = {INT64_MIN, 7};
    static const unsigned char bytes[] = {1, 2, 3};
    static const uint16_t half[] = {0x3f80};
    const vit_tensor tensors[] = {
        {"bytes", "U8", 1, {3}, bytes},     {"f", "F32", 2, {2, 3}, floats},
        {"d", "F64", 0, {0}, doubles},      {"w", "I64", 1, {2}, whole},
        {"bf", "BF16", 3, {1, 1, 1}, half}, {"none", "F32", 2, {0, 9}, NULL},
    };
    const vit_pair pairs[] = {{"a", "1"}, {"quote \" and \n", "\xc3\xa9"}};
    base_error err = {0};
    char *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    char *again = test_path(folder, "y.safetensors");
    vit_tensor_file *file = NULL;

    must(vit_tensors_write(path, tensors, 6, pairs, 2, &err), &err);
    must(vit_tensors_open(&file, path, &err), &err);
    ck_assert_uint_eq(vit_tensors_count(file), 6);
    ck_assert_str_eq(vit_tensors_metadata(file, "a"), "1");
    ck_assert_str_eq(vit_tensors_metadata(file, pairs[1].key), pairs[1].value);
    ck_assert_ptr_null(vit_tensors_metadata(file, "b"));
    ck_assert_ptr_null(vit_tensors_find(file, "g"));
    static const size_t sizes[] = {3, 24, 8, 16, 2, 0};
    for (size_t i = 0; i < 6; i++) {
        const vit_tensor *t = vit_tensors_find(file, tensors[i].name);
        ck_assert_ptr_nonnull(t);
        ck_assert_str_eq(t->type, tensors[i].type);
        ck_assert_int_eq(t->rank, tensors[i].rank);
        ck_assert_mem_eq(t->shape, tensors[i].shape, (size_t)t->rank * sizeof t->shape[0]);
        ck_assert_uint_eq((uintptr_t)t->data % 64, 0);
        if (sizes[i] > 0)
            ck_assert_mem_eq(t->data, tensors[i].data, sizes[i]);
    }
    ck_assert_str_eq(vit_tensors_at(file, 0)->name, "d"); /* widest types first */
    vit_tensors_close(file);
    const vit_tensor byte = {"one", "U8", 1, {1}, bytes + 2}; /* a file of one byte */
    must(vit_tensors_write(again, &byte, 1, NULL, 0, &err), &err);
    must(vit_tensors_open(&file, again, &err), &err);
    ck_assert_mem_eq(vit_tensors_find(file, "one")->data, bytes + 2, 1);
    vit_tensors_close(file);
    vit_tensors_close(NULL);

    must(vit_tensors_write(again, tensors, 6, pairs, 2, &err), &err);
    char *one = NULL;
    char *two = NULL;
    size_t n = 0;
    size_t m = 0;
    must(base_file_read(&one, &n, path, 1 << 20, &err), &err);
    must(base_file_read(&two, &m, again, 1 << 20, &err), &err);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(one, two, n); /* equal input, equal bytes */
    uint64_t header = 0;
    memcpy(&header, one, sizeof header);
    ck_assert_uint_eq(header % 8, 0);
    ck_assert_uint_eq(n, 8 + header + 53);
    base_free(one);
    base_free(two);
    base_free(again);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* Every type has its size: three of each, no byte less and none more. */
START_TEST(types_have_their_sizes)
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"F64", 8}, {"I64", 8}, {"U64", 8},  {"F32", 4},     {"I32", 4},
                 {"U32", 4}, {"F16", 2}, {"BF16", 2}, {"I16", 2},     {"U16", 2},
                 {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (size_t off = 0; off < 3; off++) {
            const size_t bytes = 3 * types[i].bytes - 1 + off;
            base_error err = {0};
            char header[128], words[128];
            snprintf(header, sizeof header,
                     "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                     types[i].name, bytes);
            const base_status status = open_made(0, header, bytes, &err);
            snprintf(words, sizeof words,
                     "'x.safetensors' tensor 'a' has %zu bytes, expected %zu for %s [3]",
                     bytes, 3 * types[i].bytes, types[i].name);
            if (off == 1)
                must(status, &err);
            else
                test_refused(status, BASE_FORMAT, &err, words);
        }
}
END_TEST

/* The header of what is written: types of eight bytes first, in the order given. */
START_TEST(headers_are_written_to_the_letter)
{
    static const double d[2] = {1, 2};
    static const int64_t w[1] = {3};
    static const float f[2] = {4, 5};
    const vit_tensor tensors[] = {
        {"f", "F32", 2, {1, 2}, f}, {"d", "F64", 1, {2}, d}, {"w", "I64", 0, {0}, w}};
    static const char expected[] =
        "{\"__metadata__\":{\"k\":\"v\"},"
        "\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
        "\"w\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]},"
        "\"f\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[24,32]}}";
    const size_t padded = (strlen(expected) + 7) / 8 * 8;
    base_error err = {0};
    char *folder = test_folder_make(), *path = test_path(folder, "x.safetensors");
    char *bytes = NULL;
    size_t count = 0;
    uint64_t announced = 0;

    must(vit_tensors_write(path, tensors, 3, &(vit_pair){"k", "v"}, 1, &err), &err);
    must(base_file_read(&bytes, &count, path, 1 << 20, &err), &err);
    memcpy(&announced, bytes, sizeof announced);
    ck_assert_uint_eq(announced, padded);
    ck_assert_mem_eq(bytes + 8, expected, strlen(expected));
    for (size_t i = strlen(expected); i < padded; i++)
        ck_assert_int_eq(bytes[8 + i], ' ');
    ck_assert_uint_eq(count, 8 + padded + 32);
    ck_assert_mem_eq(bytes + 8 + padded, d, 16);
    ck_assert_mem_eq(bytes + 8 + padded + 16, w, 8);
    ck_assert_mem_eq(bytes + 8 + padded + 24, f, 8);
    base_free(bytes);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* What was asked for so far: name, first byte, how many. */
typedef struct asked {
    size_t count, first[8], bytes[8];
    size_t fail_at; /* this one is refused */
} asked;

static base_status fill_bytes(void *user, const char *name, void *out, size_t first,
                              size_t bytes, base_error *err)
{
    asked *a = user;
    unsigned char *to = out;

    ck_assert_str_eq(name, "large");
    ck_assert_uint_lt(a->count, 8);
    a->first[a->count] = first;
    a->bytes[a->count] = bytes;
    if (a->count++ == a->fail_at)
        return base_fail(err, BASE_NUMERIC, "enough");
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)((first + i) % 251);
    return BASE_OK;
}

/* Two windows and a half. */
START_TEST(tensors_without_data_are_asked_for_in_windows)
{
    enum { LARGE = 2 * VIT_WINDOW_BYTES + VIT_WINDOW_BYTES / 2 };
    static const unsigned char small[2] = {7, 8};
    const vit_tensor tensors[] = {{"large", "U8", 1, {LARGE}, NULL},
                                  {"small", "U8", 1, {2}, small}};
    base_error err = {0};
    char *folder = test_folder_make(), *path = test_path(folder, "x.safetensors");
    vit_tensor_file *file = NULL;
    asked a = {.fail_at = 9};

    must(vit_tensors_stream(path, tensors, 2, NULL, 0, fill_bytes, &a, &err), &err);
    ck_assert_uint_eq(a.count, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(a.first[i], i * VIT_WINDOW_BYTES);
        ck_assert_uint_eq(a.bytes[i], VIT_WINDOW_BYTES / (i == 2 ? 2 : 1));
    }
    must(vit_tensors_open(&file, path, &err), &err);
    const unsigned char *data = vit_tensors_find(file, "large")->data;
    for (size_t i = 0; i < LARGE; i++)
        if (data[i] != i % 251)
            ck_abort_msg("byte %zu", i);
    ck_assert_mem_eq(vit_tensors_find(file, "small")->data, small, 2);
    vit_tensors_close(file);
    ck_assert_int_eq(remove(path), 0);
    a = (asked){.fail_at = 1};
    test_refused(vit_tensors_stream(path, tensors, 2, NULL, 0, fill_bytes, &a, &err),
                 BASE_NUMERIC, &err, "enough");
    ck_assert_uint_eq(a.count, 2);
    ck_assert(!test_exists(path));
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

START_TEST(other_kinds_of_files_are_told)
{
#define HINT                                                                               \
    "; convert it with Python: import torch, safetensors.torch as st; d = torch.load(IN, " \
    "map_location='cpu', weights_only=True); st.save_file({k: v.contiguous() for k, v in " \
    "d.get('state_dict', d).items()}, OUT)"
    static const struct {
        const char *name, *bytes, *what;
        size_t count;
    } kinds[] = {
        {"x", "version https://git-lfs.github.com/spec/v1\n",
         "a Git LFS pointer, not the file: fetch it with 'git lfs pull'", 43},
        {"x", "\x80\x02\x8a\x0alF", "a PyTorch file" HINT, 6},
        {"x", "\x80\x03}q", "a Python pickle" HINT, 4},
        {"x", "\x80\x04}q", "a Python pickle" HINT, 4},
        {"x", "\x80\x05}q", "a Python pickle" HINT, 4},
        {"x", "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras), expected safetensors", 8},
        {"x", "\x93NUMPY\1\0", "one NumPy array, expected safetensors", 8},
        {"x", "\x1f\x8b\x08", "compressed (gzip): unpack it first", 3},
        {"x", "\x28\xb5\x2f\xfd\1", "compressed (zstd): unpack it first", 5},
        {"x", "GGUF\3\0\0\0", "a GGUF file, expected safetensors", 8},
        {"x", "<!DOCTYPE html>", "a web page: the download went wrong", 15},
        {"x", "<html><body>", "a web page: the download went wrong", 12},
        {"x", "PK\3\4\0\0\0\0data.pkl", "a PyTorch file" HINT, 16},
        {"x", "PK\3\4\0\0\0\0a.npy", "NumPy's .npz: convert it with 'vmoe convert'", 13},
        {"x.zip", "PK\3\4\0\0\0\0a.txt", "a ZIP archive, expected a safetensors file", 13},
        {"x", "{\"weight_map\": {}}", "an index of shards", 18},
        {"x", "\tepoch 1\r\nepoch 2\n", "text, expected a safetensors file", 18},
    };
    char *folder = test_folder_make();

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        base_error err = {0};
        vit_tensor_file *file = NULL;
        char *path = test_path(folder, kinds[i].name);
        test_write(path, kinds[i].bytes, kinds[i].count);
        ck_assert_int_eq(vit_tensors_open(&file, path, &err), BASE_FORMAT);
        char *expected = base_text("'%s' is %s", path, kinds[i].what);
        ck_assert_str_eq(err.text, expected);
        base_free(expected);
        base_free(path);
    }
    base_error err = {0};
    vit_tensor_file *file = NULL;
    char *path = test_path(folder, "x"); /* a sign that no text has */
    test_write(path, "epoch 1\x7f, epoch 2", 17);
    ck_assert_int_eq(vit_tensors_open(&file, path, &err), BASE_FORMAT);
    ck_assert_ptr_null(strstr(err.text, "is text"));
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

START_TEST(an_unwritable_set_leaves_no_file)
{
    static const float floats[] = {1};
    const vit_tensor twice[] = {{"a", "F32", 1, {1}, floats}, {"a", "F32", 1, {1}, floats}};
    const vit_tensor half = {"a", "F16", 1, {1}, floats};
    const vit_tensor odd = {"\xff", "F32", 1, {1}, floats};
    const vit_pair pair = {"k", "\xff"};
    base_error err = {0};
    char *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    char *lost = test_path(folder, "no/x.safetensors");

    test_refused(vit_tensors_write(path, twice, 2, NULL, 0, &err), BASE_FORMAT, &err,
                 "'x.safetensors' cannot hold a tensor named 'a' (twice, or no UTF-8)");
    test_refused(vit_tensors_write(path, &half, 1, NULL, 0, &err), BASE_UNSUPPORTED, &err,
                 "'x.safetensors' cannot hold tensor 'a' of type 'F16'");
    test_refused(vit_tensors_write(path, &odd, 1, NULL, 0, &err), BASE_FORMAT, &err,
                 "'x.safetensors' cannot hold a tensor named '\\xff' (twice, or no UTF-8)");
    test_refused(vit_tensors_write(path, twice, 1, &pair, 1, &err), BASE_FORMAT, &err,
                 "'x.safetensors' cannot hold its metadata (no UTF-8, or no memory)");
    test_refused(vit_tensors_write(lost, twice, 1, NULL, 0, &err), BASE_IO, &err,
                 "cannot write 'no/x.safetensors': No such file or directory");
    ck_assert(!test_exists(path));
    base_free(lost);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

#define ENTRY(name, type, shape, begin, end)                                               \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin    \
    "," end "]}"

START_TEST(honest_headers_are_read)
{
    static const struct {
        const char *header;
        size_t data;
    } good[] = {
        {"{}", 0},
        {"{}      ", 0},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", 0},
        {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "U8", "[]", "8", "9") "}",
         9},
        {"{" ENTRY("b", "U8", "[1]", "0", "1") "," ENTRY("a", "F32", "[1,1]", "1", "5") "}",
         5},
        {"{" ENTRY("a", "F16", "[0]", "0", "0") "," ENTRY("b", "BOOL", "[3]", "0", "3") "}",
         3},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        base_error err = {0};
        must(open_made(0, good[i].header, good[i].data, &err), &err);
    }
}
END_TEST

START_TEST(lying_headers_are_named)
{
    static const struct {
        uint64_t length;
        const char *header;
        size_t data;
        const char *words;
    } bad[] = {
        {UINT64_MAX, "{}", 0,
         "announces a header of 18446744073709551615 bytes, expected 2 to 2"},
        {3, "{}", 0, "announces a header of 3 bytes, expected 2 to 2"},
        {1, "{}", 0, "announces a header of 1 bytes, expected 2 to 2"},
        {0, "{} x", 0, "~no JSON header"},
        {0, "{\"a\":", 0, "~no JSON header"},
        {0, "[]", 0, "has a header that is no JSON object"},
        {0, "{\"a\":1}", 0, "tensor 'a' has not just dtype, shape and data_offsets"},
        {0, "{\"\\u001b[2J\":1}", 0,
         "tensor '\\x1b[2J' has not just dtype, shape and data_offsets"},
        {0, "{\"a\\u0000b\":1}", 0, "~no JSON header"},
        {0, "{\"__metadata__\":[]}", 0, "has a __metadata__ that is no object"},
        {0, "{\"__metadata__\":{\"k\":1}}", 0, "metadata 'k' is no string"},
        {0, "{" ENTRY("a", "F33", "[1]", "0", "4") "}", 4,
         "tensor 'a' has the unknown dtype 'F33'"},
        {0, "{" ENTRY("a", "F32", "3", "0", "4") "}", 4, "tensor 'a' has no shape"},
        {0, "{" ENTRY("a", "F32", "[-1]", "0", "4") "}", 4,
         "tensor 'a' has a dimension that is no count"},
        {0, "{" ENTRY("a", "F32", "[1.0]", "0", "4") "}", 4,
         "tensor 'a' has a dimension that is no count"},
        {0, "{" ENTRY("a", "F32", "[1,1,1,1,1]", "0", "4") "}", 4,
         "tensor 'a' has 5 dimensions, at most 4 are read"},
        {0, "{" ENTRY("a", "F32", "[9223372036854775807,4]", "0", "4") "}", 4,
         "tensor 'a' has the impossible shape [9223372036854775807, 4]"},
        {0, "{" ENTRY("a", "F64", "[4611686018427387904]", "0", "4") "}", 4,
         "tensor 'a' is larger than any file"},
        {0, "{" ENTRY("a", "F32", "[2]", "0", "4") "}", 4,
         "tensor 'a' has 4 bytes, expected 8 for F32 [2]"},
        {0, "{" ENTRY("a", "F32", "[1]", "4", "0") "}", 4,
         "tensor 'a' lies at bytes 4 to 0, the file holds 4"},
        {0, "{" ENTRY("a", "F32", "[1]", "4", "8") "}", 4,
         "tensor 'a' lies at bytes 4 to 8, the file holds 4"},
        {0, "{" ENTRY("a", "F32", "[1]", "-4", "0") "}", 4,
         "tensor 'a' has no data_offsets of two counts"},
        {0, "{" ENTRY("a", "F32", "[1]", "9223372036854775804", "9223372036854775807") "}",
         4,
         "tensor 'a' lies at bytes 9223372036854775804 to 9223372036854775807, the file holds 4"},
        {0, "{" ENTRY("a", "F32", "[1]", "4", "8") "}", 8,
         "tensor 'a' begins at byte 4, expected 0"},
        {0,
         "{" ENTRY("a", "F32", "[1]", "0", "4") "," ENTRY("b", "U8", "[2]", "3", "5") "}",
         5, "tensor 'b' begins at byte 3, expected 4"},
        {0, "{" ENTRY("a", "F32", "[1]", "0", "4") "}", 5,
         "holds 5 bytes of data, its tensors need 4"},
        {0,
         "{" ENTRY("a", "F32", "[1]", "0", "4") "," ENTRY("a", "F32", "[1]", "4", "8") "}",
         8, "~duplicate object key"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        const base_status status =
            open_made(bad[i].length, bad[i].header, bad[i].data, &err);
        ck_assert(status == BASE_FORMAT || status == BASE_UNSUPPORTED);
        test_refused(status, status, &err, "~x.safetensors' ");
        test_says(strstr(err.text, "x.safetensors'") + 15, bad[i].words);
    }
}
END_TEST

START_TEST(headers_nested_without_end_are_refused)
{
    char deep[6000];
    base_error err = {0};

    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = '\0';
    test_refused(open_made(0, deep, 0, &err), BASE_FORMAT, &err,
                 "~'x.safetensors' has no JSON header: ");
}
END_TEST

START_TEST(what_is_no_file_is_named)
{
    base_error err = {0};
    char *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    vit_tensor_file *file = NULL;

    test_refused(vit_tensors_open(&file, path, &err), BASE_IO, &err,
                 "cannot open 'x.safetensors': No such file or directory");
    test_refused(vit_tensors_open(&file, folder, &err), BASE_IO, &err,
                 "'' is a folder, expected a file");
    test_refused(vit_tensors_open(&file, "/dev/null", &err), BASE_IO, &err,
                 "'/dev/null' is a device, expected a file");
    test_write(path, "", 0);
    test_refused(vit_tensors_open(&file, path, &err), BASE_FORMAT, &err,
                 "'x.safetensors' is empty, expected a safetensors file");
    test_write(path, "\2\0\0\0\0\0\0\0{", 9);
    test_refused(vit_tensors_open(&file, path, &err), BASE_FORMAT, &err,
                 "'x.safetensors' has 9 bytes, expected a safetensors file");
    ck_assert_ptr_null(file);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* A good file cut at every length is refused, each time by its name. */
START_TEST(every_truncation_is_refused)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 1);
    base_error err = {0};
    char *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    char *bytes = NULL;
    size_t count = 0;

    must(vit_model_save(model, path, VIT_PRECISION_BF16, &err), &err);
    must(base_file_read(&bytes, &count, path, 1 << 20, &err), &err);
    for (size_t cut = 0; cut < count; cut += cut < 600 ? 1 : 97) {
        vit_model *loaded = NULL;
        test_write(path, bytes, cut);
        test_refused(vit_model_load(&loaded, path, NULL, &err), BASE_FORMAT, &err,
                     "~x.safetensors'");
        ck_assert_ptr_null(loaded);
    }
    base_free(bytes);
    base_free(path);
    test_folder_remove(folder);
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_safetensors");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_set_timeout(limits, 60); /* sanitizers */
    tcase_add_test(core, what_is_written_is_read);
    tcase_add_test(core, honest_headers_are_read);
    tcase_add_test(core, types_have_their_sizes);
    tcase_add_test(core, headers_are_written_to_the_letter);
    tcase_add_test(core, tensors_without_data_are_asked_for_in_windows);
    tcase_add_test(limits, other_kinds_of_files_are_told);
    tcase_add_test(limits, an_unwritable_set_leaves_no_file);
    tcase_add_test(limits, lying_headers_are_named);
    tcase_add_test(limits, headers_nested_without_end_are_refused);
    tcase_add_test(limits, what_is_no_file_is_named);
    tcase_add_test(limits, every_truncation_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
