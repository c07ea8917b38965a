/* router.c - the attack 'router' in the report (attacks.md 9.7): it looks for other
 * experts, not for mistakes, so it is told apart from the attacks on the accuracy: its
 * examples count in its own row and nowhere else, and what matters is how far it moved the
 * routing, beside what random noise and the accuracy attack moved. Free to change: the
 * wording. Relied on elsewhere: keys (docs/attacks.md). */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "measure/measure.h"

/* Whether a spec is of the attack 'router'. */
static bool is_router(const char *spec)
{
    const size_t length = strcspn(spec, ": ");

    return length == strlen("router") && memcmp(spec, "router", length) == 0;
}

base_status app_attack_router_take(app_attack *a, base_error *err)
{
    char *out = a->specs, *at = a->specs;
    size_t found = 0;

    while (*at) {
        const size_t length = strcspn(at, " ");
        char *next = at + length + (at[length] == ' ');

        if (is_router(at)) {
            found++;
            snprintf(a->router.spec, sizeof a->router.spec, "%.*s",
                     length < sizeof a->router.spec ? (int)length : 0, at);
        } else {
            if (out != a->specs)
                *out++ = ' ';
            memmove(out, at, length);
            out += length;
        }
        at = next;
    }
    *out = '\0';
    if (found > 1)
        return base_fail(err, BASE_USAGE, "--attack names 'router' %zu times", found);
    if (found > 0 && a->specs[0] == '\0')
        return base_fail(
            err, BASE_USAGE,
            "--attack 'router' looks for other experts, not for mistakes: name "
            "an attack beside it, as in --attack pgd,router");
    return BASE_OK;
}

base_status app_attack_router_check(const app_attack *a, base_error *err)
{
    char text[256];
    const vit_moe_config *moe = &a->network.config->moe;

    if (!a->router.spec[0])
        return BASE_OK;
    base_quote(text, sizeof text, a->network.path);
    if (!vit_config_is_sparse(a->network.config))
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, '%s' is dense", text);
    if (moe->k >= moe->experts)
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, '%s' uses all %d",
                         text, moe->experts);
    if (!vit_router_replays(&moe->router))
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other sets of k experts, the router "
                         "'%s' gives a token any number",
                         moe->router.name);
    if (a->args->fixed_routing)
        return base_fail(err, BASE_USAGE,
                         "--attack 'router' looks for other experts, --fixed-routing "
                         "holds them");
    return BASE_OK;
}

/* ---- JSON ---------------------------------------------------------------------------- */

json_t *app_attack_router_json(const app_attack *a)
{
    if (!a->router.run)
        return json_null();
    const attack_result *r = attack_run_result(a->router.run, 0);
    json_t *json = app_attack_result_json(a, r, a->point[a->main].clean);
    json_t *layers = json_array();

    /* its examples are in no attack's row but this one */
    json_object_set_new(json, "apart", json_true());
    json_object_set_new(json, "adv_file", json_string("adv_router.npy"));
    for (size_t l = 0; a->router.has_routing && l < a->router.routing.layers; l++) {
        json_t *layer = app_attack_layer_json(&a->router.routing, l);
        const measure_shift *attack = &a->routing.shift[APP_GROUP_ALL][l];

        json_object_set_new(layer, "attack_changed",
                            show_json_real(a->has_routing ? attack->changed / attack->tokens
                                                          : (double)NAN));
        json_array_append_new(layers, layer);
    }
    json_object_set_new(json, "layers", layers);
    return json;
}

/* ---- for people ---------------------------------------------------------------------- */

/* Tokens that changed, all layers together, in per cent. */
static double moved(const measure_shift *shift, size_t layers)
{
    double changed = 0, tokens = 0;

    for (size_t l = 0; l < layers; l++) {
        changed += shift[l].changed;
        tokens += shift[l].tokens;
    }
    return 100 * changed / tokens;
}

static void row_print(const char *name, double router, double attack, double noise)
{
    printf("%-9s  %6.2f %%  %6.2f %%  %6.2f %%\n", name, router, attack, noise);
}

