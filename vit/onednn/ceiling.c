/* ceiling.c - how fast oneDNN alone makes the products of a pass (ceiling.c lists them):
 * one wide call each over all rows and all threads, operands already in the layout that the
 * primitive likes best, nothing fused, nothing else done.
 *
 * Several forms compete for every product: sgemm, the matmul primitive, the inner product
 * primitive, a parallel loop of small products for attention's heads, results in fp32 or
 * bf16. The fastest in a first trial is kept; rounds time only that one. Free to change:
 * the forms. Relied on elsewhere: nothing here is used by a pass. */
#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "vit/vit_internal.h"

/* Trials of a form: at least so many and so long; a round lasts so long for each
 * product. */
enum { TRIALS = 4 };
static const double trial_seconds = 0.004, round_seconds = 0.001;
enum { FORMS_MAX = 8 };

typedef enum form_kind { FORM_SGEMM, FORM_SGEMM_LOOP, FORM_MATMUL, FORM_INNER } form_kind;
enum { FIRST, SECOND, RESULT, OPERANDS };

/* One way to make a product. */
typedef struct form {
    form_kind kind;
    dnnl_primitive_t primitive; /* NULL: sgemm */
    dnnl_memory_t memory[OPERANDS];
    int argument[OPERANDS];
    size_t bytes[OPERANDS];
} form;

typedef struct subject {
    vit_product product;
    form form;
    size_t repeats;
    double last; /* seconds of one product in the last round */
    double best; /* of the first trial */
} subject;

struct vit_ceiling {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    subject subject[VIT_PRODUCTS_MAX];
    size_t count;
    bool bf16;
    int threads;
    void *buffer[OPERANDS];
    size_t bytes[OPERANDS];
};

/* ---- the difference between 2.x (structs, descriptors) and 3.x (handles, none) ------- */

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t desc_reference;
static dnnl_status_t desc_strided(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(out, rank, dims, type, strides);
}
static dnnl_status_t desc_any(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                              dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_tag(out, rank, dims, type, dnnl_format_tag_any);
}
static void desc_destroy(dnnl_memory_desc_t *desc)
{
    dnnl_memory_desc_destroy(*desc);
}
static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                 const dnnl_memory_desc_t d[OPERANDS])
{
    return dnnl_matmul_primitive_desc_create(out, engine, d[FIRST], d[SECOND], NULL,
                                             d[RESULT], NULL);
}
static dnnl_status_t inner_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                vit_product_kind kind, const dnnl_memory_desc_t d[OPERANDS])
{
    /* a backward primitive asks for the forward one that it belongs to */
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t status = dnnl_success;
    const dnnl_memory_desc_t src = kind == VIT_PRODUCT_INPUT    ? d[RESULT]
                                   : kind == VIT_PRODUCT_WEIGHT ? d[SECOND]
                                                                : d[FIRST];
    const dnnl_memory_desc_t weights = kind == VIT_PRODUCT_WEIGHT ? d[RESULT] : d[SECOND];
    const dnnl_memory_desc_t dst = kind == VIT_PRODUCT_FORWARD ? d[RESULT] : d[FIRST];

    status = dnnl_inner_product_forward_primitive_desc_create(
        kind == VIT_PRODUCT_FORWARD ? out : &hint, engine, dnnl_forward_training, src,
        weights, NULL, dst, NULL);
    if (status == dnnl_success && kind == VIT_PRODUCT_INPUT)
        status = dnnl_inner_product_backward_data_primitive_desc_create(
            out, engine, src, weights, dst, hint, NULL);
    if (status == dnnl_success && kind == VIT_PRODUCT_WEIGHT)
        status = dnnl_inner_product_backward_weights_primitive_desc_create(
            out, engine, src, weights, NULL, dst, hint, NULL);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}
