/* capacity_report.c - a capacity sweep as a table, as JSON (docs/json.md) and as plots. Free to change: table and
 * plots. Relied on elsewhere: the keys of the JSON. */
#include "apps/eval/capacity_internal.h"
#include "show/plot_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 64 };

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

app_capacity_kept app_capacity_measure(const app_capacity *sweep, size_t point)
{
    static const double share[APP_CAPACITY_LEVELS] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};
    app_capacity_point *p = &sweep->point[point];
    double sum = 0, made = 0, dropped = 0, tokens = 0, none = 0;
    app_capacity_kept out = {0};

    for (size_t l = 0; l < VIT_DEPTH_MAX; l++) {
        made += p->load[l].assignments;
        dropped += p->load[l].dropped;
        tokens += p->load[l].tokens;
        none += p->load[l].orphans;
    }
    out.dropped = made > 0 ? dropped / made : 0;
    out.no_expert = tokens > 0 ? none / tokens : 0;
    if (p->images == 0)
        return out;
    for (size_t i = 0; i < p->images; i++)
        sum += p->kept[i];
    qsort(p->kept, p->images, sizeof *p->kept, by_value);
    out.mean = sum / (double)p->images;
    out.flops = vit_model_flops_spent(sweep->network->model, out.mean);
    for (size_t i = 0; i < APP_CAPACITY_LEVELS; i++)
        out.level[i] = p->kept[(size_t)(share[i] * (double)(p->images - 1) + 0.5)];
    return out;
}

/* What an order is called; nothing is dropped by routers with a budget. */
static const char *order_of(const app_capacity *sweep, const app_capacity_point *p)
{
    if (sweep->option)
        return p->capacity > 0 ? "budget" : "as it is";
    return !(p->capacity > 0) ? "no limit" : p->bpr ? "priority" : "vanilla";
}

/* Tokens that share the capacity, in words. */
static const char *group_text(char *out, size_t bytes, const app_capacity *sweep)
{
    const int group = sweep->network->config->moe.group_images;

    if (sweep->option)
        snprintf(out, bytes,
                 "capacity F of router '%s' is router.%s = F k; nothing is dropped",
                 sweep->network->config->moe.router.name, sweep->option);
    else
        snprintf(out, bytes,
                 "the tokens of %d images, as they come in the seeded order, share the "
                 "experts' capacity",
                 group > 0 && (size_t)group < sweep->batch ? group : (int)sweep->batch);
    return out;
}

void app_capacity_print(const app_capacity *sweep)
{
    char text[3][TEXT], note[256], number[32];

    printf("\naccuracy against compute: %s\n", group_text(note, sizeof note, sweep));
    printf(
        "capacity  order        top-1    top-5    loss    kept an image      5 to 95 %%  "
        "dropped  no expert   GFLOP\n");
    for (size_t i = 0; i < sweep->points; i++) {
        const app_capacity_point *p = &sweep->point[i];
        const app_capacity_kept k = app_capacity_measure(sweep, i);

        snprintf(text[0], TEXT, "%g", p->capacity);
        snprintf(text[1], TEXT, "%s",
                 show_thousands(number, sizeof number, (uint64_t)(k.mean + 0.5)));
        snprintf(text[2], TEXT, "%u to %u", k.level[1], k.level[5]);
        printf(
            "%-8s  %-8s  %6.2f %% %6.2f %%  %6.4f  %13s %15s  %5.2f %%    %5.2f %% %8.4f\n",
            p->capacity > 0 ? text[0] : "-", order_of(sweep, p),
            100 * measure_score_top1(&p->score), 100 * measure_score_top5(&p->score),
            measure_score_loss(&p->score), text[1], text[2], 100 * k.dropped,
            100 * k.no_expert, k.flops / 1e9);
    }
}

/* Shares of the tokens by the number of their kept experts, up to the largest there is. */
static json_t *tokens_json(const app_capacity_point *p)
{
    json_t *list = json_array();
    size_t last = 0;
    double all = 0;

    for (size_t i = 0; i <= VIT_EXPERTS_MAX; i++) {
        all += (double)p->tokens[i];
        last = p->tokens[i] > 0 ? i : last;
    }
    for (size_t i = 0; all > 0 && i <= last; i++)
        json_array_append_new(list, json_real((double)p->tokens[i] / all));
    return list;
}

