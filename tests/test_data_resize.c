/* test_data_resize.c - the resize against Pillow, byte by byte. Tables from
 * reference/make_pixels.py. */
#include "data/data.h"

#include <string.h>

#include "tests/test_picture.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

static const struct {
    size_t width, height, channels;
    data_box from;
    size_t to_width, to_height;
    const char *bilinear, *bicubic;
} cases[] = {
    {40, 30, 3, {0, 0, 40, 30}, 20, 15, "23447ab0427a7a12", "a176e1ce5b913b0f"},
    {40, 30, 1, {0, 0, 40, 30}, 20, 15, "62b4df117937a88c", "c6f1ef734b0ea36f"},
    {40, 30, 3, {0, 0, 40, 30}, 17, 11, "e0b23fd59c8c8acb", "0f03acade42b05e6"},
    {40, 30, 1, {0, 0, 40, 30}, 17, 11, "bfbebc955fcc2d88", "dd03be6ba052ca92"},
    {40, 30, 3, {0, 0, 40, 30}, 64, 48, "dd1344c22b9905b2", "58ebf7b7a515d326"},
    {40, 30, 1, {0, 0, 40, 30}, 64, 48, "c29941b704c7448f", "e3dd024e907900ed"},
    {40, 30, 3, {0, 0, 40, 30}, 41, 29, "f02df805ab1a6162", "ff255f17cc3395b8"},
    {40, 30, 1, {0, 0, 40, 30}, 41, 29, "cd4bdb1bcf4ad825", "49afd15c87f4b2f6"},
    {40, 30, 3, {0, 0, 40, 30}, 40, 13, "cd41c802980cc055", "e0cad6a5ebed5165"},
    {40, 30, 1, {0, 0, 40, 30}, 40, 13, "7b580160216b9d1c", "30006b525e122eda"},
    {40, 30, 3, {0, 0, 40, 30}, 13, 30, "e2c57d2ecd43e6de", "8ade80d9db1aa812"},
    {40, 30, 1, {0, 0, 40, 30}, 13, 30, "1da3926aed114ff0", "3e5af6af734d9d37"},
    {40, 30, 3, {0, 0, 40, 30}, 40, 30, "845249e3125f4113", "845249e3125f4113"},
    {40, 30, 1, {0, 0, 40, 30}, 40, 30, "f0a4cd57531b843c", "f0a4cd57531b843c"},
    {1, 1, 3, {0, 0, 1, 1}, 9, 7, "e5981139bcb7c52c", "e5981139bcb7c52c"},
    {1, 1, 1, {0, 0, 1, 1}, 9, 7, "c7723fa1e0127975", "c7723fa1e0127975"},
    {7, 1, 3, {0, 0, 7, 1}, 3, 5, "db4cb2208549c99e", "62480b883a90c08f"},
    {7, 1, 1, {0, 0, 7, 1}, 3, 5, "98bc9f12940ad06b", "4228aad027c3d28e"},
    {1, 9, 3, {0, 0, 1, 9}, 5, 4, "cf111a5185c9c088", "a659fd68689d368d"},
    {1, 9, 1, {0, 0, 1, 9}, 5, 4, "11594c791e5e1ee4", "bae7a93a8a349ccf"},
    {300, 2, 3, {0, 0, 300, 2}, 5, 2, "3cac540b0ff4d47b", "4bb6f7d9291caa49"},
    {300, 2, 1, {0, 0, 300, 2}, 5, 2, "fe0ec2d8bea2d5fc", "2e21620e57fc19ec"},
    {3, 200, 3, {0, 0, 3, 200}, 3, 1, "a5dd9cc3beb64cd0", "6ae4c17567c8ae4d"},
    {3, 200, 1, {0, 0, 3, 200}, 3, 1, "941010d83c50e288", "98b23b7b76d5a31f"},
    {64, 64, 3, {0, 0, 64, 64}, 1, 1, "2627aed2746e6882", "7adc2fb4cf775287"},
    {64, 64, 1, {0, 0, 64, 64}, 1, 1, "76be8b528d0075f7", "591b7cc95037822d"},
    {33, 21, 3, {4, 3, 20, 15}, 24, 24, "2feb5c15b686d4b9", "c036165ab4ff9001"},
    {33, 21, 1, {4, 3, 20, 15}, 24, 24, "ab021f0b6de6489e", "f3083b13d27cde98"},
    {33, 21, 3, {0, 0, 1, 21}, 6, 6, "d70be9c176a29a55", "75acdbd0f406b865"},
    {33, 21, 1, {0, 0, 1, 21}, 6, 6, "c867f337b00a4230", "e8766a62661d224c"},
    {33, 21, 3, {32, 20, 1, 1}, 4, 4, "3ad8b68718a93b82", "3ad8b68718a93b82"},
    {33, 21, 1, {32, 20, 1, 1}, 4, 4, "52aa9c6dc56cd51c", "52aa9c6dc56cd51c"},
    {33, 21, 3, {5, 2, 24, 16}, 24, 9, "61a52edccf684389", "8fc9d0ac099a6e98"},
    {33, 21, 1, {5, 2, 24, 16}, 24, 9, "c55f762071541a19", "c1b7f97f4b0dbc98"},
    {90, 70, 3, {11, 7, 70, 55}, 32, 32, "312c8fc5e96d5492", "8acf043520a4e5ff"},
    {90, 70, 1, {11, 7, 70, 55}, 32, 32, "7fbc452fa0d8af35", "f0cb45647b217b74"},
};
enum { CASES = sizeof cases / sizeof *cases };

