/* test_vit_index.c - MessagePack as it is read, object by object, and the checkpoints of
 * V-MoE that are made of it: tensors in pieces of several shards, and every refusal by its
 * text. */
#include "tests/test_folder.h"
#include "tests/test_leaks.h"
#include "tests/test_model.h"
#include "tests/test_run.h"
#include "vit/files/raw_internal.h"

/* ---- MessagePack --------------------------------------------------------------------- */

/* Bytes, what is read of them, how many. One byte less is nothing. */
START_TEST(objects_are_read_as_the_specification_says)
{
    static const struct {
        const char *bytes;
        size_t count, taken;
        vit_pack_item item;
    } cases[] = {
        {"\x00", 1, 1, {VIT_PACK_UINT, .number = 0}},
        {"\x7f", 1, 1, {VIT_PACK_UINT, .number = 127}},
        {"\x82\1\1\1\1", 5, 1, {VIT_PACK_MAP, .number = 2}},
        {"\x8f"
         "0123456789"
         "0123456789"
         "0123456789",
         31,
         1,
         {VIT_PACK_MAP, .number = 15}},
        {"\x93\1\1\1", 4, 1, {VIT_PACK_ARRAY, .number = 3}},
        {"\x9f"
         "0123456789"
         "01234",
         16,
         1,
         {VIT_PACK_ARRAY, .number = 15}},
        {"\xa0", 1, 1, {VIT_PACK_STR, .number = 0}},
        {"\xa3"
         "abc",
         4,
         4,
         {VIT_PACK_STR, .size = 3}},
        {"\xbf"
         "0123456789"
         "0123456789"
         "0123456789"
         "x",
         32,
         32,
         {VIT_PACK_STR, .size = 31}},
        {"\xc0", 1, 1, {VIT_PACK_NIL, .number = 0}},
        {"\xc2", 1, 1, {VIT_PACK_BOOL, .number = 0}},
        {"\xc3", 1, 1, {VIT_PACK_BOOL, .number = 1}},
        {"\xc4\2ab", 4, 4, {VIT_PACK_BIN, .size = 2}},
        {"\xc5\0\2ab", 5, 5, {VIT_PACK_BIN, .size = 2}},
        {"\xc6\0\0\0\2ab", 7, 7, {VIT_PACK_BIN, .size = 2}},
        {"\xc7\2\x08"
         "ab",
         5,
         5,
         {VIT_PACK_EXT, .size = 2, .type = 8}},
        {"\xc8\0\2\xff"
         "ab",
         6,
         6,
         {VIT_PACK_EXT, .size = 2, .type = -1}},
        {"\xc9\0\0\0\2\6ab", 8, 8, {VIT_PACK_EXT, .size = 2, .type = 6}},
        {"\xca\1\2\3\4", 5, 5, {VIT_PACK_OTHER, .number = 0x01020304}},
        {"\xcb\1\2\3\4\5\6\7\x08", 9, 9, {VIT_PACK_OTHER, .number = 0x0102030405060708}},
        {"\xcc\xff", 2, 2, {VIT_PACK_UINT, .number = 255}},
        {"\xcd\1\2", 3, 3, {VIT_PACK_UINT, .number = 0x0102}},
        {"\xce\1\2\3\4", 5, 5, {VIT_PACK_UINT, .number = 0x01020304}},
        {"\xcf\1\2\3\4\5\6\7\x08", 9, 9, {VIT_PACK_UINT, .number = 0x0102030405060708}},
        {"\xd0\xff", 2, 2, {VIT_PACK_OTHER, .number = 255}},
        {"\xd1\1\2", 3, 3, {VIT_PACK_OTHER, .number = 0x0102}},
        {"\xd2\1\2\3\4", 5, 5, {VIT_PACK_OTHER, .number = 0x01020304}},
        {"\xd3\1\2\3\4\5\6\7\x08", 9, 9, {VIT_PACK_OTHER, .number = 0x0102030405060708}},
        {"\xd4\5a", 3, 3, {VIT_PACK_EXT, .size = 1, .type = 5}},
        {"\xd5\5ab", 4, 4, {VIT_PACK_EXT, .size = 2, .type = 5}},
        {"\xd6\5abcd", 6, 6, {VIT_PACK_EXT, .size = 4, .type = 5}},
        {"\xd7\5abcdefgh", 10, 10, {VIT_PACK_EXT, .size = 8, .type = 5}},
        {"\xd8\5abcdefghabcdefgh", 18, 18, {VIT_PACK_EXT, .size = 16, .type = 5}},
        {"\xd9\2ab", 4, 4, {VIT_PACK_STR, .size = 2}},
        {"\xda\0\2ab", 5, 5, {VIT_PACK_STR, .size = 2}},
        {"\xdb\0\0\0\2ab", 7, 7, {VIT_PACK_STR, .size = 2}},
        {"\xdc\0\2\1\1", 5, 3, {VIT_PACK_ARRAY, .number = 2}},
        {"\xdd\0\0\0\2\1\1", 7, 5, {VIT_PACK_ARRAY, .number = 2}},
        {"\xde\0\1\1\1", 5, 3, {VIT_PACK_MAP, .number = 1}},
        {"\xdf\0\0\0\1\1\1", 7, 5, {VIT_PACK_MAP, .number = 1}},
        {"\xe0", 1, 1, {VIT_PACK_OTHER, .number = 0}},
        {"\xff", 1, 1, {VIT_PACK_OTHER, .number = 0}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const unsigned char *at = (const unsigned char *)cases[i].bytes;
        const vit_pack_item *want = &cases[i].item;
        vit_pack from = {at, at + cases[i].count};
        vit_pack_item item;

        ck_assert_msg(vit_pack_next(&item, &from), "case %zu", i);
        ck_assert_msg(item.kind == want->kind && item.number == want->number &&
                          item.size == want->size && item.type == want->type,
                      "case %zu: %d %llu %zu %d", i, (int)item.kind,
                      (unsigned long long)item.number, item.size, item.type);
        ck_assert_ptr_eq(from.at, at + cases[i].taken);
        if (item.size > 0) {
            const vit_pack inner = vit_pack_of(&item);
            ck_assert_ptr_eq(inner.at, at + cases[i].taken - item.size);
            ck_assert_ptr_eq(inner.end, at + cases[i].taken);
        }
        from = (vit_pack){at, at + cases[i].count - 1};
        ck_assert_msg(!vit_pack_next(&item, &from), "case %zu, cut", i);
        from = (vit_pack){at, at + cases[i].count};
        ck_assert(vit_pack_take(&item, &from, want->kind));
        from = (vit_pack){at, at + cases[i].count};
        ck_assert(!vit_pack_take(&item, &from,
                                 want->kind == VIT_PACK_MAP ? VIT_PACK_NIL : VIT_PACK_MAP));
        from = (vit_pack){at, at + cases[i].count};
        ck_assert(vit_pack_skip(&from)); /* with all that is in it */
        ck_assert_ptr_eq(from.at, from.end);
    }
}
END_TEST

/* ---- checkpoints --------------------------------------------------------------------- */

typedef struct text {
    unsigned char at[4096];
    size_t count;
} text;

static void put(text *t, const void *bytes, size_t count)
{
    ck_assert_uint_le(t->count + count, sizeof t->at);
    memcpy(t->at + t->count, bytes, count);
    t->count += count;
}

static void put_byte(text *t, size_t byte)
{
    put(t, &(unsigned char){(unsigned char)byte}, 1);
}

static void put_uint(text *t, size_t value) /* below 65536 */
{
    if (value < 128) {
        put_byte(t, value);
        return;
    }
    put_byte(t, 0xcd);
    put_byte(t, value >> 8);
    put_byte(t, value & 255);
}

static void put_word(text *t, const char *word)
{
    put_byte(t, 0xd9);
    put_byte(t, strlen(word));
    put(t, word, strlen(word));
}

static void put_bin(text *t, const text *inner)
{
    put_byte(t, 0xc5);
    put_byte(t, inner->count >> 8);
    put_byte(t, inner->count & 255);
    put(t, inner->at, inner->count);
}

static void put_ext(text *t, size_t type, const text *inner)
{
    put_byte(t, 0xc8);
    put_byte(t, inner->count >> 8);
    put_byte(t, inner->count & 255);
    put_byte(t, type);
    put(t, inner->at, inner->count);
}

/* A piece of a tensor. */
typedef struct piece {
    size_t start[3], stop[3], shard;
} piece;

typedef struct tensor {
    const char *name; /* one key */
    const char *type;
    int rank;
    size_t shape[3];
    const piece *pieces;
    size_t count;
} tensor;

/* What is wrong about the files; 0: nothing. */
static int wrong;

/* An array of slices, one an axis. */
static void put_slices(text *t, const piece *p, int rank)
{
    put_byte(t, 0x90 + (size_t)rank + (wrong == 1));
    for (int a = 0; a < rank; a++) {
        text slice = {0};
        put_byte(&slice, 0x93);
        put_uint(&slice, p->start[a]);
        put_uint(&slice, p->stop[a]);
        put_byte(&slice, wrong == 2 ? 2 : a == 0 ? 0xc0 : 1); /* a step: none or 1 */
        put_bin(t, &slice);
    }
}

static void put_leaf(text *t, const tensor *w)
{
    text leaf = {0}, aval = {0};

    put_byte(&aval, 0x94);
    put_byte(&aval, 0x90 + (size_t)w->rank);
    for (int a = 0; a < w->rank; a++)
        put_uint(&aval, w->shape[a]);
    put_word(&aval, wrong == 3 ? "float32 of many" : w->type);
    put_byte(&aval, 0xc2);
    put_byte(&aval, 0x80);
    put_byte(&leaf, wrong == 4 ? 0x92 : 0x93);
    put_bin(&leaf, &aval);
    put_byte(&leaf, 0x90 + w->count);
    for (size_t i = 0; i < w->count; i++) {
        text slices = {0};
        put_slices(&slices, &w->pieces[i], w->rank);
        put_bin(&leaf, &slices);
    }
    put_byte(&leaf, 0x90 + w->count - (wrong == 5));
    for (size_t i = 0; i < w->count; i++)
        put_uint(&leaf, w->pieces[i].shard);
    put_ext(t, wrong == 6 ? 9 : 8, &leaf);
}

static char *dir, *path;

static void setup(void)
{
    dir = test_folder_make();
    path = test_path(dir, "x.index");
    wrong = 0;
}

static void teardown(void)
{
    base_free(path);
    test_folder_remove(dir);
}

/* Tensors of a map "net", whose keys are in any order. */
static void write_index(const tensor *w, size_t count, size_t shards)
{
    text t = {0};

    put_byte(&t, 0x83);
    put_word(&t, "shard_count");
    put_uint(&t, wrong == 7 ? 0 : shards);
    put_word(&t, "version");
    put_word(&t, wrong == 8 ? "20220623" : "20220622");
    put_word(&t, wrong == 9 ? "indices" : "index");
    put_byte(&t, 0x82);
    put_word(&t, wrong == 10 ? "a/b" : wrong == 11 ? "" : "net");
    put_byte(&t, 0x80 + count);
    for (size_t i = 0; i < count; i++) {
        put_word(&t, w[i].name);
        put_leaf(&t, &w[i]);
    }
    put_word(&t, "nothing");
    put_byte(&t, wrong == 12 ? 5 : 0xc0);
    test_write(path, t.at, t.count - (wrong == 13));
}

/* Values k, k + 1, ... of a tensor [shape] in the pieces of this shard, by leaf numbers;
 * each piece in parts of `part` values. */
static void write_shard(const tensor *w, const size_t *number, size_t count, size_t shard,
                        size_t shards, size_t part)
{
    text t = {0};
    char name[64];

    put_byte(&t, 0x81 + count);
    put_word(&t, "__msgpack_array_chunk_a87ca2__");
    put_byte(&t, wrong == 20 ? 0xc2 : 0xc3);
    for (size_t k = 0; k < count; k++) {
        size_t here = 0;
        snprintf(name, sizeof name, "%zu", number[k]);
        if (wrong == 34)
            put_uint(&t, number[k]);
        else
            put_word(&t, wrong == 21   ? "9"
                         : wrong == 35 ? "000000000000000000000000"
                         : wrong == 36 ? "1"
                         : wrong == 37 ? "-1"
                         : wrong == 38 ? "0\n"
                                       : name);
        for (size_t i = 0; i < w[k].count; i++)
            here += w[k].pieces[i].shard == shard;
        put_byte(&t, wrong == 32 ? 0xc0 : 0x90 + here - (wrong == 22));
        for (size_t i = 0; i < w[k].count; i++) {
            const piece *p = &w[k].pieces[i];
            float values[64];
            size_t n = 0;
            text slices = {0};
            if (p->shard != shard || (wrong == 22 && i == 0))
                continue;
            for (size_t a = p->start[0]; a < (w[k].rank > 0 ? p->stop[0] : 1); a++)
                for (size_t b = p->start[1]; b < (w[k].rank > 1 ? p->stop[1] : 1); b++)
                    for (size_t c = p->start[2]; c < (w[k].rank > 2 ? p->stop[2] : 1); c++)
                        values[n++] =
                            (float)((a * (w[k].rank > 1 ? w[k].shape[1] : 1) + b) *
                                        (w[k].rank > 2 ? w[k].shape[2] : 1) +
                                    c);
            put_byte(&t, wrong == 23 ? 0x93 : 0x92);
            n = wrong == 31 ? 0 : n;
            put_byte(&t, wrong == 31 ? 0xc0 : 0x90 + (n + part - 1) / part);
            for (size_t from = 0; from < n; from += part) {
                const size_t size = n - from < part ? n - from : part;
                text array = {0}, data = {0};
                put_byte(&array, 0x93);
                put_byte(&array, 0x91);
                put_uint(&array, wrong == 24 ? size - 1 : wrong == 25 ? size + 9 : size);
                put_word(&array, wrong == 26 ? "float64" : w[k].type);
                put(&data, values + from, (wrong == 24 ? size - 1 : size) * sizeof *values);
                put_bin(&array, &data);
                put_ext(&t, wrong == 27 ? 2 : 1, &array);
            }
            piece told = *p;
            told.stop[0] += wrong == 28 ? 9 : 0;
            told.start[0] += wrong == 29;
            put_slices(&slices, &told, w[k].rank);
            put_ext(&t, wrong == 30 ? 7 : 6, &slices);
        }
    }
    snprintf(name, sizeof name, "x.data-%05zu-of-%05zu", shard, shards);
    char *to = test_path(dir, name);
    test_write(to, t.at, t.count);
    base_free(to);
}

/* Numbers count the leaves with the keys in byte order: "net/a", "net/a-b", ...; pieces of
 * three axes that cut rows, in two shards, each in parts that end within a row. */
START_TEST(pieces_come_together)
{
    static const piece cube[] = {{{0, 0, 0}, {2, 3, 2}, 1},
                                 {{0, 0, 2}, {1, 3, 5}, 0},
                                 {{1, 0, 2}, {2, 3, 5}, 1}},
                       matrix[] = {{{1, 0}, {3, 4}, 0}, {{0, 0}, {1, 4}, 0}},
                       row[] = {{{0}, {7}, 1}}, scalar[] = {{{0}, {0}, 0}};
    static const tensor w[] = {
        {"z", "float32", 3, {2, 3, 5}, cube, 3}, {"b", "float32", 2, {3, 4}, matrix, 2},
        {"b-c", "float32", 1, {7}, row, 1},      {"a", "float32", 0, {0}, scalar, 1},
        {"i", "int32", 1, {7}, row, 1},
    };
    static const size_t number[] = {4, 1, 2, 0, 3};
    enum { COUNT = sizeof w / sizeof w[0] };

    for (size_t part = 1; part < 8; part += 2) {
        base_error err = {0};
        vit_raw_set set = {0};
        write_index(w, COUNT, 2);
        write_shard(w, number, COUNT, 0, 2, part > 4 ? 32 : 2 + part);
        write_shard(w, number, COUNT, 1, 2, part > 4 ? 32 : 2 + part);
        must(vit_raw_index_read(&set, path, &err), &err);
        ck_assert_uint_eq(set.count, COUNT);
        for (size_t k = 0; k < COUNT; k++) {
            char name[16];
            snprintf(name, sizeof name, "net/%s", w[k].name);
            const vit_raw *raw = &set.at[number[k]];
            ck_assert_str_eq(raw->name, name);
            ck_assert_str_eq(raw->type, w[k].type);
            ck_assert_int_eq(raw->rank, w[k].rank);
            ck_assert_mem_eq(raw->shape, w[k].shape, sizeof w[k].shape);
            ck_assert((raw->values != NULL) == (strcmp(w[k].type, "float32") == 0));
            for (size_t i = 0; raw->values && i < raw->count; i++)
                ck_assert(raw->values[i] == (float)i);
        }
        ck_assert_uint_eq(set.at[4].count, 30);
        ck_assert_uint_eq(set.at[0].count, 1);
        vit_raw_free(&set);
    }
}
END_TEST

START_TEST(wrong_files_are_named)
{
    static const piece halves[] = {{{0, 0}, {1, 3}, 0}, {{1, 0}, {2, 3}, 0}},
                       meeting[] = {{{0, 0}, {2, 3}, 0}, {{1, 0}, {2, 3}, 0}},
                       lacking[] = {{{0, 0}, {1, 3}, 0}, {{1, 0}, {2, 2}, 0}},
                       outside[] = {{{0, 0}, {1, 3}, 0}, {{1, 0}, {3, 3}, 0}},
                       backwards[] = {{{0, 0}, {1, 3}, 0}, {{2, 0}, {1, 3}, 0}},
                       elsewhere[] = {{{0, 0}, {1, 3}, 0}, {{1, 0}, {2, 3}, 1}},
                       no_shard[] = {{{0, 0}, {1, 3}, 0}, {{1, 0}, {2, 3}, 60000}};
    static const struct {
        int wrong;
        const piece *pieces;
        const char *words; /* X: the index, Y: the shard */
    } cases[] = {
        {1, halves, "'X' tensor 'net/w' is described in no known way"},
        {2, halves, "'X' tensor 'net/w' is described in no known way"},
        {3, halves, "'X' tensor 'net/w' is described in no known way"},
        {4, halves, "'X' tensor 'net/w' is described in no known way"},
        {5, halves, "'X' tensor 'net/w' is described in no known way"},
        {6, halves,
         "'X' is no checkpoint index: its tree holds something else than tensors"},
        {7, halves, "'X' is no checkpoint index: it has no 'shard_count'"},
        {8, halves, "'X' has another version than '20220622'"},
        {9, halves, "'X' is no checkpoint index: it has no 'index'"},
        {10, halves, "'X' is no checkpoint index: its tree has an odd key"},
        {11, halves, "'X' is no checkpoint index: its tree has an odd key"},
        {12, halves,
         "'X' is no checkpoint index: its tree holds something else than tensors"},
        {13, halves, "'X' is no checkpoint index: it ends early"},
        {0, meeting, "'X' tensor 'net/w' has pieces that overlap"},
        {0, lacking, "'X' tensor 'net/w' has pieces of 5 values, expected 6"},
        {0, outside, "'X' tensor 'net/w' has a piece outside of its shape"},
        {0, backwards, "'X' tensor 'net/w' has a piece outside of its shape"},
        {0, elsewhere, "'X' tensor 'net/w' lies in shard 1 of 1"},
        {0, no_shard, "'X' tensor 'net/w' lies in shard 60000 of 1"},
        {20, halves, "'Y' is no shard of a checkpoint"},
        {21, halves, "'Y' holds the tensor number '9', the index has 1"},
        {22, halves, "'X' tensor 'net/w' is not complete: shard 0 lacks a piece of it"},
        {23, halves, "'Y' tensor 'net/w' has a chunk that is none"},
        {24, halves, "'Y' tensor 'net/w' has a piece of another size than its box"},
        {25, halves, "'Y' tensor 'net/w' has a piece of another size than its box"},
        {26, halves, "'Y' tensor 'net/w' has another type than the index says"},
        {27, halves, "'Y' tensor 'net/w' has a piece that is no array"},
        {28, halves, "'Y' tensor 'net/w' has a chunk outside of its shape"},
        {29, halves, "'Y' tensor 'net/w' has a chunk that the index does not name"},
        {30, halves, "'Y' tensor 'net/w' has a chunk without its place"},
        {31, halves, "'Y' tensor 'net/w' has a chunk without data"},
        {32, halves, "'Y' tensor 'net/w' is cut off or damaged"},
        {34, halves, "'Y' is cut off or damaged"},
        {35, halves,
         "'Y' holds the tensor number '00000000000000000000000', the index has 1"},
        {36, halves, "'Y' holds the tensor number '1', the index has 1"},
        {37, halves, "'Y' holds the tensor number '-1', the index has 1"},
        {38, halves, "'Y' holds the tensor number '0\\x0a', the index has 1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const tensor w = {"w", "float32", 2, {2, 3}, cases[i].pieces, 2};
        base_error err = {0};
        vit_raw_set set = {0};
        char *shard = test_path(dir, "x.data-00000-of-00001");

        wrong = cases[i].wrong;
        write_index(&w, 1, 1);
        write_shard(&w, (const size_t[]){0}, 1, 0, 1, 3);
        const base_status status = vit_raw_index_read(&set, path, &err);
        char *expected =
            base_text("'%s%s", cases[i].words[1] == 'X' ? path : shard, cases[i].words + 2);
        ck_assert_str_eq(err.text, expected);
        ck_assert_int_eq(status, wrong == 8 ? BASE_UNSUPPORTED : BASE_FORMAT);
        ck_assert_ptr_null(set.at);
        base_free(expected);
        base_free(shard);
    }
}
END_TEST

START_TEST(trees_that_are_none_are_named)
{
    enum { DEEP = 30 };
    text deep = {0}, twice = {0};
    static const piece all[] = {{{0}, {2}, 0}};
    static const tensor w = {"w", "float32", 1, {2}, all, 1};

    put_byte(&deep, 0x82);
    put_word(&deep, "shard_count");
    put_uint(&deep, 1);
    put_word(&deep, "index");
    for (size_t i = 0; i < DEEP; i++) {
        put_byte(&deep, 0x81);
        put_word(&deep, "a");
    }
    put_byte(&deep, 0xc0);
    put_byte(&twice, 0x82);
    put_word(&twice, "shard_count");
    put_uint(&twice, 1);
    put_word(&twice, "index");
    put_byte(&twice, 0x82);
    for (size_t i = 0; i < 2; i++) {
        put_word(&twice, "w");
        put_leaf(&twice, &w);
    }
    const struct {
        const void *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {deep.at, deep.count, "'X' is no checkpoint index: its tree is too deep"},
        {twice.at, twice.count, "'X' has the tensor 'w' twice"},
        {"\x82\xabshard_count\xa1x\xa5index\x80", 22,
         "'X' is no checkpoint index: 'shard_count' is no count of shards"},
        {"\x82\xabshard_count\x01\xa5index\x81\1\xc0", 23,
         "'X' is no checkpoint index: its tree has a key that is no text"},
        {"\x82\xabshard_count\x01\xa5index\x05", 21,
         "'X' is no checkpoint index: its tree holds something else than tensors"},
        {"\x93\1\1\1", 4, "'X' is no checkpoint index: no map of MessagePack"},
        {"\x81\1\1", 3, "'X' is no checkpoint index: a key is no text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        base_error err = {0};
        vit_raw_set set = {0};
        test_write(path, cases[i].bytes, cases[i].count);
        ck_assert_int_eq(vit_raw_index_read(&set, path, &err), BASE_FORMAT);
        char *expected = base_text("'%s%s", path, cases[i].words + 2);
        ck_assert_str_eq(err.text, expected);
        base_free(expected);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vit_index");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, objects_are_read_as_the_specification_says);
    tcase_add_test(core, pieces_come_together);
    tcase_add_test(limits, wrong_files_are_named);
    tcase_add_test(limits, trees_that_are_none_are_named);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
