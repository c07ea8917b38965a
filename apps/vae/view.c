/* view.c - vmoe vae as tables and figures. Free to change: all that a reader sees. */
#include "apps/vae/internal.h"

static const show_column summary[] = {
    {"squared error a pixel", "mse", SHOW_NUMBER, .digits = 5, .note = "{choice}"},
    {"all decoders", "mse_all", SHOW_NUMBER, .digits = 5,
     .note = "gate entropy {gate_entropy:.3} nats"},
    {"all decoders", "untrained"},
    {"load entropy", "load_entropy", SHOW_NUMBER, .digits = 3,
     .note = "of 1, {dead_experts} of {experts} experts dead"},
    {"MI, class and expert", "classes_by_experts.mutual_information", SHOW_NUMBER,
     .digits = 4, .note = "nats, by chance {by_chance.mutual_information:.4}"},
    {"NMI", "classes_by_experts.nmi", SHOW_NUMBER, .digits = 4,
     .note = "purity {classes_by_experts.purity:.4}"},
    {"linear probe: expert", "probe_expert.accuracy", SHOW_PERCENT,
     .note = "by chance {probe_expert.chance:%}"},
    {"linear probe: class", "probe_label.accuracy", SHOW_PERCENT,
     .note = "by chance {probe_label.chance:%}"},
    {"images", "samples", SHOW_COUNT, .note = "{steps:n} steps in {seconds:d}"},
    {0}};

static const show_column cards[] = {
    {"squared error", "mse", SHOW_NUMBER, .digits = 5, .note = "a pixel, {choice}"},
    {"of all decoders", "mse_all", SHOW_NUMBER, .digits = 5,
     .note = "weighted by the gate"},
    {"of all decoders", "untrained"},
    {"load entropy", "load_entropy", SHOW_NUMBER, .digits = 3,
     .note = "of 1, {dead_experts} of {experts} dead"},
    {"NMI class, expert", "classes_by_experts.nmi", SHOW_NUMBER, .digits = 3,
     .note = "purity {classes_by_experts.purity:.3}, by chance {by_chance.purity:.3}"},
    {"linear probe: expert", "probe_expert.accuracy", SHOW_PERCENT, .digits = 1,
     .note = "from the latent"},
    {"linear probe: class", "probe_label.accuracy", SHOW_PERCENT, .digits = 1,
     .note = "from the latent"},
    {0}};

static const show_column experts[] = {
    {"expert", "expert"},
    {"", ".", .fill = "{share:%1} of the images, squared error {mse:.5}"},
    {"", "classes", .fill = "{class} {share:%0}"},
    {0}};
static const show_column nothing[] = {{0}};

static const show_column tables[] = {
    {"", "name"},
    {"MI", "mutual_information", SHOW_NUMBER, .digits = 4},
    {"NMI", "nmi", SHOW_NUMBER, .digits = 4},
    {"H(e|y)", "expert_given_class", SHOW_NUMBER, .digits = 4},
    {"purity", "purity", SHOW_NUMBER, .digits = 4},
    {0}};
static const show_column probes[] = {
    {"finds the expert", "probe_expert.accuracy", SHOW_PERCENT},
    {"by chance", "probe_expert.chance", SHOW_PERCENT},
    {"finds the class", "probe_label.accuracy", SHOW_PERCENT},
    {"by chance", "probe_label.chance", SHOW_PERCENT},
    {0}};
static const show_column usage[] = {{"class", "/class_names[#]"},
                                    {"expert (per cent of the class)", ".", SHOW_PERCENT},
                                    {0}};
static const show_column pca[] = {{"", "pca[1]"}, {0}};
static const show_column tsne[] = {{"", "tsne[1]"}, {0}};

static const show_block blocks[] = {
    {SHOW_CARDS, .where = SHOW_TERMINAL, .columns = summary},
    {SHOW_CARDS, .where = SHOW_PAGE, .columns = cards},
    {SHOW_PICTURES, .title = "What each expert reconstructs",
     .note = "The first images of the validation set that go to the expert, and below each "
             "what it makes of its latent's mean. Classes by their share of the expert's "
             "images.",
     .path = "specialists[]", .columns = experts, .picture = "picture", .wide = 672},
    {SHOW_PICTURES, .title = "The same image by every expert", .note = "{rows}",
     .path = "every", .columns = nothing, .picture = ".", .wide = 672},
    {SHOW_TABLE, .where = SHOW_PAGE, .title = "Classes and experts",
     .note = "Images of class y with expert e. MI: mutual information in nats; NMI: MI / "
             "sqrt(H(y) H(e)); purity: share of images in their expert's commonest class; "
             "by chance: mean of 20 shuffles of the labels.",
     .path = "classes_by_experts", .also = "by_chance", .columns = tables},
    {SHOW_TABLE, .where = SHOW_PAGE,
     .note = "Probes: multinomial logistic regression (L2 0.001) on the latents' means, "
             "tested on {probe_label.images:n} of {samples:n} images; by chance: always "
             "the commonest answer.",
     .path = ".", .columns = probes},
    {SHOW_HEAT, .path = "table[]", .columns = usage, .style = SHOW_ROW_SHARE},
    {SHOW_TEXTS, .where = SHOW_PAGE, .title = "The latents in the plane",
     .note = "Means of {embedding.points:n} images. PCA: two axes with "
             "{embedding.pca_share:%1} of the variance; t-SNE of {embedding.tsne_points:n} "
             "(perplexity 30, divergence {embedding.tsne_divergence:.3}) keeps neighbours, "
             "not distances.",
     .path = "embedding"},
    {SHOW_DOTS, .path = "embedding.images[]", .columns = pca, .x = "pca[0]", .by = "expert",
     .caption = "PCA, by expert"},
    {SHOW_DOTS, .path = "embedding.images[]", .columns = pca, .x = "pca[0]", .by = "label",
     .names = "/class_names[]", .beside = true, .caption = "PCA, by class"},
    {SHOW_DOTS, .path = "embedding.images[]", .columns = tsne, .x = "tsne[0]",
     .by = "expert", .caption = "t-SNE, by expert"},
    {SHOW_DOTS, .path = "embedding.images[]", .columns = tsne, .x = "tsne[0]",
     .by = "label", .names = "/class_names[]", .beside = true,
     .caption = "t-SNE, by class"},
    {0}};

const show_view app_vae_view = {
    .title = "vmoe vae",
    .lead = "{experts} decoders of one encoder, in use: {choice}, on {val}. After SMoE-VAE "
            "(arXiv 2509.10025), of which summaries were read: sizes, losses' weights and "
            "measures are ours.",
    .blocks = blocks};
