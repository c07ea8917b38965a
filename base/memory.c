/* memory.c - checked sizes, counted blocks, and the bump allocator that plans memory. Free
 * to change: how a block is had. Relied on elsewhere: zeroed, 64-byte aligned, counted; an
 * arena without a block measures exactly what an arena with one takes. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64 }; /* a cache line, and the widest vector register */
/* Blocks from `large` bytes on are laid on whole pages of `huge` bytes, which the kernel is
 * asked for: loops over many rows then miss the address cache (TLB) far less often. Where
 * it has none, nothing changes. */
static const size_t huge = (size_t)2 << 20, large = (size_t)4 << 20;

static _Atomic uint64_t alloc_calls;

bool base_mul_size(size_t *out, size_t a, size_t b)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool base_add_size(size_t *out, size_t a, size_t b)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* count * bytes_each, up to the next multiple of ALIGNMENT. */
static bool padded_bytes(size_t *out, size_t count, size_t bytes_each)
{
    size_t bytes;

    if (!base_mul_size(&bytes, count, bytes_each) ||
        !base_add_size(&bytes, bytes, ALIGNMENT - 1))
        return false;
    *out = bytes / ALIGNMENT * ALIGNMENT;
    return true;
}

void *base_alloc(size_t count, size_t bytes_each)
{
    size_t bytes;

    atomic_fetch_add_explicit(&alloc_calls, 1, memory_order_relaxed);
    if (!padded_bytes(&bytes, count, bytes_each) || bytes > PTRDIFF_MAX)
        return NULL;
    if (bytes == 0)
        bytes = ALIGNMENT;
    const bool pages = bytes >= large && bytes <= PTRDIFF_MAX - huge;
    void *at = pages ? aligned_alloc(huge, (bytes + huge - 1) / huge * huge)
                     : aligned_alloc(ALIGNMENT, bytes);
    if (!at)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (pages)
        (void)madvise(at, bytes, MADV_HUGEPAGE);
#endif
    memset(at, 0, bytes);
    return at;
}

void base_free(void *at)
{
    free(at);
}

uint64_t base_alloc_count(void)
{
    return atomic_load_explicit(&alloc_calls, memory_order_relaxed);
}

void *base_arena_take(base_arena *arena, size_t count, size_t bytes_each)
{
    size_t bytes, end;

    if (!padded_bytes(&bytes, count, bytes_each) ||
        !base_add_size(&end, arena->used, bytes))
        end = SIZE_MAX; /* no block is that large: taking is refused */
    if (arena->at && end > arena->bytes)
        return NULL;
    void *at = arena->at ? arena->at + arena->used : NULL;
    arena->used = end;
    if (arena->peak < end)
        arena->peak = end;
    return at;
}

void base_arena_rewind(base_arena *arena, size_t mark)
{
    arena->used = mark;
}
