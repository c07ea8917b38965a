/* test_mesh_control.c - heartbeats, failures, silence, lateness and good-byes of one rank,
 * turn by turn: the clock and the transport are made up, so every time is exact. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "mesh/mesh_internal.h"
#include "tests/test_run.h"

enum { BEAT = 1, FAIL = 2, END = 3, BYE = 4, DEATH = 5, RANKS = 4, LETTERS = 40 };

/* What ranks tell one another (control.c). */
typedef struct words {
    uint32_t kind, phase, status;
    uint64_t step, begun;
    char text[MESH_NOTE_MOST - 32];
} words;
enum { HEAD = offsetof(words, text) };

typedef struct letter {
    size_t peer, bytes;
    words words;
} letter;

static struct {
    letter out[LETTERS], in[LETTERS];
    size_t out_count, in_count, in_read;
    size_t delay; /* looks that find nothing */
    int ended, status;
    char line[4][1100];
    size_t lines;
} wire;

static mesh_courier courier;
static mesh_job *mesh;

/* ---- the transport ------------------------------------------------------------------- */

static bool wire_note(void *state, size_t to, const void *note, size_t bytes)
{
    letter *l = &wire.out[wire.out_count++];

    ck_assert_ptr_eq(state, &wire);
    ck_assert_uint_le(wire.out_count, LETTERS);
    *l = (letter){.peer = to, .bytes = bytes};
    memcpy(&l->words, note, bytes);
    return true;
}

static bool wire_next(void *state, void *note, size_t *bytes, size_t *from)
{
    ck_assert_ptr_eq(state, &wire);
    if (wire.delay > 0) {
        wire.delay--;
        return false;
    }
    if (wire.in_read == wire.in_count)
        return false;
    const letter *l = &wire.in[wire.in_read++];
    memcpy(note, &l->words, l->bytes);
    *bytes = l->bytes;
    *from = l->peer;
    return true;
}

static void wire_end(void *state, int status)
{
    ck_assert_ptr_eq(state, &wire);
    wire.ended++;
    wire.status = status;
}

static void wire_say(void *user, const char *line)
{
    ck_assert_ptr_eq(user, &wire);
    ck_assert_uint_lt(wire.lines, 4);
    snprintf(wire.line[wire.lines++], sizeof wire.line[0], "%s", line);
}

static mesh_engine engine = {
    .note = wire_note, .next_note = wire_next, .end_all = wire_end};

/* ---- the rank ------------------------------------------------------------------------ */

/* What the transport calls a rank. */
static size_t peer_of(size_t rank)
{
    return (rank + 1) % RANKS;
}

/* This rank of four, two a node, heard of at 100. */
static void rank_make(size_t rank, double patience)
{
    const mesh_options options = {
        .patience = patience, .late = 60, .log = wire_say, .user = &wire};

    memset(&wire, 0, sizeof wire);
    mesh = mesh_make(RANKS, &options, NULL);
    ck_assert_ptr_nonnull(mesh);
    mesh->rank = rank;
    for (size_t i = 0; i < RANKS; i++) {
        mesh->members[i].peer = peer_of(i);
        mesh->members[i].node = i / 2;
        snprintf(mesh->members[i].host, sizeof mesh->members[i].host, "n%zu", i / 2);
    }
    mesh_number(mesh);
    memset(&courier, 0, sizeof courier);
    courier.mesh = mesh;
    courier.engine = &engine;
    courier.state = &wire;
    courier.watching = true;
    courier.health = base_alloc(RANKS, sizeof *courier.health);
    ck_assert_ptr_nonnull(courier.health);
    pthread_mutex_init(&courier.lock, NULL);
    pthread_cond_init(&courier.work, NULL);
    pthread_cond_init(&courier.news, NULL);
    for (size_t i = 0; i < RANKS; i++)
        courier.health[i].heard = 100;
    mesh->courier = &courier;
}

static void rank_free(void)
{
    base_free(courier.health);
    pthread_cond_destroy(&courier.work);
    pthread_cond_destroy(&courier.news);
    pthread_mutex_destroy(&courier.lock);
    mesh->courier = NULL;
    mesh_close(mesh);
}

/* A turn at this time, the last one having been just before. */
static void turn_at(double now)
{
    courier.turned = now - 0.125;
    wire.out_count = 0;
    mesh_control_turn(&courier, now);
}

