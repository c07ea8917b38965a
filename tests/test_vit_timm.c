/* test_vit_timm.c - networks of timm of every kind that is read, against timm's own logits
 * (tests/golden/timm, by tests/reference/make_timm.py): pooling, registers, layer scale,
 * norms, weights of 16 bits, prefixes, shards. What has no place is named. */
#include <string.h>

#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"

enum { IMAGES = 3, CLASSES = 5 };

static const char *const cases[] = {
    "token",  /* class token */
    "shards", /* the same in two files */
    "mean_beside_token",
    "fc_norm",     /* mean beside the class token, then a norm; names begin with module. */
    "gap",         /* no class token; float16 */
    "gap_fc_norm", /* bfloat16, model. */
    "dinov2",      /* registers without positions, layer scale */
    "deit3",       /* class token without position, layer scale, state_dict.model. */
    "registers",   /* with positions, mean over the patches alone */
    "sbb",         /* registers without class token */
    "clip",        /* norm before the blocks, its epsilon, patches without bias */
    "qk_norm",     /* qkv without bias */
};
enum { CASES = sizeof cases / sizeof cases[0] };

static char *path_of(const char *name, const char *file)
{
    const char *tests = getenv("VMOE_TESTS");

    return base_text("%s/golden/timm/%s%s%s", tests ? tests : "tests", name,
                     *name ? "/" : "", file);
}

static vit_model *loaded(const char *name)
{
    base_error err = {0};
    vit_model *model = NULL;
    char *path = path_of(name, strcmp(name, "shards") == 0 ? "model.safetensors.index.json"
                                                           : "model.safetensors");

    must(vit_model_load(&model, path, NULL, &err), &err);
    base_free(path);
    return model;
}

static void check_logits(const vit_model *model, const char *name)
{
    base_error err = {0};
    vit_tensor_file *answers = NULL;
    vit_run *run = NULL;
    char *path = path_of("", "answers.safetensors");
    float logits[IMAGES * CLASSES];

    must(vit_tensors_open(&answers, path, &err), &err);
    must(vit_run_create(&run, model, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
         &err);
    must(vit_run_forward(run, logits, test_floats(answers, "", "images"), IMAGES,
                         &(vit_step){0}, &err),
         &err);
    test_close(logits, test_floats(answers, "", name), IMAGES * CLASSES, 1e-5, 1e-6);
    vit_run_destroy(run);
    vit_tensors_close(answers);
    base_free(path);
}

START_TEST(every_kind_answers_as_timm)
{
    vit_model *model = loaded(cases[_i]);

    ck_assert_int_eq(vit_model_config(model)->heads, 2);
    check_logits(model, cases[_i]);
    vit_model_destroy(model);
}
END_TEST

/* Saved as ours and read back: the same answers, so the config says all. */
START_TEST(every_kind_survives_as_a_checkpoint_of_ours)
{
    base_error err = {0};
    vit_model *model = loaded(cases[_i]), *again = NULL;
    char *folder = test_folder_make(), *path = test_path(folder, "x.safetensors");

    must(vit_model_save(model, path, VIT_PRECISION_FP32, &err), &err);
    must(vit_model_load(&again, path, NULL, &err), &err);
    check_logits(again, cases[_i]);
    vit_model_destroy(again);
    vit_model_destroy(model);
    test_folder_remove(folder);
    base_free(path);
}
END_TEST

/* ---- what is not read ---------------------------------------------------------------- */

/* The token case whose tensor of this name, or one more, has one dimension. */
static void refused_with(const char *name, const char *words)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    vit_model *model = NULL;
    vit_tensor tensor[64];
    char *from = path_of("token", "model.safetensors"), *folder = test_folder_make();
    char *path = test_path(folder, "x.safetensors");
    size_t count = 0, at = 0;

    must(vit_tensors_open(&file, from, &err), &err);
    for (; count < vit_tensors_count(file); count++)
        tensor[count] = *vit_tensors_at(file, count);
    while (at < count && strcmp(tensor[at].name, name) != 0)
        at++;
    tensor[at] = tensor[0];
    tensor[at].name = name;
    count += at == count;
    must(vit_tensors_write(path, tensor, count, NULL, 0, &err), &err);
    const base_status status =
        vit_model_load(&model, path, &(vit_load_options){.heads = 2}, &err);
    ck_assert_int_ne(status, BASE_OK);
    test_refused(status, status, &err, words);
    ck_assert_ptr_null(model);
    vit_tensors_close(file);
    test_folder_remove(folder);
    base_free(path);
    base_free(from);
}

