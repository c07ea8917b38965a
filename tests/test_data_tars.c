/* test_data_tars.c - the folder of odd and hostile archives, where it is at hand: below the
 * folder named by VMOE_SHARED, with its manifest. Leaves with 77 without it. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <jansson.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

static const char *shared;

/* The name of a sample inside its archive. */
static const char *inner_name(char *out, size_t out_bytes, const data_source *source,
                              size_t i)
{
    const char *bang = strchr(data_source_name(source, i, out, out_bytes), '!');

    ck_assert_ptr_nonnull(bang);
    return bang + 1;
}

/* Readable samples by name and label, in order; the others by the beginning of "NAME:
 * REASON". */
static void check_samples(const data_source *source, const json_t *samples,
                          const json_t *errors, const char *file)
{
    char name[DATA_NAME_MAX + 1024];
    size_t good = 0, bad = 0, room = 0, size;
    unsigned char *bytes = NULL;
    base_error err;

    for (size_t i = 0; i < data_source_count(source); i++) {
        const char *inner = inner_name(name, sizeof name, source, i);
        if (!data_record_readable(data_index_at(&source->index, i))) {
            ck_assert_int_ne(data_source_read(source, i, &bytes, &room, &size, &err),
                             BASE_OK);
            char *text = base_text("%s: %s", inner, err.text);
            const char *told = json_string_value(json_array_get(errors, bad++));
            ck_assert_msg(told && strncmp(told, text, strlen(text)) == 0, "%s", text);
            base_free(text);
            continue;
        }
        const json_t *pair = json_array_get(samples, good++);
        char spelled[DATA_NAME_MAX];
        ck_assert_str_eq(inner, base_quote(spelled, sizeof spelled,
                                           json_string_value(json_array_get(pair, 0))));
        ck_assert_int_eq(data_source_label(source, i),
                         (int)json_integer_value(json_array_get(pair, 1)));
    }
    ck_assert_msg(good == json_array_size(samples) && bad == json_array_size(errors), "%s",
                  file);
    base_free(bytes);
}

/* The manifest leaves hard links out; here they are the files that they lead to. */
static void follow_link(json_t *entry)
{
    json_array_append_new(json_object_get(entry, "samples"),
                          json_pack("[s, i]", "n01440764/hard.JPEG", 0));
    json_object_set_new(entry, "ignored", json_integer(5));
}

START_TEST(every_archive_is_read_or_refused_as_its_manifest_says)
{
    char *path = base_text("%s/golden/tars/manifest.json", shared);
    json_t *manifest = json_load_file(path, 0, NULL), *entry;
    const char *file;
    size_t checked = 0;

    ck_assert_msg(manifest != NULL, "cannot read '%s'", path);
    base_free(path);
    json_object_foreach(manifest, file, entry)
    {
        const char *error = json_string_value(json_object_get(entry, "error"));
        data_source *source = NULL;
        base_error err = {0};
        const char *with = json_string_value(json_object_get(entry, "with"));
        if (!strstr(file, ".tar"))
            continue;
        path = base_text("%s/golden/tars/%s", shared, file);
        char *truth = base_text("%s/golden/tars/%s", shared, with ? with : "");
        /* ILSVRC's validation labels are among 1000; the rest is numbered by its
         * folders. */
        const data_source_options options = {.allow_single_class = true,
                                             .classes_of_model = with ? 1000 : 0,
                                             .val_labels = with ? truth : NULL};
        const base_status status = data_source_open(&source, path, &options, &err);
        if (error) { /* the part before ';' is the text, the rest a remark */
            char part[200];
            snprintf(part, sizeof part, "%.*s", (int)strcspn(error, ";"), error);
            ck_assert_msg(status != BASE_OK && strstr(err.text, part), "%s: %s", file,
                          err.text);
        } else {
            ck_assert_msg(status == BASE_OK, "%s: %s", file, err.text);
            if (strcmp(file, "links_and_junk.tar") == 0)
                follow_link(entry);
            check_samples(source, json_object_get(entry, "samples"),
                          json_object_get(entry, "errors"), file);
            if (json_object_get(entry, "classes"))
                ck_assert_uint_eq(
                    data_source_classes(source),
                    (size_t)json_integer_value(json_object_get(entry, "classes")));
            if (json_object_get(entry, "ignored"))
                ck_assert_uint_eq(
                    data_source_ignored(source),
                    (size_t)json_integer_value(json_object_get(entry, "ignored")));
        }
        data_source_close(source);
        base_free(path);
        base_free(truth);
        checked++;
    }
    ck_assert_uint_eq(checked, 13);
    json_decref(manifest);
}
END_TEST

