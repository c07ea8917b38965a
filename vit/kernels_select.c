/* kernels_select.c - which build of kernels.c runs on this processor. */
#include "vit/vit_internal.h"

extern const vit_kernels vit_kernels_base;
#ifdef VIT_KERNELS_X86
extern const vit_kernels vit_kernels_avx2;
extern const vit_kernels vit_kernels_avx512;
#endif

const vit_kernels *vit_kernels_get(void)
{
#ifdef VIT_KERNELS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return &vit_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &vit_kernels_avx2;
#endif
    return &vit_kernels_base;
}
