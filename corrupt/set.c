/* set.c - the set that all threads share, the worker of one thread with its scratch memory,
 * and the one call that corrupts an image. Free to change: how scratch is had. Relied on
 * elsewhere: the key of every random stream, (seed, kind, severity, image). */
#include "corrupt/corrupt_internal.h"

#include <string.h>

enum { SCRATCH_BLOCKS = 48, ALIGNMENT = 64 };

typedef const corrupt_entry *const *corrupt_entries;

extern const corrupt_entry *const corrupt_table_base[CORRUPT_KIND_COUNT];
#ifdef CORRUPT_SETS_X86
extern const corrupt_entry *const corrupt_table_avx2[CORRUPT_KIND_COUNT];
extern const corrupt_entry *const corrupt_table_avx512[CORRUPT_KIND_COUNT];
#endif

struct corrupt_set {
    corrupt_config config;
    corrupt_entries table; /* of the chosen instruction set */
    const char *instructions;
    void *prepared[CORRUPT_KIND_COUNT][CORRUPT_SEVERITY_MAX];
    corrupt_textures *textures;
};

/* One block when warm; while a first image asks for more and more, several. Block i starts
 * at position `start` of the worker's scratch, counted over all blocks. */
typedef struct scratch_block {
    unsigned char *at;
    size_t start, bytes, used;
} scratch_block;

struct corrupt_worker {
    const corrupt_set *set;
    scratch_block blocks[SCRATCH_BLOCKS];
    size_t block_count, current;
    corrupt_codec *codec;
};

/* ---- the set ------------------------------------------------------------------------- */

/* The fastest build that this processor runs, or the one of that name; NULL when it has no
 * such. */
static corrupt_entries find_table(const char **instructions, const char *name)
{
    struct {
        const char *name;
        corrupt_entries table;
        base_isa needs;
    } const builds[] = {
#ifdef CORRUPT_SETS_X86
        {"avx512", corrupt_table_avx512, BASE_ISA_AVX512},
        {"avx2", corrupt_table_avx2, BASE_ISA_AVX2},
#endif
        {"base", corrupt_table_base, BASE_ISA_ANY},
    };
    const base_isa isa = base_isa_best();

    for (size_t i = 0; i < sizeof builds / sizeof *builds; i++) {
        if (builds[i].needs > isa || (name && strcmp(name, builds[i].name) != 0))
            continue;
        *instructions = builds[i].name;
        return builds[i].table;
    }
    return NULL;
}

static base_status config_check(const corrupt_config *config, base_error *err)
{
    size_t given = 0;

    if ((unsigned)config->preset >= CORRUPT_PRESET_COUNT)
        return base_fail(err, BASE_USAGE, "there is no corruption preset %d",
                         (int)config->preset);
    for (int i = 0; i < CORRUPT_FROST_COUNT; i++) {
        const corrupt_texture *frost = &config->frost[i];
        if (!frost->pixels)
            continue;
        given++;
        if (frost->height < 1 || frost->height > CORRUPT_SIDE_MAX || frost->width < 1 ||
            frost->width > CORRUPT_SIDE_MAX)
            return base_fail(
                err, BASE_UNSUPPORTED,
                "frost picture %d is %zu x %zu, expected 1 to %d pixels a side", i + 1,
                frost->width, frost->height, CORRUPT_SIDE_MAX);
    }
    if (given != 0 && given != CORRUPT_FROST_COUNT)
        return base_fail(err, BASE_USAGE, "%zu frost pictures were given, expected 0 or %d",
                         given, CORRUPT_FROST_COUNT);
    return BASE_OK;
}

static base_status set_prepare(corrupt_set *set, base_error *err)
{
    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        const corrupt_entry *entry = set->table[kind];
        if (!entry->prepare)
            continue;
        for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++) {
            const double *params = entry->params[set->config.preset][s].at;
            set->prepared[kind][s] = base_alloc(entry->prepare_bytes(params), 1);
            if (!set->prepared[kind][s])
                return base_fail(err, BASE_NO_MEMORY, "no memory for the tables of '%s'",
                                 entry->name);
            entry->prepare(set->prepared[kind][s], params);
        }
    }
    return BASE_OK;
}

