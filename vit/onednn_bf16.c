/* onednn_bf16.c - products with operands in bf16 and fp32 accumulation (model.md "Precision"), and the
 * one place where oneDNN 2.x (operation descriptors) and 3.x (none) differ.
 *
 * Operands are rounded to nearest even on the way in; weights once per pass into a copy of the whole
 * block, so a product with a weight reads that copy. Row counts change with every routing: they are
 * padded to a multiple (zeros add nothing), so that primitives are made for few shapes and reused.
 * Every thread owns its primitives, memory objects and scratch: no locks. */
#include <dnnl.h>
#include <omp.h>
#include <string.h>

#include "vit/vit_internal.h"

/* Rows are padded to this, the length of a sum over rows to that. */
enum { ROW_MULTIPLE = 16, SUM_MULTIPLE = 128 };
/* Primitives a thread keeps; a full table is emptied and fills anew. */
enum { SLOTS = 512 };

typedef struct product_shape {
    size_t m, n, k, lda, ldb;
    bool ta, tb;
} product_shape;

typedef struct product {
    product_shape shape;
    dnnl_primitive_t primitive; /* NULL: free */
    dnnl_memory_t a, b, c;
} product;

/* What belongs to one thread; the last one works outside parallel regions with all threads. */
typedef struct worker {
    dnnl_stream_t stream;
    product *slot; /* [SLOTS] */
    size_t used;
    uint16_t *a, *b;
    float *c;
} worker;

struct vit_bf16 {
    vit_bf16_plan plan;
    dnnl_engine_t engine;
    worker *workers; /* [threads + 1] */
    uint16_t *weights;
    const vit_kernels *kernels;
};

/* ---- the difference between 2.x and 3.x ---------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t matmul_create(product *p, dnnl_engine_t engine,
                                   const dnnl_dims_t dims[3], const dnnl_dims_t strides[3])
{
    static const dnnl_data_type_t types[3] = {dnnl_bf16, dnnl_bf16, dnnl_f32};
    dnnl_memory_t *const memory[3] = {&p->a, &p->b, &p->c};
    dnnl_memory_desc_t desc[3] = {NULL, NULL, NULL};
    dnnl_primitive_desc_t matmul = NULL;
    dnnl_status_t status = dnnl_success;

    for (size_t i = 0; i < 3 && status == dnnl_success; i++)
        status = dnnl_memory_desc_create_with_strides(&desc[i], 2, dims[i], types[i],
                                                      strides[i]);
    if (status == dnnl_success)
        status = dnnl_matmul_primitive_desc_create(&matmul, engine, desc[0], desc[1], NULL,
                                                   desc[2], NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->primitive, matmul);
    for (size_t i = 0; i < 3 && status == dnnl_success; i++)
        status = dnnl_memory_create(memory[i], desc[i], engine, DNNL_MEMORY_NONE);
    dnnl_primitive_desc_destroy(matmul);
    for (size_t i = 0; i < 3; i++)
        dnnl_memory_desc_destroy(desc[i]);
    return status;
}
#else
static dnnl_status_t matmul_create(product *p, dnnl_engine_t engine,
                                   const dnnl_dims_t dims[3], const dnnl_dims_t strides[3])
{
    static const dnnl_data_type_t types[3] = {dnnl_bf16, dnnl_bf16, dnnl_f32};
    dnnl_memory_t *const memory[3] = {&p->a, &p->b, &p->c};
    dnnl_memory_desc_t desc[3];
    dnnl_matmul_desc_t operation;
    dnnl_primitive_desc_t matmul = NULL;
    dnnl_status_t status = dnnl_success;

    for (size_t i = 0; i < 3 && status == dnnl_success; i++)
        status =
            dnnl_memory_desc_init_by_strides(&desc[i], 2, dims[i], types[i], strides[i]);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(&operation, &desc[0], &desc[1], NULL, &desc[2]);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&matmul, &operation, NULL, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->primitive, matmul);
    for (size_t i = 0; i < 3 && status == dnnl_success; i++)
        status = dnnl_memory_create(memory[i], &desc[i], engine, DNNL_MEMORY_NONE);
    if (matmul)
        dnnl_primitive_desc_destroy(matmul);
    return status;
}
#endif

/* ---- primitives, made once per shape ---------------------------------------------------------- */