static data_image grey_row(const unsigned char *values, size_t count)
{
    data_image image = {0};

    ck_assert_int_eq(data_image_reserve(&image, count, 1, 1, NULL), BASE_OK);
    memcpy(image.pixels, values, count);
    return image;
}

/* 4 to 2: scale 2, radius 2. Output 0 is centred at 1 and takes inputs 0..2 at distances
 * -1/4, 1/4, 3/4 of the stretched triangle: weights 3/4, 3/4, 1/4 of 7/4. (3*10 + 3*20 +
 * 30)/7 = 17.1 and, from the other side, (20 + 3*30 + 3*40)/7 = 32.9. */
START_TEST(a_row_of_four_halves_as_worked_by_hand)
{
    const unsigned char values[4] = {10, 20, 30, 40};
    data_image in = grey_row(values, 4), out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_resize(&out, &in, NULL, 2, 1, NULL, DATA_FILTER_BILINEAR, &scratch, NULL),
        BASE_OK);
    ck_assert_uint_eq(out.width, 2);
    ck_assert_uint_eq(out.height, 1);
    ck_assert_uint_eq(out.pixels[0], 17);
    ck_assert_uint_eq(out.pixels[1], 33);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* 2 to 4, bicubic: output 1 is centred at 0.75, inputs 0 and 1 at -0.25 and 0.75. Keys'
 * cubic gives 1.5/64 - 2.5/16 + 1 = 0.8671875 and 1.5*27/64 - 2.5*9/16 + 1 = 0.2265625, sum
 * 1.09375: from 0 and 255 comes 255 * 0.20714 = 52.8. Output 0, centred at 0.25: 0.8671875
 * and at 1.25 -0.5*(125/64 - 5*25/16 + 10 - 4) = -0.0703125, sum 0.796875: negative, cut to
 * 0. */
START_TEST(a_row_of_two_doubles_as_worked_by_hand)
{
    const unsigned char values[2] = {0, 255}, wanted[4] = {0, 53, 202, 255};
    data_image in = grey_row(values, 2), out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_resize(&out, &in, NULL, 4, 1, NULL, DATA_FILTER_BICUBIC, &scratch, NULL),
        BASE_OK);
    ck_assert_mem_eq(out.pixels, wanted, 4);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* reference/make_tf_resize.py: area, and bilinear without antialiasing. */
