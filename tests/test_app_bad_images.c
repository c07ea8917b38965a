/* test_app_bad_images.c - every file of the golden folder of bad images as its manifest
 * says, loose and in an archive, through data --verify, eval, predict and train. Below the
 * folder named by VMOE_SHARED; leaves with 77 without it. */
#include "tests/test_program.h"
#include "tests/test_run.h"
#include "tests/test_sample.h"
#include "tests/test_set.h"

static const char *shared;
static char *dir, *list, *model;
static json_t *files; /* of the manifest */

static void setup(void)
{
    const vit_config config = sample_config(false);
    char *path = base_text("%s/golden/bad-images/manifest.json", shared);
    json_t *manifest = json_load_file(path, 0, NULL);

    ck_assert_msg(manifest != NULL, "cannot read '%s'", path);
    files = json_incref(json_object_get(manifest, "files"));
    json_decref(manifest);
    base_free(path);
    dir = test_folder_make();
    list = test_path(dir, "list.tsv");
    model = test_path(dir, "model.safetensors");
    sample_model_save(model, &config, sample_labels);
}

static void teardown(void)
{
    json_decref(files);
    base_free(list);
    base_free(model);
    test_folder_remove(dir);
}

static char *golden_bytes(const char *name, size_t *size)
{
    char *path = base_text("%s/golden/bad-images/%s", shared, name), *bytes = NULL;

    ck_assert_int_eq(base_file_read(&bytes, size, path, 1 << 24, NULL), BASE_OK);
    base_free(path);
    return bytes;
}

/* The golden files in class "red", and the good one in the other classes. */
static char *make_folder(void)
{
    const char *name;
    json_t *about;
    char place[200];
    size_t size;

    json_object_foreach(files, name, about)
    {
        char *bytes = golden_bytes(name, &size);
        snprintf(place, sizeof place, "set/red/%s", name);
        set_file(dir, place, bytes, size);
        if (strcmp(name, "ok_baseline.JPEG") == 0) {
            set_file(dir, "set/blue/a.JPEG", bytes, size);
            set_file(dir, "set/green/a.JPEG", bytes, size);
        }
        base_free(bytes);
    }
    return test_path(dir, "set");
}

static char *make_tar(void)
{
    const char *name;
    json_t *about;
    char *path, place[200];
    size_t size;
    FILE *file = set_tar_open(&path, dir, "set.tar");
    char *good = golden_bytes("ok_baseline.JPEG", &size);

    set_member(file, "blue/a.JPEG", '0', good, size);
    set_member(file, "green/a.JPEG", '0', good, size);
    base_free(good);
    json_object_foreach(files, name, about)
    {
        char *bytes = golden_bytes(name, &size);
        snprintf(place, sizeof place, "red/%s", name);
        set_member(file, place, '0', bytes, size);
        base_free(bytes);
    }
    set_tar_end(file);
    return path;
}

/* A line of the list taken apart, in place. */
typedef struct entry {
    char kind[16], name[300], reason[300];
} entry;

static bool entry_find(entry *out, const char *name)
{
    FILE *file = fopen(list, "r");
    char ending[200];
    bool found = false;

    ck_assert_ptr_nonnull(file);
    snprintf(ending, sizeof ending, "red/%s", name);
    while (!found && fscanf(file, "%15[^\t]\t%299[^\t]\t%299[^\n]\n", out->kind, out->name,
                            out->reason) == 3) {
        const size_t whole = strlen(out->name), end = strlen(ending);
        found = whole > end && strcmp(out->name + whole - end, ending) == 0;
    }
    fclose(file);
    return found;
}

/* The list names every file that is not ok with its kind and reason, and no other. */
static void check_list(const char *what)
{
    const char *name;
    json_t *about;

    json_object_foreach(files, name, about)
    {
        const char *class = json_string_value(json_object_get(about, "class"));
        const char *reason = json_string_value(json_object_get(about, "reason"));
        entry e = {0};
        const bool found = entry_find(&e, name);
        ck_assert_msg(found == (strcmp(class, "ok") != 0), "%s: %s is %slisted", what, name,
                      found ? "" : "not ");
        if (!found)
            continue;
        ck_assert_msg(strcmp(e.kind, class) == 0, "%s: %s is %s", what, name, e.kind);
        if (reason)
            ck_assert_msg(strncmp(e.reason, reason, strlen(reason)) == 0,
                          "%s: %s: %s, expected %s", what, name, e.reason, reason);
    }
}

static void check_all(const char *data, const char *what)
{
    char *out = test_path(dir, "run");
    program_result r = program_run(dir, "data", data, "--verify", "--bad-list", list, NULL);

    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    check_list(what);
    program_done(program_run(dir, "eval", model, "--data", data, "--bad-samples", "skip",
                             "--bad-list", list, NULL));
    check_list(what);
    r = program_run(dir, "eval", model, "--data", data, NULL);
    ck_assert_int_eq(r.code, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "bad sample: "));
    program_result_free(&r);
    r = program_run(dir, "predict", model, "--data", data, "--bad-list", list, NULL);
    ck_assert_int_eq(r.code, 1);
    program_result_free(&r);
    check_list(what);
    r = program_run(dir, "train", "--data", data, "--val", data, "--set", "data.image=8",
                    "model.patch=4", "model.width=8", "model.depth=2", "model.heads=2",
                    "model.mlp=8", "train.max_steps=16", "train.batch=8", "--threads", "1",
                    "--bad-list", list, "--out", out, NULL);
    ck_assert_msg(r.code == 0, "%s", r.err);
    program_result_free(&r);
    check_list(what);
    ck_assert_int_eq(base_folder_remove(out, NULL), BASE_OK);
    base_free(out);
}

START_TEST(loose_files_do_what_the_manifest_says)
{
    char *data = make_folder();

    check_all(data, "folder");
    base_free(data);
}
END_TEST

START_TEST(archived_files_do_what_the_manifest_says)
{
    char *data = make_tar();

    check_all(data, "tar");
    base_free(data);
}
END_TEST

int main(void)
{
    shared = getenv("VMOE_SHARED");
    if (!shared || !*shared)
        return TEST_SKIP;

    Suite *suite = suite_create("app_bad_images");
    TCase *core = tcase_create("Core");
    tcase_set_timeout(core, 120);
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_test(core, loose_files_do_what_the_manifest_says);
    tcase_add_test(core, archived_files_do_what_the_manifest_says);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
