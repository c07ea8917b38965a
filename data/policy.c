/* policy.c - random augmentation of a shaped 8-bit picture: RandAugment (Cubuk et al. 2020)
 * with torchvision's or V-MoE's operations and magnitudes, 3-Augment (Touvron et al. 2022,
 * "DeiT III"), colour jitter. Follows data.md 8. Relied on elsewhere: the order of draws,
 * which is part of every result. A new operation: one case and one line in a table. */
#include "data/data_internal.h"
#include "data/operations_internal.h"

#include <math.h>

enum { BINS = 30 }; /* torchvision's magnitudes are 0..BINS */

typedef enum operation {
    OP_IDENTITY,
    OP_SHEAR_X,
    OP_SHEAR_Y,
    OP_TRANSLATE_X,
    OP_TRANSLATE_Y,
    OP_ROTATE,
    OP_BRIGHTNESS,
    OP_COLOR,
    OP_CONTRAST,
    OP_SHARPNESS,
    OP_POSTERIZE,
    OP_SOLARIZE,
    OP_AUTOCONTRAST,
    OP_EQUALIZE,
    OP_INVERT,
    OP_CUTOUT,
    OP_SOLARIZE_ADD
} operation;

/* torchvision.transforms.RandAugment: its fourteen, in its order. */
static const operation torchvision_list[] = {
    OP_IDENTITY,  OP_SHEAR_X,    OP_SHEAR_Y,      OP_TRANSLATE_X, OP_TRANSLATE_Y,
    OP_ROTATE,    OP_BRIGHTNESS, OP_COLOR,        OP_CONTRAST,    OP_SHARPNESS,
    OP_POSTERIZE, OP_SOLARIZE,   OP_AUTOCONTRAST, OP_EQUALIZE,
};
/* big_vision's and V-MoE's randaug: its sixteen, in its order. */
static const operation vmoe_list[] = {
    OP_AUTOCONTRAST, OP_EQUALIZE,    OP_INVERT,  OP_ROTATE,
    OP_POSTERIZE,    OP_SOLARIZE,    OP_COLOR,   OP_CONTRAST,
    OP_BRIGHTNESS,   OP_SHARPNESS,   OP_SHEAR_X, OP_SHEAR_Y,
    OP_TRANSLATE_X,  OP_TRANSLATE_Y, OP_CUTOUT,  OP_SOLARIZE_ADD,
};
enum {
    TORCHVISION_COUNT = sizeof torchvision_list / sizeof torchvision_list[0],
    VMOE_COUNT = sizeof vmoe_list / sizeof vmoe_list[0],
    VMOE_FILL = 128
};

static double uniform_in(base_rng *rng, double low, double high)
{
    return low + (high - low) * base_rng_uniform(rng);
}

/* Shear, shift in whole pixels, rotation of either family. amount carries the sign. */
static base_status move(data_image *image, operation op, double amount, unsigned char fill,
                        bool whole, data_scratch *scratch, base_error *err)
{
    data_affine affine = {.a = 1, .e = 1, .fill = fill, .whole = whole};

    switch (op) {
    case OP_SHEAR_X: affine.b = amount; break;
    case OP_SHEAR_Y: affine.d = amount; break;
    case OP_TRANSLATE_X: affine.c = -amount; break;
    case OP_TRANSLATE_Y: affine.f = -amount; break;
    default: affine = data_rotation(image, amount, fill, whole); break;
    }
    return data_transform(image, &affine, scratch, err);
}

/* ---- torchvision --------------------------------------------------------------------- */

base_status data_operation_torchvision(data_image *image, int op, double magnitude,
                                       bool negative, data_scratch *scratch,
                                       base_error *err)
{
    const double t = magnitude / BINS, sign = negative ? -1.0 : 1.0;
    const double share = trunc(
        150.0 / 331.0 * t * (double)(op == OP_TRANSLATE_Y ? image->height : image->width));

    switch ((operation)op) {
    case OP_SHEAR_X:
    case OP_SHEAR_Y: return move(image, op, sign * 0.3 * t, 0, false, scratch, err);
    case OP_TRANSLATE_X:
    case OP_TRANSLATE_Y: return move(image, op, sign * share, 0, false, scratch, err);
    case OP_ROTATE: return move(image, op, sign * 30.0 * t, 0, false, scratch, err);
    case OP_BRIGHTNESS: data_brightness(image, 1.0 + sign * 0.9 * t); break;
    case OP_COLOR: data_saturation(image, 1.0 + sign * 0.9 * t); break;
    case OP_CONTRAST: data_contrast(image, 1.0 + sign * 0.9 * t, -1); break;
    case OP_SHARPNESS:
        return data_sharpness(image, 1.0 + sign * 0.9 * t, false, scratch, err);
    case OP_POSTERIZE:
        data_posterize(image, 8 - (int)nearbyint(magnitude / (BINS / 4.0)));
        break;
    case OP_SOLARIZE: data_solarize(image, 255.0 - 255.0 * t); break;
    case OP_AUTOCONTRAST: data_autocontrast(image); break;
    case OP_EQUALIZE: data_equalize(image); break;
    default: break; /* identity */
    }
    return BASE_OK;
}

/* ---- V-MoE --------------------------------------------------------------------------- */

/* Of the sixteen. cutout: where its middle is. differs: grey is Pillow's (TensorFlow's
 * weights differ in the third digit); contrast keeps the known quirk that its centre is the
 * histogram's sum / 256. */
