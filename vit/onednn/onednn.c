/* onednn.c - plain fp32 products, and what oneDNN says of itself; the files of vit/onednn/
 * alone include its header.
 *
 * Plain products go through dnnl_sgemm, which is the same in oneDNN 2.6 and 3.x: gradients
 * of fp32 weights and routers. Called from inside a parallel region it works on the calling
 * thread alone. Free to change: how a product is computed. Relied on elsewhere: row-major
 * meaning, no dependence of the result on anything but operands, shapes and the number of
 * threads. */
#include "vit/onednn/onednn_internal.h"

void vit_gemm(vit_exec *exec, bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
              const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
              size_t ldc)
{
    if (m == 0 || n == 0)
        return;
    if (dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n,
                   (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, beta, c,
                   (dnnl_dim_t)ldc) != dnnl_success)
        atomic_store(&exec->failed, true);
}

static const char *isa_name(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    static const struct {
        unsigned bits;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_sse41, "sse41"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((isa & names[i].bits) == names[i].bits)
            return names[i].name;
    return "generic";
}

bool vit_bf16_available(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

void vit_onednn_version(char *out, size_t out_bytes)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, out_bytes, "oneDNN %d.%d.%d (%s)", v->major, v->minor, v->patch,
             isa_name());
}
