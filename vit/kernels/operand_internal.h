/* operand_internal.h - the loops between products, whose results are operands of the next
 * product: fp32 or bf16, arithmetic in fp32 either way. kernels.c includes this once for
 * each, with
 *   OPERAND        the type of a number in memory
 *   LOAD(p, n)     a vector of the n numbers left at p, 0 behind them
 *   STORE(p, x, n) the reverse, to nearest even
 *   NAME(f)        the name of a function or of a table of coefficients
 *   DEGREE         of the polynomial for 2^f
 * No include guard: it is meant to be read twice. */

/* Each sweep goes from row to row, as memory likes it; the sums over all rows are then
 * ready at once. */
static inline void NAME(norm_rows)(int rows, OPERAND *y, float *mean, float *rstd,
                                   const float *x, const float *gamma, const float *beta,
                                   size_t n, float eps)
{
    vec sum[ROWS] = {vec_of(0)}, squares[ROWS] = {vec_of(0)};

    for (int j = 0; j < rows; j++)
        VEC_EACH(i, left, n, { sum[j] += vec_load(x + j * n + i, left, 0); });
    for (int j = 0; j < rows; j++)
        mean[j] = vec_sum(sum[j]) / (float)n;
    for (int j = 0; j < rows; j++)
        VEC_EACH(i, left, n, {
            const vec off = vec_load(x + j * n + i, left, mean[j]) - mean[j];
            squares[j] += off * off;
        });
    for (int j = 0; j < rows; j++)
        rstd[j] = 1.0f / sqrtf(vec_sum(squares[j]) / (float)n + eps);
    for (int j = 0; j < rows; j++)
        VEC_EACH(i, left, n, {
            const vec g = vec_load(gamma + i, left, 0), b = vec_load(beta + i, left, 0);
            const vec off = vec_load(x + j * n + i, left, 0) - mean[j];
            STORE(y + j * n + i, off * rstd[j] * g + b, left);
        });
}

static void NAME(norm)(void *to, float *mean, float *rstd, const float *x,
                       const float *gamma, const float *beta, size_t rows, size_t n,
                       float eps)
{
    OPERAND *y = to;
    size_t r = 0;

    for (; r + ROWS <= rows; r += ROWS)
        NAME(norm_rows)
    (ROWS, y + r * n, mean + r, rstd + r, x + r * n, gamma, beta, n, eps);
    for (; r < rows; r++)
        NAME(norm_rows)(1, y + r * n, mean + r, rstd + r, x + r * n, gamma, beta, n, eps);
}

/* s = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3), and 2 u' (Hendrycks and
 * Gimpel 2016). Returns x s, GELU's form with tanh; |x| beyond 10, where exp leaves fp32,
 * is taken for 10 in s. */
static inline vec NAME(gelu_tanh)(vec x, vec *s, vec *slope)
{
    const vec end = vec_of(10.0f), least = vec_max(-end, x), c = vec_min(end, least);
    const vec square = c * c;
    const vec u2 = c * (square * (2 * tanh_scale * tanh_cubic) + 2 * tanh_scale);

    *s = 1.0f / (vec_exp2(u2, -log2_e, NAME(exp2_coefficients), DEGREE) + 1.0f);
    *slope = square * (6 * tanh_scale * tanh_cubic) + 2 * tanh_scale;
    return least * *s;
}

/* Q = (1 - erf(z / sqrt 2)) / 2 = e R(z), e = exp(-z^2 / 2), for z = |x| up to where e is
 * 0. */
static inline vec NAME(gelu_tail)(vec x, vec *z, vec *e, vec *ratio)
{
    const float *c = NAME(tail_coefficients);
    const vec most = vec_of(tail_end);

    *z = vec_min(most, vec_abs(x)); /* NaN stays */
    *e = vec_exp2(*z * *z, -0.5f * log2_e, NAME(exp2_coefficients), DEGREE);
    *ratio = vec_polynomial(*z, c, 2) / vec_polynomial(*z, c + 3, 3);
    return *e * *ratio;
}

