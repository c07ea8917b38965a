/* view.c - vmoe eval as tables and figures. Free to change: all that a reader sees. */
#include "apps/eval/internal.h"

/* ---- headline ------------------------------------------------------------------------ */

static const show_column about[] = {
    {"model", "model", .note = "{network.name}, {network.parameters:n} parameters"},
    {"data", "data",
     .note = "{layout}, {samples:n} of {images:n} images, {data_classes:n} classes"},
    {"", "network.note"},
    {0}};

static const show_column cards[] = {
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval"},
    {"top-5", "top5", SHOW_PERCENT, .note = "label among five"},
    {"loss", "loss", SHOW_NUMBER, .digits = 4, .note = "nats an image"},
    {"ECE", "ece", SHOW_PERCENT, .note = "calibration, 15 bins"},
    {"images", "samples", SHOW_COUNT, .note = "{state}"},
    {"images/s", "images_per_second", SHOW_COUNT, .note = "{seconds:d} in all"},
    {0}};

static const show_column present[] = {
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval",
     .note = "among the {classes:n} classes present, of {of:n}"},
    {"top-5", "top5", SHOW_PERCENT, .note = "among these classes"},
    {0}};
static const show_column real[] = {{"ReaL", "top1", SHOW_PERCENT,
                                    .low_high = "top1_interval",
                                    .note = "of {images:n} images with such labels"},
                                   {0}};
static const show_column detection[] = {
    {"AUPR", "aupr", SHOW_PERCENT, .note = "by chance {chance:%}"},
    {"AUROC", "auroc", SHOW_PERCENT, .note = "by largest probability"},
    {"FPR95", "fpr95", SHOW_PERCENT, .note = "at 95 % recall"},
    {"images", "images", SHOW_COUNT,
     .note = "of {data}, told from {against:n} of {classes:n} classes"},
    {0}};

/* ---- accuracy against compute -------------------------------------------------------- */

static const show_column points[] = {
    {"capacity", "capacity", SHOW_NUMBER},
    {"order", "order"},
    {"top-1", "top1", SHOW_PERCENT, .where = SHOW_TERMINAL},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval",
     .where = SHOW_PAGE | SHOW_CSV},
    {"top-5", "top5", SHOW_PERCENT},
    {"loss", "loss", SHOW_NUMBER, .digits = 4},
    {"dropped", "dropped", SHOW_PERCENT},
    {"no expert", "no_expert", SHOW_PERCENT},
    {"FLOP", "flops", SHOW_AMOUNT},
    {"kept an image", "kept", SHOW_NUMBER, .digits = 1},
    {"least", "kept_levels[0]", SHOW_COUNT},
    {"5 %", "kept_levels[1]", SHOW_COUNT},
    {"50 %", "kept_levels[3]", SHOW_COUNT},
    {"95 %", "kept_levels[5]", SHOW_COUNT},
    {"most", "kept_levels[6]", SHOW_COUNT},
    {0}};

static const show_column accuracy[] = {
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval"},
    {"without limits", "^points[0].top1", .dashed = true},
    {0}};
static const show_block capacity[] = {
    {SHOW_TEXTS, .title = "Accuracy against compute",
     .note =
         "The same network and images with less and less room in its experts (Riquelme et "
         "al. 2021, section 4). By priority, the tokens with the largest gate choose "
         "first. Bands: 95 % intervals.",
     .path = "fact"},
    {SHOW_LINES, .path = "points[]", .columns = accuracy, .x = "flops", .by = "order",
     .x_title = "operations spent on an image", .y_title = "top-1", .caption = ""},
    {SHOW_LINES, .path = "points[]", .columns = accuracy, .x = "capacity",
     .x_name = "capacity", .by = "order", .style = SHOW_LOG, .beside = true,
     .x_title = "capacity factor (logarithmic)", .y_title = "top-1", .caption = ""},
    {SHOW_TABLE, .where = SHOW_TERMINAL | SHOW_PAGE | SHOW_CSV, .path = "points[]",
     .columns = points},
    {0}};

/* ---- under corruption ---------------------------------------------------------------- */

static const show_column robust_cards[] = {
    {"mCE", "mce", SHOW_PERCENT, .digits = 1, .bare = true, .note = "AlexNet: 100"},
    {"relative mCE", "relative_mce", SHOW_PERCENT, .digits = 1, .bare = true,
     .note = "loss against clean"},
    {"error, corrupted", "mean_error", SHOW_PERCENT, .digits = 1,
     .note = "mean of the benchmark's 15"},
    {"error, measured", "measured_error", SHOW_PERCENT, .digits = 1,
     .note = "mean of {pairs:n} pairs of corruption and severity"},
    {"error, clean", "clean.error", SHOW_PERCENT, .digits = 1},
    {0}};

