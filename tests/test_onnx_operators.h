/* test_onnx_operators.h - the operators that our ONNX files use, in double precision, as
 * onnx.ai, "Operators", describes them for opset 20. */
#ifndef TESTS_TEST_ONNX_OPERATORS_H
#define TESTS_TEST_ONNX_OPERATORS_H

#include <math.h>

#include "tests/test_onnx_values.h"

/* ---- element by element -------------------------------------------------------------- */

/* Where in v the place `at` of a larger shape is taken from: dimensions of 1 repeat. */
static size_t place_in(const value *v, const value *whole_shape, size_t at)
{
    size_t place = 0, step = 1;

    for (size_t i = 0; i < whole_shape->rank; i++) {
        const size_t d = whole_shape->rank - 1 - i, coordinate = at % whole_shape->dim[d];
        at /= whole_shape->dim[d];
        if (i >= v->rank)
            continue;
        const size_t own = v->dim[v->rank - 1 - i];
        WIRE_SURE(own == 1 || own == whole_shape->dim[d]);
        place += own == 1 ? 0 : coordinate * step;
        step *= own;
    }
    return place;
}

static void shape_of_all(value *out, const value *const *in, size_t ins)
{
    size_t rank = 0, dim[RANK_MOST];

    for (size_t i = 0; i < ins; i++)
        rank = in[i]->rank > rank ? in[i]->rank : rank;
    for (size_t d = 0; d < rank; d++) {
        dim[d] = 1;
        for (size_t i = 0; i < ins; i++) {
            const size_t missing = rank - in[i]->rank;
            if (d >= missing && in[i]->dim[d - missing] != 1)
                dim[d] = in[i]->dim[d - missing];
        }
    }
    shape_set(out, dim, rank);
}

static double two(const char *op, double a, double b)
{
    return strcmp(op, "Add") == 0   ? a + b
           : strcmp(op, "Sub") == 0 ? a - b
           : strcmp(op, "Mul") == 0 ? a * b
           : strcmp(op, "Div") == 0 ? a / b
           : strcmp(op, "Max") == 0 ? fmax(a, b)
           : strcmp(op, "Min") == 0 ? fmin(a, b)
                                    : (double)(a > b); /* Greater */
}

