/* view.c - vmoe compare as tables and figures: who is best at what, what is held against
 * the baseline, loads, cost, every run. Free to change: all that a reader sees but the
 * columns of the CSV files, which others read: APP_FIGURES. */
#include "apps/compare/table_internal.h"

/* At most so many budgets: ATTACK_BUDGETS_MAX. */
#define BUDGETS(X)                                                                         \
    X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12),       \
        X(13), X(14), X(15), X(16), X(17), X(18), X(19), X(20), X(21), X(22), X(23),       \
        X(24), X(25), X(26), X(27), X(28), X(29), X(30), X(31)
_Static_assert(ATTACK_BUDGETS_MAX == 32, "BUDGETS has as many");

/* A figure of the page in a column: coloured where it clearly differs from the baseline,
 * bold for who leads. */
#define ON_PAGE(title_, at_, ...)                                                          \
    {                                                                                      \
        title_, at_ ".mean", .spread = at_ ".std", .strong = at_ ".lead",                  \
                             .verdict = at_ ".against_baseline.better", __VA_ARGS__        \
    }
#define SHARE(title_, key_, digits_)                                                       \
    ON_PAGE(title_ ", %", "figures." key_, .kind = SHOW_PERCENT, .digits = (digits_),      \
            .bare = true)
#define NUMBER(title_, key_, digits_)                                                      \
    ON_PAGE(title_, "figures." key_, .kind = SHOW_NUMBER, .digits = (digits_))
#define ROBUST(i)                                                                          \
    ON_PAGE("PGD {/attack.budgets[" #i "]}, %", "robust[" #i "]", .kind = SHOW_PERCENT,    \
            .bare = true)

#define NAME                                                                               \
    {"router", "label", .note = "{mark}", .where = SHOW_PAGE},                             \
    {                                                                                      \
        "seeds", "figures.top1.count", SHOW_COUNT, .where = SHOW_PAGE                      \
    }

/* ---- the table ----------------------------------------------------------------------- */

static const show_column best[] = {
    {"best clean top-1", "best.clean.who", .note = "{best.clean.note}"},
    {"least error under corruptions", "best.corrupted.who",
     .note = "{best.corrupted.note}"},
    {"best under {best.attacked.title}", "best.attacked.who",
     .note = "{best.attacked.note}"},
    {0}};

static const show_column main_figures[] = {
    {"router", "label", .where = SHOW_TERMINAL},
    {"seeds", "figures.top1.count", SHOW_COUNT, .of = "/seeds", .where = SHOW_TERMINAL},
    NAME,
    SHARE("clean top-1", "top1", 2),
    SHARE("corrupted error", "corrupted_error", 2),
    BUDGETS(ROBUST),
    {"mCE (softmax 100)", "figures.mce_softmax.mean", SHOW_PERCENT,
     .spread = "figures.mce_softmax.std", .strong = "figures.mce_softmax.lead",
     .verdict = "figures.mce_softmax.against_baseline.better", .digits = 1, .bare = true,
     .where = SHOW_PAGE},
    NUMBER("load CV", "load_cv", 3),
    {"ms a step", "figures.step_ms.mean", SHOW_NUMBER, .digits = 1, .where = SHOW_TERMINAL},
    {"step ({/steps_timed.reference} 100)", "figures.step_ratio.mean", SHOW_PERCENT,
     .digits = 1, .bare = true, .where = SHOW_PAGE},
    {0}};

/* ---- every seed ---------------------------------------------------------------------- */

#define DOTS(at_)                                                                          \
    {                                                                                      \
        {"", "label"}, {"", at_ "values", SHOW_PERCENT, .mark = "is_baseline"},            \
            {"", at_ "mean", .spread = at_ "std"},                                         \
        {                                                                                  \
            0                                                                              \
        }                                                                                  \
    }
static const show_column top1_dots[] = DOTS("figures.top1."),
                         corrupted_dots[] = DOTS("figures.corrupted_error."),
                         attacked_dots[] = DOTS("");

/* ---- against the baseline ------------------------------------------------------------ */

#define AGAINST(title_, at_)                                                               \
    {                                                                                      \
        title_ ", %", at_ ".difference", SHOW_PERCENT,                                     \
            .spread = at_ ".spread", .low_high = at_ ".ci95",                              \
            .note = "{" at_ ".spreads:.1} deviations", .verdict = at_ ".better",           \
            .bare = true                                                                   \
    }