static void product_destroy(product *p)
{
    if (p->a)
        dnnl_memory_destroy(p->a);
    if (p->b)
        dnnl_memory_destroy(p->b);
    if (p->c)
        dnnl_memory_destroy(p->c);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    memset(p, 0, sizeof *p);
}

static bool same_shape(const product_shape *x, const product_shape *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda &&
           x->ldb == y->ldb && x->ta == y->ta && x->tb == y->tb;
}

static dnnl_status_t product_make(product *p, dnnl_engine_t engine, const product_shape *s)
{
    const dnnl_dim_t m = (dnnl_dim_t)s->m, n = (dnnl_dim_t)s->n, k = (dnnl_dim_t)s->k;
    const dnnl_dim_t lda = (dnnl_dim_t)s->lda, ldb = (dnnl_dim_t)s->ldb;
    const dnnl_dims_t dims[3] = {{m, k}, {k, n}, {m, n}};
    const dnnl_dims_t strides[3] = {
        {s->ta ? 1 : lda, s->ta ? lda : 1},
        {s->tb ? 1 : ldb, s->tb ? ldb : 1},
        {n, 1},
    };
    const dnnl_status_t status = matmul_create(p, engine, dims, strides);
    if (status != dnnl_success)
        product_destroy(p);
    else
        p->shape = *s;
    return status;
}

/* The product of this shape, NULL when oneDNN refuses. */
static product *product_find(vit_bf16 *bf16, worker *w, const product_shape *s)
{
    const uint64_t key = base_key(
        (const uint64_t[]){s->m, s->n, s->k, s->lda, s->ldb, (uint64_t)s->ta * 2 + s->tb},
        6);
    size_t i = (size_t)(key % SLOTS);
    while (w->slot[i].primitive && !same_shape(&w->slot[i].shape, s))
        i = (i + 1) % SLOTS;
    if (w->slot[i].primitive)
        return &w->slot[i];
    if (w->used >= SLOTS / 2) {
        for (size_t j = 0; j < SLOTS; j++)
            product_destroy(&w->slot[j]);
        w->used = 0;
        i = (size_t)(key % SLOTS);
    }
    if (product_make(&w->slot[i], bf16->engine, s) != dnnl_success)
        return NULL;
    w->used++;
    return &w->slot[i];
}

/* ---- create and destroy ------------------------------------------------------------------------ */

base_status vit_bf16_create(vit_bf16 **out, const vit_bf16_plan *plan, base_error *err)
{
    vit_bf16 *bf16 = base_alloc(1, sizeof *bf16);
    bool ok = bf16 != NULL;
    if (ok) {
        const size_t count = (size_t)plan->threads + 1;
        bf16->plan = *plan;
        bf16->kernels = vit_kernels_get();
        bf16->weights = base_alloc(plan->weight_floats, sizeof *bf16->weights);
        bf16->workers = base_alloc(count, sizeof *bf16->workers);
        ok = bf16->weights && bf16->workers &&
             dnnl_engine_create(&bf16->engine, dnnl_cpu, 0) == dnnl_success;
        for (size_t i = 0; i < count && ok; i++) {
            worker *w = &bf16->workers[i];
            const bool wide = i + 1 == count;
            const size_t floats = wide ? plan->wide_floats : plan->block_floats;
            w->slot = base_alloc(SLOTS, sizeof *w->slot);
            w->a = base_alloc(floats, sizeof *w->a);
            w->b = base_alloc(floats, sizeof *w->b);
            w->c =
                base_alloc(wide ? plan->result_floats : plan->block_floats, sizeof *w->c);
            ok = w->slot && w->a && w->b && w->c &&
                 dnnl_stream_create(&w->stream, bf16->engine, dnnl_stream_default_flags) ==
                     dnnl_success;
        }
    }
    if (!ok) {
        vit_bf16_destroy(bf16);
        return base_fail(err, BASE_NO_MEMORY, "no memory for products in bf16");
    }
    *out = bf16;
    return BASE_OK;
}

