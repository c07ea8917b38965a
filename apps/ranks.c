/* ranks.c - joins the rooms for a command on several ranks: the mesh moves bytes, the
 * trainer sees a table of functions. Rank 0 alone speaks and writes; what another rank dies
 * of reaches it by the mesh and is told with that rank's name. Relied on elsewhere: a
 * program without a launcher opens nothing. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/ranks_internal.h"

/* Whether another rank speaks for this one. */
static bool silent(void)
{
    mesh_launch launch = {0};

    mesh_launched(&launch, NULL); /* who it is stands there after a refusal, too */
    return launch.ranks > 1 && launch.rank > 0;
}

bool app_silent(void)
{
    static int known; /* 1: no, 2: yes */

    if (known == 0)
        known = silent() ? 2 : 1;
    return known == 2;
}

bool app_ranks_refused(const char *command)
{
    mesh_launch launch = {0};
    base_error err = {0};
    base_status status = mesh_launched(&launch, &err);

    if (status == BASE_OK && launch.ranks == 1)
        return false;
    if (status == BASE_OK)
        base_fail(&err, BASE_USAGE,
                  "%zu ranks, expected 1: of all commands only train runs on several",
                  launch.ranks);
    app_fail(command, &err);
    return true;
}

/* ---- the table of peers -------------------------------------------------------------- */

static void exchange(void *user, size_t ticket, const void *send, const size_t *send_at,
                     const size_t *send_bytes, void *receive, const size_t *receive_at,
                     const size_t *receive_bytes)
{
    app_ranks *r = user;

    mesh_exchange(mesh_world(r->mesh), &r->ticket[ticket], send, send_at, send_bytes,
                  receive, receive_at, receive_bytes);
}

static void gather(void *user, size_t ticket, void *all, const size_t *at,
                   const size_t *bytes)
{
    app_ranks *r = user;

    mesh_gather(mesh_world(r->mesh), &r->ticket[ticket], all, at, bytes);
}

static bool arrived(void *user, size_t ticket)
{
    return mesh_arrived(&((app_ranks *)user)->ticket[ticket]);
}

static base_status wait_for(void *user, size_t ticket, base_error *err)
{
    return mesh_wait(&((app_ranks *)user)->ticket[ticket], err);
}

static base_status all(void *user, void *each, size_t bytes, base_error *err)
{
    return mesh_all(mesh_world(((app_ranks *)user)->mesh), each, bytes, err);
}

/* ---- what the trainer tells and asks ------------------------------------------------- */

static void say(void *user, uint64_t step, train_phase phase)
{
    static const mesh_phase phases[] = {
        [TRAIN_PHASE_LOADING] = MESH_PHASE_LOADING,
        [TRAIN_PHASE_COMPUTING] = MESH_PHASE_COMPUTING,
        [TRAIN_PHASE_EXCHANGE] = MESH_PHASE_EXCHANGE,
        [TRAIN_PHASE_EVALUATION] = MESH_PHASE_EVALUATION,
        [TRAIN_PHASE_SAVING] = MESH_PHASE_SAVING,
    };

    mesh_say(((app_ranks *)user)->mesh, step, phases[phase]);
}

static base_status agree(void *user, const char *what, const char *text, base_error *err)
{
    return mesh_agree(((app_ranks *)user)->mesh, what, text, err);
}

static void counted(void *user, double *sent, double *waited)
{
    const mesh_counts counts = mesh_counted(((app_ranks *)user)->mesh);

    *sent = *waited = 0;
    for (size_t i = 0; i < MESH_KINDS; i++) {
        *sent += (double)counts.kind[i].sent;
        *waited += counts.kind[i].waited;
    }
}

/* ---- joining ------------------------------------------------------------------------- */

static void log_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "vmoe: %s\n", line);
}

/* A sum over the program's own file: other builds compute other bits. */
static uint64_t program_hash(void)
{
    unsigned char piece[1 << 12];
    uint64_t hash = 0;
    size_t count;
    FILE *file = fopen("/proc/self/exe", "rb");

    while (file && (count = fread(piece, 1, sizeof piece, file)) > 0)
        for (size_t i = 0; i < count; i++)
            hash = (hash ^ piece[i]) * 0x100000001b3u; /* FNV-1a */
    if (file)
        fclose(file);
    return hash;
}

