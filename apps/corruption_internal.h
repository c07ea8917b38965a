/* corruption_internal.h - corruptions as options of a command: which of them, how severe,
 * with what settings; and a crew of workers, one a thread. Shared by corrupt, eval, train
 * and bench.
 *
 *     app_selection selection = {0};
 *     corrupt_crew crew = {0};
 *     if (app_selection_parse(&selection, &args.corruption, &err) == BASE_OK &&
 *         app_crew_open(&crew, &args.corruption, size, seed, threads, &err) == BASE_OK)
 *         corrupt_apply(crew.worker[thread], ...);
 *     corrupt_crew_close(&crew); */
#ifndef APPS_CORRUPTION_INTERNAL_H
#define APPS_CORRUPTION_INTERNAL_H

#include "apps/app_internal.h"
#include "corrupt/corrupt.h"

/* Part of the struct of a command's arguments. */
typedef struct app_corruption {
    base_list names, severities;
    int preset;        /* index into "auto|224|299|64|32" */
    const char *frost; /* folder of the original photographs, NULL: procedural */
} app_corruption;

/* Lines of an option table for a struct `type` whose `member` is an app_corruption. */
#define APP_CORRUPTION_OPTIONS(member)                                                     \
    APP_LIST("corrupt", "NAME", member.names,                                              \
             "corruptions, or groups of them: noise, blur, weather, digital (these four: " \
             "bench), extra, all (bench and extra); clean: the picture as it is"),         \
        APP_LIST("severity", "S", member.severities,                                       \
                 "1 to 5, several as 1,3,5 or 1-3 (default 1-5)"),                         \
        APP_CHOICE("preset", "P", member.preset, "auto|224|299|64|32",                     \
                   "table of parameters: 224 ImageNet-C, 64 Tiny-ImageNet-C, 32 CIFAR-C; " \
                   "auto: the nearest to the size"),                                       \
        APP_WORD("frost-dir", "DIR", member.frost,                                         \
                 "the original frost photographs, frost1.png ... frost5.jpg, in place of " \
                 "procedural ones")

typedef struct app_selection {
    bool clean;
    corrupt_pair pair[CORRUPT_PAIRS_MAX]; /* by kind, then by severity */
    size_t count;
    bool severity[CORRUPT_SEVERITY_MAX + 1]; /* [1..5] */
} app_selection;

/* BASE_USAGE names the word and the nearest known one. No names at all select nothing. */
base_status app_selection_parse(app_selection *out, const app_corruption *args,
                                base_error *err);
/* "gaussian noise": with blanks, so that a narrow page can break the name. */
json_t *app_corruption_json(corrupt_kind kind);
/* size: side of the pictures, decides an automatic preset. */
base_status app_crew_open(corrupt_crew *out, const app_corruption *args, size_t size,
                          uint64_t seed, size_t workers, base_error *err);
/* What decides the figures beside the images: "frost textures: procedural v1; parameters:
 * table 32, the nearest to 28 pixels". */
const char *app_crew_text(char *out, size_t out_bytes, const corrupt_crew *crew);
/* The same as the keys preset, preset_nearest_to and frost_textures of json
 * (docs/json.md). */
void app_crew_json(json_t *json, const corrupt_crew *crew);

#endif
