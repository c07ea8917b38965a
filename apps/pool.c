/* pool.c - memory of a command: it ends with its pool or with the program, and there is one
 * way out where there is none. Libraries below return BASE_NO_MEMORY instead. */
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/app_internal.h"

struct app_chunk {
    _Alignas(64) struct app_chunk *next;
};

static app_pool of_program;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *app_take(app_pool *pool, size_t count, size_t bytes_each)
{
    size_t bytes = 0;
    struct app_chunk *chunk = NULL;

    if (base_mul_size(&bytes, count, bytes_each) && bytes < SIZE_MAX - sizeof *chunk)
        chunk = base_alloc(1, sizeof *chunk + bytes);
    if (!chunk) {
        char text[32];

        fprintf(stderr, "vmoe: no memory for another %s\n",
                show_bytes(text, sizeof text, (double)count * (double)bytes_each));
        exit(APP_FAILED);
    }
    if (!pool)
        pthread_mutex_lock(&lock);
    app_pool *to = pool ? pool : &of_program;
    chunk->next = to->first;
    to->first = chunk;
    if (!pool)
        pthread_mutex_unlock(&lock);
    return chunk + 1;
}

char *app_text(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    const int length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    const size_t room = length > 0 ? (size_t)length + 1 : 1;
    char *text = app_take(NULL, room, 1);
    va_start(list, format);
    vsnprintf(text, room, format, list);
    va_end(list);
    return text;
}

void app_pool_end(app_pool *pool)
{
    while (pool->first) {
        struct app_chunk *chunk = pool->first;

        pool->first = chunk->next;
        base_free(chunk);
    }
}