static double gelu_of(const node *n, double x)
{
    const wire_field kind = field_at(attribute(n, "approximate"), 4, 0);

    if (is_text(kind, "none"))
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    WIRE_SURE(is_text(kind, "tanh"));
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static double one(const node *n, const char *op, double x)
{
    return strcmp(op, "Abs") == 0          ? fabs(x)
           : strcmp(op, "Neg") == 0        ? -x
           : strcmp(op, "Log") == 0        ? log(x)
           : strcmp(op, "Sqrt") == 0       ? sqrt(x)
           : strcmp(op, "Tanh") == 0       ? tanh(x)
           : strcmp(op, "Sigmoid") == 0    ? 1 / (1 + exp(-x))
           : strcmp(op, "Softplus") == 0   ? log1p(exp(x))
           : strcmp(op, "Reciprocal") == 0 ? 1 / x
                                           : gelu_of(n, x);
}

static bool elementwise(node *n, const char *op)
{
    static const char ones[] = " Abs Neg Log Sqrt Tanh Sigmoid Softplus Reciprocal Gelu ";
    static const char twos[] = " Add Sub Mul Div Max Min Greater ";
    char word[40];
    value *out = n->out[0];

    snprintf(word, sizeof word, " %.30s ", op);
    const size_t ins = strstr(ones, word)         ? 1
                       : strstr(twos, word)       ? 2
                       : strcmp(op, "Where") == 0 ? 3
                                                  : 0;
    if (ins == 0)
        return false;
    only(n, " approximate ");
    ck_assert_uint_eq(n->ins, ins);
    shape_of_all(out, n->in, ins);
    for (size_t i = 0; i < out->count; i++) {
        double x[3];
        for (size_t k = 0; k < ins; k++)
            x[k] = n->in[k]->at[place_in(n->in[k], out, i)];
        out->at[i] = ins == 1   ? one(n, op, x[0])
                     : ins == 2 ? two(op, x[0], x[1])
                                : (x[0] != 0 ? x[1] : x[2]);
    }
    return true;
}

/* ---- along an axis ------------------------------------------------------------------- */

static double reduced(const char *op, const double *x, around a)
{
    double sum = 0, top = -INFINITY;

    for (size_t i = 0; i < a.along; i++) {
        const double v = x[i * a.behind];
        sum += strcmp(op, "ReduceSumSquare") == 0 ? v * v : v;
        top = fmax(top, v);
    }
    if (strcmp(op, "ReduceMax") == 0)
        return top;
    if (strcmp(op, "ReduceMean") == 0)
        return sum / (double)a.along;
    if (strcmp(op, "ReduceLogSumExp") != 0)
        return sum;
    sum = 0;
    for (size_t i = 0; i < a.along; i++)
        sum += exp(x[i * a.behind] - top);
    return top + log(sum);
}

static void reduce(node *n, const char *op)
{
    const value *x = n->in[0];
    const size_t axis = axis_of(x, (int64_t)n->in[1]->at[0]);
    const around a = around_of(x, (int64_t)axis);
    size_t dim[RANK_MOST], rank = 0;

    only(n, " keepdims ");
    WIRE_SURE(strcmp(op, "ReduceSum") == 0 || strcmp(op, "ReduceSumSquare") == 0 ||
              strcmp(op, "ReduceMax") == 0 || strcmp(op, "ReduceMean") == 0 ||
              strcmp(op, "ReduceLogSumExp") == 0);
    ck_assert_uint_eq(n->in[1]->count, 1);
    for (size_t i = 0; i < x->rank; i++) {
        if (i != axis)
            dim[rank++] = x->dim[i];
        else if (whole(n, "keepdims", 1) != 0)
            dim[rank++] = 1;
    }
    shape_set(n->out[0], dim, rank);
    for (size_t i = 0; i < a.before; i++)
        for (size_t j = 0; j < a.behind; j++)
            n->out[0]->at[i * a.behind + j] =
                reduced(op, x->at + i * a.along * a.behind + j, a);
}

static void softmax(node *n, bool logarithm)
{
    const value *x = n->in[0];
    const around a = around_of(x, whole(n, "axis", -1));

    only(n, " axis ");
    shape_set(n->out[0], x->dim, x->rank);
    for (size_t i = 0; i < a.before; i++)
        for (size_t j = 0; j < a.behind; j++) {
            const size_t from = i * a.along * a.behind + j;
            const double all = reduced("ReduceLogSumExp", x->at + from, a);
            for (size_t k = 0; k < a.along; k++) {
                const double y = x->at[from + k * a.behind] - all;
                n->out[0]->at[from + k * a.behind] = logarithm ? y : exp(y);
            }
        }
}

static void layer_norm(node *n)
{
    const value *x = n->in[0];
    const around a = around_of(x, whole(n, "axis", -1));
    const double eps = real(n, "epsilon");

    only(n, " axis epsilon ");
    ck_assert_uint_eq(a.behind, 1);
    WIRE_SURE(n->ins == 3 && n->in[1]->count == a.along && n->in[2]->count == a.along);
    shape_set(n->out[0], x->dim, x->rank);
    for (size_t i = 0; i < a.before; i++) {
        const double *from = x->at + i * a.along;
        const double mean = reduced("ReduceMean", from, a);
        double squares = 0;
        for (size_t k = 0; k < a.along; k++)
            squares += (from[k] - mean) * (from[k] - mean);
        for (size_t k = 0; k < a.along; k++)
            n->out[0]->at[i * a.along + k] =
                (from[k] - mean) / sqrt(squares / (double)a.along + eps) * n->in[1]->at[k] +
                n->in[2]->at[k];
    }
}

/* Values and places of the k largest, ties to the lower place. */
static void top_k(node *n)
{
    const value *x = n->in[0];
    const size_t axis = axis_of(x, whole(n, "axis", -1)), k = (size_t)n->in[1]->at[0];
    const around a = around_of(x, (int64_t)axis);
    size_t dim[RANK_MOST];

    only(n, " axis ");
    ck_assert_uint_le(k, a.along);
    memcpy(dim, x->dim, sizeof dim);
    dim[axis] = k;
    shape_set(n->out[0], dim, x->rank);
    shape_set(n->out[1], dim, x->rank);
    for (size_t i = 0; i < a.before; i++)
        for (size_t j = 0; j < a.behind; j++) {
            const double *from = x->at + i * a.along * a.behind + j;
            for (size_t r = 0; r < a.along; r++) {
                size_t place = 0;
                for (size_t s = 0; s < a.along; s++)
                    place += from[s * a.behind] > from[r * a.behind] ||
                             (from[s * a.behind] == from[r * a.behind] && s < r);
                if (place >= k)
                    continue;
                const size_t to = (i * k + place) * a.behind + j;
                n->out[0]->at[to] = from[r * a.behind];
                n->out[1]->at[to] = (double)r;
            }
        }
}

/* ---- products ------------------------------------------------------------------------ */

static void gemm(node *n)
{
    const value *a = n->in[0], *b = n->in[1];

    only(n, " transB ");
    WIRE_SURE(a->rank == 2 && b->rank == 2 && whole(n, "transB", 0) == 1);
    ck_assert_uint_eq(a->dim[1], b->dim[1]);
    shape_set(n->out[0], (size_t[]){a->dim[0], b->dim[0]}, 2);
    for (size_t i = 0; i < a->dim[0]; i++)
        for (size_t j = 0; j < b->dim[0]; j++) {
            double sum = n->ins > 2 ? n->in[2]->at[n->in[2]->count > 1 ? j : 0] : 0;
            for (size_t k = 0; k < a->dim[1]; k++)
                sum += a->at[i * a->dim[1] + k] * b->at[j * b->dim[1] + k];
            n->out[0]->at[i * b->dim[0] + j] = sum;
        }
}

/* [.., M, K] times [.., K, N]; what stands before repeats where it is missing. */
static void matmul(node *n)
{
    const value *a = n->in[0], *b = n->in[1];
    const size_t m = a->dim[a->rank - 2], k = a->dim[a->rank - 1], w = b->dim[b->rank - 1];
    value left = {.rank = a->rank - 2, .count = 1},
          right = {.rank = b->rank - 2, .count = 1};
    value outer = {0};
    size_t dim[RANK_MOST];

    only(n, " ");
    ck_assert_uint_eq(b->dim[b->rank - 2], k);
    memcpy(left.dim, a->dim, sizeof left.dim);
    memcpy(right.dim, b->dim, sizeof right.dim);
    shape_of_all(&outer, (const value *const[]){&left, &right}, 2);
    memcpy(dim, outer.dim, sizeof dim);
    dim[outer.rank] = m;
    dim[outer.rank + 1] = w;
    shape_set(n->out[0], dim, outer.rank + 2);
    for (size_t o = 0; o < outer.count; o++) {
        const double *x = a->at + place_in(&left, &outer, o) * m * k;
        const double *y = b->at + place_in(&right, &outer, o) * k * w;
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < w; j++) {
                double sum = 0;
                for (size_t l = 0; l < k; l++)
                    sum += x[i * k + l] * y[l * w + j];
                n->out[0]->at[(o * m + i) * w + j] = sum;
            }
    }
    base_free(outer.at);
}

