/* product.c - products of activations through oneDNN's matmul primitives, made once per
 * shape and kept: heads of attention side by side, linear layers with packed weights
 * (linear.c), gradients of weights. Operands are fp32 or bf16, sums are fp32.
 *
 * Everything here works on the calling thread alone, inside a parallel region or not:
 * layers give each thread blocks of rows. Every thread owns its primitives, memory objects
 * and scratch: no locks. Relied on elsewhere: a result depends on operands and shapes only;
 * no memory is taken for a shape that was seen before. */
#include <omp.h>
#include <string.h>

#include "vit/onednn/product_internal.h"

/* Primitives a thread keeps; a full table is emptied and fills anew. Scratch beyond a
 * result, of which oneDNN says how much only when a primitive is made. */
enum { SLOTS = 2048, SCRATCH_SPARE = 1 << 18 };

typedef struct product_slot {
    vit_product_key key;
    dnnl_primitive_t primitive; /* NULL: free */
    dnnl_memory_t a, b, c, bias, scratch;
} product_slot;

/* What belongs to one thread. */
struct vit_product_worker {
    dnnl_stream_t stream;
    product_slot *slot; /* [SLOTS] */
    size_t used;
    void *scratch;
    size_t scratch_bytes;
};

static void memory_destroy(dnnl_memory_t memory)
{
    if (memory)
        dnnl_memory_destroy(memory);
}

static void slot_clear(product_slot *p)
{
    memory_destroy(p->a);
    memory_destroy(p->b);
    memory_destroy(p->c);
    memory_destroy(p->bias);
    memory_destroy(p->scratch);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    memset(p, 0, sizeof *p);
}

/* ---- create and destroy -------------------------------------------------------------- */

base_status vit_products_create(vit_products **out, const vit_products_plan *plan,
                                base_error *err)
{
    if (plan->precision == VIT_PRECISION_BF16 && !vit_bf16_available())
        return base_fail(
            err, BASE_UNSUPPORTED,
            "this processor has no instructions for bf16; fp32 runs everywhere");

    vit_products *products = base_alloc(1, sizeof *products);
    bool ok = products != NULL;

    if (ok) {
        products->plan = *plan;
        products->kernels = &vit_kernels_get()->operand[plan->precision];
        products->type = plan->precision == VIT_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
        products->bytes = plan->precision == VIT_PRECISION_BF16 ? 2 : 4;
        products->workers = base_alloc((size_t)plan->threads, sizeof *products->workers);
        ok = products->workers &&
             dnnl_engine_create(&products->engine, dnnl_cpu, 0) == dnnl_success;
        for (int i = 0; i < plan->threads && ok; i++) {
            vit_product_worker *w = &products->workers[i];

            w->slot = base_alloc(SLOTS, sizeof *w->slot);
            w->scratch_bytes = SCRATCH_SPARE + plan->result_floats * sizeof(float);
            w->scratch = base_alloc(w->scratch_bytes, 1);
            ok = w->slot && w->scratch &&
                 dnnl_stream_create(&w->stream, products->engine,
                                    dnnl_stream_default_flags) == dnnl_success;
        }
        ok = ok && vit_linears_create(products);
    }
    if (!ok) {
        vit_products_destroy(products);
        return base_fail(err, BASE_NO_MEMORY, "no memory for matrix products");
    }
    *out = products;
    return BASE_OK;
}

void vit_products_destroy(vit_products *products)
{
    if (!products)
        return;
    vit_linears_destroy(products);
    for (int i = 0; products->workers && i < products->plan.threads; i++) {
        vit_product_worker *w = &products->workers[i];

        for (size_t j = 0; w->slot && j < SLOTS; j++)
            slot_clear(&w->slot[j]);
        if (w->stream)
            dnnl_stream_destroy(w->stream);
        base_free(w->slot);
        base_free(w->scratch);
    }
    if (products->engine)
        dnnl_engine_destroy(products->engine);
    base_free(products->workers);
    base_free(products);
}

