/* test_vit_jax.c - checkpoints of V-MoE and .npz files: logits of the authors' own code
 * (tests/golden/vmoe-jax, by tests/reference/pack_jax.py), and files that are damaged in
 * every way: each refused in a line that names it. */
#include <string.h>
#include <sys/stat.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/files/raw_internal.h"

enum { IMAGES = 16, SIDE = 32 };

static char *golden_path(const char *name)
{
    const char *tests = getenv("VMOE_TESTS");

    return base_text("%s/golden/vmoe-jax/%s", tests ? tests : "tests", name);
}

/* ---- the authors' numbers ------------------------------------------------------------ */

/* Logits of the sixteen pictures by the file's network with these settings: [IMAGES,
 * classes], base_free. */
static float *logits_of(const char *name, const vit_load_options *options, double capacity,
                        size_t *classes)
{
    base_error err = {0};
    vit_tensor_file *answers = NULL;
    vit_model *model = NULL;
    vit_run *run = NULL;
    char *path = golden_path("answers.safetensors"), *file = golden_path(name);
    float *images = base_alloc(IMAGES * 3 * SIDE * SIDE, sizeof *images);

    must(vit_tensors_open(&answers, path, &err), &err);
    const unsigned char *pixels = vit_tensors_find(answers, "pixels")->data;
    for (size_t i = 0; i < IMAGES * 3 * SIDE * SIDE; i++)
        images[i] = ((float)pixels[i] / 255.0f - 0.5f) / 0.5f;
    must(vit_model_load(&model, file, options, &err), &err);
    vit_config config = *vit_model_config(model);
    ck_assert_int_eq(config.image, SIDE);
    ck_assert_int_eq(config.gelu, VIT_GELU_TANH);
    config.moe.eval_capacity = capacity;
    must(vit_model_config_set(model, &config, &err), &err);
    *classes = (size_t)config.classes;
    float *logits = base_alloc(IMAGES * *classes, sizeof *logits);
    must(vit_run_create(&run, model, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
         &err);
    must(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err), &err);
    vit_run_destroy(run);
    vit_model_destroy(model);
    vit_tensors_close(answers);
    base_free(images);
    base_free(file);
    base_free(path);
    return logits;
}

/* Row i of the answers is row step * i + first. The authors' fp32 run is off by up to
 * 9e-6. */
static void check_logits(const char *name, const float *logits, size_t classes, size_t step,
                         size_t first)
{
    base_error err = {0};
    vit_tensor_file *answers = NULL;
    char *path = golden_path("answers.safetensors");

    must(vit_tensors_open(&answers, path, &err), &err);
    const vit_tensor *t = vit_tensors_find(answers, name);
    ck_assert_uint_eq(t->shape[0], IMAGES * step);
    ck_assert_uint_eq(t->shape[1], classes);
    for (size_t i = 0; i < IMAGES; i++)
        test_close(logits + i * classes,
                   (const float *)t->data + (i * step + first) * classes, classes, 2e-5, 0);
    vit_tensors_close(answers);
    base_free(path);
}

/* Two members share all but the sparse layers; a hidden layer before the head; one expert a
 * token; groups of 8 images with a capacity of 1.5. */
START_TEST(members_of_an_ensemble_answer_as_the_authors)
{
    size_t classes;

    for (int m = 0; m < 2; m++) {
        float *logits =
            logits_of("ensemble.index", &(vit_load_options){.member = m}, 1.5, &classes);
        check_logits("ensemble", logits, classes, 2, (size_t)m);
        base_free(logits);
    }
}
END_TEST

/* params beside the optimiser's state and scalars; two experts, one a token. */
START_TEST(a_training_state_gives_its_parameters)
{
    base_error err = {0};
    vit_tensor_file *answers = NULL;
    vit_model *model = NULL;
    char *file = golden_path("trainstate.index"),
         *path = golden_path("answers.safetensors");
    vit_run *run = NULL;

    must(vit_model_load(&model, file, NULL, &err), &err);
    vit_config config = *vit_model_config(model);
    ck_assert_int_eq(config.moe.k, 2);
    ck_assert_int_eq(config.moe.group_images, 8);
    ck_assert_int_eq(vit_model_origins(model)->routing, VIT_ORIGIN_ASSUMED);
    /* pictures by the authors' evaluation of that side */
    ck_assert_str_eq(config.interpolation, "bilinear-plain");
    ck_assert_int_eq(config.crop_mode, VIT_CROP_SQUASH);
    vit_config at_224 = config;
    at_224.image = 224;
    vit_jax_sight(&at_224);
    ck_assert_str_eq(at_224.interpolation, "area");
    ck_assert_int_eq(at_224.crop_mode, VIT_CROP_CENTER);
    ck_assert_int_eq(at_224.resize, 256);
    config.moe.k = 1;
    must(vit_model_config_set(model, &config, &err), &err);
    must(vit_tensors_open(&answers, path, &err), &err);
    const unsigned char *pixels = vit_tensors_find(answers, "pixels")->data;
    float *images = base_alloc(IMAGES * 3 * SIDE * SIDE, sizeof *images),
          logits[IMAGES * 3];
    for (size_t i = 0; i < IMAGES * 3 * SIDE * SIDE; i++)
        images[i] = ((float)pixels[i] / 255.0f - 0.5f) / 0.5f;
    must(vit_run_create(&run, model, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
         &err);
    must(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err), &err);
    check_logits("trainstate", logits, 3, 1, 0);
    vit_run_destroy(run);
    base_free(images);
    vit_tensors_close(answers);
    vit_model_destroy(model);
    base_free(path);
    base_free(file);
}
END_TEST

