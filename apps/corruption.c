/* corruption.c - words of a command line to corruptions and severities; the frost photographs;
 * workers. Relied on elsewhere: the names of groups, and that "all" leaves out "clean". */
#include "apps/corruption_internal.h"

#include <string.h>

/* ---- words ---------------------------------------------------------------------------- */

static const char *const more_words[] = {"noise", "blur",  "weather", "digital",
                                         "extra", "bench", "all",     "clean"};
enum {
    MORE = sizeof more_words / sizeof more_words[0],
    WORD_BYTES = 64,
};

static const char *known_word(const void *user, size_t i)
{
    (void)user;
    if (i < CORRUPT_KIND_COUNT)
        return corrupt_kind_name((corrupt_kind)i);
    return i < CORRUPT_KIND_COUNT + MORE ? more_words[i - CORRUPT_KIND_COUNT] : NULL;
}

static base_status word_add(bool kinds[CORRUPT_KIND_COUNT], bool *clean, const char *word,
                            base_error *err)
{
    corrupt_kind kind;
    bool known = false;

    if (strcmp(word, "clean") == 0) {
        *clean = true;
        return BASE_OK;
    }
    if (corrupt_kind_find(&kind, word)) {
        kinds[kind] = true;
        return BASE_OK;
    }
    for (size_t i = 0; i < CORRUPT_KIND_COUNT; i++) {
        const char *group = corrupt_group_name(corrupt_kind_group((corrupt_kind)i));
        const bool bench = i < CORRUPT_BENCH_COUNT && strcmp(word, "bench") == 0;

        if (strcmp(word, "all") == 0 || bench || strcmp(word, group) == 0)
            kinds[i] = known = true;
    }
    if (known)
        return BASE_OK;
    char shown[2 * WORD_BYTES];
    const char *near = app_nearest(word, known_word, NULL);
    return base_fail(err, BASE_USAGE,
                     "unknown corruption '%s'%s%s%s, expected a name as fog, a group "
                     "(noise, blur, weather, digital, extra), bench, all or clean",
                     base_quote(shown, sizeof shown, word), near ? ", did you mean '" : "",
                     near ? near : "", near ? "'" : "");
}

/* Calls for every word of a list with commas or blanks; BASE_USAGE for an empty one. */
static base_status words_each(const char *list, const char *what,
                              base_status (*add)(void *user, const char *word,
                                                 base_error *err),
                              void *user, base_error *err)
{
    char word[WORD_BYTES], shown[2 * WORD_BYTES];
    base_status status = BASE_OK;

    for (const char *at = list; status == BASE_OK;) {
        const size_t length = strcspn(at, ", ");

        if (length == 0)
            return base_fail(err, BASE_USAGE, "%s '%s' has an empty word", what,
                             base_quote(shown, sizeof shown, list));
        snprintf(word, sizeof word, "%.*s",
                 length < sizeof word ? (int)length : WORD_BYTES - 1, at);
        status = add(user, word, err);
        at += length;
        if (!*at)
            break;
        at += 1 + strspn(at + 1, " ");
    }
    return status;
}

typedef struct kinds_user {
    bool *kinds, *clean;
} kinds_user;

static base_status kinds_add(void *user, const char *word, base_error *err)
{
    const kinds_user *u = user;

    return word_add(u->kinds, u->clean, word, err);
}

base_status app_corruption_add(bool kinds[CORRUPT_KIND_COUNT], bool *clean,
                               const char *word, base_error *err)
{
    kinds_user user;

    user.kinds = kinds;
    user.clean = clean;
    return words_each(word, "corruption", kinds_add, &user, err);
}

/* One digit 1..5; 0 for anything else. */
static int severity_of(char digit)
{
    return digit >= '1' && digit <= '0' + CORRUPT_SEVERITY_MAX ? digit - '0' : 0;
}

static base_status severities_add(void *user, const char *word, base_error *err)
{
    bool *severities = user;
    const size_t length = strlen(word);
    const int low = severity_of(word[0]);
    const int high = length == 1                     ? low
                     : length == 3 && word[1] == '-' ? severity_of(word[2])
                                                     : 0;
    char shown[2 * WORD_BYTES];

    if (low == 0 || high < low)
        return base_fail(err, BASE_USAGE,
                         "severity '%s' is not a whole number from 1 to %d or a range as "
                         "1-3",
                         base_quote(shown, sizeof shown, word), CORRUPT_SEVERITY_MAX);
    for (int s = low; s <= high; s++)
        severities[s] = true;
    return BASE_OK;
}

base_status app_severity_add(bool severities[CORRUPT_SEVERITY_MAX + 1], const char *word,
                             base_error *err)
{
    return words_each(word, "severity", severities_add, severities, err);
}

base_status app_selection_parse(app_selection *out, const app_corruption *args,
                                base_error *err)
{
    bool kinds[CORRUPT_KIND_COUNT] = {false};
    app_selection made = {0};
    base_status status = BASE_OK;

    for (size_t i = 0; i < args->names.count && status == BASE_OK; i++)
        status = app_corruption_add(kinds, &made.clean, args->names.at[i], err);
    for (size_t i = 0; i < args->severities.count && status == BASE_OK; i++)
        status = app_severity_add(made.severity, args->severities.at[i], err);
    if (status != BASE_OK)
        return status;
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        made.severity[s] |= args->severities.count == 0;
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
            if (kinds[k] && made.severity[s])
                made.pair[made.count++] = (corrupt_pair){(corrupt_kind)k, s};
    *out = made;
    return BASE_OK;
}

