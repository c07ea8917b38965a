/* test_app_allocation.c - a training step takes no memory: every malloc of the process is
 * counted, and after two steps none may come from our code. Those of oneDNN and of the
 * codecs are not ours: oneDNN keeps its packing buffers to itself and takes them anew at
 * every product. The whole step is meant: next batch, forward, loss, backward, optimiser,
 * averaged weights. */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>

#include "data/data.h"
#include "tests/test_folder.h"
#include "tests/test_run.h"
#include "vit/vit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTED 0 /* the sanitizers' allocator is not to be replaced */
#else
#define COUNTED 1

/* The program's own code lies between these; shared libraries lie elsewhere. */
extern const char __executable_start, etext;
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *at, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static atomic_bool counting;
static atomic_ulong ours, theirs;

static void count(const void *caller)
{
    if (!atomic_load(&counting))
        return;
    if ((const char *)caller >= &__executable_start && (const char *)caller < &etext)
        atomic_fetch_add(&ours, 1);
    else
        atomic_fetch_add(&theirs, 1);
}

void *malloc(size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_calloc(number, bytes);
}

void *realloc(void *at, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_realloc(at, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    count(__builtin_return_address(0));
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
#endif

enum { SIDE = 16, CLASSES = 2, PER_CLASS = 12, BATCH = 8 };

static void write_images(const char *folder)
{
    base_error err = {0};
    data_image image = {0};
    ck_assert_int_eq(data_image_reserve(&image, SIDE, SIDE, 3, &err), BASE_OK);
    base_rng rng = base_rng_make(1, BASE_PURPOSE_TEST, 0, 0, 0);
    for (int c = 0; c < CLASSES; c++) {
        char *class = base_text("%s/class%d", folder, c);
        ck_assert_int_eq(base_folder_make(class, &err), BASE_OK);
        for (int i = 0; i < PER_CLASS; i++) {
            for (size_t j = 0; j < SIDE * SIDE * 3; j++)
                image.pixels[j] = (unsigned char)base_rng_below(&rng, 256);
            char *path = base_text("%s/%d.png", class, i);
            ck_assert_int_eq(data_png_write(path, &image, &err), BASE_OK);
            base_free(path);
        }
        base_free(class);
    }
    data_image_destroy(&image);
}

typedef struct training {
    data_source *source;
    data_loader *loader;
    vit_model *model;
    vit_run *run;
    vit_optimizer *optimizer;
} training;

static void open_training(training *t, const char *folder, const char *router)
{
    base_error err = {0};
    vit_config config = vit_config_defaults();
    config.image = config.crop = SIDE;
    config.resize = SIDE;
    config.patch = 4;
    config.width = 32;
    config.depth = 2;
    config.heads = 2;
    config.mlp = 64;
    config.classes = CLASSES;
    config.dropout = 0.1;
    config.moe.experts = 4;
    config.moe.k = 2;
    config.moe.layer[1] = true;
    ck_assert_int_eq(vit_router_select(&config.moe.router, router, &err), BASE_OK);
    if (strcmp(router, "ssr") == 0) /* a plan at every step */
        ck_assert_int_eq(vit_router_set(&config.moe.router, "p", "1", &err), BASE_OK);
    ck_assert_msg(data_source_open(&t->source, folder, NULL, &err) == BASE_OK, "%s",
                  err.text);
    data_loader_config loader = data_loader_defaults();
    loader.training = true;
    loader.batch = BATCH;
    loader.threads = 0;
    loader.size = SIDE;
    loader.channels = 3;
    loader.augment.crop = DATA_CROP_RANDOM;
    loader.augment.mixup = 0.2;
    loader.augment.erase = 0.5;
    ck_assert_msg(data_loader_create(&t->loader, t->source, &loader, &err) == BASE_OK, "%s",
                  err.text);
    ck_assert_msg(vit_model_create(&t->model, &config, &err) == BASE_OK, "%s", err.text);
    vit_model_init(t->model, 1);
    ck_assert_int_eq(
        vit_run_create(&t->run, t->model, BATCH, VIT_MODE_TRAIN, VIT_PRECISION_FP32, &err),
        BASE_OK);
    const vit_optimizer_config optimizer = {.beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .weight_decay = 0.1,
                                            .clip = 1,
                                            .ema = 0.99};
    ck_assert_int_eq(vit_optimizer_create(&t->optimizer, t->model, &optimizer, &err),
                     BASE_OK);
}

static void close_training(training *t)
{
    vit_optimizer_destroy(t->optimizer);
    vit_run_destroy(t->run);
    vit_model_destroy(t->model);
    data_loader_destroy(t->loader);
    data_source_close(t->source);
}

/* False when anything failed. No ck_assert here: Check takes memory to note where a test
 * is. */
static bool step(training *t, uint64_t number)
{
    base_error err = {0};
    data_batch batch;
    float logits[BATCH * CLASSES], d_logits[BATCH * CLASSES], targets[BATCH * CLASSES];
    const vit_step keys = {.seed = 1, .step = number};
    bool ok = data_loader_next(t->loader, &batch, &err) == BASE_OK;
    vit_run_gradients_zero(t->run);
    ok &=
        vit_run_forward(t->run, logits, batch.images, batch.count, &keys, &err) == BASE_OK;
    vit_targets_fill(targets, batch.labels, batch.labels_b, batch.weight_a, batch.count,
                     CLASSES, 0.1);
    vit_loss_compute(VIT_LOSS_SOFTMAX, d_logits, NULL, logits, targets, batch.count,
                     CLASSES, 1);
    ok &= vit_run_backward(t->run, NULL, d_logits, &err) == BASE_OK;
    ok &= !vit_optimizer_step(t->optimizer, t->model, vit_run_gradients(t->run), 1e-3)
               .skipped;
    return ok;
}

static const char *const routers[] = {
    "softmax",       "vmoe", "sinkhorn",        "ssr",        "sinkhorn-ot", "usmoe",
    "expert-choice", "adam", "robust-momentum", "similarity", "attention",   "xmoe",
    "s2moe"};

START_TEST(steps_take_no_memory_after_the_second)
{
#if COUNTED
    char *folder = test_folder_make();
    training t = {0};
    write_images(folder);
    open_training(&t, folder, routers[_i]);
    bool ok = step(&t, 0) && step(&t, 1);
    atomic_store(&counting, true);
    for (uint64_t i = 2; i < 12; i++) /* over the end of epochs */
        ok &= step(&t, i);
    atomic_store(&counting, false);
    ck_assert(ok);
    ck_assert_uint_eq(atomic_load(&ours), 0);
    close_training(&t);
    test_folder_remove(folder);
#else
    (void)routers;
#endif
}
END_TEST

START_TEST(the_count_sees_our_allocations)
{
#if COUNTED
    atomic_store(&counting, true);
    base_free(base_alloc(1, 100));
    atomic_store(&counting, false);
    ck_assert_uint_ge(atomic_load(&ours), 1);
#endif
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("app_allocation");
    TCase *core = tcase_create("Core");
    tcase_add_test(core, the_count_sees_our_allocations);
    tcase_add_loop_test(core, steps_take_no_memory_after_the_second, 0,
                        sizeof routers / sizeof routers[0]);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
