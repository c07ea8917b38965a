/* table.c - the result of vmoe attack for people, on stdout. Free to change: all of it. */
#include <math.h>
#include <string.h>

#include "apps/attack/internal.h"
#include "measure/measure.h"

static void share_print(const char *name, size_t k, size_t n, const char *note)
{
    double low, high;

    measure_interval(&low, &high, k, n);
    printf("%-7s %6.2f %%   95 %%: %.2f to %.2f   %zu of %zu%s%s\n", name,
           100 * (double)k / (double)n, 100 * low, 100 * high, k, n, note ? ", " : "",
           note ? note : "");
}

enum { NAME_WIDE = 21 }; /* of the first column: a table fits 80 columns */

static void attacks_print(const app_attack *a, const app_point *p)
{
    char seconds[32];

    printf(
        "\nattack                 broken     of    robust     8 bit   grads forwards   time\n");
    for (size_t i = 0; i < p->count; i++) {
        const attack_result *r = &p->result[i];
        const double n = (double)a->n;

        if (strlen(r->spec) > NAME_WIDE)
            printf("%s\n", r->spec);
        printf("%-*s %7zu %6zu  %6.2f %%  %6.2f %% %7.1f %8.1f %6s\n", (int)NAME_WIDE,
               strlen(r->spec) > NAME_WIDE ? "" : r->spec, r->broken, r->evaluated,
               100 * (double)r->robust / n, 100 * (double)r->robust_u8 / n,
               r->grad_evals / n, r->forward_evals / n,
               show_duration(seconds, sizeof seconds, r->seconds));
        if (!r->complete)
            puts("    stopped");
        if (r->note[0])
            printf("    %s\n", r->note);
    }
}

static void sweep_print(const app_attack *a)
{
    char text[64];

    if (a->points < 2)
        return;
    printf("\neps                 robust   95 %%             random noise\n");
    for (size_t i = 0; i < a->points; i++) {
        const app_point *p = &a->point[i];
        double low, high;

        if (!p->left || (p->count == 0 && p->clean == 0))
            continue;
        measure_interval(&low, &high, p->robust, a->n);
        printf("%-17s  %6.2f %%  %6.2f to %6.2f",
               app_budget_text(text, sizeof text, &p->budget, a->config.norm),
               100 * (double)p->robust / (double)a->n, 100 * low, 100 * high);
        if (isfinite(p->noise_accuracy))
            printf("  %6.2f %%", 100 * p->noise_accuracy);
        puts(p->complete ? "" : "  stopped");
    }
}

static void part_print(const measure_shift *shift)
{
    if (shift->tokens > 0)
        printf("  %6.2f %%", 100 * shift->changed / shift->tokens);
    else
        printf("  %8s", "-");
}

static void routing_print(const app_attack *a)
{
    const app_routing *r = &a->routing;

    if (app_attack_caution(a))
        printf("\nrouter  %s\n", app_attack_caution(a));
    if (!a->has_routing || r->attacked == 0)
        return;
    printf("\ntokens that changed their experts\n"
           "             attack     noise    broken  survived     IoU\n");
    for (size_t l = 0; l < r->layers; l++) {
        const measure_shift *all = &r->shift[APP_GROUP_ALL][l];

        printf("block %-3zu", r->blocks[l]);
        part_print(all);
        part_print(&r->shift[APP_GROUP_CONTROL][l]);
        part_print(&r->shift[APP_GROUP_BROKEN][l]);
        part_print(&r->shift[APP_GROUP_SURVIVED][l]);
        printf("  %6.4f\n", all->iou / (all->tokens - all->empty));
    }
    if (r->replayed && r->broken > 0)
        printf("replay    %zu of %zu errors stay with the clean image's experts\n", r->kept,
               r->broken);
}

static void checks_print(const app_attack *a)
{
    static const char *const words[] = {"pass", "warn", "fail", "skipped"};
    size_t count[4] = {0};

    if (!a->has_checks)
        return;
    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++)
        count[a->check[i].verdict]++;
    printf("\nchecks  %zu pass, %zu warn, %zu fail, %zu skipped\n", count[0], count[1],
           count[2], count[3]);
    for (size_t i = 0; i < ATTACK_CHECK_COUNT; i++)
        if (a->check[i].verdict != ATTACK_VERDICT_PASS) {
            printf("  %-4s %-8s ", a->check[i].id, words[a->check[i].verdict]);
            app_print_wrapped(a->check[i].text, 16);
        }
}

void app_attack_print(const app_attack *a)
{
    const app_point *p = &a->point[a->main];
    char path[1024], name[128], text[64], count[32];

    printf("model   %s (%s, %s)\n", base_quote(path, sizeof path, a->network.path),
           app_network_name(name, sizeof name, a->network.config),
           app_attack_routing_mode(a));
    printf("data    %s (%s images%s)\n", base_quote(path, sizeof path, a->args->data),
           show_thousands(count, sizeof count, a->n),
           a->args->labels == 1 ? ", labels are the model's own answers" : "");
    printf("threat  %s, eps %s\n\n", attack_norm_name(a->config.norm),
           app_budget_text(text, sizeof text, &p->budget, a->config.norm));
    share_print("clean", p->clean, a->n, NULL);
    share_print("robust", p->robust, a->n,
                p->complete ? "an upper bound" : "as far as it went");
    attacks_print(a, p);
    sweep_print(a);
    routing_print(a);
    app_attack_router_print(a);
    checks_print(a);
}

/* ---- vmoe attack --list -------------------------------------------------------------- */

static void option_print(const base_field *o, const attack_settings *defaults)
{
    char initial[64], help[512];

    printf("    %-10s %-8s ", o->name,
           base_field_text(initial, sizeof initial, defaults, o));
    snprintf(help, sizeof help, "%s%s%s%s", o->help, o->choices ? " (" : "",
             o->choices ? o->choices : "", o->choices ? ")" : "");
    app_print_wrapped(help, 24);
}

void app_attack_list(void)
{
    static const attack_norm norms[] = {ATTACK_NORM_LINF, ATTACK_NORM_L2, ATTACK_NORM_L1};

    printf("attacks, with their options and defaults: NAME or NAME:key=value,...\n");
    for (size_t i = 0; attack_name(i); i++) {
        const char *name = attack_name(i);

        printf("\n%s (", name);
        for (size_t n = 0, shown = 0; n < 3; n++)
            if (attack_knows_norm(name, norms[n]))
                printf("%s%s", shown++ ? ", " : "", attack_norm_name(norms[n]));
        printf("): %s\n", attack_summary(name));
        for (const base_field *o = attack_options(name); o && o->name; o++)
            option_print(o, attack_defaults(name));
    }
    printf("\npresets\n");
    for (size_t i = 0; attack_preset_name(i); i++) {
        const char *last = NULL;

        for (size_t n = 0; n < 3; n++) {
            const char *specs = attack_preset(attack_preset_name(i), norms[n]);

            if (specs && (!last || strcmp(specs, last) != 0))
                printf("  %-14s %-5s %s\n", attack_preset_name(i),
                       attack_norm_name(norms[n]), specs);
            last = specs ? specs : last;
        }
    }
}