#else
typedef const dnnl_memory_desc_t *desc_reference;
static dnnl_status_t desc_strided(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(out, rank, dims, type, strides);
}
static dnnl_status_t desc_any(dnnl_memory_desc_t *out, int rank, const dnnl_dims_t dims,
                              dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_tag(out, rank, dims, type, dnnl_format_tag_any);
}
static void desc_destroy(dnnl_memory_desc_t *desc)
{
    (void)desc;
}
static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                 const dnnl_memory_desc_t d[OPERANDS])
{
    dnnl_matmul_desc_t operation;
    const dnnl_status_t status =
        dnnl_matmul_desc_init(&operation, &d[FIRST], &d[SECOND], NULL, &d[RESULT]);

    return status != dnnl_success
               ? status
               : dnnl_primitive_desc_create(out, &operation, NULL, engine, NULL);
}
static dnnl_status_t inner_desc(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                vit_product_kind kind, const dnnl_memory_desc_t d[OPERANDS])
{
    dnnl_inner_product_desc_t operation;
    const dnnl_status_t status =
        kind == VIT_PRODUCT_FORWARD
            ? dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_training,
                                                   &d[FIRST], &d[SECOND], NULL, &d[RESULT])
        : kind == VIT_PRODUCT_INPUT
            ? dnnl_inner_product_backward_data_desc_init(&operation, &d[RESULT], &d[SECOND],
                                                         &d[FIRST])
            : dnnl_inner_product_backward_weights_desc_init(&operation, &d[SECOND],
                                                            &d[RESULT], NULL, &d[FIRST]);

    return status != dnnl_success
               ? status
               : dnnl_primitive_desc_create(out, &operation, NULL, engine, NULL);
}
#endif

/* ---- forms --------------------------------------------------------------------------- */

static void form_destroy(form *f)
{
    for (size_t i = 0; i < OPERANDS; i++)
        if (f->memory[i])
            dnnl_memory_destroy(f->memory[i]);
    if (f->primitive)
        dnnl_primitive_destroy(f->primitive);
    *f = (form){0};
}

/* The primitive of a description and memory objects without memory for its operands. */
static dnnl_status_t form_finish(form *f, dnnl_engine_t engine, dnnl_primitive_desc_t made,
                                 const dnnl_query_t asks[OPERANDS])
{
    dnnl_status_t status = dnnl_primitive_create(&f->primitive, made);

    for (size_t i = 0; i < OPERANDS && status == dnnl_success; i++) {
        const desc_reference desc = dnnl_primitive_desc_query_md(made, asks[i], 0);
        f->bytes[i] = dnnl_memory_desc_get_size(desc);
        status = dnnl_memory_create(&f->memory[i], desc, engine, DNNL_MEMORY_NONE);
    }
    return status;
}

/* C [m, n] = op(A) op(B), with a batch in front where there is one. */
static dnnl_status_t matmul_make(form *f, dnnl_engine_t engine, const vit_product *p,
                                 dnnl_data_type_t in, dnnl_data_type_t out)
{
    static const dnnl_query_t asks[OPERANDS] = {dnnl_query_src_md, dnnl_query_weights_md,
                                                dnnl_query_dst_md};
    const dnnl_dim_t b = (dnnl_dim_t)p->batch, m = (dnnl_dim_t)p->m, n = (dnnl_dim_t)p->n,
                     k = (dnnl_dim_t)p->k;
    const dnnl_dims_t dims[OPERANDS] = {{b, m, k}, {b, k, n}, {b, m, n}};
    const dnnl_dims_t strides[OPERANDS] = {
        {m * k, p->ta ? 1 : k, p->ta ? m : 1},
        {k * n, p->tb ? 1 : n, p->tb ? k : 1},
        {m * n, n, 1},
    };
    const size_t skip = p->batch > 1 ? 0 : 1; /* rank 3 or 2 */
    const int rank = 3 - (int)skip;
    const dnnl_data_type_t types[OPERANDS] = {in, in, out};
    dnnl_memory_desc_t desc[OPERANDS];
    dnnl_primitive_desc_t made = NULL;
    dnnl_status_t status = dnnl_success;
    size_t have = 0;

    for (; have < OPERANDS && status == dnnl_success; have += status == dnnl_success) {
        const dnnl_dim_t *size = dims[have] + skip;
        status =
            have == SECOND && p->weight
                ? desc_any(&desc[have], rank, size, types[have])
                : desc_strided(&desc[have], rank, size, types[have], strides[have] + skip);
    }
    if (status == dnnl_success)
        status = matmul_desc(&made, engine, desc);
    if (status == dnnl_success)
        status = form_finish(f, engine, made, asks);
    if (made)
        dnnl_primitive_desc_destroy(made);
    while (have > 0)
        desc_destroy(&desc[--have]);
    memcpy(f->argument, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
           sizeof f->argument);
    return status;
}

