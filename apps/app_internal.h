/* app_internal.h - what the commands of the program share: the option table and its parser,
 * the options common to all commands, failing with one line, progress, results as JSON.
 * Private to apps/ and its tests. Only apps/ prints: numbers to stdout, the rest to
 * stderr. */
#ifndef APPS_APP_INTERNAL_H
#define APPS_APP_INTERNAL_H

#include <jansson.h>

#include "base/base.h"
#include "data/data.h"
#include "show/show.h"
#include "vit/vit.h"

/* Rows of views end where the rest is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* ---- commands (one line each in main.c's table) -------------------------------------- */

enum { APP_DONE = 0, APP_FAILED = 1, APP_USAGE = 2 }; /* exit status */

/* argv[0] is the command's name, as in main. Each returns the exit status. */
int app_train(int argc, char **argv);
int app_eval(int argc, char **argv);
int app_predict(int argc, char **argv);
int app_inspect(int argc, char **argv);
int app_convert(int argc, char **argv);
int app_data(int argc, char **argv);
int app_corrupt(int argc, char **argv);
int app_bench(int argc, char **argv);
int app_attack_command(int argc, char **argv);
int app_report(int argc, char **argv);
int app_compare_command(int argc, char **argv);
int app_vae_command(int argc, char **argv);

/* ---- options (options.c) ------------------------------------------------------------- */

enum { APP_PRECISION_AUTO = 2 }; /* behind the values of vit_precision */

/* Options that every command has, but for those that mean nothing to it
 * (app_syntax.without). The struct of a command's arguments begins with one of these. */
typedef struct app_common {
    int64_t threads; /* 1..4096; after app_common_apply never 0 */
    int64_t seed;    /* 0..2^53 */
    int precision; /* a vit_precision or APP_PRECISION_AUTO; after app_common_apply the former */
    int64_t batch;    /* images a step, 1..65536 */
    int64_t limit;    /* first N samples of the seeded order, 0: all */
    bool pin;         /* done by app_pin */
    bool quiet;       /* only results and errors */
    const char *json; /* file for the results, "-": stdout; NULL: none */
    struct {
        bool seed, precision, batch, limit; /* options, not defaults */
    } given;
} app_common;

/* threads 0 (all processors), seed 0, fp32, batch 64, limit 0. */
app_common app_common_defaults(void);

/* Options are fields (base.h) of that struct, with the value's name for --help; flags are
 * BASE_BOOL. The value that the struct holds before parsing is the default: --help prints
 * it, unless help itself says "(default ...)". BASE_GIVEN(member) behind the help: a bool
 * that says whether the option was given. */
#define APP_INT(n, v, member, l, h, ...) BASE_INT(n, member, l, h, __VA_ARGS__, .value = v)
#define APP_REAL(n, v, member, l, h, ...)                                                  \
    BASE_REAL(n, member, l, h, __VA_ARGS__, .value = v)
#define APP_CHOICE(n, v, member, words, ...)                                               \
    BASE_CHOICE(n, member, words, __VA_ARGS__, .value = v)
#define APP_WORD(n, v, member, ...) BASE_WORD(n, member, __VA_ARGS__, .value = v)
/* All words up to the next option; may be repeated. */
#define APP_LIST(n, v, member, ...) BASE_LIST(n, member, __VA_ARGS__, .value = v)

typedef struct app_syntax {
    const char *command; /* "eval" */
    const char *usage;   /* "MODEL --data DATA [options]" */
    const char *about;   /* a few lines for --help */
    const base_field *options;
    const char *words; /* what the positional words are, for messages; NULL: none allowed */
    size_t words_low, words_high;
    const char
        *without; /* common options that mean nothing here: "pin batch"; NULL: it has all */
    bool of_recipe; /* common options that are not given are the recipe's */
    /* Whether an unknown option's name is a setting by another way, whose name goes into
     * out; NULL: no. */
    bool (*hint)(char *out, size_t out_bytes, const char *name);
} app_syntax;

/* Parses argv[1 ..] into args (whose first member is an app_common) and moves the
 * positional words to words[0 .. *word_count - 1] (argv is reordered; NULL, NULL when
 * syntax->words is NULL). Both "--name value" and "--name=value" are understood, "--" ends
 * the options. True: go on. False: leave with *exit_status, either --help was printed (0)
 * or one line about what is wrong (2). */
