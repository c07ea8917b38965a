/* kernels_operand.h - the loops between products, whose results are operands of the next product: fp32 or
 * bf16, arithmetic in fp32 either way. kernels.c includes this once for each, with
 *   OPERAND   the type of a number in memory
 *   LOAD(x)   number to float
 *   STORE(x)  float to number, to nearest even
 *   NAME(f)   the name of a function
 * No include guard: it is meant to be read twice. */

static void NAME(norm)(void *to, float *mean, float *rstd, const float *x,
                       const float *gamma, const float *beta, size_t rows, size_t n,
                       float eps)
{
    OPERAND *y = to;

    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * n;
        OPERAND *yr = y + r * n;
        float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++)
            sum += xr[i];
        const float mu = sum / (float)n;
#pragma omp simd reduction(+ : squares)
        for (size_t i = 0; i < n; i++)
            squares += (xr[i] - mu) * (xr[i] - mu);
        const float rs = 1.0f / sqrtf(squares / (float)n + eps);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            yr[i] = STORE((xr[i] - mu) * rs * gamma[i] + beta[i]);
        mean[r] = mu;
        rstd[r] = rs;
    }
}

static void NAME(gelu)(void *to, const void *from, size_t n, int tanh_form)
{
    OPERAND *a = to;
    const OPERAND *h = from;

    /* NOLINTNEXTLINE(bugprone-branch-clone): clang does not compare the loops' bodies */
    if (tanh_form) {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            const float x = LOAD(h[i]);
            a[i] = STORE(0.5f * x *
                         (1.0f + tanh_fast(tanh_scale * (x + tanh_cubic * x * x * x))));
        }
    } else {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            const float x = LOAD(h[i]);
            float e;
            a[i] = STORE(x * normal_cdf(x, &e));
        }
    }
}

static void NAME(gelu_backward)(void *gradient, void *to, const void *from, size_t n,
                                int tanh_form)
{
    OPERAND *d = gradient, *a = to;
    const OPERAND *h = from;

    /* NOLINTNEXTLINE(bugprone-branch-clone): as above */
    if (tanh_form) {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            const float x = LOAD(h[i]);
            const float t = tanh_fast(tanh_scale * (x + tanh_cubic * x * x * x));
            const float du = tanh_scale * (1.0f + 3.0f * tanh_cubic * x * x);
            a[i] = STORE(0.5f * x * (1.0f + t));
            d[i] = STORE(LOAD(d[i]) * (0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * du));
        }
    } else {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            const float x = LOAD(h[i]);
            float e;
            const float cdf = normal_cdf(x, &e);
            a[i] = STORE(x * cdf);
            d[i] = STORE(LOAD(d[i]) *
                         (cdf + x * 0.39894228040143268f * e)); /* phi = e / sqrt(2 pi) */
        }
    }
}

static void NAME(column_sum)(float *sum, const void *from, size_t rows, size_t n)
{
    const OPERAND *d = from;
    size_t r = 0;

    for (; r + 4 <= rows; r += 4) {
        const OPERAND *a = d + r * n, *b = a + n, *c = b + n, *e = c + n;
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            sum[i] += (LOAD(a[i]) + LOAD(b[i])) + (LOAD(c[i]) + LOAD(e[i]));
    }
    for (; r < rows; r++) {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            sum[i] += LOAD(d[r * n + i]);
    }
}

static void NAME(softmax)(void *to, float *s, size_t rows, size_t n, float scale)
{
    OPERAND *p = to;

    for (size_t r = 0; r < rows; r++) {
        float *sr = s + r * n;
        OPERAND *pr = p + r * n;
        float top = sr[0], sum = 0;
#pragma omp simd reduction(max : top)
        for (size_t i = 0; i < n; i++)
            top = sr[i] > top ? sr[i] : top;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < n; i++) {
            const float e = exp_fast(scale * (sr[i] - top));
            sr[i] = e;
            sum += e;
        }
        const float inverse = 1.0f / sum;
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            pr[i] = STORE(sr[i] * inverse);
    }
}

static void NAME(softmax_backward)(void *to, const float *d, const void *probs, size_t rows,
                                   size_t n, float scale)
{
    OPERAND *out = to;
    const OPERAND *p = probs;

    for (size_t r = 0; r < rows; r++) {
        const float *dr = d + r * n;
        const OPERAND *pr = p + r * n;
        OPERAND *to_r = out + r * n;
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (size_t i = 0; i < n; i++)
            s += dr[i] * LOAD(pr[i]);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            to_r[i] = STORE(scale * LOAD(pr[i]) * (dr[i] - s));
    }
}

static void NAME(round)(void *to, float a, const float *x, size_t n)
{
    OPERAND *y = to;

#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = STORE(a * x[i]);
}

static void NAME(multiply)(void *to, const float *factor, size_t n)
{
    OPERAND *y = to;

#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] = STORE(LOAD(y[i]) * factor[i]);
}

static void NAME(axpy)(float *y, float a, const void *from, size_t n)
{
    const OPERAND *x = from;

#pragma omp simd
    for (size_t i = 0; i < n; i++)
        y[i] += a * LOAD(x[i]);
}

static float NAME(dot)(const float *a, const void *with, size_t n)
{
    const OPERAND *b = with;
    float s = 0;

#pragma omp simd reduction(+ : s)
    for (size_t i = 0; i < n; i++)
        s += a[i] * LOAD(b[i]);
    return s;
}
