/* test_vit_jax_routing.c - which experts V-MoE's own code gives to each token, with which
 * weight, and whom it drops: the router and the dispatch against google-research/vmoe
 * (tests/golden/vmoe-jax/routing.safetensors, by tests/reference/pack_routing.py). */
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_vit_router_rig.h"

/* Theirs are a float64 run's, rounded to float32, of logits that were rounded too. */
static const double GATE_CLOSE = 1e-6;
/* Through a network in float32, whose logits are off by up to 9e-6. */
static const double NETWORK_CLOSE = 2e-5;

enum { IMAGES = 16, SIDE = 32 };

static char *golden_path(const char *name)
{
    return base_text("%s/golden/vmoe-jax/%s", getenv("VMOE_TESTS"), name);
}

static vit_tensor_file *golden_open(const char *name)
{
    base_error err = {0};
    vit_tensor_file *file = NULL;
    char *path = golden_path(name);

    must(vit_tensors_open(&file, path, &err), &err);
    base_free(path);
    return file;
}

typedef struct routed {
    size_t tokens, experts;
    const uint32_t *start;
    const uint16_t *expert;
    const float *gate;
    const bool *kept;
} routed;

/* Exactly the pairs with a weight in want [T, E] are kept, with that weight, best first;
 * returns how many assignments were dropped. */
static size_t check_gates(const char *name, const routed *got, const float *want,
                          double close)
{
    size_t dropped = 0;

    for (size_t t = 0; t < got->tokens; t++) {
        size_t wanted = 0, kept = 0;

        for (size_t e = 0; e < got->experts; e++)
            wanted += want[t * got->experts + e] > 0;
        for (uint32_t a = got->start[t]; a < got->start[t + 1]; a++) {
            const double gate = (double)want[t * got->experts + got->expert[a]];

            ck_assert_msg(a == got->start[t] || got->gate[a] <= got->gate[a - 1],
                          "%s: token %zu: the better expert comes first", name, t);
            ck_assert_msg(got->kept[a] == (gate > 0), "%s: token %zu, expert %d is %s",
                          name, t, got->expert[a], got->kept[a] ? "kept" : "dropped");
            dropped += !got->kept[a];
            kept += got->kept[a];
            if (got->kept[a])
                ck_assert_msg(fabs((double)got->gate[a] - gate) <= close,
                              "%s: token %zu, expert %d has %.8g, not %.8g", name, t,
                              got->expert[a], (double)got->gate[a], gate);
        }
        ck_assert_msg(kept == wanted, "%s: token %zu has %zu experts, not %zu", name, t,
                      kept, wanted);
    }
    return dropped;
}

static const struct {
    const char *logits, *gates;
    size_t tokens_per_image, group_images, k;
    double capacity;
    bool bpr;
    size_t dropped; /* by the authors' code, all layers */
} cases[] = {
    {"token/logits", "token/gates", 17, 8, 2, 1.5, false, 23},
    {"token/logits", "token/tight", 17, 8, 2, 0.5, false, 283},
    {"token/logits", "token/tight-bpr", 17, 8, 2, 0.5, true, 283},
    {"gap/logits", "gap/gates", 16, 4, 1, 1.05, false, 122},
    {"gap/logits", "gap/tight-bpr", 16, 4, 1, 0.5, true, 148},
};

/* Their router logits are ours where tokens are these logits and the weight is the unit
 * matrix. */
