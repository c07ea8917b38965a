/* test_vit_onnx.c - ONNX files hold what they should: the wire format byte by byte, inputs,
 * outputs and metadata, weights to the bit, and a graph in which every value is made once
 * and before it is used. What onnxruntime computes with them: reference/onnx_referee.py. */
#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_onnx.h"
#include "tests/test_run.h"
#include "vit/onnx/wire_internal.h"

/* ---- files --------------------------------------------------------------------------- */

typedef struct onnx_file {
    char *text;
    wire_field all, graph;
} onnx_file;

static onnx_file saved(const vit_model *model)
{
    base_error err = {0};
    onnx_file out = {0};

    must(vit_model_save_onnx(model, path, &err), &err);
    must(base_file_read(&out.text, &out.all.count, path, (size_t)1 << 30, &err), &err);
    out.all.at = (const unsigned char *)out.text;
    out.graph = field_at(out.all, 7, 0);
    ck_assert_uint_eq(out.graph.kind, 2);
    return out;
}

/* Value of a metadata property. */
static void property_is(const onnx_file *file, const char *key, const char *value)
{
    for (size_t i = 0;; i++) {
        const wire_field p = field_at(file->all, 14, i);

        ck_assert_msg(p.kind == 2, "no property '%s'", key);
        if (is_text(field_at(p, 1, 0), key)) {
            ck_assert_msg(is_text(field_at(p, 2, 0), value), "'%s' is not '%s'", key,
                          value);
            return;
        }
    }
}

/* The initialiser of that name. */
static wire_field tensor_of(const onnx_file *file, const char *name)
{
    const unsigned char *at = file->graph.at, *end = at + file->graph.count;
    wire_field t;

    while (next(&t, &at, end))
        if (t.field == 5 && is_text(field_at(t, 8, 0), name))
            return t;
    ck_abort_msg("no tensor '%s'", name);
    return t;
}

/* Names that are known so far in a graph. */
enum { VALUES_MAX = 4096 };
typedef struct value_set {
    wire_field name[VALUES_MAX];
    size_t count;
} value_set;

static bool is_known(const value_set *set, wire_field name)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->name[i].count == name.count &&
            memcmp(set->name[i].at, name.at, name.count) == 0)
            return true;
    return false;
}

static void make_known(value_set *set, wire_field name)
{
    ck_assert_msg(!is_known(set, name), "'%.*s' is made twice", (int)name.count,
                  (const char *)name.at);
    ck_assert_uint_lt(set->count, VALUES_MAX);
    set->name[set->count++] = name;
}

/* Every value is made once, before it is used; "logits" by the last node. Returns how many
 * nodes there are. */
static size_t graph_check(const onnx_file *file)
{
    static value_set set;
    const unsigned char *at = file->graph.at, *end = at + file->graph.count;
    wire_field f, last = {0};
    size_t nodes = 0;

    set.count = 0;
    make_known(&set, field_at(field_at(file->graph, 11, 0), 1, 0));
    while (next(&f, &at, end))
        if (f.field == 5)
            make_known(&set, field_at(f, 8, 0));
    for (at = file->graph.at; next(&f, &at, end);) {
        wire_field value;
        if (f.field != 1)
            continue;
        for (size_t i = 0; (value = field_at(f, 1, i)).kind == 2; i++)
            ck_assert_msg(is_known(&set, value), "'%.*s' is used before it is made",
                          (int)value.count, (const char *)value.at);
        for (size_t i = 0; (value = field_at(f, 2, i)).kind == 2; i++)
            make_known(&set, value);
        last = f;
        nodes++;
    }
    ck_assert(is_text(field_at(last, 2, 0), "logits"));
    return nodes;
}

/* A dimension of an input or output: its number, 0 for a free one. */
static uint64_t dimension(wire_field value, size_t i)
{
    const wire_field shape = field_at(field_at(field_at(value, 2, 0), 1, 0), 2, 0);
    const wire_field dim = field_at(shape, 1, i);

    ck_assert_uint_eq(dim.kind, 2);
    return field_at(dim, 1, 0).number;
}

/* ---- tests --------------------------------------------------------------------------- */