START_TEST(what_has_no_place_is_named)
{
    refused_with(
        "head_dist.weight",
        "'x.safetensors' tensor 'head_dist.weight' is of a distilled DeiT (two class "
        "tokens, two heads)");
    refused_with(
        "dist_token",
        "'x.safetensors' tensor 'dist_token' is of a distilled DeiT (two class tokens, two "
        "heads)");
    refused_with(
        "attn_pool.latent",
        "'x.safetensors' tensor 'attn_pool.latent' is attention pooling, expected a class "
        "token or the mean");
    refused_with(
        "blocks.0.mlp.w12.weight",
        "'x.safetensors' tensor 'blocks.0.mlp.w12.weight' is a gated MLP (SwiGLU), "
        "expected fc1 and fc2 with GELU");
    refused_with(
        "blocks.1.attn.rope.freqs",
        "'x.safetensors' tensor 'blocks.1.attn.rope.freqs' has no place in this network");
    refused_with(
        "blocks.7.ls1.gamma",
        "'x.safetensors' has no tensor 'blocks.2.norm1.weight', expected one of shape [16]");
    refused_with(
        "fc_norm.weight",
        "'x.safetensors' tensor 'fc_norm.weight' is a second last norm, expected one");
    refused_with(
        "pos_embed",
        "'x.safetensors' tensor 'pos_embed' has shape [16], expected 3 dimensions");
    refused_with(
        "blocks.0.mlp.fc1.weight",
        "'x.safetensors' tensor 'blocks.0.mlp.fc1.weight' has shape [16], expected 2 "
        "dimensions");
}
END_TEST

/* A list of shards: a shard that is missing, lacks its tensor, has another, or lies
 * elsewhere. */
START_TEST(lists_of_shards_must_be_whole)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{}", "'m.safetensors.index.json' is no list of shards: it has no 'weight_map'"},
        {"[]", "'m.safetensors.index.json' is no list of shards: it has no 'weight_map'"},
        {"{\"weight_map\": {\"a\": 3}}",
         "'m.safetensors.index.json' is no list of shards: 'weight_map' has a value that "
         "is no name"},
        {"{\"weight_map\": {\"a\": \"none.safetensors\"}}",
         "cannot open 'none.safetensors': No such file or directory"},
        {"{\"weight_map\": {\"a\": \"../x.safetensors\"}}",
         "'m.safetensors.index.json' is no list of shards: a shard's name leads elsewhere"},
        {"{\"weight_map\": {\"a\": \"x.safetensors\"}}",
         "'m.safetensors.index.json' has the tensor 'a' in 'x.safetensors', which lacks it"},
        {"{\"weight_map\": {\"cls_token\": \"x.safetensors\"}}",
         "'m.safetensors.index.json' is no list of shards: its shards hold tensors that it "
         "does not name"},
    };
    char *from = path_of("token", "model.safetensors"), *bytes = NULL;
    char *folder = test_folder_make(),
         *path = test_path(folder, "m.safetensors.index.json");
    char *shard = test_path(folder, "x.safetensors");
    size_t size = 0;

    ck_assert_int_eq(base_file_read(&bytes, &size, from, 1 << 24, NULL), BASE_OK);
    test_write(shard, bytes, size);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        base_error err = {0};
        vit_model *model = NULL;

        test_write(path, bad[i].text, strlen(bad[i].text));
        const base_status status = vit_model_load(&model, path, NULL, &err);
        ck_assert_int_ne(status, BASE_OK);
        test_refused(status, status, &err, bad[i].words);
    }
    base_free(bytes);
    base_free(shard);
    base_free(path);
    base_free(from);
    test_folder_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_timm");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_loop_test(core, every_kind_answers_as_timm, 0, CASES);
    tcase_add_loop_test(core, every_kind_survives_as_a_checkpoint_of_ours, 0, CASES);
    suite_add_tcase(suite, core);
    tcase_add_test(limits, what_has_no_place_is_named);
    tcase_add_test(limits, lists_of_shards_must_be_whole);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
