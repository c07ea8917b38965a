/* graph.c - an ONNX graph in memory and its file. Follows onnx.proto (github.com/onnx/onnx,
 * whose numbers of fields these are) at IR version 9, opset 20: the first with Gelu as an
 * operator, known to onnxruntime from 1.17 on. Weights are not copied: the file is written
 * from the model's own block. Free to change: names of values in between. Relied on
 * elsewhere: names of input, output, parameters and metadata (docs/models.md). */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "vit/onnx/onnx_internal.h"
#include "vit/onnx/wire_internal.h"

enum { IR_VERSION = 9, OPSET = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 }; /* TensorProto.DataType */
enum { NAME_BYTES = 128, POOL_BYTES = 1 << 16, TENSORS_FIRST = 64 };
/* Fields of onnx.proto. */
enum { MODEL_IR = 1, MODEL_PRODUCER, MODEL_VERSION, MODEL_GRAPH = 7, MODEL_OPSET };
enum { MODEL_METADATA = 14 };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F, ATTRIBUTE_I, ATTRIBUTE_S, ATTRIBUTE_INTS = 8 };
enum { ATTRIBUTE_TYPE = 20 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE, TENSOR_NAME = 8, TENSOR_RAW };

/* An initialiser: its message up to the numbers, which follow from where they lie. */
typedef struct tensor {
    const char *name;
    vit_wire head;
    const void *data;
    size_t bytes;
} tensor;

/* What the graph owns besides: names, small constants. */
typedef struct pool {
    struct pool *before;
    size_t used;
    _Alignas(8) unsigned char at[POOL_BYTES];
} pool;

struct vit_onnx {
    const vit_model *model;
    vit_wire nodes; /* fields of GraphProto */
    tensor *tensors;
    size_t tensor_count, tensor_room, node_count;
    pool *pool;
    char scope[48];
    const char *result;
    bool failed;
};

vit_onnx *vit_onnx_create(const vit_model *model)
{
    vit_onnx *g = base_alloc(1, sizeof *g);

    if (g)
        g->model = model;
    return g;
}

void vit_onnx_destroy(vit_onnx *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->tensor_count; i++)
        vit_wire_free(&g->tensors[i].head);
    while (g->pool) {
        pool *before = g->pool->before;
        base_free(g->pool);
        g->pool = before;
    }
    vit_wire_free(&g->nodes);
    base_free(g->tensors);
    base_free(g);
}

/* Room that lives as long as the graph; NULL: no memory. */
static void *pool_take(vit_onnx *g, size_t bytes)
{
    const size_t whole = (bytes + 7) / 8 * 8;

    if (!g->pool || POOL_BYTES - g->pool->used < whole) {
        const size_t more = whole > POOL_BYTES ? whole - POOL_BYTES : 0;
        pool *next = base_alloc(1, sizeof *next + more);

        if (!next) {
            g->failed = true;
            return NULL;
        }
        next->before = g->pool;
        g->pool = next;
        next->used = more > 0 ? POOL_BYTES : whole;
        return next->at;
    }
    void *at = g->pool->at + g->pool->used;
    g->pool->used += whole;
    return at;
}

static const char *keep_name(vit_onnx *g, const char *name)
{
    char *at = pool_take(g, strlen(name) + 1);

    return at ? memcpy(at, name, strlen(name) + 1) : "";
}

/* ---- nodes --------------------------------------------------------------------------- */

void vit_onnx_scope(vit_onnx *g, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(g->scope, sizeof g->scope, format, list);
    va_end(list);
}

void vit_onnx_result(vit_onnx *g, const char *name)
{
    g->result = name;
}

static void attribute_put(vit_wire *node, const vit_onnx_attribute *a)
{
    static const int types[] = {[VIT_ONNX_KIND_FLOAT] = 1,
                                [VIT_ONNX_KIND_INT] = 2,
                                [VIT_ONNX_KIND_TEXT] = 3,
                                [VIT_ONNX_KIND_INTS] = 7};
    vit_wire out = {0};

    vit_wire_text(&out, ATTRIBUTE_NAME, a->name);
    if (a->kind == VIT_ONNX_KIND_FLOAT)
        vit_wire_float(&out, ATTRIBUTE_F, a->real);
    else if (a->kind == VIT_ONNX_KIND_INT)
        vit_wire_int(&out, ATTRIBUTE_I, a->whole);
    else if (a->kind == VIT_ONNX_KIND_TEXT)
        vit_wire_text(&out, ATTRIBUTE_S, a->text);
    for (size_t i = 0; i < a->count; i++)
        vit_wire_int(&out, ATTRIBUTE_INTS, a->list[i]);
    vit_wire_int(&out, ATTRIBUTE_TYPE, types[a->kind]);
    vit_wire_message(node, NODE_ATTRIBUTE, &out);
}