void vit_bf16_destroy(vit_bf16 *bf16)
{
    if (!bf16)
        return;
    for (size_t i = 0; bf16->workers && i < (size_t)bf16->plan.threads + 1; i++) {
        worker *w = &bf16->workers[i];
        for (size_t j = 0; w->slot && j < SLOTS; j++)
            product_destroy(&w->slot[j]);
        if (w->stream)
            dnnl_stream_destroy(w->stream);
        base_free(w->slot);
        base_free(w->a);
        base_free(w->b);
        base_free(w->c);
    }
    if (bf16->engine)
        dnnl_engine_destroy(bf16->engine);
    base_free(bf16->workers);
    base_free(bf16->weights);
    base_free(bf16);
}

void vit_bf16_refresh(vit_bf16 *bf16)
{
    enum { CHUNK = 1 << 14 };
    const size_t floats = bf16->plan.weight_floats;
#pragma omp parallel for schedule(static) num_threads(bf16->plan.threads)
    for (size_t i = 0; i < floats; i += CHUNK)
        bf16->kernels->to_bf16(bf16->weights + i, bf16->plan.weights + i,
                               floats - i < CHUNK ? floats - i : CHUNK);
}

/* ---- products -------------------------------------------------------------------------------------- */

/* rows x columns of x (ld floats between rows) into out without gaps, then zero rows up to padded. */
static void round_operand(const vit_bf16 *bf16, uint16_t *out, const float *x, size_t rows,
                          size_t columns, size_t ld, size_t padded, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (size_t r = 0; r < rows; r++)
        bf16->kernels->to_bf16(out + r * columns, x + r * ld, columns);
    memset(out + rows * columns, 0, (padded - rows) * columns * sizeof *out);
}

static size_t round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

bool vit_bf16_gemm(vit_bf16 *bf16, bool ta, bool tb, size_t m, size_t n, size_t k,
                   float alpha, const float *a, size_t lda, const float *b, size_t ldb,
                   float beta, float *c, size_t ldc)
{
    const bool inside = omp_in_parallel();
    const int threads = inside ? 1 : bf16->plan.threads;
    worker *w = &bf16->workers[inside ? omp_get_thread_num() : bf16->plan.threads];
    const bool weight =
        b >= bf16->plan.weights && b < bf16->plan.weights + bf16->plan.weight_floats;
    product_shape s = {
        .m = ta ? m : round_up(m, ROW_MULTIPLE),
        .n = n,
        .k = ta && !tb && !weight ? round_up(k, SUM_MULTIPLE) : k,
        .ta = ta,
        .tb = tb,
    };
    s.lda = ta ? m : k;
    s.ldb = weight ? ldb : tb ? k : n;

    if (ta)
        round_operand(bf16, w->a, a, k, m, lda, s.k, threads);
    else
        round_operand(bf16, w->a, a, m, k, lda, s.m, threads);
    if (!weight && tb)
        round_operand(bf16, w->b, b, n, k, ldb, n, threads);
    else if (!weight)
        round_operand(bf16, w->b, b, k, n, ldb, s.k, threads);

    product *p = product_find(bf16, w, &s);
    if (!p)
        return false;
    uint16_t *operand = weight ? bf16->weights + (b - bf16->plan.weights) : w->b;
    const bool direct = alpha == 1.0f && beta == 0.0f && ldc == n && s.m == m;
    if (dnnl_memory_set_data_handle(p->a, w->a) != dnnl_success ||
        dnnl_memory_set_data_handle(p->b, operand) != dnnl_success ||
        dnnl_memory_set_data_handle(p->c, direct ? c : w->c) != dnnl_success)
        return false;
    const dnnl_exec_arg_t args[3] = {
        {DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->b}, {DNNL_ARG_DST, p->c}};
    if (dnnl_primitive_execute(p->primitive, w->stream, 3, args) != dnnl_success ||
        dnnl_stream_wait(w->stream) != dnnl_success)
        return false;
    if (direct)
        return true;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (size_t r = 0; r < m; r++)
        bf16->kernels->scale_add(c + r * ldc, w->c + r * n, alpha, beta, n);
    return true;
}
