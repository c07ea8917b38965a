/* routing.c - what an attack did to the routing, as parts of its document
 * (docs/attacks.md, `routing` and `router_attack`). Relied on elsewhere: the keys. */
#include "apps/attack/internal.h"

#include <math.h>

static json_t *layer_json(const app_attack *a, const measure_attacked *r, size_t l)
{
    size_t blocks[VIT_DEPTH_MAX];

    app_network_blocks(blocks, a->network.config);
    return measure_shift_json(blocks[l], r, l);
}

/* null: not measured. */
static json_t *capacity_json(const app_attack *a, json_t *facts)
{
    const double clean = (double)a->trained.right / (double)a->n;

    if (!a->trained.known)
        return json_null();
    show_fact(
        facts,
        "Trained with capacity %g, attacked without: with it %.2f %% of the clean images are "
        "right, %.2f %% of the assignments are dropped, and %.2f %% under attack.",
        a->trained.capacity, 100 * clean, 100 * a->trained.dropped[0],
        100 * a->trained.dropped[1]);
    return json_pack("{s:f, s:f, s:o}", "capacity", a->trained.capacity, "clean_acc", clean,
                     "dropped", show_json_reals(a->trained.dropped, 2, 1));
}

/* null: the router's choices cannot be replayed. */
static json_t *replay_json(const app_attack *a, json_t *facts)
{
    const measure_attacked *r = &a->routing;
    const double kept = (double)r->kept / (double)r->broken;
    const double right = (double)r->clean_right / (double)a->n;
    json_t *json = r->replayed ? json_object() : json_null();

    if (r->replayed && r->broken > 0)
        show_fact(
            facts,
            "Replay: with the clean image's experts %zu of %zu errors remain (%.1f %%), so %s. "
            "Clean images with the adversarial experts: %.2f %% right, against %.2f %%.",
            r->kept, r->broken, 100 * kept,
            kept > 0.9   ? "the change of routing is hardly the cause"
            : kept > 0.5 ? "the change of routing is a part of the cause"
                         : "the change of routing is the main cause",
            100 * right, 100 * (double)r->attacked / (double)a->n);
    show_put_real(json, "success_kept_with_clean_routing", kept);
    show_put_real(json, "clean_acc_with_adv_routing", right);
    show_put_count(json, "broken", r->broken);
    show_put_count(json, "kept", r->kept);
    return json;
}

json_t *app_attack_routing_json(const app_attack *a)
{
    const measure_attacked *r = &a->routing;
    json_t *json = json_object(), *layers = json_array(), *facts = json_array();

    for (size_t l = 0; r->attacked > 0 && l < r->layers; l++)
        json_array_append_new(layers, layer_json(a, r, l));
    show_put_text(json, "control", "random noise, same eps");
    show_put(json, "trained_capacity", capacity_json(a, facts));
    show_put_count(json, "samples", r->attacked);
    show_put(json, "layers", layers);
    show_put(json, "replay", replay_json(a, facts));
    show_put(json, "facts", facts);
    return json;
}

/* Share of the tokens whose experts changed, all layers together. */
static double moved(const measure_shift *shift, size_t layers)
{
    double changed = 0, tokens = 0;

    for (size_t l = 0; l < layers; l++) {
        changed += shift[l].changed;
        tokens += shift[l].tokens;
    }
    return changed / tokens;
}

/* The search for other experts (attacks.md 9.7): told apart from the attacks on the
 * accuracy, its examples count in its own row and nowhere else. */
json_t *app_attack_router_json(const app_attack *a)
{
    const measure_attacked *own = &a->router.routing, *other = &a->routing;
    const attack_result *r = attack_run_result(a->router.run, 0);
    json_t *json = app_attack_row_json(a, r), *layers = json_array(), *facts = json_array();
    double low, high;

    for (size_t l = 0; a->router.has_routing && own->attacked > 0 && l < own->layers; l++) {
        json_t *layer = layer_json(a, own, l);

        show_put_real(layer, "attack_changed",
                      a->has_routing ? moved(&other->shift[MEASURE_GROUP_ALL][l], 1)
                                     : (double)NAN);
        json_array_append_new(layers, layer);
    }
    measure_interval(&low, &high, r->robust, a->n);
    show_fact(
        facts,
        "%s: %zu of %zu images (%.2f %%, 95 %%: %.2f to %.2f) are right under it, though it "
        "does not look for mistakes; no other row counts these examples%s.",
        r->spec, r->robust, a->n, 100 * (double)r->robust / (double)a->n, 100 * low,
        100 * high, r->complete ? "" : "; it was stopped");
    show_put(json, "apart", json_true());
    show_put_text(json, "adv_file", "adv_router.npy");
    show_put(json, "layers", layers);
    show_put(
        json, "all",
        json_pack("{s:s, s:o, s:o, s:o}", "layer", "all", "changed",
                  show_json_real(moved(own->shift[MEASURE_GROUP_ALL], own->layers)),
                  "attack_changed",
                  show_json_real(moved(other->shift[MEASURE_GROUP_ALL], other->layers)),
                  "control_changed",
                  show_json_real(moved(own->shift[MEASURE_GROUP_CONTROL], own->layers))));
    if (!json_array_size(layers))
        show_put(json, "all", json_null());
    show_put(json, "facts", facts);
    return json;
}
