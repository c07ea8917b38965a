/* attention_heads.c - softmax(q k^T / sqrt(D / H)) v of every head, and its gradients: some
 * heads of the batch at a time, whose numbers stay in a thread's second-level cache.
 *
 * oneDNN's quick products take dense row-major matrices alone. So q, k, v and the gradient
 * of the output lie as [B, H, N, D / H], a matrix for each head, where the sweeps around
 * this one put their rows (vit_heads_place). Results go back into their columns of [T, D]
 * or [T, 3D] here; p^T, ds^T, k^T and v^T are made by transposing in the cache. A head's
 * number is image * H + head. Relied on elsewhere: the numbers of a head do not depend on
 * how heads are cut into tasks; nothing is allocated. */
#include <math.h>
#include <string.h>

#include "vit/run_internal.h"

/* ---- scratch ------------------------------------------------------------------------- */

/* What a task has of its thread's scratch. */
typedef struct heads_room {
    float *scores; /* [count, N, N] */
    void *mixed;   /* [count, N, N] p, then ds; in fp32 in place of scores */
    void *turned;  /* [count, N, N] p^T, then ds^T */
    void *again;   /* [count, N, N] p, where it was not kept */
    void *out;     /* [count, N, D / H]; before that k^T or v^T */
} heads_room;

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The bytes that count heads take; with out, cut from scratch. */
static size_t room_cut(heads_room *out, float *scratch, const vit_run *run, size_t count)
{
    const size_t n = run->tokens_per_image, b = run->operand_bytes;
    const size_t e = (size_t)run->config.width / (size_t)run->config.heads;
    const size_t square = lines(count * n * n * b);
    const bool backward = run->mode != VIT_MODE_INFER;
    const bool again = backward && run->recompute == VIT_RECOMPUTE_ATTENTION;
    const size_t bytes[] = {run->precision == VIT_PRECISION_FP32 ? 0 : square,
                            backward ? square : 0, again ? square : 0,
                            lines(count * n * e * b)};
    enum { PIECES = sizeof bytes / sizeof bytes[0] };
    void *piece[PIECES] = {scratch};
    size_t used = lines(count * n * n * sizeof(float));

    for (size_t i = 0; i < PIECES; i++) {
        if (out && bytes[i] > 0)
            piece[i] = (unsigned char *)scratch + used;
        used += bytes[i];
    }
    if (out)
        *out = (heads_room){scratch, piece[0], piece[1], piece[2], piece[3]};
    return used;
}

/* Heads of a task at most: as many as half a megabyte holds. */
static size_t together(const vit_run *run)
{
    enum { CACHE = 1 << 19 };
    const size_t most = run->batch * (size_t)run->config.heads;
    size_t count = 1;

    while (count < most && room_cut(NULL, NULL, run, count + 1) <= CACHE)
        count++;
    return count;
}

size_t vit_heads_scratch(const vit_run *run)
{
    return room_cut(NULL, NULL, run, together(run)) / sizeof(float);
}

/* ---- tasks --------------------------------------------------------------------------- */