/* "its examples: 61.0 % right (305 of 500), ..." */
static void answers_text(char *out, size_t bytes, const app_attack *a)
{
    const attack_result *r = attack_run_result(a->router.run, 0);
    double low, high;

    measure_interval(&low, &high, r->robust, a->n);
    snprintf(
        out, bytes,
        "%zu of %zu images (%.2f %%, 95 %%: %.2f to %.2f) are right under it, though it "
        "does not look for mistakes; no other row counts these examples%s",
        r->robust, a->n, 100 * (double)r->robust / (double)a->n, 100 * low, 100 * high,
        r->complete ? "" : "; it was stopped");
}

void app_attack_router_print(const app_attack *a)
{
    const app_routing *r = &a->router.routing;
    char text[400], name[32];

    if (!a->router.run)
        return;
    answers_text(text, sizeof text, a);
    printf("\n%s\n    ", attack_run_result(a->router.run, 0)->spec);
    app_print_wrapped(text, 4);
    if (!a->router.has_routing || !a->has_routing || r->attacked == 0)
        return;
    printf("tokens that changed their experts\n             router    attack     noise\n");
    for (size_t l = 0; l < r->layers; l++) {
        snprintf(name, sizeof name, "block %zu", r->blocks[l]);
        row_print(name, moved(&r->shift[APP_GROUP_ALL][l], 1),
                  moved(&a->routing.shift[APP_GROUP_ALL][l], 1),
                  moved(&r->shift[APP_GROUP_CONTROL][l], 1));
    }
    row_print("all", moved(r->shift[APP_GROUP_ALL], r->layers),
              moved(a->routing.shift[APP_GROUP_ALL], r->layers),
              moved(r->shift[APP_GROUP_CONTROL], r->layers));
}

static void row_write(FILE *file, const measure_shift *router, const measure_shift *attack,
                      const measure_shift *noise, size_t layers)
{
    fprintf(file,
            "<td class=\"n\">%.2f %%</td><td class=\"n\">%.2f %%</td>"
            "<td class=\"n\">%.2f %%</td>",
            moved(router, layers), moved(attack, layers), moved(noise, layers));
}

void app_attack_router_page(const app_attack *a, show_page *page)
{
    const app_routing *r = &a->router.routing;
    FILE *file = page->out.file;
    char text[600];

    if (!a->router.run || !a->router.has_routing || !a->has_routing || r->attacked == 0)
        return;
    show_page_section(
        page, "Attack on the routing",
        "A search for other experts, not for mistakes, with the same budget: share "
        "of the tokens whose set of experts changed, beside the attacks on the "
        "accuracy and random noise.");
    fputs("<div class=\"scroll\"><table><tr><th>block</th><th class=\"n\">router</th>"
          "<th class=\"n\">attack</th><th class=\"n\">noise</th>"
          "<th class=\"n\">first expert</th><th class=\"n\">IoU</th></tr>\n",
          file);
    for (size_t l = 0; l < r->layers; l++) {
        const measure_shift *all = &r->shift[APP_GROUP_ALL][l];

        fprintf(file, "<tr><td>%zu</td>", r->blocks[l]);
        row_write(file, all, &a->routing.shift[APP_GROUP_ALL][l],
                  &r->shift[APP_GROUP_CONTROL][l], 1);
        fprintf(file, "<td class=\"n\">%.2f %%</td><td class=\"n\">%.4f</td></tr>\n",
                100 * all->top1_changed / all->tokens,
                all->iou / (all->tokens - all->empty));
    }
    fputs("<tr><td>all</td>", file);
    row_write(file, r->shift[APP_GROUP_ALL], a->routing.shift[APP_GROUP_ALL],
              r->shift[APP_GROUP_CONTROL], r->layers);
    fputs("<td></td><td></td></tr>\n</table></div>\n<p>", file);
    answers_text(text, sizeof text, a);
    show_page_text(page, attack_run_result(a->router.run, 0)->spec);
    show_page_text(page, ": ");
    show_page_text(page, text);
    fputs(".</p>\n", file);
}
