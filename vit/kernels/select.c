/* select.c - which builds of kernels.c and of routers/router_kernels.c run on this
 * processor. */
#include "vit/routers/router_kernels_internal.h"
#include "vit/vit_internal.h"

extern const vit_kernels vit_kernels_base;
extern const vit_route_kernels vit_route_kernels_base;
#ifdef VIT_KERNELS_X86
extern const vit_kernels vit_kernels_avx2, vit_kernels_avx512;
extern const vit_route_kernels vit_route_kernels_avx2, vit_route_kernels_avx512;
#ifdef VIT_KERNELS_X86_BF16
extern const vit_kernels vit_kernels_avx512_bf16;
#endif
#endif

typedef struct kernel_set {
    const vit_kernels *network;
    const vit_route_kernels *routing;
} kernel_set;

enum { SETS_MAX = 4 };

/* The sets that run here, the best one last; returns how many. */
static size_t usable_sets(kernel_set out[SETS_MAX])
{
    const base_isa isa = base_isa_best();
    size_t count = 0;

    (void)isa;
    out[count++] = (kernel_set){&vit_kernels_base, &vit_route_kernels_base};
#ifdef VIT_KERNELS_X86
    if (isa >= BASE_ISA_AVX2)
        out[count++] = (kernel_set){&vit_kernels_avx2, &vit_route_kernels_avx2};
    if (isa >= BASE_ISA_AVX512)
        out[count++] = (kernel_set){&vit_kernels_avx512, &vit_route_kernels_avx512};
#ifdef VIT_KERNELS_X86_BF16
    if (isa >= BASE_ISA_AVX512_BF16)
        out[count++] = (kernel_set){&vit_kernels_avx512_bf16, &vit_route_kernels_avx512};
#endif
#endif
    return count;
}

const vit_kernels *vit_kernels_at(size_t i)
{
    kernel_set sets[SETS_MAX];

    return i < usable_sets(sets) ? sets[i].network : NULL;
}

const vit_kernels *vit_kernels_get(void)
{
    kernel_set sets[SETS_MAX];
    const size_t count = usable_sets(sets);

    return sets[count - 1].network;
}

const vit_route_kernels *vit_route_kernels_get(void)
{
    kernel_set sets[SETS_MAX];
    const size_t count = usable_sets(sets);

    return sets[count - 1].routing;
}

const vit_operand_kernels *vit_kernels_fp32(void)
{
    return &vit_kernels_get()->operand[VIT_PRECISION_FP32];
}