static inline vec NAME(gelu_of)(vec x, int tanh_form)
{
    vec z, e, ratio;

    if (tanh_form)
        return NAME(gelu_tanh)(x, &z, &e);
    const vec q = NAME(gelu_tail)(x, &z, &e, &ratio);
    return vec_max(vec_of(0), x) - z * q;
}

/* Returns gelu(x), *slope = gelu'(x). */
static inline vec NAME(gelu_with_slope)(vec x, vec *slope, int tanh_form)
{
    vec z, e, ratio;

    if (tanh_form) {
        const vec a = NAME(gelu_tanh)(x, &z, &e);
        *slope = z + a * (1.0f - z) * e;
        return a;
    }
    const vec q = NAME(gelu_tail)(x, &z, &e, &ratio);
    const vec w = e * (ratio - z * 0.39894228040143268f); /* 1 / sqrt(2 pi) */
    *slope = vec_by_sign(x, w, 1.0f - w);
    return vec_max(vec_of(0), x) - z * q;
}

static void NAME(gelu)(void *to, const void *from, size_t n, int tanh_form)
{
    OPERAND *a = to;
    const OPERAND *h = from;

    if (tanh_form)
        VEC_EACH(i, left, n, { STORE(a + i, NAME(gelu_of)(LOAD(h + i, left), 1), left); });
    else
        VEC_EACH(i, left, n, { STORE(a + i, NAME(gelu_of)(LOAD(h + i, left), 0), left); });
}

static inline void NAME(gelu_backward_at)(OPERAND *d, OPERAND *a, const OPERAND *h,
                                          size_t n, int tanh_form)
{
    vec slope;

    STORE(a, NAME(gelu_with_slope)(LOAD(h, n), &slope, tanh_form), n);
    STORE(d, LOAD(d, n) * slope, n);
}

static void NAME(gelu_backward)(void *gradient, void *to, const void *from, size_t n,
                                int tanh_form)
{
    OPERAND *d = gradient, *a = to;
    const OPERAND *h = from;

    if (tanh_form)
        VEC_EACH(i, left, n, { NAME(gelu_backward_at)(d + i, a + i, h + i, left, 1); });
    else
        VEC_EACH(i, left, n, { NAME(gelu_backward_at)(d + i, a + i, h + i, left, 0); });
}

static void NAME(column_sum)(float *sum, const void *from, size_t rows, size_t n)
{
    const OPERAND *d = from;
    size_t r = 0;

    for (; r + 4 <= rows; r += 4) {
        const OPERAND *a = d + r * n, *b = a + n, *c = b + n, *e = c + n;
        VEC_EACH(i, left, n, {
            const vec pair = LOAD(a + i, left) + LOAD(b + i, left);
            const vec other = LOAD(c + i, left) + LOAD(e + i, left);
            vec_store(sum + i, vec_load(sum + i, left, 0) + (pair + other), left);
        });
    }
    for (; r < rows; r++)
        VEC_EACH(i, left, n, {
            vec_store(sum + i, vec_load(sum + i, left, 0) + LOAD(d + r * n + i, left),
                      left);
        });
}

/* 2^(factor (x - top)), x <= top; 0 for -infinity */
static inline vec NAME(softmax_exp)(vec x, float top, float factor)
{
    const vec least = vec_of(-127.0f);

    return vec_exp2(vec_max(least, (x - top) * factor), 1.0f, NAME(exp2_coefficients),
                    DEGREE);
}

/* What is behind whole vectors stays in registers: a load right behind a masked store would
 * wait. */