/* big_vision with stacked blocks, bfloat16, positions without the class token's. */
START_TEST(an_npz_of_stacked_blocks_answers_as_the_authors)
{
    size_t classes;
    float *logits = logits_of("bigvision-scan-bf16.npz", NULL, 0, &classes);

    check_logits("bigvision-scan-bf16", logits, classes, 1, 0);
    base_free(logits);
}
END_TEST

/* ---- damage -------------------------------------------------------------------------- */

typedef struct files {
    char *folder, *index, *shard[2];
    char *bytes[3];
    size_t size[3];
} files;

/* A copy of the training state's three files. */
static files files_copy(void)
{
    static const char *const names[] = {"trainstate.index",
                                        "trainstate.data-00000-of-00002",
                                        "trainstate.data-00001-of-00002"};
    files f = {.folder = test_folder_make()};
    char *to[3];

    for (size_t i = 0; i < 3; i++) {
        char *from = golden_path(names[i]);

        to[i] = test_path(f.folder, names[i]);
        ck_assert_int_eq(base_file_read(&f.bytes[i], &f.size[i], from, 1 << 24, NULL),
                         BASE_OK);
        test_write(to[i], f.bytes[i], f.size[i]);
        base_free(from);
    }
    f.index = to[0];
    f.shard[0] = to[1];
    f.shard[1] = to[2];
    return f;
}

static void files_remove(files *f)
{
    for (size_t i = 0; i < 3; i++)
        base_free(f->bytes[i]);
    base_free(f->index);
    base_free(f->shard[0]);
    base_free(f->shard[1]);
    test_folder_remove(f->folder);
}

/* Loading fails, names the folder and leaves nothing behind. */
static void refused(const files *f, const char *words)
{
    base_error err = {0};
    vit_model *model = NULL;
    const base_status status = vit_model_load(&model, f->index, NULL, &err);

    ck_assert_msg(status != BASE_OK, "a damaged file was read: %s", words ? words : "");
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(err.text, f->folder) != NULL, "'%s' names no file", err.text);
    if (words)
        test_says(err.text, words);
}

START_TEST(every_cut_is_refused)
{
    files f = files_copy();
    char *const path[3] = {f.index, f.shard[0], f.shard[1]};

    for (size_t i = 0; i < 3; i++) {
        const size_t step = f.size[i] / 97 + 1;

        for (size_t size = 0; size < f.size[i]; size += step) {
            test_write(path[i], f.bytes[i], size);
            refused(&f, NULL);
        }
        test_write(path[i], f.bytes[i], f.size[i]);
    }
    files_remove(&f);
}
END_TEST

/* A byte changed: refused, or some numbers are others; never a crash, never a hang. */
START_TEST(no_changed_byte_does_harm)
{
    files f = files_copy();
    char *const path[3] = {f.index, f.shard[0], f.shard[1]};
    base_rng rng = base_rng_make(11, BASE_PURPOSE_TEST, 0, 0, 0);

    for (size_t i = 0; i < 3; i++) {
        for (size_t trial = 0; trial < 200; trial++) {
            base_error err = {0};
            vit_model *model = NULL;
            const size_t at = (size_t)base_rng_below(&rng, f.size[i]);
            const char old = f.bytes[i][at];

            f.bytes[i][at] = (char)base_rng_below(&rng, 256);
            test_write(path[i], f.bytes[i], f.size[i]);
            (void)vit_model_load(&model, f.index, NULL, &err);
            vit_model_destroy(model);
            f.bytes[i][at] = old;
        }
        test_write(path[i], f.bytes[i], f.size[i]);
    }
    files_remove(&f);
}
END_TEST

