/* view.c - vmoe corrupt on a terminal. Free to change: all that a reader sees. */
#include "apps/corrupt/internal.h"

static const show_column tree[] = {
    {"images", "samples", SHOW_COUNT, .of = "planned"},
    {"files", "written", SHOW_COUNT, .note = "written, {kept:n} kept"},
    {"bad", "bad", SHOW_COUNT, .note = "unusable, left out"},
    {"time", "seconds", SHOW_DURATION, .note = "{files_per_second:.1} files/s"},
    {0}};
static const show_column settings[] = {
    {"file", "picture", .fill = "{/out}"},
    {"sheet", "sheet"},
    {"frost", "frost_textures"},
    {"table", "preset", .note = "the nearest to {preset_nearest_to} pixels"},
    {0}};

static const show_block blocks[] = {
    {SHOW_CARDS, .columns = tree}, {SHOW_CARDS, .columns = settings, .beside = true}, {0}};

const show_view app_corrupt_view = {.title = "vmoe corrupt", .blocks = blocks};
