/* view.c - vmoe data as tables and figures. Free to change: all that a reader sees. */
#include "apps/data/internal.h"

#define HEALTH "{ok:n} ok, {odd:n} odd, {damaged:n} damaged, {bad:n} bad"

static const show_column about[] = {
    {"layout", "layout", .note = "{layout_from}: {layout_note}"},
    {"images", "samples", SHOW_COUNT, .note = "{bytes:b}"},
    {"classes", "data_classes", SHOW_COUNT, .note = "{classes_note}"},
    {"", "notice"},
    {"", "left_out"},
    {0}};

static const show_column cards[] = {
    {"images", "samples", SHOW_COUNT, .note = "{bytes:b}"},
    {"classes", "data_classes", SHOW_COUNT, .note = "{classes_note}"},
    {"bad", "health.bad", SHOW_COUNT, .note = "{scope}"},
    {"median size", "sizes", .fill = "{width.median} x {height.median}"},
    {0}};

static const show_column classes[] = {
    {"label", "#", SHOW_COUNT}, {"images", "images", SHOW_COUNT}, {"class", "told"}, {0}};
static const show_column class_bars[] = {
    {"class", "told"}, {"images", "images", SHOW_COUNT}, {0}};

static const show_column sizes[] = {
    {"looked at", "scope"},
    {"width", "sizes.width.median", SHOW_COUNT,
     .note = "median of {sizes.width.min:n} to {sizes.width.max:n}"},
    {"height", "sizes.height.median", SHOW_COUNT,
     .note = "median of {sizes.height.min:n} to {sizes.height.max:n}"},
    {"pixels", "sizes.pixels.median", SHOW_COUNT,
     .note = "median of {sizes.pixels.min:n} to {sizes.pixels.max:n}"},
    {"file", "sizes.file.median", SHOW_BYTES,
     .note = "median of {sizes.file.min:b} to {sizes.file.max:b}"},
    {0}};

static const show_column contents[] = {
    {"pictures", "count", SHOW_COUNT}, {"", "what"}, {"", "note"}, {0}};

static const show_column health[] = {
    {"health", "health", .fill = HEALTH, .note = "{health_note}"},
    {"time", "seconds", SHOW_DURATION, .where = SHOW_TERMINAL},
    {0}};

static const show_column flaws[] = {
    {"not quite right", "health", .note = "{name}"}, {"reason", "reason"}, {0}};
static const show_column page_flaws[] = {
    {"sample", "name"}, {"health", "health"}, {"reason", "reason"}, {0}};

static const show_column pictures[] = {
    {"", "title"}, {"", "told", .verdict = "readable"}, {"", "name"}, {0}};

/* ---- blocks -------------------------------------------------------------------------- */

static const show_block rest[] = {
    {SHOW_PICTURES, .title = "Pictures", .note = "Drawn by the seed.", .path = "pictures[]",
     .columns = pictures, .picture = "picture"},
    {SHOW_CARDS, .title = "Sizes", .columns = sizes, .style = SHOW_PLAIN},
    {SHOW_TABLE, .title = "Kinds", .path = "contents[]", .columns = contents},
    {SHOW_CARDS, .title = "Health", .columns = health, .style = SHOW_PLAIN},
    {SHOW_TABLE, SHOW_TERMINAL, .path = "flaws[]", .columns = flaws, .most = 20,
     .more = "--bad-list FILE names them all"},
    {SHOW_TABLE, SHOW_PAGE, .title = "Not quite right", .path = "flaws[]",
     .columns = page_flaws, .most = 200},
    {SHOW_BARS, .title = "Images of each class", .path = "classes[]",
     .columns = class_bars},
    {0}};

static const show_block head[] = {{SHOW_CARDS, SHOW_TERMINAL, .columns = about},
                                  {SHOW_CARDS, SHOW_PAGE, .columns = cards},
                                  {0}};
static const show_block first_classes[] = {{SHOW_GROUP, .path = ".", .inner = head},
                                           {SHOW_TABLE, SHOW_TERMINAL, .path = "classes[]",
                                            .columns = classes, .most = 24,
                                            .more = "--all-classes shows them"},
                                           {SHOW_GROUP, .path = ".", .inner = rest},
                                           {0}};
static const show_block all_classes[] = {
    {SHOW_GROUP, .path = ".", .inner = head},
    {SHOW_TABLE, SHOW_TERMINAL, .path = "classes[]", .columns = classes},
    {SHOW_GROUP, .path = ".", .inner = rest},
    {0}};

#define VIEW(of)                                                                           \
    {                                                                                      \
        .title = "{data}", .lead = "{layout}, {layout_from}: {layout_note}", .blocks = of  \
    }
const show_view app_data_views[2] = {VIEW(first_classes), VIEW(all_classes)};
