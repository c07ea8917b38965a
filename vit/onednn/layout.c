/* layout.c - the one place where the calls of oneDNN 2.x and 3.x differ. */
#include <string.h>

#include "vit/onednn/onednn_internal.h"

#if DNNL_VERSION_MAJOR >= 3
#define DESC(layout) ((layout)->desc)
#else
#define DESC(layout) (&(layout)->desc)
#endif

dnnl_status_t vit_layout_make(vit_layout *out, int rank, const dnnl_dim_t *dims,
                              dnnl_data_type_t type, const dnnl_dim_t *strides)
{
    dnnl_dims_t size = {0}, step = {0};
    dnnl_status_t status;

    memset(out, 0, sizeof *out);
    memcpy(size, dims, (size_t)rank * sizeof *dims);
    if (strides)
        memcpy(step, strides, (size_t)rank * sizeof *strides);
#if DNNL_VERSION_MAJOR >= 3
    status = strides
                 ? dnnl_memory_desc_create_with_strides(&out->desc, rank, size, type, step)
                 : dnnl_memory_desc_create_with_tag(&out->desc, rank, size, type,
                                                    dnnl_format_tag_any);
#else
    status = strides ? dnnl_memory_desc_init_by_strides(&out->desc, rank, size, type, step)
                     : dnnl_memory_desc_init_by_tag(&out->desc, rank, size, type,
                                                    dnnl_format_tag_any);
#endif
    out->there = status == dnnl_success;
    return status;
}

dnnl_status_t vit_layout_copy(vit_layout *out, const vit_layout *layout)
{
    dnnl_status_t status = dnnl_success;

    *out = *layout;
#if DNNL_VERSION_MAJOR >= 3
    if (layout->there)
        status = dnnl_memory_desc_clone(&out->desc, layout->desc);
    out->there = layout->there && status == dnnl_success;
#endif
    return status;
}

void vit_layout_destroy(vit_layout *layout)
{
#if DNNL_VERSION_MAJOR >= 3
    if (layout->there)
        dnnl_memory_desc_destroy(layout->desc);
#endif
    memset(layout, 0, sizeof *layout);
}

size_t vit_layout_bytes(const vit_layout *layout)
{
    return layout->there ? dnnl_memory_desc_get_size(DESC(layout)) : 0;
}

bool vit_layout_equal(const vit_layout *a, const vit_layout *b)
{
    return a->there && b->there && dnnl_memory_desc_equal(DESC(a), DESC(b));
}

size_t vit_layout_width(const vit_layout *layout, dnnl_dim_t k, dnnl_dim_t n,
                        dnnl_data_type_t type)
{
    static const struct {
        size_t width;
        dnnl_format_tag_t fp32, bf16;
    } known[] = {
        {64, dnnl_BA16a64b, dnnl_BA16a64b2a},
        {32, dnnl_BA16a32b, dnnl_BA16a32b2a},
        {16, dnnl_BA16a16b, dnnl_BA16a16b2a},
    };
    const dnnl_dims_t dims = {k, n};
    size_t width = 0;

    for (size_t i = 0; i < sizeof known / sizeof known[0] && width == 0; i++) {
        const dnnl_format_tag_t tag = type == dnnl_bf16 ? known[i].bf16 : known[i].fp32;
        vit_layout other = {0};
#if DNNL_VERSION_MAJOR >= 3
        other.there = dnnl_memory_desc_create_with_tag(&other.desc, 2, dims, type, tag) ==
                      dnnl_success;
#else
        other.there =
            dnnl_memory_desc_init_by_tag(&other.desc, 2, dims, type, tag) == dnnl_success;
#endif
        width = vit_layout_equal(layout, &other) ? known[i].width : 0;
        vit_layout_destroy(&other);
    }
    return width;
}

dnnl_status_t vit_layout_memory(dnnl_memory_t *out, const vit_layout *layout,
                                dnnl_engine_t engine, void *at)
{
    return dnnl_memory_create(out, DESC(layout), engine, at ? at : DNNL_MEMORY_NONE);
}

/* A descriptor that belongs to the primitive's, as a layout of its own. */
static dnnl_status_t layout_query(vit_layout *out, const_dnnl_primitive_desc_t matmul,
                                  dnnl_query_t what)
{
    memset(out, 0, sizeof *out);
#if DNNL_VERSION_MAJOR >= 3
    const_dnnl_memory_desc_t desc = dnnl_primitive_desc_query_md(matmul, what, 0);
    if (!desc)
        return dnnl_success;
    const dnnl_status_t status = dnnl_memory_desc_clone(&out->desc, desc);
    out->there = status == dnnl_success;
    return status;
#else
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(matmul, what, 0);
    if (desc) {
        out->desc = *desc;
        out->there = true;
    }
    return dnnl_success;
#endif
}

dnnl_status_t vit_matmul_make(dnnl_primitive_t *out, vit_layout *scratch, vit_layout *b,
                              const vit_matmul *matmul, dnnl_engine_t engine)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t after = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);

    *out = NULL;
    if (status == dnnl_success)
        status =
            dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&after);
#if DNNL_VERSION_MAJOR >= 3
    if (status == dnnl_success && matmul->adds)
        status = dnnl_post_ops_append_sum(after, 1.0f, 0, dnnl_data_type_undef);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, after);
    if (status == dnnl_success)
        status = dnnl_matmul_primitive_desc_create(
            &desc, engine, matmul->a.desc, matmul->b.desc,
            matmul->bias.there ? matmul->bias.desc : NULL, matmul->c.desc, attributes);
#else
    dnnl_matmul_desc_t operation;
    if (status == dnnl_success && matmul->adds)
        status = dnnl_post_ops_append_sum(after, 1.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, after);
    if (status == dnnl_success)
        status = dnnl_matmul_desc_init(&operation, &matmul->a.desc, &matmul->b.desc,
                                       matmul->bias.there ? &matmul->bias.desc : NULL,
                                       &matmul->c.desc);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&desc, &operation, attributes, engine, NULL);
#endif
    if (status == dnnl_success)
        status = layout_query(scratch, desc, dnnl_query_scratchpad_md);
    if (status == dnnl_success && b)
        status = layout_query(b, desc, dnnl_query_weights_md);
    if (status == dnnl_success)
        status = dnnl_primitive_create(out, desc);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    if (after)
        dnnl_post_ops_destroy(after);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

dnnl_status_t vit_reorder_make(dnnl_primitive_t *out, const vit_layout *from,
                               const vit_layout *to, dnnl_engine_t engine)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&desc, DESC(from), engine,
                                                              DESC(to), engine, NULL);

    if (status == dnnl_success)
        status = dnnl_primitive_create(out, desc);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    return status;
}