static const struct {
    size_t width, height, channels, to_width, to_height;
    const char *area, *plain;
} tensorflow_cases[] = {
    {40, 30, 3, 20, 15, "5d2511fed7fa96ed", "f156bed7b8270810"},
    {40, 30, 3, 17, 11, "c40aa8782b3ed9dc", "afcaefd904b5cce9"},
    {40, 30, 1, 17, 11, "882f5a883fbe7126", "b14c97e9acbd8a6a"},
    {40, 30, 3, 64, 48, "fb43e339613c4b0b", "5a262cfd8ed60c84"},
    {40, 30, 3, 41, 29, "fbce80cdac5c166c", "442c7f697c3d9dcf"},
    {40, 30, 3, 40, 13, "91807c03ad97caef", "ced54ef9e46781e2"},
    {40, 30, 3, 13, 30, "716922cbc5af5116", "16f9e6be475de510"},
    {1, 1, 3, 9, 7, "e5981139bcb7c52c", "e5981139bcb7c52c"},
    {7, 1, 1, 3, 5, "2559d9567f6f5f03", "fd1f546617fcfb72"},
    {1, 9, 3, 5, 4, "90f196731408a25b", "612572aea5a68261"},
    {300, 2, 3, 5, 2, "f7b5f48dbc0a0c28", "6fddfc0d1a410a39"},
    {64, 64, 1, 1, 1, "a5ab782c805e8bfb", "2f0fd1e89b8de1d5"},
    {33, 21, 3, 24, 24, "d4d75f3fcb204acd", "209c524571d716c2"},
    {90, 70, 3, 32, 32, "69c7c277909afd27", "d936354306f20657"},
    {375, 500, 3, 384, 384, "0f769b1bc08a3974", "95c6123eb9d6bc9e"},
};
enum { TENSORFLOW_CASES = sizeof tensorflow_cases / sizeof *tensorflow_cases };

