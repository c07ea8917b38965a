/* linear.c - linear layers on weights that are packed once: y = x W^T + bias and dx = dy W
 * for blocks of rows.
 *
 * A weight W [out, in] is copied into the layout that oneDNN's product wants, in bf16
 * rounded to nearest even on the way; only when the model says that its weights changed, so
 * never again in inference. Our kernels make the layouts that oneDNN usually wants
 * (kernels_layout.h), in bf16 both in one pass over W; its reorders make others. Packing W
 * for the backward product in fp32 gains nothing (bench/LOG.md): that one reads the weight
 * as stored. */
#include <string.h>

#include "vit/onednn/product_internal.h"

/* Rows a layout is chosen for; any number may come. */
enum { PLANNED_ROWS = 128 };

static void key_fill(vit_product_key *key, const vit_products *products,
                     const vit_linear *linear, size_t rows, bool backward, bool c_fp32)
{
    memset(key, 0, sizeof *key);
    key->batch = 1;
    key->m = rows;
    key->n = backward ? linear->in : linear->out;
    key->k = backward ? linear->out : linear->in;
    key->lda = key->k;
    key->ldc = key->n;
    key->c_fp32 = c_fp32 || products->type == dnnl_f32;
    key->bias = !backward && linear->bias;
    key->packed = backward ? VIT_B_BACKWARD : VIT_B_FORWARD;
}

/* The layout of a pack, and where the weight comes from. */
static dnnl_status_t pack_plan(vit_pack *pack, vit_layout *stored,
                               const vit_products *products, const vit_linear *linear,
                               bool backward)
{
    const dnnl_dim_t out = (dnnl_dim_t)linear->out, in = (dnnl_dim_t)linear->in;
    const dnnl_dim_t dims[2] = {backward ? out : in, backward ? in : out};
    const dnnl_dim_t strides[2] = {backward ? in : 1, backward ? 1 : in};
    vit_product_key key;

    dnnl_status_t status = vit_layout_make(stored, 2, dims, dnnl_f32, strides);
    if (status != dnnl_success)
        return status;
    if (backward && products->type == dnnl_f32)
        return vit_layout_copy(&pack->layout, stored);
    key_fill(&key, products, linear, PLANNED_ROWS, backward, false);
    status = vit_product_layout(&pack->layout, products, &key);
    pack->width = status == dnnl_success
                      ? vit_layout_width(&pack->layout, dims[0], dims[1], products->type)
                      : 0;
    return status;
}

static size_t pack_bytes(const vit_pack *pack, const vit_layout *stored)
{
    const size_t line = 64;

    if (vit_layout_equal(&pack->layout, stored))
        return 0;
    return (vit_layout_bytes(&pack->layout) + line - 1) / line * line;
}

static bool pack_bind(vit_pack *pack, const vit_layout *stored, unsigned char *at,
                      const vit_products *products, const vit_linear *linear)
{
    void *weight = (void *)(uintptr_t)linear->weight;

    pack->at = at;
    if (pack->width > 0)
        return vit_layout_memory(&pack->memory, &pack->layout, products->engine, at) ==
               dnnl_success;
    if (pack_bytes(pack, stored) == 0)
        return vit_layout_memory(&pack->memory, &pack->layout, products->engine, weight) ==
               dnnl_success;
    return vit_layout_memory(&pack->memory, &pack->layout, products->engine, at) ==
               dnnl_success &&
           vit_layout_memory(&pack->source, stored, products->engine, weight) ==
               dnnl_success &&
           vit_reorder_make(&pack->reorder, stored, &pack->layout, products->engine) ==
               dnnl_success;
}

/* Walked twice: first with room NULL, to measure. */
static bool packs_walk(vit_products *products, size_t *bytes)
{
    bool ok = true;

    *bytes = 0;
    for (size_t i = 0; i < products->plan.count && ok; i++) {
        for (int backward = 0; backward <= products->plan.backward && ok; backward++) {
            vit_packed_linear *l = &products->packed[i];
            vit_pack *pack = backward ? &l->backward : &l->forward;
            const vit_linear *linear = &products->linears[i];
            vit_layout stored = {0};

            vit_layout_destroy(&pack->layout);
            ok = pack_plan(pack, &stored, products, linear, backward) == dnnl_success;
            if (ok && products->room)
                ok = pack_bind(pack, &stored, products->room + *bytes, products, linear);
            if (ok)
                *bytes += pack_bytes(pack, &stored);
            vit_layout_destroy(&stored);
        }
    }
    return ok;
}

/* Rows of a task; all of them together also fill the columns that a paired layout adds. */
enum { TASK_ROWS = 32, WIDEST = 64 };

static size_t weight_tasks(const vit_packed_linear *packed, const vit_linear *linear)
{
    const size_t rows = (linear->out + WIDEST - 1) / WIDEST * WIDEST;

    return packed->forward.width > 0 || packed->backward.width > 0 ? rows / TASK_ROWS : 1;
}

