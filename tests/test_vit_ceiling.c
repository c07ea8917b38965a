/* test_vit_ceiling.c - the products of a pass against the count of operations that the
 * model gives, and against the shapes that a reader expects. No time is judged. */
#include <omp.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/vit.h"

static vit_model *named(const char *name, int experts, int k)
{
    base_error err = {0};
    vit_config config = vit_config_defaults();
    vit_model *model = NULL;

    must(vit_config_select(&config, name, &err), &err);
    config.moe.experts = experts;
    config.moe.k = k;
    must(vit_model_plan(&model, &config, &err), &err);
    return model;
}

/* Of the products in the list, not of its own sum. */
static double flops_of(const vit_model *model, size_t batch, vit_mode mode)
{
    vit_product products[VIT_PRODUCTS_MAX];
    const size_t count = vit_model_products(products, VIT_PRODUCTS_MAX, model, batch, mode);
    double sum = 0;

    ck_assert_uint_le(count, VIT_PRODUCTS_MAX);
    for (size_t i = 0; i < count; i++)
        sum += 2.0 * (double)(products[i].count * products[i].batch) *
               (double)products[i].m * (double)products[i].n * (double)products[i].k;
    return sum;
}

/* 7 and 5 images: with 8 experts the assignments do not divide. */
START_TEST(products_add_up_to_the_models_operations)
{
    static const struct {
        const char *name;
        int experts, k;
        size_t batch;
    } cases[] = {{"vit-ti16", 8, 2, 3},   {"vmoe-ti16", 8, 2, 7},  {"vmoe-s32", 64, 1, 5},
                 {"vmoe-micro", 5, 3, 5}, {"vmoe-nano", 64, 1, 1}, {"vmoe-s16", 4, 4, 2}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vit_model *model = named(cases[i].name, cases[i].experts, cases[i].k);
        const vit_config *c = vit_model_config(model);
        const double images = (double)cases[i].batch;
        const double forward = images * vit_model_flops(model);
        const int side = c->image / c->patch;
        const double patches =
            2 * images * side * side * c->width * c->channels * c->patch * c->patch;

        const double infer = flops_of(model, cases[i].batch, VIT_MODE_INFER);
        ck_assert_double_eq_tol(infer, forward, 1e-12 * forward);
        /* the images' own gradient is not computed in training, weights' not in attacks */
        const double train = flops_of(model, cases[i].batch, VIT_MODE_TRAIN);
        ck_assert_double_eq_tol(train, 3 * forward - patches, 1e-12 * train);
        const double attack = flops_of(model, cases[i].batch, VIT_MODE_INPUT_GRADIENT);
        ck_assert_double_eq_tol(vit_model_pass_flops(model, cases[i].batch, VIT_MODE_TRAIN),
                                train, 1e-12 * train);
        ck_assert_double_gt(attack, 2 * forward * 0.999);
        vit_model_destroy(model);
    }
}
END_TEST

START_TEST(a_linear_layer_has_three_products)
{
    vit_product products[VIT_PRODUCTS_MAX];
    vit_model *model = named("vit-ti16", 8, 2);
    const size_t count =
        vit_model_products(products, VIT_PRODUCTS_MAX, model, 2, VIT_MODE_TRAIN);
    size_t seen = 0;

    for (size_t i = 0; i < count; i++) {
        const vit_product *p = &products[i];
        if (strcmp(p->name, "fc1") != 0)
            continue;
        static const size_t shape[3][3] = {
            {394, 768, 192}, {394, 192, 768}, {768, 192, 394}};
        ck_assert_int_eq(p->part, VIT_PART_MLP);
        ck_assert_uint_eq(p->m, shape[p->kind][0]);
        ck_assert_uint_eq(p->n, shape[p->kind][1]);
        ck_assert_uint_eq(p->k, shape[p->kind][2]);
        ck_assert_uint_eq(p->count, 12);
        ck_assert_int_eq(p->weight, p->kind != VIT_PRODUCT_WEIGHT);
        seen++;
    }
    ck_assert_uint_eq(seen, 3);
    vit_model_destroy(model);
}
END_TEST

