/* state.c - a run in a file, so that a stopped search goes on where it was.
 *     "VMOEATK2", u64 fingerprint, u64 setup, u64 bytes of the file, u64 entries, u64 the entry at work,
 *     each entry's spec, each sample, each entry, the trials, the examples,
 *     u64 FNV-1a of all bytes before.
 * Numbers as this machine has them: the file is for going on, not for sharing. Relied on
 * elsewhere: a file is known to be whole, and to be of this run, before the run is touched.
 * Free to change: everything, with the number in the magic. */
#include "attacks/attacks_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = {'V', 'M', 'O', 'E', 'A', 'T', 'K', '2'};
static const uint64_t FNV_BASIS = UINT64_C(0xcbf29ce484222325);
static const uint64_t FNV_PRIME = UINT64_C(0x100000001b3);

static uint64_t fnv(uint64_t hash, const void *at, size_t bytes)
{
    const unsigned char *b = at;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ b[i]) * FNV_PRIME;
    return hash;
}

/* The same over words of 8 bytes: images are many. */
static uint64_t fnv_words(uint64_t hash, const void *at, size_t bytes)
{
    const unsigned char *b = at;
    uint64_t word;

    for (; bytes >= sizeof word; bytes -= sizeof word, b += sizeof word) {
        memcpy(&word, b, sizeof word);
        hash = (hash ^ word) * FNV_PRIME;
        hash ^= hash >> 32;
    }
    return fnv(hash, b, bytes);
}

/* What must agree for a state to mean anything: threat model, images, labels, keys. */
static uint64_t setup_hash(const attack_run *run)
{
    const attack_config *config = &run->config;
    uint64_t eps, hash;

    memcpy(&eps, &config->eps, sizeof eps);
    const uint64_t words[] = {(uint64_t)config->norm,
                              eps,
                              config->seed,
                              (uint64_t)config->mode,
                              config->early_stop,
                              config->fixed_batch,
                              config->fixed_batch ? run->target.batch : 0,
                              config->fixed_routing,
                              run->n,
                              run->target.classes,
                              run->target.channels,
                              run->target.height,
                              run->target.width,
                              ATTACK_CURVE_MAX};
    hash = base_key(words, sizeof words / sizeof *words);
    hash = fnv_words(hash, run->images, run->n * run->count * sizeof *run->images);
    hash = fnv_words(hash, run->labels, run->n * sizeof *run->labels);
    if (config->samples)
        hash = fnv_words(hash, config->samples, run->n * sizeof *config->samples);
    return hash;
}

/* ---- one walk for both ways ---------------------------------------------------------- */

/* Values go to a file, come from one, or are only measured (file NULL). */
typedef struct stream {
    FILE *file;
    bool reading, good;
    uint64_t hash, bytes;
} stream;

static void pass(stream *s, void *at, size_t bytes)
{
    s->bytes += bytes;
    if (!s->file || !s->good)
        return;
    if (s->reading) {
        s->good = fread(at, 1, bytes, s->file) == bytes;
    } else {
        s->hash = fnv(s->hash, at, bytes);
        s->good = fwrite(at, 1, bytes, s->file) == bytes;
    }
}

static void pass_sample(stream *s, attack_sample *sample)
{
    pass(s, &sample->label, sizeof sample->label);
    pass(s, &sample->clean_prediction, sizeof sample->clean_prediction);
    pass(s, &sample->prediction, sizeof sample->prediction);
    pass(s, &sample->right, sizeof sample->right);
    pass(s, &sample->broken, sizeof sample->broken);
    pass(s, &sample->broken_u8, sizeof sample->broken_u8);
    pass(s, &sample->invalid, sizeof sample->invalid);
    pass(s, &sample->attack, sizeof sample->attack);
    pass(s, &sample->restart, sizeof sample->restart);
    pass(s, &sample->step, sizeof sample->step);
    pass(s, &sample->clean_margin, sizeof sample->clean_margin);
    pass(s, &sample->margin, sizeof sample->margin);
    pass(s, &sample->norm, sizeof sample->norm);
}

