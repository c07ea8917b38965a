/* view.c - a study of experts as tables, figures and files (docs/experts.md tells how to
 * read them). Free to change: all that a reader sees. Relied on elsewhere: names of the
 * columns of CSV files. */
#include "apps/experts/internal.h"

static const show_column about[] = {
    {"model", "model",
     .note = "{network.name}, router {router}, {expert_count} experts, k {k}"},
    {"data", "data",
     .note = "{layout}, {samples:n} of {images:n} images, {data_classes:n} classes"},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval"},
    {"", "network.note"},
    {0}};

static const show_column cards[] = {
    {"images", "samples", SHOW_COUNT, .note = "{state}"},
    {"top-1", "top1", SHOW_PERCENT, .low_high = "top1_interval"},
    {"experts", "layer_count", .fill = "{/layer_count} x {/expert_count}",
     .note = "MoE layers x experts, k {k}"},
    {"class tells expert", "most_informed.nats", SHOW_NUMBER, .digits = 4,
     .note = "{most_informed.told}, block {most_informed.layer}"},
    {"expert is linear", "most_linear.test", SHOW_PERCENT, .digits = 1,
     .note = "of tokens, block {most_linear.layer}"},
    {0}};

static const show_column tables[] = {
    {"block, tokens", ".", .fill = "{^layer} {tokens}", .where = SHOW_TERMINAL},
    {"block", "^layer", .where = SHOW_PAGE},
    {"tokens", "tokens", .where = SHOW_PAGE},
    {"assignments", "assignments", SHOW_COUNT},
    {"MI", "mutual_information", SHOW_NUMBER, .digits = 4},
    {"above chance", "above_chance", SHOW_NUMBER, .digits = 4},
    {"NMI", "normalised", SHOW_NUMBER, .digits = 4},
    {"H(e)", "expert_entropy", SHOW_NUMBER, .digits = 4},
    {"H(e|y)", "expert_given_class", SHOW_NUMBER, .digits = 4},
    {"purity", "purity", SHOW_NUMBER, .digits = 4},
    {"by chance", "purity_by_chance", SHOW_NUMBER, .digits = 4},
    {0}};

static const show_column probes[] = {
    {"linear probes", ".", .fill = "block {layer}", .where = SHOW_TERMINAL},
    {"block", "layer", .where = SHOW_PAGE},
    {"finds the expert", "probe_of_expert.test", SHOW_PERCENT},
    {"by chance", "probe_of_expert.chance", SHOW_PERCENT},
    {"finds the class", "probe_of_label.test", SHOW_PERCENT},
    {"by chance", "probe_of_label.chance", SHOW_PERCENT},
    {"load CV", "load_cv", SHOW_NUMBER, .digits = 3},
    {"dead", "dead", SHOW_COUNT},
    {"largest gate", "gate_max", SHOW_NUMBER, .digits = 4},
    {"row entropy", "prob_entropy", SHOW_NUMBER, .digits = 4},
    {"dropped", "dropped", SHOW_PERCENT},
    {"flipped", "against.flip_rate", SHOW_PERCENT},
    {"1 - IoU", "against.set_change", SHOW_PERCENT},
    {"shift of P", "against.shift", SHOW_NUMBER, .digits = 4},
    {0}};

static const show_column lifts[] = {{"expert", ".", .fill = "{^layer}.{expert}"},
                                    {"load", "load", SHOW_PERCENT, .digits = 1},
                                    {"classes by lift P(expert | class) / P(expert)", "top",
                                     .fill = "{name} {lift:.2}", .note = "{note}"},
                                    {0}};

/* ---- one layer ----------------------------------------------------------------------- */

static const show_column usage[] = {
    {"class", "class"},
    {"expert (per cent of the class)", "of_experts", SHOW_PERCENT},
    {0}};
static const show_column loads[] = {{"", "#"}, {"load", ".", SHOW_PERCENT}, {0}};
static const show_column pca[] = {{"", "pca[1]"}, {0}};
static const show_column tsne[] = {{"", "tsne[1]"}, {0}};
static const show_column experts[] = {
    {"expert", "expert"},
    {"", "load", SHOW_PERCENT, .digits = 1, .fill = "{^load:%1} of the assignments"},
    {"", "top", .fill = "{name} {lift:.2}"},
    {0}};