static const show_column errors[] = {
    {"error, %", "name"},
    {"1", "severities[0].error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"2", "severities[1].error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"3", "severities[2].error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"4", "severities[3].error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"5", "severities[4].error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"mean", "error", SHOW_PERCENT, .digits = 1, .bare = true},
    {"CE", "ce", SHOW_PERCENT, .digits = 1, .bare = true},
    {"rel.CE", "relative_ce", SHOW_PERCENT, .digits = 1, .bare = true},
    {"ECE", "ece", SHOW_PERCENT, .digits = 1, .bare = true},
    {0}};
static const show_column error_bars[] = {
    {"corruption", "title"},
    {"error", "error", SHOW_PERCENT, .digits = 1, .mark = "extra"},
    {0}};
static const show_column curves[] = {{"error", "error", SHOW_PERCENT},
                                     {"on clean images", "^^clean.error", .dashed = true},
                                     {"AlexNet", "alexnet", .dashed = true},
                                     {0}};
static const show_column specimens[] = {
    {"", "title"}, {"", "answer_title", .verdict = "right"}, {0}};
static const show_column changes[] = {
    {"corruption", "title"}, {"block", "changed", SHOW_PERCENT}, {0}};
static const show_column moved[] = {
    {"routing", "name"},
    {"CV", "load_cv", SHOW_NUMBER, .digits = 3},
    {"max/mean", "max_ratio", SHOW_NUMBER, .digits = 3},
    {"same experts", "agreement.overlap", SHOW_PERCENT, .digits = 1},
    {"same first", "agreement.first", SHOW_PERCENT, .digits = 1},
    {"shift", "agreement.shift", SHOW_NUMBER, .digits = 3},
    {"same answer", "answer_kept", SHOW_PERCENT, .digits = 1},
    {0}};

static const show_block robust[] = {
    {SHOW_CARDS, .columns = robust_cards},
    {SHOW_TEXTS, .path = "facts"},
    {SHOW_TABLE, .where = SHOW_TERMINAL, .path = "clean", .also = "corruptions[]",
     .columns = errors},
    {SHOW_BARS, .title = "Error by corruption",
     .note =
         "Mean over the severities. Orange: clean, and the extra corruptions that are not "
         "in mCE.",
     .path = "clean", .also = "corruptions[]", .columns = error_bars},
    {SHOW_LINES, .title = "Error by severity", .each = "corruptions[]",
     .path = "severities[]", .columns = curves, .x = "severity", .x_name = "severity",
     .high = 1, .x_title = "", .y_title = "", .caption = "{title}"},
    {SHOW_TABLE, .where = SHOW_PAGE | SHOW_CSV, .note = "All figures in per cent.",
     .path = "clean", .also = "corruptions[]", .columns = errors},
    {SHOW_PICTURES, .title = "One image under each corruption",
     .note =
         "{specimen.name} ({specimen.label_title}), severity {specimen.severity}. Green "
         "bar: the label.",
     .path = "specimens[]", .columns = specimens, .picture = "picture", .bars = "top[]"},
    {SHOW_HEAT, .title = "Change of routing",
     .note = "Per cent of a token's experts that are others than on the clean image (1 - "
             "intersection / union, mean over tokens and severities), by sparse block.",
     .path = "corruptions[]", .columns = changes, .names = "blocks[]", .high = 1},
    {SHOW_TABLE,
     .note =
         "Of the load: CV and largest / mean. Means over blocks; experts and answers against those of the clean image.",
     .path = "corruptions[]", .columns = moved},
    {0}};

/* ---- classes ------------------------------------------------------------------------- */

static const show_column reliability[] = {
    {"right", "accuracy", SHOW_PERCENT, .low_high = "accuracy_interval"},
    {"as sure as right", "confidence", .dashed = true},
    {0}};
static const show_column bin_counts[] = {
    {"confidence", "low", SHOW_PERCENT, .digits = SHOW_WHOLE, .bare = true},
    {"images", "count", SHOW_COUNT},
    {0}};
static const show_column class_bars[] = {
    {"class", "title"},
    {"top-1", "top1", SHOW_PERCENT, .digits = 1, .note = "of {count:n}"},
    {0}};
static const show_column classes[] = {{"class, hardest first", "title"},
                                      {"images", "count", SHOW_COUNT},
                                      {"top-1", "top1", SHOW_PERCENT, .digits = 1},
                                      {0}};
static const show_column confusion[] = {
    {"what it is", "^classes[#].title"}, {"what it was taken for", ".", SHOW_COUNT}, {0}};
static const show_column confused[] = {{"most often confused", "label_title"},
                                       {"taken for", "answer_title"},
                                       {"images", "count", SHOW_COUNT},
                                       {"of class", "of_class", SHOW_PERCENT, .digits = 1},
                                       {0}};
static const show_column examples[] = {
    {"", "answer_title", .verdict = "right"}, {"label", "label_title"}, {"", "name"}, {0}};

/* ---- experts ------------------------------------------------------------------------- */

static const show_column experts[] = {{"experts", "name", .note = "{spread}"},
                                      {"load CV", "load_cv", SHOW_NUMBER, .digits = 3},
                                      {"max/mean", "max_ratio", SHOW_NUMBER, .digits = 3},
                                      {"min/mean", "min_ratio", SHOW_NUMBER, .digits = 3},
                                      {"dead", "dead", SHOW_NUMBER},
                                      {"entropy", "entropy", SHOW_NUMBER, .digits = 4},
                                      {"dropped", "dropped", SHOW_PERCENT},
                                      {0}};
static const show_column loads[] = {{"expert", "#"}, {"load", ".", SHOW_PERCENT}, {0}};
static const show_column usage[] = {
    {"class", "^classes[#].title"}, {"expert", ".", SHOW_PERCENT}, {0}};

/* ---- blocks -------------------------------------------------------------------------- */

const show_block app_eval_blocks[] = {
    {SHOW_CARDS, SHOW_TERMINAL, .columns = about},
    {SHOW_CARDS, .columns = cards},
    {SHOW_CARDS, .path = "subset", .columns = present},
    {SHOW_CARDS, .path = "real", .columns = real},
    {SHOW_CARDS, .path = "ood", .columns = detection},
    {SHOW_TEXTS, .path = "facts[]"},
    {SHOW_TEXTS, SHOW_PAGE, .path = "network.note"},
    {SHOW_TABLE, SHOW_TERMINAL, .path = "classes[]", .columns = classes, .order = "top1",
     .most = 20},
    {SHOW_TABLE, SHOW_TERMINAL, .path = "confused[]", .columns = confused, .most = 8},
    {SHOW_TABLE, SHOW_TERMINAL, .path = "moe[]", .also = "moe_mean", .columns = experts},
    {SHOW_GROUP, .path = "capacity", .inner = capacity},
    {SHOW_GROUP, .path = "robust", .inner = robust},
    {SHOW_LINES, .title = "Calibration",
     .note = "How often answers of such a confidence are right. Below the dashed line the "
             "network is surer than right. Band: 95 %.",
     .path = "calibration[]", .columns = reliability, .x = "confidence", .high = 1,
     .x_title = "confidence", .y_title = "right answers", .caption = ""},
    {SHOW_BARS, .title = "How sure it is", .note = "Images by confidence.",
     .path = "calibration[]", .columns = bin_counts, .style = SHOW_UPRIGHT, .beside = true,
     .x_title = "confidence, from so many per cent on"},
    {SHOW_BARS, .title = "Accuracy of each class", .note = "Hardest first.",
     .path = "classes[]", .columns = class_bars, .order = "top1", .most = 40},
    {SHOW_HEAT, .title = "Confusion", .path = "confusion[]", .columns = confusion,
     .names = "classes[].title", .style = SHOW_ROW_SHARE},
    {SHOW_HEAT, .title = "Confusion", .cells = "confusion_cells", .columns = confusion,
     .names = "classes[].title", .style = SHOW_ROW_SHARE},
    {SHOW_TABLE, SHOW_PAGE, .path = "confused[]", .columns = confused, .most = 12},
    {SHOW_PICTURES, .title = "Surest mistakes",
     .note = "Wrong answers given with the most confidence. Green bar: the label.",
     .path = "mistakes[]", .columns = examples, .picture = "picture", .bars = "top[]"},
    {SHOW_PICTURES, .title = "Right answers", .note = "Spread evenly over the set.",
     .path = "right_answers[]", .columns = examples, .picture = "picture", .bars = "top[]"},
    {SHOW_BARS, .title = "Experts",
     .note = "Tokens that each expert got over the whole set; the dashed line is an even "
             "load. An expert below 1 % of it is dead.",
     .each = "moe[]", .path = "load[]", .columns = loads, .style = SHOW_UPRIGHT,
     .mean = true,
     .caption = "{name}: CV {load_cv:.3}, fullest {max_ratio:.2} of the mean, {dead} dead"},
    {SHOW_TABLE, SHOW_PAGE, .path = "moe[]", .also = "moe_mean", .columns = experts},
    {SHOW_HEAT, .title = "Which experts serve which classes",
     .note = "Last sparse block: per cent of each class's tokens that go to each expert.",
     .path = "moe[-1].class_table[]", .columns = usage, .style = SHOW_ROW_SHARE},
    {0}};

const show_view app_eval_view = {
    .title = "vmoe eval",
    .lead = "{model} ({network.name}) on {data}, {preprocessing.size} pixels a side",
    .blocks = app_eval_blocks};