static json_t *layers_json(const app_capacity *sweep, const app_capacity_point *p)
{
    size_t blocks[VIT_DEPTH_MAX];
    const size_t count = app_network_blocks(blocks, sweep->network->config);
    json_t *list = json_array();

    for (size_t l = 0; l < count; l++) {
        const vit_load_metrics m = vit_load_summary(&p->load[l]);

        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:o}", "layer",
                                              (json_int_t)blocks[l], "dropped",
                                              show_json_real(m.dropped), "orphans",
                                              show_json_real(m.orphans), "gate_lost",
                                              show_json_real(m.gate_lost)));
    }
    return list;
}

static json_t *point_json(const app_capacity *sweep, size_t i)
{
    const app_capacity_point *p = &sweep->point[i];
    const app_capacity_kept k = app_capacity_measure(sweep, i);
    json_t *json = json_object(), *levels = json_array();
    double low = 0, high = 0;

    for (size_t l = 0; l < APP_CAPACITY_LEVELS; l++)
        json_array_append_new(levels, json_integer((json_int_t)k.level[l]));
    if (p->score.samples > 0)
        measure_interval(&low, &high, p->score.top1, p->score.samples);
    json_object_set_new(json, "capacity",
                        p->capacity > 0 ? json_real(p->capacity) : json_null());
    json_object_set_new(json, "order", json_string(order_of(sweep, p)));
    json_object_set_new(json, "top1", json_real(measure_score_top1(&p->score)));
    json_object_set_new(json, "top1_interval", json_pack("[f, f]", low, high));
    json_object_set_new(json, "top5", json_real(measure_score_top5(&p->score)));
    json_object_set_new(json, "loss", show_json_real(measure_score_loss(&p->score)));
    json_object_set_new(json, "kept", json_real(k.mean));
    json_object_set_new(json, "kept_levels", levels);
    json_object_set_new(json, "dropped", json_real(k.dropped));
    json_object_set_new(json, "no_expert", json_real(k.no_expert));
    json_object_set_new(json, "experts_of_tokens", tokens_json(p));
    json_object_set_new(json, "flops", json_real(k.flops));
    json_object_set_new(json, "layers", layers_json(sweep, p));
    return json;
}

json_t *app_capacity_json(const app_capacity *sweep)
{
    const int group = sweep->network->config->moe.group_images;
    json_t *json = json_object(), *points = json_array();

    for (size_t i = 0; i < sweep->points; i++)
        json_array_append_new(points, point_json(sweep, i));
    json_object_set_new(json, "batch", json_integer((json_int_t)sweep->batch));
    json_object_set_new(json, "group_images",
                        json_integer(group > 0 && (size_t)group < sweep->batch
                                         ? (json_int_t)group
                                         : (json_int_t)sweep->batch));
    json_object_set_new(json, "option",
                        sweep->option ? json_string(sweep->option) : json_null());
    json_object_set_new(json, "points", points);
    return json;
}

/* ---- page ------------------------------------------------------------------------------------ */

/* One order's points by rising capacity. */
typedef struct curve {
    double x[APP_CAPACITY_MOST], y[APP_CAPACITY_MOST];
    double low[APP_CAPACITY_MOST], high[APP_CAPACITY_MOST];
    size_t at[APP_CAPACITY_MOST]; /* points */
    size_t count;
} curve;

static void curve_fill(curve *out, const app_capacity *sweep, bool bpr, bool by_flops)
{
    *out = (curve){0};
    for (size_t i = 1; i < sweep->points; i++) {
        const app_capacity_point *p = &sweep->point[i];
        const double x =
            by_flops ? app_capacity_measure(sweep, i).flops / 1e9 : log2(p->capacity);
        size_t at = out->count;

        if (p->bpr != bpr || p->score.samples == 0)
            continue;
        for (; at > 0 && x < out->x[at - 1]; at--) {
            out->x[at] = out->x[at - 1];
            out->at[at] = out->at[at - 1];
        }
        out->x[at] = x;
        out->at[at] = i;
        out->count++;
    }
    for (size_t i = 0; i < out->count; i++) {
        const measure_score *s = &sweep->point[out->at[i]].score;

        out->y[i] = measure_score_top1(s);
        measure_interval(&out->low[i], &out->high[i], s->top1, s->samples);
    }
}