static inline void NAME(softmax_rows)(int rows, OPERAND *p, float *s, size_t n,
                                      float factor)
{
    const size_t whole = n - n % LANES, rest = n % LANES;
    vec sum[ROWS], most[ROWS], last[ROWS];
    float top[ROWS], inverse[ROWS];

    for (int j = 0; j < rows; j++)
        last[j] = vec_load(s + j * n + whole, rest, -INFINITY);
    for (int j = 0; j < rows; j++)
        most[j] = last[j];
    for (size_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < rows; j++)
            most[j] = vec_max(vec_load(s + j * n + i, LANES, 0), most[j]);
    for (int j = 0; j < rows; j++)
        top[j] = vec_most(most[j]);
    for (int j = 0; j < rows; j++)
        sum[j] = last[j] = NAME(softmax_exp)(last[j], top[j], factor);
    for (size_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < rows; j++) {
            float *at = s + j * n + i;
            const vec e = NAME(softmax_exp)(vec_load(at, LANES, 0), top[j], factor);
            vec_store(at, e, LANES);
            sum[j] += e;
        }
    for (int j = 0; j < rows; j++)
        inverse[j] = 1.0f / vec_sum(sum[j]);
    for (size_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < rows; j++) {
            const vec e = vec_load(s + j * n + i, LANES, 0);
            STORE(p + j * n + i, e * inverse[j], LANES);
        }
    for (int j = 0; j < rows; j++)
        STORE(p + j * n + whole, last[j] * inverse[j], rest);
}

static void NAME(softmax)(void *to, float *s, size_t rows, size_t n, float scale)
{
    OPERAND *p = to;
    size_t r = 0;

    for (; r + ROWS <= rows; r += ROWS)
        NAME(softmax_rows)(ROWS, p + r * n, s + r * n, n, scale * log2_e);
    for (; r < rows; r++)
        NAME(softmax_rows)(1, p + r * n, s + r * n, n, scale * log2_e);
}

static inline void NAME(softmax_backward_rows)(int rows, OPERAND *out, const float *d,
                                               const OPERAND *p, size_t n, float scale)
{
    vec sum[2] = {vec_of(0)};
    float s[2];

    VEC_EACH(i, left, n, {
        for (int j = 0; j < rows; j++)
            sum[j] += vec_load(d + j * n + i, left, 0) * LOAD(p + j * n + i, left);
    });
    for (int j = 0; j < rows; j++)
        s[j] = vec_sum(sum[j]);
    VEC_EACH(i, left, n, {
        for (int j = 0; j < rows; j++) {
            const vec x = vec_load(d + j * n + i, left, 0) - s[j];
            STORE(out + j * n + i, LOAD(p + j * n + i, left) * scale * x, left);
        }
    });
}

static void NAME(softmax_backward)(void *to, const float *d, const void *probs, size_t rows,
                                   size_t n, float scale)
{
    OPERAND *out = to;
    const OPERAND *p = probs;
    size_t r = 0;

    for (; r + 2 <= rows; r += 2)
        NAME(softmax_backward_rows)(2, out + r * n, d + r * n, p + r * n, n, scale);
    for (; r < rows; r++)
        NAME(softmax_backward_rows)(1, out + r * n, d + r * n, p + r * n, n, scale);
}

static void NAME(round)(void *to, float a, const float *x, size_t n)
{
    OPERAND *y = to;

    VEC_EACH(i, left, n, { STORE(y + i, vec_load(x + i, left, 0) * a, left); });
}

static void NAME(multiply)(void *to, const float *factor, size_t n)
{
    OPERAND *y = to;

    VEC_EACH(i, left, n,
             { STORE(y + i, LOAD(y + i, left) * vec_load(factor + i, left, 0), left); });
}

static void NAME(axpy)(float *y, float a, const void *from, size_t n)
{
    const OPERAND *x = from;

    VEC_EACH(i, left, n,
             { vec_store(y + i, vec_load(y + i, left, 0) + LOAD(x + i, left) * a, left); });
}

static float NAME(dot)(const float *a, const void *with, size_t n)
{
    const OPERAND *b = with;
    vec sum = vec_of(0);

    VEC_EACH(i, left, n, { sum += vec_load(a + i, left, 0) * LOAD(b + i, left); });
    return vec_sum(sum);
}
