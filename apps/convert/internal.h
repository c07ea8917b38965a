/* internal.h - what the files of vmoe convert share. Private to apps/. */
#ifndef APPS_CONVERT_INTERNAL_H
#define APPS_CONVERT_INTERNAL_H

#include "apps/app_internal.h"
#include "apps/report/internal.h"
#include "train/train.h"

/* Kinds of figures that a model card has. */
typedef enum convert_figures {
    CONVERT_ACCURACY,
    CONVERT_CORRUPTION,
    CONVERT_ATTACK,
    CONVERT_FIGURES
} convert_figures;

/* A result that a model card shows. */
typedef struct convert_document {
    const json_t *json;
    bool has[CONVERT_FIGURES];
    const char *file;
    const char *other; /* the checkpoint that it is of, when it is another; else NULL */
    char sha256[BASE_SHA256_TEXT];
} convert_document;

/* What is known of a checkpoint (documents.c). */
typedef struct convert_documents {
    convert_document *at; /* [count] borrowing from set */
    size_t count;
    size_t left_out;               /* found beside the run, but of another checkpoint */
    json_t *recipe;                /* {section: {key: text}}; NULL: none beside it */
    train_lines evaluations;       /* of its log; none: not known */
    const char *source;            /* the checkpoint's path, its last parts */
    char sha256[BASE_SHA256_TEXT]; /* of its file */
    bool changed; /* options made another network of it: nothing beside it is of that */
    app_report_set set;
} convert_documents;

/* Of the checkpoint at path (borrowed), which IN named as word, and of the files `named`.
 * On failure *out is untouched. */
base_status convert_documents_read(convert_documents *out, const char *word,
                                   const char *path, const base_list *named, bool changed,
                                   base_error *err);
/* A line to stderr unless quiet: what the card has and has not. */
void convert_documents_note(const convert_documents *documents, const app_common *common);
/* "documents" and "not_measured" into json. */
void convert_documents_json(json_t *json, const convert_documents *documents);
void convert_documents_free(convert_documents *documents); /* zeroed is fine */
/* The last `parts` parts of a path, in it. */
const char *convert_path_tail(const char *path, int parts);
/* The whole recipe as an indented text, paths cut to their last parts. */
void convert_recipe_put(FILE *out, const convert_documents *documents);
/* The model card as text, for as long as the program runs (card.c): name of the network;
 * license NULL: not stated; narrow: weights are rounded to bf16. */
base_status convert_card(const char **out, const vit_model *model,
                         const convert_documents *documents, const char *name,
                         const char *license, bool narrow, base_error *err);

/* What OUT is (out.c). */
typedef enum convert_kind { CONVERT_SAFETENSORS, CONVERT_ONNX, CONVERT_HUB } convert_kind;
/* By its name; BASE_USAGE for a precision that it cannot have. */
base_status convert_kind_of(convert_kind *kind, const char *out, int precision,
                            base_error *err);
/* The last part of OUT without "/", into name: what the network is called. */
const char *convert_out_name(char *name, size_t bytes, const char *out);
/* Writes the model as that, whole or not at all; card: README.md of a folder. */
base_status convert_out(const vit_model *model, convert_kind kind, const char *out,
                        const char *card, vit_precision precision, base_error *err);

#endif
