/* test_vit_products.c - products on packed weights, of heads and of gradients against sums
 * in double, for any number of rows and both precisions; runs see weights that change
 * between passes; what a run keeps and how it cuts the work changes no bit. */
#include <check.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_slope.h"
#include "vit/vit_internal.h"

enum { ROWS = 130, MOST = 200 * ROWS, SHAPES = 4 };
/* out, in: fills no vector, no block of oneDNN's, one of them exactly */
static const size_t shapes[SHAPES][2] = {{1, 7}, {37, 30}, {96, 64}, {193, 65}};

static float x[MOST], weight[MOST], bias[MOST], expected[MOST], found[MOST];
static float operand_x[MOST], operand_y[MOST]; /* of 4 or 2 bytes a number */

/* Rounds `from` to operands, and itself to what they stand for. */
static void operands_make(void *out, float *from, size_t n, vit_precision precision)
{
    const vit_operand_kernels *o = &vit_kernels_get()->operand[precision];

    o->round(out, 1.0f, from, n);
    memset(from, 0, n * sizeof *from);
    o->axpy(from, 1.0f, out, n);
}

static void wide_make(float *out, const void *operands, size_t n, vit_precision precision)
{
    memset(out, 0, n * sizeof *out);
    vit_kernels_get()->operand[precision].axpy(out, 1.0f, operands, n);
}

/* c [m, n] = op(a) op(b) (+ bias), a [m, k] or [k, m], b [k, n] or [n, k] */
static void multiply(float *c, const float *a, size_t lda, bool ta, const float *b,
                     size_t ldb, bool tb, const float *add, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = add ? (double)add[j] : 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)a[ta ? l * lda + i : i * lda + l] *
                       (double)b[tb ? j * ldb + l : l * ldb + j];
            c[i * n + j] = (float)sum;
        }
}

static void check_close(size_t n, double tolerance, const char *what, size_t rows)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs((double)found[i] - (double)expected[i]) <=
                          tolerance * (1 + fabs((double)expected[i])),
                      "%s of %zu rows at %zu: %.7g, expected %.7g", what, rows, i,
                      (double)found[i], (double)expected[i]);
}

static double result_tolerance(vit_precision precision, bool fp32)
{
    return precision == VIT_PRECISION_BF16 && !fp32 ? 1.0 / 128 : 1e-4;
}

static bool runs_here(vit_precision precision)
{
    return precision == VIT_PRECISION_FP32 || vit_bf16_available();
}

/* Without AVX-512 oneDNN multiplies by a general product that cuts its sums by the number
 * of rows: a row's last bits follow its company. */
static bool rows_stand_alone(void)
{
    char version[128];

    vit_onednn_version(version, sizeof version);
    return strstr(version, "avx512") != NULL;
}

static vit_exec open_linear(const vit_linear *linear, vit_precision precision)
{
    base_error err = {0};
    vit_exec exec = {0};
    const vit_products_plan plan = {.precision = precision,
                                    .threads = 1,
                                    .backward = true,
                                    .linears = linear,
                                    .count = 1};

    ck_assert_msg(vit_products_create(&exec.products, &plan, &err) == BASE_OK, "%s",
                  err.text);
    vit_products_refresh(&exec, 0, SIZE_MAX, 1);
    return exec;
}

START_TEST(linear_layers_equal_plain_sums)
{
    static const size_t rows[] = {1, 5, 16, 77, 128, ROWS};
    const vit_precision precision = (vit_precision)(_i % 2);
    const size_t out = shapes[_i / 2][0], in = shapes[_i / 2][1];
    const vit_linear linear = {weight, bias, out, in};

    if (!runs_here(precision))
        return;
    slope_fill(weight, out * in, 1);
    slope_fill(bias, out, 2);
    operands_make(operand_x, weight, out * in,
                  precision); /* packing rounds: round before */
    vit_exec exec = open_linear(&linear, precision);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (int fp32 = 0; fp32 < 2; fp32++) {
            const double tolerance = result_tolerance(precision, fp32);
            const vit_precision result = fp32 ? VIT_PRECISION_FP32 : precision;

            slope_fill(x, rows[r] * in, 3);
            operands_make(operand_x, x, rows[r] * in, precision);
            multiply(expected, x, in, false, weight, in, true, bias, rows[r], out, in);
            vit_linear_forward(&exec, 0, rows[r], operand_x, operand_y, fp32);
            wide_make(found, operand_y, rows[r] * out, result);
            check_close(rows[r] * out, tolerance, "forward", rows[r]);

            slope_fill(x, rows[r] * out, 4);
            operands_make(operand_x, x, rows[r] * out, precision);
            multiply(expected, x, out, false, weight, in, false, NULL, rows[r], in, out);
            vit_linear_backward(&exec, 0, rows[r], operand_x, operand_y, fp32);
            wide_make(found, operand_y, rows[r] * in, result);
            check_close(rows[r] * in, tolerance, "backward", rows[r]);
        }
    }
    ck_assert(!atomic_load(&exec.failed));
    vit_products_destroy(exec.products);
}
END_TEST