/* A turn that sends nothing by itself: no heartbeat is due. */
static void quiet_turn_at(double now)
{
    courier.beat_next = now + 1;
    turn_at(now);
}

static void comes(size_t rank, size_t bytes, words w)
{
    ck_assert_uint_lt(wire.in_count, LETTERS);
    wire.in[wire.in_count++] = (letter){.peer = peer_of(rank), .bytes = bytes, .words = w};
}

static words text_of(uint32_t kind, base_status status, const char *text)
{
    words w = {.kind = kind, .status = (uint32_t)status};

    snprintf(w.text, sizeof w.text, "%s", text);
    return w;
}

/* The job has failed like this; "": it has not. */
static void failed_with(base_status status, const char *text)
{
    base_error err = {0};

    ck_assert_int_eq(mesh_failed(mesh, &err), text[0] != 0);
    ck_assert_str_eq(err.text, text);
    ck_assert_int_eq(err.status, text[0] ? status : BASE_OK);
}

/* All others were sent this, in the order of ranks, and nothing else. */
static void all_were_told(uint32_t kind, base_status status, const char *text)
{
    size_t at = 0;

    for (size_t i = 0; i < RANKS; i++) {
        if (i == mesh->rank)
            continue;
        const letter *l = &wire.out[at++];
        ck_assert_uint_eq(l->peer, peer_of(i));
        ck_assert_uint_eq(l->words.kind, kind);
        ck_assert_uint_eq(l->words.status, (uint32_t)status);
        ck_assert_uint_eq(l->bytes, HEAD + strlen(text) + 1);
        ck_assert_str_eq(l->words.text, text);
    }
    ck_assert_uint_eq(wire.out_count, at);
}

/* ---- heartbeats ---------------------------------------------------------------------- */

/* Rank 0 tells all, the others tell it; once a second, or four times within a patience. */
START_TEST(heartbeats_say_what_a_rank_is_at)
{
    static const struct {
        double patience, every;
    } cases[] = {{0, 1}, {2, 0.5}, {4, 1}, {60, 1}};
    const size_t rank = (size_t)_i;

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        rank_make(rank, cases[c].patience);
        mesh_say(mesh, 7, MESH_PHASE_SAVING);
        atomic_store(&courier.begun, 11);
        courier.watching = false;
        turn_at(100);
        ck_assert_uint_eq(wire.out_count, 0);
        courier.watching = true;
        turn_at(100);
        ck_assert_uint_eq(wire.out_count, rank == 0 ? RANKS - 1 : 1);
        for (size_t i = 0; i < wire.out_count; i++) {
            const letter *l = &wire.out[i];
            ck_assert_uint_eq(l->peer, peer_of(rank == 0 ? i + 1 : 0));
            ck_assert_uint_eq(l->bytes, HEAD);
            ck_assert_uint_eq(l->words.kind, BEAT);
            ck_assert_uint_eq(l->words.phase, MESH_PHASE_SAVING);
            ck_assert(l->words.step == 7 && l->words.begun == 11);
        }
        turn_at(100 + cases[c].every - 1.0 / 64);
        ck_assert_uint_eq(wire.out_count, 0);
        turn_at(100 + cases[c].every);
        ck_assert_uint_gt(wire.out_count, 0);
        courier.leaving = true; /* nothing follows a good-bye */
        turn_at(101.5);
        ck_assert_uint_eq(wire.out_count, 0);
        rank_free();
    }
}
END_TEST