void vit_onnx_node(vit_onnx *g, const char **out, size_t outs, const char *op,
                   const char *const *in, const vit_onnx_attribute *attributes)
{
    vit_wire node = {0};
    char name[NAME_BYTES];

    for (size_t i = 0; in[i]; i++)
        vit_wire_text(&node, NODE_INPUT, in[i]);
    for (size_t i = 0; i < outs; i++) {
        snprintf(name, sizeof name, "%s/%s_%zu%s%.0zu", g->scope, op, g->node_count,
                 i ? "." : "", i);
        out[i] = g->result ? g->result : keep_name(g, name);
        vit_wire_text(&node, NODE_OUTPUT, out[i]);
    }
    vit_wire_text(&node, NODE_NAME, out[0]);
    vit_wire_text(&node, NODE_OP, op);
    for (const vit_onnx_attribute *a = attributes; a && a->name; a++)
        attribute_put(&node, a);
    vit_wire_message(&g->nodes, GRAPH_NODE, &node);
    g->node_count++;
    g->result = NULL;
}

const char *vit_onnx_one(vit_onnx *g, const char *op, const char *const *in,
                         const vit_onnx_attribute *attributes)
{
    const char *out;

    vit_onnx_node(g, &out, 1, op, in, attributes);
    return out;
}

/* ---- tensors ------------------------------------------------------------------------- */

static const char *tensor_find(const vit_onnx *g, const char *name)
{
    for (size_t i = 0; i < g->tensor_count; i++)
        if (strcmp(g->tensors[i].name, name) == 0)
            return g->tensors[i].name;
    return NULL;
}

static bool room_make(vit_onnx *g)
{
    if (g->tensor_count < g->tensor_room)
        return true;
    const size_t room = g->tensor_room ? 2 * g->tensor_room : TENSORS_FIRST;
    tensor *more = base_alloc(room, sizeof *more);
    if (!more) {
        g->failed = true;
        return false;
    }
    if (g->tensor_count > 0)
        memcpy(more, g->tensors, g->tensor_count * sizeof *more);
    base_free(g->tensors);
    g->tensors = more;
    g->tensor_room = room;
    return true;
}

/* The initialiser of that name, made of data where there is none yet. */
static const char *tensor_add(vit_onnx *g, const char *name, int type, const size_t *shape,
                              int rank, const void *data)
{
    const char *known = tensor_find(g, name);
    size_t count = 1;

    if (known || !room_make(g) || !data)
        return known ? known : "";
    tensor *t = &g->tensors[g->tensor_count++];
    *t = (tensor){.name = keep_name(g, name), .data = data};
    for (int i = 0; i < rank; i++) {
        vit_wire_int(&t->head, TENSOR_DIMS, (int64_t)shape[i]);
        count *= shape[i]; /* it lies in memory, so the product fits */
    }
    t->bytes = count * (type == TYPE_FLOAT ? sizeof(float) : sizeof(int64_t));
    vit_wire_int(&t->head, TENSOR_TYPE, type);
    vit_wire_text(&t->head, TENSOR_NAME, t->name);
    vit_wire_head(&t->head, TENSOR_RAW, t->bytes);
    return t->name;
}

static const void *keep_bytes(vit_onnx *g, const void *values, size_t bytes)
{
    void *at = pool_take(g, bytes);

    return at ? memcpy(at, values, bytes) : NULL;
}

/* Constants are named by their values, so that equal ones are one tensor. */
static const char *ints_add(vit_onnx *g, const int64_t *values, size_t count, int rank)
{
    char name[NAME_BYTES];
    size_t used = (size_t)snprintf(name, sizeof name, rank ? "ints" : "int");

    for (size_t i = 0; i < count && used < sizeof name; i++)
        used += (size_t)snprintf(name + used, sizeof name - used, "_%lld",
                                 (long long)values[i]);
    return tensor_add(g, name, TYPE_INT64, &count, rank,
                      keep_bytes(g, values, count * sizeof *values));
}

const char *vit_onnx_ints(vit_onnx *g, const int64_t *values, size_t count)
{
    return ints_add(g, values, count, 1);
}

const char *vit_onnx_int(vit_onnx *g, int64_t value)
{
    return ints_add(g, &value, 1, 0);
}

const char *vit_onnx_real(vit_onnx *g, double value)
{
    const float narrow = (float)value;
    char name[NAME_BYTES];

    snprintf(name, sizeof name, "real_%.9g", (double)narrow);
    return tensor_add(g, name, TYPE_FLOAT, NULL, 0, keep_bytes(g, &narrow, sizeof narrow));
}

const char *vit_onnx_floats(vit_onnx *g, const char *name, const float *values,
                            const size_t *shape, int rank)
{
    size_t count = 1;

    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return tensor_add(g, name, TYPE_FLOAT, shape, rank,
                      keep_bytes(g, values, count * sizeof *values));
}

