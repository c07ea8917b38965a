/* test_data_probe.c - what headers of JPEG and PNG say, byte by byte, at every length; and
 * the counts of a survey over pictures of every kind. */
#include "data/data_internal.h"

#include "tests/test_leaks.h"
#include "tests/test_run.h"
#include "tests/test_set.h"

/* Bytes that are put together piece by piece. */
typedef struct pieces {
    unsigned char at[512];
    size_t size;
} pieces;

static void put(pieces *p, const void *bytes, size_t size)
{
    ck_assert_uint_le(p->size + size, sizeof p->at);
    memcpy(p->at + p->size, bytes, size);
    p->size += size;
}

static void put_segment(pieces *p, unsigned marker, const void *bytes, size_t size)
{
    const unsigned char head[] = {0xff, (unsigned char)marker,
                                  (unsigned char)((size + 2) >> 8),
                                  (unsigned char)(size + 2)};

    put(p, head, sizeof head);
    put(p, bytes, size);
}

static void put_frame(pieces *p, unsigned marker, int bits, int components)
{
    const unsigned char frame[] = {(unsigned char)bits,      0x12, 0x34, 0x05, 0x67,
                                   (unsigned char)components};

    put_segment(p, marker, frame, sizeof frame);
}

/* An EXIF segment with two entries, the second the orientation. */
static void put_exif(pieces *p, bool little, unsigned type, unsigned value)
{
    unsigned char exif[6 + 8 + 2 + 2 * 12] = "Exif\0";
    unsigned char *tiff = exif + 6;
    const size_t low = little ? 0 : 1, high = 1 - low;

    memcpy(tiff, little ? "II" : "MM", 2);
    tiff[2 + low] = 42;
    tiff[4 + (little ? 0 : 3)] = 8; /* where the directory lies */
    tiff[8 + low] = 2;
    tiff[10 + low] = 0x10, tiff[10 + high] = 0x01; /* the camera's model */
    tiff[10 + 2 + low] = 3;
    tiff[10 + 8 + low] = 5;
    tiff[22 + low] = 0x12, tiff[22 + high] = 0x01;
    tiff[22 + 2 + low] = (unsigned char)type;
    tiff[22 + 8 + low] = (unsigned char)value,
                  tiff[22 + 8 + high] = (unsigned char)(value >> 8);
    put_segment(p, 0xe1, exif, sizeof exif);
}

static void check_about(const pieces *p, const data_about *want, const char *name)
{
    data_about found;

    ck_assert_msg(data_probe(&found, p->at, p->size), "%s: no header", name);
    ck_assert_msg(found.format == want->format && found.width == want->width &&
                      found.height == want->height && found.bits == want->bits &&
                      found.components == want->components &&
                      found.progressive == want->progressive &&
                      found.palette == want->palette &&
                      found.orientation == want->orientation,
                  "%s: format %d, %zu x %zu, %d x %d bits, progressive %d, palette %d, "
                  "orientation %d",
                  name, (int)found.format, found.width, found.height, found.components,
                  found.bits, found.progressive, found.palette, found.orientation);
    /* Without its last byte there is no header, and nothing is read behind the end. */
    for (size_t size = 0; size < p->size; size++) {
        unsigned char *exact = malloc(size > 0 ? size : 1);
        memcpy(exact, p->at, size);
        ck_assert_msg(!data_probe(&found, exact, size), "%s: %zu of %zu bytes", name, size,
                      p->size);
        const bool sign = size >= (want->format == DATA_FORMAT_PNG ? 8u : 3u);
        ck_assert_int_eq(found.format, sign ? want->format : DATA_FORMAT_OTHER);
        free(exact);
    }
}

START_TEST(frames_of_every_process_are_read)
{
    for (unsigned marker = 0xc0; marker <= 0xcf; marker++) {
        pieces p = {.size = 0};
        const bool frame = marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        const data_about want = {.format = DATA_FORMAT_JPEG,
                                 .height = 0x1234,
                                 .width = 0x0567,
                                 .bits = 12,
                                 .components = 4,
                                 .progressive = marker % 4 == 2};
        data_about found;
        put(&p, "\xff\xd8", 2);
        put_frame(&p, marker, 12, 4);
        if (frame)
            check_about(&p, &want, "frame");
        else
            ck_assert(!data_probe(&found, p.at, p.size));
    }
}
END_TEST

