/* test_onnx_values.h - tensors and nodes of an ONNX graph that a test computes, in double
 * precision. */
#ifndef TESTS_TEST_ONNX_VALUES_H
#define TESTS_TEST_ONNX_VALUES_H

#include "tests/test_folder.h"
#include "tests/test_model.h"
#include "tests/test_onnx.h"

/* ---- values -------------------------------------------------------------------------- */

enum { RANK_MOST = 6, VALUES_MOST = 4096, INPUTS_MOST = 40 };

/* Floats, whole numbers and truths alike are doubles. */
typedef struct value {
    wire_field name;
    size_t rank, dim[RANK_MOST], count;
    double *at;
} value;

static value values[VALUES_MOST];
static size_t value_count;

static void shape_set(value *v, const size_t *dim, size_t rank)
{
    WIRE_SURE(rank <= RANK_MOST);
    v->rank = rank;
    v->count = 1;
    for (size_t i = 0; i < rank; i++)
        v->count *= v->dim[i] = dim[i];
    v->at = base_alloc(v->count > 0 ? v->count : 1, sizeof *v->at);
    WIRE_SURE(v->at);
}

static value *value_find(wire_field name)
{
    for (size_t i = 0; i < value_count; i++)
        if (values[i].name.count == name.count &&
            memcmp(values[i].name.at, name.at, name.count) == 0)
            return &values[i];
    ck_abort_msg("no value '%.*s'", (int)name.count, (const char *)name.at);
    return NULL;
}

static value *value_new(wire_field name)
{
    WIRE_SURE(value_count < VALUES_MOST);
    values[value_count] = (value){.name = name};
    return &values[value_count++];
}

static void values_free(void)
{
    while (value_count > 0)
        base_free(values[--value_count].at);
}

/* Numbers before an axis, along it, and behind it. */
typedef struct around {
    size_t before, along, behind;
} around;

static size_t axis_of(const value *v, int64_t axis)
{
    const size_t out = (size_t)(axis < 0 ? axis + (int64_t)v->rank : axis);

    WIRE_SURE(out < v->rank);
    return out;
}

static around around_of(const value *v, int64_t axis)
{
    const size_t at = axis_of(v, axis);
    around out = {1, v->dim[at], 1};

    for (size_t i = 0; i < v->rank; i++) {
        out.before *= i < at ? v->dim[i] : 1;
        out.behind *= i > at ? v->dim[i] : 1;
    }
    return out;
}

/* ---- nodes --------------------------------------------------------------------------- */

typedef struct node {
    wire_field message;
    const value *in[INPUTS_MOST];
    size_t ins;
    value *out[2];
} node;

/* The attribute of that name; kind 9 when it is not there. */
static wire_field attribute(const node *n, const char *name)
{
    wire_field a;

    for (size_t i = 0; (a = field_at(n->message, 5, i)).kind == 2; i++)
        if (is_text(field_at(a, 1, 0), name))
            return a;
    return (wire_field){.kind = 9};
}

static int64_t whole(const node *n, const char *name, int64_t other)
{
    const wire_field a = attribute(n, name);

    return a.kind == 2 ? (int64_t)field_at(a, 3, 0).number : other;
}

static double real(const node *n, const char *name)
{
    const wire_field a = attribute(n, name);
    float out;

    WIRE_SURE(a.kind == 2);
    memcpy(&out, field_at(a, 2, 0).at, sizeof out);
    return (double)out;
}

static size_t listed(const node *n, const char *name, size_t i)
{
    const wire_field one = field_at(attribute(n, name), 8, i);

    WIRE_SURE(one.kind == 0);
    return (size_t)one.number;
}

/* The attributes of a node are among these, separated by blanks. */
static void only(const node *n, const char *names)
{
    wire_field a;

    for (size_t i = 0; (a = field_at(n->message, 5, i)).kind == 2; i++) {
        char *name = base_text(" %.*s ", (int)field_at(a, 1, 0).count,
                               (const char *)field_at(a, 1, 0).at);
        if (!strstr(names, name))
            ck_abort_msg("attribute '%s'", name);
        base_free(name);
    }
}

#endif