const char *vit_onnx_parameter(vit_onnx *g, const char *name, size_t expert)
{
    const vit_parameter *p = vit_model_parameter_find(g->model, name);
    const bool one = expert != SIZE_MAX;
    char own[NAME_BYTES];

    if (!p)
        return ""; /* an impossible state: the plan has every name that is asked for */
    if (one)
        snprintf(own, sizeof own, "%s.%zu", name, expert);
    return tensor_add(g, one ? own : name, TYPE_FLOAT, p->shape + one, p->rank - one,
                      g->model->weights + p->offset +
                          (one ? expert * (p->count / p->shape[0]) : 0));
}

const char *vit_onnx_block_parameter(vit_onnx *g, size_t block, const char *name)
{
    char full[NAME_BYTES];

    snprintf(full, sizeof full, "blocks.%zu.%s", block, name);
    return vit_onnx_parameter(g, full, SIZE_MAX);
}

/* ---- formulas ------------------------------------------------------------------------ */

const char *vit_onnx_reshape(vit_onnx *g, const char *x, const int64_t *shape, size_t rank)
{
    return vit_onnx_op(g, "Reshape", x, vit_onnx_ints(g, shape, rank));
}

const char *vit_onnx_softmax(vit_onnx *g, const char *x, int axis)
{
    return vit_onnx_with(g, "Softmax", VIT_ONNX_IN(x), VIT_ONNX_INT("axis", axis));
}

const char *vit_onnx_reduce(vit_onnx *g, const char *op, const char *x, int axis)
{
    return vit_onnx_op(g, op, x, vit_onnx_ints(g, (const int64_t[]){axis}, 1));
}

const char *vit_onnx_largest(vit_onnx *g, const char **place, const char *x, size_t k,
                             int axis)
{
    const int64_t count = (int64_t)k;
    const char *out[2];

    vit_onnx_node(g, out, 2, "TopK", VIT_ONNX_IN(x, vit_onnx_ints(g, &count, 1)),
                  (const vit_onnx_attribute[]){VIT_ONNX_INT("axis", axis), {0}});
    *place = out[1];
    return out[0];
}

const char *vit_onnx_scaled(vit_onnx *g, const char *x, double factor)
{
    return vit_onnx_op(g, "Mul", x, vit_onnx_real(g, factor));
}

const char *vit_onnx_each_image(vit_onnx *g, const char *x, size_t rows, size_t columns)
{
    const int64_t tail[2] = {(int64_t)rows, (int64_t)columns};
    const char *batch = vit_onnx_with(g, "Shape", VIT_ONNX_IN("images"),
                                      VIT_ONNX_INT("start", 0), VIT_ONNX_INT("end", 1));

    return vit_onnx_op(g, "Expand", x,
                       vit_onnx_with(g, "Concat",
                                     VIT_ONNX_IN(batch, vit_onnx_ints(g, tail, 2)),
                                     VIT_ONNX_INT("axis", 0)));
}

const char *vit_onnx_full_like(vit_onnx *g, const char *x, float value)
{
    return vit_onnx_op(g, "Expand", vit_onnx_real(g, (double)value),
                       vit_onnx_op(g, "Shape", x));
}

/* ---- the file ------------------------------------------------------------------------ */

/* A ValueInfoProto of floats: the batch, then dims. */
static void value_put(vit_wire *graph, unsigned field, const char *name, const int *dims,
                      size_t count)
{
    vit_wire value = {0}, type = {0}, of = {0}, shape = {0};

    for (size_t i = 0; i <= count; i++) {
        vit_wire dim = {0};
        if (i == 0)
            vit_wire_text(&dim, 2, "batch"); /* dim_param */
        else
            vit_wire_int(&dim, 1, dims[i - 1]); /* dim_value */
        vit_wire_message(&shape, 1, &dim);
    }
    vit_wire_int(&of, 1, TYPE_FLOAT);
    vit_wire_message(&of, 2, &shape);
    vit_wire_message(&type, 1, &of);
    vit_wire_text(&value, 1, name);
    vit_wire_message(&value, 2, &type);
    vit_wire_message(graph, field, &value);
}

static void property_put(vit_wire *file, const char *key, const char *value)
{
    vit_wire out = {0};

    vit_wire_text(&out, 1, key);
    vit_wire_text(&out, 2, value);
    vit_wire_message(file, MODEL_METADATA, &out);
}

static void channels_put(vit_wire *file, const char *key, const float *value, int channels)
{
    char text[NAME_BYTES] = "", one[32];

    for (int i = 0; i < channels; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "",
                 vit_float_text(one, sizeof one, value[i]));
    }
    property_put(file, key, text);
}

