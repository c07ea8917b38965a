/* test_base_cores.c - the plan of processors, on machines that are made up, and what a
 * thread may ask for. */
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/test_leaks.h"
#include "tests/test_run.h"

/* The numbers of the processors, as "0 2 1 3". */
static const char *ids_text(const base_cpu *cpus, size_t count)
{
    static char text[256];
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%s%d", i ? " " : "", cpus[i].id);
    return text;
}

/* Two sockets of two cores with two threads each, numbered as Intel machines often are:
 * first all first threads, socket by socket in turn, then all second ones. */
static const base_cpu two_sockets[8] = {
    {.id = 0, .core = 0, .package = 0}, {.id = 1, .core = 1, .package = 1},
    {.id = 2, .core = 2, .package = 0}, {.id = 3, .core = 3, .package = 1},
    {.id = 4, .core = 0, .package = 0}, {.id = 5, .core = 1, .package = 1},
    {.id = 6, .core = 2, .package = 0}, {.id = 7, .core = 3, .package = 1},
};
/* One socket, siblings side by side. */
static const base_cpu neighbours[4] = {
    {.id = 0, .core = 0}, {.id = 1, .core = 0}, {.id = 2, .core = 2}, {.id = 3, .core = 2}};

START_TEST(cores_come_socket_by_socket_and_siblings_last)
{
    base_cpu cpus[8];

    memcpy(cpus, two_sockets, sizeof cpus);
    base_cpus_order(cpus, 8, true);
    ck_assert_str_eq(ids_text(cpus, 8), "0 2 1 3 4 6 5 7");
    ck_assert_int_eq(cpus[3].sibling, 0);
    ck_assert_int_eq(cpus[4].sibling, 1);
    base_cpus_order(cpus, 8, false);
    ck_assert_str_eq(ids_text(cpus, 8), "0 4 2 6 1 5 3 7");
    memcpy(cpus, neighbours, sizeof neighbours);
    base_cpus_order(cpus, 4, true);
    ck_assert_str_eq(ids_text(cpus, 4), "0 2 1 3");
}
END_TEST

START_TEST(a_core_whose_first_thread_is_not_ours_is_still_a_core)
{
    base_cpu cpus[3] = {neighbours[1], neighbours[2], neighbours[3]};

    base_cpus_order(cpus, 3, true);
    ck_assert_str_eq(ids_text(cpus, 3), "1 2 3");
    ck_assert_int_eq(cpus[0].sibling, 0);
}
END_TEST

START_TEST(programs_side_by_side_get_cores_of_their_own)
{
    base_cpu cpus[8];

    memcpy(cpus, two_sockets, sizeof cpus);
    ck_assert_uint_eq(base_cpus_part(cpus, 8, 0, 2), 4);
    ck_assert_str_eq(ids_text(cpus, 4), "0 4 2 6"); /* the first socket, whole */
    memcpy(cpus, two_sockets, sizeof cpus);
    ck_assert_uint_eq(base_cpus_part(cpus, 8, 1, 2), 4);
    ck_assert_str_eq(ids_text(cpus, 4), "1 5 3 7");
    memcpy(cpus, two_sockets, sizeof cpus);
    ck_assert_uint_eq(base_cpus_part(cpus, 8, 2, 3), 4); /* of 4 cores: 1, 1, 2 */
    ck_assert_str_eq(ids_text(cpus, 4), "1 5 3 7");
    memcpy(cpus, two_sockets, sizeof cpus);
    ck_assert_uint_eq(base_cpus_part(cpus, 8, 0, 1), 8);
}
END_TEST

START_TEST(every_processor_has_a_part_and_no_part_is_empty)
{
    for (size_t parts = 1; parts <= 20; parts++) {
        unsigned seen = 0;
        for (size_t part = 0; part < parts; part++) {
            base_cpu cpus[8];
            memcpy(cpus, two_sockets, sizeof cpus);
            const size_t count = base_cpus_part(cpus, 8, part, parts);
            ck_assert_uint_ge(count, 1);
            for (size_t i = 0; i < count; i++) {
                ck_assert(parts > 8 || !(seen >> cpus[i].id & 1));
                seen |= 1u << cpus[i].id;
            }
        }
        ck_assert_uint_eq(seen, 0xff);
    }
}
END_TEST