/* The bytes `from` of file i become `to`, of the same length, the n-th time they occur. */
static void change(files *f, size_t i, const char *from, const char *to, size_t count,
                   int n)
{
    char *at = f->bytes[i], *end = at + f->size[i];

    for (; n >= 0; n--, at += n >= 0 ? 1 : 0) {
        at = memmem(at, (size_t)(end - at), from, count);
        ck_assert_ptr_nonnull(at);
    }
    memcpy(at, to, count);
    test_write(i == 0 ? f->index : f->shard[i - 1], f->bytes[i], f->size[i]);
}

START_TEST(what_is_wrong_is_named)
{
    static const struct {
        size_t file;
        const char *from, *to;
        size_t count;
        const char *words;
    } cases[] = {
        {0, "20220622", "20230101", 8,
         "'trainstate.index' has another version than '20220622'"},
        {0, "shard_count\x02", "shard_count\x03", 12,
         "cannot open 'trainstate.data-00000-of-00003': No such file or directory"},
        {0, "shard_count\x02", "shard_count\x01", 12,
         "'trainstate.index' tensor 'opt_state/0/mu/Encoder/encoder_norm/bias' lies in "
         "shard 1 of 1"},
        {0, "shard_count\x02", "shard_count\xc0", 12,
         "'trainstate.index' is no checkpoint index: 'shard_count' is no count of shards"},
        {0, "\xa5index", "\xa5indey", 6,
         "'trainstate.index' is no checkpoint index: it has no 'index'"},
        {0, "\x83\xabshard", "\x93\xabshard", 7,
         "'trainstate.index' is no checkpoint index: no map of MessagePack"},
        {0, "\xabshard", "\x2bshard", 6,
         "'trainstate.index' is no checkpoint index: a key is no text"},
        {1, "array_chunk_a87ca2", "array_chunk_a87ca3", 18,
         "'trainstate.data-00000-of-00002' holds the tensor number '__msgpack_array_chunk_a', the index has 127"},
        {1, "float32", "float64", 7,
         "'trainstate.data-00000-of-00002' tensor "
         "'opt_state/0/mu/Encoder/encoder_norm/scale' has another type than the index says"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        files f = files_copy();

        change(&f, cases[i].file, cases[i].from, cases[i].to, cases[i].count, 0);
        refused(&f, cases[i].words);
        files_remove(&f);
    }
    files f = files_copy();
    ck_assert_int_eq(remove(f.shard[1]), 0);
    refused(&f, "cannot open 'trainstate.data-00001-of-00002': No such file or directory");
    files_remove(&f);
}
END_TEST

/* ---- MessagePack --------------------------------------------------------------------- */

START_TEST(announced_lengths_cost_nothing)
{
    static const struct {
        const char *bytes;
        size_t count;
        bool good;
    } cases[] = {
        {"\xc0", 1, true},
        {"\x7f", 1, true},
        {"\xcf\0\0\0\0\0\0\1\0", 9, true},
        {"\xdd\xff\xff\xff\xff", 5, false},              /* an array of 4 billion */
        {"\xdf\xff\xff\xff\xff\0\0\0\0\0\0", 11, false}, /* a map */
        {"\xc6\xff\xff\xff\xff\0", 6, false},            /* 4 GiB of bytes */
        {"\xc9\xff\xff\xff\xff\1\0", 7, false},
        {"\xc1", 1, false}, /* never used */
        {"\xa5"
         "ab",
         3, false},
        {"\x92\1", 2, false},
        {"\x92\1\x91\2", 4, true},
        {"\xd4\6\x90", 3, true},
        {"\xc7\x00\x06", 3, true},
        {"\xc7\x00", 2, false},
        {"", 0, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const unsigned char *at = (const unsigned char *)cases[i].bytes;
        vit_pack from = {at, at + cases[i].count};

        ck_assert_msg(vit_pack_skip(&from) == cases[i].good, "case %zu", i);
        if (cases[i].good)
            ck_assert_ptr_eq(from.at, at + cases[i].count);
    }
}
END_TEST

START_TEST(depth_is_no_danger)
{
    enum { DEEP = 1 << 20 };
    unsigned char *bytes = base_alloc(DEEP + 1, 1);
    vit_pack from = {bytes, bytes + DEEP + 1};
    base_error err = {0};
    vit_model *model = NULL;
    char *folder = test_folder_make(), *path = test_path(folder, "x.index");

    memset(bytes, 0x91, DEEP); /* arrays in arrays */
    ck_assert(vit_pack_skip(&from));
    /* {"shard_count": 1, "index": {"a": {"a": ... */
    memcpy(bytes, "\x82\xabshard_count\x01\xa5index", 20);
    for (size_t i = 20; i + 3 <= DEEP; i += 3)
        memcpy(bytes + i,
               "\x81\xa1"
               "a",
               3);
    test_write(path, bytes, DEEP);
    ck_assert_int_ne(vit_model_load(&model, path, NULL, &err), BASE_OK);
    test_folder_remove(folder);
    base_free(path);
    base_free(bytes);
}
END_TEST

/* ---- .npz ---------------------------------------------------------------------------- */

START_TEST(a_damaged_npz_is_refused_or_read)
{
    char *from = golden_path("bigvision-scan-bf16.npz"), *bytes = NULL;
    char *folder = test_folder_make(), *path = test_path(folder, "x.npz");
    size_t size = 0;
    base_rng rng = base_rng_make(12, BASE_PURPOSE_TEST, 0, 0, 0);

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 24, NULL), BASE_OK);
    for (size_t cut = 0; cut < size; cut += size / 97 + 1) {
        base_error err = {0};
        vit_model *model = NULL;

        test_write(path, bytes, cut);
        ck_assert_int_ne(vit_model_load(&model, path, NULL, &err), BASE_OK);
        test_says(err.text,
                  "'x.npz' is no ZIP archive, or cut off: its directory is missing");
    }
    for (size_t trial = 0; trial < 300; trial++) {
        base_error err = {0};
        vit_model *model = NULL;
        /* the directory is at the end: half of the changes there */
        const size_t low = trial % 2 ? size - 4000 : 0;
        const size_t at = low + (size_t)base_rng_below(&rng, size - low);
        const char old = bytes[at];

        bytes[at] = (char)base_rng_below(&rng, 256);
        test_write(path, bytes, size);
        (void)vit_model_load(&model, path, NULL, &err);
        vit_model_destroy(model);
        bytes[at] = old;
    }
    base_free(bytes);
    base_free(from);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

/* A header that is longer than its member: the member is not left out in silence. */
START_TEST(an_npz_member_whose_header_is_cut_off_is_refused)
{
    static const char name[] = "params/cls.npy";
    char *from = golden_path("bigvision-scan-bf16.npz"), *bytes = NULL;
    char *folder = test_folder_make(), *path = test_path(folder, "x.npz");
    size_t size = 0;
    base_error err = {0};
    vit_model *model = NULL;

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 24, NULL), BASE_OK);
    char *at = memmem(bytes, size, name, strlen(name));
    ck_assert_ptr_nonnull(at);
    at = memmem(at, 256, "\x93NUMPY\1", 7);
    ck_assert_ptr_nonnull(at);
    at[9] = 100; /* 256 of its length */
    test_write(path, bytes, size);
    ck_assert_int_eq(vit_model_load(&model, path, NULL, &err), BASE_FORMAT);
    test_says(err.text, "'x.npz' member 'params/cls.npy' is cut off or damaged");
    base_free(bytes);
    base_free(from);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

