/* data.h - from files to batches: sources, decoding, transforms, loader.
 *
 *     base_error err = {0};
 *     data_source *source = NULL;
 *     data_loader *loader = NULL;
 *     data_batch batch;
 *     if (data_source_open(&source, "folder:photos/val", NULL, &err) != BASE_OK)
 *         return app_fail(&err);
 *     data_loader_config config = data_loader_defaults();
 *     if (data_loader_create(&loader, source, &config, &err) != BASE_OK)
 *         return app_fail(&err);
 *     while (data_loader_next(loader, &batch, &err) == BASE_OK && batch.count > 0)
 *         use(batch.images, batch.labels, batch.count);
 *     data_loader_destroy(loader);
 *     data_source_close(source);
 *
 * Images are 8-bit RGB, rows top to bottom, packed, until they enter a batch. A value never
 * depends on threads, batch size or order: every draw is keyed by (seed, purpose, epoch,
 * sample). */
#ifndef DATA_DATA_H
#define DATA_DATA_H

#include "base/base.h"

/* ---- images -------------------------------------------------------------------------- */

/* pixels [height, width, channels], 8 bit; the memory is reused: data_image_reserve grows
 * it. */
typedef struct data_image {
    unsigned char *pixels;
    size_t width, height;
    size_t channels; /* 3; 1 for IDX images that stay grey */
    size_t capacity_bytes;
} data_image;

void data_image_destroy(data_image *image); /* frees the pixels, zeroes the struct */
base_status data_image_reserve(data_image *image, size_t width, size_t height,
                               size_t channels, base_error *err);

/* In place: RGB to grey, L = (19595 R + 38470 G + 7471 B + 32768) >> 16 (Pillow's
 * convert('L')), or grey to three equal channels. channels 1 or 3; nothing happens when
 * image has them already. Called right after decoding, so that all that follows works on
 * the channels of the network. Fails only for want of memory; image is then unchanged. */
base_status data_image_convert(data_image *image, size_t channels, base_error *err);

/* data.md 5 and 10: how a sample decoded. */
typedef enum data_health {
    DATA_HEALTH_OK,
    DATA_HEALTH_ODD,     /* used, counted */
    DATA_HEALTH_DAMAGED, /* used, counted and named: parts of the picture may be wrong */
    DATA_HEALTH_BAD      /* not usable */
} data_health;

typedef struct data_decode_limits {
    size_t max_pixels;     /* width * height, 178956970 */
    size_t max_file_bytes; /* 256 MiB */
} data_decode_limits;

/* What decoding needs again and again (libjpeg object, buffers); one per thread. */
typedef struct data_decoder data_decoder;
base_status data_decoder_create(data_decoder **out, const data_decode_limits *limits,
                                base_error *err);
void data_decoder_destroy(data_decoder *decoder);
/* JPEG or PNG told by the first bytes, to 8-bit RGB by the rules of data.md 5. BAD returns
 * BASE_FORMAT (BASE_UNSUPPORTED, BASE_NO_MEMORY) with the reason of data.md 10 in err; else
 * reason in note (note_bytes may be 0). */
base_status data_decode(data_image *out, data_health *health, data_decoder *decoder,
                        const unsigned char *bytes, size_t size, char *note,
                        size_t note_bytes, base_error *err);
/* Reads and decodes one file. err names the path. */
base_status data_image_load(data_image *out, data_health *health, data_decoder *decoder,
                            const char *path, base_error *err);
/* What the header of a file says. */
typedef enum data_format {
    DATA_FORMAT_OTHER,
    DATA_FORMAT_JPEG,
    DATA_FORMAT_PNG
} data_format;
typedef struct data_about {
    data_format format; /* by the first bytes */
    size_t width, height;
    int components;   /* 1 grey, 2 grey and alpha, 3 colour (or palette), 4 CMYK or alpha */
    int bits;         /* of a sample */
    bool progressive; /* PNG: interlaced */
    bool palette;
    int orientation; /* of EXIF, 1..8; 0: none. Decoding leaves pictures as they lie */
} data_about;
/* Decodes nothing, takes no memory. False: no header of a JPEG or PNG, or a broken one;
 * format says which kind it began as. */
