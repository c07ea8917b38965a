/* train.c - the trainings of a comparison: each a `vmoe train --resume` in a process of its
 * own, some at a time, seed by seed so that an early look sees all routers. Relied on
 * elsewhere: a child is asked to stop once and then waited for; it does not outlive this
 * process (PR_SET_PDEATHSIG). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/compare/internal.h"

enum {
    WORDS_MAX = BASE_LIST_MAX + TRAIN_SETTINGS_MAX + 32,
    JOBS_MAX = 64,
    TAIL_BYTES = 1 << 18, /* of metrics.jsonl: more than its last line */
    POLL_MS = 50
};
static const double look_seconds = 1; /* from one look at the metrics to the next */

/* A training at work. */
typedef struct job {
    pid_t child;
    size_t part; /* of the processors, with --pin: no other job at work has it */
    app_compare_run *run;
    uint64_t step; /* as its metrics say */
    double loss, accuracy;
    double began;
} job;

typedef struct crew {
    app_compare *compare;
    job job[JOBS_MAX];
    size_t count;    /* at work */
    size_t finished; /* of all runs, failed ones not counted */
    bool asked;      /* the children to stop */
    uint64_t done_steps;
    app_progress progress;
} crew;

/* ---- one child ----------------------------------------------------------------------- */

/* The words of the child's command line. The recipe is the user's own with the same --set,
 * so that the command is one that a person would write. */
static void words_make(const char *words[WORDS_MAX], const app_compare *c,
                       const app_compare_run *run)
{
    const app_compare_args *args = c->args;
    const train_variant *entry = &c->entries.variant[run->entry];
    const int64_t share = args->common.threads / args->jobs;
    const char *const named[][2] = {
        {"--data", args->data},
        {"--val", args->val},
        {"--out", run->folder},
        {"--threads", app_text("%" PRId64, share > 0 ? share : 1)}};
    size_t n = 0;

    words[n++] = "vmoe";
    words[n++] = "train";
    if (args->recipe) {
        words[n++] = "--recipe";
        words[n++] = args->recipe;
    }
    words[n++] = "--set";
    if (args->common.given.precision)
        words[n++] = args->common.precision == VIT_PRECISION_BF16 ? "train.precision=bf16"
                                                                  : "train.precision=fp32";
    for (size_t i = 0; i < args->set.count; i++)
        words[n++] = args->set.at[i];
    words[n++] = app_text("router.name=%s", entry->router);
    for (size_t i = 0; i < entry->settings; i++)
        words[n++] = entry->setting[i];
    words[n++] = app_text("train.seed=%" PRId64, run->seed);
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (!named[i][1])
            continue;
        words[n++] = named[i][0];
        words[n++] = named[i][1];
    }
    words[n++] = "--resume";
    if (args->common.pin)
        words[n++] = "--pin";
    words[n] = NULL;
}

/* In the child, where only what is safe between fork and exec may be called. cpus: the
 * processors that it is to keep to, NULL: any. */
static _Noreturn void child_become(const char *const *words, int log, pid_t parent,
                                   const cpu_set_t *cpus, size_t bytes)
{
    const int nothing = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(APP_FAILED); /* it died before the line above */
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (cpus)
        sched_setaffinity(0, bytes, cpus);
    execv("/proc/self/exe", (char *const *)(uintptr_t)words);
    static const char failed[] = "vmoe train: cannot start the program again\n";
    const ssize_t written = write(STDERR_FILENO, failed, sizeof failed - 1);
    _exit(written < 0 ? APP_USAGE : APP_FAILED);
}

/* The lowest part of the processors that no job at work has. */
static size_t free_part(const crew *w)
{
    for (size_t part = 0;; part++) {
        bool taken = false;
        for (size_t i = 0; i < w->count; i++)
            taken = taken || w->job[i].part == part;
        if (!taken)
            return part;
    }
}

/* The processors of a part; NULL without --pin. CPU_FREE. */
static cpu_set_t *part_cpus(size_t *bytes, const app_compare_args *args, size_t part)
{
    if (!args->common.pin)
        return NULL;
    int *ids = app_take(NULL, BASE_CPUS_MAX, sizeof *ids);
    cpu_set_t *set = CPU_ALLOC(BASE_CPUS_MAX);
    const size_t count = app_cpus_part(ids, BASE_CPUS_MAX, part, (size_t)args->jobs);

    *bytes = CPU_ALLOC_SIZE(BASE_CPUS_MAX);
    if (set)
        CPU_ZERO_S(*bytes, set);
    for (size_t i = 0; i < count && set; i++)
        CPU_SET_S((size_t)ids[i], *bytes, set);
    return set;
}

