/* view.c - vmoe predict as a page; its lines on the terminal come as images go by (sink.c).
 * Free to change: all that a reader sees. */
#include "apps/predict/internal.h"

static const show_column cards[] = {{"images", "samples", SHOW_COUNT},
                                    {"top-1", "top1", SHOW_PERCENT,
                                     .low_high = "top1_interval",
                                     .note = "{right:n} of {labelled:n} as labelled"},
                                    {"unusable", "bad", SHOW_COUNT},
                                    {0}};
static const show_column about[] = {{"data", "data"},
                                    {"network", "network.note"},
                                    {"notice", "notice"},
                                    {"left out", "left_out"},
                                    {0}};
static const show_column pictures[] = {
    {"", "top[0].title", .verdict = "right"}, {"label", "label_title"}, {"", "name"}, {0}};

static const show_block blocks[] = {
    {SHOW_CARDS, SHOW_PAGE, .columns = cards},
    {SHOW_CARDS, SHOW_PAGE, .columns = about, .style = SHOW_PLAIN},
    {SHOW_PICTURES, .title = "Predictions",
     .note = "Green: as labelled. Red: not; the green bar is the label.",
     .path = "predictions[]", .columns = pictures, .picture = "picture", .bars = "top[]",
     .most = 4000},
    {0}};

const show_view app_predict_view = {
    .title = "vmoe predict",
    .lead = "{model} ({network.name}), {preprocessing.size} pixels a side",
    .blocks = blocks};
