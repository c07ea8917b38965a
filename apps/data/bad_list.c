/* bad_list.c - --bad-list FILE: the samples that are odd, damaged or unusable, one a line
 * as they are met. Relied on elsewhere: "KIND<tab>NAME<tab>REASON", names and reasons by
 * base_quote. */
#include "apps/data/internal.h"

#include <fcntl.h>
#include <string.h>

const char *app_health_name(data_health health)
{
    static const char *const names[] = {"ok", "odd", "damaged", "bad"};

    return names[health];
}

base_status app_bad_list_open(app_bad_list *list, const char *path, bool append,
                              base_error *err)
{
    *list = (app_bad_list){.path = path};
    if (!path)
        return BASE_OK;
    /* O_NONBLOCK: a pipe that nobody reads is refused, not waited for */
    const int fd = open(path,
                        O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                            (append ? O_APPEND : O_TRUNC),
                        0666);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    list->file = fd < 0 ? NULL : fdopen(fd, append ? "ab" : "wb");
    return list->file ? BASE_OK : base_fail_errno(err, "cannot write '%s'", path);
}

void app_bad_list_add(app_bad_list *list, const char *name, data_health health,
                      const char *reason)
{
    char shown[1024];

    if (!list->file)
        return;
    fprintf(list->file, "%s\t%s\t%s\n", app_health_name(health), name,
            base_quote(shown, sizeof shown, reason));
    if (fflush(list->file) != 0)
        list->failed = true;
}

base_status app_bad_list_close(app_bad_list *list, base_status work, base_error *err)
{
    const bool lost = list->file && (fclose(list->file) != 0 || list->failed);

    list->file = NULL;
    return work == BASE_OK && lost
               ? base_fail(err, BASE_IO, "cannot write '%s': some of it is lost",
                           list->path)
               : work;
}

void app_bad_source_named(void *bad_source, size_t sample, data_health health,
                          const char *reason)
{
    const app_bad_source *s = bad_source;
    char name[1100];

    app_bad_list_add(s->list, data_source_name(s->source, sample, name, sizeof name),
                     health, reason);
}
