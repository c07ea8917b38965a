/* internal.h - what the files of vmoe convert share. Private to apps/. */
#ifndef APPS_CONVERT_INTERNAL_H
#define APPS_CONVERT_INTERNAL_H

#include "apps/app_internal.h"

/* What became of the answers to pictures of noise. */
typedef struct convert_answers {
    size_t images, other; /* seen; with another class on top */
    double largest;       /* change of a logit */
    double deviation;     /* of the logits before, over all of them */
} convert_answers;

/* The same seeded pictures through both networks, which take the same input and have the
 * same classes. */
base_status convert_answers_compare(convert_answers *out, const vit_model *before,
                                    const vit_model *after, uint64_t seed, base_error *err);
/* One line to stderr unless quiet; nothing when no picture was seen. */
void convert_answers_note(const convert_answers *answers, const app_common *common);
/* The same under json's "answers". */
void convert_answers_json(json_t *json, const convert_answers *answers);

/* What OUT is (out.c). */
typedef enum convert_kind { CONVERT_SAFETENSORS, CONVERT_ONNX } convert_kind;
/* By its name; BASE_USAGE for a precision that it cannot have. */
base_status convert_kind_of(convert_kind *kind, const char *out, int precision,
                            base_error *err);
/* Writes the model as that, whole or not at all. */
base_status convert_out(const vit_model *model, convert_kind kind, const char *out,
                        vit_precision precision, base_error *err);

#endif
