/* test_data_tfrecord.c - TFRecord files of tf.Example: TFDS's and TF-Slim's ImageNet, their
 * labels, what is refused and in which words. The files are written byte by byte here. */
#include "data/sources/tfrecord_internal.h"

#include <fcntl.h>
#include <time.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

enum { BYTES = 4096 };

/* Bytes that grow. */
typedef struct text {
    unsigned char at[BYTES];
    size_t bytes;
} text;

static char *root, *path;
static text file;

static const data_source_options one_class = {.allow_single_class = true};

static void setup(void)
{
    root = test_folder_make();
    path = test_path(root, "x.tfrecord");
    file.bytes = 0;
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(root);
}

/* ---- writing ------------------------------------------------------------------------ */

static void add(text *t, const void *bytes, size_t count)
{
    ck_assert_uint_le(t->bytes + count, BYTES);
    if (count > 0)
        memcpy(t->at + t->bytes, bytes, count);
    t->bytes += count;
}

static void add_little(text *t, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        add(t, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

static void add_varint(text *t, uint64_t value)
{
    for (; value > 127; value >>= 7)
        add_little(t, (value & 127) | 128, 1);
    add_little(t, value, 1);
}

/* A field of a length. */
static void add_body(text *t, int number, const void *bytes, size_t count)
{
    add_varint(t, (uint64_t)number << 3 | 2);
    add_varint(t, count);
    add(t, bytes, count);
}

/* A map entry: key, and a feature of the list kind with one value in it. */
static void add_feature(text *features, const char *key, int kind, const void *bytes,
                        size_t count)
{
    text list = {0}, feature = {0}, entry = {0};

    add_body(&list, 1, bytes, count);
    add_body(&feature, kind, list.at, list.bytes);
    add_body(&entry, 1, key, strlen(key));
    add_body(&entry, 2, feature.at, feature.bytes);
    add_body(features, 1, entry.at, entry.bytes);
}

static void add_text(text *features, const char *key, const char *value)
{
    add_feature(features, key, 1, value, strlen(value));
}

static void add_number(text *features, const char *key, int64_t value)
{
    text packed = {0};

    add_varint(&packed, (uint64_t)value);
    add_feature(features, key, 3, packed.at, packed.bytes);
}

/* A record of any bytes. */
static void add_record(text *t, const void *bytes, size_t count)
{
    const size_t head = t->bytes;

    add_little(t, count, 8);
    add_little(t, data_crc32c_masked(data_crc32c(0, t->at + head, 8)), 4);
    add(t, bytes, count);
    add_little(t, data_crc32c_masked(data_crc32c(0, bytes, count)), 4);
}

static void add_example(text *t, const text *features)
{
    text example = {0};

    add_body(&example, 1, features->at, features->bytes);
    add_record(t, example.at, example.bytes);
}

/* As TensorFlow Datasets writes ImageNet. */
static void add_tfds(const char *name, int64_t label)
{
    text features = {0};

    add_text(&features, "file_name", name);
    add_text(&features, "image", name);
    add_number(&features, "label", label);
    add_example(&file, &features);
}

/* As TF-Slim's build_imagenet_data.py does; synset may be NULL. */
static void add_slim(const char *name, int64_t label, const char *synset)
{
    text features = {0};

    add_number(&features, "image/class/label", label);
    add_text(&features, "image/encoded", name);
    add_text(&features, "image/filename", name);
    if (synset)
        add_text(&features, "image/class/synset", synset);
    add_example(&file, &features);
}

static void finish(const char *where)
{
    test_write(where, file.at, file.bytes);
}

static void finish_as(const char *name)
{
    char *where = test_path(root, name);

    finish(where);
    base_free(where);
    file.bytes = 0;
}

static void says(const data_source *source, const char *part)
{
    const char *notice = data_source_notice(source);

    ck_assert_msg(strstr(notice, part) != NULL, "'%s' does not hold '%s'", notice, part);
}

/* ---- right -------------------------------------------------------------------------- */

/* RFC 3720, B.4: 32 zeros, 32 ones, 0 to 31; and the usual check word. */
START_TEST(the_sum_is_castagnolis)
{
    unsigned char bytes[32] = {0};

    ck_assert_uint_eq(data_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    ck_assert_uint_eq(data_crc32c(0, bytes, 32), 0x62a8ab43);
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    ck_assert_uint_eq(data_crc32c(0, bytes, 32), 0x46dd794e);
    ck_assert_uint_eq(data_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(data_crc32c(data_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}
END_TEST

START_TEST(records_of_tfds_have_labels_from_0)
{
    char shown[512];

    add_tfds("n01443537_1.JPEG", 1);
    add_tfds("n01440764_2.JPEG", 0);
    add_tfds("../up.JPEG", 1);
    finish(path);
    data_source *source = set_open(path, NULL);
    ck_assert_str_eq(data_source_layout(source), "tfrecord");
    set_lists(source, "1 1/x.tfrecord/n01443537_1.JPEG\n0 0/x.tfrecord/n01440764_2.JPEG\n"
                      "1 1/x.tfrecord/record-2\n");
    set_holds(source, 0, "n01443537_1.JPEG");
    set_holds(source, 1, "n01440764_2.JPEG");
    says(source, "labels: 'label', from 0");
    char *whole = base_text("%s[1]!n01440764_2.JPEG", path);
    ck_assert_str_eq(data_source_name(source, 1, shown, sizeof shown), whole);
    data_source_advise(source, 0);
    base_free(whole);
    data_source_close(source);
}
END_TEST

START_TEST(labels_of_slim_count_from_1_and_the_notice_says_so)
{
    add_slim("a.JPEG", 1, NULL);
    add_slim("b.JPEG", 3, NULL);
    finish(path);
    data_source *source = set_open(path, NULL);
    set_lists(source, "0 0/x.tfrecord/a.JPEG\n2 2/x.tfrecord/b.JPEG\n");
    says(source,
         "labels: 'image/class/label', counted from 1 (none is 0): label 0 is its 1");
    data_source_close(source);
    add_slim("c.JPEG", 0, NULL);
    finish(path);
    source = set_open(path, NULL);
    ck_assert_int_eq(data_source_label(source, 0), 1);
    says(source, "counted from 0 (one is 0)");
    data_source_close(source);
}
END_TEST

/* Label 2 of n01443537: counted from 1, whatever else is there. */
START_TEST(wordnet_ids_decide_where_labels_begin)
{
    add_slim("a.JPEG", 2, "n01443537");
    add_slim("b.JPEG", 1, "n01440764");
    finish(path);
    data_source *source = set_open(path, NULL);
    ck_assert_int_eq(data_source_label(source, 0), 1);
    says(source, "counted from 1 (its WordNet ids say so)");
    data_source_close(source);
    file.bytes = 0;
    add_slim("a.JPEG", 1, "n01443537");
    add_slim("b.JPEG", 2, "n01484850");
    finish(path);
    source = set_open(path, NULL);
    ck_assert_int_eq(data_source_label(source, 0), 1);
    says(source, "counted from 0 (its WordNet ids say so)");
    data_source_close(source);
    add_slim("c.JPEG", 2, "n01443537");
    finish(path);
    set_refused(path, NULL, BASE_FORMAT, "1 labels count from 1 and 2 from 0");
}
END_TEST

START_TEST(a_folder_of_tfds_has_parts_and_names)
{
    const data_source_options train = {.split = "train"}, test = {.split = "test"};

    add_tfds("b.JPEG", 1);
    finish_as("imagenet2012-train.tfrecord-00001-of-00002");
    add_tfds("a.JPEG", 0);
    finish_as("imagenet2012-train.tfrecord-00000-of-00002");
    add_tfds("v.JPEG", 0);
    add_tfds("w.JPEG", 1);
    finish_as("imagenet2012-validation.tfrecord-00000-of-00001");
    set_file(root, "label.labels.txt", "n01440764\nn01443537\n", 20);
    set_file(root, "features.json", "{}", 2);
    data_source *source = set_open(root, &train);
    set_lists(source, "0 n01440764/imagenet2012-train.tfrecord-00000-of-00002/a.JPEG\n"
                      "1 n01443537/imagenet2012-train.tfrecord-00001-of-00002/b.JPEG\n");
    says(source, "reading the 2 files of the split train");
    says(source, "their names are those of 'label.labels.txt'");
    data_source_close(source);
    source = set_open(root, NULL);
    ck_assert_uint_eq(data_source_count(source), 2);
    says(source, "reading the 1 files of the split val");
    data_source_close(source);
    set_refused(root, &test, BASE_IO, "holds no TFRecord file of the split test");
    char *all = base_text("%s/imagenet2012-train.tfrecord-{00000..00001}-of-00002", root);
    source = set_open(all, NULL);
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
    base_free(all);
}
END_TEST

START_TEST(slims_shards_are_known_by_their_numbers)
{
    add_slim("a.JPEG", 1, NULL);
    add_slim("b.JPEG", 2, NULL);
    finish_as("train-00000-of-01024");
    char *shard = test_path(root, "train-00000-of-01024");
    data_source *source = set_open(shard, NULL);
    ck_assert_str_eq(data_source_layout(source), "tfrecord");
    data_source_close(source);
    source = set_open(root, NULL); /* one part alone */
    ck_assert_uint_eq(data_source_count(source), 2);
    data_source_close(source);
    base_free(shard);
}
END_TEST

START_TEST(labels_may_be_text_or_of_another_name)
{
    data_source_options options = {.label_key = "species"};
    text features = {0};

    add_text(&features, "image", "p");
    add_text(&features, "species", "cat");
    add_example(&file, &features);
    features.bytes = 0;
    add_text(&features, "species", "ant");
    add_text(&features, "image", "q");
    add_example(&file, &features);
    finish(path);
    data_source *source = set_open(path, &options);
    set_lists(source, "1 cat/x.tfrecord/record-0\n0 ant/x.tfrecord/record-1\n");
    data_source_close(source);
    options.label_key = NULL;
    set_refused(
        path, &options, BASE_FORMAT,
        "no label in 2 records: looked for 'label' or 'image/class/label'; the first "
        "has the features image, species");
}
END_TEST

START_TEST(without_any_label_they_are_images_to_predict)
{
    const data_source_options options = {.allow_unlabelled = true};

    add_tfds("a.JPEG", -1);
    add_tfds("b.JPEG", -1);
    finish(path);
    data_source *source = set_open(path, &options);
    ck_assert_uint_eq(data_source_classes(source), 0);
    ck_assert_int_eq(data_source_label(source, 1), -1);
    data_source_close(source);
    set_refused(path, NULL, BASE_FORMAT, "no label in 2 records");
}
END_TEST

/* Numbers one by one (not packed), floats and unknown fields in between. */
START_TEST(other_ways_to_write_the_same_are_read)
{
    text list = {0}, feature = {0}, entry = {0}, features = {0};

    add_varint(&list, 1 << 3 | 0);
    add_varint(&list, 1);
    add_body(&feature, 3, list.at, list.bytes);
    add_body(&entry, 2, feature.at, feature.bytes); /* the value before its name */
    add_varint(&entry, 9 << 3 | 5);
    add_little(&entry, 0x3f800000, 4);
    add_varint(&entry, 10 << 3 | 1);
    add_little(&entry, 0, 8);
    add_body(&entry, 1, "label", 5);
    add_feature(&features, "weights", 2, "\0\0\0\0", 4);
    add_body(&features, 1, entry.at, entry.bytes);
    add_text(&features, "image", "p");
    add_example(&file, &features);
    add_tfds("b.JPEG", 0);
    finish(path);
    data_source *source = set_open(path, NULL);
    ck_assert_int_eq(data_source_label(source, 0), 1);
    set_holds(source, 0, "p");
    data_source_close(source);
}
END_TEST

START_TEST(a_kept_index_serves_records)
{
    char *kept = test_path(root, "kept");
    const data_source_options options = {.index_cache = kept};
    const struct timespec old[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};

    add_tfds("a.JPEG", 1);
    add_tfds("b.JPEG", 0);
    finish(path);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    data_source_close(set_open(path, &options));
    data_source *source = set_open(path, &options);
    set_lists(source, "1 1/x.tfrecord/a.JPEG\n0 0/x.tfrecord/b.JPEG\n");
    set_holds(source, 1, "b.JPEG");
    says(source, "from 0");
    char *cache = data_cache_file(source, &options);
    ck_assert(test_exists(cache));
    base_free(cache);
    data_source_close(source);
    base_free(kept);
}
END_TEST

/* ---- refused ------------------------------------------------------------------------ */

static void refused(const char *part)
{
    finish(path);
    set_refused(path, &one_class, BASE_FORMAT, part);
    set_refused(path, &one_class, BASE_FORMAT, "x.tfrecord': record ");
}

START_TEST(a_wrong_sum_of_a_length_names_file_and_record)
{
    add_tfds("a.JPEG", 0);
    const size_t second = file.bytes;
    add_tfds("b.JPEG", 1);
    file.at[second + 8] ^= 1;
    char want[80];
    snprintf(want, sizeof want, "record 1 (offset %zu): the CRC of its length is wrong",
             second);
    refused(want);
    file.at[8] ^= 1;
    refused("record 0 (offset 0): the CRC of its length is wrong: no TFRecord file");
}
END_TEST

START_TEST(a_wrong_sum_of_a_record_is_a_bad_sample)
{
    add_tfds("a.JPEG", 0);
    file.at[file.bytes - 1] ^= 1;
    const size_t second = file.bytes;
    add_tfds("b.JPEG", 1);
    const size_t third = file.bytes;
    file.at[third - 5] ^= 2; /* of the label: all bytes count */
    add_tfds("c.JPEG", 1);
    finish(path);
    data_source *source = set_open(path, NULL);
    char want[80];
    snprintf(want, sizeof want, "corrupt: the CRC of the record at offset %zu is wrong",
             second);
    set_unreadable(source, 0, "corrupt: the CRC of the record at offset 0 is wrong");
    set_unreadable(source, 1, want);
    set_holds(source, 2, "c.JPEG");
    data_source_close(source);
}
END_TEST

START_TEST(a_file_that_is_cut_is_refused_at_every_byte)
{
    add_tfds("a.JPEG", 0);
    const size_t second = file.bytes;
    add_tfds("b.JPEG", 1);
    const size_t whole = file.bytes;
    for (size_t i = second + 1; i < whole; i += 3) {
        file.bytes = i;
        refused(i < second + 12 ? "record 1 (offset"
                                : "end beyond the file, which is cut off");
    }
    file.bytes = 0;
    finish(path);
    set_refused(path, NULL, BASE_FORMAT, "is empty, expected a TFRecord file");
}
END_TEST

START_TEST(absurd_lengths_are_refused)
{
    add_little(&file, UINT64_MAX - 3, 8);
    add_little(&file, data_crc32c_masked(data_crc32c(0, file.at, 8)), 4);
    add(&file, "none", 4);
    refused("record 0 (offset 0): its 18446744073709551612 bytes end beyond the file");
    file.bytes = 0;
    add_record(&file, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    refused("record 0 (offset 0): it holds no tf.Example");
    file.bytes = 0;
    add_record(&file, "\x0a\x06\x0a\x7f....", 8);
    refused("record 0 (offset 0): it holds no tf.Example");
}
END_TEST

START_TEST(records_without_a_picture_are_refused_with_their_features)
{
    text features = {0};

    add_text(&features, "text", "once upon a time");
    add_number(&features, "label", 1);
    add_example(&file, &features);
    finish(path);
    set_refused(
        path, &one_class, BASE_FORMAT,
        "record 0 has no picture: looked for 'image' or 'image/encoded' with the bytes "
        "of a JPEG or PNG; it has the features text, label");
}
END_TEST

START_TEST(packed_files_are_refused_with_advice)
{
    char *packed = test_path(root, "x.tfrecord.gz");

    test_write(packed, "\x1f\x8b............", 14);
    set_refused(packed, NULL, BASE_UNSUPPORTED, "is compressed (gzip)");
    base_free(packed);
}
END_TEST

START_TEST(parquet_is_refused_with_what_converts_it)
{
    set_file(root, "hub/data/train-00000-of-00294.parquet", "PAR1", 4);
    char *folder = test_path(root, "hub");
    char *inside = test_path(root, "hub/data/train-00000-of-00294.parquet");
    const char *const paths[] = {folder, inside};

    for (size_t i = 0; i < 2; i++) {
        set_refused(paths[i], NULL, BASE_UNSUPPORTED, "of-00294.parquet' is Parquet");
        set_refused(paths[i], NULL, BASE_UNSUPPORTED, "pip install pyarrow webdataset");
        set_refused(paths[i], NULL, BASE_UNSUPPORTED, "for i, x in enumerate(r)]");
    }
    base_free(folder);
    base_free(inside);
}
END_TEST

START_TEST(labels_out_of_range_are_bad_samples)
{
    add_tfds("a.JPEG", 0);
    add_tfds("b.JPEG", 1);
    add_tfds("c.JPEG", (int64_t)1 << 40);
    add_tfds("d.JPEG", -7);
    finish(path);
    data_source *source = set_open(path, NULL);
    set_unreadable(source, 2, "label out of range 1073741821 or more");
    set_unreadable(source, 3, "label out of range -7");
    data_source_close(source);
}
END_TEST

/* ---- every rule of labels, at its edges ---------------------------------------------- */

typedef struct label_case {
    int slim;         /* whose records: 0 of TFDS */
    const char *text; /* a label for each record: a number, "-" none, "'cat" text */
    const char *synsets;
    const char *names; /* label.labels.txt, NULL: none */
    const char *want;  /* labels, x(...) for a bad sample */
    const char *notice;
} label_case;

static void add_labels(const label_case *c)
{
    const char *synset = c->synsets;

    for (const char *at = c->text; *at;) {
        text features = {0};
        const size_t bytes = strcspn(at, " ");
        char word[32];
        snprintf(word, sizeof word, "%.*s", (int)bytes, at);
        const char *key = c->slim ? "image/class/label" : "label";
        add_text(&features, c->slim ? "image/encoded" : "image", "p");
        if (word[0] == '\'')
            add_text(&features, key, word + 1);
        else if (strcmp(word, "-") != 0)
            add_number(&features, key, strtoll(word, NULL, 10));
        if (synset) {
            snprintf(word, sizeof word, "%.9s", synset);
            add_text(&features, "image/class/synset", word);
            synset += 10;
        }
        add_example(&file, &features);
        at += bytes + (at[bytes] == ' ');
    }
    finish(path);
    file.bytes = 0;
}

/* "0 1 x(no label part)". */
static void labels_text(char out[400], const data_source *source)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < data_source_count(source); i++) {
        unsigned char *bytes = NULL;
        size_t room = 0, size = 0;
        base_error err = {0};
        const base_status status = data_source_read(source, i, &bytes, &room, &size, &err);
        used += (size_t)snprintf(out + used, 400 - used, "%s", used ? " " : "");
        if (status == BASE_OK)
            used += (size_t)snprintf(out + used, 400 - used, "%d",
                                     data_source_label(source, i));
        else
            used += (size_t)snprintf(out + used, 400 - used, "x(%s)", err.text);
        base_free(bytes);
    }
}

START_TEST(labels_follow_their_rules)
{
    static const label_case cases[] = {
        {0, "0 1 - 1", NULL, NULL, "0 1 x(no label part) 1", "labels: 'label', from 0"},
        {0, "0 -1 1", NULL, NULL, "0 x(no label part) 1", "labels: 'label', from 0"},
        {0, "1 2", NULL, NULL, "1 2", "labels: 'label', from 0"},
        {0, "65535 0", NULL, NULL, "65535 0", "labels: 'label', from 0"},
        {0, "65537 0", NULL, NULL, "x(label out of range 65537) 0",
         "labels: 'label', from 0"},
        {0, "-2 0 1", NULL, NULL, "x(label out of range -2) 0 1",
         "labels: 'label', from 0"},
        {0, "'cat 'ant -", NULL, NULL, "1 0 x(no label part)", ""},
        {1, "1 3", NULL, NULL, "0 2",
         "labels: 'image/class/label', counted from 1 (none is 0): label 0 is its 1"},
        {1, "65536 1", NULL, NULL, "65535 0",
         "labels: 'image/class/label', counted from 1 (none is 0): label 0 is its 1"},
        {1, "0 3", NULL, NULL, "0 3",
         "labels: 'image/class/label', counted from 0 (one is 0)"},
        {1, "2 0 1", "n01443537 n00000000 n00000000", NULL, "1 x(label out of range 0) 0",
         "labels: 'image/class/label', counted from 1 (its WordNet ids say so): label 0 "
         "is its 1"},
        {1, "1 2", "n01443537 n00000000", NULL, "1 2",
         "labels: 'image/class/label', counted from 0 (its WordNet ids say so)"},
        {1, "2 5", "n01440764 n00000000", NULL, "1 4", /* neither */
         "labels: 'image/class/label', counted from 1 (none is 0): label 0 is its 1"},
        {1, "0 1", NULL, "a\nb\n", "0 1", /* names are TFDS's */
         "labels: 'image/class/label', counted from 0 (one is 0)"},
        {0, "0 1", NULL, "b\r\n\r\na", "1 0",
         "labels: 'label', from 0; their names are those of 'label.labels.txt'"},
        {0, "0 2", NULL, "b\na\n", "0 2",
         "labels: 'label', from 0; 'label.labels.txt' is not used: it has fewer names "
         "than labels"},
        {0, "0 1", NULL, "b\na\nb\n", "0 1",
         "labels: 'label', from 0; 'label.labels.txt' is not used: it has a name twice"},
        {0, "0 - 1", NULL, "b\na\n", "1 x(no label part) 0",
         "labels: 'label', from 0; their names are those of 'label.labels.txt'"},
        {0, "-3 0 1", NULL, "b\na\n", "x(label out of range -3) 0 1",
         "labels: 'label', from 0"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const label_case *c = &cases[i];
        char *names = test_path(root, "label.labels.txt"), found[400];
        unlink(names);
        if (c->names)
            test_write(names, c->names, strlen(c->names));
        add_labels(c);
        data_source *source = set_open(path, &one_class);
        labels_text(found, source);
        ck_assert_msg(strcmp(found, c->want) == 0, "case %zu: %s", i, found);
        ck_assert_msg(strcmp(data_source_notice(source), c->notice) == 0, "case %zu: %s", i,
                      data_source_notice(source));
        data_source_close(source);
        base_free(names);
    }
}
END_TEST

START_TEST(labels_of_two_kinds_or_none_are_refused)
{
    static const label_case mixed = {.text = "1 'cat 2 'dog 'ant"};
    static const label_case below = {.text = "-3 -2"};
    const data_source_options key = {.label_key = "kind", .allow_unlabelled = true};
    char *none = base_text("'%s' has no sample with a label", path);
    char *want =
        base_text("'%s': 2 labels are numbers and 3 are text, expected one kind", path);
    data_source *source = NULL;
    base_error err = {0};

    add_labels(&mixed);
    ck_assert_int_eq(data_source_open(&source, path, NULL, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, want);
    base_free(want);
    add_labels(&below);
    ck_assert_int_eq(data_source_open(&source, path, NULL, &err), BASE_FORMAT);
    ck_assert_str_eq(err.text, none);
    base_free(none);
    add_labels(&mixed);
    ck_assert_int_eq(data_source_open(&source, path, &key, &err), BASE_FORMAT);
    want = base_text("'%s': no label in 5 records: looked for kind; the first has the "
                     "features image, label; --label-key KEY names another",
                     path);
    ck_assert_str_eq(err.text, want);
    base_free(want);
}
END_TEST

/* Which names are shards, and of which part. */
START_TEST(names_of_shards_tell_their_part)
{
    static const struct {
        const char *name;
        const char *split; /* NULL: no shard by its name */
    } names[] = {
        {"train-00000-of-00009", "train"}, {"a-validation.tfrecord", "val"},
        {"x_test.tfrec", "test"},          {"dev.tfrecords-00000-of-00001", "val"},
        {"a.training.tfrecord", "train"},  {"train-0000-of-00009", NULL},
        {"train-00000-of-0000", NULL},     {"train_00000-of-00001", NULL},
        {"train-00000-to-00001", NULL},    {"train-0000x-of-00001", NULL},
        {"train-00000-of-0000x", NULL},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t k = 0; k < 3; k++) {
            static const char *const splits[] = {"train", "val", "test"};
            const data_source_options options = {.split = splits[k],
                                                 .allow_single_class = true};
            char *folder = test_path(root, "set");
            add_tfds("a.JPEG", 0);
            set_file(folder, names[i].name, file.at, file.bytes);
            file.bytes = 0;
            data_source *source = NULL;
            const base_status status = data_source_open(&source, folder, &options, NULL);
            const bool want = names[i].split && strcmp(names[i].split, splits[k]) == 0;
            ck_assert_msg((status == BASE_OK) == want, "%s as %s", names[i].name,
                          splits[k]);
            if (want)
                ck_assert_str_eq(data_source_layout(source), "tfrecord");
            data_source_close(source);
            test_folder_remove(folder);
        }
    }
}
END_TEST

/* Numbers of records are those within their own file, whichever sample. */
START_TEST(records_are_numbered_in_their_file)
{
    static const size_t counts[] = {3, 1, 4};
    char name[128], want[128];

    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < counts[k]; i++)
            add_tfds("x/", (int64_t)k); /* no name of a file */
        snprintf(name, sizeof name, "s-0000%zu-of-00003", k);
        finish_as(name);
    }
    data_source *source = set_open(root, NULL);
    for (size_t k = 0, at = 0; k < 3; k++) {
        for (size_t i = 0; i < counts[k]; i++, at++) {
            char found[600];
            snprintf(want, sizeof want, "%zu/s-0000%zu-of-00003/record-%zu", k, k, i);
            ck_assert_str_eq(data_source_relative_name(source, at, found, sizeof found),
                             want);
            snprintf(want, sizeof want, "s-0000%zu-of-00003[%zu]!record-%zu", k, i, i);
            ck_assert_ptr_nonnull(
                strstr(data_source_name(source, at, found, sizeof found), want));
        }
    }
    data_source_close(source);
}
END_TEST

/* What a protocol buffer may hold besides, and what none may. */
START_TEST(messages_are_read_whole_or_refused)
{
    static const struct {
        const char *bytes; /* behind a whole example */
        size_t count;
        bool good;
    } tails[] = {
        {"", 0, true},
        {"\x10\x05", 2, true},     /* another field: a number */
        {"\x12\x02zz", 4, true},   /* bytes */
        {"\x19........", 9, true}, /* 64 bits */
        {"\x1d....", 5, true},     /* 32 bits */
        {"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true},
        {"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, false}, /* eleven */
        {"\x10", 1, false},
        {"\x10\x80", 2, false},
        {"\x12\x03zz", 4, false},
        {"\x19.......", 8, false},
        {"\x1d...", 4, false},
        {"\x13", 1, false},                     /* groups are no more */
        {"\x0a\x02\x12\x05", 4, false},         /* features whose field is cut */
        {"\x0a\x04\x0a\x02\x0a\x05", 6, false}, /* an entry's name is cut */
        {"\x0a\x02\x10\x05", 4, true},
    };

    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        text features = {0}, example = {0};
        data_source *source = NULL;
        base_error err = {0};
        add_text(&features, "image", "p");
        add_number(&features, "label", 3);
        add_body(&example, 1, features.at, features.bytes);
        add(&example, tails[i].bytes, tails[i].count);
        file.bytes = 0;
        add_record(&file, example.at, example.bytes);
        finish(path);
        const base_status status = data_source_open(&source, path, &one_class, &err);
        ck_assert_msg((status == BASE_OK) == tails[i].good, "tail %zu: %s", i, err.text);
        if (tails[i].good) {
            ck_assert_int_eq(data_source_label(source, 0), 3);
            set_holds(source, 0, "p");
        } else {
            char *want =
                base_text("'%s': record 0 (offset 0): it holds no tf.Example", path);
            ck_assert_str_eq(err.text, want);
            base_free(want);
        }
        data_source_close(source);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data_tfrecord");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, the_sum_is_castagnolis);
    tcase_add_test(core, records_of_tfds_have_labels_from_0);
    tcase_add_test(core, labels_of_slim_count_from_1_and_the_notice_says_so);
    tcase_add_test(core, wordnet_ids_decide_where_labels_begin);
    tcase_add_test(core, a_folder_of_tfds_has_parts_and_names);
    tcase_add_test(core, slims_shards_are_known_by_their_numbers);
    tcase_add_test(core, labels_may_be_text_or_of_another_name);
    tcase_add_test(core, without_any_label_they_are_images_to_predict);
    tcase_add_test(core, other_ways_to_write_the_same_are_read);
    tcase_add_test(core, a_kept_index_serves_records);
    tcase_add_test(limits, a_wrong_sum_of_a_length_names_file_and_record);
    tcase_add_test(limits, a_wrong_sum_of_a_record_is_a_bad_sample);
    tcase_add_test(limits, a_file_that_is_cut_is_refused_at_every_byte);
    tcase_add_test(limits, absurd_lengths_are_refused);
    tcase_add_test(limits, records_without_a_picture_are_refused_with_their_features);
    tcase_add_test(limits, packed_files_are_refused_with_advice);
    tcase_add_test(limits, parquet_is_refused_with_what_converts_it);
    tcase_add_test(limits, labels_out_of_range_are_bad_samples);
    tcase_add_test(core, labels_follow_their_rules);
    tcase_add_test(core, names_of_shards_tell_their_part);
    tcase_add_test(core, records_are_numbered_in_their_file);
    tcase_add_test(limits, labels_of_two_kinds_or_none_are_refused);
    tcase_add_test(limits, messages_are_read_whole_or_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