bool data_probe(data_about *out, const unsigned char *bytes, size_t size);
/* 8-bit RGB or grey to a PNG file, whole or not at all. */
base_status data_png_write(const char *path, const data_image *image, base_error *err);
/* The same into memory (base_free). */
base_status data_png_encode(unsigned char **out, size_t *bytes, const data_image *image,
                            base_error *err);

/* ---- geometry ------------------------------------------------------------------------ */

/* Pillow's antialiased filters, and tf.image.resize's of TensorFlow 2: averages over areas
 * (the evaluation of V-MoE at 224 pixels; the longer side is then rounded and the crop
 * begins as there), and bilinear without antialiasing, cut off to 8 bits (at other
 * sides). */
typedef enum data_filter {
    DATA_FILTER_BILINEAR,
    DATA_FILTER_BICUBIC,
    DATA_FILTER_AREA,
    DATA_FILTER_BILINEAR_PLAIN
} data_filter;
#define DATA_FILTERS "bilinear|bicubic|area|bilinear-plain"
/* Its word in DATA_FILTERS. */
const char *data_filter_name(data_filter filter);
/* false: no such word; *out is not touched. */
bool data_filter_parse(data_filter *out, const char *word);

typedef struct data_box {
    size_t left, top, width, height;
} data_box;

/* Scratch memory of resizing and transforms; one per thread; zero it, destroy it. */
typedef struct data_scratch {
    void *at;
    size_t bytes;
    data_image image;
} data_scratch;
void data_scratch_destroy(data_scratch *scratch);

/* Pillow's antialiased fixed-point resize, bit exact (data.md 6): the part `from` of in
 * becomes an image of its own and is resized to width x height; only the part `to` of that
 * result is computed and stored (NULL: all). out must not be in. */
base_status data_resize(data_image *out, const data_image *in, const data_box *from,
                        size_t width, size_t height, const data_box *to, data_filter filter,
                        data_scratch *scratch, base_error *err);

/* Evaluation preprocessing as torchvision on Pillow images: shorter side to resize (0:
 * none), centre crop to crop with zero padding where the image is smaller (data.md 7). Bit
 * exact. */
base_status data_eval_transform(data_image *out, const data_image *in, size_t resize,
                                size_t crop, data_filter filter, data_scratch *scratch,
                                base_error *err);
/* The same, but both sides become resize whatever the aspect ratio (timm's crop_mode =
 * squash). */
base_status data_eval_squash(data_image *out, const data_image *in, size_t resize,
                             size_t crop, data_filter filter, data_scratch *scratch,
                             base_error *err);

/* table [channels][256]: (v / 255 - mean[c]) / std[c], each step in float32: equals
 * torchvision's ToTensor and Normalize to the bit. channels 1..3, std > 0. Cannot fail. */
void data_normalise_table(float *table, const float *mean, const float *std,
                          size_t channels);

/* out [C, H, W] from in [H, W, C], C = in->channels, by table [C][256]. Cannot fail. */
void data_normalise(float *out, const data_image *in, const float *table);
/* The way back: out from planes [channels, side, side], 255 (value std[c] + mean[c]) cut to
 * 0..255 and rounded. mean and std NULL: 0 and 1. Fails only for want of memory. */
base_status data_image_from(data_image *out, const float *planes, size_t channels,
                            size_t side, const float *mean, const float *std,
                            base_error *err);

/* ---- sources ------------------------------------------------------------------------- */

typedef struct data_source data_source;

