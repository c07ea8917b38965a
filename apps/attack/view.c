/* view.c - vmoe attack as tables and figures: what is left, whether to believe it, who
 * broke what, what the routing did. Free to change: all that a reader sees. */
#include "apps/attack/internal.h"

static const show_column about[] = {
    {"model", "model.path", .note = "{model.arch}, {model.routing_mode}"},
    {"data", "data.name", .note = "{samples:n} images"},
    {"threat", "threat.norm", .note = "eps {threat.eps_told}"},
    {"", "network.note"},
    {0}};
static const show_column left[] = {
    {"clean", "clean.acc", SHOW_PERCENT, .low_high = "clean.ci95",
     .note = "{clean.k} of {clean.n}"},
    {"robust", "worst_case.robust_acc", SHOW_PERCENT, .low_high = "worst_case.ci95",
     .note = "{worst_case.k} of {worst_case.n}, {worst_case.bound}"},
    {0}};
static const show_column cards[] = {
    {"clean accuracy", "clean.acc", SHOW_PERCENT, .low_high = "clean.ci95"},
    {"robust accuracy", "worst_case.robust_acc", SHOW_PERCENT,
     .low_high = "worst_case.ci95"},
    {"attack success", "worst_case.asr", SHOW_PERCENT, .digits = 1,
     .note = "{worst_case.broken} of {clean.k} right ones"},
    {"budget", "threat.eps_text", .note = "{threat.norm}, {threat.eps_told}"},
    {"images", "samples", SHOW_COUNT, .note = "{state}"},
    {0}};

static const show_column attacks[] = {
    {"attack", "name", .note = "{options}", .where = SHOW_TERMINAL},
    {"attack", "spec", .note = "{note}", .where = SHOW_PAGE},
    {"broken", "broken", SHOW_COUNT},
    {"of", "evaluated", SHOW_COUNT, .note = "{note}", .where = SHOW_TERMINAL},
    {"of", "evaluated", SHOW_COUNT, .where = SHOW_PAGE},
    {"robust", "robust_acc", SHOW_PERCENT, .where = SHOW_TERMINAL},
    {"robust", "robust_acc", SHOW_PERCENT, .low_high = "ci95", .where = SHOW_PAGE},
    {"8 bit", "acc_u8", SHOW_PERCENT},
    {"median norm", "median_norm", SHOW_NUMBER, .where = SHOW_PAGE},
    {"grads", "grad_evals", SHOW_NUMBER, .digits = 1},
    {"forwards", "forward_evals", SHOW_NUMBER, .digits = 1},
    {"time", "seconds", SHOW_DURATION},
    {"broken after each start or target", "by_restart", SHOW_COUNT, .where = SHOW_PAGE},
    {"", "state"},
    {0}};
static const show_column parts[] = {
    {"attack", "name"}, {"share", "share", SHOW_PERCENT, .verdict = "verdict"}, {0}};
static const show_column budgets[] = {
    {"eps", "told"},
    {"robust", "robust_acc", SHOW_PERCENT, .low_high = "ci95"},
    {"random noise", "random_noise", SHOW_PERCENT},
    {"", "state"},
    {0}};
static const show_column accuracy[] = {
    {"accuracy", "robust_acc", SHOW_PERCENT, .low_high = "ci95", .mark = "control"}, {0}};
static const show_column losses[] = {{"", "[1]"}, {0}};

static const show_column layers[] = {
    {"experts changed, block", "layer", .where = SHOW_TERMINAL},
    {"block", "layer", .where = SHOW_PAGE},
    {"attack", "changed", SHOW_PERCENT},
    {"noise", "control_changed", SHOW_PERCENT},
    {"broken", "changed_broken", SHOW_PERCENT},
    {"survived", "changed_survived", SHOW_PERCENT},
    {"first expert", "top1_changed", SHOW_PERCENT, .where = SHOW_PAGE},
    {"IoU", "iou", SHOW_NUMBER, .digits = 4},
    {"gates, L1", "gate_l1", SHOW_NUMBER, .digits = 4, .where = SHOW_PAGE},
    {"JS", "js", SHOW_NUMBER, .digits = 4, .where = SHOW_PAGE},
    {"entropy of a token", "token_entropy", SHOW_NUMBER, .digits = 3, .join = " \u2192 ",
     .where = SHOW_PAGE},
    {"dropped, %", "dropped", SHOW_PERCENT, .join = " \u2192 ", .where = SHOW_PAGE},
    {0}};
