/* state.c - checkpoints of a run: model.safetensors and state.safetensors, written into
 * FOLDER/NAME.new and exchanged with FOLDER/NAME as a whole, so that a kill at any moment
 * leaves a pair that belongs together. Nothing here depends on the clock, or on how many
 * ranks there are: a resumed run ends with the same bytes. Rank 0 reads and writes, what
 * others have travels. Relied on elsewhere: the keys of the metadata, the names "sums" and
 * "load.I". */
#include <inttypes.h>
#include <string.h>

#include "train/train_internal.h"

enum { OPTIMIZER_TENSORS = 8, PAIR_COUNT = 24, VALUE_BYTES = 40 };

/* What is in a state and how; a higher number is refused. */
enum { STATE_LAYOUT = 2 };

/* vit_usage without `experts` and `seconds` (the clock): doubles in a row. */
enum {
    LOAD_BEGIN = offsetof(vit_usage, tokens),
    LOAD_DOUBLES =
        (offsetof(vit_usage, seconds) - offsetof(vit_usage, tokens)) / sizeof(double),
    SUM_DOUBLES = sizeof(train_sums) / sizeof(double)
};

/* ---- the position as text: names and places once, for writing and for reading -------- */

typedef struct position_field {
    const char *key;
    size_t at; /* in train_position */
    bool real; /* double, else uint64_t */
} position_field;

#define FIELD(member, real)                                                                \
    {                                                                                      \
#member, offsetof(train_position, member), real                                    \
    }
static const position_field position_fields[] = {
    FIELD(step, false),      FIELD(evaluated, false),        FIELD(skipped, false),
    FIELD(best_step, false), FIELD(skipped_in_a_row, false), FIELD(best_accuracy, true),
    FIELD(best_loss, true),  FIELD(last_accuracy, true),     FIELD(last_loss, true),
};
enum { FIELD_COUNT = sizeof position_fields / sizeof position_fields[0] };

/* And what follows from them or is the run's: the sum is over all of it. */
static const char *const other_keys[] = {"epoch", "step_in_epoch", "seed"};
enum { OTHER_COUNT = sizeof other_keys / sizeof other_keys[0] };

typedef struct pair_list {
    vit_pair pair[PAIR_COUNT];
    char value[PAIR_COUNT][VALUE_BYTES];
    size_t count;
} pair_list;

static void add_text(pair_list *list, const char *key, const char *value)
{
    list->pair[list->count++] = (vit_pair){key, value};
}

static void add_number(pair_list *list, const char *key, uint64_t number)
{
    char *value = list->value[list->count];

    snprintf(value, VALUE_BYTES, "%" PRIu64, number);
    add_text(list, key, value);
}

static void add_hash(pair_list *list, const char *key, const data_source *source)
{
    add_text(list, key,
             train_state_fingerprint(list->value[list->count], VALUE_BYTES, source));
}

/* The text of a key as it is written (list) or was (file); NULL: none. */
static const char *text_of(const pair_list *list, const vit_tensor_file *file,
                           const char *key)
{
    for (size_t i = 0; list && i < list->count; i++)
        if (strcmp(list->pair[i].key, key) == 0)
            return list->pair[i].value;
    return file ? vit_tensors_metadata(file, key) : NULL;
}

/* A sum over the position's texts: a number that was changed by hand is one that no run
 * stood at. */
static uint64_t position_sum(const pair_list *list, const vit_tensor_file *file)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < FIELD_COUNT + OTHER_COUNT; i++) {
        const char *key =
            i < FIELD_COUNT ? position_fields[i].key : other_keys[i - FIELD_COUNT];
        const char *text = text_of(list, file, key);

        for (; text && *text; text++)
            sum = base_key((uint64_t[]){sum, (unsigned char)*text}, 2);
        sum = base_key((uint64_t[]){sum, 256}, 2);
    }
    return sum;
}

/* A sum over the bits of the weights: which model a state belongs to. Four lanes, so that
 * it costs what reading them costs; no protection against anybody who wants to deceive. */
static uint64_t weights_hash(const vit_model *model)
{
    const float *w = vit_model_weights_const(model);
    const size_t count = vit_model_floats(model);
    uint64_t lane[4] = {1, 2, 3, 4};

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, sizeof bits);
        lane[i % 4] = (lane[i % 4] ^ bits) * 0x9e3779b97f4a7c15u;
        lane[i % 4] ^= lane[i % 4] >> 29;
    }
    return base_key(lane, 4);
}