START_TEST(numbers_are_written_as_protobuf_documents_them)
{
    /* protobuf.dev, "Encoding": field 1 = 150 is 08 96 01, field 2 = "testing" is 12 07
     * and the text, a message in field 3 the same way; -1 takes ten bytes. */
    static const unsigned char expected[] = {
        0x08, 0x96, 0x01, 0x12, 7,    't',  'e',  's',  't',  'i',  'n',
        'g',  0x1a, 3,    0x08, 0x96, 0x01, 0x08, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 1,    0x25, 0,    0,    0xc0, 0x3f};
    vit_wire out = {0}, inner = {0};

    vit_wire_int(&out, 1, 150);
    vit_wire_text(&out, 2, "testing");
    vit_wire_int(&inner, 1, 150);
    vit_wire_message(&out, 3, &inner);
    vit_wire_int(&out, 1, -1);
    vit_wire_float(&out, 4, 1.5f);
    ck_assert(!out.failed && !inner.at);
    ck_assert_uint_eq(out.count, sizeof expected);
    ck_assert_mem_eq(out.at, expected, sizeof expected);
    vit_wire_free(&out);
}
END_TEST

START_TEST(the_file_says_how_it_is_fed)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 3);
    base_error err = {0};

    must(vit_model_labels_set(model, (const char *const[]){"a", "b \"c\"", "d"}, 3, &err),
         &err);
    onnx_file file = saved(model);
    const wire_field in = field_at(file.graph, 11, 0), out = field_at(file.graph, 12, 0);
    ck_assert_uint_eq(field_at(file.all, 1, 0).number, 9);                  /* IR */
    ck_assert_uint_eq(field_at(field_at(file.all, 8, 0), 2, 0).number, 20); /* opset */
    ck_assert(is_text(field_at(in, 1, 0), "images"));
    ck_assert(is_text(field_at(out, 1, 0), "logits"));
    static const uint64_t dims[] = {0, 3, 8, 8};
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(dimension(in, i), dims[i]);
    ck_assert_uint_eq(dimension(out, 0), 0);
    ck_assert_uint_eq(dimension(out, 1), 3);
    property_is(&file, "mean", "0.485,0.456,0.406");
    property_is(&file, "std", "0.229,0.224,0.225");
    property_is(&file, "crop", "8");
    property_is(&file, "resize", "0");
    property_is(&file, "crop_mode", "center");
    property_is(&file, "interpolation", "bilinear");
    property_is(&file, "labels", "[\"a\",\"b \\\"c\\\"\",\"d\"]");
    char *text = vit_model_config_json(model);
    property_is(&file, "config", text);
    base_free(text);
    base_free(file.text);
    vit_model_destroy(model);
}
END_TEST

START_TEST(weights_are_those_of_the_model_under_its_names)
{
    vit_config config = test_sparse_config();
    config.moe.shared = 2;
    vit_model *model = test_model(&config, 3);
    onnx_file file = saved(model);

    for (size_t i = 0; i < vit_model_parameter_count(model); i++) {
        const vit_parameter *p = vit_model_parameter(model, i);
        const float *weights = vit_model_weights_const(model) + p->offset;
        const bool split = strstr(p->name, ".experts.") || strstr(p->name, ".shared.");
        const size_t parts = split ? p->shape[0] : 1, count = p->count / parts;

        for (size_t e = 0; e < parts; e++) {
            char name[120];
            snprintf(name, sizeof name, split ? "%s.%zu" : "%s", p->name, e);
            const wire_field t = tensor_of(&file, name), raw = field_at(t, 9, 0);
            ck_assert_uint_eq(raw.count, count * sizeof(float));
            ck_assert_mem_eq(raw.at, weights + e * count, raw.count);
            for (int d = split; d < p->rank; d++)
                ck_assert_uint_eq(field_at(t, 1, (size_t)(d - split)).number, p->shape[d]);
        }
    }
    base_free(file.text);
    vit_model_destroy(model);
}
END_TEST

START_TEST(every_kind_of_network_is_a_whole_graph)
{
    vit_config config = test_config();

    config.pool = VIT_POOL_PATCHES;
    config.fc_norm = config.pre_norm = config.qk_norm = true;
    config.registers = 2;
    config.prelogits = 5;
    config.position = VIT_POSITION_SINCOS;
    vit_model *model = test_model(&config, 3);
    onnx_file file = saved(model);
    ck_assert_uint_gt(graph_check(&file), 30);
    /* fixed positions are a tensor of the file: cos 0 = 1 behind three tokens of none */
    const wire_field raw = field_at(tensor_of(&file, "pos_embed"), 9, 0);
    float value;
    ck_assert_uint_eq(raw.count, (3 + 4) * 8 * sizeof value);
    memcpy(&value, raw.at + (3 * 8 + 2) * sizeof value, sizeof value);
    ck_assert_double_eq((double)value, 1);
    base_free(file.text);
    vit_model_destroy(model);
}
END_TEST