/* name, loss, note and the axis of the curve follow from the spec. */
static void pass_result(stream *s, attack_result *result)
{
    pass(s, &result->complete, sizeof result->complete);
    pass(s, &result->evaluated, sizeof result->evaluated);
    pass(s, &result->broken, sizeof result->broken);
    pass(s, &result->robust, sizeof result->robust);
    pass(s, &result->robust_after, sizeof result->robust_after);
    pass(s, &result->robust_after_u8, sizeof result->robust_after_u8);
    pass(s, &result->robust_u8, sizeof result->robust_u8);
    pass(s, &result->invalid, sizeof result->invalid);
    pass(s, &result->zero_grad, sizeof result->zero_grad);
    pass(s, &result->unconfirmed, sizeof result->unconfirmed);
    pass(s, &result->targeted, sizeof result->targeted);
    pass(s, &result->median_norm, sizeof result->median_norm);
    pass(s, &result->max_norm, sizeof result->max_norm);
    pass(s, &result->minimal_count, sizeof result->minimal_count);
    pass(s, &result->minimal_norm, sizeof result->minimal_norm);
    pass(s, &result->grad_evals, sizeof result->grad_evals);
    pass(s, &result->forward_evals, sizeof result->forward_evals);
    pass(s, &result->queries_median, sizeof result->queries_median);
    pass(s, &result->draw_accuracy, sizeof result->draw_accuracy);
    pass(s, &result->seconds, sizeof result->seconds);
    pass(s, &result->late_rise, sizeof result->late_rise);
    pass(s, result->curve, sizeof result->curve);
    pass(s, result->by_restart, sizeof result->by_restart);
}

static void pass_trial(stream *s, attack_trial *trial)
{
    pass(s, &trial->broken, sizeof trial->broken);
    pass(s, &trial->broken_u8, sizeof trial->broken_u8);
    pass(s, &trial->invalid, sizeof trial->invalid);
    pass(s, &trial->zero_grad, sizeof trial->zero_grad);
    pass(s, &trial->unconfirmed, sizeof trial->unconfirmed);
    pass(s, &trial->targeted, sizeof trial->targeted);
    pass(s, &trial->seen, sizeof trial->seen);
    pass(s, &trial->rounds, sizeof trial->rounds);
    pass(s, &trial->broken_round, sizeof trial->broken_round);
    pass(s, &trial->norm, sizeof trial->norm);
    pass(s, &trial->minimal_norm, sizeof trial->minimal_norm);
    pass(s, &trial->queries, sizeof trial->queries);
    pass(s, &trial->grad_evals, sizeof trial->grad_evals);
    pass(s, &trial->draws, sizeof trial->draws);
    pass(s, &trial->draws_right, sizeof trial->draws_right);
}

/* Everything behind the specs, for the first `entries` of the run's attacks; then the
 * examples, whose number is only known when `tried` has been read. */
static void pass_body(stream *s, attack_run *run, size_t entries)
{
    pass(s, &run->clean_done, sizeof run->clean_done);
    pass(s, run->clean_logits, run->n * run->target.classes * sizeof(float));
    for (size_t i = 0; i < run->n; i++)
        pass_sample(s, &run->samples[i]);
    for (size_t e = 0; e < entries; e++) {
        attack_entry *entry = &run->entries[e];
        pass_result(s, &entry->result);
        pass(s, entry->curve_sum, sizeof entry->curve_sum);
        pass(s, &entry->curve_samples, sizeof entry->curve_samples);
        pass(s, entry->broke, run->n);
    }
    for (size_t i = 0; i < run->n; i++)
        pass_trial(s, &run->trials[i]);
    pass(s, run->tried, run->n);
    for (size_t i = 0; i < run->n; i++)
        if (run->tried[i])
            pass(s, run->adversarial + i * run->count, run->count * sizeof(float));
}

typedef struct head {
    char magic[sizeof MAGIC];
    uint64_t fingerprint, setup, bytes, entries, at_work;
} head;

static void pass_head(stream *s, head *h)
{
    pass(s, h->magic, sizeof h->magic);
    pass(s, &h->fingerprint, sizeof h->fingerprint);
    pass(s, &h->setup, sizeof h->setup);
    pass(s, &h->bytes, sizeof h->bytes);
    pass(s, &h->entries, sizeof h->entries);
    pass(s, &h->at_work, sizeof h->at_work);
}

/* ---- save ---------------------------------------------------------------------------- */

