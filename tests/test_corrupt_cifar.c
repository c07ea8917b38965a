/* test_corrupt_cifar.c - the deterministic cells of CIFAR-C and the zoom blurs whose
 * factors round, byte by byte against the published script's own calls
 * (tests/reference/cifar_cells.py; CRC-32 in tests/golden/cifar_cells.tsv). And every
 * corruption at every severity of every preset keeps its bytes. */
#include <stdlib.h>
#include <zlib.h>

#include "tests/test_corrupt.h"
#include "tests/test_leaks.h"
#include "tests/test_run.h"

enum { WHOLE = 224, LARGEST = 448, FIELDS = 7 };

static unsigned char whole[WHOLE * WHOLE * 3], in[LARGEST * LARGEST * 3],
    out[LARGEST * LARGEST * 3];

static void cell_check(char *line, test_corrupt rigs[2])
{
    char *field[FIELDS] = {line}, crc[16];
    int64_t number[FIELDS] = {0};
    corrupt_kind kind;
    int fields = 1;

    for (char *at = line; *at && fields < FIELDS; at++)
        if (*at == '\t') {
            *at = 0;
            field[fields++] = at + 1;
        }
    ck_assert_int_eq(fields, FIELDS);
    ck_assert(corrupt_kind_find(&kind, field[0]));
    for (int i = 1; i < FIELDS - 1; i++)
        ck_assert(base_parse_int(&number[i], field[i]));
    const size_t side = (size_t)number[3], row = (size_t)number[4],
                 column = (size_t)number[5];
    if (number[2] == 224)
        test_corrupt_picture(in, side, side);
    for (size_t y = 0; y < side && number[2] == 32; y++)
        memcpy(in + y * side * 3, whole + ((row + y) * WHOLE + column) * 3, side * 3);
    test_corrupt_apply(&rigs[number[2] == 32], out, in, side, side, (int)kind,
                       (int)number[1], 7);
    if (number[2] == 224) {
        int64_t sum = 0, want = 0;
        for (size_t i = 0; i < side * side * 3; i++)
            sum += out[i];
        ck_assert(base_parse_int(&want, field[6]));
        ck_assert_msg(sum - want <= 2 && want - sum <= 2, "%s %s at %zu pixels: sum %lld",
                      field[0], field[1], side, (long long)sum);
        return;
    }
    snprintf(crc, sizeof crc, "%08lx", crc32(0, out, (unsigned)(side * side * 3)));
    ck_assert_msg(strcmp(crc, field[6]) == 0,
                  "%s %s at %zu pixels, crop %zu, %zu: %s, not %s", field[0], field[1],
                  side, row, column, crc, field[6]);
}

START_TEST(cells_equal_the_script_to_the_byte)
{
    static const char *const groups[] = {"defocus_blur",  "zoom_blur", "brightness",
                                         "contrast",      "pixelate",  "jpeg_compression",
                                         "gaussian_blur", "saturate"};
    char *path = base_text("%s/golden/cifar_cells.tsv", getenv("VMOE_TESTS")), *text, *next;
    corrupt_config config = corrupt_config_defaults();
    test_corrupt rigs[2];
    size_t bytes, cells = 0;

    rigs[0] = test_corrupt_open(&config);
    config.preset = CORRUPT_PRESET_32;
    rigs[1] = test_corrupt_open(&config);
    test_corrupt_picture(whole, WHOLE, WHOLE);
    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    for (char *line = text; *line; line = next) {
        next = strchr(line, '\n');
        ck_assert_ptr_nonnull(next);
        *next++ = 0;
        const size_t length = strlen(groups[_i]);
        if (strncmp(line, groups[_i], length) != 0 || line[length] != '\t')
            continue;
        cell_check(line, rigs);
        cells++;
    }
    ck_assert_uint_eq(cells, _i == 1 ? 35 : 20);
    base_free(text);
    base_free(path);
    test_corrupt_close(&rigs[0]);
    test_corrupt_close(&rigs[1]);
}
END_TEST

/* Line by line of golden/corrupt_cells.tsv: corruption, preset, width, height, CRC-32 of
 * severities 1 to 5, all of seed 3 and key 11. They are our own bytes, which other tests
 * judge (corrupt_golden, corrupt_scores); here no number may change unseen. */
START_TEST(every_cell_keeps_its_bytes)
{
    char *path = base_text("%s/golden/corrupt_cells.tsv", getenv("VMOE_TESTS")), *text;
    const char *kind = corrupt_kind_name((corrupt_kind)_i);
    corrupt_config config = corrupt_config_defaults();
    static const size_t sizes[][3] = {{CORRUPT_PRESET_224, 75, 61},
                                      {CORRUPT_PRESET_224, 33, 40},
                                      {CORRUPT_PRESET_299, 64, 97},
                                      {CORRUPT_PRESET_64, 64, 64},
                                      {CORRUPT_PRESET_32, 32, 32}};
    size_t bytes;

    ck_assert_int_eq(base_file_read(&text, &bytes, path, 1 << 20, NULL), BASE_OK);
    config.seed = 3;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char line[160];
        const size_t width = sizes[i][1], height = sizes[i][2];
        config.preset = (corrupt_preset)sizes[i][0];
        int used = snprintf(line, sizeof line, "%s\t%s\t%zu\t%zu", kind,
                            corrupt_preset_name(config.preset), width, height);
        test_corrupt rig = test_corrupt_open(&config);
        test_corrupt_picture(in, height, width);
        for (int severity = 1; severity <= CORRUPT_SEVERITY_MAX; severity++) {
            test_corrupt_apply(&rig, out, in, height, width, _i, severity, 11);
            used += snprintf(line + used, sizeof line - (size_t)used, "\t%08lx",
                             crc32(0, out, (unsigned)(height * width * 3)));
        }
        snprintf(line + used, sizeof line - (size_t)used, "\n");
        test_corrupt_close(&rig);
        ck_assert_msg(strstr(text, line) != NULL, "found %s", line);
    }
    base_free(text);
    base_free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corrupt_cifar");
    TCase *core = test_case("Core");

    tcase_add_loop_test(core, cells_equal_the_script_to_the_byte, 0, 8);
    tcase_add_loop_test(core, every_cell_keeps_its_bytes, 0, CORRUPT_KIND_COUNT);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
