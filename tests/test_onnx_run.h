/* test_onnx_run.h - computes the graph of an ONNX file, in double precision. */
#ifndef TESTS_TEST_ONNX_RUN_H
#define TESTS_TEST_ONNX_RUN_H

#include "tests/test_onnx_operators.h"

/* ---- the graph ----------------------------------------------------------------------- */

static void node_run(node *n)
{
    char op[32];
    const wire_field name = field_at(n->message, 4, 0);

    snprintf(op, sizeof op, "%.*s", (int)name.count, (const char *)name.at);
    if (elementwise(n, op))
        return;
    if (strncmp(op, "Reduce", 6) == 0)
        reduce(n, op);
    else if (strcmp(op, "Softmax") == 0 || strcmp(op, "LogSoftmax") == 0)
        softmax(n, op[0] == 'L');
    else if (strcmp(op, "LayerNormalization") == 0)
        layer_norm(n);
    else if (strcmp(op, "TopK") == 0)
        top_k(n);
    else if (strcmp(op, "Gemm") == 0)
        gemm(n);
    else if (strcmp(op, "MatMul") == 0)
        matmul(n);
    else if (strcmp(op, "Conv") == 0)
        conv(n);
    else if (strcmp(op, "Reshape") == 0)
        reshape(n);
    else if (strcmp(op, "Transpose") == 0)
        transpose(n);
    else if (strcmp(op, "Concat") == 0)
        concat(n);
    else if (strcmp(op, "Expand") == 0)
        expand(n);
    else if (strcmp(op, "Shape") == 0)
        shape(n);
    else if (strcmp(op, "Slice") == 0)
        slice(n);
    else if (strcmp(op, "Gather") == 0)
        gather(n);
    else if (strcmp(op, "GatherElements") == 0 || strcmp(op, "ScatterElements") == 0)
        elements(n, op[0] == 'G');
    else if (strcmp(op, "GatherND") == 0)
        gather_nd(n);
    else if (strcmp(op, "ScatterND") == 0)
        scatter_nd(n);
    else if (strcmp(op, "NonZero") == 0)
        non_zero(n);
    else if (strcmp(op, "OneHot") == 0)
        one_hot(n);
    else
        ck_abort_msg("the operator '%s' is not written here", op);
}

/* An initialiser: floats or whole numbers. */
static void tensor_read(wire_field t)
{
    const wire_field raw = field_at(t, 9, 0);
    const uint64_t type = field_at(t, 2, 0).number;
    size_t dim[RANK_MOST], rank = 0;
    wire_field d;

    WIRE_SURE(type == 1 || type == 7);
    while ((d = field_at(t, 1, rank)).kind == 0)
        dim[rank++] = d.number;
    value *v = value_new(field_at(t, 8, 0));
    shape_set(v, dim, rank);
    ck_assert_uint_eq(raw.count, v->count * (type == 1 ? 4 : 8));
    for (size_t i = 0; i < v->count; i++) {
        float narrow;
        int64_t number;
        if (type == 1)
            memcpy(&narrow, raw.at + i * sizeof narrow, sizeof narrow);
        else
            memcpy(&number, raw.at + i * sizeof number, sizeof number);
        v->at[i] = type == 1 ? (double)narrow : (double)number;
    }
}

/* The file's logits [count, K] of images [count, C, S, S]. */
static void graph_run(double *logits, wire_field graph, const float *images, size_t count,
                      const vit_config *c)
{
    const size_t side = (size_t)c->image;
    const unsigned char *end = graph.at + graph.count;
    wire_field f, name;
    value *x = value_new(field_at(field_at(graph, 11, 0), 1, 0));

    shape_set(x, (size_t[]){count, (size_t)c->channels, side, side}, 4);
    for (size_t i = 0; i < x->count; i++)
        x->at[i] = (double)images[i];
    for (const unsigned char *at = graph.at; next(&f, &at, end);)
        if (f.field == 5)
            tensor_read(f);
    for (const unsigned char *at = graph.at; next(&f, &at, end);) {
        node n = {.message = f};
        if (f.field != 1)
            continue;
        for (; (name = field_at(f, 1, n.ins)).kind == 2; n.ins++) {
            WIRE_SURE(n.ins < INPUTS_MOST);
            n.in[n.ins] = value_find(name);
        }
        for (size_t i = 0; i < 2 && (name = field_at(f, 2, i)).kind == 2; i++)
            n.out[i] = value_new(name);
        node_run(&n);
    }
    const value *out = value_find(field_at(field_at(graph, 12, 0), 1, 0));
    ck_assert_uint_eq(out->count, count * (size_t)c->classes);
    memcpy(logits, out->at, out->count * sizeof *logits);
    values_free();
}

#endif
