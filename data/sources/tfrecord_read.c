/* tfrecord_read.c - records of a TFRecord file and the tf.Example in them, without
 * TensorFlow: a record is its length (8 bytes, little endian), the length's masked CRC-32C,
 * the bytes, their masked CRC-32C (tensorflow/core/lib/io/record_writer.h); the bytes are a
 * protocol buffer (example.proto, feature.proto): map entries of a name and a list of
 * bytes, floats or whole numbers. The picture's own bytes are stepped over, not read. Free
 * to change: the size of reads. Relied on elsewhere: every length is held against its
 * surroundings before it is used. */
#include "data/sources/tfrecord_internal.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ---- CRC-32C ------------------------------------------------------------------------ */

/* Of four bits (reflected polynomial 0x82f63b78). */
static const uint32_t nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t sum_plain(uint32_t sum, const unsigned char *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sum ^= at[i];
        sum = sum >> 4 ^ nibble[sum & 15];
        sum = sum >> 4 ^ nibble[sum & 15];
    }
    return sum;
}

#if defined(__x86_64__)
/* The processor's own instruction: SSE4.2 has just this polynomial. */
__attribute__((target("sse4.2"))) static uint32_t sum_sse42(uint32_t sum,
                                                            const unsigned char *at,
                                                            size_t count)
{
    uint64_t wide = sum, word;

    for (; count >= 8; count -= 8, at += 8) {
        memcpy(&word, at, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    sum = (uint32_t)wide;
    for (; count > 0; count--)
        sum = _mm_crc32_u8(sum, *at++);
    return sum;
}
#endif

uint32_t data_crc32c(uint32_t sum, const void *bytes, size_t count)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~sum_sse42(~sum, bytes, count);
#endif
    return ~sum_plain(~sum, bytes, count);
}

uint32_t data_crc32c_masked(uint32_t sum)
{
    return (sum >> 15 | sum << 17) + 0xa282ead8u;
}

/* ---- records ------------------------------------------------------------------------ */

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* count bytes (at most TFRECORD_TAPE) from offset at; NULL: they are not there. */
static const unsigned char *look(tfrecord_tape *t, uint64_t at, size_t count)
{
    if (at > t->bytes || count > t->bytes - at)
        return NULL;
    if (at < t->at || at - t->at > t->have || count > t->have - (at - t->at)) {
        const uint64_t left = t->bytes - at;
        const size_t want = left < TFRECORD_TAPE ? (size_t)left : TFRECORD_TAPE;
        t->have = 0;
        if (data_pread(t->fd, t->buffer, want, at, NULL) != BASE_OK)
            return NULL;
        t->at = at;
        t->have = want;
    }
    return t->buffer + (at - t->at);
}

base_status data_tfrecord_head(uint64_t *length, bool *done, tfrecord_tape *tape,
                               uint64_t at, base_error *err)
{
    *done = at == tape->bytes;
    if (*done)
        return BASE_OK;
    const unsigned char *head = look(tape, at, TFRECORD_HEAD);
    if (!head)
        return base_fail(err, BASE_FORMAT, "cut off in its length");
    *length = little(head, 8);
    if (data_crc32c_masked(data_crc32c(0, head, 8)) != little(head + 8, 4))
        return base_fail(err, BASE_FORMAT, "the CRC of its length is wrong%s",
                         at == 0 ? ": no TFRecord file" : "");
    const uint64_t left = tape->bytes - at - TFRECORD_HEAD;
    if (left < TFRECORD_FOOT || *length > left - TFRECORD_FOOT)
        return base_fail(err, BASE_FORMAT,
                         "its %ju bytes end beyond the file, which is cut off",
                         (uintmax_t)*length);
    return BASE_OK;
}

/* ---- protocol buffers --------------------------------------------------------------- */

/* A message in bytes at..end of the file. */
typedef struct message {
    tfrecord_tape *tape;
    uint64_t at, end;
    bool bad;
} message;

/* A field: of a length (body), or a number. */
typedef struct field {
    uint64_t number, value;
    bool has_body;
    message body;
} field;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LENGTH = 2, WIRE_32 = 5 };

/* Seven bits a byte, the lowest first; at most ten. */
static uint64_t varint(message *m)
{
    uint64_t value = 0;

    for (int shift = 0; shift < 70 && m->at < m->end; shift += 7) {
        const unsigned char *byte = look(m->tape, m->at, 1);
        if (!byte)
            break;
        m->at++;
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if (!(*byte & 0x80))
            return value;
    }
    m->bad = true;
    return 0;
}

static void skip(message *m, uint64_t bytes)
{
    if (bytes > m->end - m->at)
        m->bad = true;
    else
        m->at += bytes;
}