START_TEST(what_others_say_is_kept_of_each)
{
    rank_make(1, 60);
    comes(2, HEAD, (words){.kind = BEAT, .phase = 3, .step = 5, .begun = 9});
    comes(3, HEAD - 1, (words){.kind = BEAT, .phase = 1, .step = 1, .begun = 1}); /* cut */
    comes(3, HEAD, (words){.kind = 77, .phase = 1, .step = 1, .begun = 1});
    comes(0, HEAD, (words){.kind = BYE, .phase = 1, .step = 1, .begun = 4});
    wire.in[wire.in_count++] = (letter){
        .peer = RANKS, .bytes = HEAD, .words = {.kind = BEAT, .step = 1}}; /* nobody */
    quiet_turn_at(101);
    ck_assert_uint_eq(wire.in_read, 5);
    for (size_t i = 0; i < RANKS; i++) {
        const mesh_health *h = &courier.health[i];
        ck_assert_double_eq(h->heard, i == 1 ? 100 : 101);
        ck_assert_uint_eq(atomic_load(&h->step), i == 2 ? 5 : 0);
        ck_assert_uint_eq(atomic_load(&h->phase), i == 2 ? 3 : 0);
        ck_assert_uint_eq(h->begun, i == 2 ? 9 : i == 0 ? 4 : 0);
        ck_assert_int_eq(atomic_load(&h->left), i == 0);
    }
    failed_with(BASE_OK, "");
    ck_assert_uint_eq(wire.out_count, 0);
    rank_free();
}
END_TEST

/* ---- failures ------------------------------------------------------------------------ */

START_TEST(a_failure_is_told_once_to_all)
{
    base_error why = {0};

    rank_make(2, 60);
    base_fail(&why, BASE_IO, "'x.tar' cannot be read");
    mesh_fail(mesh, &why);
    quiet_turn_at(101);
    all_were_told(FAIL, BASE_IO, "'x.tar' cannot be read");
    failed_with(BASE_IO, "'x.tar' cannot be read");
    quiet_turn_at(102);
    ck_assert_uint_eq(wire.out_count, 0);
    ck_assert(!mesh_said(mesh) && !courier.lost && wire.lines == 0);
    /* the first one stays */
    base_fail(&why, BASE_FORMAT, "another");
    mesh_fail(mesh, &why);
    quiet_turn_at(103);
    ck_assert_uint_eq(wire.out_count, 0);
    failed_with(BASE_IO, "'x.tar' cannot be read");
    rank_free();
    /* a text that is too long for a note is cut */
    rank_make(2, 60);
    memset(why.text, 'y', sizeof why.text - 1);
    why.text[sizeof why.text - 1] = 0;
    mesh_fail(mesh, &why);
    why.text[sizeof wire.out[0].words.text - 1] = 0;
    quiet_turn_at(101);
    all_were_told(FAIL, BASE_FORMAT, why.text);
    rank_free();
}
END_TEST

START_TEST(failures_that_are_heard_have_a_name)
{
    static const struct {
        uint32_t kind;
        const char *text, *heard;
        bool said;
    } cases[] = {
        {FAIL, "no memory", "rank 3 (n1): no memory", false},
        {FAIL, "rank 3 (n1) is ill", "rank 3 (n1) is ill", false}, /* of itself */
        {FAIL, "rank 2 (n1) is ill", "rank 3 (n1): rank 2 (n1) is ill", false},
        {END, "rank 0 (n0) has been silent", "rank 0 (n0) has been silent", false},
        {DEATH, "rank 0 (n0) has died", "rank 0 (n0) has died", true},
    };
    words full = {.kind = FAIL, .status = BASE_IO};

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        rank_make(1, 60);
        comes(3, HEAD + strlen(cases[c].text) + 1,
              text_of(cases[c].kind, BASE_FORMAT, cases[c].text));
        comes(2, HEAD + 6, text_of(FAIL, BASE_IO, "later"));
        quiet_turn_at(101);
        failed_with(BASE_FORMAT, cases[c].heard);
        ck_assert_int_eq(mesh_said(mesh), cases[c].said);
        ck_assert(!courier.lost && !atomic_load(&courier.health[3].left));
        ck_assert_uint_eq(wire.out_count, 0); /* it is not this rank's to tell */
        ck_assert_uint_eq(wire.lines, 0);
        rank_free();
    }
    /* a text without an end, of a whole note or of the part that came */
    for (size_t bytes = HEAD + 9; bytes <= MESH_NOTE_MOST; bytes += MESH_NOTE_MOST - 41) {
        base_error err = {0};
        rank_make(1, 60);
        memset(full.text, 'z', sizeof full.text);
        comes(3, bytes, full);
        quiet_turn_at(101);
        ck_assert(mesh_failed(mesh, &err));
        ck_assert_uint_eq(strlen(err.text),
                          strlen("rank 3 (n1): ") +
                              (bytes < MESH_NOTE_MOST ? bytes - HEAD : bytes - HEAD - 1));
        rank_free();
    }
}
END_TEST