typedef struct data_source_options {
    /* Outputs of the network; 1000 applies the ImageNet rule of data.md 1; 0: unknown. */
    size_t classes_of_model;
    /* Training: the data says what the classes are. Else data whose classes fit a network
     * neither by name nor in number is refused. */
    bool defines_classes;
    /* Names that must agree (a checkpoint's labels), or NULL. */
    const char *const *class_list;
    size_t class_list_count;
    size_t idx_max_bytes;    /* of an inflated IDX file; 0: 1 GiB */
    bool allow_single_class; /* predict and eval may have one class, training not */
    /* Images without labels are data too: classes 0, labels -1; else they are refused. */
    bool allow_unlabelled;
    /* "train", "val" or "test": which part of a layout that has several (ilsvrc, kaggle,
     * cifar-bin, a folder or tar of these); NULL: val, but refused where other folders lie
     * beside the parts. Data without parts refuses it. */
    const char *split;
    /* Labels of images that lie in no class folders (data.md 1, any form, or the devkit's
     * .tar.gz). NULL: what lies beside the images. Data with labels of its own refuses
     * it. */
    const char *val_labels;
    /* TSV or JSON: class folder, label; NULL: none. Data whose labels are numbers refuses
     * it. */
    const char *class_map;
    const char *
        label_key; /* wds: the part or key of the .json that is the label; NULL: see data.md */
    const char *index_cache; /* folder, "none", or NULL: the user's cache folder */
    /* Options that mean nothing for this data are no error: data_source_unused tells of
     * them. */
    bool lenient;
    /* Called about once a second while indexing takes longer than two, and a last time with
     * done; from the caller's thread. NULL: nobody asks. */
    void (*indexing)(void *user, size_t samples, double seconds, bool done);
    void *indexing_user;
} data_source_options;

/* "PATH" (layout recognised) or "LAYOUT:PATH" with folder, tar, zip, idx, ilsvrc, kaggle,
 * wds, list, cifar-bin, npy, images or imagenet-c (docs/data.md). idx: a folder with one
 * pair of files, a prefix ("DIR/train": DIR/train-images-idx3-ubyte[.gz] and
 * DIR/train-labels-idx1-ubyte[.gz]; also "t10k"), or the images file itself. "held-N:DATA"
 * is N samples of DATA drawn once and for all, "rest-N:DATA" all the others: what is tuned
 * on the one was not trained on in the other (of a layout with several parts, of its
 * training part). options may be NULL. The caller closes *out. */
base_status data_source_open(data_source **out, const char *spec,
                             const data_source_options *options, base_error *err);
void data_source_close(data_source *source);
/* Data to train on and data to validate with, whose classes are those of the first; parts
 * train and val of what has parts. options: of both, without split and class list;
 * val_labels is for the second, and one that means nothing for both is refused. The caller
 * closes *train and *val where they are not NULL, also after a failure. */
base_status data_pair_open(data_source **train, data_source **val, const char *train_spec,
                           const char *val_spec, const data_source_options *options,
                           base_error *err);
const char *data_source_layout(const data_source *source);
/* The option of the four above (split, val-labels, class-map, label-key; i from 0) that was
 * given and means nothing for this data, or NULL; *end: there is no option i. */
const char *data_source_unused(bool *end, const data_source *source, size_t i);
/* What its layout is: "a folder with one folder of images for each class". */
const char *data_source_holds(const data_source *source);
const char *data_source_path(const data_source *source);
size_t data_source_count(const data_source *source);   /* samples */
size_t data_source_classes(const data_source *source); /* 0: no labels */
const char *data_source_class_name(const data_source *source, size_t label); /* borrowed */
/* "tench" for "n01440764": the short name of one of ImageNet's 1000 classes, else NULL. For
 * ever. */
const char *data_imagenet_name(const char *wnid);
/* "n01440764" for 0: the WordNet id of a label of ImageNet's 1000 classes, else NULL. For
 * ever. */
const char *data_imagenet_wnid(size_t label);
int32_t data_source_label(const data_source *source, size_t i);
/* Bytes of sample i as it is stored; 0: it is empty, or known to be unusable. */
size_t data_source_bytes(const data_source *source, size_t i);
/* "PATH" or "PATH!MEMBER" or "PATH[12]" into out, by base_quote. Returns out. */
const char *data_source_name(const data_source *source, size_t i, char *out,
                             size_t out_bytes);
