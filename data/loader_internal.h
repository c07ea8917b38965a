/* loader_internal.h - between loader.c (slots, threads, what the caller sees) and
 * loader_fill.c (what goes into a place of a batch, and what is said about it). */
#ifndef DATA_LOADER_INTERNAL_H
#define DATA_LOADER_INTERNAL_H

#include <pthread.h>

#include "data/data_internal.h"
#include "data/shape_internal.h"

enum { LOADER_REASON_BYTES = 200 };

/* How the sample of a position fared. */
typedef struct loader_event {
    data_health health;
    uint32_t
        sample; /* that belongs there by the order; a replacement is in slot->samples */
    char reason[LOADER_REASON_BYTES];
} loader_event;

/* One batch in the making. Between claim and ready its places belong to the workers that
 * claimed them. */
typedef struct loader_slot {
    uint64_t batch; /* own ones, counted from the first of epoch 0; UINT64_MAX: none yet */
    uint64_t epoch, step;
    size_t first;        /* position of place 0 in the epoch */
    size_t global_count; /* images of all ranks */
    size_t count, done;  /* places, and those filled: guarded by the lock */
    size_t failed; /* the lowest place without any usable sample, SIZE_MAX: none; guarded */
    bool ready;    /* guarded */
    float *images;
    unsigned char *bytes;
    int32_t *labels, *labels_b;
    float *weight_a;
    uint32_t *samples;
    bool *bad;
    loader_event *event;
} loader_slot;

/* What one thread needs to fill places. */
typedef struct loader_worker {
    data_loader *loader;
    pthread_t thread;
    data_decoder *decoder;
    data_scratch scratch;
    data_image decoded, shaped;
    unsigned char *buffer;
    size_t buffer_bytes;
} loader_worker;

struct data_loader {
    const data_source *source;
    data_loader_config config;
    data_order order;
    size_t batch;        /* places of a batch: this rank's */
    size_t repeats;      /* at least 1 */
    size_t positions;    /* of an epoch: samples times repeats */
    size_t own, end;     /* evaluation: this rank's positions */
    size_t steps;        /* batches of an epoch, of all who take them */
    size_t bad_most;     /* bad samples that training bears */
    size_t sample_bytes; /* size * size * channels */
    size_t grain;        /* places claimed at once */
    shape_rule rule;
    data_normaliser normaliser;

    loader_slot *slots;
    size_t slot_count;
    loader_worker *workers;
    size_t worker_count, threads; /* threads started */

    pthread_mutex_t lock;
    pthread_cond_t opened, ready, idle;
    /* Guarded by the lock. */
    uint64_t claim_batch, released; /* own: next to be claimed; next to be delivered */
    size_t claim_at, busy;          /* next place of claim_batch; workers that fill */
    bool quit, paused;

    /* The consumer's own. */
    bool borrowed; /* the batch before released is in the caller's hands */
    uint64_t eval_epoch;
    base_error failure; /* BASE_OK: none; else every next says it again */
    data_counts counts;
    unsigned char *named; /* a bit a sample: something was said about it */
    size_t bad_distinct, odd_lines, damaged_lines, bad_lines;
};

/* Fills place p of the slot. False: no usable sample (training), see its event. */
bool data_loader_fill(loader_worker *worker, loader_slot *slot, size_t p);
/* The whole batch stands: mixes it. */
void data_loader_complete(data_loader *loader, loader_slot *slot);
/* Counts and names what went wrong in a finished batch, from the consumer's thread, in the
 * order of places, so that lines and errors are the same for any number of threads. */
base_status data_loader_report(data_loader *loader, const loader_slot *slot,
                               base_error *err);

#endif