/* ---- silence ------------------------------------------------------------------------- */

static const char *const phases[] = {
    "start", "loading pictures", "computing", "exchange", "evaluation", "saving", "?"};

START_TEST(silence_beyond_patience_ends_the_job)
{
    char want[200];

    for (uint32_t phase = 0; phase < 7; phase++) {
        rank_make(0, 8);
        for (size_t i = 1; i < RANKS; i++)
            courier.health[i].heard = i == 2 ? 100 : 107;
        atomic_store(&courier.health[2].step, 12);
        atomic_store(&courier.health[2].phase, phase);
        quiet_turn_at(108); /* as long as it may be */
        failed_with(BASE_OK, "");
        quiet_turn_at(108.5);
        snprintf(want, sizeof want,
                 "rank 2 (n1) has been silent for 8 s (step 12, %s): the job ends",
                 phases[phase]);
        failed_with(BASE_INTERNAL, want);
        all_were_told(END, BASE_INTERNAL, want);
        ck_assert(courier.lost && !mesh_said(mesh));
        quiet_turn_at(120); /* one is enough */
        ck_assert_uint_eq(wire.out_count, 0);
        failed_with(BASE_INTERNAL, want);
        rank_free();
    }
}
END_TEST

/* Rank 0 minds all, the others mind rank 0; not those that have left, and nobody without
 * patience. */
START_TEST(who_is_minded_by_whom)
{
    for (size_t rank = 0; rank < RANKS; rank++)
        for (size_t silent = 0; silent < RANKS; silent++)
            for (int way = 0; way < 3; way++) {
                rank_make(rank, way == 1 ? 0 : 8);
                for (size_t i = 0; i < RANKS; i++)
                    courier.health[i].heard = i == silent ? 100 : 119;
                atomic_store(&courier.health[silent].left, way == 2);
                quiet_turn_at(120);
                const bool minded = rank == 0 ? silent > 0 : silent == 0;
                ck_assert_int_eq(mesh_failed(mesh, NULL), way == 0 && minded);
                rank_free();
            }
}
END_TEST

/* A rank that was itself stopped for more than a fifth of a second accuses nobody. */
START_TEST(own_gaps_are_forgiven)
{
    for (int stopped = 0; stopped < 2; stopped++) {
        const double gap = stopped ? 0.25 : 0.1875;

        rank_make(0, 60);
        courier.beat_next = 1000;
        courier.turned = 0; /* the first turn has no gap */
        mesh_control_turn(&courier, 101);
        ck_assert_double_eq(courier.health[0].heard, 100);
        mesh_control_turn(&courier, 101 + gap);
        for (size_t i = 0; i < RANKS; i++)
            ck_assert_double_eq(courier.health[i].heard, stopped ? 100.25 : 100);
        ck_assert_double_eq(courier.turned, 101 + gap);
        rank_free();
    }
}
END_TEST

/* ---- ranks that died ----------------------------------------------------------------- */

START_TEST(a_rank_that_died_is_told_with_its_step)
{
    for (int way = 0; way < 4;
         way++) { /* 1: unheard of; 2: not to be said; 3: it had left */
        const char *want = way == 3   ? ""
                           : way == 1 ? "rank 3 (n1) has died: the job ends"
                                      : "rank 3 (n1) has died (step 4, loading pictures): "
                                        "the job ends";
        rank_make(1, 60);
        atomic_store(&courier.health[3].step, way == 1 ? 0 : 4);
        atomic_store(&courier.health[3].phase, MESH_PHASE_LOADING);
        atomic_store(&courier.health[3].left, way == 3);
        mesh_control_died(&courier, 3, way != 2);
        failed_with(BASE_INTERNAL, want);
        ck_assert_uint_eq(wire.lines, way < 2);
        if (way < 2)
            ck_assert_str_eq(wire.line[0], want);
        ck_assert_int_eq(mesh_said(mesh), way < 3);
        quiet_turn_at(101);
        ck_assert_int_eq(courier.lost, way < 3);
        if (way < 3)
            all_were_told(DEATH, BASE_INTERNAL, want);
        else
            ck_assert_uint_eq(wire.out_count, 0);
        mesh_control_died(&courier, 2, true); /* the job has failed already */
        if (way < 3)
            failed_with(BASE_INTERNAL, want);
        ck_assert_uint_eq(wire.lines, way != 2);
        rank_free();
    }
}
END_TEST