bool app_parse(int *exit_status, void *args, char ***words, size_t *word_count,
               const app_syntax *syntax, int argc, char **argv);

/* The i-th option of a command: its own first, then the common ones that it has; NULL past
 * the end. */
const base_field *app_option_at(const app_syntax *syntax, size_t i);
/* Prints --help in one of its forms: "" (a text), "=man" (a manual page), "=names" (for
 * completion). False: there is no such form. */
bool app_help(const app_syntax *syntax, const void *args, const char *form);
/* Text of a manual page to stdout: what roff would read otherwise is escaped. Up to length
 * characters. */
void app_man_text(const char *text, size_t length);

/* ---- memory (pool.c) ----------------------------------------------------------------- */

/* Memory that ends together. Zero it. */
typedef struct app_pool {
    struct app_chunk *first;
} app_pool;

/* Zeroed memory, aligned to 64 bytes, until the pool ends (NULL: the program; then from any
 * thread). Where there is none the program ends with one line and APP_FAILED: nobody
 * checks. */
void *app_take(app_pool *pool, size_t count, size_t bytes_each);
/* printf into memory until the program ends. */
char *app_text(const char *format, ...) BASE_PRINTF(1, 2);
void app_pool_end(app_pool *pool); /* zeroed is fine; so is it then */

/* ---- common work (common.c) ---------------------------------------------------------- */

/* Prints "vmoe COMMAND: TEXT" to stderr; APP_USAGE for BASE_USAGE, else APP_FAILED. */
int app_fail(const char *command, const base_error *err);
/* Whether this is a rank for which another one speaks: nothing is printed (ranks.c). */
bool app_silent(void);
/* For commands of one rank: prints why not, when a launcher started several (ranks.c). */
bool app_ranks_refused(const char *command);
/* Resolves threads (0: app_cpu_count) and precision (app_precision_pick), sets OpenMP's
 * number. Call once after app_parse. */
void app_common_apply(app_common *common, const char *command);
/* fp32 or bf16: what was wished for, with one line to stderr where bf16 has no instructions
 * here (fp32 then) or is slower (with the measured ratio); auto: the faster by measurement,
 * said in one line unless quiet. */
vit_precision app_precision_pick(int wish, const char *command, bool quiet);
/* One line to stderr unless quiet. */
void app_note(const app_common *common, const char *format, ...) BASE_PRINTF(2, 3);
/* From now on INT, TERM, HUP, USR1, USR2 and XCPU only ask to stop; one more INT or TERM, a
 * second later, ends the program at once. Call it before any other thread begins: they
 * inherit the blocked signals. */
void app_stop_install(void);
bool app_stop_asked(void);
/* The words of a command as one line that a shell would read back. Parsing moves the words:
 * ask before it. */
const char *app_command_line(int argc, char **argv);
/* Where results go that are for people: stdout, or stderr where --json - has stdout for
 * itself. */
FILE *app_result_stream(const app_common *common);

/* ---- processors (cores.c) ------------------------------------------------------------ */

/* OMP_NUM_THREADS where it is set, else the processors that OpenMP's threads may use,
 * within the quota of a control group; at least 1, at most OMP_THREAD_LIMIT. */
int app_cpu_count(void);
/* Whether OpenMP binds its threads. */
bool app_is_bound(void);
/* Those that part `part` of `parts` programs side by side should use. */
size_t app_cpus_part(int *ids, size_t most, size_t part, size_t parts);
/* With --pin among argv: starts the program again with each of OpenMP's threads bound to a
 * processor, unless that is done or the environment says how to bind them. Call it first of
 * all. */
void app_pin(char **argv);
/* Threads of a loader, with those of the network as helpers. workers: as the user wants,
 * below 0: as the split says. */
void app_loader_threads(data_loader_config *out, const app_common *common, int64_t workers);
/* member(arg, i) for each i below count, by so many of OpenMP's threads, where there are
 * fewer one after the other. */