static void describe(pair_list *list, const train_trainer *t, const vit_model *model,
                     const char *recipe)
{
    const uint64_t part = t->at.step * (uint64_t)t->recipe.train.accumulate;

    add_text(list, "format", "vmoe-state");
    add_text(list, "version", BASE_VERSION);
    add_number(list, "layout", STATE_LAYOUT);
    snprintf(list->value[list->count], VALUE_BYTES, "%016" PRIx64, weights_hash(model));
    add_text(list, "model_hash", list->value[list->count]);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const position_field *f = &position_fields[i];
        const char *place = (const char *)&t->at + f->at;
        if (f->real) {
            char *value = list->value[list->count];
            snprintf(value, VALUE_BYTES, "%.17g", *(const double *)(const void *)place);
            add_text(list, f->key, value);
        } else {
            add_number(list, f->key, *(const uint64_t *)(const void *)place);
        }
    }
    add_number(list, "epoch", part / t->parts_in_epoch);
    add_number(list, "step_in_epoch", part % t->parts_in_epoch);
    add_number(list, "seed", (uint64_t)t->recipe.train.seed);
    snprintf(list->value[list->count], VALUE_BYTES, "%016" PRIx64,
             position_sum(list, NULL));
    add_text(list, "position_sum", list->value[list->count]);
    add_number(list, "threads", (uint64_t)t->options.threads);
    add_hash(list, "train_fingerprint", t->train);
    add_hash(list, "val_fingerprint", t->val);
    add_text(list, "recipe", recipe);
}

/* ---- writing ------------------------------------------------------------------------- */

/* load [MoE layers]: of all ranks. */
static base_status write_state(const train_trainer *t, const vit_model *model,
                               const vit_usage *load, const char *path, base_error *err)
{
    base_status status = BASE_OK;
    const size_t most = OPTIMIZER_TENSORS + 1 + t->moe_count;
    vit_tensor *tensors = base_alloc(most, sizeof *tensors);
    char(*names)[32] = base_alloc(t->moe_count, sizeof *names);
    pair_list *list = base_alloc(1, sizeof *list);
    char *recipe = train_recipe_fixed_text(&t->recipe);
    size_t count = OPTIMIZER_TENSORS;

    if (!tensors || !names || !list || !recipe) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", path);
        goto done;
    }
    status = vit_optimizer_state(t->optimizer, tensors, &count, err);
    if (status != BASE_OK)
        goto done;
    tensors[count++] = (vit_tensor){.name = "sums",
                                    .type = "F64",
                                    .rank = 1,
                                    .shape = {SUM_DOUBLES},
                                    .data = &t->at.sums};
    for (size_t i = 0; i < t->moe_count; i++) {
        snprintf(names[i], sizeof names[i], "load.%zu", i);
        tensors[count++] = (vit_tensor){.name = names[i],
                                        .type = "F64",
                                        .rank = 1,
                                        .shape = {LOAD_DOUBLES},
                                        .data = (const char *)&load[i] + LOAD_BEGIN};
    }
    describe(list, t, model, recipe);
    status = vit_tensors_stream(path, tensors, count, list->pair, list->count,
                                vit_optimizer_fill, t->optimizer, err);
done:
    base_free(recipe);
    base_free(list);
    base_free(names);
    base_free(tensors);
    return status;
}

typedef struct save_user {
    const train_trainer *trainer;
    const vit_model *model;
    const vit_usage *load;
} save_user;

static base_status write_both(void *user, const char *model, const char *state,
                              base_error *err)
{
    const save_user *u = user;
    const base_status status = vit_model_save(u->model, model, VIT_PRECISION_FP32, err);

    return status == BASE_OK ? write_state(u->trainer, u->model, u->load, state, err)
                             : status;
}

base_status train_state_save(train_trainer *trainer, const char *name,
                             const vit_model *model, base_error *err)
{
    vit_usage *load = base_alloc(trainer->moe_count, sizeof *load);
    save_user user = {trainer, model, load};
    base_error late = {0};
    bool any = false;

    if (!load)
        return base_fail(err, BASE_NO_MEMORY, "no memory to write '%s'", name);
    base_status status = train_ranks_loads(load, trainer, trainer->load, err);
    if (status == BASE_OK && train_leads(trainer))
        status =
            train_checkpoint_save(trainer->options.folder, name, write_both, &user, err);
    base_free(load);
    /* also after a failure: others wait for their turn */
    const base_status others = vit_optimizer_follow(trainer->optimizer, &late);
    if (status != BASE_OK)
        return status;
    if (others != BASE_OK)
        return base_fail(err, others, "%s", late.text);
    return train_ranks_meet(trainer, &any, err);
}

