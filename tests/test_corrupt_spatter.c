/* test_corrupt_spatter.c - the image operations under spatter on cases worked by hand,
 * and what its drops may do to a picture. */
#include "corrupt/parts_internal.h"
#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { LOW = 50, HIGH = 150 };

static test_corrupt rig;

static void open_rig(void)
{
    rig = test_corrupt_open(NULL);
}

static void close_rig(void)
{
    test_corrupt_close(&rig);
}

/* ---- edges --------------------------------------------------------------------------- */

enum { ROWS = 32, COLUMNS = 8 };

static void find_edges(unsigned char *edges, const unsigned char *bytes, size_t height,
                       size_t width)
{
    corrupt_job job = test_corrupt_job(&rig, 1);

    ck_assert_int_eq(corrupt_canny(&job, edges, bytes, height, width, LOW, HIGH, &rig.err),
                     BASE_OK);
}

/* Left half 0, right half height_of(y); the edges must fill one column, or none (-1). */
static void check_step(int first, int fall, int column)
{
    unsigned char bytes[ROWS * COLUMNS], edges[ROWS * COLUMNS];

    for (int i = 0; i < ROWS * COLUMNS; i++)
        bytes[i] =
            (unsigned char)(i % COLUMNS < COLUMNS / 2 ? 0 : first - fall * (i / COLUMNS));
    find_edges(edges, bytes, ROWS, COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        ck_assert_msg(edges[i] == (i % COLUMNS == column), "step of %d by %d at %d, %d",
                      first, fall, i % COLUMNS, i / COLUMNS);
}

/* Sobel gives 4 h on both sides of a step of h; of equals the left one stays. 4 * 37 =
 * 148 is not above 150, 4 * 38 is. */
START_TEST(an_edge_is_one_pixel_wide_and_strictly_above_the_threshold)
{
    check_step(38, 0, 3);
    check_step(255, 0, 3);
    check_step(37, 0, -1);
    check_step(0, 0, -1);
}
END_TEST

/* A step that falls by 1 a row: 4 h + 6 right of it, 4 h + 2 left of it. Its upper rows
 * are above 150, the lowest, 4 * 14 + 6, above 50: one hangs on the other. From 36 down
 * none is above 150. */
START_TEST(weak_edges_stay_where_they_touch_strong_ones)
{
    check_step(45, 1, 4);
    check_step(36, 1, -1);
}
END_TEST

/* A tent: beside a ridge of 37 the sum is 4 * 36 + 6 = 150, which is not above 150. */
START_TEST(the_upper_threshold_itself_is_weak)
{
    unsigned char bytes[ROWS * COLUMNS], edges[ROWS * COLUMNS];

    for (int i = 0; i < ROWS * COLUMNS; i++) {
        const int away = i / COLUMNS < 16 ? 16 - i / COLUMNS : i / COLUMNS - 16;
        bytes[i] = (unsigned char)(i % COLUMNS < COLUMNS / 2 ? 0 : 37 - away);
    }
    find_edges(edges, bytes, ROWS, COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        ck_assert_uint_eq(edges[i], 0);
}
END_TEST

START_TEST(edges_of_tiny_pictures_are_looked_for_inside)
{
    unsigned char bytes[9] = {0, 255, 0, 255, 255, 0, 9, 80, 200}, edges[9];

    find_edges(edges, bytes, 1, 1);
    ck_assert_uint_eq(edges[0], 0);
    find_edges(edges, bytes, 1, 9);
    find_edges(edges, bytes, 9, 1);
    find_edges(edges, bytes, 3, 3);
    find_edges(edges, bytes, 2, 2);
}
END_TEST

/* ---- distance ------------------------------------------------------------------------ */

/* In 1/65536: straight 65536, diagonal 91750, knight 143976. (3, 1) is a knight's move
 * and a straight one, (3, 2) a knight's move and a diagonal. */
START_TEST(distances_go_by_chamfer_moves)
{
    static const int32_t by_offset[4][4] = {{0, 65536, 131072, 196608},
                                            {65536, 91750, 143976, 209512},
                                            {131072, 143976, 183500, 235726},
                                            {196608, 209512, 235726, 275250}};
    unsigned char edges[49] = {0};
    int32_t distance[49];
    corrupt_job job = test_corrupt_job(&rig, 1);

    edges[24] = 1;
    ck_assert_int_eq(corrupt_chamfer(&job, distance, edges, 7, 7, &rig.err), BASE_OK);
    for (int y = -3; y <= 3; y++)
        for (int x = -3; x <= 3; x++)
            ck_assert_int_eq(distance[(y + 3) * 7 + x + 3],
                             by_offset[y < 0 ? -y : y][x < 0 ? -x : x]);
    edges[24] = 0;
    ck_assert_int_eq(corrupt_chamfer(&job, distance, edges, 7, 7, &rig.err), BASE_OK);
    for (int i = 0; i < 49; i++)
        ck_assert_int_gt(distance[i], CORRUPT_SIDE_MAX << 15);
}
END_TEST

/* ---- levels -------------------------------------------------------------------------- */

/* 8 bytes, two at the first level: 255 / 6 = 42.5 a byte; 42.5 itself goes to the even
 * 42. */
START_TEST(equalised_levels_are_counts)
{
    unsigned char bytes[8] = {30, 10, 200, 30, 10, 20, 200, 30};
    static const unsigned char expected[8] = {170, 0, 255, 170, 0, 42, 255, 170};
    unsigned char flat[3] = {7, 7, 7}, black[2] = {0, 0};

    corrupt_equalise(bytes, 8);
    ck_assert_mem_eq(bytes, expected, 8);
    corrupt_equalise(flat, 3);
    ck_assert_uint_eq(flat[1], 7);
    corrupt_equalise(black, 2);
    ck_assert_uint_eq(black[1], 0);
}
END_TEST

/* The kernel turned by 180 degrees around a dot of 10, negative values cut; times 20,
 * cut at 255 too. */
START_TEST(a_dot_has_its_relief)
{
    static const unsigned char expected[9] = {20, 10, 0, 10, 10, 0, 0, 0, 0};
    unsigned char in[25] = {0}, out[25];

    for (int scale = 1; scale <= 20; scale += 19) {
        in[12] = (unsigned char)(10 * scale);
        corrupt_relief(out, in, 5, 5);
        for (int i = 0; i < 9; i++) {
            const int wanted = expected[i] * scale;
            ck_assert_int_eq(out[(1 + i / 3) * 5 + 1 + i % 3], wanted < 255 ? wanted : 255);
        }
        ck_assert_uint_eq(out[0], 0);
    }
    memset(in, 9, sizeof in); /* the weights add up to 1, at the border too */
    corrupt_relief(out, in, 5, 5);
    for (int i = 0; i < 25; i++)
        ck_assert_uint_eq(out[i], 9);
    corrupt_relief(out, in, 1, 1);
    ck_assert_uint_eq(out[0], 9);
    corrupt_relief(out, in, 5, 1);
    ck_assert_uint_eq(out[4], 9);
}
END_TEST

/* 13 / 9 rounds to 1, 14 / 9 to 2; the mirror shows a dot beside the corner four times
 * there, twice at a side. */
START_TEST(means_round_to_nearest)
{
    unsigned char in[9] = {0, 0, 0, 0, 13, 0, 0, 0, 0}, out[9];

    corrupt_mean_3x3(out, in, 3, 3);
    ck_assert_uint_eq(out[4], 1);
    ck_assert_uint_eq(out[0], 6); /* 52 / 9 */
    ck_assert_uint_eq(out[1], 3); /* 26 / 9 */
    in[4] = 14;
    corrupt_mean_3x3(out, in, 3, 3);
    ck_assert_uint_eq(out[4], 2);
    corrupt_mean_3x3(out, in + 4, 1, 1);
    ck_assert_uint_eq(out[0], 14);
}
END_TEST

/* ---- drops --------------------------------------------------------------------------- */

enum { SIDE = 120, SAMPLES = SIDE * SIDE * 3 };

/* On white, mud of weight 0.8 to 1 leaves at most 51 + 0.8 of its colour: (63, 42, 20)
 * -> 101, 84, 67. */
START_TEST(mud_covers_or_leaves_alone)
{
    static const int most[3] = {101, 84, 67};
    unsigned char in[SAMPLES], out[SAMPLES];
    size_t covered = 0;

    memset(in, 255, sizeof in);
    test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_SPATTER, 5, 3);
    for (size_t i = 0; i < SAMPLES; i++) {
        ck_assert(out[i] == 255 || out[i] <= most[i % 3]);
        covered += out[i] != 255;
    }
    ck_assert_uint_gt(covered, SAMPLES / 20);
    ck_assert_uint_lt(covered, SAMPLES / 2);
}
END_TEST

/* The brightest drop has strength 0.5: it adds 87.5, 119, 119 levels of pale turquoise
 * to 50. */
START_TEST(water_shines_up_to_its_strength)
{
    unsigned char in[SAMPLES], out[SAMPLES], most[3] = {0};

    memset(in, 50, sizeof in);
    test_corrupt_apply(&rig, out, in, SIDE, SIDE, CORRUPT_KIND_SPATTER, 3, 3);
    for (size_t i = 0; i < SAMPLES; i++) {
        ck_assert_uint_ge(out[i], 49); /* 50/255 * 255 in f32, cut */
        most[i % 3] = out[i] > most[i % 3] ? out[i] : most[i % 3];
    }
    ck_assert_uint_eq(most[0], 137);
    ck_assert(most[1] >= 168 && most[1] <= 169);
    ck_assert_uint_eq(most[1], most[2]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt spatter");
    TCase *core = test_case("Core");
    TCase *limits = test_case("Limits");

    tcase_add_checked_fixture(core, open_rig, close_rig);
    tcase_add_test(core, an_edge_is_one_pixel_wide_and_strictly_above_the_threshold);
    tcase_add_test(core, weak_edges_stay_where_they_touch_strong_ones);
    tcase_add_test(core, the_upper_threshold_itself_is_weak);
    tcase_add_test(core, distances_go_by_chamfer_moves);
    tcase_add_test(core, equalised_levels_are_counts);
    tcase_add_test(core, a_dot_has_its_relief);
    tcase_add_test(core, means_round_to_nearest);
    tcase_add_test(core, mud_covers_or_leaves_alone);
    tcase_add_test(core, water_shines_up_to_its_strength);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(limits, open_rig, close_rig);
    tcase_add_test(limits, edges_of_tiny_pictures_are_looked_for_inside);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