/* Patches that do not overlap. */
static void conv(node *n)
{
    const value *x = n->in[0], *w = n->in[1];
    const size_t p = listed(n, "kernel_shape", 0), d = w->dim[0], c = w->dim[1];
    const size_t rows = x->dim[2] / p, columns = x->dim[3] / p;

    only(n, " kernel_shape strides ");
    WIRE_SURE(listed(n, "kernel_shape", 1) == p && listed(n, "strides", 0) == p &&
              listed(n, "strides", 1) == p && w->dim[2] == p && w->dim[3] == p);
    WIRE_SURE(x->dim[1] == c && n->ins == 3 && n->in[2]->count == d);
    shape_set(n->out[0], (size_t[]){x->dim[0], d, rows, columns}, 4);
    for (size_t o = 0; o < n->out[0]->count; o++) {
        const size_t column = o % columns, row = o / columns % rows,
                     f = o / columns / rows % d, image = o / columns / rows / d;
        double sum = n->in[2]->at[f];
        for (size_t i = 0; i < c * p * p; i++)
            sum += w->at[f * c * p * p + i] *
                   x->at[((image * c + i / p / p) * x->dim[2] + row * p + i / p % p) *
                             x->dim[3] +
                         column * p + i % p];
        n->out[0]->at[o] = sum;
    }
}

/* ---- shapes -------------------------------------------------------------------------- */

static void reshape(node *n)
{
    const value *x = n->in[0], *shape = n->in[1];
    size_t dim[RANK_MOST], known = 1, rest = RANK_MOST;

    only(n, " ");
    for (size_t i = 0; i < shape->count; i++) {
        if (shape->at[i] < 0) {
            ck_assert_uint_eq(rest, RANK_MOST);
            rest = i;
            continue;
        }
        dim[i] = shape->at[i] > 0 ? (size_t)shape->at[i] : x->dim[i];
        known *= dim[i];
    }
    if (rest < RANK_MOST)
        dim[rest] = x->count / known;
    shape_set(n->out[0], dim, shape->count);
    ck_assert_uint_eq(n->out[0]->count, x->count);
    memcpy(n->out[0]->at, x->at, x->count * sizeof *x->at);
}

