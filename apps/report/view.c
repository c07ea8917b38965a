/* view.c - vmoe report as tables and figures: what each network is worth, on which data,
 * and what can be told apart. Free to change: all that a reader sees. */
#include "apps/attack/internal.h"
#include "apps/eval/internal.h"
#include "apps/report/internal.h"

static const show_column evaluations[] = {
    {"clean accuracy", "name"},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "ci95"},
    {"images", "n", SHOW_COUNT},
    {"data", "data"},
    {"top-5", "top5", SHOW_PERCENT, .where = SHOW_PAGE},
    {"calibration error", "ece", SHOW_PERCENT, .where = SHOW_PAGE},
    {"load CV", "load_cv", SHOW_NUMBER, .where = SHOW_PAGE},
    {"images/s", "images_per_second", SHOW_COUNT, .where = SHOW_PAGE},
    {"", "state"},
    {0}};

static const show_column corrupted[] = {
    {"under corruption", "name"},
    {"clean error", "clean_error", SHOW_PERCENT, .where = SHOW_PAGE},
    {"mCE", "mce", SHOW_PERCENT},
    {"relative mCE", "relative_mce", SHOW_PERCENT, .where = SHOW_PAGE},
    {"mean error", "mean_error", SHOW_PERCENT},
    {"images", "n", SHOW_COUNT},
    {"data", "data"},
    {"parameters", "preset", .where = SHOW_PAGE},
    {"frost", "frost_textures", .where = SHOW_PAGE},
    {0}};

static const show_column errors[] = {
    {"network", "name"}, {"error by corruption, %", "errors", SHOW_PERCENT}, {0}};

static const show_column curves[] = {
    {"robust accuracy", "robust_acc", SHOW_PERCENT, .low_high = "ci95"}, {0}};

static const show_column points[] = {
    {"under attack", "label"},
    {"eps", "eps_text"},
    {"robust accuracy", "robust_acc", SHOW_PERCENT, .low_high = "ci95", .strong = "best"},
    {"clean", "clean", SHOW_PERCENT, .where = SHOW_PAGE},
    {"images", "n", SHOW_COUNT},
    {"attacks", "attacks", .where = SHOW_PAGE},
    {"checks", "verdict", SHOW_VERDICT, .note = "{checks}", .where = SHOW_PAGE},
    {"checks", "verdict", .where = SHOW_TERMINAL},
    {"", "state", .where = SHOW_PAGE},
    {0}};

static const show_column tests[] = {{"first", "first"},
                                    {"second", "second"},
                                    {"eps", "eps_text"},
                                    {"only the first", "only_first", SHOW_COUNT},
                                    {"only the second", "only_second", SHOW_COUNT},
                                    {"p", "p", SHOW_NUMBER},
                                    {"", "verdict"},
                                    {0}};

static const show_column routing[] = {
    {"network", "label"},
    {"eps", "eps_text"},
    {"tokens with other experts", "changed", SHOW_PERCENT},
    {"random noise", "control_changed", SHOW_PERCENT},
    {"broken images", "changed_broken", SHOW_PERCENT},
    {"survivors", "changed_survived", SHOW_PERCENT},
    {"IoU of the sets", "iou", SHOW_NUMBER, .digits = 4},
    {"errors that stay with the clean experts", "kept", SHOW_PERCENT},
    {0}};

static const show_column networks[] = {{"network", "name"},
                                       {"parameters", "parameters", SHOW_COUNT},
                                       {"a token meets", "active_parameters", SHOW_COUNT},
                                       {"operations", "flops", SHOW_AMOUNT},
                                       {"checkpoint", "model"},
                                       {"results", "sources"},
                                       {0}};

static const show_block attacked[] = {
    {SHOW_LINES, .title = "Under attack, {norm}",
     .note =
         "On {data}, {n:n} images. Share of all images that were right and that no attack broke: an upper bound, "
         "as good as the attacks. Bands: 95 % (Wilson).",
     .path = "points[]", .columns = curves, .x = "eps", .x_name = "eps_text", .by = "label",
     .high = 1, .x_title = "budget (eps)", .y_title = "robust accuracy"},
    {SHOW_TABLE,
     .note =
         "Bold: better than every other network that was attacked alike, by the exact test below.",
     .path = "points[]", .columns = points},
    {SHOW_TABLE,
     .note =
         "The same samples, attacked in both networks: how many only one of them withstood, and the exact "
         "two-sided probability of a difference as large by chance (McNemar 1947).",
     .path = "tests[]", .columns = tests, .where = SHOW_PAGE},
    {SHOW_TABLE, .note = "Routing under attack, mean over blocks.", .path = "routing[]",
     .columns = routing, .where = SHOW_PAGE},
    {SHOW_GROUP, SHOW_PAGE, .path = "documents[]",
     .caption = "{model.path}, eps {threat.eps_text}: the whole report",
     .inner = app_attack_blocks},
    {0}};

static const show_block blocks[] = {
    {SHOW_TEXTS, .path = "facts[]"},
    {SHOW_TABLE, .title = "Clean accuracy", .path = "evaluations[]",
     .columns = evaluations},
    {SHOW_TABLE, .title = "Under corruption", .path = "corrupted[]", .columns = corrupted},
    {SHOW_HEAT,
     .note =
         "Error in per cent, mean over the severities that were measured; colours from 0 to 100 %.",
     .path = "corrupted[]", .columns = errors, .names = "corruptions[]"},
    {SHOW_GROUP, .path = "attacked[]", .inner = attacked},
    {SHOW_GROUP, .where = SHOW_PAGE, .title = "Each evaluation",
     .path = "evaluations[].document", .caption = "{^name} on {data}, {samples:n} images",
     .inner = app_eval_blocks},
    {SHOW_TABLE, .title = "Networks", .path = "networks[]", .columns = networks,
     .where = SHOW_PAGE},
    {0}};

const show_view app_report_view = {.title = "Comparison of networks",
                                   .lead = "networks side by side: {count}",
                                   .blocks = blocks};