vit_product_worker *vit_product_worker_mine(const vit_products *products)
{
    return &products->workers[omp_get_thread_num()];
}

dnnl_stream_t vit_product_stream(const vit_product_worker *worker)
{
    return worker->stream;
}

/* ---- primitives, made once per shape ------------------------------------------------- */

/* A primitive is made for the one thread that runs it, however many the process may use:
 * oneDNN's blocks depend on that number. */
static dnnl_status_t made_for_one_thread(dnnl_primitive_t *out, vit_layout *scratch,
                                         vit_layout *b, const vit_matmul *matmul,
                                         dnnl_engine_t engine)
{
    const int threads = omp_get_max_threads();

    omp_set_num_threads(1);
    const dnnl_status_t status = vit_matmul_make(out, scratch, b, matmul, engine);
    omp_set_num_threads(threads);
    return status;
}

static dnnl_status_t layouts_make(vit_matmul *out, const vit_products *products,
                                  const vit_product_key *key, const vit_layout *b)
{
    const dnnl_dim_t batch = (dnnl_dim_t)key->batch, m = (dnnl_dim_t)key->m;
    const dnnl_dim_t n = (dnnl_dim_t)key->n;
    const dnnl_dim_t k = key->k ? (dnnl_dim_t)key->k : DNNL_RUNTIME_DIM_VAL;
    const dnnl_dim_t lda = (dnnl_dim_t)key->lda, ldb = (dnnl_dim_t)key->ldb;
    const dnnl_dim_t a_dims[3] = {batch, m, k}, b_dims[3] = {batch, k, n},
                     c_dims[3] = {batch, m, n}, bias_dims[2] = {1, n};
    const dnnl_dim_t a_step[3] = {(dnnl_dim_t)key->step_a, key->ta ? 1 : lda,
                                  key->ta ? lda : 1};
    const dnnl_dim_t b_step[3] = {(dnnl_dim_t)key->step_b, key->tb ? 1 : ldb,
                                  key->tb ? ldb : 1};
    const dnnl_dim_t c_step[3] = {(dnnl_dim_t)key->step_c, (dnnl_dim_t)key->ldc, 1};
    const dnnl_dim_t bias_step[2] = {n, 1};
    const int rank = key->batch > 1 ? 3 : 2, skip = 3 - rank;
    const dnnl_data_type_t c_type = key->c_fp32 ? dnnl_f32 : products->type;

    memset(out, 0, sizeof *out);
    out->adds = key->adds;
    dnnl_status_t status =
        vit_layout_make(&out->a, rank, a_dims + skip, products->type, a_step + skip);
    if (status == dnnl_success)
        status = b ? vit_layout_copy(&out->b, b)
                   : vit_layout_make(&out->b, rank, b_dims + skip, products->type,
                                     b_step + skip);
    if (status == dnnl_success)
        status = vit_layout_make(&out->c, rank, c_dims + skip, c_type, c_step + skip);
    if (status == dnnl_success && key->bias)
        status = vit_layout_make(&out->bias, 2, bias_dims, dnnl_f32, bias_step);
    return status;
}

static void layouts_destroy(vit_matmul *matmul)
{
    vit_layout_destroy(&matmul->a);
    vit_layout_destroy(&matmul->b);
    vit_layout_destroy(&matmul->c);
    vit_layout_destroy(&matmul->bias);
}

dnnl_status_t vit_product_layout(vit_layout *b, const vit_products *products,
                                 const vit_product_key *key)
{
    const dnnl_dim_t dims[2] = {(dnnl_dim_t)key->k, (dnnl_dim_t)key->n};
    dnnl_primitive_t primitive = NULL;
    vit_layout any = {0}, scratch = {0};
    vit_matmul matmul;

    memset(b, 0, sizeof *b);
    dnnl_status_t status = vit_layout_make(&any, 2, dims, products->type, NULL);
    if (status == dnnl_success)
        status = layouts_make(&matmul, products, key, &any);
    if (status == dnnl_success)
        status = made_for_one_thread(&primitive, &scratch, b, &matmul, products->engine);
    if (any.there)
        layouts_destroy(&matmul);
    vit_layout_destroy(&any);
    vit_layout_destroy(&scratch);
    if (primitive)
        dnnl_primitive_destroy(primitive);
    return status;
}

