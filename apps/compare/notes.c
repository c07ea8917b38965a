/* notes.c - what a comparison's page says in words: who the routers are, what was equal,
 * how it was measured, how each run ended. Free to change: all that a reader sees. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "apps/compare/table_internal.h"

void app_compare_label(show_page *page, const app_entry *entry)
{
    show_page_text(page, entry->label);
    if (app_entry_reconstructed(entry))
        fputs("<sup class=\"mark\" title=\"a reconstruction, see Routers\">R</sup>",
              page->out.file);
}

/* What a reader asks first: clean, corrupted, attacked. Room for all budgets. */
size_t app_main_figures(const app_table *table, size_t list[APP_FIGURES_MAX])
{
    size_t count = 0;

    list[count++] = APP_FIGURE_TOP1;
    list[count++] = APP_FIGURE_CORRUPTED;
    for (size_t f = APP_FIGURE_COUNT; f < table->figures; f++)
        list[count++] = f;
    return count;
}

void app_compare_routers(show_page *page, const app_table *table)
{
    const app_compare *c = table->compare;
    char settings[APP_SETTINGS_MAX * APP_SETTING_BYTES];
    FILE *file = page->out.file;

    show_page_section(page, "Routers",
                      "What each is and whom it follows. Marked R: partly or wholly a "
                      "reconstruction, because the source was not to be had in full; its "
                      "figures say nothing about its authors' method.");
    fputs("<table><tr><th>label</th><th>router</th><th>settings</th></tr>\n", file);
    for (size_t i = 0; i < c->entries.count; i++) {
        const app_entry *entry = &c->entries.entry[table->order[i]];
        const char *summary = vit_router_summary(entry->router);
        fputs("<tr><td>", file);
        app_compare_label(page, entry);
        fputs("</td><td><b>", file);
        show_page_text(page, entry->router);
        fputs("</b>: ", file);
        show_page_text(page, summary ? summary : "");
        fputs("</td><td>", file);
        show_page_text(page, app_entry_settings(settings, sizeof settings, entry));
        fputs("</td></tr>\n", file);
    }
    fputs("</table>\n", file);
}

void app_compare_runs(show_page *page, const app_table *table)
{
    static const char *const words[] = {"not begun", "begun", "trained", "failed"};
    const app_compare *c = table->compare;
    FILE *file = page->out.file;
    size_t list[APP_FIGURES_MAX];
    const size_t count = app_main_figures(table, list);

    show_page_section(page, "Every run", NULL);
    fputs("<details><summary>seeds one by one</summary>\n<div class=\"scroll\"><table "
          "class=\"fig\"><tr><th>router</th><th class=\"n\">seed</th><th></th>",
          file);
    for (size_t k = 0; k < count; k++) {
        fputs("<th class=\"n\">", file);
        show_page_text(page, table->figure[list[k]].title);
        fputs("</th>", file);
    }
    fputs("</tr>\n", file);
    for (size_t r = 0; r < c->runs; r++) {
        const app_compare_run *run = &c->run[r];
        fputs("<tr><td>", file);
        app_compare_label(page, &c->entries.entry[run->entry]);
        fprintf(file, "</td><td class=\"n\">%" PRId64 "</td><td>%s</td>", run->seed,
                words[run->reason[0] ? APP_RUN_FAILED : run->state]);
        for (size_t k = 0; k < count; k++) {
            const double value = app_table_value(table, r, list[k]);
            if (isfinite(value))
                fprintf(file, "<td class=\"n\">%.2f</td>", 100 * value);
            else
                fputs("<td class=\"n\">&ndash;</td>", file);
        }
        fputs("</tr>\n", file);
    }
    fputs("</table></div></details>\n", file);
}

void app_compare_method(show_page *page, const app_table *table)
{
    const app_compare *c = table->compare;
    const app_compare_args *args = c->args;
    FILE *file = page->out.file;
    char number[32], images[96] = "all images";

    show_page_section(page, "What is equal, and how it was measured", NULL);
    fputs(
        "<ul>\n<li>Equal for all: backbone, experts and k, data and its order for a seed, "
        "augmentation, optimiser, schedule, number of steps, the random weights' seed. Only "
        "the router and what belongs to it (gates, auxiliary losses, noise) differ, and the "
        "settings named above.</li>\n",
        file);
    fprintf(
        file, "<li>Trained for %s steps of %d images each; evaluated is %s.</li>\n",
        show_thousands(number, sizeof number, c->total), c->recipe.train.batch,
        args->checkpoint == 1
            ? "the best checkpoint by accuracy on the same images, which flatters all"
            : "the last checkpoint: nothing is chosen by the images that it is judged on");
    fputs("<li>Clean: all of ", file);
    show_page_text(page, c->recipe.data.val);
    fprintf(file,
            ". Loads are of the same pass, before dropping, mean over MoE layers.</li>\n");
    if (args->eval_limit > 0)
        snprintf(images, sizeof images, "%lld images, the first of the seeded order",
                 (long long)args->eval_limit);
    if (!args->no_corruptions)
        fprintf(
            file,
            "<li>Corruptions: the 15 of ImageNet-C at 5 severities on %s, the same for "
            "all. The error is the mean over all 75; mCE divides each corruption's error by "
            "that of softmax with the same seed (100: as softmax).</li>\n",
            images);
    if (!args->no_attack) {
        fprintf(file,
                "<li>Attack: PGD in Linf, %lld steps, random start, one restart, budgets ",
                (long long)args->steps);
        show_page_text(page, args->eps);
        fprintf(file,
                ", on %s. One attack is an upper bound on robustness: vmoe attack looks "
                "harder.</li>\n",
                images);
    }
    fputs(
        "<li>Routing change: 1 - intersection over union of a token's experts, clean image "
        "against changed one, mean over tokens and layers; under the attack at the last "
        "budget, of images that were right.</li>\n"
        "<li>&plusmn; is the standard deviation of one training over seeds (n - 1). With few "
        "seeds it is itself uncertain.</li>\n</ul>\n<p><code>",
        file);
    show_page_text(page, args->command_line);
    fputs("</code></p>\n", file);
}
