/* reader.c - one picture after the other, for those who need no loader. */
#include "data/data_internal.h"

base_status data_reader_begin(data_reader *reader, base_error *err)
{
    const data_decode_limits limits = data_loader_defaults().limits;

    reader->health = DATA_HEALTH_BAD;
    return reader->decoder ? BASE_OK : data_decoder_create(&reader->decoder, &limits, err);
}

base_status data_reader_sample(data_reader *reader, const data_source *source, size_t i,
                               base_error *err)
{
    const base_status status = data_reader_begin(reader, err);

    return status == BASE_OK ? data_source_image(source, i, &reader->image, &reader->health,
                                                 reader->decoder, &reader->buffer,
                                                 &reader->buffer_bytes, err)
                             : status;
}

base_status data_reader_named(data_reader *reader, const data_source *source, size_t i,
                              base_error *err)
{
    const base_status status = data_reader_sample(reader, source, i, err);
    char name[1100];

    if (status != BASE_OK)
        base_error_prepend(err, "'%s': ", data_source_name(source, i, name, sizeof name));
    return status;
}

base_status data_reader_file(data_reader *reader, const char *path, base_error *err)
{
    const base_status status = data_reader_begin(reader, err);

    return status == BASE_OK ? data_image_load(&reader->image, &reader->health,
                                               reader->decoder, path, err)
                             : status;
}

void data_reader_close(data_reader *reader)
{
    data_decoder_destroy(reader->decoder);
    data_image_destroy(&reader->image);
    data_scratch_destroy(&reader->scratch);
    base_free(reader->buffer);
    *reader = (data_reader){0};
}