void app_corruptions_print(FILE *out)
{
    fprintf(out, "corruptions:\n");
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        fprintf(out, "  %-18s %-8s %s\n", corrupt_kind_name((corrupt_kind)k),
                corrupt_group_name(corrupt_kind_group((corrupt_kind)k)),
                corrupt_kind_summary((corrupt_kind)k));
}

/* ---- the crew -------------------------------------------------------------------------- */

/* The photographs of --frost-dir by the names that the scripts know. The sixth is never drawn. */
static base_status frost_load(data_image images[CORRUPT_FROST_COUNT], const char *folder,
                              base_error *err)
{
    static const char *const files[CORRUPT_FROST_COUNT] = {
        "frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"};
    const data_decode_limits limits = data_loader_defaults().limits;
    data_decoder *decoder = NULL;
    base_status status = data_decoder_create(&decoder, &limits, err);

    for (size_t i = 0; i < CORRUPT_FROST_COUNT && status == BASE_OK; i++) {
        data_health health = DATA_HEALTH_OK;
        char *path = base_text("%s/%s", folder, files[i]);

        if (!path)
            status = base_fail(err, BASE_NO_MEMORY, "no memory for the frost photographs");
        else
            status = data_image_load(&images[i], &health, decoder, path, err);
        if (status == BASE_OK && health == DATA_HEALTH_DAMAGED)
            status = base_fail(err, BASE_FORMAT, "'%s' is damaged", path);
        else if (status == BASE_OK)
            status = data_image_convert(&images[i], 3, err);
        if (status != BASE_OK)
            base_error_prepend(err, "--frost-dir: ");
        base_free(path);
    }
    data_decoder_destroy(decoder);
    return status;
}

/* A hash of the photographs: runs with others are told apart. */
static uint64_t frost_key(const data_image images[CORRUPT_FROST_COUNT])
{
    uint64_t key = 0;

    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++) {
        const size_t bytes = images[i].width * images[i].height * 3;
        const uint64_t sides[] = {key, images[i].width, images[i].height};

        key = base_key(sides, 3);
        for (size_t b = 0; b < bytes; b += sizeof(uint64_t)) {
            uint64_t words[2] = {key, 0};

            memcpy(&words[1], images[i].pixels + b,
                   bytes - b < sizeof(uint64_t) ? bytes - b : sizeof(uint64_t));
            key = base_key(words, 2);
        }
    }
    return key;
}

base_status app_crew_open(app_crew *out, const app_corruption *args, size_t size,
                          uint64_t seed, size_t workers, base_error *err)
{
    data_image frost[CORRUPT_FROST_COUNT] = {{0}};
    corrupt_config config = corrupt_config_defaults();
    app_crew crew = {0};
    base_status status = BASE_OK;

    config.seed = seed;
    config.preset = args->preset == 0 ? corrupt_preset_of_size(size, size)
                                      : (corrupt_preset)(args->preset - 1);
    if (args->frost)
        status = frost_load(frost, args->frost, err);
    for (size_t i = 0; i < CORRUPT_FROST_COUNT && args->frost && status == BASE_OK; i++)
        config.frost[i] =
            (corrupt_texture){frost[i].pixels, frost[i].height, frost[i].width};
    crew.preset = config.preset;
    if (status == BASE_OK && args->frost)
        crew.frost_key = frost_key(frost);
    if (status == BASE_OK)
        status = corrupt_set_create(&crew.set, &config, err);
    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++)
        data_image_destroy(&frost[i]);
    crew.worker = base_alloc(
        workers, sizeof *crew.worker); /* NOLINT(bugprone-sizeof-expression): pointers */
    if (status == BASE_OK && !crew.worker)
        status = base_fail(err, BASE_NO_MEMORY, "no memory for %zu workers", workers);
    while (status == BASE_OK && crew.count < workers) {
        status = corrupt_worker_create(&crew.worker[crew.count], crew.set, err);
        crew.count += status == BASE_OK;
    }
    if (status == BASE_OK)
        *out = crew;
    else
        app_crew_close(&crew);
    return status;
}

base_status app_crew_check(const app_crew *crew, const app_selection *selection,
                           size_t size, base_error *err)
{
    data_image in = {0}, out = {0};
    base_status status = data_image_reserve(&in, size, size, 3, err);

    if (status == BASE_OK)
        status = data_image_reserve(&out, size, size, 3, err);
    if (status == BASE_OK)
        memset(in.pixels, 128, size * size * 3);
    for (size_t i = 0; i < selection->count && status == BASE_OK; i++)
        status =
            corrupt_apply(crew->worker[0], out.pixels, in.pixels, size, size,
                          selection->pair[i].kind, selection->pair[i].severity, 0, err);
    data_image_destroy(&in);
    data_image_destroy(&out);
    return status;
}

void app_crew_close(app_crew *crew)
{
    for (size_t i = 0; i < crew->count; i++)
        corrupt_worker_destroy(crew->worker[i]);
    base_free(crew->worker);
    corrupt_set_destroy(crew->set);
    *crew = (app_crew){0};
}