/* Path below the class folder's parent, "CLASS/FILE", as it is: what trees of results are
 * named by. Never absolute, no part of it begins with '.'; IDX: "CLASS/00012.png". */
const char *data_source_relative_name(const data_source *source, size_t i, char *out,
                                      size_t out_bytes);
/* Why a name of the data set is no sample. */
typedef enum data_ignored {
    DATA_IGNORED_OTHER,   /* its name is not an image's */
    DATA_IGNORED_FORMAT,  /* its name is an image's, of a format that is not read */
    DATA_IGNORED_HIDDEN,  /* begins with '.', or the system's own (lost+found, __MACOSX);
                             in an archive also: climbs, or is too long */
    DATA_IGNORED_LINK,    /* in an archive, to nowhere or in a circle; devices */
    DATA_IGNORED_OUTSIDE, /* of any class folder */
    DATA_IGNORED_DEEP,    /* below too many folders */
    DATA_IGNORED_AGAIN,   /* a later member of the archive has the same name */
    DATA_IGNORED_COUNT
} data_ignored;
size_t data_source_ignored(const data_source *source); /* for whatever reason */
size_t data_source_ignored_for(const data_source *source, data_ignored reason);
/* "no image by its name". For ever. */
const char *data_ignored_name(data_ignored reason);
/* Of DATA_IGNORED_FORMAT: how many names have ending i, "webp" (for ever); NULL: no such
 * i. */
const char *data_source_format(size_t *count, const data_source *source, size_t i);
/* What is left out, as one line into out, which it returns: "3 names left out: 1 hidden or
 * of the system, 2 of a format that is not read (1 bmp, 1 webp)"; "" if nothing. */
const char *data_source_left_out(char *out, size_t out_bytes, const data_source *source);
/* One line about anything odd found while indexing ("" if nothing), e.g. empty class
 * folders. */
const char *data_source_notice(const data_source *source);
/* Sides and channels of the images if all are equal by format (idx, cifar-bin), else 0. */
void data_source_uniform(const data_source *source, size_t *width, size_t *height,
                         size_t *channels);
/* Hash of count, labels and sizes: a resumed run must see the same data. */
uint64_t data_source_fingerprint(const data_source *source);
/* Whether both are the same samples of the same files: as many, of the same fingerprint,
 * and the first, middle and last of them the same bytes of one file. */
bool data_source_same(const data_source *a, const data_source *b);
/* How many samples of b are samples of a, too, of the same files; 0 also for data that only
 * looks the same. */
size_t data_source_shared(const data_source *a, const data_source *b);
/* Bytes of sample i, read with pread into *buffer (grown with base_alloc/base_free), safe
 * from several threads. err says why not, without the name. */
base_status data_source_read(const data_source *source, size_t i, unsigned char **buffer,
                             size_t *buffer_bytes, size_t *size, base_error *err);
/* Sample i decoded (IDX: its pixels). err holds the reason only; data_source_name has the
 * name. */
base_status data_source_image(const data_source *source, size_t i, data_image *out,
                              data_health *health, data_decoder *decoder,
                              unsigned char **buffer, size_t *buffer_bytes,
                              base_error *err);

/* ---- one picture after the other (reader.c) ------------------------------------------ */

/* All that reading pictures needs, and the last one. One for each thread; zero it. */
typedef struct data_reader {
    data_image image;
    data_health health;
    data_scratch scratch; /* of those who resize it */
    data_decoder *decoder;
    unsigned char *buffer;
    size_t buffer_bytes;
} data_reader;

/* Sample i of the source into reader->image, with the loader's usual limits. err holds the
 * reason only. */
base_status data_reader_sample(data_reader *reader, const data_source *source, size_t i,
                               base_error *err);