START_TEST(packed_weights_follow_their_version)
{
    const vit_precision precision = (vit_precision)_i;
    const size_t out = 37, in = 30;
    const vit_linear linear = {weight, NULL, out, in};

    if (!runs_here(precision))
        return;
    slope_fill(weight, out * in, 1);
    operands_make(operand_x, weight, out * in, precision);
    slope_fill(x, in, 3);
    operands_make(operand_x, x, in, precision);
    vit_exec exec = open_linear(&linear, precision);
    for (uint64_t version = 1; version < 4; version++) {
        for (size_t i = 0; i < out * in; i++)
            weight[i] *= 2;
        vit_products_refresh(&exec, 0, SIZE_MAX, version + 1);
        multiply(expected, x, in, false, weight, in, true, NULL, 1, out, in);
        vit_linear_forward(&exec, 0, 1, operand_x, found, true);
        check_close(out, 1e-4, "another version", 1);
    }
    vit_products_destroy(exec.products);
}
END_TEST

START_TEST(products_of_heads_equal_plain_sums)
{
    enum { N = 19, HEADS = 3, WIDTH = 10, SOME = 7 };
    static float out[HEADS * N * WIDTH];
    const vit_precision precision = (vit_precision)_i;
    const size_t bytes = precision == VIT_PRECISION_BF16 ? 2 : 4;

    if (!runs_here(precision))
        return;
    vit_exec exec = open_linear(&(vit_linear){weight, NULL, 1, 1}, precision);
    slope_fill(x, HEADS * N * WIDTH, 1);
    slope_fill(weight, HEADS * N * N, 2);
    operands_make(operand_x, x, HEADS * N * WIDTH, precision);
    operands_make(operand_y, weight, HEADS * N * N, precision);
    vit_multiply(
        &exec,
        &(vit_product_shape){
            .batch = HEADS, .m = N, .n = N, .k = WIDTH, .tb = true, .c_fp32 = true},
        operand_x, operand_x, found);
    for (size_t h = 0; h < HEADS; h++)
        multiply(expected + h * N * N, x + h * N * WIDTH, WIDTH, false, x + h * N * WIDTH,
                 WIDTH, true, NULL, N, N, WIDTH);
    check_close(HEADS * N * N, 1e-4, "scores", N);
    vit_multiply(&exec, &(vit_product_shape){.batch = HEADS, .m = N, .n = WIDTH, .k = N},
                 operand_y, operand_x, out);
    for (size_t h = 0; h < HEADS; h++)
        multiply(expected + h * N * WIDTH, weight + h * N * N, N, false, x + h * N * WIDTH,
                 WIDTH, false, NULL, N, WIDTH, N);
    wide_make(found, out, HEADS * N * WIDTH, precision);
    check_close(HEADS * N * WIDTH, result_tolerance(precision, false), "mixture", N);
    /* some rows of one head: not a bit changes */
    static float part[SOME * WIDTH];
    vit_multiply(&exec, &(vit_product_shape){.batch = 1, .m = SOME, .n = WIDTH, .k = N},
                 operand_y, operand_x, part);
    if (rows_stand_alone())
        ck_assert(memcmp(part, out, SOME * WIDTH * bytes) == 0);
    else
        for (size_t i = 0; i < SOME * WIDTH; i++)
            ck_assert_double_eq_tol((double)part[i], (double)out[i], 1e-6);
    ck_assert(!atomic_load(&exec.failed));
    vit_products_destroy(exec.products);
}
END_TEST

/* Of more shapes than are kept the first ones are made anew. */
START_TEST(products_of_any_number_of_shapes_are_right)
{
    enum { M = 11, N = 16, K = 13, SHAPES_MANY = M * N * K };

    vit_exec exec = open_linear(&(vit_linear){weight, NULL, 1, 1}, VIT_PRECISION_FP32);
    slope_fill(x, M * K, 1);
    slope_fill(weight, K * N, 2);
    for (size_t i = 0; i < SHAPES_MANY + 3; i++) {
        const size_t m = 1 + i % M, n = 1 + i / M % N, k = 1 + i / (M * N) % K;
        vit_multiply(
            &exec, &(vit_product_shape){.batch = 1, .m = m, .n = n, .k = k, .c_fp32 = true},
            x, weight, found);
        multiply(expected, x, k, false, weight, n, false, NULL, m, n, k);
        for (size_t j = 0; j < m * n; j++)
            if (!(fabsf(found[j] - expected[j]) <= 1e-4f))
                ck_abort_msg("%zu x %zu x %zu", m, n, k);
    }
    ck_assert(!atomic_load(&exec.failed));
    vit_products_destroy(exec.products);
}
END_TEST

