/* deaths.c - processes of this node that end without a good-bye: killed, crashed, out of
 * memory. The kernel tells of it at once, where the transport would wait for ever and the
 * launcher takes everybody along within seconds or less; so a thread of its own waits for
 * it and says its line before anything else. Of a node the first rank speaks of all others,
 * the second one of the first, unless another was seen to die before: then the first has
 * spoken, and the launcher ended it. A rank alone on its node is missed by its heartbeats
 * (control.c).
 *
 * Every rank has a local socket that nobody accepts from: who has connected to it is told
 * when its process is gone, which is a moment before the launcher is (the ends of files
 * come before that of the process). Free to change: how the kernel is asked. Relied on
 * elsewhere: the line names rank and host. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mesh/mesh_internal.h"

struct mesh_deaths {
    mesh_courier *courier;
    pthread_t thread;
    size_t count;       /* of processes */
    size_t *rank;       /* [count] */
    struct pollfd *fds; /* [count + 1], the last one ends the thread */
    int end;            /* writing to it does */
    size_t first;       /* rank of the node */
    bool second;        /* this is the second one */
};

/* With a name of the kernel's choice, in no folder. */
mesh_process mesh_process_here(int *listener)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof at.sun_family;
    mesh_process out = {.id = getpid()};

    *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*listener >= 0 && bind(*listener, (struct sockaddr *)&at, bytes) == 0 &&
        listen(*listener, 2) == 0) {
        bytes = sizeof at;
        if (getsockname(*listener, (struct sockaddr *)&at, &bytes) == 0 &&
            bytes - sizeof at.sun_family <= sizeof out.name) {
            out.bytes = (uint32_t)(bytes - sizeof at.sun_family);
            memcpy(out.name, at.sun_path, out.bytes);
        }
    }
    return out;
}

/* A file that is at its end when the process is; -1: the process cannot be seen from here,
 * as from another container. */
static int process_open(const mesh_process *process)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct ucred who = {0};
    socklen_t bytes = sizeof who;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path, process->name, process->bytes);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *)&at,
                (socklen_t)sizeof at.sun_family + process->bytes) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) == 0 &&
        who.pid == process->id)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Tells of those that are gone: of the node's first rank, or of all others. */
static void look_at(mesh_deaths *d, bool first)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->fds[i].revents && (d->rank[i] == d->first) == first) {
            mesh_control_died(d->courier, d->rank[i], !d->second || first);
            close(d->fds[i].fd);
            d->fds[i] = (struct pollfd){.fd = -1}; /* not looked at again */
        }
}

static void *deaths_main(void *arg)
{
    mesh_deaths *d = arg;

    while (poll(d->fds, d->count + 1, -1) >= 0 || errno == EINTR) {
        if (d->fds[d->count].revents)
            break;
        look_at(d, false);
        look_at(d, true);
    }
    return NULL;
}

static void deaths_free(mesh_deaths *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->fds[i].fd >= 0)
            close(d->fds[i].fd);
    if (d->end >= 0)
        close(d->end);
    base_free(d->fds);
    base_free(d->rank);
    base_free(d);
}

/* Which processes this rank watches. */
static bool is_watched(const mesh_job *mesh, const mesh_process *all, size_t rank)
{
    return mesh->members[rank].node == mesh->node && rank != mesh->rank &&
           mesh->local_rank <= 1 && all[rank].bytes > 0;
}

mesh_deaths *mesh_deaths_watch(mesh_job *mesh, const mesh_process *all)
{
    mesh_deaths *d = base_alloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->courier = mesh->courier;
    d->first = mesh->rank - mesh->local_rank;
    d->second = mesh->local_rank == 1;
    d->end = eventfd(0, EFD_CLOEXEC);
    d->rank = base_alloc(mesh->local_ranks, sizeof *d->rank);
    d->fds = base_alloc(mesh->local_ranks + 1, sizeof *d->fds);
    for (size_t i = 0; i < mesh->ranks && d->rank && d->fds; i++) {
        const int fd = is_watched(mesh, all, i) ? process_open(&all[i]) : -1;
        if (fd < 0)
            continue;
        d->fds[d->count] = (struct pollfd){.fd = fd, .events = POLLIN};
        d->rank[d->count++] = i;
    }
    if (d->count > 0 && d->end >= 0) {
        d->fds[d->count] = (struct pollfd){.fd = d->end, .events = POLLIN};
        if (mesh_thread_begin(&d->thread, deaths_main, d))
            return d;
    }
    deaths_free(d);
    return NULL;
}

void mesh_deaths_end(mesh_deaths *deaths)
{
    const uint64_t one = 1;

    if (!deaths || write(deaths->end, &one, sizeof one) != sizeof one)
        return;
    pthread_join(deaths->thread, NULL);
    deaths_free(deaths);
}