/* All ranks are the same program on processors of one kind, with the same command. */
static base_status compare(app_ranks *r, const char *command_line, base_error *err)
{
    char text[256], onednn[96];
    uint64_t hash = 0;

    snprintf(text, sizeof text, "vmoe %s (build %016llx)", BASE_VERSION,
             (unsigned long long)program_hash());
    base_status status = mesh_agree(r->mesh, "the program", text, err);
    vit_onednn_version(onednn, sizeof onednn);
    snprintf(text, sizeof text, "%s, bf16 %s", onednn, vit_bf16_available() ? "yes" : "no");
    if (status == BASE_OK)
        status = mesh_agree(r->mesh, "kernels of", text, err);
    for (const char *at = command_line; at && *at; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    snprintf(text, sizeof text, "%.200s (%08llx)", command_line ? command_line : "",
             (unsigned long long)(hash & 0xffffffffu));
    if (status == BASE_OK)
        status = mesh_agree(r->mesh, "the command", text, err);
    return status;
}

/* The rank's processors and threads, before OpenMP has any. */
static base_status take_place(app_ranks *r, const app_ranks_options *options,
                              app_common *common, base_error *err)
{
    const mesh_place want = {.threads = common->threads > 0 ? (size_t)common->threads
                                        : getenv("OMP_NUM_THREADS")
                                            ? (size_t)omp_get_max_threads()
                                            : 0,
                             .keep = options->place == 1 || app_is_bound(),
                             .oversubscribe = options->oversubscribe};
    const base_status status = mesh_place_ranks(&r->placed, r->mesh, &want, err);

    if (status == BASE_OK)
        common->threads = (int64_t)r->placed.threads;
    return status;
}

/* Of a single rank of mpirun, which Open MPI binds to one core, where all of its threads
 * would be; no library of MPI is opened. */
static base_status take_place_alone(app_ranks *r, const app_ranks_options *options,
                                    app_common *common, base_error *err)
{
    base_status status = mesh_open(&r->mesh, NULL, err);

    if (status == BASE_OK)
        status = take_place(r, options, common, err);
    mesh_close(r->mesh);
    r->mesh = NULL;
    return status;
}

base_status app_ranks_open(app_ranks *ranks, const app_ranks_options *options,
                           app_common *common, const char *command_line, base_error *err)
{
    app_ranks *r = ranks;
    mesh_options how = mesh_options_defaults();
    mesh_launch launch = {0};

    *r = (app_ranks){0};
    base_status status = mesh_launched(&launch, err);
    if (status == BASE_OK && launch.ranks == 1 && launch.launcher == MESH_LAUNCHER_MPIRUN)
        return take_place_alone(r, options, common, err);
    if (status != BASE_OK || launch.ranks == 1)
        return status;
    how.patience = options->patience;
    how.log = log_line;
    status = mesh_open(&r->mesh, &how, err);
    if (status != BASE_OK)
        return status;
    r->train = (train_ranks){.peers = {.user = r,
                                       .rank = mesh_rank(r->mesh),
                                       .ranks = mesh_ranks(r->mesh),
                                       .exchange = exchange,
                                       .gather = gather,
                                       .arrived = arrived,
                                       .wait = wait_for,
                                       .all = all},
                             .user = r,
                             .say = say,
                             .agree = agree,
                             .counted = counted};
    status = compare(r, command_line, err);
    return status == BASE_OK ? take_place(r, options, common, err) : status;
}

void app_ranks_close(app_ranks *ranks, base_status status, const base_error *err)
{
    if (!ranks->mesh)
        return;
    if (status != BASE_OK && status != BASE_INTERRUPTED)
        mesh_fail(ranks->mesh, err);
    mesh_close(ranks->mesh);
    ranks->mesh = NULL;
}

/* A rank that could not join has nobody who speaks for it. The launcher ends all when one
 * leaves, so that those above 0 give rank 0, which mostly has met the same, the time to say
 * it. Who is still there then, without its module, says so itself; the first of several
 * that are alike. */
static int fail_outside(const char *command, const base_error *err)
{
    mesh_launch launch = {0};
    char host[256] = "";

    if (mesh_launched(&launch, NULL) != BASE_OK || launch.ranks == 1)
        return app_fail(command, err);
    if (launch.rank > 0) {
        const struct timespec turn = {2, (long)(500 + 400 * launch.rank / launch.ranks) *
                                             1000000};

        if (nanosleep(&turn, NULL) == 0 && strstr(err->text, "the module")) {
            gethostname(host, sizeof host - 1);
            fprintf(stderr, "vmoe %s: rank %zu (%s): %s\n", command, launch.rank, host,
                    err->text);
        }
    }
    const int status = app_fail(command, err);
    mesh_launch_leave(&launch, status);
    return status;
}

int app_ranks_fail(const app_ranks *ranks, const char *command, const base_error *err)
{
    const char *zero = ranks->mesh ? mesh_name(ranks->mesh, 0) : "";
    const bool lost = ranks->mesh && app_silent() &&
                      strncmp(err->text, zero, strlen(zero)) == 0 &&
                      strstr(err->text, " has been silent for ");

    if (!ranks->mesh)
        return fail_outside(command, err);
    if (mesh_said(ranks->mesh))
        return APP_FAILED;
    if (lost)
        fprintf(stderr, "vmoe %s: %s\n", command, err->text);
    return app_fail(command, err);
}

bool app_ranks_lead(const app_ranks *ranks)
{
    return !ranks->mesh || mesh_rank(ranks->mesh) == 0;
}

const train_ranks *app_ranks_train(const app_ranks *ranks)
{
    return ranks->mesh ? &ranks->train : NULL;
}

base_status app_ranks_share(app_ranks *ranks, void *data, size_t bytes, base_error *err)
{
    return ranks->mesh ? mesh_broadcast(mesh_world(ranks->mesh), 0, data, bytes, err)
                       : BASE_OK;
}

base_status app_ranks_sum(app_ranks *ranks, double *x, size_t count, base_error *err)
{
    return ranks->mesh ? mesh_sum(mesh_world(ranks->mesh), x, count, err) : BASE_OK;
}

const char *app_ranks_text(char *out, size_t out_bytes, const app_ranks *ranks,
                           const app_common *common)
{
    const mesh_job *m = ranks->mesh;

    if (!m)
        snprintf(out, out_bytes, "%s", "");
    else
        snprintf(out, out_bytes, "%zu on %zu node%s, %d thread%s each (%s)%s",
                 mesh_ranks(m), mesh_nodes(m), mesh_nodes(m) == 1 ? "" : "s",
                 (int)common->threads, common->threads == 1 ? "" : "s", mesh_transport(m),
                 ranks->placed.moved ? ", not on the single cores they were bound to" : "");
    return out;
}