/* NAME PART KIND, COUNT x BATCH of M N K: three images of five tokens; of the fifteen
 * assignments three experts get four, one three. */
static const char *const trained[] = {
    "patches patch forward 1 x 1 of 12 8 48 tb weight",
    "patches patch weight-gradient 1 x 1 of 8 48 12 ta",
    "qkv projection forward 3 x 1 of 15 24 8 tb weight",
    "qkv projection input 3 x 1 of 15 8 24 weight",
    "qkv projection weight-gradient 3 x 1 of 24 8 15 ta",
    "scores attention forward 3 x 6 of 5 5 4 tb",
    "values attention forward 3 x 6 of 5 4 5",
    "scores attention input 3 x 6 of 5 5 4 tb",
    "values attention input 3 x 6 of 5 4 5",
    "values attention input 6 x 6 of 5 4 5 ta",
    "proj projection forward 3 x 1 of 15 8 8 tb weight",
    "proj projection input 3 x 1 of 15 8 8 weight",
    "proj projection weight-gradient 3 x 1 of 8 8 15 ta",
    "fc1 mlp forward 2 x 1 of 15 12 8 tb weight",
    "fc1 mlp input 2 x 1 of 15 8 12 weight",
    "fc1 mlp weight-gradient 2 x 1 of 12 8 15 ta",
    "fc2 mlp forward 2 x 1 of 15 8 12 tb weight",
    "fc2 mlp input 2 x 1 of 15 12 8 weight",
    "fc2 mlp weight-gradient 2 x 1 of 8 12 15 ta",
    "router router forward 1 x 1 of 15 4 8 tb weight single",
    "router router input 1 x 1 of 15 8 4 weight single",
    "router router weight-gradient 1 x 1 of 4 8 15 ta single",
    "experts' fc1 experts forward 3 x 1 of 4 12 8 tb weight",
    "experts' fc1 experts input 3 x 1 of 4 8 12 weight",
    "experts' fc1 experts weight-gradient 3 x 1 of 12 8 4 ta",
    "experts' fc2 experts forward 3 x 1 of 4 8 12 tb weight",
    "experts' fc2 experts input 3 x 1 of 4 12 8 weight",
    "experts' fc2 experts weight-gradient 3 x 1 of 8 12 4 ta",
    "experts' fc1 experts forward 1 x 1 of 3 12 8 tb weight",
    "experts' fc1 experts input 1 x 1 of 3 8 12 weight",
    "experts' fc1 experts weight-gradient 1 x 1 of 12 8 3 ta",
    "experts' fc2 experts forward 1 x 1 of 3 8 12 tb weight",
    "experts' fc2 experts input 1 x 1 of 3 12 8 weight",
    "experts' fc2 experts weight-gradient 1 x 1 of 8 12 3 ta",
    "shared fc1 experts forward 2 x 1 of 15 12 8 tb weight",
    "shared fc1 experts input 2 x 1 of 15 8 12 weight",
    "shared fc1 experts weight-gradient 2 x 1 of 12 8 15 ta",
    "shared fc2 experts forward 2 x 1 of 15 8 12 tb weight",
    "shared fc2 experts input 2 x 1 of 15 12 8 weight",
    "shared fc2 experts weight-gradient 2 x 1 of 8 12 15 ta",
    "pre-logits head forward 1 x 1 of 3 5 8 tb weight",
    "pre-logits head input 1 x 1 of 3 8 5 weight",
    "pre-logits head weight-gradient 1 x 1 of 5 8 3 ta",
    "head head forward 1 x 1 of 3 3 5 tb weight",
    "head head input 1 x 1 of 3 5 3 weight",
    "head head weight-gradient 1 x 1 of 3 5 3 ta",
};

