/* real.c - ReaL labels: several right answers an image (Beyer et al. 2020, "Are we done
 * with ImageNet?"). Free to change: the texts. Relied on elsewhere: an image without labels
 * does not count. */
#include "data/data_internal.h"
#include "data/sources/labels_internal.h"

#include <jansson.h>
#include <string.h>

enum { TEXT_MOST = 64 << 20 };

struct data_real {
    size_t count;
    size_t *start; /* [count + 1] into label */
    int32_t *label;
};

void data_real_destroy(data_real *real)
{
    if (!real)
        return;
    base_free(real->start);
    base_free(real->label);
    base_free(real);
}

/* The labels of image i, which is a list of whole numbers. */
static base_status take_image(data_real *real, size_t *room, const json_t *list, size_t i,
                              size_t classes, const char *path, base_error *err)
{
    const json_t *value;
    size_t k;

    if (!json_is_array(list))
        return base_fail(
            err, BASE_FORMAT,
            "'%s': entry %zu is no list, expected a list of labels for each image", path,
            i);
    real->start[i + 1] = real->start[i];
    json_array_foreach(list, k, value)
    {
        const json_int_t label = json_is_integer(value) ? json_integer_value(value) : -1;
        if (label < 0 || (size_t)label >= classes)
            return base_fail(err, BASE_FORMAT,
                             "'%s': entry %zu has something else than labels from 0 to %zu",
                             path, i, classes - 1);
        if (!data_grow(&real->label, room, real->start[i + 1] + 1, sizeof *real->label))
            return base_fail(err, BASE_NO_MEMORY, "no memory for the labels of '%s'", path);
        real->label[real->start[i + 1]++] = (int32_t)label;
    }
    return BASE_OK;
}

static base_status take_all(data_real *real, const json_t *json, size_t classes,
                            const char *path, base_error *err)
{
    base_status status = BASE_OK;
    size_t room = 0;

    real->count = json_array_size(json);
    real->start = base_alloc(real->count + 1, sizeof *real->start);
    if (!real->start)
        return base_fail(err, BASE_NO_MEMORY, "no memory for the labels of '%s'", path);
    for (size_t i = 0; i < real->count && status == BASE_OK; i++)
        status = take_image(real, &room, json_array_get(json, i), i, classes, path, err);
    return status;
}

base_status data_real_load(data_real **out, const char *path, size_t classes,
                           base_error *err)
{
    char *text = NULL, shown[2 * JSON_ERROR_TEXT_LENGTH];
    size_t bytes = 0;
    json_error_t why;
    base_status status = base_file_read(&text, &bytes, path, TEXT_MOST, err);

    if (status != BASE_OK)
        return status;
    data_real *real = base_alloc(1, sizeof *real);
    json_t *json = json_loadb(text, bytes, 0, &why);
    if (!real)
        status = base_fail(err, BASE_NO_MEMORY, "no memory to read '%s'", path);
    else if (!json)
        status = base_fail(err, BASE_FORMAT, "'%s' line %d: %s", path, why.line,
                           base_quote(shown, sizeof shown, why.text));
    else if (!json_is_array(json) || json_array_size(json) == 0)
        status = base_fail(err, BASE_FORMAT,
                           "'%s' is no JSON list, expected a list of labels for each image",
                           path);
    else
        status = take_all(real, json, classes, path, err);
    json_decref(json);
    base_free(text);
    if (status == BASE_OK)
        *out = real;
    else
        data_real_destroy(real);
    return status;
}

size_t data_real_count(const data_real *real)
{
    return real->count;
}

size_t data_real_image(const data_source *source, size_t i)
{
    char name[DATA_NAME_MAX + 2];

    data_source_relative_name(source, i, name, sizeof name);
    const char *slash = strrchr(name, '/');
    const size_t number = data_image_number(slash ? slash + 1 : name);
    return number == 0 ? SIZE_MAX : number - 1;
}

data_real_answer data_real_judge(const data_real *real, size_t image, size_t answer)
{
    const size_t first = real->start[image], end = real->start[image + 1];

    for (size_t i = first; i < end; i++) {
        if ((size_t)real->label[i] == answer)
            return DATA_REAL_RIGHT;
    }
    return first == end ? DATA_REAL_NONE : DATA_REAL_WRONG;
}
