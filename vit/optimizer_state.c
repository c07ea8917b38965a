/* optimizer_state.c - moments and averages as tensors of a file, and back. Where ranks have
 * shares of them, rank 0 writes and reads the whole in windows that travel from and to the
 * owners, so that nobody holds more than a window of another's. Relied on elsewhere: names
 * of the tensors; the file is the same for any number of ranks. */
#include <math.h>
#include <string.h>

#include "vit/optimizer_internal.h"

enum { STATE_MAX = 4, BLOCKS = 3, WINDOW_FLOATS = VIT_WINDOW_BYTES / sizeof(float) };

/* The blocks that there are, in the order of the file. Returns how many. */
static size_t blocks_of(const vit_optimizer *o, const char *name[BLOCKS],
                        float *block[BLOCKS])
{
    static const char *const names[BLOCKS] = {"optimizer.first", "optimizer.second",
                                              "optimizer.ema"};
    float *const all[BLOCKS] = {o->first, o->second, o->ema};
    size_t count = 0;

    for (size_t i = 0; i < BLOCKS; i++)
        if (all[i]) {
            name[count] = names[i];
            block[count++] = all[i];
        }
    return count;
}

/* The state's tensors; data points into o, where all of it lies there. Returns how many. */
static size_t describe(const vit_optimizer *o, vit_tensor out[STATE_MAX])
{
    const char *name[BLOCKS];
    float *block[BLOCKS];
    const size_t blocks = blocks_of(o, name, block);

    out[0] = (vit_tensor){
        .name = "optimizer.step", .type = "I64", .rank = 1, .shape = {1}, .data = &o->step};
    for (size_t i = 0; i < blocks; i++)
        out[1 + i] = (vit_tensor){.name = name[i],
                                  .type = "F32",
                                  .rank = 1,
                                  .shape = {o->floats},
                                  .data = vit_reduce_peers(o->reduce) ? NULL : block[i]};
    return 1 + blocks;
}

base_status vit_optimizer_state(const vit_optimizer *optimizer, vit_tensor *out,
                                size_t *count, base_error *err)
{
    vit_tensor all[STATE_MAX];
    const size_t needed = describe(optimizer, all);

    if (*count < needed)
        return base_fail(err, BASE_MISMATCH,
                         "the optimizer's state is %zu tensors, there is room for %zu",
                         needed, *count);
    memcpy(out, all, needed * sizeof *out);
    *count = needed;
    return BASE_OK;
}

/* ---- windows ------------------------------------------------------------------------- */

/* Floats of the window that begins at float `at` of a block. */
static size_t window_at(const vit_optimizer *o, size_t at)
{
    const size_t wish = vit_reduce_peers(o->reduce)->bucket_floats;
    const size_t end = (at / WINDOW_FLOATS + 1) * WINDOW_FLOATS;
    const size_t left = (end < o->floats ? end : o->floats) - at;

    return wish > 0 && wish < left ? wish : left;
}

base_status vit_optimizer_fill(void *optimizer, const char *name, void *out, size_t first,
                               size_t bytes, base_error *err)
{
    vit_optimizer *o = optimizer;
    const char *names[BLOCKS];
    float *block[BLOCKS], *to = out;
    const size_t blocks = blocks_of(o, names, block);
    size_t i = 0, at = first / sizeof(float);
    base_status status = BASE_OK;

    while (i < blocks && strcmp(names[i], name) != 0)
        i++;
    if (i == blocks || i * o->floats + at != o->asked)
        return base_fail(err, BASE_INTERNAL, "the state's '%s' was asked for out of turn",
                         name);
    for (const size_t end = at + bytes / sizeof(float); at < end && status == BASE_OK;) {
        const size_t count = window_at(o, at);

        status = vit_reduce_window(o->reduce, block[i], to, at, count, false, err);
        to += count;
        at += count;
        o->asked += count;
    }
    return status;
}