static size_t ceiling(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

void vit_heads_cut(vit_run *run)
{
    enum { MANY = 4, FEW_ROWS = 32 };
    const size_t threads = (size_t)run->threads, n = run->tokens_per_image;
    const size_t heads = run->batch * (size_t)run->config.heads;
    const size_t wanted = ceiling(heads, MANY * threads);
    const size_t tasks = ceiling(heads, vit_min(together(run), wanted));

    run->heads_group = ceiling(heads, ceiling(tasks, threads) * threads);
    run->heads_parts = 1;
    /* the slowest thread's share of a head's rows, when they come in so many parts */
    for (size_t parts = 2; run->heads_group == 1 && parts * FEW_ROWS <= n; parts++)
        if (ceiling(heads * parts, threads) * run->heads_parts <
            ceiling(heads * run->heads_parts, threads) * parts)
            run->heads_parts = parts;
}

size_t vit_heads_tasks(const vit_run *run, bool forward)
{
    return ceiling(run->batch * (size_t)run->config.heads, run->heads_group) *
           (forward ? run->heads_parts : 1);
}

void vit_heads_place(const vit_run *run, void *to, const void *from, size_t kinds,
                     size_t first, size_t rows)
{
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;
    const size_t n = run->tokens_per_image, e = d / heads, ld = kinds * d;

    for (size_t row = first; row < first + rows;) {
        const size_t image = row / n, at = row % n;
        const size_t here = vit_min(n - at, first + rows - row);

        for (size_t i = 0; i < kinds * heads; i++) {
            const size_t head = image * heads + i % heads;
            run->operand->copy(
                vit_at(run, to, i / heads * run->tokens * d + (head * n + at) * e), e,
                vit_at(run, from, (row - first) * ld + i * e), ld, here, e);
        }
        row += here;
    }
}

typedef struct heads_task {
    size_t first, count; /* heads */
    size_t row, rows;    /* queries of each */
    size_t n, e, d, heads;
    float scale;
    heads_room room;
} heads_task;

static heads_task task_of(const vit_run *run, size_t index, bool forward)
{
    const size_t parts = forward ? run->heads_parts : 1, n = run->tokens_per_image;
    const size_t d = (size_t)run->config.width, heads = (size_t)run->config.heads;
    const size_t first = index / parts * run->heads_group, part = index % parts;
    heads_task t = {
        .first = first,
        .count = vit_min(run->heads_group, run->batch * heads - first),
        .row = n * part / parts,
        .rows = n * (part + 1) / parts - n * part / parts,
        .n = n,
        .e = d / heads,
        .d = d,
        .heads = heads,
        .scale = 1.0f / sqrtf((float)(d / heads)),
    };

    (void)room_cut(&t.room, vit_scratch(run), run, t.count);
    return t;
}

/* The task's first number in [B, H, N, N]. */
static size_t square_at(const heads_task *t)
{
    return (t->first * t->n + t->row) * t->n;
}

/* The heads' rows from `row` on in q, k or v (which: 0, 1, 2) or another [B, H, N, e]. */
static void *rows_of(const vit_run *run, const heads_task *t, const void *of, size_t which,
                     size_t row)
{
    return vit_at(run, of, which * run->tokens * t->d + (t->first * t->n + row) * t->e);
}

/* columns of to [T, ld], from `at` on, <- out [count, rows, e] */
static void scatter(const vit_run *run, const heads_task *t, void *to, size_t ld, size_t at)
{
    for (size_t i = 0; i < t->count; i++) {
        const size_t head = t->first + i;
        const size_t row = head / t->heads * t->n + t->row;
        run->operand->copy(vit_at(run, to, row * ld + at + head % t->heads * t->e), ld,
                           vit_at(run, t->room.out, i * t->rows * t->e), t->e, t->rows,
                           t->e);
    }
}

/* s [count, rows, N] fp32 = a [count, rows, e] b [count, N, e]^T, b transposed into out's
 * place: oneDNN takes longer for that. */
static void scores(vit_run *run, const heads_task *t, const void *a, const void *b,
                   float *s)
{
    const size_t n = t->n, e = t->e;

    for (size_t i = 0; i < t->count; i++)
        run->operand->transpose(vit_at(run, t->room.out, i * n * e), n,
                                vit_at(run, b, i * n * e), e, n, e);
    vit_multiply(&run->exec,
                 &(vit_product_shape){
                     .batch = t->count, .m = t->rows, .n = n, .k = e, .c_fp32 = true},
                 a, t->room.out, s);
}

/* out [count, rows, e] = p [count, rows, N] b [count, N, e] */
static void mixtures(vit_run *run, const heads_task *t, const void *p, const void *b)
{
    vit_multiply(
        &run->exec,
        &(vit_product_shape){.batch = t->count, .m = t->rows, .n = t->e, .k = t->n}, p, b,
        t->room.out);
}

/* turned <- m^T of each head */
static void turn(const vit_run *run, const heads_task *t, const void *m)
{
    const size_t n = t->n;

    for (size_t i = 0; i < t->count; i++)
        run->operand->transpose(vit_at(run, t->room.turned, i * n * n), n,
                                vit_at(run, m, i * n * n), n, n, n);
}

/* ---- forward and backward ------------------------------------------------------------ */

/* p <- the probabilities of the task's heads. */
static void probabilities(vit_run *run, const vit_block_state *s, const heads_task *t,
                          void *p)
{
    float *logits = run->precision == VIT_PRECISION_FP32 ? p : t->room.scores;
    double mark = vit_lap_start(run);

    scores(run, t, rows_of(run, t, s->qkv, 0, t->row), rows_of(run, t, s->qkv, 1, 0),
           logits);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->operand->softmax(p, logits, t->count * t->rows, t->n, t->scale);
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
}

void vit_heads_forward(vit_run *run, const vit_block_state *s, size_t task)
{
    const heads_task t = task_of(run, task, true);
    void *p = vit_at_or(run, s->probs, square_at(&t), t.room.mixed);

    probabilities(run, s, &t, p);
    double mark = vit_lap_start(run);
    if (s->probs_fp32 && s->probs_fp32 != s->probs) {
        const size_t floats = t.count * t.rows * t.n;
        float *kept = s->probs_fp32 + square_at(&t);
        memset(kept, 0, floats * sizeof *kept);
        run->operand->axpy(kept, 1.0f, p, floats);
    }
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    mixtures(run, &t, p, rows_of(run, &t, s->qkv, 2, 0));
    scatter(run, &t, s->attention, t.d, 0);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}

void vit_heads_backward(vit_run *run, const vit_block_state *s, size_t task, bool extra)
{
    const heads_task t = task_of(run, task, false);
    const heads_room *r = &t.room;
    const size_t d = t.d, ld = 3 * d;
    const void *gain = rows_of(run, &t, run->d_heads, 0, 0);
    const void *p = vit_at_or(run, s->probs, square_at(&t), r->again);

    if (!s->probs)
        probabilities(run, s, &t, r->again);
    double mark = vit_lap_start(run);
    scores(run, &t, gain, rows_of(run, &t, s->qkv, 2, 0), r->scores);
    if (extra)
        run->kernels->add(r->scores, r->scores, run->d_attention + square_at(&t),
                          t.count * t.n * t.n);
    turn(run, &t, p);
    mixtures(run, &t, r->turned, gain);
    scatter(run, &t, run->d_qkv, ld, 2 * d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
    run->operand->softmax_backward(r->mixed, r->scores, p, t.count * t.n, t.n, t.scale);
    vit_lap(run, &mark, VIT_PART_SOFTMAX);
    mixtures(run, &t, r->mixed, rows_of(run, &t, s->qkv, 1, 0));
    scatter(run, &t, run->d_qkv, ld, 0);
    turn(run, &t, r->mixed);
    mixtures(run, &t, r->turned, rows_of(run, &t, s->qkv, 0, 0));
    scatter(run, &t, run->d_qkv, ld, d);
    vit_lap(run, &mark, VIT_PART_ATTENTION);
}