corrupt_config corrupt_config_defaults(void)
{
    return (corrupt_config){.preset = CORRUPT_PRESET_224};
}

base_status corrupt_set_create(corrupt_set **out, const corrupt_config *config,
                               base_error *err)
{
    base_status status = config_check(config, err);
    if (status != BASE_OK)
        return status;
    corrupt_set *set = base_alloc(1, sizeof *set);
    if (!set)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the corruptions");
    set->config = *config;
    memset(set->config.frost, 0, sizeof set->config.frost); /* borrowed, not kept */
    set->table = find_table(&set->instructions, NULL);
    status = set_prepare(set, err);
    if (status == BASE_OK)
        status = corrupt_textures_create(&set->textures, config, err);
    if (status != BASE_OK) {
        corrupt_set_destroy(set);
        return status;
    }
    *out = set;
    return BASE_OK;
}

void corrupt_set_destroy(corrupt_set *set)
{
    if (!set)
        return;
    for (int kind = 0; kind < CORRUPT_KIND_COUNT; kind++) {
        for (int s = 0; s < CORRUPT_SEVERITY_MAX; s++)
            base_free(set->prepared[kind][s]);
    }
    corrupt_textures_destroy(set->textures);
    base_free(set);
}

corrupt_textures *corrupt_set_textures(const corrupt_set *set)
{
    return set->textures;
}

const char *corrupt_set_frost(const corrupt_set *set)
{
    return corrupt_textures_name(set->textures);
}

bool corrupt_set_instructions(corrupt_set *set, const char *name)
{
    const char *instructions;
    const corrupt_entries table = find_table(&instructions, name);

    if (!table)
        return false;
    set->table = table;
    set->instructions = instructions;
    return true;
}

const char *corrupt_set_instructions_name(const corrupt_set *set)
{
    return set->instructions;
}

/* ---- the worker and its scratch ------------------------------------------------------ */

base_status corrupt_worker_create(corrupt_worker **out, const corrupt_set *set,
                                  base_error *err)
{
    corrupt_worker *worker = base_alloc(1, sizeof *worker);
    if (!worker)
        return base_fail(err, BASE_NO_MEMORY, "no memory for a worker of the corruptions");
    const base_status status = corrupt_codec_create(&worker->codec, err);
    if (status != BASE_OK) {
        base_free(worker);
        return status;
    }
    worker->set = set;
    *out = worker;
    return BASE_OK;
}

static void blocks_free(corrupt_worker *worker)
{
    for (size_t i = 0; i < worker->block_count; i++)
        base_free(worker->blocks[i].at);
    worker->block_count = 0;
    worker->current = 0;
}

void corrupt_worker_destroy(corrupt_worker *worker)
{
    if (!worker)
        return;
    blocks_free(worker);
    corrupt_codec_destroy(worker->codec);
    base_free(worker);
}

corrupt_codec *corrupt_worker_codec(corrupt_worker *worker)
{
    return worker->codec;
}

/* A new last block of at least bytes; at least doubles what there is. */
static bool block_add(corrupt_worker *worker, size_t bytes)
{
    const scratch_block *last =
        worker->block_count ? &worker->blocks[worker->block_count - 1] : NULL;
    const size_t start = last ? last->start + last->bytes : 0;

    if (worker->block_count == SCRATCH_BLOCKS)
        return false;
    if (bytes < start)
        bytes = start;
    unsigned char *at = base_alloc(bytes, 1);
    if (!at)
        return false;
    worker->blocks[worker->block_count++] =
        (scratch_block){.at = at, .start = start, .bytes = bytes};
    return true;
}