static void transpose(node *n)
{
    const value *x = n->in[0];
    size_t dim[RANK_MOST], step[RANK_MOST], perm[RANK_MOST], steps = 1;

    only(n, " perm ");
    for (size_t i = x->rank; i-- > 0; steps *= x->dim[i])
        step[i] = steps;
    for (size_t i = 0; i < x->rank; i++) {
        perm[i] = listed(n, "perm", i);
        WIRE_SURE(perm[i] < x->rank);
        dim[i] = x->dim[perm[i]];
    }
    shape_set(n->out[0], dim, x->rank);
    for (size_t o = 0; o < x->count; o++) {
        size_t from = 0, at = o;
        for (size_t i = x->rank; i-- > 0; at /= dim[i])
            from += at % dim[i] * step[perm[i]];
        n->out[0]->at[o] = x->at[from];
    }
}

static void concat(node *n)
{
    const size_t axis = axis_of(n->in[0], whole(n, "axis", 0));
    size_t dim[RANK_MOST], at = 0;

    only(n, " axis ");
    memcpy(dim, n->in[0]->dim, sizeof dim);
    for (size_t i = 1; i < n->ins; i++)
        dim[axis] += n->in[i]->dim[axis];
    shape_set(n->out[0], dim, n->in[0]->rank);
    const around to = around_of(n->out[0], (int64_t)axis);
    for (size_t i = 0; i < n->ins; i++) {
        const around from = around_of(n->in[i], (int64_t)axis);
        WIRE_SURE(from.before == to.before && from.behind == to.behind);
        for (size_t b = 0; b < from.before; b++)
            memcpy(n->out[0]->at + (b * to.along + at) * to.behind,
                   n->in[i]->at + b * from.along * from.behind,
                   from.along * from.behind * sizeof(double));
        at += from.along;
    }
}

static void expand(node *n)
{
    value target = {.rank = n->in[1]->count, .count = 1};

    only(n, " ");
    for (size_t i = 0; i < target.rank; i++)
        target.dim[i] = (size_t)n->in[1]->at[i];
    shape_of_all(n->out[0], (const value *const[]){n->in[0], &target}, 2);
    for (size_t i = 0; i < n->out[0]->count; i++)
        n->out[0]->at[i] = n->in[0]->at[place_in(n->in[0], n->out[0], i)];
}

static void shape(node *n)
{
    const value *x = n->in[0];
    const size_t start = (size_t)whole(n, "start", 0),
                 end = (size_t)whole(n, "end", (int64_t)x->rank);

    only(n, " start end ");
    shape_set(n->out[0], (size_t[]){end - start}, 1);
    for (size_t i = start; i < end; i++)
        n->out[0]->at[i - start] = (double)x->dim[i];
}

/* Of one axis, forwards. */
static void slice(node *n)
{
    const value *x = n->in[0];
    const size_t axis = axis_of(x, (int64_t)n->in[3]->at[0]);
    const size_t start = (size_t)n->in[1]->at[0];
    const around a = around_of(x, (int64_t)axis);
    size_t dim[RANK_MOST];

    only(n, " ");
    WIRE_SURE(n->ins == 4 && n->in[1]->count == 1 && n->in[2]->count == 1);
    WIRE_SURE(n->in[1]->at[0] >= 0 && n->in[2]->at[0] >= 0);
    memcpy(dim, x->dim, sizeof dim);
    dim[axis] = (size_t)fmin(n->in[2]->at[0], (double)a.along) - start;
    shape_set(n->out[0], dim, x->rank);
    for (size_t b = 0; b < a.before; b++)
        memcpy(n->out[0]->at + b * dim[axis] * a.behind,
               x->at + (b * a.along + start) * a.behind,
               dim[axis] * a.behind * sizeof(double));
}

/* ---- places -------------------------------------------------------------------------- */

static size_t place(double at, size_t most)
{
    const double out = at < 0 ? at + (double)most : at;

    WIRE_SURE(out >= 0 && out < (double)most && out == floor(out));
    return (size_t)out;
}

static void gather(node *n)
{
    const value *x = n->in[0], *of = n->in[1];
    const size_t axis = axis_of(x, whole(n, "axis", 0));
    const around a = around_of(x, (int64_t)axis);
    size_t dim[RANK_MOST], rank = 0;

    only(n, " axis ");
    for (size_t i = 0; i < axis; i++)
        dim[rank++] = x->dim[i];
    for (size_t i = 0; i < of->rank; i++)
        dim[rank++] = of->dim[i];
    for (size_t i = axis + 1; i < x->rank; i++)
        dim[rank++] = x->dim[i];
    shape_set(n->out[0], dim, rank);
    for (size_t b = 0; b < a.before; b++)
        for (size_t i = 0; i < of->count; i++)
            memcpy(n->out[0]->at + (b * of->count + i) * a.behind,
                   x->at + (b * a.along + place(of->at[i], a.along)) * a.behind,
                   a.behind * sizeof(double));
}