/* Five seconds after a rank was lost the job is ended, whoever does not come to close. */
START_TEST(a_lost_rank_takes_the_job_along)
{
    for (int said = 0; said < 2; said++) {
        rank_make(0, 8);
        for (size_t i = 1; i < RANKS; i++)
            courier.health[i].heard = i == 1 ? 90 : 1000;
        if (said)
            mesh_control_died(&courier, 1, true);
        const size_t before = wire.lines;
        quiet_turn_at(101); /* is lost now */
        quiet_turn_at(105.875);
        ck_assert_int_eq(wire.ended, 0);
        ck_assert_uint_eq(wire.lines, before);
        quiet_turn_at(106);
        ck_assert_int_eq(wire.ended, 1);
        ck_assert_int_eq(wire.status, 1);
        ck_assert_uint_eq(wire.lines, 1);
        ck_assert_str_eq(wire.line[0],
                         said ? "rank 1 (n0) has died: the job ends"
                              : "rank 1 (n0) has been silent for 11 s (step 0, start): the "
                                "job ends");
        quiet_turn_at(110.875); /* it did not help: once more */
        ck_assert_int_eq(wire.ended, 1);
        quiet_turn_at(111);
        ck_assert_int_eq(wire.ended, 2);
        rank_free();
    }
    rank_make(0, 8); /* a failure alone ends nothing by force */
    base_error why;
    base_fail(&why, BASE_IO, "x");
    mesh_fail(mesh, &why);
    quiet_turn_at(101);
    quiet_turn_at(107);
    ck_assert_int_eq(wire.ended, 0);
    rank_free();
}
END_TEST

/* ---- late ranks and those that leave ------------------------------------------------- */

START_TEST(the_rank_that_has_begun_least_is_late)
{
    static const struct {
        uint64_t own, begun[RANKS];
        size_t late; /* 0: nobody */
    } cases[] = {{5, {0, 5, 4, 5}, 2}, {5, {0, 4, 4, 4}, 1}, {5, {0, 4, 4, 3}, 3},
                 {5, {0, 5, 5, 5}, 0}, {5, {0, 6, 7, 5}, 0}, {1, {9, 1, 1, 0}, 3}};
    mesh_parcel parcel = {.posted = 100};
    char want[100];

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        rank_make(0, 0);
        courier.flying = &parcel;
        atomic_store(&courier.begun, cases[c].own);
        for (size_t i = 0; i < RANKS; i++) {
            courier.health[i].begun = cases[c].begun[i];
            atomic_store(&courier.health[i].step, 30 + i);
            atomic_store(&courier.health[i].phase, i + 1);
        }
        quiet_turn_at(159.875);
        ck_assert_uint_eq(wire.lines, 0);
        quiet_turn_at(160);
        quiet_turn_at(200);
        ck_assert_uint_eq(wire.lines, cases[c].late > 0);
        quiet_turn_at(759.875); /* ten minutes later again */
        ck_assert_uint_eq(wire.lines, cases[c].late > 0);
        quiet_turn_at(760);
        ck_assert_uint_eq(wire.lines, cases[c].late > 0 ? 2 : 0);
        for (size_t line = 0; line < wire.lines; line++) {
            snprintf(want, sizeof want, "waiting %d s for %s: %s, step %zu",
                     line == 0 ? 60 : 660, mesh_name(mesh, cases[c].late),
                     phases[cases[c].late + 1], 30 + cases[c].late);
            ck_assert_str_eq(wire.line[line], want);
        }
        const size_t told = wire.lines;
        parcel.posted = 790; /* another wait is told at its own time */
        quiet_turn_at(800);
        quiet_turn_at(850);
        ck_assert_uint_eq(wire.lines, told + (cases[c].late > 0));
        parcel.posted = 100;
        courier.flying = NULL;
        failed_with(BASE_OK, "");
        rank_free();
    }
    rank_make(1, 0); /* rank 0 alone says it; nothing under way is no wait */
    courier.flying = &parcel;
    atomic_store(&courier.begun, 5);
    quiet_turn_at(200);
    courier.flying = NULL;
    rank_free();
    rank_make(0, 0);
    atomic_store(&courier.begun, 5);
    quiet_turn_at(200);
    ck_assert_uint_eq(wire.lines, 0);
    rank_free();
}
END_TEST