/* Top-1 over operations or capacity: vanilla, by priority, and the network without limits. */
static void plot(show_page *page, const app_capacity *sweep, bool by_flops)
{
    curve curves[2];
    show_line lines[3];
    char names[APP_CAPACITY_MOST][16];
    const char *tick_names[APP_CAPACITY_MOST];
    const double reference = measure_score_top1(&sweep->point[0].score);
    double low = reference, high = reference, free_x[2], free_y[2] = {reference, reference};
    size_t count = 0;

    for (int c = 0; c <= sweep->bpr; c++) {
        curve_fill(&curves[c], sweep, c, by_flops);
        for (size_t i = 0; i < curves[c].count; i++) {
            low = fmin(low, curves[c].low[i]);
            high = fmax(high, curves[c].high[i]);
        }
        lines[count++] = (show_line){.name = c               ? "by priority (BPR)"
                                             : sweep->option ? "budget"
                                                             : "vanilla order",
                                     .x = curves[c].x,
                                     .y = curves[c].y,
                                     .low = curves[c].low,
                                     .high = curves[c].high,
                                     .count = curves[c].count,
                                     .colour = c};
    }
    if (curves[0].count == 0)
        return;
    free_x[0] = by_flops ? app_capacity_measure(sweep, 0).flops / 1e9 : curves[0].x[0];
    free_x[1] = curves[0].x[curves[0].count - 1];
    lines[count++] = (show_line){.name = order_of(sweep, &sweep->point[0]),
                                 .x = free_x,
                                 .y = free_y,
                                 .count = by_flops ? 1 : 2,
                                 .colour = 3,
                                 .dashed = true};
    for (size_t i = 0; i < curves[0].count; i++) {
        snprintf(names[i], sizeof names[i], "%g", sweep->point[curves[0].at[i]].capacity);
        tick_names[i] = names[i];
    }
    const double margin = fmax(0.03 * (high - low), 0.002);
    show_plot_lines(page, lines, count,
                    &(show_axes){
                        .x_title = by_flops ? "GFLOP spent on an image"
                                            : "capacity factor (logarithmic)",
                        .y_title = "top-1",
                        .y_low = fmax(low - margin, 0),
                        .y_high = fmin(high + margin, 1),
                        .percent = true,
                        .ticks = curves[0].x,
                        .tick_names = tick_names,
                        .tick_count = by_flops ? 0 : curves[0].count,
                        .width = 400,
                        .height = 260,
                    });
}

static void row(show_page *page, const app_capacity *sweep, size_t i)
{
    static const size_t shown[] = {0, 1, 3, 5, 6}; /* of the levels; all are in the JSON */
    const app_capacity_point *p = &sweep->point[i];
    const app_capacity_kept k = app_capacity_measure(sweep, i);
    FILE *file = page->out.file;

    if (p->capacity > 0)
        fprintf(file, "<tr><td class=\"n\">%g</td>", p->capacity);
    else
        fputs("<tr><td class=\"n\">-</td>", file);
    fprintf(file,
            "<td>%s</td><td class=\"n\">%.2f %%</td><td class=\"n\">%.2f %%</td>"
            "<td class=\"n\">%.4f</td><td class=\"n\">%.1f</td>",
            order_of(sweep, p), 100 * measure_score_top1(&p->score),
            100 * measure_score_top5(&p->score), measure_score_loss(&p->score), k.mean);
    for (size_t l = 0; l < sizeof shown / sizeof shown[0]; l++)
        fprintf(file, "<td class=\"n\">%u</td>", k.level[shown[l]]);
    fprintf(file,
            "<td class=\"n\">%.2f %%</td><td class=\"n\">%.2f %%</td>"
            "<td class=\"n\">%.4f</td></tr>\n",
            100 * k.dropped, 100 * k.no_expert, k.flops / 1e9);
}

void app_capacity_page(show_page *page, const app_capacity *sweep)
{
    char group[256], note[640];

    snprintf(
        note, sizeof note,
        "The same network and images with less and less room in its experts (Riquelme et "
        "al. 2021, section 4): %s. By priority, the tokens with the largest gate choose "
        "first. Bands: 95 %% intervals.",
        group_text(group, sizeof group, sweep));
    show_page_section(page, "Accuracy against compute", note);
    fputs("<div class=\"row\">", page->out.file);
    plot(page, sweep, true);
    plot(page, sweep, false);
    fputs(
        "</div>\n<p></p><div class=\"scroll\"><table><tr><th class=\"n\">capacity</th><th>order</th>"
        "<th class=\"n\">top-1</th><th class=\"n\">top-5</th><th class=\"n\">loss</th>"
        "<th class=\"n\">kept an image</th><th class=\"n\">least</th><th class=\"n\">5 %</th>"
        "<th class=\"n\">50 %</th>"
        "<th class=\"n\">95 %</th><th class=\"n\">most</th><th class=\"n\">dropped</th>"
        "<th class=\"n\">no expert</th><th class=\"n\">GFLOP</th></tr>\n",
        page->out.file);
    for (size_t i = 0; i < sweep->points; i++)
        row(page, sweep, i);
    fputs("</table></div>\n", page->out.file);
}