/* The same; err names the sample. */
base_status data_reader_named(data_reader *reader, const data_source *source, size_t i,
                              base_error *err);
/* A file. err names the path. */
base_status data_reader_file(data_reader *reader, const char *path, base_error *err);
void data_reader_close(data_reader *reader); /* zeroed is fine */

/* ---- what a data set holds (survey.c) ------------------------------------------------ */

typedef enum data_picture_kind {
    DATA_PICTURE_JPEG,
    DATA_PICTURE_PNG,
    DATA_PICTURE_RAW, /* pixels without a format: IDX, CIFAR's binary files */
    DATA_PICTURE_GREY,
    DATA_PICTURE_CMYK,
    DATA_PICTURE_ALPHA,
    DATA_PICTURE_PALETTE,
    DATA_PICTURE_DEEP, /* more than 8 bits */
    DATA_PICTURE_PROGRESSIVE,
    DATA_PICTURE_TURNED,   /* EXIF says so; used as they lie */
    DATA_PICTURE_MISNAMED, /* PNG named .JPEG and the like */
    DATA_PICTURE_KINDS
} data_picture_kind;
/* "grey", and what there is to say about it. For ever. */
const char *data_picture_name(data_picture_kind kind);
const char *data_picture_note(data_picture_kind kind);

/* Smallest, middle and largest of a measure. */
typedef struct data_spread {
    uint64_t low, middle, high;
} data_spread;

enum { DATA_FLAWS_MOST = 100000, DATA_FLAW_BYTES = 160 };

/* A sample that is not quite right. */
typedef struct data_flaw {
    uint32_t sample;
    data_health health;
    char reason[DATA_FLAW_BYTES];
} data_flaw;

typedef struct data_survey {
    uint64_t *per_class;     /* [classes] samples */
    data_spread class_sizes; /* of classes that have samples */
    size_t empty_classes, unlabelled;
    uint64_t bytes;      /* of all samples, as stored */
    uint32_t *looked_at; /* [planned] the samples whose headers are read, or all of it */
    size_t looked, planned;
    uint64_t kinds[DATA_PICTURE_KINDS]; /* of those that were looked at, as all below */
    uint64_t health[DATA_HEALTH_BAD + 1];
    data_flaw *flaw; /* [flaws] the first DATA_FLAWS_MOST, in the order of looked_at */
    size_t flaws, flaw_room;
    size_t sized; /* with width and height */
    data_spread width, height, pixels, file;
    bool interrupted;
} data_survey;

typedef struct data_survey_options {
    bool decode;  /* every picture whole; else headers */
    size_t limit; /* the first of the seeded order, 0: all */
    uint64_t seed;
    size_t threads; /* that look; 0: one */
    /* Runs member(arg, 0 .. count - 1) on threads of the caller's; NULL: on this one. */
    void (*together)(size_t count, void (*member)(void *arg, size_t i), void *arg);
    void *user;
    /* A sample that is not quite right, in the order of looked_at; may be NULL. */
    void (*named)(void *user, size_t sample, data_health health, const char *reason);
    /* Before, between and after blocks of pictures. False: stop. May be NULL. */
    bool (*goes_on)(void *user, const data_survey *so_far);
} data_survey_options;

/* Classes from the index, kinds, sizes and health from the pictures themselves; does not
 * depend on the number of threads. When it was stopped, what was done so far. On failure
 * data_survey_free still has to be called. */
base_status data_survey_make(data_survey *out, const data_source *source,
                             const data_survey_options *options, base_error *err);
void data_survey_free(data_survey *survey); /* zeroed is fine */

/* ---- ReaL labels --------------------------------------------------------------------- */

/* Several right answers an image, or none: a JSON list with a list of labels for each image
 * (Beyer, Henaff, Kolesnikov, Zhai, van den Oord 2020, "Are we done with ImageNet?",
 * real.json). BASE_FORMAT: it is not, or a label is not below classes. The caller destroys
 * *out. */
