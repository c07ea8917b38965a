/* kernels_select.c - which build of kernels_*.c runs on this processor. */
#include "base/base.h"
#include "data/kernels_internal.h"

#define DECLARE_SET(set) extern const data_kernels data_kernels_##set

DECLARE_SET(base);
#ifdef DATA_KERNELS_X86
DECLARE_SET(avx2);
DECLARE_SET(avx512);
#endif

const data_kernels *data_kernels_at(size_t i)
{
    const data_kernels *sets[3] = {&data_kernels_base};
    size_t count = 1;

#ifdef DATA_KERNELS_X86
    if (base_isa_best() >= BASE_ISA_AVX2)
        sets[count++] = &data_kernels_avx2;
    if (base_isa_best() >= BASE_ISA_AVX512_VNNI)
        sets[count++] = &data_kernels_avx512;
#endif
    return i < count ? sets[i] : NULL;
}

const data_kernels *data_kernels_get(void)
{
    const data_kernels *best = data_kernels_at(0);

    for (size_t i = 1; data_kernels_at(i); i++)
        best = data_kernels_at(i);
    return best;
}
