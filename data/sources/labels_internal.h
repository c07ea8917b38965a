/* labels_internal.h - what label a class or an image gets: numbers, class maps, files of
 * labels. */
#ifndef DATA_LABELS_INTERNAL_H
#define DATA_LABELS_INTERNAL_H

#include "data/sources/sources_internal.h"

/* 0..DATA_CLASSES_MAX-1 from digits alone, else -1. */
int32_t data_class_number(const char *name);
/* The same of a label, which may be written "3.0"; -2: a number that is no label ("-1",
 * "2.5"). Cannot fail. */
int32_t data_label_number(const char *text);

/* ---- of classes (classes.c, map.c) --------------------------------------------------- */

/* Labels for the classes of the table: label_of [table->count], and source->classes. Those
 * without images (images [table->count]) take no part: -1. *used: those with images. */
base_status data_classes_decide(data_source *source, int32_t *label_of, size_t *used,
                                const data_class_table *table, const size_t *images,
                                const data_source_options *options, base_error *err);
/* source->classes for labels that are numbers 0..highest. */
base_status data_classes_number(data_source *source, size_t highest,
                                const data_source_options *options, base_error *err);
/* Labels of a class map file for the classes of table (map.c), and the map's names
 * into source->classes. */
base_status data_classes_map(data_source *source, int32_t *label_of,
                             const data_class_table *table,
                             const data_source_options *options, base_error *err);

/* ---- labels of validation images (truth.c) ------------------------------------------ */

/* A file of labels: the line's number is the image's, or names with labels (data.md 1). */
typedef struct data_truth data_truth;
/* imagenet: numbers are ImageNet's, of the devkit or from 0, and become WordNet ids; else
 * they stay the numbers that they are. */
base_status data_truth_load(data_truth **out, const char *path, bool imagenet,
                            base_error *err);
/* The same from text [bytes], which it takes in any case (NULL is fine: no labels). */
base_status data_truth_parse(data_truth **out, char *text, size_t bytes, const char *path,
                             bool imagenet, base_error *err);
/* A file of labels inside the source's archive: Tiny ImageNet's val_annotations.txt or
 * Kaggle's LOC_val_solution.csv, which may also lie beside it. *text stays NULL: there is
 * none. The caller frees *text and *name ("ARCHIVE!MEMBER"). */
base_status data_archive_truth(char **text, size_t *bytes, char **name,
                               const data_source *source, base_error *err);
void data_truth_destroy(data_truth *truth); /* NULL is fine */
size_t data_truth_count(const data_truth *truth);
/* 12 for "ILSVRC2012_val_00000012.JPEG", with or without its ending; 0: no number. */
size_t data_image_number(const char *name);
/* Whether the labels stand beside names. */
bool data_truth_named(const data_truth *truth);
/* The class of an image by its file name (path and ending do not matter); the line becomes
 * the image's own. BASE_MISMATCH: it has no line, or another has taken it. path: what
 * messages call the file. */
base_status data_truth_take(const char **class, data_truth *truth, const char *name,
                            const char *path, base_error *err);
/* "50000 ILSVRC2012 ids": what the file turned out to hold. */
const char *data_truth_kind(const data_truth *truth);

#endif