static const show_column lost[] = {
    {"block", "layer"}, {"attack: expert", "left", SHOW_PERCENT}, {0}};
static const show_column lost_to_noise[] = {
    {"block", "layer"}, {"random noise: expert", "control_left", SHOW_PERCENT}, {0}};
static const show_column loads[] = {{"", "#"},
                                    {"clean", ".", SHOW_PERCENT},
                                    {"adversarial", "^usage_adv[#]", SHOW_PERCENT},
                                    {0}};
static const show_column moved[] = {
    {"experts changed, block", "layer", .where = SHOW_TERMINAL},
    {"block", "layer", .where = SHOW_PAGE},
    {"router", "changed", SHOW_PERCENT},
    {"attack", "attack_changed", SHOW_PERCENT},
    {"noise", "control_changed", SHOW_PERCENT},
    {"first expert", "top1_changed", SHOW_PERCENT, .where = SHOW_PAGE},
    {"IoU", "iou", SHOW_NUMBER, .digits = 4, .where = SHOW_PAGE},
    {0}};

static const show_column classes[] = {{"class", "title"},
                                      {"robust", "robust_acc", SHOW_PERCENT, .digits = 1},
                                      {"clean", "clean_acc", SHOW_PERCENT, .digits = 1},
                                      {0}};
static const show_column shown[] = {
    {"", "answers", .join = " \u2192 ", .verdict = "right"}, {"", "about"}, {0}};
static const show_column checks[] = {{"", "id"},
                                     {"check", "title"},
                                     {"", "status", SHOW_VERDICT},
                                     {"what was found", "text"},
                                     {0}};
static const show_column settings[] = {
    {"model", "model.path", .note = "{model.arch}, {model.routing_mode}"},
    {"sha256", "model.sha256"},
    {"router", "model.router", .note = "{model.k} of {model.experts} experts"},
    {"data", "data.name",
     .note =
         "{data.n:n} of {data.of:n} images ({data.selection}), ids sha256 {data.ids_sha256}"},
    {"images", "data.image", .join = " x ",
     .note = "{data.preprocess}; attacked in [0, 1]"},
    {"precision", "precision", .note = "{threads} threads, batch {batch}"},
    {"took", "seconds", SHOW_DURATION, .note = "from {tool.started_utc}"},
    {"command", "tool.command_line"},
    {0}};

static const show_block router[] = {
    {SHOW_TABLE, .title = "Attack on the routing",
     .note =
         "A search for other experts, not for mistakes, with the same budget: share of the tokens whose set of experts "
         "changed, beside the attacks on the accuracy and random noise.",
     .path = "layers[]", .also = "all", .columns = moved},
    {SHOW_TEXTS, .path = "facts[]"},
    {0}};

