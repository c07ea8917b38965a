/* kind.c - what the corruptions, groups and presets are called, and AlexNet's errors on
 * them. Free to change: the summaries. Relied on elsewhere: the names, which are folders
 * and JSON keys. */
#include "corrupt/corrupt_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const group_names[] = {"noise", "blur", "weather", "digital", "extra"};
static const char *const preset_names[CORRUPT_PRESET_COUNT] = {"224", "299", "64", "32"};

static const corrupt_entry *entry_of(corrupt_kind kind)
{
    assert((unsigned)kind < CORRUPT_KIND_COUNT);
    return corrupt_table[kind];
}

const char *corrupt_kind_name(corrupt_kind kind)
{
    return entry_of(kind)->name;
}

const char *corrupt_kind_summary(corrupt_kind kind)
{
    return entry_of(kind)->summary;
}

corrupt_group corrupt_kind_group(corrupt_kind kind)
{
    return entry_of(kind)->group;
}

const char *corrupt_group_name(corrupt_group group)
{
    return group_names[group];
}

bool corrupt_kind_is_random(corrupt_kind kind)
{
    return entry_of(kind)->random;
}

bool corrupt_kind_find(corrupt_kind *out, const char *name)
{
    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        if (strcmp(name, corrupt_table[kind]->name) == 0) {
            *out = (corrupt_kind)kind;
            return true;
        }
    }
    return false;
}

double corrupt_alexnet_error(corrupt_kind kind, int severity)
{
    assert(severity >= 1 && severity <= CORRUPT_SEVERITY_MAX);
    return (int)kind < CORRUPT_BENCH_COUNT ? entry_of(kind)->alexnet[severity - 1]
                                           : (double)NAN;
}

const char *corrupt_preset_name(corrupt_preset preset)
{
    return preset_names[preset];
}

static const size_t sides[CORRUPT_PRESET_COUNT] = {[CORRUPT_PRESET_224] = 224,
                                                   [CORRUPT_PRESET_299] = 299,
                                                   [CORRUPT_PRESET_64] = 64,
                                                   [CORRUPT_PRESET_32] = 32};

size_t corrupt_preset_side(corrupt_preset preset)
{
    return sides[preset];
}

corrupt_preset corrupt_preset_of_size(size_t height, size_t width)
{
    const double side = sqrt((double)height * (double)width);
    size_t nearest = 0;

    for (size_t p = 1; p < CORRUPT_PRESET_COUNT; p++)
        if (fabs(side - (double)sides[p]) < fabs(side - (double)sides[nearest]))
            nearest = p;
    return (corrupt_preset)nearest;
}