START_TEST(kaggles_labels_are_those_of_the_manifest)
{
    char *path = base_text("%s/golden/tars/manifest.json", shared);
    json_t *manifest = json_load_file(path, 0, NULL), *label;
    const json_t *labels =
        json_object_get(json_object_get(manifest, "LOC_val_solution.csv"), "labels");
    data_truth *truth = NULL;
    const char *image, *class = NULL;

    base_free(path);
    path = base_text("%s/golden/tars/LOC_val_solution.csv", shared);
    ck_assert_int_eq(data_truth_load(&truth, path, true, NULL), BASE_OK);
    ck_assert_uint_eq(data_truth_count(truth), json_object_size(labels));
    json_object_foreach((json_t *)labels, image, label)
    {
        ck_assert_int_eq(data_truth_take(&class, truth, image, path, NULL), BASE_OK);
        ck_assert_int_eq(data_imagenet_label(class), (int)json_integer_value(label));
    }
    data_truth_destroy(truth);
    json_decref(manifest);
    base_free(path);
}
END_TEST

/* Every bad image inside a tar fares as it does as a file. */
START_TEST(bad_images_fare_alike_in_a_tar)
{
    char *folder = base_text("%s/golden", shared), *path;
    char *root = test_folder_make(), name[512];
    const data_source_options options = {.allow_single_class = true};
    unsigned char *bytes = NULL;
    size_t room = 0, compared = 0;
    data_source *files = set_open(folder, &options);
    data_loader_config config = data_loader_defaults();
    data_loader *a = NULL, *b = NULL;
    data_batch x, y;

    FILE *tar = set_tar_open(&path, root, "x.tar");
    for (size_t i = 0; i < data_source_count(files); i++) {
        size_t size = 0;
        data_source_relative_name(files, i, name, sizeof name);
        if (data_source_read(files, i, &bytes, &room, &size, NULL) != BASE_OK)
            size = 0; /* the empty one */
        set_member(tar, name, '0', bytes, size);
    }
    set_tar_end(tar);
    data_source *packed = set_open(path, &options);
    ck_assert_uint_eq(data_source_fingerprint(packed), data_source_fingerprint(files));
    config.skip_bad = true;
    config.size = 64;
    config.threads = 2;
    ck_assert_int_eq(data_loader_create(&a, files, &config, NULL), BASE_OK);
    ck_assert_int_eq(data_loader_create(&b, packed, &config, NULL), BASE_OK);
    do {
        ck_assert_int_eq(data_loader_next(a, &x, NULL), BASE_OK);
        ck_assert_int_eq(data_loader_next(b, &y, NULL), BASE_OK);
        ck_assert_uint_eq(x.count, y.count);
        ck_assert(x.count == 0 ||
                  memcmp(x.images, y.images, x.count * 3 * 64 * 64 * sizeof(float)) == 0);
        ck_assert(x.count == 0 ||
                  memcmp(x.labels, y.labels, x.count * sizeof *x.labels) == 0);
        compared += x.count;
    } while (x.count > 0);
    ck_assert_uint_eq(compared, data_source_count(files));
    ck_assert_uint_eq(data_loader_counts(a).bad, data_loader_counts(b).bad);
    ck_assert_uint_ge(data_loader_counts(a).bad, 10);
    data_loader_destroy(a);
    data_loader_destroy(b);
    data_source_close(files);
    data_source_close(packed);
    base_free(bytes);
    base_free(folder);
    base_free(path);
    test_folder_remove(root);
}
END_TEST

int main(void)
{
    shared = getenv("VMOE_SHARED");
    if (!shared || !*shared)
        return TEST_SKIP;

    Suite *suite = suite_create("data_tars");
    TCase *core = test_case("Core"), *threads = test_case_of_threads("Threads");
    tcase_set_timeout(core, 120);
    tcase_set_timeout(threads, 120);
    tcase_add_test(core, every_archive_is_read_or_refused_as_its_manifest_says);
    tcase_add_test(core, kaggles_labels_are_those_of_the_manifest);
    tcase_add_test(threads, bad_images_fare_alike_in_a_tar);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, threads);
    return test_run(suite);
}
