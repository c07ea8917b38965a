/* child.c - a piece of a benchmark in a process of its own. Results and refusal come back
 * through a pipe as JSON: {"status", "text", "results"}. */
#include "apps/bench/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 200 };

/* The child's side: never returns. */
static void child_run(int to,
                      base_status (*work)(void *user, json_t *results, base_error *err),
                      void *user)
{
    base_error err = {0};
    json_t *results = json_array();

    app_stop_install(); /* the thread that waits for signals stayed behind */
    const base_status status =
        results ? work(user, results, &err) : base_fail(&err, BASE_NO_MEMORY, "no memory");
    json_t *answer = json_pack("{s:i, s:o, s:o}", "status", (int)status, "text",
                               show_json_text(err.text), "results", results);
    char *text = answer ? json_dumps(answer, JSON_REAL_PRECISION(17)) : NULL;
    bool sent = text != NULL;

    for (size_t at = 0, bytes = text ? strlen(text) : 0; sent && at < bytes;) {
        const ssize_t n = write(to, text + at, bytes - at);
        if (n > 0)
            at += (size_t)n;
        else
            sent = n < 0 && errno == EINTR;
    }
    fflush(NULL);
    _exit(sent ? 0 : 1);
}

/* All that the child says, 0-terminated (base_free); NULL: no memory. A stop is passed on
 * to it. */
static char *child_listen(int from, pid_t child)
{
    size_t room = 1 << 16, used = 0;
    char *text = base_alloc(room, 1);
    bool told = false;

    while (text) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        if (app_stop_asked() && !told) {
            kill(child, SIGTERM);
            told = true;
        }
        if (poll(&ready, 1, POLL_MS) <= 0)
            continue;
        if (used + 1 == room) {
            char *more = base_alloc(2 * room, 1);
            if (more)
                memcpy(more, text, used);
            base_free(text);
            text = more;
            room *= 2;
            continue;
        }
        const ssize_t n = read(from, text + used, room - used - 1);
        if (n > 0)
            used += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return text;
}

static base_status answer_take(const char *text, json_t *results, base_error *err)
{
    json_error_t bad;
    json_t *answer = text ? json_loads(text, 0, &bad) : NULL;
    const json_t *status = json_object_get(answer, "status");
    base_status code = BASE_INTERNAL;

    if (json_is_integer(status)) {
        code = (base_status)json_integer_value(status);
        if (code != BASE_OK)
            base_fail(err, code, "%s", json_string_value(json_object_get(answer, "text")));
        else if (results)
            json_array_extend(results, json_object_get(answer, "results"));
    } else {
        base_fail(err, code, "the process that measured ended without a result");
    }
    json_decref(answer);
    return code;
}

base_status bench_child(base_status (*work)(void *user, json_t *results, base_error *err),
                        void *user, json_t *results, base_error *err)
{
    int ends[2];

    fflush(NULL); /* or both would print what is still in the buffers */
    if (pipe(ends) != 0)
        return base_fail_errno(err, "cannot make a pipe");
    const pid_t child = fork();
    if (child < 0) {
        const base_status status = base_fail_errno(err, "cannot start a process");
        close(ends[0]);
        close(ends[1]);
        return status;
    }
    if (child == 0) {
        close(ends[0]);
        child_run(ends[1], work, user);
    }
    close(ends[1]);
    char *text = child_listen(ends[0], child);
    int how = 0;

    close(ends[0]);
    while (waitpid(child, &how, 0) < 0 && errno == EINTR)
        ;
    const base_status status = answer_take(text, results, err);
    base_free(text);
    return status;
}

base_status bench_subjects(const bench_context *context,
                           base_status (*work)(void *user, json_t *results,
                                               base_error *err),
                           base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = 0; i < context->subject_count && status == BASE_OK; i++)
        status = bench_child(work, &(bench_subject){context, context->subjects[i]},
                             context->results, err);
    return status;
}