const show_block app_attack_blocks[] = {
    {SHOW_CARDS, SHOW_TERMINAL, .columns = about},
    {SHOW_CARDS, SHOW_TERMINAL, .columns = left},
    {SHOW_CARDS, SHOW_PAGE, .columns = cards},
    {SHOW_BANNER, SHOW_PAGE, .path = "trust"},
    {SHOW_TABLE, .title = "Attacks", .note = "{worst_case.note}", .path = "attacks[]",
     .columns = attacks},
    {SHOW_BARS,
     .note =
         "8 bit: examples rounded to 255 steps and judged again. Gradients and forwards: evaluations for each image of the "
         "set, on average.",
     .path = "worst_case.parts[]", .columns = parts, .style = SHOW_STACKED},
    {SHOW_LINES, .title = "Accuracy over budgets",
     .note =
         "Random noise of the same size is the control: the distance between the two lines is what the attack's aim does.",
     .path = "budgets[].lines[]", .columns = accuracy, .x = "^eps", .x_name = "^eps_text",
     .by = "name", .high = 1, .x_title = "budget (eps)"},
    {SHOW_TABLE, .note = "Of all images, with 95 % intervals (Wilson).",
     .path = "budgets[]", .columns = budgets, .order = "eps"},
    {SHOW_LINES, .title = "Loss over steps",
     .note =
         "Mean over the samples of the best loss so far. Flat at the end: more steps would gain little.",
     .each = "attacks[]", .path = "loss_curve[]", .columns = losses, .least = 3, .x = "[0]",
     .x_title = "step", .caption = "{name}: {loss}"},
    {SHOW_TABLE, .title = "Routing",
     .note =
         "Share of the tokens whose set of experts changed, over all images that were right. A claim about routing needs "
         "the column of random noise beside it.",
     .path = "routing.layers[]", .columns = layers},
    {SHOW_TEXTS, .path = "routing.facts[]"},
    {SHOW_HEAT,
     .note =
         "Per cent of its tokens that an expert lost, by block; colours from 0 to 100 %.",
     .path = "routing.layers[]", .columns = lost, .high = 1},
    {SHOW_HEAT, .note = "The same under random noise of the same budget.",
     .path = "routing.layers[]", .columns = lost_to_noise, .high = 1, .beside = true},
    {SHOW_BARS, .title = "Load of the experts",
     .note = "Share of the tokens; the dashed line is an even load.",
     .each = "routing.layers[]", .path = "usage_clean[]", .columns = loads,
     .style = SHOW_UPRIGHT, .mean = true, .caption = "block {layer}"},
    {SHOW_GROUP, .path = "router_attack", .inner = router},
    {SHOW_BARS, .title = "Classes",
     .note =
         "Pale: accuracy on clean images. Dark: what the attacks left. Least robust first.",
     .path = "per_class[]", .columns = classes, .order = "robust_acc", .most = 20},
    {SHOW_PICTURES, .title = "Broken",
     .note =
         "Drawn by chance from all broken samples. The third picture shows what was added, enlarged; the fourth where "
         "tokens went to other experts, the darker the more layers.",
     .path = "shown.broken[]", .columns = shown, .picture = "pictures"},
    {SHOW_PICTURES, .title = "Survived",
     .note = "Drawn by chance from what no attack broke; the last one's best try.",
     .path = "shown.survived[]", .columns = shown, .picture = "pictures"},
    {SHOW_TABLE, SHOW_PAGE, .title = "Checks",
     .note =
         "Whether the search was strong enough to be believed (attacks fail silently: Carlini et al. 2019, Croce and "
         "Hein 2020).",
     .path = "checks[]", .columns = checks},
    {SHOW_CARDS, SHOW_PAGE, .title = "Settings", .columns = settings, .style = SHOW_PLAIN},
    {SHOW_TEXTS, SHOW_PAGE, .title = "What this does not say",
     .note =
         "Robust accuracy is an upper bound: what these attacks did not find, others may. It is of these images and this "
         "threat only. Passing checks is no proof of robustness, and an attack that knows this network may do better. "
         "Numbers behind the page: report.json, samples.csv; the examples themselves: adv.npy beside clean.npy and "
         "labels.npy, float32 in [0, 1], to be judged by anybody."},
    {SHOW_BANNER, SHOW_TERMINAL, .path = "trust"},
    {SHOW_TEXTS, SHOW_TERMINAL, .path = "trust.skipped", .beside = true},
    {0}};

const show_view app_attack_view = {
    .title = "Adversarial robustness",
    .lead = "{model.path} ({model.arch}) on {data.name}, {data.image[1]} pixels a side",
    .blocks = app_attack_blocks};