static const show_block layer[] = {
    {SHOW_HEAT, .note = "{usage_note}", .path = "usage[]", .columns = usage,
     .style = SHOW_ROW_SHARE},
    {SHOW_BARS, .path = "load[]", .columns = loads, .style = SHOW_UPRIGHT, .mean = true,
     .beside = true,
     .caption = "loads: CV {load_cv:.3}, fullest {fullest:.2} of the mean, {dead} dead"},
    {SHOW_TEXTS, .where = SHOW_PAGE, .path = "embedding",
     .note =
         "{embedding.points} patches as the router sees them. PCA: two axes with "
         "{embedding.pca_share:%1} of the variance; t-SNE (perplexity 30, Kullback-Leibler "
         "divergence {embedding.tsne_divergence:.3}) keeps neighbours, not distances."},
    {SHOW_DOTS, .path = "embedding.tokens[]", .columns = pca, .x = "pca[0]", .by = "expert",
     .caption = "PCA, by expert"},
    {SHOW_DOTS, .path = "embedding.tokens[]", .columns = pca, .x = "pca[0]", .by = "label",
     .names = "/class_names[]", .beside = true, .caption = "PCA, by class"},
    {SHOW_DOTS, .path = "embedding.tokens[]", .columns = tsne, .x = "tsne[0]",
     .by = "expert", .caption = "t-SNE, by expert"},
    {SHOW_DOTS, .path = "embedding.tokens[]", .columns = tsne, .x = "tsne[0]",
     .by = "label", .names = "/class_names[]", .beside = true,
     .caption = "t-SNE, by class"},
    {SHOW_TEXTS, .where = SHOW_PAGE, .path = "cards_note"},
    {SHOW_PICTURES,
     .note = "Numbers: lift P(expert | class) / P(expert). Pictures: the patches with the "
             "largest gates (framed, with what surrounds them), one of an image; below, "
             "the images most of whose patches come here, the other patches darkened.",
     .path = "cards[]", .columns = experts, .picture = "patches", .below = "images"},
    {0}};

/* ---- files --------------------------------------------------------------------------- */

static const show_column measures_csv[] = {
    {"block", "^layer", .where = SHOW_CSV},
    {"tokens", "tokens"},
    {"assignments", "assignments"},
    {"mutual_information", "mutual_information"},
    {"above_chance", "above_chance"},
    {"normalised", "normalised"},
    {"class_entropy", "class_entropy"},
    {"expert_entropy", "expert_entropy"},
    {"expert_given_class", "expert_given_class"},
    {"purity", "purity"},
    {"purity_by_chance", "purity_by_chance"},
    {"probe_of_expert", "^probe_of_expert.test", .where = SHOW_CSV},
    {"probe_of_expert_chance", "^probe_of_expert.chance", .where = SHOW_CSV},
    {"probe_of_label", "^probe_of_label.test", .where = SHOW_CSV},
    {"probe_of_label_chance", "^probe_of_label.chance", .where = SHOW_CSV},
    {0}};
static const show_column experts_csv[] = {{"block", "^^layer", .where = SHOW_CSV},
                                          {"expert", "^expert", .where = SHOW_CSV},
                                          {"load", "^load", .where = SHOW_CSV},
                                          {"importance", "^importance", .where = SHOW_CSV},
                                          {"rank", "#", .where = SHOW_CSV},
                                          {"class", "number", .where = SHOW_CSV},
                                          {"label", "class", .where = SHOW_CSV},
                                          {"lift", "lift"},
                                          {"share_of_class", "share_of_class"},
                                          {0}};
static const show_column patches_csv[] = {{"block", "^^layer", .where = SHOW_CSV},
                                          {"expert", "^expert", .where = SHOW_CSV},
                                          {"rank", "#", .where = SHOW_CSV},
                                          {"gate", "gate"},
                                          {"row", "row"},
                                          {"column", "column"},
                                          {"sample", "sample"},
                                          {"label", "label"},
                                          {"name", "name"},
                                          {0}};

static const show_block blocks[] = {
    {SHOW_CARDS, .where = SHOW_TERMINAL, .columns = about},
    {SHOW_CARDS, .where = SHOW_PAGE, .columns = cards},
    {SHOW_TEXTS, .path = "facts[]"},
    {SHOW_TABLE, .title = "What the class says about the expert",
     .note = "Counts of class y and expert e over kept assignments. MI: mutual information "
             "in nats; above chance: less the mean of 20 shuffles of the labels; NMI: MI / "
             "sqrt(H(y) H(e)); H(e|y) close to H(e): experts do not follow classes. "
             "Purity: share of assignments in their expert's commonest class.",
     .path = "experts[].tables[]", .columns = tables},
    {SHOW_TABLE, .title = "Linear probes, loads and gates",
     .note = "Multinomial logistic regression (L2 0.001) from what the router sees of a "
             "patch: fitted to {experts[0].probe_of_label.train_tokens:n} patches, tested "
             "on {experts[0].probe_of_label.test_tokens:n} of other images. By chance: "
             "always the commonest answer.",
     .path = "experts[]", .columns = probes},
    {SHOW_TEXTS, .path = "against_note"},
    {SHOW_TABLE, .where = SHOW_TERMINAL, .each = "experts[]", .path = "specialists[]",
     .most = 16, .columns = lifts},
    {SHOW_TEXTS, .where = SHOW_TERMINAL, .path = "more"},
    {SHOW_GROUP, .where = SHOW_PAGE, .title = "Layer by layer", .path = "experts[]",
     .caption = "Block {layer}", .open = true, .inner = layer},
    {SHOW_TABLE, .where = SHOW_CSV, .path = "experts[].tables[]", .columns = measures_csv},
    {SHOW_TABLE, .where = SHOW_CSV, .path = "experts[].specialists[].top[]",
     .columns = experts_csv},
    {SHOW_TABLE, .where = SHOW_CSV, .path = "experts[].specialists[].patches[]",
     .columns = patches_csv},
    {0}};

const show_view app_study_view = {.title = "vmoe inspect: experts",
                                  .lead =
                                      "{model} ({network.name}, router {router}) on {data}",
                                  .blocks = blocks};