void app_together(size_t count, void (*member)(void *arg, size_t i), void *arg);
/* work(user, i, thread) for each i below count, by so many threads, each time the next one
 * that is free. Once one has failed no other begins; of those that did, the first tells
 * why. */
typedef base_status app_each_work(void *user, size_t i, size_t thread, base_error *err);
base_status app_each(size_t count, size_t threads, app_each_work *work, void *user,
                     base_error *err);
/* OpenMP's number in a training: the loader's part is left out. Before the loaders are
 * made. */
void app_threads_share(const app_common *common);

/* text on stdout from column `indent`, where the line is already, to column 80, broken
 * between words, and the end of the line (help.c). */
void app_print_wrapped(const char *text, int indent);

/* ---- waiting (waiting.c) ------------------------------------------------------------- */

/* Measures whether so many threads have their processors to themselves, some hundredths of
 * a second, and lets threads that wait sleep where they have not. From the main thread,
 * once; the user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT holds, and nothing is measured. */
void app_waiting_begin(size_t threads);
/* The same, and says so on stderr unless quiet. */
void app_waiting_tell(const app_common *common);
/* Measures again when the last time is long ago, between steps. True: it is the other way
 * now. */
bool app_waiting_watch(void);
/* ", asleep while they wait: ..." for the line of the machine, or "". Returns out. */
const char *app_waiting_text(char *out, size_t out_bytes);

/* ---- progress (progress.c) ----------------------------------------------------------- */

/* One updating line on a terminal, a plain line now and then elsewhere, nothing with quiet.
 * All to stderr. Zero it; start, update as often as you like, line for what stays, end. */
typedef struct app_progress {
    bool on, terminal, shown;
    int columns;
    const char *what; /* "eval": first word of the line */
    const char *unit; /* "images"; NULL: shares of work, which have no rate */
    uint64_t total, done, first;
    double started, drawn, interval;
} app_progress;

/* what and unit are borrowed. first: done before this run began (resume); it does not count
 * in the rate. */
void app_progress_start(app_progress *p, const app_common *common, const char *what,
                        const char *unit, uint64_t total, uint64_t first);
/* done of total, and a short text of figures: "top-1 81.2 %  loss 0.52". */
void app_progress_update(app_progress *p, uint64_t done, const char *format, ...)
    BASE_PRINTF(3, 4);
/* A line that stays, above the progress line. */
void app_progress_line(app_progress *p, const char *format, ...) BASE_PRINTF(2, 3);
/* Takes the updating line away. */
void app_progress_end(app_progress *p);
/* For data_loader_config.log, user = the app_progress. */
void app_progress_log(void *progress, const char *line);

/* ---- results as JSON (json.c) -------------------------------------------------------- */

/* The keys of cli.md: vmoe, command, model, data (NULL: left out), seed, precision,
 * threads. The caller adds samples, seconds and the results, and gives it to
 * app_json_write. NULL: no memory. */
json_t *app_json_begin(const app_common *common, const char *command, const char *model,
                       const char *data);
/* part / all; null: of none. */
json_t *app_share_json(uint64_t part, uint64_t all);
/* [low, high], 95 % of right / samples (measure_interval); null: of none. */
json_t *app_interval_json(uint64_t right, uint64_t samples);
/* Whether --json and these files can be written: asked before work that takes hours, not
 * after it. NULL and "-": yes. */
base_status app_outputs_check(const app_common *common, const char *first,
                              const char *second, base_error *err);
/* All forms of a result: the table where results go to a terminal or a file, the page (html
 * NULL: none), --json. */
base_status app_document_write(const app_common *common, const show_document *document,
                               const show_view *view, const char *html, base_error *err);
/* The same of a document without pictures; json becomes its own. */
base_status app_result_write(const app_common *common, json_t *json, const show_view *view,
                             const char *html, base_error *err);
/* show_document_create with an error. On failure *out is NULL. */
base_status app_document_make(show_document **out, json_t *json, base_error *err);
/* To a file ("-": stdout), whole or not at all; to common->json (nothing when NULL). Takes
 * json over. */
base_status app_json_save(const char *path, json_t *json, base_error *err);
base_status app_json_write(const app_common *common, json_t *json, base_error *err);

#endif
