/* detect.c - what started this program, and the module that speaks its MPI.
 *
 * Launchers say by the environment how many ranks they started; nothing is opened to find
 * out, so a program alone costs nothing. Free to change: the table. Relied on elsewhere: a
 * program without a launcher, and every one of a job of one rank, opens no module. */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mesh/mesh_internal.h"

/* ---- the environment ----------------------------------------------------------------- */

/* A whole number of the environment, or other. */
static size_t number_of(const char *name, size_t other)
{
    const char *text = getenv(name);
    int64_t value;

    return text && base_parse_int(&value, text) && value >= 0 ? (size_t)value : other;
}

static mesh_launch launch_of(mesh_launcher launcher, const char *ranks, const char *rank,
                             const char *module)
{
    mesh_launch out = {
        .launcher = launcher, .ranks = number_of(ranks, 1), .rank = number_of(rank, 0)};

    snprintf(out.module, sizeof out.module, "%s", module);
    return out;
}

/* srun tells its plug-in for MPI by the variables that this one sets. */
static base_status launch_of_srun(mesh_launch *out, base_error *err)
{
    const bool pmix = getenv("PMIX_RANK"), pmi = getenv("PMI_RANK") || getenv("PMI_FD");

    *out = launch_of(MESH_LAUNCHER_SLURM, "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",
                     pmix ? "openmpi" : "mpich");
    if (pmix || pmi)
        return BASE_OK;
    return base_fail(err, BASE_USAGE,
                     "srun started %zu tasks without MPI: srun --mpi=pmix vmoe ..., or "
                     "mpirun inside the allocation",
                     out->ranks);
}

base_status mesh_launched(mesh_launch *out, base_error *err)
{
    const char *wish = getenv("VMOE_MPI");
    base_status status = BASE_OK;

    *out = (mesh_launch){.ranks = 1};
    if (wish && strcmp(wish, "none") == 0)
        return BASE_OK;
    if (number_of("OMPI_COMM_WORLD_SIZE", 0) > 0)
        *out = launch_of(MESH_LAUNCHER_MPIRUN, "OMPI_COMM_WORLD_SIZE",
                         "OMPI_COMM_WORLD_RANK", "openmpi");
    else if (number_of("PMI_SIZE", 1) > 1 && !getenv("SLURM_STEP_ID"))
        *out = launch_of(MESH_LAUNCHER_HYDRA, "PMI_SIZE", "PMI_RANK", "mpich");
    else if (number_of("SLURM_STEP_NUM_TASKS", 1) > 1)
        status = launch_of_srun(out, wish && *wish ? NULL : err);
    if (wish && *wish && out->ranks > 1) {
        snprintf(out->module, sizeof out->module, "%s", wish);
        status = BASE_OK;
    }
    return status;
}

void mesh_launch_leave(const mesh_launch *launch, int status)
{
    const struct timespec pause = {0, 300000000}; /* for what was said to be passed on */
    const int door = (int)number_of("PMI_FD", 0);

    if (launch->launcher == MESH_LAUNCHER_HYDRA && door > 0) { /* PMI-1 */
        nanosleep(&pause, NULL);
        dprintf(door, "cmd=abort exitcode=%d\n", status);
    }
}

const char *mesh_launcher_name(mesh_launcher launcher)
{
    static const char *const names[] = {"nothing", "mpirun (Open MPI)", "mpiexec (hydra)",
                                        "srun"};

    return names[launcher];
}

/* ---- the module ---------------------------------------------------------------------- */

/* The folder of this program's file, with the slash; "" when the system does not say. */
static void program_folder(char *out, size_t out_bytes)
{
    const ssize_t length = readlink("/proc/self/exe", out, out_bytes - 1);

    out[length > 0 ? length : 0] = 0;
    char *slash = strrchr(out, '/');
    out[slash ? slash + 1 - out : 0] = 0;
}

/* Modules lie in the build beside the programs, and installed in the libraries' folder. */
static void module_path(char *out, size_t out_bytes, const char *name)
{
    static const char *const folders[] = {"../mesh", "../" MESH_LIBDIR "/vmoe",
                                          "../lib/vmoe"};
    char here[PATH_MAX];

    if (strchr(name, '/')) {
        snprintf(out, out_bytes, "%s", name);
        return;
    }
    program_folder(here, sizeof here);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(out, out_bytes, "%s%s/vmoe-mesh-%s.so", here, folders[i], name);
        if (access(out, R_OK) == 0)
            return;
    }
}

static bool no_module(mesh_why *why, const mesh_launch *launch)
{
    const bool mpich = strcmp(launch->module, "mpich") == 0;

    snprintf(
        why->text, sizeof why->text,
        "%s started %zu ranks, but this vmoe was built without the module '%.100s': install "
        "%s, build again",
        mesh_launcher_name(launch->launcher), launch->ranks, launch->module,
        mpich ? "libmpich-dev and mpich" : "libopenmpi-dev and openmpi-bin");
    return false;
}

bool mesh_module_open(mesh_courier *courier, mesh_why *why)
{
    const mesh_launch *launch = courier->open_user;
    const mesh_engine *(*get)(void) = NULL;
    char path[2 * PATH_MAX];

    module_path(path, sizeof path, launch->module);
    if (access(path, R_OK) != 0)
        return no_module(why, launch);
    /* UCX, below many an MPI, would warn on stdout of messages that a failed job leaves; it
     * reads this when it is loaded. */
    setenv("UCX_LOG_LEVEL", "error", 0);
    /* Never closed: libraries of MPI leave threads behind. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "mesh_engine_get") : NULL;
    if (!symbol) {
        const char *reason = dlerror();
        snprintf(why->text, sizeof why->text, "cannot open the module: %.200s",
                 reason ? reason : path);
        return false;
    }
    memcpy(&get, &symbol, sizeof get);
    courier->engine = get();
    if (courier->engine->version != MESH_ENGINE_VERSION ||
        courier->engine->bytes != sizeof *courier->engine) {
        snprintf(why->text, sizeof why->text, "'%.200s' is of another version of vmoe",
                 path);
        return false;
    }
    return courier->engine->open(&courier->state, &courier->rank, &courier->ranks, why);
}