#define AGAINST_ROBUST(i)                                                                  \
    AGAINST("PGD {/attack.budgets[" #i "]}", "robust[" #i "].against_baseline")
static const show_column against[] = {
    NAME,
    AGAINST("clean top-1", "figures.top1.against_baseline"),
    AGAINST("corrupted error", "figures.corrupted_error.against_baseline"),
    BUDGETS(AGAINST_ROBUST),
    {0}};

/* ---- corruptions, loads, routing, cost ----------------------------------------------- */

static const show_column errors[] = {
    {"router", "label"}, {"error by corruption, %", "errors", SHOW_PERCENT}, {0}};

static const show_column loads[] = {NAME,
                                    NUMBER("load CV", "load_cv", 3),
                                    NUMBER("load entropy", "load_entropy", 3),
                                    NUMBER("max violation", "max_violation", 3),
                                    NUMBER("dead experts", "dead", 1),
                                    SHARE("dropped", "dropped", 2),
                                    SHARE("orphans", "orphans", 2),
                                    NUMBER("load CV in training", "train_load_cv", 3),
                                    NUMBER("dead experts in training", "train_dead", 1),
                                    SHARE("dropped in training", "train_dropped", 2),
                                    SHARE("Sinkhorn passes", "sinkhorn_share", 1),
                                    NUMBER("Sinkhorn steps a layer", "sinkhorn_steps", 1),
                                    {0}};

static const show_column routing[] = {
    NAME,
    SHARE("routing change, corrupted", "routing_change_corrupted", 1),
    SHARE("routing change, attacked", "routing_change_attacked", 1),
    SHARE("routing change, random noise", "routing_change_noise", 1),
    {0}};

static const show_column cost[] = {
    NAME,
    {"parameters", "figures.parameters.mean", SHOW_COUNT},
    {"active", "figures.active_parameters.mean", SHOW_COUNT},
    {"FLOPs an image", "figures.flops.mean", SHOW_AMOUNT, .strong = "figures.flops.lead"},
    NUMBER("loss", "loss", 3),
    SHARE("calibration error", "ece", 1),
    NUMBER("training loss", "train_loss", 3),
    NUMBER("training loss at equal seconds", "train_loss_equal_seconds", 3),
    {0}};

static const show_column steps[] = {
    {"router", "label"},
    {"ms", "ms", SHOW_NUMBER, .digits = 2},
    {"quartiles", "ms_quartiles", SHOW_NUMBER, .join = " to ", .digits = 2},
    {"{/steps_timed.reference} is 100", "ratio", SHOW_PERCENT, .digits = 1, .bare = true},
    {"quartiles", "ratio_quartiles", SHOW_PERCENT, .join = " to ", .digits = 1},
    {"with plan, ms", "with_plan_ms", SHOW_NUMBER, .digits = 2},
    {0}};

/* ---- training, routers, runs --------------------------------------------------------- */

/* A point is [step, loss, accuracy, load CV, seconds]. */
static const show_column loss_curve[] = {{"training loss", "[1]"}, {0}},
                         cv_curve[] = {{"load CV in training", "[3]"}, {0}},
                         accuracy_curve[] = {{"top-1 in evaluations", "[2]", SHOW_PERCENT},
                                             {0}};

static const show_column routers[] = {{"label", "label", .note = "{mark}"},
                                      {"router", "router"},
                                      {"", "summary"},
                                      {"settings", "settings"},
                                      {0}};

#define RUN_ROBUST(i)                                                                      \
    {                                                                                      \
        "PGD {/attack.budgets[" #i "]}, %", "robust[" #i "]", SHOW_PERCENT, .bare = true   \
    }
static const show_column run_figures[] = {
    {"router", "^label"},
    {"seed", "seed", SHOW_COUNT},
    {"", "status", .note = "{reason}"},
    {"clean top-1, %", "figures.top1", SHOW_PERCENT, .bare = true},
    {"corrupted error, %", "figures.corrupted_error", SHOW_PERCENT, .bare = true},
    BUDGETS(RUN_ROBUST),
    {0}};

static const show_block runs[] = {
    {SHOW_TABLE, .path = "entries[].runs[]", .columns = run_figures}, {0}};

/* ---- CSV ----------------------------------------------------------------------------- */

#define CSV(title_, path_)                                                                 \
    {                                                                                      \
        title_, path_, .where = SHOW_CSV                                                   \
    }
#define CSV_RUN(key_, ...) CSV(key_, "figures." key_)
#define CSV_RUN_ROBUST(i) CSV("robust_{/attack.budgets[" #i "]}", "robust[" #i "]")
#define CSV_MEAN(key_, ...)                                                                \
    CSV(key_ "_mean", "figures." key_ ".mean"), CSV(key_ "_std", "figures." key_ ".std")
#define CSV_MEAN_ROBUST(i)                                                                 \
    CSV("robust_{/attack.budgets[" #i "]}_mean", "robust[" #i "].mean"),                   \
        CSV("robust_{/attack.budgets[" #i "]}_std", "robust[" #i "].std")
static const show_column csv_runs[] = {
    CSV("label", "^label"),  CSV("router", "^router"), CSV("settings", "^settings"),
    CSV("seed", "seed"),     CSV("status", "status"),  APP_FIGURES(CSV_RUN),
    BUDGETS(CSV_RUN_ROBUST), CSV("reason", "reason"),  {0}};
static const show_column csv_summary[] = {CSV("label", "label"),
                                          CSV("router", "router"),
                                          CSV("settings", "settings"),
                                          CSV("seeds", "figures.top1.count"),
                                          APP_FIGURES(CSV_MEAN),
                                          BUDGETS(CSV_MEAN_ROBUST),
                                          {0}};

/* ---- all of it ----------------------------------------------------------------------- */

static const show_block blocks[] = {
    {SHOW_BANNER, .path = "missing"},
    {SHOW_CARDS, .where = SHOW_PAGE, .path = ".", .columns = best},
    {SHOW_TABLE, .title = "The table",
     .note =
         "Mean over seeds and the standard deviation of one training. Bold: not clearly "
         "worse than the best mean of the column, where anybody is. Green and red are "
         "clearly better and clearly worse than the baseline.",
     .path = "entries[]", .columns = main_figures},
    {SHOW_TEXTS, .path = "corruptions.text"},
    {SHOW_TEXTS, .title = "Every seed", .where = SHOW_PAGE,
     .note = "A dot is a training, the tick their mean, the bar one standard deviation "
             "either way; orange is the baseline, the dashed line its mean."},
    {SHOW_DOTS, .path = "entries[]", .columns = top1_dots, .caption = "clean top-1"},
    {SHOW_DOTS, .path = "entries[]", .columns = corrupted_dots, .beside = true,
     .caption = "error under corruptions (less is better)"},
    {SHOW_DOTS, .each = "attacked[]", .path = "rows[]", .columns = attacked_dots,
     .caption = "accuracy under {title}"},
    {SHOW_TEXTS, .title = "Against {baseline}", .where = SHOW_PAGE,
     .note =
         "Differences by seed, whose data order and first weights all routers share: "
         "their mean in points, plus or minus their standard deviation, the 95 % "
         "interval of the mean, and how many of these deviations the mean is. Green: "
         "clearly better than the baseline, red: clearly worse (paired two-sided t test "
         "at 95 %, not corrected for how many are compared); black: the seeds do not "
         "tell them apart.",
     .path = "conclusions[]"},
    {SHOW_TABLE, .path = "entries[]", .columns = against, .least = 2, .where = SHOW_PAGE},
    {SHOW_HEAT, .title = "Corruption by corruption",
     .note = "Error in per cent, mean over severities and seeds; colours from 0 to 100 %. "
             "{corruptions.text}.",
     .path = "corrupted[]", .columns = errors, .names = "corruption_names[]", .high = 1},
    {SHOW_TABLE, .title = "Load of the experts", .path = "entries[]", .columns = loads,
     .where = SHOW_PAGE},
    {SHOW_TABLE, .title = "Change of routing",
     .note =
         "Share of a token's experts that are others than on the clean image (1 - IoU).",
     .each = "parts.routing", .path = "/entries[]", .columns = routing, .where = SHOW_PAGE},
    {SHOW_TABLE, .title = "Cost and fit", .path = "entries[]", .columns = cost,
     .where = SHOW_PAGE},
    {SHOW_TABLE, .title = "A training step", .note = "{steps_timed.text}",
     .path = "steps_timed.rows[]", .columns = steps, .where = SHOW_PAGE},
    {SHOW_TEXTS, .title = "Training", .note = "Means over seeds.", .where = SHOW_PAGE},
    {SHOW_LINES, .path = "entries[].training[]", .columns = loss_curve, .x = "[0]",
     .by = "^label", .x_title = "step", .caption = "training loss"},
    {SHOW_LINES, .path = "entries[].training[]", .columns = cv_curve, .x = "[0]",
     .by = "^label", .x_title = "step", .caption = "load CV in training", .beside = true},
    {SHOW_LINES, .path = "entries[].evaluations[]", .columns = accuracy_curve, .x = "[0]",
     .by = "^label", .x_title = "step", .caption = "top-1 in evaluations", .beside = true},
    {SHOW_TABLE, .title = "Routers",
     .note =
         "What each is and whom it follows. A reconstruction: partly or wholly, because "
         "the source was not to be had in full; its figures say nothing about its "
         "authors' method.",
     .path = "entries[]", .columns = routers, .where = SHOW_PAGE},
    {SHOW_TEXTS, .title = "What is equal, and how it was measured", .path = "method[]",
     .where = SHOW_PAGE},
    {SHOW_TEXTS, .path = "command_line", .where = SHOW_PAGE},
    {SHOW_GROUP, .title = "Every run", .path = ".", .inner = runs, .where = SHOW_PAGE,
     .caption = "seeds one by one"},
    {SHOW_TABLE, .path = "entries[].runs[]", .order = "^place", .columns = csv_runs,
     .where = SHOW_CSV},
    {SHOW_TABLE, .path = "entries[]", .columns = csv_summary, .where = SHOW_CSV},
    {0}};

const show_view app_compare_view = {
    .title = "Routers compared", .lead = "{title}", .blocks = blocks};