void *corrupt_scratch(corrupt_job *job, size_t count, size_t bytes_each, base_error *err)
{
    corrupt_worker *worker = job->worker;
    size_t bytes;

    if (!base_mul_size(&bytes, count, bytes_each) ||
        !base_add_size(&bytes, bytes, ALIGNMENT - 1))
        goto full;
    bytes = bytes / ALIGNMENT * ALIGNMENT;
    for (; worker->current < worker->block_count; worker->current++) {
        scratch_block *block = &worker->blocks[worker->current];
        if (bytes <= block->bytes - block->used) {
            void *at = block->at + block->used;
            block->used += bytes;
            return at;
        }
        if (worker->current + 1 < worker->block_count)
            block[1].used = 0;
    }
    if (!block_add(worker, bytes)) {
        worker->current = worker->block_count ? worker->block_count - 1 : 0;
        goto full;
    }
    worker->blocks[worker->current].used = bytes;
    return worker->blocks[worker->current].at;
full:
    base_fail(err, BASE_NO_MEMORY, "no memory to corrupt an image of %zu x %zu", job->width,
              job->height);
    return NULL;
}

size_t corrupt_scratch_mark(const corrupt_job *job)
{
    const corrupt_worker *worker = job->worker;

    if (worker->block_count == 0)
        return 0;
    const scratch_block *block = &worker->blocks[worker->current];
    return block->start + block->used;
}

void corrupt_scratch_rewind(corrupt_job *job, size_t mark)
{
    corrupt_worker *worker = job->worker;

    if (worker->block_count == 0)
        return;
    while (worker->current > 0 && worker->blocks[worker->current].start >= mark)
        worker->current--;
    scratch_block *block = &worker->blocks[worker->current];
    const size_t used = mark - block->start;
    if (used < block->used)
        block->used = used;
}

/* After an image: all scratch is free again, and of several blocks one is made. */
static void scratch_settle(corrupt_worker *worker)
{
    if (worker->block_count > 1) {
        const scratch_block *last = &worker->blocks[worker->block_count - 1];
        const size_t all = last->start + last->bytes;
        blocks_free(worker);
        (void)block_add(worker, all); /* without memory the next image tries again */
    }
    worker->current = 0;
    if (worker->block_count)
        worker->blocks[0].used = 0;
}

const void *corrupt_prepared(const corrupt_job *job, corrupt_kind kind)
{
    return job->set->prepared[kind][job->severity - 1];
}

/* ---- an image ------------------------------------------------------------------------ */

uint64_t corrupt_name_key(const char *name)
{
    const size_t length = strlen(name);
    uint64_t key = base_key(&(uint64_t){length}, 1);

    for (size_t i = 0; i < length; i += 8) {
        uint64_t chunk =
            0; /* eight bytes, the first lowest, whatever the processor's order */
        for (size_t j = i; j < length && j < i + 8; j++)
            chunk |= (uint64_t)(unsigned char)name[j] << 8 * (j - i);
        key = base_key((const uint64_t[2]){key, chunk}, 2);
    }
    return key;
}

/* out is written through the job: NOLINTNEXTLINE(readability-non-const-parameter) */
base_status corrupt_apply(corrupt_worker *worker, unsigned char *out,
                          const unsigned char *in, size_t height, size_t width,
                          corrupt_kind kind, int severity, uint64_t image_key,
                          base_error *err)
{
    const corrupt_set *set = worker->set;

    if ((unsigned)kind >= CORRUPT_KIND_COUNT)
        return base_fail(err, BASE_USAGE, "there is no corruption %d", (int)kind);
    if (severity < 1 || severity > CORRUPT_SEVERITY_MAX)
        return base_fail(err, BASE_USAGE, "severity %d, expected 1 to %d", severity,
                         CORRUPT_SEVERITY_MAX);
    if (height < 1 || height > CORRUPT_SIDE_MAX || width < 1 || width > CORRUPT_SIDE_MAX)
        return base_fail(err, BASE_UNSUPPORTED,
                         "an image of %zu x %zu, expected 1 to %d pixels a side", width,
                         height, CORRUPT_SIDE_MAX);
    const corrupt_entry *entry = set->table[kind];
    const uint64_t what = (uint64_t)kind * 8 + (uint64_t)severity;
    corrupt_job job = {
        .worker = worker,
        .set = set,
        .out = out,
        .in = in,
        .height = height,
        .width = width,
        .preset = set->config.preset,
        .severity = severity,
        .params = entry->params[set->config.preset][severity - 1].at,
        .rng = base_rng_make(set->config.seed, BASE_PURPOSE_CORRUPT, what, image_key, 0),
    };
    const base_status status = entry->apply(&job, err);
    scratch_settle(worker);
    return status;
}
