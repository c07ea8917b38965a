/* kernels_select.c - which build of kernels.c and of routers/router_kernels.c runs on this processor. */
#include "vit/routers/router_kernels_internal.h"
#include "vit/vit_internal.h"

extern const vit_kernels vit_kernels_base;
extern const vit_route_kernels vit_route_kernels_base;
#ifdef VIT_KERNELS_X86
extern const vit_kernels vit_kernels_avx2, vit_kernels_avx512;
extern const vit_route_kernels vit_route_kernels_avx2, vit_route_kernels_avx512;
#endif

typedef struct kernel_set {
    const vit_kernels *network;
    const vit_route_kernels *routing;
} kernel_set;

static kernel_set best_set(void)
{
#ifdef VIT_KERNELS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return (kernel_set){&vit_kernels_avx512, &vit_route_kernels_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (kernel_set){&vit_kernels_avx2, &vit_route_kernels_avx2};
#endif
    return (kernel_set){&vit_kernels_base, &vit_route_kernels_base};
}

const vit_kernels *vit_kernels_get(void)
{
    return best_set().network;
}

const vit_route_kernels *vit_route_kernels_get(void)
{
    return best_set().routing;
}

const vit_operand_kernels *vit_kernels_fp32(void)
{
    return &vit_kernels_get()->operand[VIT_PRECISION_FP32];
}