START_TEST(gradients_of_weights_add_up)
{
    enum { M = 20, LDA = 33, N = 17, LDB = 21, LDC = 40 };
    static const size_t rows[] = {0, 1, 16, 45, 129};
    const vit_precision precision = (vit_precision)_i;

    if (!runs_here(precision))
        return;
    vit_exec exec = open_linear(&(vit_linear){weight, NULL, 1, 1}, precision);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        static float sum[M * LDC];
        slope_fill(x, rows[r] * LDA, 1);
        slope_fill(weight, rows[r] * LDB, 2);
        slope_fill(sum, M * LDC, 3);
        operands_make(operand_x, x, rows[r] * LDA, precision);
        operands_make(operand_y, weight, rows[r] * LDB, precision);
        multiply(expected, x, LDA, true, weight, LDB, false, NULL, M, N, rows[r]);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                expected[i * N + j] += sum[i * LDC + j];
        const float beside = sum[N];
        vit_product_gradient(&exec, M, N, rows[r], operand_x, LDA, operand_y, LDB, sum, LDC,
                             true);
        for (size_t i = 0; i < M; i++)
            memcpy(found + i * N, sum + i * LDC, N * sizeof *found);
        check_close(M * N, 1e-4, "gradient", rows[r]);

        /* written, whatever was there */
        multiply(expected, x, LDA, true, weight, LDB, false, NULL, M, N, rows[r]);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++)
                sum[i * LDC + j] = NAN;
        vit_product_gradient(&exec, M, N, rows[r], operand_x, LDA, operand_y, LDB, sum, LDC,
                             false);
        for (size_t i = 0; i < M; i++)
            memcpy(found + i * N, sum + i * LDC, N * sizeof *found);
        check_close(M * N, 1e-4, "written gradient", rows[r]);
        ck_assert(sum[N] == beside);
    }
    ck_assert(!atomic_load(&exec.failed));
    vit_products_destroy(exec.products);
}
END_TEST

/* ---- whole networks ------------------------------------------------------------------ */

static vit_model *network(bool sparse)
{
    vit_config config = slope_config();

    config.depth = 2;
    config.moe.layer[1] = sparse;
    config.moe.k = 2;
    ck_assert_int_eq(vit_router_select(&config.moe.router, "softmax", NULL), BASE_OK);
    return slope_model(&config);
}

static vit_run *run_of(const vit_model *model, vit_mode mode, vit_precision precision)
{
    base_error err = {0};
    vit_run *run = NULL;

    ck_assert_msg(vit_run_create(&run, model, SLOPE_BATCH, mode, precision, &err) ==
                      BASE_OK,
                  "%s", err.text);
    return run;
}

static void forward(float *logits, vit_run *run, const float *images, size_t count)
{
    base_error err = {0};

    ck_assert_msg(vit_run_forward(run, logits, images, count, &(vit_step){0}, &err) ==
                      BASE_OK,
                  "%s", err.text);
}

/* Loops over mode, precision and kind of network. */
START_TEST(a_run_sees_weights_that_change)
{
    enum { LOGITS = SLOPE_BATCH * SLOPE_CLASSES };
    const vit_mode mode = (vit_mode)(_i % 3);
    const vit_precision precision = (vit_precision)(_i / 3 % 2);
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float before[LOGITS], after[LOGITS], fresh[LOGITS];
    base_error err = {0};
    vit_model *model = network(_i >= 6);
    vit_optimizer *optimizer = NULL;
    const vit_optimizer_config settings = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    const size_t floats = vit_model_floats(model);
    float *gradients = base_alloc(floats, sizeof *gradients);

    if (!runs_here(precision))
        goto end;
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    slope_fill(gradients, floats, 2);
    ck_assert_int_eq(vit_optimizer_create(&optimizer, model, &settings, &err), BASE_OK);
    vit_run *run = run_of(model, mode, precision);
    forward(before, run, images, SLOPE_BATCH);
    for (int change = 0; change < 3; change++) {
        if (change == 0)
            vit_model_weights(
                model)[vit_model_parameter_find(model, "blocks.0.attn.qkv.weight")
                           ->offset] += 1;
        else if (change == 1)
            vit_optimizer_step(optimizer, model, gradients, 0.01);
        else
            vit_model_init(model, 77);
        forward(after, run, images, SLOPE_BATCH);
        vit_run *other = run_of(model, mode, precision);
        forward(fresh, other, images, SLOPE_BATCH);
        vit_run_destroy(other);
        ck_assert_mem_ne(before, after, sizeof before);
        ck_assert_mem_eq(after, fresh, sizeof after);
        memcpy(before, after, sizeof before);
    }
    vit_run_destroy(run);
end:
    vit_optimizer_destroy(optimizer);
    base_free(gradients);
    vit_model_destroy(model);
}
END_TEST