base_status data_operation_vmoe(data_image *image, int op, double magnitude, bool negative,
                                const size_t cutout[2], data_scratch *scratch,
                                base_error *err)
{
    const double level = magnitude / 10.0, sign = negative ? -1.0 : 1.0;
    const double factor = 1.8 * level + 0.1;
    const size_t sum = image->width * image->height / 256;

    switch ((operation)op) {
    case OP_AUTOCONTRAST: data_autocontrast(image); break;
    case OP_EQUALIZE: data_equalize(image); break;
    case OP_INVERT: data_invert(image); break;
    case OP_POSTERIZE: data_posterize(image, (int)(4.0 * level)); break;
    case OP_SOLARIZE: data_solarize(image, trunc(256.0 * level)); break;
    case OP_SOLARIZE_ADD: data_solarize_add(image, (int)(110.0 * level)); break;
    case OP_COLOR: data_saturation(image, factor); break;
    case OP_CONTRAST: data_contrast(image, factor, sum > 255 ? 255 : (int)sum); break;
    case OP_BRIGHTNESS: data_brightness(image, factor); break;
    case OP_SHARPNESS: return data_sharpness(image, factor, true, scratch, err);
    case OP_CUTOUT:
        data_cutout(image, cutout[0], cutout[1], (size_t)(40.0 * level), VMOE_FILL);
        break;
    case OP_SHEAR_X:
    case OP_SHEAR_Y:
        return move(image, op, sign * 0.3 * level, VMOE_FILL, true, scratch, err);
    case OP_TRANSLATE_X:
    case OP_TRANSLATE_Y:
        return move(image, op, sign * 100.0 * level, VMOE_FILL, true, scratch, err);
    default: return move(image, op, sign * 30.0 * level, VMOE_FILL, true, scratch, err);
    }
    return BASE_OK;
}

/* ---- policies ------------------------------------------------------------------------ */

/* Draws of each operation: which, sign, and for V-MoE's the middle of a cutout, used or
 * not: so the draws behind it do not depend on what was drawn. */
static base_status randaugment(data_image *image, const data_augment *augment, bool vmoe,
                               base_rng *rng, data_scratch *scratch, base_error *err)
{
    base_status status = BASE_OK;

    for (int i = 0; i < augment->policy_operations && status == BASE_OK; i++) {
        const size_t which =
            (size_t)base_rng_below(rng, vmoe ? VMOE_COUNT : TORCHVISION_COUNT);
        const bool negative = base_rng_uniform(rng) < 0.5;
        if (!vmoe) {
            status = data_operation_torchvision(image, (int)torchvision_list[which],
                                                augment->policy_magnitude, negative,
                                                scratch, err);
            continue;
        }
        const size_t x = (size_t)base_rng_below(rng, image->width);
        const size_t y = (size_t)base_rng_below(rng, image->height);
        status =
            data_operation_vmoe(image, (int)vmoe_list[which], augment->policy_magnitude,
                                negative, (const size_t[2]){x, y}, scratch, err);
    }
    return status;
}

/* DeiT III: one of grey, solarize, blur with radius 0.1..2. */
static base_status three_augment(data_image *image, base_rng *rng, data_scratch *scratch,
                                 base_error *err)
{
    const uint64_t which = base_rng_below(rng, 3);
    const double radius = uniform_in(rng, 0.1, 2.0);

    if (which == 0)
        data_greyscale(image);
    else if (which == 1)
        data_solarize(image, 128.0);
    else
        return data_blur(image, radius, scratch, err);
    return BASE_OK;
}

/* torchvision.transforms.ColorJitter: the four in random order. */
static void jitter(data_image *image, const data_augment *augment, base_rng *rng)
{
    const double b = augment->jitter_brightness, c = augment->jitter_contrast;
    const double s = augment->jitter_saturation, h = augment->jitter_hue;
    uint32_t order[4];

    if (!(b > 0 || c > 0 || s > 0 || h > 0))
        return;
    base_rng_permutation(rng, order, 4);
    const double by[4] = {
        uniform_in(rng, b < 1 ? 1 - b : 0, 1 + b),
        uniform_in(rng, c < 1 ? 1 - c : 0, 1 + c),
        uniform_in(rng, s < 1 ? 1 - s : 0, 1 + s),
        uniform_in(rng, -h, h),
    };
    for (int i = 0; i < 4; i++) {
        if (order[i] == 0 && b > 0)
            data_brightness(image, by[0]);
        else if (order[i] == 1 && c > 0)
            data_contrast(image, by[1], -1);
        else if (order[i] == 2 && s > 0)
            data_saturation(image, by[2]);
        else if (order[i] == 3 && h > 0)
            data_hue(image, by[3]);
    }
}

base_status data_policy(data_image *image, const data_augment *augment, base_rng *rng,
                        data_scratch *scratch, base_error *err)
{
    base_status status = BASE_OK;

    switch (augment->policy) {
    case DATA_POLICY_NONE: break;
    case DATA_POLICY_RANDAUGMENT:
        status = randaugment(image, augment, false, rng, scratch, err);
        break;
    case DATA_POLICY_VMOE:
        status = randaugment(image, augment, true, rng, scratch, err);
        break;
    case DATA_POLICY_THREE: status = three_augment(image, rng, scratch, err); break;
    }
    if (status == BASE_OK)
        jitter(image, augment, rng);
    return status;
}