/* Before the frame: stuffing, tables, restarts, filling bytes, comments of any length. */
START_TEST(what_stands_before_a_frame_is_passed_over)
{
    static const struct {
        const char *bytes;
        size_t size;
    } before[] = {{"", 0},
                  {"\xff\xfe\0\2", 4},
                  {"\xff\xfe\0\5abc", 7},
                  {"\xff\xff\xff\xc4\0\3x", 7},
                  {"ab\xff\0\xff\x01\xff\xd0\xff\xd7", 10},
                  {"\xff\xcc\0\2\xff\xc8\0\2\xff\xe0\0\4JF", 14}};
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"\xff\xd8", 2},      {"\xff\xd9", 2},     {"\xff\xda\0\2", 4},
               {"\xff\xfe\0\1", 4},  {"\xff\xfe\0\0", 4}, {"\xff\xc0\0\7\x8\0\1\0\1", 9},
               {"\xff\xfe\7\xff", 4}};
    const data_about want = {.format = DATA_FORMAT_JPEG,
                             .height = 0x1234,
                             .width = 0x0567,
                             .bits = 8,
                             .components = 3};

    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        pieces p = {.size = 0};
        put(&p, "\xff\xd8\xff", 3); /* the third is a filling byte where 0xff follows */
        if (i == 4)
            p.size = 2, put(&p, "\xff\xfe\0\2", 4);
        put(&p, before[i].bytes, before[i].size);
        put_frame(&p, 0xc1, 8, 3);
        check_about(&p, &want, "before");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pieces p = {.size = 0};
        data_about found;
        put(&p, "\xff\xd8\xff\xfe\0\2", 6);
        put(&p, bad[i].bytes, bad[i].size);
        put_frame(&p, 0xc1, 8, 3);
        ck_assert_msg(!data_probe(&found, p.at, p.size), "bad %zu", i);
        ck_assert_int_eq(found.format, DATA_FORMAT_JPEG);
    }
}
END_TEST

START_TEST(orientations_of_both_orders_are_read)
{
    for (int little = 0; little < 2; little++) {
        for (unsigned value = 0; value <= 9; value++) {
            pieces p = {.size = 0};
            data_about want = {.format = DATA_FORMAT_JPEG,
                               .height = 0x1234,
                               .width = 0x0567,
                               .bits = 8,
                               .components = 1};
            want.orientation = value >= 1 && value <= 8 ? (int)value : 0;
            put(&p, "\xff\xd8", 2);
            put_exif(&p, little, 3, value);
            put_frame(&p, 0xc0, 8, 1);
            check_about(&p, &want, "orientation");
        }
    }
}
END_TEST

/* Byte `at` of the EXIF segment's contents becomes value: no orientation then. */
START_TEST(a_broken_directory_has_no_orientation)
{
    static const struct {
        size_t at;
        unsigned char value;
        int want;
    } changes[] = {
        {0, 'X', 0}, {4, 1, 0},     {6, 'M', 0},    {7, 'M', 0}, {8, 43, 0},
        {9, 1, 0},   {10, 9, 0},    {10, 0xff, 0},  {13, 1, 0},  {14, 1, 0},
        {14, 3, 6},  {14, 0xff, 6}, {28, 0x13, 0},  {29, 2, 0},  {30, 4, 0},
        {36, 8, 8},  {37, 1, 0},    {28 + 4, 9, 6}, {20, 3, 6},
    };

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        pieces p = {.size = 0};
        data_about found;
        put(&p, "\xff\xd8", 2);
        put_exif(&p, true, 3, 6);
        p.at[2 + 4 + changes[i].at] = changes[i].value;
        put_frame(&p, 0xc0, 8, 3);
        ck_assert(data_probe(&found, p.at, p.size));
        ck_assert_msg(found.orientation == changes[i].want, "change %zu: %d", i,
                      found.orientation);
    }
    /* A second segment counts where the first says nothing; a short one says nothing. */
    for (unsigned first = 0; first < 3; first += 2) {
        pieces p = {.size = 0};
        data_about found;
        put(&p, "\xff\xd8", 2);
        put_segment(&p, 0xe1, "Exif\0", 5);
        put_segment(&p, 0xe1, "Exif\0\0II*\0\0\0\0", 13);
        put_exif(&p, false, 3, first);
        put_exif(&p, true, 3, 7);
        put_frame(&p, 0xc0, 8, 3);
        ck_assert(data_probe(&found, p.at, p.size));
        ck_assert_int_eq(found.orientation, first ? 2 : 7);
    }
}
END_TEST

static void put_png(pieces *p, unsigned bits, unsigned type, unsigned interlaced)
{
    const unsigned char head[] = {0,
                                  0,
                                  0,
                                  13,
                                  'I',
                                  'H',
                                  'D',
                                  'R',
                                  1,
                                  2,
                                  3,
                                  4,
                                  5,
                                  6,
                                  7,
                                  8,
                                  (unsigned char)bits,
                                  (unsigned char)type,
                                  0,
                                  0,
                                  (unsigned char)interlaced,
                                  9,
                                  9,
                                  9,
                                  9};

    put(p, "\x89PNG\r\n\x1a\n", 8);
    put(p, head, sizeof head);
}