static bool tasks_plan(vit_products *products)
{
    size_t count = 0;

    for (size_t i = 0; i < products->plan.count; i++)
        count += weight_tasks(&products->packed[i], &products->linears[i]);
    products->tasks = base_alloc(count + 1, sizeof *products->tasks);
    if (!products->tasks)
        return false;
    for (size_t i = 0; i < products->plan.count; i++)
        for (size_t t = 0; t < weight_tasks(&products->packed[i], &products->linears[i]);
             t++)
            products->tasks[products->task_count++] =
                (vit_pack_task){.linear = i, .first = t * TASK_ROWS};
    return true;
}

bool vit_linears_create(vit_products *products)
{
    const size_t count = products->plan.count;
    size_t bytes;

    products->linears = base_alloc(count + 1, sizeof *products->linears);
    products->packed = base_alloc(count + 1, sizeof *products->packed);
    if (!products->linears || !products->packed)
        return false;
    if (count > 0)
        memcpy(products->linears, products->plan.linears,
               count * sizeof *products->linears);
    products->plan.linears = products->linears;
    if (!packs_walk(products, &bytes) || !tasks_plan(products))
        return false;
    products->room = base_alloc(bytes + 1, 1);
    return products->room && packs_walk(products, &bytes);
}

static void pack_destroy(vit_pack *pack)
{
    if (pack->memory)
        dnnl_memory_destroy(pack->memory);
    if (pack->source)
        dnnl_memory_destroy(pack->source);
    if (pack->reorder)
        dnnl_primitive_destroy(pack->reorder);
    vit_layout_destroy(&pack->layout);
}

void vit_linears_destroy(vit_products *products)
{
    for (size_t i = 0; products->packed && i < products->plan.count; i++) {
        pack_destroy(&products->packed[i].forward);
        pack_destroy(&products->packed[i].backward);
    }
    base_free(products->packed);
    base_free(products->tasks);
    base_free(products->linears);
    base_free(products->room);
}

static bool pack_fill(const vit_products *products, const vit_pack *pack)
{
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, pack->source},
                                     {DNNL_ARG_TO, pack->memory}};
    dnnl_stream_t stream = vit_product_stream(vit_product_worker_mine(products));

    return !pack->reorder ||
           (dnnl_primitive_execute(pack->reorder, stream, 2, args) == dnnl_success &&
            dnnl_stream_wait(stream) == dnnl_success);
}

static bool task_run(const vit_products *products, const vit_pack_task *task)
{
    const vit_linear *l = &products->linears[task->linear];
    const vit_pack *forward = &products->packed[task->linear].forward;
    const vit_pack *backward = &products->packed[task->linear].backward;
    const bool whole = task->first == 0;

    if (forward->width > 0 || backward->width > 0)
        products->kernels->pack_rows(forward->width > 0 ? forward->at : NULL,
                                     backward->width > 0 ? backward->at : NULL, l->weight,
                                     task->first, l->out, l->in, forward->width,
                                     backward->width);
    return !whole || (pack_fill(products, forward) && pack_fill(products, backward));
}

/* The first task of a layer, or of those behind it. */
static size_t task_of(const vit_products *products, size_t linear)
{
    size_t low = 0, high = products->task_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (products->tasks[middle].linear < linear)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void vit_products_refresh(vit_exec *exec, size_t first, size_t end, uint64_t version)
{
    enum { TOGETHER = 4 };
    vit_products *products = exec->products;
    const size_t last = end < products->plan.count ? end : products->plan.count;

    while (first < last && products->packed[first].version == version + 1)
        first++;
    if (first >= last)
        return;
    const size_t from = task_of(products, first), to = task_of(products, last);
#pragma omp parallel for schedule(dynamic, TOGETHER) num_threads(products->plan.threads)
    for (size_t i = from; i < to; i++)
        if (products->packed[products->tasks[i].linear].version != version + 1 &&
            !task_run(products, &products->tasks[i]))
            atomic_store(&exec->failed, true);
    for (size_t i = first; i < last; i++)
        products->packed[i].version = version + 1;
}

static void linear_run(vit_exec *exec, size_t linear, size_t rows, const void *in,
                       void *out, bool backward, bool fp32)
{
    const vit_products *products = exec->products;
    const vit_linear *l = &products->linears[linear];
    const vit_packed_linear *packed = &products->packed[linear];
    const vit_pack *pack = backward ? &packed->backward : &packed->forward;
    vit_product_key key;

    if (rows == 0)
        return;
    key_fill(&key, products, l, rows, backward, fp32);
    if (!vit_product_execute(products, &key,
                             &(vit_product_args){.a = in,
                                                 .bias = l->bias,
                                                 .c = out,
                                                 .packed = &pack->layout,
                                                 .memory_b = pack->memory}))
        atomic_store(&exec->failed, true);
}

void vit_linear_forward(vit_exec *exec, size_t linear, size_t rows, const void *x, void *y,
                        bool fp32)
{
    linear_run(exec, linear, rows, x, y, false, fp32);
}

void vit_linear_backward(vit_exec *exec, size_t linear, size_t rows, const void *d_y,
                         void *d_x, bool fp32)
{
    linear_run(exec, linear, rows, d_y, d_x, true, fp32);
}