START_TEST(tokens_go_where_the_authors_send_them)
{
    vit_tensor_file *file = golden_open("routing.safetensors");
    const vit_tensor *logits = vit_tensors_find(file, cases[_i].logits),
                     *gates = vit_tensors_find(file, cases[_i].gates);
    const size_t tokens = logits->shape[1], experts = logits->shape[2];
    const size_t group = cases[_i].group_images * cases[_i].tokens_per_image;
    size_t dropped = 0;
    rig r;

    rig_open(&r, "vmoe", "",
             (vit_router_shape){.tokens = tokens,
                                .tokens_per_image = cases[_i].tokens_per_image,
                                .group_tokens = group,
                                .width = experts,
                                .heads = 1,
                                .experts = experts,
                                .k = cases[_i].k});
    r.pass.in.training = false;
    memset(r.w, 0, experts * experts * sizeof *r.w);
    for (size_t e = 0; e < experts; e++)
        r.w[e * experts + e] = 1;
    const size_t count = tokens * cases[_i].k;
    vit_dispatch d = {.row = take(count, sizeof *d.row),
                      .kept = take(count, sizeof *d.kept),
                      .assignment = take(count, sizeof *d.assignment),
                      .scratch = take(2 * tokens + 2 * experts + 2, sizeof *d.scratch)};
    for (size_t layer = 0; layer < gates->shape[0]; layer++) {
        const size_t first = layer * tokens * experts;

        memcpy(r.x, (const float *)logits->data + first, tokens * experts * sizeof *r.x);
        vit_router_forward(r.router, &r.pass);
        ck_assert_uint_eq(r.pass.out.count, count);
        vit_dispatch_build(&d, r.pass.out.start, r.pass.out.expert, r.pass.out.gate, tokens,
                           &(vit_dispatch_rule){.view_tokens = tokens,
                                                .group_tokens = group,
                                                .experts = experts,
                                                .capacity = cases[_i].capacity,
                                                .multiple = 4,
                                                .k = cases[_i].k,
                                                .bpr = cases[_i].bpr});
        const routed got = {tokens,          experts, r.pass.out.start, r.pass.out.expert,
                            r.pass.out.gate, d.kept};
        dropped += check_gates(cases[_i].gates, &got, (const float *)gates->data + first,
                               GATE_CLOSE);
    }
    ck_assert_uint_eq(dropped, cases[_i].dropped);
    base_free(d.row);
    base_free(d.kept);
    base_free(d.assignment);
    base_free(d.scratch);
    rig_close(&r);
    vit_tensors_close(file);
}
END_TEST

/* Through a whole network, whose checkpoint is theirs: logits of the router, and gates. */
START_TEST(a_network_routes_as_the_authors)
{
    base_error err = {0};
    vit_model *model = NULL;
    vit_run *run = NULL;
    vit_tensor_file *file = golden_open("routing.safetensors"),
                    *answers = golden_open("answers.safetensors");
    char *path = golden_path("trainstate.index");
    static float images[IMAGES * 3 * SIDE * SIDE];
    float logits[IMAGES * 3];

    must(vit_model_load(&model, path, NULL, &err), &err);
    vit_config config = *vit_model_config(model);
    config.moe.k = 1;
    must(vit_model_config_set(model, &config, &err), &err);
    const unsigned char *pixels = vit_tensors_find(answers, "pixels")->data;
    for (size_t i = 0; i < IMAGES * 3 * SIDE * SIDE; i++)
        images[i] = ((float)pixels[i] / 255.0f - 0.5f) / 0.5f;
    must(vit_run_create(&run, model, IMAGES, VIT_MODE_INFER, VIT_PRECISION_FP32, &err),
         &err);
    must(vit_run_forward(run, logits, images, IMAGES, &(vit_step){0}, &err), &err);
    const vit_tensor *want = vit_tensors_find(file, "trainstate/logits"),
                     *gates = vit_tensors_find(file, "trainstate/gates");
    ck_assert_uint_eq(want->shape[0], vit_run_moe_count(run));
    for (size_t layer = 0; layer < want->shape[0]; layer++) {
        const vit_routing seen = vit_run_routing(run, layer);
        const size_t count = seen.tokens * seen.experts;
        const float *theirs = (const float *)want->data + layer * count;
        const routed got = {seen.tokens, seen.experts, seen.start,
                            seen.expert, seen.gate,    seen.kept};

        ck_assert_uint_eq(seen.tokens, want->shape[1]);
        for (size_t i = 0; i < count; i++)
            ck_assert_double_eq_tol(seen.logits[i], (double)theirs[i], NETWORK_CLOSE);
        check_gates("trainstate/gates", &got, (const float *)gates->data + layer * count,
                    NETWORK_CLOSE);
    }
    vit_run_destroy(run);
    vit_model_destroy(model);
    vit_tensors_close(answers);
    vit_tensors_close(file);
    base_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_jax_routing");
    TCase *core = test_case_of_threads("Core");

    tcase_add_loop_test(core, tokens_go_where_the_authors_send_them, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(core, a_network_routes_as_the_authors);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
