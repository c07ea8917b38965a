/* loader_fill.c - one place of a batch: read, decode, transform, normalise; and the
 * policy for samples that cannot be used (data.md 10). A bad sample in training is replaced
 * by the next good one of the epoch's permutation, a rule without state: any thread, any
 * resume finds the same one. Free to change: nothing that draws. Relied on elsewhere: the
 * lines that name samples. */
#include "data/loader_internal.h"

#include <string.h>

enum { BAD_LINES = 20, OTHER_LINES = 5, LINE_BYTES = 2048 };

/* The picture of a sample in its final shape. */
static base_status shape_sample(loader_worker *worker, data_image *out, uint32_t sample,
                                base_rng *rng, data_health *health, char *note,
                                base_error *err)
{
    const data_loader *l = worker->loader;
    const data_loader_config *config = &l->config;
    base_status status;
    size_t size = 0;

    if (l->source->width > 0) { /* a layout of raw pixels */
        status = data_source_image_within(
            l->source, sample, &worker->decoded, health, worker->decoder, &worker->buffer,
            &worker->buffer_bytes, config->limits.max_file_bytes, note, LOADER_REASON_BYTES,
            err);
        if (status == BASE_OK)
            status = data_image_convert(&worker->decoded, config->channels, err);
        if (status == BASE_OK)
            status = data_shape_image(out, &worker->decoded, &l->rule, rng,
                                      &worker->scratch, err);
        return status;
    }
    note[0] = 0;
    status =
        data_source_read_within(l->source, sample, &worker->buffer, &worker->buffer_bytes,
                                &size, config->limits.max_file_bytes, err);
    if (status != BASE_OK)
        return status;
    return data_shape_file(out, health, worker->decoder, worker->buffer, size, &l->rule,
                           rng, &worker->scratch, note, LOADER_REASON_BYTES, err);
}

/* Sample into place p: bytes straight, floats by way of a picture that fits the cache. copy
 * counts the repeats of a sample, twice, plus 1 for a replacement. */
static base_status fill_with(loader_worker *worker, loader_slot *slot, size_t p,
                             uint32_t sample, uint64_t copy, data_health *health,
                             char *note, base_error *err)
{
    const data_loader *l = worker->loader;
    const data_loader_config *config = &l->config;
    data_image *out = &worker->shaped;
    base_rng rng =
        base_rng_make(config->seed, BASE_PURPOSE_AUGMENT, slot->epoch, sample, copy);
    data_image place = {0};

    if (config->bytes) {
        place.pixels = slot->bytes + p * l->sample_bytes;
        place.capacity_bytes = l->sample_bytes;
        out = &place;
    }
    base_status status = shape_sample(worker, out, sample, &rng, health, note, err);
    if (status == BASE_OK && config->training)
        status = data_policy(out, &config->augment, &rng, &worker->scratch, err);
    if (status == BASE_OK && config->training && config->alter)
        status = config->alter(config->alter_user, (size_t)(worker - l->workers), out,
                               slot->epoch, sample, copy, err);
    if (status != BASE_OK || config->bytes)
        return status;
    float *planes = slot->images + p * l->sample_bytes;
    data_normaliser_run(planes, out, &l->normaliser);
    if (config->training)
        data_erase(planes, config->channels, config->size, &config->augment, &rng);
    return BASE_OK;
}

/* An image of zeros, as if it were not there. */
static void blank_place(const data_loader *l, loader_slot *slot, size_t p)
{
    if (l->config.bytes)
        memset(slot->bytes + p * l->sample_bytes, 0, l->sample_bytes);
    else
        memset(slot->images + p * l->sample_bytes, 0, l->sample_bytes * sizeof(float));
}

bool data_loader_fill(loader_worker *worker, loader_slot *slot, size_t p)
{
    const data_loader *l = worker->loader;
    const size_t count = l->order.count;
    const size_t position = (slot->first + p) / l->repeats;
    const uint64_t copy = 2 * ((slot->first + p) % l->repeats);
    loader_event *event = &slot->event[p];
    char note[LOADER_REASON_BYTES];
    data_health health;
    base_error err;

    *event = (loader_event){.sample = data_order_sample(&l->order, slot->epoch, position)};
    for (size_t t = 0; t < count && t <= l->bad_most; t++) {
        const uint32_t sample =
            data_order_sample(&l->order, slot->epoch, (position + t) % count);
        const base_status status =
            fill_with(worker, slot, p, sample, copy + (t > 0), &health, note, &err);
        if (t == 0) {
            event->health = status == BASE_OK ? health : DATA_HEALTH_BAD;
            snprintf(event->reason, sizeof event->reason, "%.*s", LOADER_REASON_BYTES - 1,
                     status == BASE_OK ? note : err.text);
        }
        if (status == BASE_OK) {
            slot->samples[p] = sample;
            slot->labels[p] = slot->labels_b[p] = data_source_label(l->source, sample);
            slot->weight_a[p] = 1;
            slot->bad[p] = false;
            return true;
        }
        if (!l->config.training || l->config.strict)
            break;
    }
    blank_place(l, slot, p);
    slot->samples[p] = event->sample;
    slot->labels[p] = slot->labels_b[p] = -1;
    slot->weight_a[p] = 1;
    slot->bad[p] = true;
    return !l->config.training;
}