START_TEST(colours_of_png_are_read)
{
    static const int components[] = {1, 0, 3, 3, 2, 0, 4, 0, 0};

    for (unsigned type = 0; type < 9; type++) {
        for (unsigned interlaced = 0; interlaced < 2; interlaced++) {
            pieces p = {.size = 0};
            data_about found;
            const data_about want = {.format = DATA_FORMAT_PNG,
                                     .width = 0x01020304,
                                     .height = 0x05060708,
                                     .bits = 16,
                                     .components = components[type],
                                     .palette = type == 3,
                                     .progressive = interlaced};
            put_png(&p, 16, type, interlaced);
            if (components[type] > 0)
                check_about(&p, &want, "PNG");
            else
                ck_assert(!data_probe(&found, p.at, p.size));
        }
    }
    pieces p = {.size = 0};
    data_about found;
    put_png(&p, 8, 2, 0);
    p.at[12] = 'J';
    ck_assert(!data_probe(&found, p.at, p.size));
    ck_assert_int_eq(found.format, DATA_FORMAT_PNG);
}
END_TEST

/* ---- a survey of headers ------------------------------------------------------------- */

static void set_pieces(const char *root, const char *name, const pieces *p)
{
    set_file(root, name, p->at, p->size);
}

/* A JPEG's header of these sides. */
static pieces jpeg_of(unsigned char width, unsigned char height, unsigned marker,
                      int components, unsigned turned)
{
    pieces p = {.size = 0};

    put(&p, "\xff\xd8", 2);
    if (turned)
        put_exif(&p, true, 3, turned);
    put_frame(&p, marker, 8, components);
    p.at[p.size - 5] = p.at[p.size - 3] = 0;
    p.at[p.size - 4] = height;
    p.at[p.size - 2] = width;
    return p;
}

static pieces png_of(unsigned char width, unsigned char height, unsigned bits,
                     unsigned type, unsigned interlaced)
{
    pieces p = {.size = 0};

    put_png(&p, bits, type, interlaced);
    memset(p.at + 16, 0, 8);
    p.at[19] = width;
    p.at[23] = height;
    return p;
}

START_TEST(a_survey_counts_pictures_of_every_kind)
{
    static const struct {
        data_picture_kind kind;
        size_t count;
        const char *name, *note;
    } want[DATA_PICTURE_KINDS] = {
        {DATA_PICTURE_JPEG, 6, "JPEG", ""},
        {DATA_PICTURE_PNG, 6, "PNG", ""},
        {DATA_PICTURE_RAW, 0, "raw pixels", ""},
        {DATA_PICTURE_GREY, 3, "grey", "one channel, made three"},
        {DATA_PICTURE_CMYK, 1, "CMYK", "four inks, made RGB as Pillow does"},
        {DATA_PICTURE_ALPHA, 2, "alpha", "dropped, nothing is composited"},
        {DATA_PICTURE_PALETTE, 1, "palette", "made RGB"},
        {DATA_PICTURE_DEEP, 2, "above 8 bits", "the high 8 are used"},
        {DATA_PICTURE_PROGRESSIVE, 2, "progressive", "or interlaced"},
        {DATA_PICTURE_TURNED, 1, "rotated",
         "by EXIF; used as they lie, as torchvision does"},
        {DATA_PICTURE_MISNAMED, 3, "misnamed",
         "a PNG named .JPEG or so; the content counts"},
    };
    const struct {
        const char *name;
        pieces file;
    } files[] = {
        {"a/0.jpg", jpeg_of(10, 20, 0xc0, 3, 0)}, {"a/1.jpeg", jpeg_of(11, 7, 0xc2, 3, 1)},
        {"a/2.JPG", jpeg_of(12, 5, 0xc1, 1, 6)},  {"a/3.jpg", jpeg_of(13, 4, 0xc0, 4, 0)},
        {"b/4.png", jpeg_of(14, 3, 0xc0, 3, 0)},  {"b/5.jfif", jpeg_of(15, 2, 0xc0, 3, 0)},
        {"b/6.png", png_of(16, 30, 8, 2, 0)},     {"b/7.png", png_of(17, 1, 16, 0, 0)},
        {"c/8.JPEG", png_of(18, 40, 8, 3, 0)},    {"c/9.jpg", png_of(19, 50, 8, 4, 1)},
        {"c/91.png", png_of(20, 60, 16, 6, 0)},   {"c/92.png", png_of(9, 70, 1, 2, 0)},
    };
    enum { FILES = sizeof files / sizeof *files };
    const data_survey_options options = {0};
    char *root = test_folder_make();
    data_survey s;

    set_file(root, "d/none.png", "no picture",
             10); /* its header is asked for all the same */
    for (size_t i = 0; i < FILES; i++)
        set_pieces(root, files[i].name, &files[i].file);
    data_source *source = set_open(root, NULL);
    ck_assert_int_eq(data_survey_make(&s, source, &options, NULL), BASE_OK);
    for (size_t k = 0; k < DATA_PICTURE_KINDS; k++) {
        ck_assert_msg(s.kinds[want[k].kind] == want[k].count, "%zu are %s",
                      (size_t)s.kinds[want[k].kind], want[k].name);
        ck_assert_str_eq(data_picture_name(want[k].kind), want[k].name);
        ck_assert_str_eq(data_picture_note(want[k].kind), want[k].note);
    }
    ck_assert_uint_eq(s.looked, FILES + 1);
    ck_assert_uint_eq(s.sized, FILES);
    ck_assert_uint_eq(s.planned, FILES + 1);
    ck_assert_uint_eq(s.health[DATA_HEALTH_OK], FILES);
    ck_assert_uint_eq(s.health[DATA_HEALTH_BAD], 1);
    ck_assert_uint_eq(s.health[DATA_HEALTH_ODD] + s.health[DATA_HEALTH_DAMAGED], 0);
    /* sorted: the seventh of twelve, of bytes the seventh of thirteen */
    ck_assert(s.width.low == 9 && s.width.middle == 15 && s.width.high == 20);
    ck_assert(s.height.low == 1 && s.height.middle == 20 && s.height.high == 70);
    ck_assert(s.pixels.low == 17 && s.pixels.middle == 200 && s.pixels.high == 1200);
    ck_assert(s.file.low == 10 && s.file.middle == 33 && s.file.high == files[1].file.size);
    ck_assert_uint_eq(s.class_sizes.low, 1);
    ck_assert_uint_eq(s.class_sizes.middle, 4);
    ck_assert_uint_eq(s.class_sizes.high, 4);
    ck_assert_uint_eq(s.per_class[0], 4);
    ck_assert_uint_eq(s.per_class[3], 1);
    uint64_t bytes = 10;
    for (size_t i = 0; i < FILES; i++)
        bytes += files[i].file.size;
    ck_assert_uint_eq(s.bytes, bytes);
    ck_assert_uint_eq(s.flaws, 1);
    ck_assert_uint_eq(s.flaw[0].sample, FILES);
    ck_assert_int_eq(s.flaw[0].health, DATA_HEALTH_BAD);
    ck_assert_str_eq(s.flaw[0].reason, "unknown format");
    ck_assert_uint_eq(s.empty_classes, 0);
    ck_assert_uint_eq(s.unlabelled, 0);
    data_survey_free(&s);
    ck_assert_ptr_null(s.per_class);
    data_source_close(source);
    test_folder_remove(root);
}
END_TEST