typedef struct data_real data_real;
base_status data_real_load(data_real **out, const char *path, size_t classes,
                           base_error *err);
void data_real_destroy(data_real *real); /* NULL is fine */
size_t data_real_count(const data_real *real);
/* Which image of the list sample i is: k - 1 for a file "..._0000k.JPEG"; SIZE_MAX: its
 * name has no such number. */
size_t data_real_image(const data_source *source, size_t i);
typedef enum data_real_answer {
    DATA_REAL_NONE,
    DATA_REAL_WRONG,
    DATA_REAL_RIGHT
} data_real_answer;
/* NONE: the image has no labels and does not count. image < data_real_count. */
data_real_answer data_real_judge(const data_real *real, size_t image, size_t answer);

/* ---- ImageNet-C trees ---------------------------------------------------------------- */

/* CORRUPTION/SEVERITY/CLASS/FILE, or the same below group folders (noise, blur, weather,
 * digital, extra; Hendrycks and Dietterich 2019), or `vmoe corrupt`'s tree, or one of the
 * published tars, a zip of the tree, or a folder of tars and folders. Each
 * (corruption, severity) is a part, a data set of its own that is indexed only when it is
 * opened.
 *
 *     data_imagenet_c *tree = NULL;
 *     if (data_imagenet_c_open(&tree, "imagenet-c", &err) != BASE_OK) ...
 *     for (size_t p = 0; p < data_imagenet_c_count(tree); p++) {
 *         const char *corruption = data_imagenet_c_corruption(tree, p);   "gaussian_noise"
 *         int severity = data_imagenet_c_severity(tree, p);               1..5, clean 0
 *         data_source *source = NULL;
 *         if (data_imagenet_c_source(&source, tree, p, &options, &err) != BASE_OK) ...
 *         data_source_close(source);
 *     }
 *     data_imagenet_c_close(tree);
 */
typedef struct data_imagenet_c data_imagenet_c;
/* Lists the parts: the 15 corruptions in the paper's order, the 4 extra ones, then any
 * others by name; severities ascending. BASE_FORMAT when there is none. The caller closes
 * *out. */
base_status data_imagenet_c_open(data_imagenet_c **out, const char *path, base_error *err);
void data_imagenet_c_close(data_imagenet_c *tree);
size_t data_imagenet_c_count(const data_imagenet_c *tree);
const char *data_imagenet_c_corruption(const data_imagenet_c *tree, size_t part);
int data_imagenet_c_severity(const data_imagenet_c *tree, size_t part);
/* The part's folder, DIR/noise/gaussian_noise/3, or noise.tar!gaussian_noise/3. */
const char *data_imagenet_c_path(const data_imagenet_c *tree, size_t part);
/* As data_source_open of the part's folder. The caller closes *out. */
base_status data_imagenet_c_source(data_source **out, const data_imagenet_c *tree,
                                   size_t part, const data_source_options *options,
                                   base_error *err);

/* How many samples an evaluation with this limit (0: all) takes. */
size_t data_source_planned(const data_source *source, size_t limit);
/* The samples that it takes by the seed, ascending, [*count] of them; base_free. The same
 * ones that a loader delivers. */
base_status data_source_subset(uint32_t **out, size_t *count, const data_source *source,
                               size_t limit, uint64_t seed, base_error *err);

/* ---- loader -------------------------------------------------------------------------- */

typedef enum data_crop {
    DATA_CROP_EVAL,   /* data_eval_transform */
    DATA_CROP_RANDOM, /* random resized crop (data.md 7) */
    DATA_CROP_PADDED  /* resize to the input size if needed, zero padding, random crop */
} data_crop;

/* What happens to the colours and shapes of a picture after its crop and flip. */
typedef enum data_policy_kind {
    DATA_POLICY_NONE,
    DATA_POLICY_RANDAUGMENT, /* Cubuk et al. 2020, operations and magnitudes of torchvision
                                (bins 0..30) */
    DATA_POLICY_VMOE, /* the same idea as V-MoE and big_vision do it (magnitude 0..10 and
                         above) */
    DATA_POLICY_THREE /* 3-Augment (Touvron et al. 2022): grey, solarize or blur, each a
                         third */
} data_policy_kind;

