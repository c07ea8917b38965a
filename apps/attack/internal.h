/* internal.h - what the files of `vmoe attack` share: the network as a target, what a
 * command knows when it is over, and who writes it down.
 * measure_target *target = NULL; measure_target_create(&target, network.model, 64,
 * VIT_PRECISION_FP32, &err); attack_target table = measure_target_table(target);
 * attack_run_create(&run, &table, &config, images, labels, n, &err); */
#ifndef APPS_ATTACK_INTERNAL_H
#define APPS_ATTACK_INTERNAL_H

#include "apps/network_internal.h"
#include "measure/measure.h"

/* ---- one command (attack.c) ---------------------------------------------------------- */

enum { APP_ATTACK_SPECS = 4096 };

typedef struct attack_args {
    app_common common;
    app_view view;
    const char *data, *attack, *eps, *out, *transfer;
    int norm, mode, aim, checks, labels, space,
        bad_samples;         /* indices into the choices of attack.c */
    int64_t steps, restarts; /* 0: the attacks' own */
    bool strict, resume, force, list, all_steps, fixed_routing, allow_batch_dependence;
} attack_args;

/* What is known at one budget. */
typedef struct app_point {
    attack_budget budget;
    bool complete;
    size_t clean, robust; /* samples: right, and never broken */
    size_t count;         /* attacks, as many as were begun */
    attack_result result[ATTACK_SEARCH_MAX];
    double noise_accuracy; /* mean of a draw of random noise; NaN: unknown */
    uint8_t *left;         /* [n] right and never broken; NULL: not begun */
} app_point;

typedef struct app_attack {
    app_pool pool;
    const attack_args *args;
    const char *command_line;
    char started[32];           /* UTC, ISO 8601 */
    app_network network, other; /* other: --transfer */
    data_source *source;
    measure_target *target, *transfer;
    train_images read; /* in --space normalized what stands for z (unit) is in the pixels'
                        * place; of bad ones a black picture with a label that is not its */
    size_t n;          /* samples */
    double unit; /* of --eps' numbers in one of the pixels': 1, 8 in --space normalized */
    int32_t *labels; /* [n] what must not be answered any more */
    char model_hash[BASE_SHA256_TEXT], ids_hash[BASE_SHA256_TEXT];
    uint64_t fingerprint; /* of model, samples and pixels: what a state belongs to */
    char specs[APP_ATTACK_SPECS]; /* attacks, separated by blanks */
    app_point point[ATTACK_BUDGETS_MAX];
    size_t points, main;  /* main: the point that is reported in full, the last of --eps */
    attack_config config; /* of main */
    attack_run *run;      /* of main */
    struct {            /* the search for other experts, at the budget of main (search.c) */
        char spec[192]; /* "": not asked for */
        attack_run *run; /* NULL: not begun */
        bool has_routing;
        measure_attacked routing; /* of its examples */
    } router;
    struct { /* with the capacity that it was trained with, which the attack has not */
        bool known;
        double capacity, dropped[2]; /* share of assignments: clean, adversarial */
        size_t right;                /* clean */
    } trained;
    bool has_checks, has_routing, complete;
    attack_check check[ATTACK_CHECK_COUNT];
    measure_attacked routing;
    double seconds;
    double budget_used; /* attack_run_budget_used of run */
    double shown;       /* share of the work that was shown as done: it never falls */
    app_progress progress;
} app_attack;

/* Attacks, network, budgets, data and a->args->out, by a->args; the rest of a must be
 * zeroed. On failure app_attack_close still has to be called (attack.c). */
base_status app_attack_open(app_attack *a, const char *model, base_error *err);
void app_attack_close(app_attack *a);
/* The network as what images are shown to, measure_target_destroy. */
base_status app_attack_target(measure_target **out, const app_attack *a, base_error *err);
/* The image's numbers as pixels, which in --space normalized may leave 0..1; out [D]. */
void app_attack_pixels(float *out, const app_attack *a, const float *image);
/* Reads the samples, 8 bits a channel, and evaluates them as vmoe eval does (data.c). */
base_status app_attack_read(app_attack *a, base_error *err);
/* Every attack at every budget, then routing and checks (search.c). a->complete stays false
 * when asked to stop; what was found until then is there. */
base_status app_attack_search(app_attack *a, base_error *err);
/* "standard,pgd" to specs for the norm, presets spelled out, --steps, --restarts,
 * --targeted put in where an attack has them. */
base_status app_attack_specs(char out[APP_ATTACK_SPECS], const attack_args *args,
                             base_error *err);

/* Moves the spec of the attack 'router' from a->specs to a->router.spec; then, with the
 * network open, says whether it can be made (specs.c). */
base_status app_attack_router_take(app_attack *a, base_error *err);
base_status app_attack_router_check(const app_attack *a, base_error *err);
/* The report (document.c, docs/attacks.md); NULL: no memory. */
json_t *app_attack_json(const app_attack *a);
/* An attack's own figures (document.c); what it did to the routing, and the search for
 * other experts (routing.c). */
json_t *app_attack_row_json(const app_attack *a, const attack_result *r);
json_t *app_attack_routing_json(const app_attack *a);
json_t *app_attack_router_json(const app_attack *a);
/* Samples with their pictures into the report, drawn with the seed (pictures.c). */
base_status app_attack_pictures(const app_attack *a, show_document *document,
                                base_error *err);
/* samples.csv, adv.npy, clean.npy, labels.npy and, last, json as report.json (files.c). */
base_status app_attack_write(const app_attack *a, json_t *json, base_error *err);
/* Every attack with its options, and the presets, on stdout (specs.c). */
void app_attack_list(void);

extern const show_view app_attack_view; /* view.c */
extern const show_block app_attack_blocks[];

#endif
