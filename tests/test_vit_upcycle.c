/* test_vit_upcycle.c - dense networks made sparse: experts are copies, routers are
 * drawn, the rest stays. */
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

START_TEST(every_expert_is_a_copy_of_the_mlp)
{
    static const char *const labels[] = {"a", "b", "c"};
    static const char *const parts[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
    base_error err = {0};
    const vit_config config = test_config();
    const vit_config sparse = test_sparse_config();
    vit_model *dense = test_model(&config, 1);
    vit_model *model = NULL;

    for (size_t i = 0; i < vit_model_floats(dense);
         i++) /* biases too must differ from zero */
        vit_model_weights(dense)[i] = (float)i;
    must(vit_model_labels_set(dense, labels, 3, &err), &err);
    must(vit_model_upcycle(&model, dense, &sparse.moe, 9, &err), &err);
    ck_assert_str_eq(vit_model_label(model, 2), "c");
    ck_assert(vit_model_config(model)->moe.layer[1]);
    for (size_t i = 0; i < 4; i++) {
        char from[64];
        char to[64];
        snprintf(from, sizeof from, "blocks.1.mlp.%s", parts[i]);
        snprintf(to, sizeof to, "blocks.1.moe.experts.%s", parts[i]);
        const vit_parameter *p = vit_model_parameter_find(dense, from);
        const vit_parameter *q = vit_model_parameter_find(model, to);
        ck_assert_uint_eq(q->count, 4 * p->count);
        for (size_t e = 0; e < 4; e++)
            ck_assert_mem_eq(vit_model_weights(model) + q->offset + e * p->count,
                             vit_model_weights(dense) + p->offset,
                             p->count * sizeof(float));
    }
    for (size_t i = 0; i < vit_model_parameter_count(dense); i++) {
        const vit_parameter *p = vit_model_parameter(dense, i);
        const vit_parameter *q = vit_model_parameter_find(model, p->name);
        ck_assert(q || strncmp(p->name, "blocks.1.mlp.", 13) == 0);
        if (q)
            ck_assert_mem_eq(vit_model_weights(model) + q->offset,
                             vit_model_weights(dense) + p->offset,
                             p->count * sizeof(float));
    }
    vit_model_destroy(model);
    vit_model_destroy(dense);
}
END_TEST

/* With renormalised gates and nothing dropped copies of an MLP are that MLP; a shared
 * expert adds nothing at first, though its first layer is there to learn; what no gradient
 * moves begins at 0. */
START_TEST(an_upcycled_network_computes_what_the_dense_one_did)
{
    base_error err = {0};
    const vit_config config = test_config();
    vit_config sparse = test_sparse_config();
    vit_model *models[2] = {test_model(&config, 1), NULL};
    float logits[2][2 * 3], images[2 * 3 * 64 * 64];

    sparse.moe.shared = 2;
    sparse.moe.k = 2;
    sparse.moe.capacity = sparse.moe.eval_capacity = 0;
    must(vit_router_select(&sparse.moe.router, "loss-free", &err), &err);
    must(vit_model_upcycle(&models[1], models[0], &sparse.moe, 9, &err), &err);
    const vit_parameter *in =
        vit_model_parameter_find(models[1], "blocks.1.moe.shared.fc1.weight");
    const vit_parameter *out =
        vit_model_parameter_find(models[1], "blocks.1.moe.shared.fc2.weight");
    const vit_parameter *mlp =
        vit_model_parameter_find(models[0], "blocks.1.mlp.fc1.weight");
    const vit_parameter *bias =
        vit_model_parameter_find(models[1], "blocks.1.moe.router.bias");
    const float *w = vit_model_weights_const(models[1]);
    ck_assert_uint_eq(in->count, 2 * mlp->count);
    ck_assert_mem_eq(w + in->offset + mlp->count,
                     vit_model_weights_const(models[0]) + mlp->offset,
                     mlp->count * sizeof *w);
    for (size_t i = 0; i < out->count; i++)
        ck_assert(w[out->offset + i] == 0);
    for (size_t i = 0; i < bias->count; i++)
        ck_assert(w[bias->offset + i] == 0);
    const size_t floats = 2 * (size_t)(config.channels * config.image * config.image);
    ck_assert_uint_le(floats, sizeof images / sizeof *images);
    ck_assert_int_le(config.classes, 3);
    for (size_t i = 0; i < floats; i++)
        images[i] = (float)(i % 17) / 8 - 1;
    for (size_t i = 0; i < 2; i++) {
        vit_run *run = NULL;
        must(vit_run_create(&run, models[i], 2, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
             &err);
        must(vit_run_forward(run, logits[i], images, 2, &(vit_step){0}, &err), &err);
        vit_run_destroy(run);
        vit_model_destroy(models[i]);
    }
    for (int i = 0; i < 2 * config.classes; i++)
        ck_assert_double_eq_tol((double)logits[0][i], (double)logits[1][i], 1e-4);
}
END_TEST

START_TEST(routers_come_from_the_seed)
{
    base_error err = {0};
    const vit_config config = test_config();
    const vit_config sparse = test_sparse_config();
    vit_model *dense = test_model(&config, 1);
    vit_model *made[3] = {NULL};
    float router[3][4 * 8];

    for (size_t i = 0; i < 3; i++) {
        must(vit_model_upcycle(&made[i], dense, &sparse.moe, i == 2 ? 8 : 7, &err), &err);
        const vit_parameter *p =
            vit_model_parameter_find(made[i], "blocks.1.moe.router.weight");
        memcpy(router[i], vit_model_weights(made[i]) + p->offset, sizeof router[i]);
        vit_model_destroy(made[i]);
    }
    ck_assert_mem_eq(router[0], router[1], sizeof router[0]);
    ck_assert_mem_ne(router[0], router[2], sizeof router[0]);
    for (size_t i = 0; i < 4 * 8; i++)
        ck_assert(router[0][i] != 0);
    vit_model_destroy(dense);
}
END_TEST

START_TEST(what_cannot_be_upcycled_is_refused)
{
    base_error err = {0};
    const vit_config dense_config = test_config();
    const vit_config sparse_config = test_sparse_config();
    vit_model *dense = test_model(&dense_config, 1);
    vit_model *sparse = test_model(&sparse_config, 1);
    vit_model *out = NULL;
    vit_moe_config moe = sparse_config.moe;

    test_refused(vit_model_upcycle(&out, sparse, &moe, 1, &err), BASE_MISMATCH, &err,
                 "the network has experts already, expected a dense one");
    test_refused(vit_model_upcycle(&out, dense, &dense_config.moe, 1, &err), BASE_USAGE,
                 &err, "'moe.layers' names no block, expected at least one");
    moe.layer[5] = true;
    test_refused(vit_model_upcycle(&out, dense, &moe, 1, &err), BASE_USAGE, &err,
                 "'moe.layers' holds block 5, expected 0 to 1");
    moe = sparse_config.moe;
    moe.k = 9;
    test_refused(vit_model_upcycle(&out, dense, &moe, 1, &err), BASE_USAGE, &err,
                 "'router.k' is 9, expected 1 to the number of experts (4)");
    ck_assert_ptr_null(out);
    vit_model_destroy(sparse);
    vit_model_destroy(dense);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_upcycle");
    TCase *core = test_case_of_threads("Core");
    TCase *limits = test_case_of_threads("Limits");

    tcase_add_test(core, every_expert_is_a_copy_of_the_mlp);
    tcase_add_test(core, an_upcycled_network_computes_what_the_dense_one_did);
    tcase_add_test(core, routers_come_from_the_seed);
    tcase_add_test(limits, what_cannot_be_upcycled_is_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