/* gather: out = x at the places; else out at the places = values, on a copy of x. */
static void elements(node *n, bool gathers)
{
    const value *x = n->in[0], *of = n->in[1], *shaped = gathers ? of : x;
    const size_t axis = axis_of(x, whole(n, "axis", 0));
    const around a = around_of(x, (int64_t)axis), own = around_of(of, (int64_t)axis);

    only(n, " axis ");
    WIRE_SURE(a.before == own.before && a.behind == own.behind && x->rank == of->rank);
    shape_set(n->out[0], shaped->dim, shaped->rank);
    if (!gathers)
        memcpy(n->out[0]->at, x->at, x->count * sizeof *x->at);
    for (size_t i = 0; i < of->count; i++) {
        const size_t behind = i % a.behind, before = i / a.behind / own.along;
        const size_t in =
            (before * a.along + place(of->at[i], a.along)) * a.behind + behind;
        if (gathers)
            n->out[0]->at[i] = x->at[in];
        else
            n->out[0]->at[in] = n->in[2]->at[i];
    }
}

/* Places of x [..] by rows of of [n, depth]: where each begins, and how much lies there. */
static size_t nd_place(size_t *size, const value *x, const value *of, size_t row)
{
    const size_t depth = of->dim[of->rank - 1];
    size_t at = 0;

    WIRE_SURE(of->rank == 2 && depth <= x->rank);
    *size = 1;
    for (size_t i = 0; i < x->rank; i++) {
        if (i < depth)
            at = at * x->dim[i] + place(of->at[row * depth + i], x->dim[i]);
        else
            *size *= x->dim[i];
    }
    return at * *size;
}

static void gather_nd(node *n)
{
    const value *x = n->in[0], *of = n->in[1];
    const size_t rows = of->dim[0], depth = of->dim[1];
    size_t dim[RANK_MOST] = {rows}, rank = 1, size;

    only(n, " ");
    for (size_t i = depth; i < x->rank; i++)
        dim[rank++] = x->dim[i];
    shape_set(n->out[0], dim, rank);
    for (size_t r = 0; r < rows; r++) {
        const size_t at = nd_place(&size, x, of, r);
        memcpy(n->out[0]->at + r * size, x->at + at, size * sizeof(double));
    }
}

static void scatter_nd(node *n)
{
    const value *x = n->in[0], *of = n->in[1];
    size_t size;

    only(n, " reduction ");
    WIRE_SURE(is_text(field_at(attribute(n, "reduction"), 4, 0), "add"));
    shape_set(n->out[0], x->dim, x->rank);
    memcpy(n->out[0]->at, x->at, x->count * sizeof *x->at);
    for (size_t r = 0; r < of->dim[0]; r++) {
        const size_t at = nd_place(&size, x, of, r);
        for (size_t i = 0; i < size; i++)
            n->out[0]->at[at + i] += n->in[2]->at[r * size + i];
    }
}

/* [rank, count] */
static void non_zero(node *n)
{
    const value *x = n->in[0];
    size_t count = 0, at = 0;

    only(n, " ");
    for (size_t i = 0; i < x->count; i++)
        count += x->at[i] != 0;
    shape_set(n->out[0], (size_t[]){x->rank, count}, 2);
    for (size_t i = 0; i < x->count; i++) {
        if (x->at[i] == 0)
            continue;
        size_t rest = i;
        for (size_t d = x->rank; d-- > 0; rest /= x->dim[d])
            n->out[0]->at[d * count + at] = (double)(rest % x->dim[d]);
        at++;
    }
}

/* Behind all other dimensions. */
static void one_hot(node *n)
{
    const value *x = n->in[0];
    const size_t depth = (size_t)n->in[1]->at[0];
    size_t dim[RANK_MOST];

    only(n, " axis ");
    ck_assert_int_eq(whole(n, "axis", -1), -1);
    memcpy(dim, x->dim, sizeof dim);
    dim[x->rank] = depth;
    shape_set(n->out[0], dim, x->rank + 1);
    for (size_t i = 0; i < x->count; i++)
        for (size_t d = 0; d < depth; d++)
            n->out[0]->at[i * depth + d] = n->in[2]->at[place(x->at[i], depth) == d];
}

#endif