static base_status child_start(crew *w, app_compare_run *run, base_error *err)
{
    const char *words[WORDS_MAX];
    base_status status = base_folder_make(run->folder, err);

    if (status != BASE_OK)
        return status;
    const int log = open(run->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log < 0)
        return base_fail_errno(err, "cannot write '%s'", run->log);
    words_make(words, w->compare, run);
    const size_t part = free_part(w);
    size_t bytes = 0;
    cpu_set_t *cpus = part_cpus(&bytes, w->compare->args, part);
    const pid_t parent = getpid();
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        child_become(words, log, parent, cpus, bytes);
    if (child < 0)
        status = base_fail_errno(err, "cannot start a training");
    close(log);
    CPU_FREE(cpus);
    if (status == BASE_OK)
        w->job[w->count++] = (job){.child = child,
                                   .part = part,
                                   .run = run,
                                   .step = run->step,
                                   .loss = -1,
                                   .began = base_seconds()};
    return status;
}

/* ---- what it says -------------------------------------------------------------------- */

/* The last bytes of a file with a 0 behind, base_free; NULL: there is none. */
static char *tail_read(const char *path)
{
    FILE *file = fopen(path, "rbe");
    char *text = file ? base_alloc(TAIL_BYTES + 1, 1) : NULL;

    if (text && fseeko(file, 0, SEEK_END) == 0) {
        const off_t size = ftello(file);
        const off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
        size_t got = 0;
        if (size > 0 && fseeko(file, from, SEEK_SET) == 0)
            got = fread(text, 1, TAIL_BYTES, file);
        text[got] = '\0';
    }
    if (file)
        fclose(file);
    return text;
}

/* How far a training is, by the last whole line of its metrics. */
static void job_look(job *j)
{
    char *path = base_text("%s/metrics.jsonl", j->run->folder); /* every second */
    char *text = path ? tail_read(path) : NULL;
    char *end = text ? strrchr(text, '\n') : NULL;

    if (end) {
        *end = '\0';
        const char *line = strrchr(text, '\n');
        json_t *json = json_loads(line ? line + 1 : text, 0, NULL);
        const json_t *step = json_object_get(json, "step");
        if (json_is_integer(step) && json_integer_value(step) > 0) {
            j->step = (uint64_t)json_integer_value(step);
            j->loss = json_number_value(json_object_get(json, "loss"));
            j->accuracy = json_number_value(json_object_get(json, "accuracy"));
        }
        json_decref(json);
    }
    base_free(text);
    base_free(path);
}

/* Why it failed: the last line that begins with the program's name. */
static void reason_read(app_compare_run *run, int state)
{
    static const char mark[] = "vmoe train: ";
    char *text = tail_read(run->log);
    const char *found = NULL;

    for (const char *at = text; at && *at;) {
        if (strncmp(at, mark, sizeof mark - 1) == 0)
            found = at + sizeof mark - 1;
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (WIFSIGNALED(state)) {
        snprintf(run->reason, sizeof run->reason, "its training was killed by signal %d",
                 WTERMSIG(state));
    } else if (found) {
        char line[480];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(found, "\n"), found);
        base_quote(run->reason, sizeof run->reason, line);
    } else {
        snprintf(run->reason, sizeof run->reason, "its training ended with exit status %d",
                 WEXITSTATUS(state));
    }
    base_free(text);
}

/* ---- all of them --------------------------------------------------------------------- */

static void progress_show(crew *w)
{
    uint64_t steps = w->done_steps;
    char name[128], figures[160] = "";

    for (size_t i = 0; i < w->count; i++) {
        job_look(&w->job[i]);
        steps += w->job[i].step;
    }
    if (w->count > 0) {
        const job *j = &w->job[w->count - 1];
        snprintf(figures, sizeof figures, "  %s step %" PRIu64,
                 app_compare_name(name, sizeof name, w->compare, j->run), j->step);
        const size_t used = strlen(figures);
        if (j->loss >= 0)
            snprintf(figures + used, sizeof figures - used, " loss %.3f top-1 %.1f %%",
                     j->loss, 100 * j->accuracy);
    }
    app_progress_update(&w->progress, steps, "%zu of %zu runs%s", w->finished,
                        w->compare->runs, figures);
}