/* Memory objects without data of their own, scratch room for the largest product so far. */
static dnnl_status_t slot_make(product_slot *p, const vit_products *products,
                               vit_product_worker *w, const vit_product_key *key,
                               const vit_layout *b)
{
    vit_matmul matmul;
    vit_layout scratch = {0};
    dnnl_status_t status = layouts_make(&matmul, products, key, b);

    if (status == dnnl_success)
        status =
            made_for_one_thread(&p->primitive, &scratch, NULL, &matmul, products->engine);
    /* lengths that are known at the call alone have their memory objects made there */
    if (status == dnnl_success && key->k)
        status = vit_layout_memory(&p->a, &matmul.a, products->engine, NULL);
    if (status == dnnl_success && key->k && !b)
        status = vit_layout_memory(&p->b, &matmul.b, products->engine, NULL);
    if (status == dnnl_success)
        status = vit_layout_memory(&p->c, &matmul.c, products->engine, NULL);
    if (status == dnnl_success && key->bias)
        status = vit_layout_memory(&p->bias, &matmul.bias, products->engine, NULL);
    const size_t bytes = vit_layout_bytes(&scratch);
    if (status == dnnl_success && bytes > w->scratch_bytes) {
        base_free(w->scratch);
        w->scratch = base_alloc(bytes, 1);
        w->scratch_bytes = w->scratch ? bytes : 0;
        status = w->scratch ? dnnl_success : dnnl_out_of_memory;
    }
    if (status == dnnl_success && bytes > 0)
        status = vit_layout_memory(&p->scratch, &scratch, products->engine, NULL);
    layouts_destroy(&matmul);
    vit_layout_destroy(&scratch);
    if (status != dnnl_success)
        slot_clear(p);
    else
        p->key = *key;
    return status;
}

/* The product of this shape, NULL when oneDNN refuses. */
static product_slot *slot_find(const vit_products *products, vit_product_worker *w,
                               const vit_product_key *key, const vit_layout *b)
{
    const uint64_t hash = base_key(
        (const uint64_t[]){key->batch, key->m, key->n, key->k, key->lda, key->ldb, key->ldc,
                           key->step_a, key->step_b, key->step_c,
                           (uint64_t)key->packed << 5 | (uint64_t)key->ta << 4 |
                               (uint64_t)key->tb << 3 | (uint64_t)key->c_fp32 << 2 |
                               (uint64_t)key->bias << 1 | (uint64_t)key->adds},
        11);
    size_t i = (size_t)(hash % SLOTS);

    while (w->slot[i].primitive && memcmp(&w->slot[i].key, key, sizeof *key) != 0)
        i = (i + 1) % SLOTS;
    if (w->slot[i].primitive)
        return &w->slot[i];
    if (w->used >= SLOTS / 2) {
        for (size_t j = 0; j < SLOTS; j++)
            slot_clear(&w->slot[j]);
        w->used = 0;
        i = (size_t)(hash % SLOTS);
    }
    if (slot_make(&w->slot[i], products, w, key, b) != dnnl_success)
        return NULL;
    w->used++;
    return &w->slot[i];
}

/* ---- products ------------------------------------------------------------------------ */

static bool bound(dnnl_memory_t memory, const void *at)
{
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)at) == dnnl_success;
}