START_TEST(every_router_is_a_whole_graph)
{
    base_error err = {0};

    for (size_t i = 0; vit_router_name(i); i++) {
        vit_config config = test_sparse_config();

        must(vit_config_layers_set(&config, "0,1", &err), &err);
        must(vit_router_select(&config.moe.router, vit_router_name(i), &err), &err);
        vit_model *model = test_model(&config, 3);
        onnx_file file = saved(model);
        ck_assert_msg(graph_check(&file) > 50, "%s", vit_router_name(i));
        base_free(file.text);
        vit_model_destroy(model);
    }
}
END_TEST

/* What gathers the results of all experts has one of each. */
START_TEST(as_many_experts_as_there_can_be_are_a_whole_graph)
{
    vit_config config = test_sparse_config();
    size_t most = 0;

    config.moe.experts = VIT_EXPERTS_MAX;
    must(vit_router_select(&config.moe.router, "soft", NULL), NULL);
    vit_model *model = test_model(&config, 3);
    onnx_file file = saved(model);
    ck_assert_uint_gt(graph_check(&file), VIT_EXPERTS_MAX);
    const unsigned char *at = file.graph.at, *end = at + file.graph.count;
    wire_field node;
    while (next(&node, &at, end)) {
        size_t inputs = 0;

        if (node.field != 1 || !is_text(field_at(node, 4, 0), "Concat"))
            continue;
        while (field_at(node, 1, inputs).kind == 2)
            inputs++;
        most = inputs > most ? inputs : most;
    }
    ck_assert_uint_eq(most, VIT_EXPERTS_MAX);
    base_free(file.text);
    vit_model_destroy(model);
}
END_TEST

/* Whether the network is refused for what err says. */
static void refused(const vit_config *config, const char *why)
{
    vit_model *model = test_model(config, 3);
    base_error err = {0};

    ck_assert_int_eq(vit_model_save_onnx(model, path, &err), BASE_UNSUPPORTED);
    ck_assert_str_eq(err.text, why);
    ck_assert_int_ne(access(path, F_OK), 0);
    vit_model_destroy(model);
}

START_TEST(what_depends_on_the_batch_is_refused_by_name)
{
    vit_config config = test_sparse_config();
    base_error err = {0};

    config.moe.eval_capacity = 1.5;
    refused(&config,
            "the capacity factor 1.5 of the experts in evaluation is not written as "
            "ONNX, expected 0: nothing is dropped (--eval-capacity 0)");
    config.moe.eval_capacity = 0;
    must(vit_router_select(&config.moe.router, "expert-choice", &err), &err);
    must(vit_router_set(&config.moe.router, "scope", "group", &err), &err);
    refused(&config, "the router 'expert-choice' with these options lets the images of a "
                     "batch decide about one another, which is not written as ONNX, "
                     "expected router.scope image");
    must(vit_router_select(&config.moe.router, "sinkhorn-ot", &err), &err);
    must(vit_router_set(&config.moe.router, "iterations", "1001", &err), &err);
    refused(&config, "the router 'sinkhorn-ot' with these options is not written as ONNX");
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_named)
{
    const vit_config config = test_config();
    vit_model *model = test_model(&config, 3);
    base_error err = {0};

    ck_assert_int_eq(vit_model_save_onnx(model, "/nowhere/at/all/x.onnx", &err), BASE_IO);
    test_says(err.text, "cannot write '/nowhere/at/all/x.onnx': No such file or directory");
    vit_model_destroy(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_onnx");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, numbers_are_written_as_protobuf_documents_them);
    tcase_add_test(core, the_file_says_how_it_is_fed);
    tcase_add_test(core, weights_are_those_of_the_model_under_its_names);
    tcase_add_test(core, every_kind_of_network_is_a_whole_graph);
    tcase_add_test(core, every_router_is_a_whole_graph);
    tcase_add_test(core, as_many_experts_as_there_can_be_are_a_whole_graph);
    tcase_add_test(limits, what_depends_on_the_batch_is_refused_by_name);
    tcase_add_test(limits, a_folder_that_is_not_there_is_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