/* ---- reading ------------------------------------------------------------------------- */

/* Every number in its range, and none that contradicts another; the text of what is wrong,
 * NULL: nothing. */
static const char *position_fault(const train_position *at)
{
    return at->evaluated > at->step        ? "an evaluation after the last step"
           : at->best_step > at->evaluated ? "a best step after the last evaluation"
           : at->skipped > at->step        ? "more skipped steps than steps"
           : at->skipped_in_a_row > at->skipped
               ? "more skipped steps in a row than skipped steps"
           : !(at->best_accuracy >= 0 && at->best_accuracy <= 1) ||
                   !(at->last_accuracy >= 0 && at->last_accuracy <= 1)
               ? "an accuracy outside 0 to 1"
           : at->best_loss < -1 || at->last_loss < -1 ? "a loss below 0"
                                                      : NULL;
}

static base_status read_position(train_position *out, const vit_tensor_file *file,
                                 const char *path, base_error *err)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const position_field *f = &position_fields[i];
        const char *text = vit_tensors_metadata(file, f->key);
        char *place = (char *)out + f->at;
        uint64_t whole = 0;
        double real = 0;
        base_status status = BASE_OK;

        if (!f->real)
            status = train_state_number(&whole, file, f->key, path, err);
        else if (!text || !base_parse_real(&real, text))
            status = base_fail(err, BASE_FORMAT, "'%s' has no usable '%s' in its metadata",
                               path, f->key);
        if (status != BASE_OK)
            return status;
        if (f->real)
            memcpy(place, &real, sizeof real);
        else
            memcpy(place, &whole, sizeof whole);
    }
    const char *fault = position_fault(out), *told = text_of(NULL, file, "position_sum");
    char now[VALUE_BYTES];
    snprintf(now, sizeof now, "%016" PRIx64, position_sum(NULL, file));
    if (!fault && told && strcmp(told, now) != 0)
        fault = "a position that was changed since it was written";
    return fault ? base_fail(err, BASE_FORMAT, "'%s' tells of %s", path, fault) : BASE_OK;
}

/* A run of before there were layouts says nothing of it, and nothing of its model. */
static base_status check_layout(const vit_tensor_file *file, const char *path,
                                base_error *err)
{
    const char *text = vit_tensors_metadata(file, "layout");
    const char *version = vit_tensors_metadata(file, "version");
    int64_t layout = 1;
    char shown[64];

    if (text && (!base_parse_int(&layout, text) || layout < 1))
        return base_fail(err, BASE_FORMAT, "'%s' has no usable 'layout' in its metadata",
                         path);
    if (layout > STATE_LAYOUT)
        return base_fail(
            err, BASE_UNSUPPORTED,
            "'%s' is a state of layout %lld, written by vmoe %s: this is vmoe %s and reads up "
            "to %d",
            path, (long long)layout,
            base_quote(shown, sizeof shown, version ? version : "?"), BASE_VERSION,
            (int)STATE_LAYOUT);
    return BASE_OK;
}

/* Everything that must agree before the run may go on. */
static base_status check_state(const train_trainer *t, const vit_tensor_file *file,
                               const char *path, base_error *err)
{
    const char *format = vit_tensors_metadata(file, "format");
    const char *recipe = vit_tensors_metadata(file, "recipe");

    if (!format || strcmp(format, "vmoe-state") != 0 || !recipe)
        return base_fail(err, BASE_FORMAT, "'%s' is not the state of a run", path);
    base_status status = check_layout(file, path, err);
    if (status != BASE_OK)
        return status;
    status = train_recipe_compare(&t->recipe, recipe, true, err);
    if (status != BASE_OK) {
        base_error_prepend(err, "cannot resume '%s': ", t->options.folder);
        return status;
    }
    status = train_state_same_data(file, "train_fingerprint", "training", t->train, err);
    if (status == BASE_OK)
        status = train_state_same_data(file, "val_fingerprint", "validation", t->val, err);
    if (status != BASE_OK)
        base_error_prepend(err, "cannot resume '%s': ", t->options.folder);
    return status;
}

/* Sums inside the network's kernels are split by threads: another number is allowed, but
 * worth a line. */
static void note_threads(const train_trainer *t, const vit_tensor_file *file)
{
    const char *text = vit_tensors_metadata(file, "threads");
    int64_t threads = 0;

    if (text && base_parse_int(&threads, text) && threads != (int64_t)t->options.threads)
        train_note(t, "resume",
                   "the run began with %lld threads and goes on with %zu: the last bits of "
                   "its weights may differ",
                   (long long)threads, t->options.threads);
}