START_TEST(filters_of_tensorflow_agree_with_their_definition)
{
    data_image in = picture_make(tensorflow_cases[_i].width, tensorflow_cases[_i].height,
                                 tensorflow_cases[_i].channels);
    data_image out = {0};
    data_scratch scratch = {0};

    for (int plain = 0; plain < 2; plain++) {
        ck_assert_int_eq(data_resize(&out, &in, NULL, tensorflow_cases[_i].to_width,
                                     tensorflow_cases[_i].to_height, NULL,
                                     plain ? DATA_FILTER_BILINEAR_PLAIN : DATA_FILTER_AREA,
                                     &scratch, NULL),
                         BASE_OK);
        picture_check(&out, plain ? tensorflow_cases[_i].plain : tensorflow_cases[_i].area);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* 3 to 2 by area: (10 + 20 / 2) / 1.5 = 13.3 and (20 / 2 + 41) / 1.5 = 34. 3 to 2 plain:
 * at 0.25 and 1.75 of the inputs, 12.5 and 35.75, cut off. */
START_TEST(a_row_of_three_by_tensorflow_as_worked_by_hand)
{
    const unsigned char values[3] = {10, 20, 41}, area[2] = {13, 34}, plain[2] = {12, 35};
    data_image in = grey_row(values, 3), out = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_resize(&out, &in, NULL, 2, 1, NULL, DATA_FILTER_AREA, &scratch, NULL),
        BASE_OK);
    ck_assert_mem_eq(out.pixels, area, 2);
    ck_assert_int_eq(data_resize(&out, &in, NULL, 2, 1, NULL, DATA_FILTER_BILINEAR_PLAIN,
                                 &scratch, NULL),
                     BASE_OK);
    ck_assert_mem_eq(out.pixels, plain, 2);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* V-MoE's evaluation: 40 x 30 to shorter side 20 is 26.67 x 20, rounded to 27 (torchvision:
 * 26); the crop of 12 begins at 15 / 2 = 7 (torchvision: 8). */
START_TEST(area_has_the_geometry_of_vmoe)
{
    const data_box crop = {7, 4, 12, 12};
    data_image in = picture_make(40, 30, 3), out = {0}, expected = {0};
    data_scratch scratch = {0};

    ck_assert_int_eq(
        data_eval_transform(&out, &in, 20, 12, DATA_FILTER_AREA, &scratch, NULL), BASE_OK);
    ck_assert_int_eq(
        data_resize(&expected, &in, NULL, 27, 20, &crop, DATA_FILTER_AREA, &scratch, NULL),
        BASE_OK);
    ck_assert_mem_eq(out.pixels, expected.pixels, 12 * 12 * 3);
    ck_assert_int_eq(
        data_resize(&expected, &in, NULL, 27, 20, NULL, DATA_FILTER_AREA, &scratch, NULL),
        BASE_OK);
    for (size_t y = 0; y < 12; y++) /* a part is the part of the whole */
        ck_assert_mem_eq(out.pixels + y * 36, expected.pixels + ((y + 4) * 27 + 7) * 3, 36);
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
    data_image_destroy(&expected);
}
END_TEST

START_TEST(every_filter_has_its_word)
{
    data_filter filter = DATA_FILTER_BICUBIC;

    for (int i = 0; i <= DATA_FILTER_BILINEAR_PLAIN; i++) {
        ck_assert(data_filter_parse(&filter, data_filter_name((data_filter)i)));
        ck_assert_int_eq(filter, i);
        ck_assert_ptr_nonnull(strstr(DATA_FILTERS, data_filter_name((data_filter)i)));
    }
    ck_assert(!data_filter_parse(&filter, "lanczos"));
    ck_assert_int_eq(filter, DATA_FILTER_BILINEAR_PLAIN);
}
END_TEST

static void check_case(size_t i, data_image *out, data_scratch *scratch)
{
    data_image in = picture_make(cases[i].width, cases[i].height, cases[i].channels);

    ck_assert_int_eq(data_resize(out, &in, &cases[i].from, cases[i].to_width,
                                 cases[i].to_height, NULL, DATA_FILTER_BILINEAR, scratch,
                                 NULL),
                     BASE_OK);
    ck_assert_uint_eq(out->width, cases[i].to_width);
    ck_assert_uint_eq(out->height, cases[i].to_height);
    picture_check(out, cases[i].bilinear);
    ck_assert_int_eq(data_resize(out, &in, &cases[i].from, cases[i].to_width,
                                 cases[i].to_height, NULL, DATA_FILTER_BICUBIC, scratch,
                                 NULL),
                     BASE_OK);
    picture_check(out, cases[i].bicubic);
    data_image_destroy(&in);
}

START_TEST(each_case_equals_pillow)
{
    data_scratch scratch = {0};
    data_image out = {0};

    check_case((size_t)_i, &out, &scratch);
    data_scratch_destroy(&scratch);
    data_image_destroy(&out);
}
END_TEST

/* More axes than the cache holds, in an order that finds some of them again. */
START_TEST(a_scratch_used_before_changes_nothing)
{
    data_scratch scratch = {0};
    data_image out = {0};

    for (size_t i = 0; i < 20 * CASES; i++)
        check_case(i * i % CASES, &out, &scratch);
    data_scratch_destroy(&scratch);
    data_image_destroy(&out);
}
END_TEST

START_TEST(a_part_of_the_result_is_that_part_of_the_whole)
{
    data_image in = picture_make(45, 38, 3), whole = {0}, part = {0};
    data_scratch scratch = {0};
    base_rng rng = base_rng_make(3, BASE_PURPOSE_TEST, 0, 0, 0);

    for (int round = 0; round < 200; round++) {
        /* up, down, and often a side that keeps its size */
        const size_t width = round % 5 == 0 ? 45 : 1 + (size_t)base_rng_below(&rng, 90);
        const size_t height = round % 7 == 0 ? 38 : 1 + (size_t)base_rng_below(&rng, 90);
        const data_filter filter = round % 2 ? DATA_FILTER_BILINEAR : DATA_FILTER_BICUBIC;
        data_box to;
        to.left = (size_t)base_rng_below(&rng, width);
        to.top = (size_t)base_rng_below(&rng, height);
        to.width = 1 + (size_t)base_rng_below(&rng, width - to.left);
        to.height = 1 + (size_t)base_rng_below(&rng, height - to.top);
        data_resize(&whole, &in, NULL, width, height, NULL, filter, &scratch, NULL);
        data_resize(&part, &in, NULL, width, height, &to, filter, &scratch, NULL);
        ck_assert_uint_eq(part.width, to.width);
        ck_assert_uint_eq(part.height, to.height);
        for (size_t y = 0; y < to.height; y++)
            ck_assert_mem_eq(part.pixels + y * to.width * 3,
                             whole.pixels + ((to.top + y) * width + to.left) * 3,
                             to.width * 3);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&whole);
    data_image_destroy(&part);
}
END_TEST

START_TEST(resizing_again_allocates_nothing)
{
    data_scratch scratch = {0};
    data_image in = picture_make(50, 40, 3), out = {0};
    uint64_t before = 0;

    for (int i = 0; i < 4; i++) {
        data_resize(&out, &in, NULL, 20, 16, NULL, DATA_FILTER_BICUBIC, &scratch, NULL);
        if (i == 0)
            before = base_alloc_count();
    }
    ck_assert_uint_eq(base_alloc_count(), before);
    data_scratch_destroy(&scratch);
    data_scratch_destroy(&scratch); /* and once more: nothing left */
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

/* 65500 to 1 and back: the sums stay in 32 bits and a constant stays a constant. */
START_TEST(the_longest_side_resizes)
{
    data_scratch scratch = {0};
    data_image in = {0}, out = {0};

    for (int filter = DATA_FILTER_BILINEAR; filter <= DATA_FILTER_BICUBIC; filter++) {
        ck_assert_int_eq(data_image_reserve(&in, 65500, 1, 1, NULL), BASE_OK);
        memset(in.pixels, 255, 65500);
        data_resize(&out, &in, NULL, 1, 3, NULL, (data_filter)filter, &scratch, NULL);
        for (int i = 0; i < 3; i++)
            ck_assert_uint_ge(out.pixels[i],
                              253); /* 131000 weights, each rounded at 2^-22 */
        const data_box end = {65499, 0, 1, 1};
        data_resize(&in, &out, NULL, 65500, 3, &end, (data_filter)filter, &scratch, NULL);
        ck_assert_uint_eq(in.pixels[0], out.pixels[0]);
    }
    data_scratch_destroy(&scratch);
    data_image_destroy(&in);
    data_image_destroy(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data resize");
    TCase *core = test_case("Core");
    TCase *edges = test_case("Limits");

    tcase_add_test(core, a_row_of_four_halves_as_worked_by_hand);
    tcase_add_test(core, a_row_of_two_doubles_as_worked_by_hand);
    tcase_add_loop_test(core, each_case_equals_pillow, 0, CASES);
    tcase_add_loop_test(core, filters_of_tensorflow_agree_with_their_definition, 0,
                        TENSORFLOW_CASES);
    tcase_add_test(core, a_row_of_three_by_tensorflow_as_worked_by_hand);
    tcase_add_test(core, area_has_the_geometry_of_vmoe);
    tcase_add_test(core, every_filter_has_its_word);
    tcase_add_test(core, a_scratch_used_before_changes_nothing);
    tcase_add_test(core, a_part_of_the_result_is_that_part_of_the_whole);
    tcase_add_test(edges, resizing_again_allocates_nothing);
    tcase_add_test(edges, the_longest_side_resizes);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edges);
    return test_run(suite);
}