/* Which sample of a batch another is mixed with, by mixup and cutmix. */
typedef enum data_mix_style {
    DATA_MIX_TIMM,        /* i with count - 1 - i */
    DATA_MIX_TORCHVISION, /* i with i - 1, the first with the last */
    DATA_MIX_VMOE /* i with i + 1, the last with the first; mixup's larger weight is its
                     own */
} data_mix_style;

typedef struct data_augment {
    data_crop crop;
    double area_low, area_high;   /* random resized crop, 0.08..1 */
    double ratio_low, ratio_high; /* 3/4..4/3 */
    int padding;                  /* padded crop, pixels a side, 4 */
    double flip;                  /* probability, 0.5; 0: off */
    data_policy_kind policy;
    int policy_operations;   /* RandAugment: operations a picture, 2 */
    double policy_magnitude; /* RandAugment: 9 of torchvision's 30 */
    /* ColorJitter: factors from 1 - j to 1 + j, hue from -j to j turns (at most 0.5); 0:
     * off. */
    double jitter_brightness, jitter_contrast, jitter_saturation, jitter_hue;
    double mixup, cutmix; /* Beta parameters, 0: off; both: cutmix with probability 0.5 */
    data_mix_style mix_style;
    double mix_probability; /* of a batch being mixed at all, 1 */
    double erase;           /* probability of random erasing, 0: off */
    bool erase_noise;       /* per-pixel normal numbers in place of 0 */
} data_augment;

typedef struct data_loader_config {
    /* Shuffled, endless over epochs, augmented, last partial batch dropped. */
    bool training;
    size_t batch; /* images a batch, of all ranks together */
    size_t limit; /* > 0: the first limit samples of the seeded order, always the same */
    uint64_t seed;
    /* Evaluation: in the order of training's epoch 0 in place of the data's own, where the
     * images of a batch must not be of one class. */
    bool shuffled;
    /* Workers, 0: load while the caller waits, in its thread or by its helpers; same
     * batches. */
    size_t threads;
    /* Threads of the caller's that load too while it waits for a batch, 0: none. together
     * calls member(arg, i) for each i below count, at the same time as far as it can, and
     * returns when all have returned. */
    size_t helpers;
    void (*together)(size_t count, void (*member)(void *arg, size_t i), void *arg);
    size_t queue; /* batch slots, 3 */
    /* Called by each worker thread before its first batch, NULL: never. The place to say
     * what the system should do with it: its priority, its processors. */
    void (*enter)(void *user);
    void *enter_user;
    /* The system is told which files come in the next batch, so that it reads while this
     * one is decoded; true. */
    bool readahead;
    size_t size; /* side of the network's input */
    /* 3, or 1: grey, of RGB sources (19595 R + 38470 G + 7471 B + 32768) >> 16. */
    size_t channels;
    size_t resize; /* evaluation: shorter side, 0: none */
    bool squash;   /* evaluation: both sides, as data_eval_squash */
    data_filter filter;
    float mean[3], std[3];
    bool bytes; /* 8-bit [B, S, S, C] in batch.bytes in place of normalised floats */
    /* Training: JPEGs are decoded at 1/2, 1/4 or 1/8 scale where the crop stays larger than
     * the input: quicker for photographs of several megapixels, not the same pixels. True:
     * never. */
    bool exact;
    /* This process loads part `rank` of `ranks` (0 of 0 or 1: all). Training: its share of
     * every batch, which ranks must divide; evaluation: samples rank * N / ranks up to
     * (rank + 1) * N / ranks. The ranks together load what one would, every sample once. */
    size_t rank, ranks;
    /* Whole batches for this process alone: of every take_every batches the take_count from
     * number take_first on (take_first + take_count <= take_every). Its j-th batch is batch
     * j / take_count * take_every + take_first + j % take_count of the row that would be
     * loaded without, in training over all epochs, and has the same bytes. 0, 0, 0: all. */
    size_t take_first, take_count, take_every;
    bool keep_last; /* training: an epoch's last, smaller batch too; a rank's part may be
                       empty */
    /* Training: every sample this many times running, each differently augmented (0, 1:
     * once). */
    size_t repeats;
    data_augment augment;
    data_decode_limits limits;
    /* Training: more than max(50, max_bad * count) bad samples stop the run (0.001). */
    double max_bad;
    bool strict;   /* a damaged or bad sample stops at once */
    bool skip_bad; /* evaluation: count a bad sample as wrong instead of failing */
    /* Training, NULL: none. Changes the picture [size, size, channels] in place, after its
     * geometry and before it is normalised; keep its measures and its memory. Called from
     * the workers: worker is below threads + helpers (0 when both are 0), one call of a
     * worker at a time. What it does must follow from (epoch, sample, copy) alone; copy
     * counts the repeats of a sample and its use as a replacement. It should fail for want
     * of memory only: a failure makes the sample a bad one. */
    base_status (*alter)(void *user, size_t worker, data_image *image, uint64_t epoch,
                         uint32_t sample, uint64_t copy, base_error *err);
    void *alter_user;
    /* Called once for each sample that is not quite right, in the log or not, with its
     * reason; from the consumer's thread. */
    void (*named)(void *user, size_t sample, data_health health, const char *reason);
    void *named_user;
    /* Called with one line for the log ("bad sample: PATH: REASON"), from the consumer's
     * thread. */
    void (*log)(void *user, const char *line);
    void *log_user;
} data_loader_config;

