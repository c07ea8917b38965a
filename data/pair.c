/* pair.c - data to train on and data to validate with: the first says what the classes are,
 * the second must have no others, and nothing that was held out of the first. */
#include "data/data_internal.h"

#include <string.h>

/* Options that mean nothing for both. The split is the command's own. */
static base_status unused_check(const data_source *train, const data_source *val,
                                base_error *err)
{
    bool end = false;

    for (size_t i = 0; !end; i++) {
        const char *option = data_source_unused(&end, val, i);
        const bool own = option && strcmp(option, "split") == 0;
        const bool of_val = option && strcmp(option, "val-labels") == 0;
        if (option && !own && (of_val || data_source_unused(&end, train, i)))
            return base_fail(err, BASE_USAGE, "--%s means nothing for '%s' (%s)%s%s",
                             option, data_source_path(val), data_source_layout(val),
                             of_val ? ", whose labels are its own" : " nor for ",
                             of_val ? "" : data_source_path(train));
    }
    return BASE_OK;
}

/* A part that is held out of data that is trained on whole was not held out. */
static base_status held_check(const data_source *train, const data_source *val,
                              const char *train_spec, const char *val_spec, base_error *err)
{
    const bool parts = train->part || val->part;
    const size_t shared = parts ? data_source_shared(train, val) : 0;

    if (shared == 0)
        return BASE_OK;
    return base_fail(err, BASE_USAGE,
                     "%zu of the %zu samples of '%s' are trained on in '%s', too: with "
                     "'held-N:DATA' goes 'rest-N:DATA'",
                     shared, data_source_count(val), val_spec, train_spec);
}

base_status data_pair_open(data_source **train, data_source **val, const char *train_spec,
                           const char *val_spec, const data_source_options *options,
                           base_error *err)
{
    data_source_options each = *options;

    each.split = "train";
    each.val_labels = NULL;
    each.lenient = true;
    each.allow_unlabelled = false;
    each.defines_classes = true;
    base_status status = data_source_open(train, train_spec, &each, err);
    if (status != BASE_OK)
        return status;
    const size_t classes = data_source_classes(*train);
    const char **names = base_alloc(classes, sizeof *names);
    if (!names)
        return base_fail(err, BASE_NO_MEMORY, "no memory for %zu class names", classes);
    for (size_t i = 0; i < classes; i++)
        names[i] = data_source_class_name(*train, i);
    each.split = "val";
    each.val_labels = options->val_labels;
    each.class_list = names;
    each.class_list_count = classes;
    each.defines_classes = false;
    each.allow_single_class = true; /* of the training classes: others may be missing */
    status = data_source_open(val, val_spec, &each, err);
    base_free(names);
    if (status == BASE_OK && data_source_classes(*val) > classes)
        status =
            base_fail(err, BASE_MISMATCH,
                      "'%s' has %zu classes, expected those of the training data (%zu)",
                      data_source_path(*val), data_source_classes(*val), classes);
    if (status == BASE_OK)
        status = held_check(*train, *val, train_spec, val_spec, err);
    return status == BASE_OK ? unused_check(*train, *val, err) : status;
}
