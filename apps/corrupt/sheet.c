/* sheet.c - the contact sheet: one image under every selected corruption, a row each,
 * severities across, the clean image first. Free to change: all of it. */
#include "apps/corrupt/internal.h"

#include <string.h>
#include <strings.h>

enum {
    GAP = 4,
    MARGIN = 8,
    INK = 40,
    PAPER = 255,
    JPEG_QUALITY = 90,
    LINES = 2 /* of a corruption's name */
};

/* Where things stand, in pixels. */
typedef struct layout {
    size_t tile, scale; /* side of a picture; pixels of a letter's dot */
    size_t left, top;   /* of the first picture */
    corrupt_kind kind[CORRUPT_KIND_COUNT];
    int severity[CORRUPT_SEVERITY_MAX];
    size_t rows, columns; /* columns without the clean one */
    size_t foot;          /* top of the last line */
} layout;

static layout layout_make(const app_selection *selection, size_t tile)
{
    layout l = {.tile = tile, .scale = tile >= 64 ? 2 : 1};
    size_t letters = 0;

    for (size_t i = 0; i < selection->count; i++)
        if (l.rows == 0 || l.kind[l.rows - 1] != selection->pair[i].kind)
            l.kind[l.rows++] = selection->pair[i].kind;
    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++)
        if (selection->severity[s])
            l.severity[l.columns++] = s;
    for (size_t r = 0; r < l.rows; r++) { /* the longest half of a name */
        const char *name = corrupt_kind_name(l.kind[r]);
        const size_t first = strcspn(name, "_"), rest = strlen(name) - first;

        letters = first > letters ? first : letters;
        letters = rest > letters ? rest : letters;
    }
    l.left = MARGIN + letters * SHOW_LABEL_WIDE * l.scale;
    l.top = MARGIN + (SHOW_LABEL_HIGH + 2) * l.scale;
    l.foot = l.top + l.rows * (l.tile + GAP);
    return l;
}

static size_t column_left(const layout *l, size_t column)
{
    /* The clean picture stands a little apart. */
    return l->left + column * (l->tile + GAP) + (column > 0 ? 2 * GAP : 0);
}

static size_t row_top(const layout *l, size_t row)
{
    return l->top + row * (l->tile + GAP);
}

static void words_draw(data_image *sheet, const layout *l)
{
    const size_t high = SHOW_LABEL_HIGH * l->scale, wide = SHOW_LABEL_WIDE * l->scale;

    for (size_t c = 0; c <= l->columns; c++) {
        char text[16];

        snprintf(text, sizeof text, c == 0 ? "clean" : "%d",
                 c == 0 ? 0 : l->severity[c - 1]);
        const size_t length = strlen(text) * wide;
        show_label_draw(sheet, text,
                        column_left(l, c) + (length < l->tile ? (l->tile - length) / 2 : 0),
                        MARGIN, l->scale, INK);
    }
    for (size_t r = 0; r < l->rows; r++) {
        const char *name = corrupt_kind_name(l->kind[r]);
        const size_t first = strcspn(name, "_");
        const size_t lines = name[first] ? LINES : 1;
        const size_t top =
            row_top(l, r) + (l->tile > lines * high ? (l->tile - lines * high) / 2 : 0);
        char text[64];

        snprintf(text, sizeof text, "%.*s", (int)first, name);
        show_label_draw(sheet, text, MARGIN, top, l->scale, INK);
        if (lines == LINES)
            show_label_draw(sheet, name + first + 1, MARGIN, top + high, l->scale, INK);
    }
}

typedef struct sheet {
    data_image paper;
    layout layout;
    const corrupt_crew *crew;
    const data_image *image;
    uint64_t key; /* of its name */
} sheet;

/* Picture i, row by row, made and put into its place; column 0 is the clean one. */
static base_status cell_make(void *user, size_t i, size_t thread, base_error *err)
{
    sheet *s = user;
    const layout *l = &s->layout;
    const data_image *image = s->image;
    const size_t row = i / (l->columns + 1), column = i % (l->columns + 1);
    data_image changed = {0}, tile = {0};
    data_scratch scratch = {0};
    base_status status = data_image_reserve(&changed, image->width, image->height, 3, err);

    if (status == BASE_OK && column == 0)
        memcpy(changed.pixels, image->pixels, image->width * image->height * 3);
    else if (status == BASE_OK)
        status = corrupt_apply(s->crew->worker[thread], changed.pixels, image->pixels,
                               image->height, image->width, l->kind[row],
                               l->severity[column - 1], s->key, err);
    if (status == BASE_OK)
        status = data_resize(&tile, &changed, NULL, l->tile, l->tile, NULL,
                             DATA_FILTER_BICUBIC, &scratch, err);
    if (status == BASE_OK)
        show_image_put(&s->paper, &tile, column_left(l, column), row_top(l, row));
    data_image_destroy(&changed);
    data_image_destroy(&tile);
    data_scratch_destroy(&scratch);
    return status;
}

bool app_is_jpeg(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

base_status app_picture_write(const char *path, const data_image *image,
                              corrupt_worker *worker, int quality, base_error *err)
{
    const unsigned char *bytes = NULL;
    size_t size = 0;
    base_writer out;

    if (!app_is_jpeg(path))
        return data_png_write(path, image, err);
    base_status status = corrupt_jpeg_encode(worker, &bytes, &size, image->pixels,
                                             image->height, image->width, quality, err);
    if (status == BASE_OK)
        status = base_writer_open(&out, path, err);
    if (status != BASE_OK)
        return status;
    fwrite(bytes, 1, size, out.file);
    return base_writer_commit(&out, err);
}

base_status app_sheet_write(const char *path, const app_selection *selection,
                            const corrupt_crew *crew, const data_image *image, uint64_t key,
                            size_t tile, base_error *err)
{
    sheet s = {
        .layout = layout_make(selection, tile), .crew = crew, .image = image, .key = key};
    const layout *l = &s.layout;
    char made[128];
    base_status status =
        data_image_reserve(&s.paper, column_left(l, l->columns) + l->tile + MARGIN,
                           l->foot + SHOW_LABEL_HIGH + MARGIN, 3, err);

    if (status != BASE_OK)
        return status;
    memset(s.paper.pixels, PAPER, s.paper.width * s.paper.height * 3);
    words_draw(&s.paper, l);
    show_label_draw(&s.paper, app_crew_text(made, sizeof made, crew), MARGIN, l->foot, 1,
                    INK);
    status = app_each(l->rows * (l->columns + 1), crew->count, cell_make, &s, err);
    if (status == BASE_OK)
        status = app_picture_write(path, &s.paper, crew->worker[0], JPEG_QUALITY, err);
    data_image_destroy(&s.paper);
    return status;
}