bool vit_product_execute(const vit_products *products, const vit_product_key *key,
                         const vit_product_args *args)
{
    vit_product_worker *w = vit_product_worker_mine(products);
    product_slot *p = slot_find(products, w, key, args->packed);
    int count = 3;

    if (!p || (p->a && !bound(p->a, args->a)) || (p->b && !bound(p->b, args->b)) ||
        !bound(p->c, args->c) || (p->bias && !bound(p->bias, args->bias)) ||
        (p->scratch && !bound(p->scratch, w->scratch)))
        return false;
    dnnl_exec_arg_t list[5] = {
        {DNNL_ARG_SRC, p->a ? p->a : args->memory_a},
        {DNNL_ARG_WEIGHTS, p->b ? p->b : args->memory_b},
        {DNNL_ARG_DST, p->c},
    };
    if (p->bias)
        list[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, p->bias};
    if (p->scratch)
        list[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratch};
    return dnnl_primitive_execute(p->primitive, w->stream, count, list) == dnnl_success &&
           dnnl_stream_wait(w->stream) == dnnl_success;
}

void vit_multiply(vit_exec *exec, const vit_product_shape *s, const void *a, const void *b,
                  void *c)
{
    vit_product_key key;

    memset(&key, 0, sizeof key);
    key.batch = s->batch;
    key.m = s->m;
    key.n = s->n;
    key.k = s->k;
    key.lda = s->k;
    key.ldb = s->tb ? s->k : s->n;
    key.ldc = s->n;
    key.step_a = s->m * s->k;
    key.step_b = s->k * s->n;
    key.step_c = s->m * s->n;
    key.tb = s->tb;
    key.c_fp32 = s->c_fp32;
    if (!vit_product_execute(exec->products, &key,
                             &(vit_product_args){.a = a, .b = b, .c = c}))
        atomic_store(&exec->failed, true);
}

/* c [m, n] = a [k, m]^T b [k, n] in bf16, or +=. k is given at the call: experts have
 * another number of rows at every step. */
static bool gradient_bf16(const vit_products *products, size_t m, size_t n, size_t k,
                          const void *a, size_t lda, const void *b, size_t ldb, float *c,
                          size_t ldc, bool adds)
{
    const dnnl_dim_t a_dims[2] = {(dnnl_dim_t)m, (dnnl_dim_t)k};
    const dnnl_dim_t b_dims[2] = {(dnnl_dim_t)k, (dnnl_dim_t)n};
    const dnnl_dim_t a_step[2] = {1, (dnnl_dim_t)lda}, b_step[2] = {(dnnl_dim_t)ldb, 1};
    vit_layout layout[2] = {0};
    vit_product_args args = {.c = c};
    vit_product_key key;

    memset(&key, 0, sizeof key);
    key.batch = 1;
    key.m = m;
    key.n = n;
    key.lda = lda;
    key.ldb = ldb;
    key.ldc = ldc;
    key.ta = true;
    key.c_fp32 = true;
    key.adds = adds;
    bool ok = vit_layout_make(&layout[0], 2, a_dims, dnnl_bf16, a_step) == dnnl_success &&
              vit_layout_make(&layout[1], 2, b_dims, dnnl_bf16, b_step) == dnnl_success &&
              vit_layout_memory(&args.memory_a, &layout[0], products->engine,
                                (void *)(uintptr_t)a) == dnnl_success &&
              vit_layout_memory(&args.memory_b, &layout[1], products->engine,
                                (void *)(uintptr_t)b) == dnnl_success;
    ok = ok && vit_product_execute(products, &key, &args);
    memory_destroy(args.memory_a);
    memory_destroy(args.memory_b);
    vit_layout_destroy(&layout[0]);
    vit_layout_destroy(&layout[1]);
    return ok;
}

void vit_product_gradient(vit_exec *exec, size_t m, size_t n, size_t k, const void *a,
                          size_t lda, const void *b, size_t ldb, float *c, size_t ldc,
                          bool adds)
{
    if (k == 0) {
        for (size_t i = 0; !adds && i < m; i++)
            memset(c + i * ldc, 0, n * sizeof *c);
        return;
    }
    if (exec->products->type == dnnl_f32)
        vit_gemm(exec, true, false, m, n, k, 1.0f, a, lda, b, ldb, adds ? 1.0f : 0.0f, c,
                 ldc);
    else if (!gradient_bf16(exec->products, m, n, k, a, lda, b, ldb, c, ldc, adds))
        atomic_store(&exec->failed, true);
}