/* The next field; false: the message is over, or bad. */
static bool next_field(field *out, message *m)
{
    if (m->bad || m->at >= m->end)
        return false;
    const uint64_t tag = varint(m);
    *out = (field){.number = tag >> 3};
    switch (tag & 7) {
    case WIRE_VARINT: out->value = varint(m); break;
    case WIRE_64: skip(m, 8); break;
    case WIRE_32: skip(m, 4); break;
    case WIRE_LENGTH:
        out->value = varint(m);
        out->has_body = true;
        out->body = (message){.tape = m->tape, .at = m->at};
        skip(m, out->value);
        out->body.end = m->at;
        break;
    default: m->bad = true;
    }
    return !m->bad;
}

/* The bytes of a message as text; longer ones are cut. */
static void take_text(char out[TFRECORD_TEXT], const message *m)
{
    const uint64_t bytes = m->end - m->at;
    const size_t count = bytes < TFRECORD_TEXT ? (size_t)bytes : TFRECORD_TEXT - 1;
    const unsigned char *at = look(m->tape, m->at, count);

    if (at)
        memcpy(out, at, count);
    out[at ? count : 0] = '\0';
}

/* ---- tf.Example --------------------------------------------------------------------- */

/* A feature: its first value. */
typedef struct feature {
    bool bytes, number;
    message body; /* of bytes */
    int64_t value;
} feature;

enum { BYTES_LIST = 1, INT64_LIST = 3 };

/* The first value of a list of kind kind. False: damaged. */
static bool take_list(feature *out, message *list, uint64_t kind)
{
    field f;

    while (next_field(&f, list)) {
        if (f.number != 1 || out->bytes || out->number)
            continue;
        if (kind == BYTES_LIST && f.has_body) {
            out->bytes = true;
            out->body = f.body;
        } else if (kind == INT64_LIST && f.has_body &&
                   f.body.at < f.body.end) { /* packed */
            out->number = true;
            out->value = (int64_t)varint(&f.body);
            list->bad = list->bad || f.body.bad;
        } else if (kind == INT64_LIST && !f.has_body) {
            out->number = true;
            out->value = (int64_t)f.value;
        }
    }
    return !list->bad;
}

static bool take_feature(feature *out, message *body)
{
    field f;

    while (next_field(&f, body)) {
        if (f.has_body && (f.number == BYTES_LIST || f.number == INT64_LIST) &&
            !take_list(out, &f.body, f.number))
            return false;
    }
    return !body->bad;
}

static void take_label(tfrecord_example *out, const feature *f)
{
    out->number = f->number;
    out->label = f->value;
    if (f->bytes) {
        take_text(out->label_text, &f->body);
        out->text = out->label_text[0] != '\0';
    }
}

/* One entry of the map. */
static void settle(tfrecord_example *out, const char *key, const feature *f,
                   const char *label_key)
{
    const bool slim = !label_key && strcmp(key, "image/class/label") == 0;
    const size_t used = strlen(out->seen);
    char shown[80];

    snprintf(out->seen + used, sizeof out->seen - used, "%s%s", used ? ", " : "",
             base_quote(shown, sizeof shown, key));
    if ((strcmp(key, "image/encoded") == 0 || strcmp(key, "image") == 0) && f->bytes) {
        out->image = true;
        out->image_at = f->body.at;
        out->image_bytes = f->body.end - f->body.at;
    } else if (slim || strcmp(key, label_key ? label_key : "label") == 0) {
        take_label(out, f);
        out->slim = slim;
    } else if ((strcmp(key, "file_name") == 0 || strcmp(key, "image/filename") == 0) &&
               f->bytes) {
        take_text(out->name, &f->body);
    } else if (strcmp(key, "image/class/synset") == 0 && f->bytes) {
        take_text(out->synset, &f->body);
    }
}

/* name and value of an entry, in whichever order. */
static bool take_entry(tfrecord_example *out, message *entry, const char *label_key)
{
    char key[TFRECORD_TEXT] = "";
    feature value = {0};
    field f;

    while (next_field(&f, entry)) {
        if (f.number == 1 && f.has_body)
            take_text(key, &f.body);
        else if (f.number == 2 && f.has_body && !take_feature(&value, &f.body))
            return false;
    }
    if (!entry->bad)
        settle(out, key, &value, label_key);
    return !entry->bad;
}

base_status data_tfrecord_example(tfrecord_example *out, tfrecord_tape *tape,
                                  uint64_t begin, uint64_t end, const char *label_key,
                                  base_error *err)
{
    message whole = {.tape = tape, .at = begin, .end = end};
    field features, entry;
    bool good = true;

    *out = (tfrecord_example){0};
    while (good && next_field(&features, &whole)) {
        if (features.number != 1 || !features.has_body)
            continue;
        while (good && next_field(&entry, &features.body)) {
            if (entry.number == 1 && entry.has_body)
                good = take_entry(out, &entry.body, label_key);
        }
        good = good && !features.body.bad;
    }
    return good && !whole.bad ? BASE_OK
                              : base_fail(err, BASE_FORMAT, "it holds no tf.Example");
}