/* Evaluation at 224, ImageNet mean and std. */
data_loader_config data_loader_defaults(void);

/* A filled slot, borrowed until the next call of data_loader_next or _seek. */
typedef struct data_batch {
    size_t count;               /* images; 0: the evaluation is over */
    size_t global_count;        /* images of the batch over all ranks (training) */
    const float *images;        /* [count, C, S, S] normalised, NULL with bytes */
    const unsigned char *bytes; /* [count, S, S, C], NULL without */
    const int32_t *labels;      /* [count]; -1: unknown, or a bad sample in evaluation */
    const int32_t *labels_b;    /* [count]: the partner's label (= labels when not mixed) */
    const float *weight_a;   /* [count]: weight of labels in the target, 1 when not mixed */
    const uint32_t *samples; /* [count] numbers in the source */
    const bool *bad;         /* [count]: evaluation with skip_bad, image is all zero */
    uint64_t epoch;
    uint64_t step; /* batch number in the epoch */
} data_batch;

typedef struct data_loader data_loader;
base_status data_loader_create(data_loader **out, const data_source *source,
                               const data_loader_config *config, base_error *err);
void data_loader_destroy(data_loader *loader); /* joins all threads, at any time */
/* Batches in order; waits for the workers. */
base_status data_loader_next(data_loader *loader, data_batch *out, base_error *err);
/* Goes on at batch `step` of `epoch` without reading what lies before (resume); with take_*
 * at the first own batch from there on. Training: any epoch. */
base_status data_loader_seek(data_loader *loader, uint64_t epoch, uint64_t step,
                             base_error *err);
/* Batches of one epoch, whoever takes them. */
size_t data_loader_steps(const data_loader *loader);
/* Samples of one epoch before dropping. */
size_t data_loader_samples(const data_loader *loader);

typedef struct data_counts {
    uint64_t ok, odd, damaged, bad;
    double wait_seconds; /* the consumer waited */
} data_counts;
data_counts data_loader_counts(const data_loader *loader);

/* "libjpeg-turbo 2.1.5, libpng 1.6.39, libarchive 3.6.2, zlib 1.2.13", borrowed for
 * ever. */
const char *data_versions(void);

#endif