START_TEST(what_a_run_keeps_changes_no_bit)
{
    enum { LOGITS = SLOPE_BATCH * SLOPE_CLASSES };
    const vit_precision precision = (vit_precision)(_i % 2);
    static float images[SLOPE_BATCH * SLOPE_FLOATS];
    float kept[LOGITS], bare[LOGITS], alone[LOGITS], threads[LOGITS];
    vit_model *model = network(_i >= 2);

    if (!runs_here(precision))
        goto end;
    slope_fill(images, SLOPE_BATCH * SLOPE_FLOATS, 1);
    vit_run *all = run_of(model, VIT_MODE_INPUT_GRADIENT, precision);
    vit_run *infer = run_of(model, VIT_MODE_INFER, precision);
    forward(kept, all, images, SLOPE_BATCH);
    forward(bare, infer, images, SLOPE_BATCH);
    for (size_t i = 0; i < SLOPE_BATCH; i++)
        forward(alone + i * SLOPE_CLASSES, infer, images + i * SLOPE_FLOATS, 1);
    vit_run_destroy(infer);
    vit_run_destroy(all);
    const int before = omp_get_max_threads();
    omp_set_num_threads(3);
    infer = run_of(model, VIT_MODE_INFER, precision);
    forward(threads, infer, images, SLOPE_BATCH);
    vit_run_destroy(infer);
    omp_set_num_threads(before);
    ck_assert_mem_eq(bare, kept, sizeof kept);
    /* routers' products are cut by the batch: their last bits follow it */
    const double near = rows_stand_alone() ? 0.0 : 1e-6;
    for (size_t i = 0; i < LOGITS; i++) {
        ck_assert_double_le(fabs((double)alone[i] - (double)kept[i]),
                            _i >= 2 ? 1e-3 : near);
        ck_assert_double_le(fabs((double)threads[i] - (double)kept[i]), near);
    }
end:
    vit_model_destroy(model);
}
END_TEST

START_TEST(the_pixels_gradient_in_bf16_is_near_fp32)
{
    enum { PIXELS = SLOPE_BATCH * SLOPE_FLOATS };
    static float images[PIXELS], d_images[2][PIXELS];
    float logits[SLOPE_BATCH * SLOPE_CLASSES], d_logits[SLOPE_BATCH * SLOPE_CLASSES];
    base_error err = {0};
    vit_model *model = network(_i == 1);
    double difference = 0, size = 0;

    if (!vit_bf16_available())
        goto end;
    slope_fill(images, PIXELS, 1);
    slope_fill(d_logits, SLOPE_BATCH * SLOPE_CLASSES, 2);
    for (int i = 0; i < 2; i++) {
        vit_run *run = run_of(model, VIT_MODE_INPUT_GRADIENT, (vit_precision)i);
        forward(logits, run, images, SLOPE_BATCH);
        ck_assert_int_eq(vit_run_backward(run, d_images[i], d_logits, &err), BASE_OK);
        vit_run_destroy(run);
    }
    for (size_t i = 0; i < PIXELS; i++) {
        const double d = (double)d_images[1][i] - (double)d_images[0][i];
        difference += d * d;
        size += (double)d_images[0][i] * (double)d_images[0][i];
    }
    ck_assert_double_gt(size, 0);
    ck_assert_double_le(sqrt(difference), 0.05 * sqrt(size));
end:
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_products");
    TCase *core = test_case_of_threads("Core"),
          *network_case = test_case_of_threads("Network");
    tcase_add_loop_test(core, linear_layers_equal_plain_sums, 0, 2 * SHAPES);
    tcase_add_loop_test(core, packed_weights_follow_their_version, 0, 2);
    tcase_add_loop_test(core, products_of_heads_equal_plain_sums, 0, 2);
    tcase_add_test(core, products_of_any_number_of_shapes_are_right);
    tcase_add_loop_test(core, gradients_of_weights_add_up, 0, 2);
    tcase_add_loop_test(network_case, a_run_sees_weights_that_change, 0, 12);
    tcase_add_loop_test(network_case, what_a_run_keeps_changes_no_bit, 0, 4);
    tcase_add_loop_test(network_case, the_pixels_gradient_in_bf16_is_near_fp32, 0, 2);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, network_case);
    return test_run(suite);
}
