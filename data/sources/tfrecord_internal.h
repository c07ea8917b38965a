/* tfrecord_internal.h - between tfrecord.c (the layout) and tfrecord_read.c (records). */
#ifndef DATA_TFRECORD_INTERNAL_H
#define DATA_TFRECORD_INTERNAL_H

#include "data/data_internal.h"

enum {
    TFRECORD_HEAD = 12, /* length and its CRC */
    TFRECORD_FOOT = 4,  /* the CRC of the bytes */
    TFRECORD_TEXT = 256,
    TFRECORD_SEEN = 240,
    TFRECORD_TAPE = 16384
};

/* A part of a file that is read here and there, mostly forwards. */
typedef struct tfrecord_tape {
    int fd;
    uint64_t bytes; /* of the file */
    uint64_t at;    /* of buffer */
    size_t have;
    unsigned char buffer[TFRECORD_TAPE];
} tfrecord_tape;

/* What is wanted of an Example (example.proto, feature.proto of TensorFlow). */
typedef struct tfrecord_example {
    bool image, number, text, slim; /* slim: the label is image/class/label */
    uint64_t image_at, image_bytes;
    int64_t label;
    char label_text[TFRECORD_TEXT]; /* where the label is bytes */
    char name[TFRECORD_TEXT];       /* file_name or image/filename, "" */
    char synset[TFRECORD_TEXT];     /* image/class/synset, "" */
    char seen[TFRECORD_SEEN];       /* names of all features */
} tfrecord_example;

/* CRC-32C (Castagnoli) of bytes after others with sum (first: 0). Safe from several
 * threads. */
uint32_t data_crc32c(uint32_t sum, const void *bytes, size_t count);
/* As TFRecord stores it (TensorFlow, core/lib/hash/crc32c.h: Mask). */
uint32_t data_crc32c_masked(uint32_t sum);

/* The bytes of the record that begins at offset at: *length of them behind its head. err:
 * the reason alone. *done: the file ends here. */
base_status data_tfrecord_head(uint64_t *length, bool *done, tfrecord_tape *tape,
                               uint64_t at, base_error *err);
/* Reads the Example in bytes begin..end of the file; label_key NULL: label or
 * image/class/label. The bytes' CRC is not asked. err: the reason alone. */
base_status data_tfrecord_example(tfrecord_example *out, tfrecord_tape *tape,
                                  uint64_t begin, uint64_t end, const char *label_key,
                                  base_error *err);

#endif