START_TEST(a_rank_that_left_is_missed_by_later_calls_alone)
{
    for (int begun = 4; begun <= 6; begun++) {
        rank_make(1, 60);
        atomic_store(&courier.begun, 5);
        courier.health[3].begun = 1; /* it has not left */
        comes(2, HEAD, (words){.kind = BYE, .begun = (uint64_t)begun});
        quiet_turn_at(101);
        failed_with(BASE_INTERRUPTED, begun < 5 ? "rank 2 (n1) has left the job" : "");
        ck_assert_uint_eq(wire.out_count, 0); /* the others see it by themselves */
        ck_assert(!mesh_said(mesh) && wire.lines == 0);
        rank_free();
    }
}
END_TEST

static void bye_is_sent(uint64_t begun)
{
    size_t byes = 0;

    for (size_t i = 0; i < wire.out_count; i++) {
        const letter *l = &wire.out[i];
        if (l->words.kind != BYE)
            continue;
        ck_assert_uint_eq(l->bytes, HEAD);
        ck_assert_uint_eq(l->words.begun, begun);
        ck_assert_uint_eq(l->peer, peer_of(byes));
        byes++;
    }
    ck_assert_uint_eq(byes, RANKS - 1);
    ck_assert(courier.leaving);
}

/* Rank 3 leaves: at once, or when the good-byes of all others have come. */
START_TEST(good_byes_are_said_and_waited_for)
{
    for (int way = 0; way < 6; way++) {
        const bool come = way == 1 || way == 2 || way == 5;
        rank_make(3, way == 3 ? 0.05 : way == 5 ? 0 : 60); /* 0: for ever */
        wire.delay = 3;
        for (size_t i = 0; i < RANKS; i++)
            courier.health[i].heard = 1e12; /* never silent */
        base_error why;
        base_fail(&why, BASE_IO, "x");
        engine.leave_together = way == 1;
        atomic_store(&courier.begun, 6);
        courier.beat_next = 1e12;
        if (come) /* together, or after a failure: all have to come */
            for (size_t i = 0; i < 3; i++)
                comes(i, HEAD, (words){.kind = BYE, .begun = 6});
        if (way >= 2)
            mesh_fail(mesh, &why);
        courier.lost = way == 4; /* nobody is waited for */
        ck_assert_int_eq(mesh_control_leave(&courier), way != 3);
        if (way >= 2) /* what has failed is told before */
            ck_assert_uint_eq(wire.out[0].words.kind, FAIL);
        ck_assert_uint_eq(wire.out_count, way >= 2 ? 2 * (RANKS - 1) : RANKS - 1);
        bye_is_sent(6);
        for (size_t i = 0; i < 3; i++)
            ck_assert_int_eq(atomic_load(&courier.health[i].left), come);
        rank_free();
    }
    engine.leave_together = false;
    rank_make(3, 60); /* before ranks mind one another there is nothing to say */
    courier.watching = false;
    ck_assert(mesh_control_leave(&courier));
    ck_assert_uint_eq(wire.out_count, 0);
    rank_free();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mesh_control");
    TCase *core = tcase_create("core");

    tcase_add_loop_test(core, heartbeats_say_what_a_rank_is_at, 0, RANKS);
    tcase_add_test(core, what_others_say_is_kept_of_each);
    tcase_add_test(core, a_failure_is_told_once_to_all);
    tcase_add_test(core, failures_that_are_heard_have_a_name);
    tcase_add_test(core, silence_beyond_patience_ends_the_job);
    tcase_add_test(core, who_is_minded_by_whom);
    tcase_add_test(core, own_gaps_are_forgiven);
    tcase_add_test(core, a_rank_that_died_is_told_with_its_step);
    tcase_add_test(core, a_lost_rank_takes_the_job_along);
    tcase_add_test(core, the_rank_that_has_begun_least_is_late);
    tcase_add_test(core, a_rank_that_left_is_missed_by_later_calls_alone);
    tcase_add_test(core, good_byes_are_said_and_waited_for);
    suite_add_tcase(suite, core);
    return test_run(suite);
}