void data_loader_complete(data_loader *loader, loader_slot *slot)
{
    const data_loader_config *config = &loader->config;

    if (!config->training || config->bytes || slot->failed != SIZE_MAX)
        return;
    base_rng rng =
        base_rng_make(config->seed, BASE_PURPOSE_MIX, slot->epoch, slot->step, 0);
    data_mix_batch(slot->images, slot->labels_b, slot->weight_a, slot->labels, slot->count,
                   config->channels, config->size, &config->augment, &rng);
}

/* "bad sample: PATH!MEMBER: REASON (sample 12, class x, 463 bytes at offset 512)" */
static void describe(char *out, size_t out_bytes, const data_loader *l,
                     const loader_event *event)
{
    static const char *const kinds[] = {"good", "odd", "damaged", "bad"};
    const data_source *source = l->source;
    const data_record *r = data_source_record(source, event->sample);
    char name[1024], reason[4 * LOADER_REASON_BYTES], class[160] = "none";
    size_t used;

    if (r->label >= 0)
        base_quote(class, sizeof class, data_source_class_name(source, (size_t)r->label));
    used = (size_t)snprintf(
        out, out_bytes, "%s sample: %s: %s (sample %u, class %s", kinds[event->health],
        data_source_name(source, event->sample, name, sizeof name),
        base_quote(reason, sizeof reason, event->reason), (unsigned)event->sample, class);
    if (used < out_bytes && data_record_readable(r))
        used +=
            (size_t)snprintf(out + used, out_bytes - used, ", %u bytes", (unsigned)r->size);
    if (used < out_bytes && data_record_readable(r) && source->file_bytes > 0)
        used += (size_t)snprintf(out + used, out_bytes - used, " at offset %ju",
                                 (uintmax_t)r->offset);
    if (used < out_bytes)
        snprintf(out + used, out_bytes - used, ")");
}

static void say(const data_loader *l, const char *line)
{
    if (l->config.log)
        l->config.log(l->config.log_user, line);
}

/* True the first time that the sample is spoken of. */
static bool first_time(data_loader *l, uint32_t sample)
{
    const unsigned char bit = (unsigned char)(1u << sample % 8);

    if (l->named[sample / 8] & bit)
        return false;
    l->named[sample / 8] |= bit;
    return true;
}

/* The line of a sample, unless enough of its kind were shown: the rest is only counted. */
static void name_sample(data_loader *l, const loader_event *event, const char *line)
{
    const bool bad = event->health == DATA_HEALTH_BAD;
    const bool odd = event->health == DATA_HEALTH_ODD;
    size_t *lines = bad ? &l->bad_lines : odd ? &l->odd_lines : &l->damaged_lines;
    const size_t most = bad ? BAD_LINES : OTHER_LINES;
    char end[80];

    if (*lines < most) {
        say(l, line);
    } else if (*lines == most) {
        snprintf(end, sizeof end, "further %s samples are only counted",
                 bad   ? "bad"
                 : odd ? "odd"
                       : "damaged");
        say(l, end);
    }
    ++*lines;
}

/* Whether the run must stop at this event. */
static base_status judge(data_loader *l, const loader_slot *slot, size_t p,
                         const char *line, base_error *err)
{
    const loader_event *event = &slot->event[p];
    const bool bad = event->health == DATA_HEALTH_BAD;
    const bool damaged = event->health == DATA_HEALTH_DAMAGED;
    const data_loader_config *config = &l->config;

    if ((config->strict && (bad || damaged)) ||
        (bad && !config->training && !config->skip_bad))
        return base_fail(err, BASE_FORMAT, "%s", line);
    if (!bad || !config->training)
        return BASE_OK;
    if (l->bad_distinct > l->bad_most)
        return base_fail(err, BASE_FORMAT,
                         "too many bad samples: %zu of %zu, more than the %zu allowed; the "
                         "last is a %s",
                         l->bad_distinct, l->order.count, l->bad_most, line);
    if (slot->failed == p)
        return base_fail(
            err, BASE_FORMAT,
            "too many bad samples: no good one among %zu in a row; the first is "
            "a %s",
            l->bad_most + 1 < l->order.count ? l->bad_most + 1 : l->order.count, line);
    return BASE_OK;
}

base_status data_loader_report(data_loader *loader, const loader_slot *slot,
                               base_error *err)
{
    uint64_t *const count[] = {&loader->counts.ok, &loader->counts.odd,
                               &loader->counts.damaged, &loader->counts.bad};
    char line[LINE_BYTES];

    for (size_t p = 0; p < slot->count; p++) {
        const loader_event *event = &slot->event[p];
        ++*count[event->health];
        if (event->health == DATA_HEALTH_OK)
            continue;
        const bool first = first_time(loader, event->sample);
        if (first && event->health == DATA_HEALTH_BAD)
            loader->bad_distinct++;
        if (first && loader->config.named)
            loader->config.named(loader->config.named_user, event->sample, event->health,
                                 event->reason);
        describe(line, sizeof line, loader, event);
        const base_status status = judge(loader, slot, p, line, err);
        if (status != BASE_OK)
            return status;
        if (first)
            name_sample(loader, event, line);
    }
    return BASE_OK;
}