/* A child has ended: looks at what it left, and says so. */
static base_status job_end(crew *w, size_t at, int state, base_error *err)
{
    const job j = w->job[at];
    char name[128], seconds[32];

    w->job[at] = w->job[--w->count];
    base_status status = app_compare_look(w->compare, j.run, err);
    if (status != BASE_OK)
        return status;
    app_compare_name(name, sizeof name, w->compare, j.run);
    show_duration(seconds, sizeof seconds, base_seconds() - j.began);
    w->done_steps += j.run->step;
    if (j.run->state == APP_RUN_FINISHED) {
        w->finished++;
        app_progress_line(&w->progress, "%-12s%s: top-1 %.2f %%, %s (%zu of %zu)",
                          "trained", name, 100 * j.run->accuracy, seconds, w->finished,
                          w->compare->runs);
    } else if (!w->asked && !app_stop_asked()) {
        j.run->state = APP_RUN_FAILED;
        reason_read(j.run, state);
        app_progress_line(&w->progress, "%-12s%s: %s", "failed", name, j.run->reason);
    }
    return BASE_OK;
}

/* Those that have ended. */
static base_status jobs_collect(crew *w, base_error *err)
{
    base_status status = BASE_OK;

    for (size_t i = w->count; i-- > 0 && status == BASE_OK;) {
        int state = 0;
        const pid_t ended = waitpid(w->job[i].child, &state, WNOHANG);
        if (ended == w->job[i].child)
            status = job_end(w, i, state, err);
        else if (ended < 0 && errno != EINTR)
            status = base_fail_errno(err, "cannot wait for a training");
    }
    return status;
}

/* Asks all children to stop, once: a second time would end them at once. */
static void jobs_ask(crew *w)
{
    for (size_t i = 0; i < w->count && !w->asked; i++)
        kill(w->job[i].child, SIGTERM);
    w->asked = true;
}

/* The next run that is not finished, seed by seed; NULL: none is left. */
static app_compare_run *next_run(const app_compare *c, size_t *at)
{
    while (*at < c->runs) {
        app_compare_run *run = app_compare_run_in_turn(c, (*at)++);
        if (run->state != APP_RUN_FINISHED)
            return run;
    }
    return NULL;
}

static base_status crew_work(crew *w, base_error *err)
{
    const struct timespec pause = {0, POLL_MS * 1000000};
    const size_t jobs = (size_t)w->compare->args->jobs;
    double looked = 0;
    size_t at = 0;
    bool more = true;
    base_status status = BASE_OK;

    while (status == BASE_OK && (w->count > 0 || more)) {
        if (app_stop_asked()) {
            jobs_ask(w);
            more = false;
        }
        while (more && w->count < jobs && status == BASE_OK) {
            app_compare_run *run = next_run(w->compare, &at);
            more = run != NULL;
            if (run)
                status = child_start(w, run, err);
        }
        if (status == BASE_OK)
            status = jobs_collect(w, err);
        if (base_seconds() - looked > look_seconds) {
            progress_show(w);
            looked = base_seconds();
        }
        if (w->count > 0)
            nanosleep(&pause, NULL);
    }
    if (w->count > 0) { /* something went wrong here: nobody is left behind */
        jobs_ask(w);
        for (size_t i = 0; i < w->count; i++)
            waitpid(w->job[i].child, NULL, 0);
    }
    return status;
}

base_status app_compare_train(app_compare *compare, base_error *err)
{
    crew *w = app_take(NULL, 1, sizeof *w);
    uint64_t first = 0;

    w->compare = compare;
    for (size_t i = 0; i < compare->runs; i++) {
        first += compare->run[i].step;
        if (compare->run[i].state == APP_RUN_FINISHED) {
            w->finished++;
            w->done_steps += compare->run[i].step;
        }
    }
    app_progress_start(&w->progress, &compare->args->common, "train", "steps",
                       compare->total * compare->runs, first);
    base_status status = crew_work(w, err);
    app_progress_end(&w->progress);
    if (status == BASE_OK && app_stop_asked() && w->finished < compare->runs)
        status = base_fail(err, BASE_INTERRUPTED,
                           "stopped with %zu of %zu runs trained, the same command goes on "
                           "from there",
                           w->finished, compare->runs);
    return status;
}
