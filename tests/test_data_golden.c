/* test_data_golden.c - the folders of bad images and of Pillow's outputs, where they are at
 * hand: below the folder named by VMOE_SHARED, with their manifests. Leaves with 77 without
 * it. */
#include "data/data_internal.h"

#include <jansson.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

#define TEST_IMAGENET_MEAN                                                                 \
    {                                                                                      \
        0.485f, 0.456f, 0.406f                                                             \
    }
#define TEST_IMAGENET_STD                                                                  \
    {                                                                                      \
        0.229f, 0.224f, 0.225f                                                             \
    }
/* The manifest holds six decimals. */
#define TEST_NORMALISED 2e-6

static const char *shared;
static const data_decode_limits limits = {178956970, 256u << 20};

static json_t *manifest(const char *folder)
{
    char *path = base_text("%s/golden/%s/manifest.json", shared, folder);
    json_t *root = json_load_file(path, 0, NULL);

    ck_assert_msg(root != NULL, "cannot read '%s'", path);
    base_free(path);
    return root;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static size_t size_of(const json_t *object, const char *key)
{
    return (size_t)json_integer_value(json_object_get(object, key));
}

static void check_pixels(const data_image *image, const json_t *expected, const char *name)
{
    char sum[65];
    const char *wanted = text_of(expected, "rgb_sha256");

    ck_assert_msg(image->width == size_of(expected, "width") &&
                      image->height == size_of(expected, "height") && image->channels == 3,
                  "%s is %zu x %zu", name, image->width, image->height);
    base_sha256_text(sum, image->pixels, image->width * image->height * 3);
    ck_assert_msg(*wanted == 0 || strcmp(sum, wanted) == 0, "%s has other pixels", name);
}

static void check_bad_image(data_decoder *decoder, const char *name, const json_t *expected)
{
    static const char *const classes[] = {"ok", "odd", "damaged", "bad"};
    char *path = base_text("%s/golden/bad-images/%s", shared, name);
    char *bytes = NULL, note[256];
    size_t size = 0;
    data_image image = {0};
    data_health health;
    base_error err = {0};

    ck_assert_int_eq(base_file_read(&bytes, &size, path, SIZE_MAX / 4, &err), BASE_OK);
    const base_status status = data_decode(&image, &health, decoder, (unsigned char *)bytes,
                                           size, note, sizeof note, &err);
    const char *reason = text_of(expected, "reason");
    ck_assert_msg(strcmp(classes[health], text_of(expected, "class")) == 0,
                  "%s is %s: %s %s", name, classes[health], err.text, note);
    ck_assert_int_eq(status == BASE_OK, health != DATA_HEALTH_BAD);
    ck_assert_msg(strncmp(err.text, reason, strlen(reason)) == 0, "%s: %s", name, err.text);
    ck_assert_int_eq(*note != 0,
                     health == DATA_HEALTH_ODD || health == DATA_HEALTH_DAMAGED);
    if (status == BASE_OK)
        check_pixels(&image, expected, name);
    data_image_destroy(&image);
    base_free(bytes);
    base_free(path);
}

START_TEST(bad_images_are_judged_as_the_manifest_says)
{
    json_t *root = manifest("bad-images"), *expected;
    const char *name;
    data_decoder *decoder = NULL;

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    for (int round = 0; round < 2; round++) { /* twice: what came before must not matter */
        json_object_foreach(json_object_get(root, "files"), name, expected)
            check_bad_image(decoder, name, expected);
    }
    ck_assert_uint_ge(json_object_size(json_object_get(root, "files")), 25);
    data_decoder_destroy(decoder);
    json_decref(root);
}
END_TEST

/* The output that the text op of the manifest describes. */
static void run_op(data_image *out, const data_image *in, const char *op,
                   data_scratch *scratch)
{
    const data_filter filter =
        strstr(op, "bicubic") ? DATA_FILTER_BICUBIC : DATA_FILTER_BILINEAR;
    data_box box;
    size_t side;

    if (sscanf(op, "resize short side %zu", &side) == 1) {
        ck_assert_ptr_nonnull(strstr(op, "center crop 224"));
        ck_assert_int_eq(data_eval_transform(out, in, side, 224, filter, scratch, NULL),
                         BASE_OK);
        return;
    }
    ck_assert_int_eq(sscanf(op, "crop top=%zu left=%zu height=%zu width=%zu", &box.top,
                            &box.left, &box.height, &box.width),
                     4);
    ck_assert_ptr_nonnull(strstr(op, "resize to 224x224"));
    ck_assert_int_eq(data_resize(out, in, &box, 224, 224, NULL, filter, scratch, NULL),
                     BASE_OK);
    if (strstr(op, "horizontal flip")) {
        const data_augment only_flip = {.crop = DATA_CROP_EVAL, .flip = 1.0};
        base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
        data_image flipped = {0};
        ck_assert_int_eq(data_train_transform(&flipped, out, &only_flip, 0, 224, filter,
                                              &rng, scratch, NULL),
                         BASE_OK);
        data_image_destroy(out);
        *out = flipped;
    }
}

static void check_normalised(const data_image *image, const json_t *expected)
{
    const float mean[3] = TEST_IMAGENET_MEAN, std[3] = TEST_IMAGENET_STD;
    const size_t count = image->width * image->height;
    const json_t *means = json_object_get(expected, "mean_per_channel");
    const json_t *first = json_object_get(expected, "first_values_channel0_row0");
    float table[3 * 256];
    float *planes = base_alloc(3 * count, sizeof *planes);

    data_normalise_table(table, mean, std, 3);
    data_normalise(planes, image, table);
    for (size_t c = 0; c < 3; c++) {
        double sum = 0.0;
        for (size_t i = 0; i < count; i++)
            sum += (double)planes[c * count + i];
        ck_assert_double_eq_tol(sum / (double)count,
                                json_real_value(json_array_get(means, c)), TEST_NORMALISED);
    }
    for (size_t i = 0; i < json_array_size(first); i++)
        ck_assert_double_eq_tol((double)planes[i],
                                json_real_value(json_array_get(first, i)), TEST_NORMALISED);
    base_free(planes);
}

static void check_sample(data_decoder *decoder, data_scratch *scratch, const json_t *sample)
{
    char *path = base_text("%s/data/%s", shared, text_of(sample, "source"));
    data_image image = {0}, out = {0};
    data_health health;
    base_error err = {0};
    char sum[65];
    size_t i;
    json_t *output;

    ck_assert_msg(data_image_load(&image, &health, decoder, path, &err) == BASE_OK, "%s",
                  err.text);
    base_sha256_text(sum, image.pixels, image.width * image.height * 3);
    ck_assert_str_eq(sum, text_of(sample, "decoded_rgb_sha256"));
    json_array_foreach(json_object_get(sample, "outputs"), i, output)
    {
        run_op(&out, &image, text_of(output, "op"), scratch);
        check_pixels(&out, output, text_of(output, "op"));
    }
    run_op(&out, &image, "resize short side 256 bilinear, center crop 224", scratch);
    check_normalised(&out, json_object_get(sample, "normalized"));
    data_image_destroy(&image);
    data_image_destroy(&out);
    base_free(path);
}

START_TEST(preprocessing_equals_pillow_to_the_bit)
{
    json_t *root = manifest("preprocess"), *sample;
    data_decoder *decoder = NULL;
    data_scratch scratch = {0};
    size_t i;

    ck_assert_int_eq(data_decoder_create(&decoder, &limits, NULL), BASE_OK);
    json_array_foreach(json_object_get(root, "samples"), i, sample)
        check_sample(decoder, &scratch, sample);
    ck_assert_uint_ge(i, 6);
    data_scratch_destroy(&scratch);
    data_decoder_destroy(decoder);
    json_decref(root);
}
END_TEST

int main(void)
{
    shared = getenv("VMOE_SHARED");
    if (!shared || !*shared)
        return TEST_SKIP;

    Suite *suite = suite_create("data golden");
    TCase *core = test_case("Core");
    tcase_set_timeout(core, 300);
    tcase_add_test(core, bad_images_are_judged_as_the_manifest_says);
    tcase_add_test(core, preprocessing_equals_pillow_to_the_bit);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