static bool power_of_two(size_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* With as many lanes the bits do not depend on the ranks, if these are whole pieces of the
 * tree. */
static void note_lanes(const train_trainer *t)
{
    const size_t lanes = (size_t)t->recipe.train.lanes, ranks = t->ranks;
    const bool divides = lanes % ranks == 0;

    if (ranks == 1 && lanes == 1)
        return;
    if (divides && power_of_two(lanes) && power_of_two(ranks))
        train_note(t, "resume", "a run of %zu lanes goes on with %zu rank%s: same bits",
                   lanes, ranks, ranks == 1 ? "" : "s");
    else if (!divides)
        train_note(t, "resume",
                   "%zu ranks do not divide %zu lanes: last bits will differ from those of "
                   "another number of ranks",
                   ranks, lanes);
    else
        train_note(t, "resume",
                   "%zu lanes on %zu ranks, not both powers of two: last bits differ from "
                   "those of another number of ranks",
                   lanes, ranks);
}

/* A run may be given another end. What its schedule makes of that is said: where it follows
 * the end, the learning rate of the next steps is another from here on. */
static void note_length(const train_trainer *t, const char *stored)
{
    vit_schedule before = t->schedule;
    int64_t epochs = t->recipe.train.epochs, steps = t->recipe.train.max_steps;

    train_recipe_lengths(&epochs, &steps, stored);
    if (epochs == t->recipe.train.epochs && steps == t->recipe.train.max_steps)
        return;
    before.total = train_trainer_total(t, epochs, steps);
    const double was = vit_schedule_lr(&before, t->at.step),
                 now = vit_schedule_lr(&t->schedule, t->at.step);
    if (before.total == t->total)
        return;
    train_note(t, "resume",
               "the run ended at step %" PRIu64 " and ends at step %" PRIu64
               " now; its learning rate goes %s",
               before.total, t->total,
               t->schedule.kind == VIT_SCHEDULE_COSINE ||
                       t->schedule.kind == VIT_SCHEDULE_LINEAR
                   ? "another way"
                   : "on as before");
    if (t->schedule.kind == VIT_SCHEDULE_COSINE || t->schedule.kind == VIT_SCHEDULE_LINEAR)
        train_note(t, "",
                   "the %s schedule follows the end: %g at step %" PRIu64
                   " in place of %g; a run begun with this length would differ",
                   t->schedule.kind == VIT_SCHEDULE_COSINE ? "cosine" : "linear", now,
                   t->at.step, was);
}

/* hash: of the model that the state belongs to; NULL: an old state, which does not say. */
static base_status load_weights(train_trainer *t, const char *path, const char *hash,
                                base_error *err)
{
    vit_model *stored = NULL;
    char now[VALUE_BYTES];

    base_status status = vit_model_load(&stored, path, NULL, err);
    if (status != BASE_OK)
        return status;
    snprintf(now, sizeof now, "%016" PRIx64, weights_hash(stored));
    if (vit_model_floats(stored) != vit_model_floats(t->model))
        status = base_fail(err, BASE_MISMATCH, "'%s' holds another network than the recipe",
                           path);
    else if (hash && strcmp(hash, now) != 0)
        status = base_fail(
            err, BASE_MISMATCH,
            "'%s' is not the model that the state beside it was written with", path);
    if (status == BASE_OK)
        memcpy(vit_model_weights(t->model), vit_model_weights_const(stored),
               vit_model_floats(t->model) * sizeof(float));
    if (status == BASE_OK && !hash)
        train_note(t, "resume",
                   "the state is of an older vmoe and does not say which model "
                   "it belongs to: taken as the one beside it");
    vit_model_destroy(stored);
    return status;
}

base_status train_state_exists(bool *found, train_trainer *trainer, base_error *err)
{
    char *folder =
        train_leads(trainer) ? train_checkpoint_last(trainer->options.folder) : NULL;

    *found = folder != NULL;
    base_free(folder);
    return train_ranks_share(trainer, found, sizeof *found, err);
}

base_status train_state_peek(train_state_facts *out, bool *found, const char *folder,
                             base_error *err)
{
    static const char *const keys[] = {"recipe", "train_fingerprint", "val_fingerprint"};
    const char *text[3];
    vit_tensor_file *file = NULL;
    train_state_facts facts = {0};
    char *last = train_checkpoint_last(folder);
    char *path = last ? base_text("%s/state.safetensors", last) : NULL;
    base_status status = BASE_OK;

    *found = last != NULL;
    *out = facts;
    if (!last)
        goto done;
    status = path ? vit_tensors_open(&file, path, err)
                  : base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", last);
    if (status == BASE_OK)
        status = read_position(&facts.at, file, path, err);
    for (size_t i = 0; i < 3 && status == BASE_OK; i++) {
        text[i] = vit_tensors_metadata(file, keys[i]);
        if (!text[i])
            status = base_fail(err, BASE_FORMAT, "'%s' is not the state of a run", path);
    }
    if (status != BASE_OK)
        goto done;
    snprintf(facts.train, sizeof facts.train, "%.40s", text[1]);
    snprintf(facts.val, sizeof facts.val, "%.40s", text[2]);
    facts.recipe = base_text("%s", text[0]);
    if (facts.recipe)
        *out = facts;
    else
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
done:
    vit_tensors_close(file);
    base_free(path);
    base_free(last);
    return status;
}

/* A checkpoint that was read comes to all ranks; file NULL: of another. */
static base_status share_state(train_trainer *t, const vit_tensor_file *file,
                               train_position *at, base_error *err)
{
    base_status status = train_ranks_share(t, at, sizeof *at, err);

    if (status == BASE_OK)
        status = vit_optimizer_restore(t->optimizer, file, err);
    return status;
}

/* The place of a run that others have read. */
static base_status follow_state(train_trainer *t, bool *found, base_error *err)
{
    train_position at = {0};
    base_status status = train_ranks_share(t, found, sizeof *found, err);

    if (status != BASE_OK || !*found)
        return status;
    status = share_state(t, NULL, &at, err);
    if (status == BASE_OK)
        status = train_ranks_share(t, vit_model_weights(t->model),
                                   vit_model_floats(t->model) * sizeof(float), err);
    if (status == BASE_OK)
        t->at = at;
    return status;
}

base_status train_state_load(train_trainer *trainer, bool *found, base_error *err)
{
    if (!train_leads(trainer))
        return follow_state(trainer, found, err);
    base_status status = BASE_OK;
    vit_tensor_file *file = NULL;
    train_position at = {0};
    char *folder = train_checkpoint_last(trainer->options.folder);
    char *weights = base_text("%s/model.safetensors", folder ? folder : "");
    char *path = base_text("%s/state.safetensors", folder ? folder : "");
    char name[32];

    *found = folder != NULL;
    if (!folder) {
        status = train_ranks_share(trainer, found, sizeof *found, err);
        goto done;
    }
    if (!weights || !path) {
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", folder);
        goto done;
    }
    status = vit_tensors_open(&file, path, err);
    if (status == BASE_OK)
        status = check_state(trainer, file, path, err);
    if (status == BASE_OK)
        status = read_position(&at, file, path, err);
    if (status == BASE_OK)
        status = train_state_doubles((double *)(void *)&at.sums, SUM_DOUBLES, file, "sums",
                                     path, err);
    for (size_t i = 0; i < trainer->moe_count && status == BASE_OK; i++) {
        snprintf(name, sizeof name, "load.%zu", i);
        trainer->load[i].experts = (size_t)trainer->recipe.config.moe.experts;
        status =
            train_state_doubles((double *)(void *)((char *)&trainer->load[i] + LOAD_BEGIN),
                                LOAD_DOUBLES, file, name, path, err);
    }
    if (status == BASE_OK && at.step > trainer->total)
        status = base_fail(err, BASE_FORMAT, "'%s' stands at step %" PRIu64 " of %" PRIu64,
                           path, at.step, trainer->total);
    if (status == BASE_OK)
        status = train_ranks_share(trainer, found, sizeof *found, err);
    if (status == BASE_OK)
        status = share_state(trainer, file, &at, err);
    if (status == BASE_OK)
        status =
            load_weights(trainer, weights, vit_tensors_metadata(file, "model_hash"), err);
    if (status == BASE_OK)
        status = train_ranks_share(trainer, vit_model_weights(trainer->model),
                                   vit_model_floats(trainer->model) * sizeof(float), err);
    if (status == BASE_OK) {
        trainer->at = at;
        note_threads(trainer, file);
        note_lanes(trainer);
        note_length(trainer, vit_tensors_metadata(file, "recipe"));
    }
done:
    vit_tensors_close(file);
    base_free(path);
    base_free(weights);
    base_free(folder);
    return status;
}