START_TEST(few_threads_are_the_networks_and_of_many_some_are_left)
{
    static const size_t threads[] = {1, 2, 4, 7, 8, 16, 64, 128};
    static const size_t network[] = {1, 2, 4, 7, 7, 14, 56, 112};
    static const size_t loaders[] = {1, 1, 1, 1, 1, 2, 8, 16};

    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        const base_thread_split split = base_threads_split(threads[i], -1);
        ck_assert_uint_eq(split.network, network[i]);
        ck_assert_uint_eq(split.loaders, loaders[i]);
        if (threads[i] >= 8)
            ck_assert_uint_eq(split.network + split.loaders, threads[i]);
    }
}
END_TEST

START_TEST(the_user_chooses_the_loaders_but_not_the_order_of_sums)
{
    for (int64_t workers = 0; workers < 20; workers++) {
        ck_assert_uint_eq(base_threads_split(2, workers).loaders, (size_t)workers);
        ck_assert_uint_eq(base_threads_split(2, workers).network, 2);
        ck_assert_uint_eq(base_threads_split(16, workers).network, 14);
    }
}
END_TEST

START_TEST(the_processors_of_this_machine_are_described)
{
    static int ids[BASE_CPUS_MAX];
    static base_cpu cpus[BASE_CPUS_MAX];
    const size_t count = base_cpus_allowed(ids, BASE_CPUS_MAX);

    ck_assert_uint_ge(count, 1);
    ck_assert_uint_ge(count, (size_t)base_cpu_count());
    base_cpus_describe(cpus, ids, count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(cpus[i].id, ids[i]);
        ck_assert_int_le(cpus[i].core, ids[i]); /* named by its lowest processor */
        ck_assert_int_ge(cpus[i].package, 0);
    }
    ck_assert_uint_eq(base_cpus_allowed(ids, 1), 1); /* no more than there is room for */
}
END_TEST

/* What a thread in the background sees of itself. */
typedef struct background {
    int policy, ids[BASE_CPUS_MAX];
    size_t count;
    bool allowed, refused;
} background;

static void *background_main(void *user)
{
    background *b = user;
    struct sched_param param;

    base_thread_background();
    pthread_getschedparam(pthread_self(), &b->policy, &param);
    base_cpus_allowed(b->ids, BASE_CPUS_MAX);
    b->refused = !base_thread_allow(b->ids, 0);
    b->allowed = base_thread_allow(b->ids, 1);
    b->count = base_cpus_allowed(b->ids, BASE_CPUS_MAX);
    return NULL;
}

START_TEST(a_thread_goes_to_the_background_alone)
{
    static background b;
    static int ids[BASE_CPUS_MAX];
    const size_t before = base_cpus_allowed(ids, BASE_CPUS_MAX);
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, background_main, &b), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(b.policy, SCHED_BATCH);
    ck_assert(b.allowed);
    ck_assert(b.refused);
    ck_assert_uint_eq(b.count, 1);
    ck_assert_uint_eq(base_cpus_allowed(ids, BASE_CPUS_MAX), before);
    ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base_cores");
    TCase *core = test_case_of_threads("Core"), *limits = test_case_of_threads("Limits");

    tcase_add_test(core, cores_come_socket_by_socket_and_siblings_last);
    tcase_add_test(core, programs_side_by_side_get_cores_of_their_own);
    tcase_add_test(core, few_threads_are_the_networks_and_of_many_some_are_left);
    tcase_add_test(core, the_user_chooses_the_loaders_but_not_the_order_of_sums);
    tcase_add_test(core, the_processors_of_this_machine_are_described);
    tcase_add_test(core, a_thread_goes_to_the_background_alone);
    suite_add_tcase(suite, core);
    tcase_add_test(limits, a_core_whose_first_thread_is_not_ours_is_still_a_core);
    tcase_add_test(limits, every_processor_has_a_part_and_no_part_is_empty);
    suite_add_tcase(suite, limits);
    return test_run(suite);
}