START_TEST(another_shape_is_named)
{
    static const struct {
        const char *member, *from, *to, *words;
    } cases[] = {
        {"LayerNorm_0/scale", "(3, 32)", "(32, 3)",
         "'x.npz' tensor 'Encoder/encoderblock/LayerNorm_0/scale' has shape [32, 3], "
         "expected depth and then [32]"},
        {"params/cls", "(1, 1, 32)", "(1, 32, 1)",
         "'x.npz' tensor 'cls' has shape [1, 32, 1], expected [1, 1, 32]"},
    };
    char *from = golden_path("bigvision-scan-bf16.npz"), *bytes = NULL;
    char *folder = test_folder_make(), *path = test_path(folder, "x.npz");
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 24, NULL), BASE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        vit_model *model = NULL;
        char *at = memmem(bytes, size, cases[i].member, strlen(cases[i].member));
        ck_assert_ptr_nonnull(at);
        at = memmem(at, 256, cases[i].from, strlen(cases[i].from));
        ck_assert_ptr_nonnull(at);
        memcpy(at, cases[i].to, strlen(cases[i].to));
        test_write(path, bytes, size);
        ck_assert_int_ne(vit_model_load(&model, path, NULL, &err), BASE_OK);
        test_says(err.text, cases[i].words);
        memcpy(at, cases[i].from, strlen(cases[i].from));
    }
    base_free(bytes);
    base_free(from);
    base_free(path);
    test_folder_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_jax");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, members_of_an_ensemble_answer_as_the_authors);
    tcase_add_test(core, a_training_state_gives_its_parameters);
    tcase_add_test(core, an_npz_of_stacked_blocks_answers_as_the_authors);
    suite_add_tcase(suite, core);
    tcase_add_test(limits, every_cut_is_refused);
    tcase_add_test(limits, no_changed_byte_does_harm);
    tcase_add_test(limits, what_is_wrong_is_named);
    tcase_add_test(limits, announced_lengths_cost_nothing);
    tcase_add_test(limits, depth_is_no_danger);
    tcase_add_test(limits, a_damaged_npz_is_refused_or_read);
    tcase_add_test(limits, an_npz_member_whose_header_is_cut_off_is_refused);
    tcase_add_test(limits, another_shape_is_named);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