base_status vit_optimizer_follow(vit_optimizer *optimizer, base_error *err)
{
    vit_optimizer *o = optimizer;
    const vit_peers *peers = vit_reduce_peers(o->reduce);
    const char *name[BLOCKS];
    float *block[BLOCKS], *rest = NULL;
    const size_t blocks = blocks_of(o, name, block);
    base_status status = BASE_OK;

    while (peers && status == BASE_OK && o->asked < blocks * o->floats) {
        const size_t at = o->asked % o->floats, count = window_at(o, at);

        if (peers->rank == 0 && !rest) /* the file failed: what comes is let go */
            rest = base_alloc(WINDOW_FLOATS < o->floats ? WINDOW_FLOATS : o->floats,
                              sizeof *rest);
        status = peers->rank == 0 && !rest
                     ? base_fail(err, BASE_NO_MEMORY, "no memory for the optimizer's state")
                     : vit_reduce_window(o->reduce, block[o->asked / o->floats], rest, at,
                                         count, false, err);
        o->asked += count;
    }
    o->asked = 0;
    base_free(rest);
    return status;
}

/* ---- reading ------------------------------------------------------------------------- */

static base_status check_values(const vit_tensor *t, base_error *err)
{
    const float *value = t->data;

    for (size_t i = 0; i < t->shape[0]; i++)
        if (!isfinite(value[i]))
            return base_fail(err, BASE_NUMERIC,
                             "tensor '%s' has a value that is not finite at index %zu",
                             t->name, i);
    return BASE_OK;
}

static base_status check_state(const vit_tensor *wanted, const vit_tensor *found,
                               base_error *err)
{
    if (!found)
        return base_fail(err, BASE_MISMATCH, "the state has no tensor '%s'", wanted->name);
    if (strcmp(found->type, wanted->type) != 0 || found->rank != wanted->rank ||
        found->shape[0] != wanted->shape[0]) {
        char have[64], want[64];
        return base_fail(
            err, BASE_MISMATCH, "tensor '%s' is %s %s, expected %s %s", wanted->name,
            found->type, vit_shape_text(have, sizeof have, found->shape, found->rank),
            wanted->type, vit_shape_text(want, sizeof want, wanted->shape, wanted->rank));
    }
    if (strcmp(wanted->type, "F32") == 0)
        return check_values(found, err);
    int64_t step;
    memcpy(&step, found->data, sizeof step);
    return step >= 0
               ? BASE_OK
               : base_fail(err, BASE_FORMAT, "tensor '%s' is %lld, expected 0 or more",
                           wanted->name, (long long)step);
}

/* A block from rank 0's file to its owners. */
static base_status deal_block(vit_optimizer *o, float *block, const float *whole,
                              base_error *err)
{
    base_status status = BASE_OK;

    if (!vit_reduce_peers(o->reduce)) {
        memcpy(block, whole, o->floats * sizeof *block);
        return BASE_OK;
    }
    for (size_t at = 0; at < o->floats && status == BASE_OK;) {
        const size_t count = window_at(o, at);
        float *window = whole ? (float *)(uintptr_t)whole + at : NULL; /* only read */

        status = vit_reduce_window(o->reduce, block, window, at, count, true, err);
        at += count;
    }
    return status;
}

base_status vit_optimizer_restore(vit_optimizer *optimizer, const vit_tensor_file *file,
                                  base_error *err)
{
    vit_optimizer *o = optimizer;
    const char *name[BLOCKS];
    float *block[BLOCKS];
    const size_t blocks = blocks_of(o, name, block);
    vit_tensor all[STATE_MAX];
    const size_t count = describe(o, all);
    base_status status = BASE_OK;

    for (size_t i = 0; file && i < count; i++) {
        status = check_state(&all[i], vit_tensors_find(file, all[i].name), err);
        if (status != BASE_OK)
            return status;
    }
    if (file)
        memcpy(&o->step, vit_tensors_find(file, "optimizer.step")->data, sizeof o->step);
    status =
        vit_peers_broadcast(vit_reduce_peers(o->reduce), &o->step, sizeof o->step, err);
    for (size_t i = 0; i < blocks && status == BASE_OK; i++)
        status = deal_block(o, block[i],
                            file ? vit_tensors_find(file, name[i])->data : NULL, err);
    return status;
}