static const char *product_text(char out[128], const vit_product *p)
{
    static const char *const kinds[] = {[VIT_PRODUCT_FORWARD] = "forward",
                                        [VIT_PRODUCT_INPUT] = "input",
                                        [VIT_PRODUCT_WEIGHT] = "weight-gradient"};

    snprintf(out, 128, "%s %s %s %zu x %zu of %zu %zu %zu%s%s%s%s", p->name,
             vit_part_name(p->part), kinds[p->kind], p->count, p->batch, p->m, p->n, p->k,
             p->ta ? " ta" : "", p->tb ? " tb" : "", p->weight ? " weight" : "",
             p->single ? " single" : "");
    return out;
}

/* In inference the forward ones alone; for the images' gradient those of inputs too, the
 * patches' among them. */
START_TEST(every_product_of_a_network_is_there)
{
    static const vit_mode modes[] = {VIT_MODE_TRAIN, VIT_MODE_INPUT_GRADIENT,
                                     VIT_MODE_INFER};
    vit_config config = test_sparse_config();

    config.depth = 3;
    config.prelogits = 5;
    config.moe.shared = 2;
    config.moe.k = 1;
    vit_model *model = test_model(&config, 1);
    for (size_t mode = 0; mode < 3; mode++) {
        vit_product products[VIT_PRODUCTS_MAX];
        char text[128];
        const size_t count =
            vit_model_products(products, VIT_PRODUCTS_MAX, model, 3, modes[mode]);
        size_t at = 0;
        for (size_t i = 0; i < sizeof trained / sizeof trained[0]; i++) {
            if ((mode > 0 && strstr(trained[i], "weight-gradient")) ||
                (mode > 1 && strstr(trained[i], " input ")))
                continue;
            ck_assert_str_eq(product_text(text, &products[at++]), trained[i]);
            if (mode == 1 && at == 1)
                ck_assert_str_eq(product_text(text, &products[at++]),
                                 "patches patch input 1 x 1 of 12 48 8 weight");
        }
        ck_assert_uint_eq(at, count);
    }
    vit_model_destroy(model);
}
END_TEST

START_TEST(the_list_counts_beyond_its_room)
{
    vit_product products[2];
    vit_model *model = named("vmoe-nano", 8, 2);
    const size_t all = vit_model_products(NULL, 0, model, 2, VIT_MODE_TRAIN);

    ck_assert_uint_gt(all, 20);
    ck_assert_uint_eq(vit_model_products(products, 2, model, 2, VIT_MODE_TRAIN), all);
    ck_assert_str_eq(products[1].name, "patches");
    vit_model_destroy(model);
}
END_TEST

/* In both precisions; without bf16 instructions the second is the first again. */
START_TEST(every_product_is_timed)
{
    base_error err = {0};
    vit_config config = test_sparse_config();
    vit_model *model = test_model(&config, 1);

    omp_set_num_threads(1);
    for (int precision = VIT_PRECISION_FP32; precision <= VIT_PRECISION_BF16; precision++) {
        vit_ceiling *ceiling = NULL;
        double sum = 0;

        must(vit_ceiling_create(&ceiling, model, 2, VIT_MODE_TRAIN,
                                (vit_precision)precision, &err),
             &err);
        const double round = vit_ceiling_round(ceiling);
        ck_assert_uint_eq(vit_ceiling_count(ceiling),
                          vit_model_products(NULL, 0, model, 2, VIT_MODE_TRAIN));
        for (size_t i = 0; i < vit_ceiling_count(ceiling); i++) {
            ck_assert_double_gt(vit_ceiling_seconds(ceiling, i), 0);
            ck_assert_ptr_nonnull(vit_ceiling_form(ceiling, i));
            sum += vit_ceiling_seconds(ceiling, i) *
                   (double)vit_ceiling_product(ceiling, i)->count;
        }
        ck_assert_double_eq_tol(sum, round, 1e-9 * round);
        vit_ceiling_destroy(ceiling);
    }
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_ceiling");
    TCase *core = test_case_of_threads("Core");

    tcase_set_timeout(core, 60);
    tcase_add_test(core, products_add_up_to_the_models_operations);
    tcase_add_test(core, a_linear_layer_has_three_products);
    tcase_add_test(core, every_product_of_a_network_is_there);
    tcase_add_test(core, the_list_counts_beyond_its_room);
    tcase_add_test(core, every_product_is_timed);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