/* How pixels are made ready, and the whole configuration. */
static void metadata_put(vit_wire *file, const vit_model *model, const char *config)
{
    const vit_config *c = &model->config;
    char text[32];

    channels_put(file, "mean", c->mean, c->channels);
    channels_put(file, "std", c->std, c->channels);
    snprintf(text, sizeof text, "%d", c->crop);
    property_put(file, "crop", text);
    snprintf(text, sizeof text, "%d", c->resize);
    property_put(file, "resize", text);
    property_put(file, "crop_mode", c->crop_mode == VIT_CROP_SQUASH ? "squash" : "center");
    property_put(file, "interpolation", c->interpolation);
    property_put(file, "config", config);
    json_t *whole = model->label ? json_loads(config, 0, NULL) : NULL;
    char *labels = json_dumps(json_object_get(whole, "labels"), JSON_COMPACT);
    if (labels)
        property_put(file, "labels", labels);
    file->failed = file->failed || (model->label && !labels);
    free(labels); /* jansson's, from malloc */
    json_decref(whole);
}

static bool write_parts(FILE *file, const vit_onnx *g, const vit_wire *begin,
                        const vit_wire *rest, const vit_wire *end)
{
    bool good = fwrite(begin->at, 1, begin->count, file) == begin->count &&
                fwrite(g->nodes.at, 1, g->nodes.count, file) == g->nodes.count;

    for (size_t i = 0; i < g->tensor_count && good; i++) {
        const tensor *t = &g->tensors[i];
        vit_wire head = {0};
        vit_wire_head(&head, GRAPH_TENSOR, t->head.count + t->bytes);
        good = !head.failed && fwrite(head.at, 1, head.count, file) == head.count &&
               fwrite(t->head.at, 1, t->head.count, file) == t->head.count &&
               fwrite(t->data, 1, t->bytes, file) == t->bytes;
        vit_wire_free(&head);
    }
    return good && fwrite(rest->at, 1, rest->count, file) == rest->count &&
           fwrite(end->at, 1, end->count, file) == end->count;
}

/* Bytes of the graph's message. */
static size_t graph_bytes(vit_onnx *g, const vit_wire *rest)
{
    size_t sum = g->nodes.count + rest->count;

    for (size_t i = 0; i < g->tensor_count; i++) {
        const tensor *t = &g->tensors[i];
        vit_wire head = {0};
        vit_wire_head(&head, GRAPH_TENSOR, t->head.count + t->bytes);
        sum += head.count + t->head.count + t->bytes;
        g->failed = g->failed || head.failed || t->head.failed;
        vit_wire_free(&head);
    }
    return sum;
}

base_status vit_onnx_save(vit_onnx *g, const char *path, base_error *err)
{
    const vit_config *c = &g->model->config;
    vit_wire begin = {0}, rest = {0}, end = {0}, opset = {0};
    base_writer writer = {0};
    base_status status = BASE_OK;
    char *config = vit_model_config_json(g->model);

    vit_wire_text(&rest, GRAPH_NAME, c->name[0] ? c->name : "vit");
    value_put(&rest, GRAPH_INPUT, "images", (const int[]){c->channels, c->image, c->image},
              3);
    value_put(&rest, GRAPH_OUTPUT, "logits", &c->classes, 1);
    const size_t bytes = graph_bytes(g, &rest);
    vit_wire_int(&begin, MODEL_IR, IR_VERSION);
    vit_wire_text(&begin, MODEL_PRODUCER, "vmoe");
    vit_wire_text(&begin, MODEL_VERSION, BASE_VERSION);
    vit_wire_head(&begin, MODEL_GRAPH, bytes);
    vit_wire_text(&opset, 1, "");
    vit_wire_int(&opset, 2, OPSET);
    vit_wire_message(&end, MODEL_OPSET, &opset);
    if (config)
        metadata_put(&end, g->model, config);
    if (!config || g->failed || g->nodes.failed || begin.failed || rest.failed ||
        end.failed)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
    else if (bytes + begin.count + end.count > INT_MAX)
        status =
            base_fail(err, BASE_UNSUPPORTED,
                      "'%s' would have %zu bytes, an ONNX file has at most %d (weights "
                      "in a file of their own are not written)",
                      path, bytes + begin.count + end.count, INT_MAX);
    if (status == BASE_OK)
        status = base_writer_open(&writer, path, err);
    if (status == BASE_OK && !write_parts(writer.file, g, &begin, &rest, &end)) {
        status = base_fail_errno(err, "cannot write '%s'", path);
        base_writer_abandon(&writer);
    } else if (status == BASE_OK) {
        status = base_writer_commit(&writer, err);
    }
    vit_wire_free(&begin);
    vit_wire_free(&rest);
    vit_wire_free(&end);
    base_free(config);
    return status;
}
