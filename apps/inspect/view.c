/* view.c - vmoe inspect on a terminal. Free to change: all that a reader sees. */
#include "apps/inspect/internal.h"

static const show_column about[] = {
    {"file", "model", .note = "{bytes:n} bytes, {stored_as}, {format}"},
    {"network", "network.name"},
    {"input", "config", .fill = "{image} x {image} x {channels}",
     .note = "resize {config.resize}, crop {config.crop}, {config.interpolation}, "
             "mean {config.mean}, std {config.std}"},
    {"gelu", "config.gelu"},
    {"classes", "config.classes", SHOW_COUNT, .note = "{classes_note}"},
    {"parameters", "parameters", SHOW_COUNT,
     .note = "of which a token meets {active_parameters:n}"},
    {"cost", "flops", SHOW_AMOUNT,
     .note = "FLOP an image forward (a multiply and an add are two)"},
    {0}};

static const show_column layers[] = {{"layer", "name"},
                                     {"", "what"},
                                     {"parameters", "parameters", SHOW_COUNT},
                                     {"active", "active_parameters", SHOW_COUNT},
                                     {0}};

static const show_column router[] = {{"router", "name", .note = "{summary}"}, {0}};
static const show_column settings[] = {
    {"setting", "name"}, {"value", "value", .note = "{meaning}"}, {0}};

static const show_column tensors[] = {{"tensor", "name"}, {"shape", "shape"}, {0}};

static const show_block blocks[] = {
    {SHOW_CARDS, .columns = about},
    {SHOW_TABLE, .path = "layers[]", .columns = layers},
    {SHOW_CARDS, .path = "routing", .columns = router},
    {SHOW_TABLE, .path = "routing.settings[]", .columns = settings, .beside = true},
    {SHOW_TABLE, .path = "tensors[]", .columns = tensors},
    {0}};

const show_view app_inspect_view = {.title = "vmoe inspect", .blocks = blocks};