/* More than a block of samples; one class of the list without any. */
START_TEST(a_survey_of_many_counts_all_and_keeps_some_flaws)
{
    enum { MANY = 1030 };
    static const char *const classes[] = {"a", "b", "c"};
    const data_source_options options = {.class_list = classes, .class_list_count = 3};
    const data_survey_options plain = {0};
    char *root = test_folder_make(), name[32];
    const pieces one = png_of(1, 1, 8, 2, 0), two = png_of(2, 3, 8, 2, 0);
    data_survey s;

    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%c/%04d.png", i < 1000 ? 'a' : 'c', i);
        if (i % 10 == 0)
            set_file(root, name, "x", 1);
        else
            set_pieces(root, name, i < 1025 ? &one : &two);
    }
    data_source *source = set_open(root, &options);
    ck_assert_int_eq(data_survey_make(&s, source, &plain, NULL), BASE_OK);
    ck_assert_uint_eq(s.looked, MANY);
    ck_assert_uint_eq(s.health[DATA_HEALTH_BAD], 103);
    ck_assert_uint_eq(s.flaws, 103);
    ck_assert_uint_eq(s.flaw[1].sample, 10);
    ck_assert_uint_eq(s.sized, MANY - 103);
    ck_assert(s.pixels.low == 1 && s.pixels.middle == 1 && s.pixels.high == 6);
    ck_assert_uint_eq(s.empty_classes, 1);
    ck_assert(s.class_sizes.low == 30 && s.class_sizes.middle == 1000);
    ck_assert_uint_eq(s.per_class[2], 30);
    data_survey_free(&s);
    data_source_close(source);
    test_folder_remove(root);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data probe");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_test(core, frames_of_every_process_are_read);
    tcase_add_test(core, orientations_of_both_orders_are_read);
    tcase_add_test(core, colours_of_png_are_read);
    tcase_add_test(core, a_survey_counts_pictures_of_every_kind);
    tcase_add_test(limits, what_stands_before_a_frame_is_passed_over);
    tcase_add_test(limits, a_broken_directory_has_no_orientation);
    tcase_add_test(limits, a_survey_of_many_counts_all_and_keeps_some_flaws);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
