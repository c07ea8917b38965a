/* corruption.c - options of a command line to corruptions and severities; the frost
 * photographs. */
#include "apps/corruption_internal.h"

base_status app_selection_parse(app_selection *out, const app_corruption *args,
                                base_error *err)
{
    bool kinds[CORRUPT_KIND_COUNT] = {false};
    app_selection made = {0};
    base_status status = BASE_OK;

    for (size_t i = 0; i < args->names.count && status == BASE_OK; i++)
        status = corrupt_kinds_add(kinds, &made.clean, args->names.at[i], err);
    for (size_t i = 0; i < args->severities.count && status == BASE_OK; i++)
        status = corrupt_severities_add(made.severity, args->severities.at[i], err);
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

json_t *app_corruption_json(corrupt_kind kind)
{
    char name[64];

    snprintf(name, sizeof name, "%s", corrupt_kind_name(kind));
    for (char *at = name; *at; at++)
        if (*at == '_')
            *at = ' ';
    return json_string(name);
}

/* ---- the crew ------------------------------------------------------------------------ */

/* The photographs of --frost-dir by the names that the scripts know. The sixth is never
 * drawn. */
static base_status frost_load(data_image images[CORRUPT_FROST_COUNT], const char *folder,
                              base_error *err)
{
    static const char *const files[CORRUPT_FROST_COUNT] = {
        "frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"};
    data_reader reader = {0};
    base_status status = BASE_OK;

    for (size_t i = 0; i < CORRUPT_FROST_COUNT && status == BASE_OK; i++) {
        const char *path = app_text("%s/%s", folder, files[i]);

        status = data_reader_file(&reader, path, err);
        if (status == BASE_OK && reader.health == DATA_HEALTH_DAMAGED)
            status = base_fail(err, BASE_FORMAT, "'%s' is damaged", path);
        else if (status == BASE_OK)
            status = data_image_convert(&reader.image, 3, err);
        images[i] = reader.image; /* its memory goes along */
        reader.image = (data_image){0};
        if (status != BASE_OK)
            base_error_prepend(err, "--frost-dir: ");
    }
    data_reader_close(&reader);
    return status;
}

base_status app_crew_open(corrupt_crew *out, const app_corruption *args, size_t size,
                          uint64_t seed, size_t workers, base_error *err)
{
    data_image frost[CORRUPT_FROST_COUNT] = {{0}};
    corrupt_config config = corrupt_config_defaults();
    base_status status = BASE_OK;

    config.seed = seed;
    config.preset = args->preset == 0 ? corrupt_preset_of_size(size, size)
                                      : (corrupt_preset)(args->preset - 1);
    if (args->frost)
        status = frost_load(frost, args->frost, err);
    for (size_t i = 0; i < CORRUPT_FROST_COUNT && args->frost && status == BASE_OK; i++)
        config.frost[i] =
            (corrupt_texture){frost[i].pixels, frost[i].height, frost[i].width};
    if (status == BASE_OK)
        status = corrupt_crew_open(out, &config, workers, err);
    if (status == BASE_OK && args->preset == 0 &&
        corrupt_preset_side(config.preset) != size)
        out->nearest_to = size;
    for (size_t i = 0; i < CORRUPT_FROST_COUNT; i++)
        data_image_destroy(&frost[i]);
    return status;
}

const char *app_crew_text(char *out, size_t out_bytes, const corrupt_crew *crew)
{
    char nearest[64] = "";

    if (crew->nearest_to > 0)
        snprintf(nearest, sizeof nearest, ", the nearest to %zu pixels", crew->nearest_to);
    snprintf(out, out_bytes, "frost textures: %s; parameters: table %s%s",
             corrupt_set_frost(crew->set), corrupt_preset_name(crew->preset), nearest);
    return out;
}

void app_crew_json(json_t *json, const corrupt_crew *crew)
{
    show_put_text(json, "preset", corrupt_preset_name(crew->preset));
    show_put(json, "preset_nearest_to",
             crew->nearest_to > 0 ? json_integer((json_int_t)crew->nearest_to)
                                  : json_null());
    show_put_text(json, "frost_textures", corrupt_set_frost(crew->set));
}