base_status attack_run_save(const attack_run *run, const char *path, uint64_t fingerprint,
                            base_error *err)
{
    attack_run view = *run; /* written, never changed */
    head h = {.fingerprint = fingerprint,
              .setup = setup_hash(run),
              .entries = run->entry_count,
              .at_work = run->trials_of};
    stream s = {.good = true, .hash = FNV_BASIS};
    base_writer out;

    memcpy(h.magic, MAGIC, sizeof MAGIC);
    for (int turn = 0; turn < 2; turn++) { /* measure, write */
        if (turn == 1) {
            const base_status status = base_writer_open(&out, path, err);
            if (status != BASE_OK)
                return status;
            h.bytes = s.bytes + sizeof s.hash;
            s.file = out.file;
        }
        pass_head(&s, &h);
        for (size_t e = 0; e < run->entry_count; e++)
            pass(&s, view.entries[e].spec.text, sizeof view.entries[e].spec.text);
        pass_body(&s, &view, run->entry_count);
    }
    uint64_t hash = s.hash;
    pass(&s, &hash, sizeof hash);
    return base_writer_commit(&out, err); /* a failed write is found there */
}

/* ---- load ---------------------------------------------------------------------------- */

/* The hash of all bytes but the last eight is in those. */
static bool is_whole(FILE *file, uint64_t bytes)
{
    unsigned char block[1 << 14];
    uint64_t hash = FNV_BASIS, stored;

    if (bytes < sizeof stored || fseeko(file, 0, SEEK_SET) != 0)
        return false;
    for (uint64_t left = bytes - sizeof stored; left > 0;) {
        const size_t part = left < sizeof block ? (size_t)left : sizeof block;
        if (fread(block, 1, part, file) != part)
            return false;
        hash = fnv(hash, block, part);
        left -= part;
    }
    return fread(&stored, 1, sizeof stored, file) == sizeof stored && stored == hash &&
           fgetc(file) == EOF;
}

static base_status check_head(const attack_run *run, const head *h, uint64_t fingerprint,
                              const char *path, base_error *err)
{
    if (h->fingerprint != fingerprint)
        return base_fail(err, BASE_MISMATCH, "'%s' is of another model or other data",
                         path);
    if (h->setup != setup_hash(run))
        return base_fail(err, BASE_MISMATCH,
                         "'%s' is of other images, another budget, seed or mode", path);
    if (h->entries > run->entry_count)
        return base_fail(err, BASE_MISMATCH, "'%s' has %llu attacks, this run has %zu",
                         path, (unsigned long long)h->entries, run->entry_count);
    return BASE_OK;
}

static base_status check_specs(const attack_run *run, stream *s, size_t entries,
                               const char *path, base_error *err)
{
    char text[sizeof run->entries->spec.text];

    for (size_t e = 0; e < entries; e++) {
        pass(s, text, sizeof text);
        text[sizeof text - 1] = 0;
        if (s->good && strcmp(text, run->entries[e].spec.text) != 0)
            return base_fail(err, BASE_MISMATCH,
                             "'%s' has the attack '%s' where this run has '%s'", path, text,
                             run->entries[e].spec.text);
    }
    return BASE_OK;
}

base_status attack_run_load(attack_run *run, const char *path, uint64_t fingerprint,
                            base_error *err)
{
    head h = {.bytes = 0};
    FILE *file = NULL;
    base_status status = base_stream_open(&file, path, err);

    if (status != BASE_OK)
        return status;
    stream s = {.file = file, .reading = true, .good = true};
    pass_head(&s, &h);
    if (!s.good || memcmp(h.magic, MAGIC, sizeof MAGIC) != 0 || !is_whole(file, h.bytes)) {
        status =
            base_fail(err, BASE_FORMAT, "'%s' is not the whole state of an attack", path);
        goto done;
    }
    status = check_head(run, &h, fingerprint, path, err);
    if (status != BASE_OK)
        goto done;
    rewind(file);
    pass_head(&s, &h);
    status = check_specs(run, &s, (size_t)h.entries, path, err);
    if (status != BASE_OK)
        goto done;
    /* Nothing but a broken disk can fail from here: bytes, hash and shape are right. */
    pass_body(&s, run, (size_t)h.entries);
    run->trials_of = (size_t)h.at_work;
    for (size_t i = 0; i < run->n; i++)
        if (!run->tried[i])
            memcpy(run->adversarial + i * run->count, run->images + i * run->count,
                   run->count * sizeof(float));
    if (!s.good)
        status = base_fail(err, BASE_IO, "cannot read '%s'", path);
done:
    fclose(file);
    return status;
}