/* The same as the inner product primitive and its two backward ones see it, weights [to,
 * from] in any layout, activations as rows. */
static dnnl_status_t inner_make(form *f, dnnl_engine_t engine, const vit_product *p,
                                dnnl_data_type_t in, dnnl_data_type_t out)
{
    static const dnnl_query_t asks[3][OPERANDS] = {
        {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
        {dnnl_query_diff_dst_md, dnnl_query_weights_md, dnnl_query_diff_src_md},
        {dnnl_query_diff_dst_md, dnnl_query_src_md, dnnl_query_diff_weights_md},
    };
    static const int arguments[3][OPERANDS] = {
        {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
        {DNNL_ARG_DIFF_DST, DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS},
    };
    const dnnl_dim_t m = (dnnl_dim_t)p->m, n = (dnnl_dim_t)p->n, k = (dnnl_dim_t)p->k;
    const dnnl_dims_t dims[3][OPERANDS] = {
        {{m, k}, {n, k}, {m, n}},
        {{m, k}, {k, n}, {m, n}},
        {{k, m}, {k, n}, {m, n}},
    };
    const size_t weight = p->kind == VIT_PRODUCT_WEIGHT ? RESULT : SECOND;
    const dnnl_data_type_t types[OPERANDS] = {in, in, out};
    dnnl_memory_desc_t desc[OPERANDS];
    dnnl_primitive_desc_t made = NULL;
    dnnl_status_t status = dnnl_success;
    size_t have = 0;

    for (; have < OPERANDS && status == dnnl_success; have += status == dnnl_success) {
        const dnnl_dim_t *size = dims[p->kind][have];
        status = have == weight ? desc_any(&desc[have], 2, size, types[have])
                                : desc_strided(&desc[have], 2, size, types[have],
                                               (const dnnl_dims_t){size[1], 1});
    }
    if (status == dnnl_success)
        status = inner_desc(&made, engine, p->kind, desc);
    if (status == dnnl_success)
        status = form_finish(f, engine, made, asks[p->kind]);
    if (made)
        dnnl_primitive_desc_destroy(made);
    while (have > 0)
        desc_destroy(&desc[--have]);
    memcpy(f->argument, arguments[p->kind], sizeof f->argument);
    return status;
}

static void sgemm_make(form *f, form_kind kind, const vit_product *p)
{
    *f = (form){.kind = kind,
                .bytes = {p->batch * p->m * p->k * sizeof(float),
                          p->batch * p->k * p->n * sizeof(float),
                          p->batch * p->m * p->n * sizeof(float)}};
}

/* The forms that this machine can make of a product, best guesses first. */
static size_t forms_make(form out[FORMS_MAX], const vit_ceiling *c, const vit_product *p)
{
    const bool single = p->single || !c->bf16;
    const dnnl_data_type_t in = single ? dnnl_f32 : dnnl_bf16;
    /* gradients of weights stay fp32; what goes on to the next layer may be either */
    const size_t types = single || p->kind == VIT_PRODUCT_WEIGHT ? 1 : 2;
    size_t count = 0;

    for (size_t t = 0; t < types; t++) {
        const dnnl_data_type_t result = t == 0 ? dnnl_f32 : dnnl_bf16;

        for (form_kind kind = FORM_MATMUL; kind <= FORM_INNER; kind++) {
            form *f = &out[count];
            *f = (form){.kind = kind};
            if (kind == FORM_INNER && p->batch > 1)
                continue;
            if ((kind == FORM_MATMUL ? matmul_make : inner_make)(f, c->engine, p, in,
                                                                 result) == dnnl_success)
                count++;
            else
                form_destroy(f);
        }
    }
    if (single && p->batch == 1)
        sgemm_make(&out[count++], FORM_SGEMM, p);
    if (single && p->batch > 1)
        sgemm_make(&out[count++], FORM_SGEMM_LOOP, p);
    return count;
}

static bool sgemm_run(const vit_product *p, const float *a, const float *b, float *c)
{
    const dnnl_dim_t m = (dnnl_dim_t)p->m, n = (dnnl_dim_t)p->n, k = (dnnl_dim_t)p->k;

    return dnnl_sgemm(p->ta ? 'T' : 'N', p->tb ? 'T' : 'N', m, n, k, 1.0f, a, p->ta ? m : k,
                      b, p->tb ? k : n, 0.0f, c, n) == dnnl_success;
}

/* One product; false when oneDNN refuses. */
static bool form_run(const form *f, const vit_ceiling *c, const vit_product *p)
{
    if (f->primitive) {
        dnnl_exec_arg_t args[OPERANDS];
        for (size_t i = 0; i < OPERANDS; i++)
            args[i] = (dnnl_exec_arg_t){f->argument[i], f->memory[i]};
        return dnnl_primitive_execute(f->primitive, c->stream, OPERANDS, args) ==
                   dnnl_success &&
               dnnl_stream_wait(c->stream) == dnnl_success;
    }
    const float *a = c->buffer[FIRST], *b = c->buffer[SECOND];
    float *out = c->buffer[RESULT];
    if (f->kind == FORM_SGEMM)
        return sgemm_run(p, a, b, out);
    bool good = true;
#pragma omp parallel for schedule(static) num_threads(c->threads) reduction(&& : good)
    for (size_t i = 0; i < p->batch; i++)
        good =
            sgemm_run(p, a + i * p->m * p->k, b + i * p->k * p->n, out + i * p->m * p->n) &&
            good;
    return good;
}

/* ---- memory -------------------------------------------------------------------------- */

/* Numbers from 0.5 to 1 of either sign, whether they are read as bf16 or as fp32. */
static void buffer_fill(void *buffer, size_t bytes)
{
    uint16_t *at = buffer;
    uint32_t state = 1;

    for (size_t i = 0; i < bytes / sizeof *at; i++) {
        state = state * 1664525u + 1013904223u;
        at[i] = (uint16_t)(0x3f00u | (state >> 16 & 0x807fu));
    }
}

/* Room for a form's operands in the shared buffers; its memory objects point there. */
static bool form_place(vit_ceiling *c, const form *f)
{
    for (size_t i = 0; i < OPERANDS; i++) {
        if (f->bytes[i] > c->bytes[i]) {
            base_free(c->buffer[i]);
            c->bytes[i] = 0;
            c->buffer[i] = base_alloc(f->bytes[i], 1);
            if (!c->buffer[i])
                return false;
            c->bytes[i] = f->bytes[i];
            buffer_fill(c->buffer[i], c->bytes[i]);
        }
        if (f->memory[i] &&
            dnnl_memory_set_data_handle(f->memory[i], c->buffer[i]) != dnnl_success)
            return false;
    }
    return true;
}

/* ---- timing -------------------------------------------------------------------------- */

/* The fastest of a few, seconds; 0 when it cannot be made. */
static double form_try(vit_ceiling *c, const form *f, const vit_product *p)
{
    double best = 0, spent = 0;

    if (!form_place(c, f) || !form_run(f, c, p))
        return 0;
    for (size_t i = 0; i < TRIALS || (spent < trial_seconds && i < 1000); i++) {
        const double started = base_seconds();
        if (!form_run(f, c, p))
            return 0;
        const double seconds = base_seconds() - started;
        spent += seconds;
        best = best == 0 || seconds < best ? seconds : best;
    }
    return best;
}

/* Keeps the fastest form of the product. */
static bool subject_choose(vit_ceiling *c, subject *s)
{
    form forms[FORMS_MAX];
    const size_t count = forms_make(forms, c, &s->product);

    s->best = 0;
    for (size_t i = 0; i < count; i++) {
        const double seconds = form_try(c, &forms[i], &s->product);
        if (seconds > 0 && (s->best == 0 || seconds < s->best)) {
            form_destroy(&s->form);
            s->form = forms[i];
            s->best = seconds;
        } else {
            form_destroy(&forms[i]);
        }
    }
    s->repeats = 1;
    if (s->best > 0 && s->best < round_seconds)
        s->repeats = (size_t)(round_seconds / s->best) + 1;
    s->last = s->best;
    return s->best > 0;
}

base_status vit_ceiling_create(vit_ceiling **out, const vit_model *model, size_t batch,
                               vit_mode mode, vit_precision precision, base_error *err)
{
    vit_product products[VIT_PRODUCTS_MAX];
    vit_ceiling *c = base_alloc(1, sizeof *c);
    bool good = c && dnnl_engine_create(&c->engine, dnnl_cpu, 0) == dnnl_success &&
                dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags) ==
                    dnnl_success;

    if (good) {
        c->bf16 = precision == VIT_PRECISION_BF16 && vit_bf16_available();
        c->threads = omp_get_max_threads();
        c->count = vit_model_products(products, VIT_PRODUCTS_MAX, model, batch, mode);
    }
    for (size_t i = 0; good && i < c->count; i++) {
        c->subject[i].product = products[i];
        good = subject_choose(c, &c->subject[i]);
    }
    /* buffers have grown meanwhile */
    for (size_t i = 0; good && i < c->count; i++)
        good = form_place(c, &c->subject[i].form);
    if (!good) {
        vit_ceiling_destroy(c);
        return base_fail(err, BASE_NO_MEMORY,
                         "oneDNN cannot make the products of the ceiling");
    }
    *out = c;
    return BASE_OK;
}

void vit_ceiling_destroy(vit_ceiling *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        form_destroy(&c->subject[i].form);
    for (size_t i = 0; i < OPERANDS; i++)
        base_free(c->buffer[i]);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    if (c->engine)
        dnnl_engine_destroy(c->engine);
    base_free(c);
}

double vit_ceiling_round(vit_ceiling *c)
{
    double sum = 0;

    for (size_t i = 0; i < c->count; i++) {
        subject *s = &c->subject[i];
        const double started = base_seconds();

        for (size_t r = 0; r < s->repeats; r++)
            form_run(&s->form, c, &s->product); /* has been made before */
        s->last = (base_seconds() - started) / (double)s->repeats;
        sum += s->last * (double)s->product.count;
    }
    return sum;
}

size_t vit_ceiling_count(const vit_ceiling *c)
{
    return c->count;
}

const vit_product *vit_ceiling_product(const vit_ceiling *c, size_t i)
{
    return &c->subject[i].product;
}

double vit_ceiling_seconds(const vit_ceiling *c, size_t i)
{
    return c->subject[i].last;
}

const char *vit_ceiling_form(const vit_ceiling *c, size_t i)
{
    static const char *const names[] = {"sgemm", "loop of sgemm", "matmul",
                                        "inner product"};

    return names[c->subject[i].form.kind];
}
