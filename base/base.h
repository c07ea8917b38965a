/* base.h - the ground floor: what every room of vmoe needs and nothing more.
 *
 * Status and error text, checked sizes, memory that is counted, arenas, keyed random
 * streams, strict number parsing, tables of settings, files that are never half-written,
 * clock and processors. Nothing here prints, exits, or keeps global mutable state (but the
 * allocation counter, and whether the user has asked to stop).
 *
 *     base_error err = {0};
 *     base_rng rng = base_rng_make(seed, BASE_PURPOSE_TEST, 0, 0, 0);
 *     double u = base_rng_uniform(&rng);
 *     base_writer out;
 *     if (base_writer_open(&out, "numbers.txt", &err) != BASE_OK)
 *         return app_fail(&err);
 *     fprintf(out.file, "%g\n", u);
 *     if (base_writer_commit(&out, &err) != BASE_OK)
 *         return app_fail(&err); */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BASE_VERSION "0.1.0"

#if defined(__GNUC__)
#define BASE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BASE_PRINTF(fmt, args)
#endif

/* ---- status and error text ----------------------------------------------------------- */

typedef enum base_status {
    BASE_OK = 0,        /* done */
    BASE_USAGE = 1,     /* an option, key or setting that the user wrote is wrong */
    BASE_IO = 2,        /* a file cannot be opened, read or written; disk full */
    BASE_FORMAT = 3,    /* the bytes of a file are not what its format demands */
    BASE_MISMATCH = 4,  /* two things that must agree do not (shape, class list, recipe) */
    BASE_NO_MEMORY = 5, /* memory could not be had */
    BASE_UNSUPPORTED = 6, /* valid, but not something this program does */
    BASE_INTERRUPTED = 7, /* the user asked to stop */
    BASE_NUMERIC = 8,     /* not finite where a number was needed */
    BASE_INTERNAL = 9     /* a library below us refused (oneDNN, threads) */
} base_status;

/* One line of text, lower case, no full stop, subject in quotes. */
typedef struct base_error {
    base_status status;
    char text[1024];
} base_error;

/* Fills err (may be NULL) with the formatted text and returns status. A text that is too
 * long is cut. Cannot fail. */
base_status base_fail(base_error *err, base_status status, const char *format, ...)
    BASE_PRINTF(3, 4);

/* As base_fail with BASE_IO (BASE_NO_MEMORY for ENOMEM), followed by ": " and the text of
 * errno. */
base_status base_fail_errno(base_error *err, const char *format, ...) BASE_PRINTF(2, 3);

/* Puts the formatted text in front of err's text (context grows from the inside out). */
void base_error_prepend(base_error *err, const char *format, ...) BASE_PRINTF(2, 3);

/* Copies name into out (out_bytes including the final 0), control characters and invalid
 * UTF-8 as \xNN, cut with "..." when too long. Returns out. For names that come from
 * files. */
const char *base_quote(char *out, size_t out_bytes, const char *name);

/* ---- sizes --------------------------------------------------------------------------- */

/* *out = a * b (a + b). False, with *out untouched, when the result does not fit. */
bool base_mul_size(size_t *out, size_t a, size_t b);
bool base_add_size(size_t *out, size_t a, size_t b);

/* ---- memory -------------------------------------------------------------------------- */

/* Zeroed memory aligned to 64 bytes, or NULL (also for a product that overflows). bytes 0
 * gives a valid pointer. Counted by base_alloc_count. Safe from several threads. */
void *base_alloc(size_t count, size_t bytes_each);
/* Frees what base_alloc gave; NULL is allowed. */
void base_free(void *at);
/* Calls of base_alloc since the start of the process: a test checks that a step makes
 * none. */
uint64_t base_alloc_count(void);

/* A bump allocator over one block. With at == NULL it only measures: take returns NULL and
 * `used` grows as if it had given memory, so the same planning code sizes and then hands
 * out. */
typedef struct base_arena {
    unsigned char *at;
    size_t bytes;
    size_t used;
    size_t peak;
} base_arena;

/* count * bytes_each bytes aligned to 64, not zeroed. NULL when measuring, or when the
 * block is full (an impossible state: size it by a measuring pass first). One thread at a
 * time. */
void *base_arena_take(base_arena *arena, size_t count, size_t bytes_each);
/* Gives back everything taken since used had the value mark. */
void base_arena_rewind(base_arena *arena, size_t mark);

/* ---- random streams ---------------------------------------------------------------------
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1,
 * 2, 3"). A stream is a value: copy it freely. Two streams with different keys are
 * independent. */

/* What a stream is for. The values are part of every result: never renumber, only add. */
typedef enum base_purpose {
    BASE_PURPOSE_TEST = 1,
    BASE_PURPOSE_INIT = 2,      /* a = parameter index, b = expert */
    BASE_PURPOSE_ORDER = 3,     /* a = epoch: permutation of the samples */
    BASE_PURPOSE_AUGMENT = 4,   /* a = epoch, b = sample, c = copy or replacement */
    BASE_PURPOSE_MIX = 5,       /* a = epoch, b = step in the epoch: mixup, cutmix */
    BASE_PURPOSE_SUBSET = 6,    /* the first N of a seeded order (--limit) */
    BASE_PURPOSE_DROPOUT = 7,   /* a = step, b = site, c = token of the global batch */
    BASE_PURPOSE_DROP_PATH = 8, /* a = step, b = site, c = image of the global batch */
    BASE_PURPOSE_ROUTER_NOISE =
        9, /* step, layer; token in the counter (vit/kernels/kernels.c) */
    BASE_PURPOSE_ROUTER_SELECT = 10, /* a = step, b = layer: SSR's Bernoulli draw */
    BASE_PURPOSE_CORRUPT = 11,
    BASE_PURPOSE_ATTACK = 12,
    BASE_PURPOSE_ROUTER_VIEW = 13,   /* step, layer; token in the counter: S2MoE's noise */
    BASE_PURPOSE_ROUTER_SAMPLE = 14, /* a = step, b = layer: tokens of S2MoE's loss */
    BASE_PURPOSE_VAE_SAMPLE = 15     /* step; image in the counter (vit/vae/run.c) */
} base_purpose;

typedef struct base_rng {
    uint32_t key[2];
    uint32_t counter[4]; /* of the next block */
    uint32_t block[4];   /* the last block made */
    uint32_t left;       /* words of it not yet given, 0..4 */
} base_rng;

/* One Philox4x32-10 block. Cannot fail. */
void base_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);
/* 64-bit hash of count values: h = 0; for each v: h = mix(h ^ v), mix the finaliser of
 * SplitMix64 (Steele, Lea, Flood 2014). base_key of {1,2,3} is 0xd0734750fde362b3. */
uint64_t base_key(const uint64_t *values, size_t count);

/* The stream of (seed, purpose, a, b, c). */
base_rng base_rng_make(uint64_t seed, base_purpose purpose, uint64_t a, uint64_t b,
                       uint64_t c);
uint32_t base_rng_u32(base_rng *rng);
uint64_t base_rng_u64(base_rng *rng);
/* [0, 1), 53 random bits. */
double base_rng_uniform(base_rng *rng);
/* 0 .. limit - 1 without bias, limit >= 1 (Lemire 2019, multiply and reject). */
uint64_t base_rng_below(base_rng *rng, uint64_t limit);
/* Standard normal, Box-Muller, two uniforms a call: no state outside the stream. */
double base_rng_normal(base_rng *rng);
/* Beta(a, a), a > 0, from two gammas (Marsaglia and Tsang 2000; the U^(1/a) boost for a <
 * 1). */
double base_rng_beta(base_rng *rng, double a);
/* Fills out [count] with a permutation of 0 .. count - 1: Fisher-Yates from the top,
 * for i = count - 1 .. 1 swap out[i] and out[below(i + 1)]. */
void base_rng_permutation(base_rng *rng, uint32_t *out, size_t count);

/* ---- exact sums -------------------------------------------------------------------------
 * Sums of numbers that come in any order, from any thread or rank: the bits are the
 * same. */

/* Zeroed it is 0. Units of 2^-96 in 192 bits, the lowest limb first; special: what is no
 * such number. Sums of up to 2^32 numbers fit. */
typedef struct base_exact {
    uint64_t limbs[3];
    uint64_t special;
} base_exact;

/* x is rounded to 2^-96 first, ties to even (a figure of size 1e-13 keeps all its bits).
 * |x| >= 2^63 counts as infinite. NaN, or infinities of both signs, make the sum NaN, one
 * infinity makes it that, whatever else is added. Cannot fail. */
void base_exact_add(base_exact *sum, double x);
/* As if all of other's numbers had been added. */
void base_exact_merge(base_exact *sum, const base_exact *other);
/* The nearest double, ties to even. */
double base_exact_value(const base_exact *sum);

/* ---- text ---------------------------------------------------------------------------- */

/* The whole of text as a number; false (out untouched) for anything else, nan and inf
 * included. */
bool base_parse_real(double *out, const char *text);
/* The same, or two of them with a slash between, the second above 0: "8/255". */
bool base_parse_share(double *out, const char *text);
bool base_parse_int(int64_t *out, const char *text); /* decimal only */
/* The first of the words that commas part, without the blanks around it, into out; *list
 * becomes what follows its comma, NULL after the last one. False: it does not fit, out has
 * its beginning. */
bool base_word_take(char *out, size_t out_bytes, const char **list);
/* value as the shortest decimal that reads back to the same bits into out (room for 32).
 * Returns out. */
const char *base_real_text(char *out, size_t out_bytes, double value);
/* Number of single-character edits between a and b, for "did you mean" (Levenshtein). Both
 * up to 63 characters are compared; the rest is ignored. */
size_t base_edit_distance(const char *a, const char *b);
/* Calls next(user, i) for i = 0, 1, ... until it gives NULL; the name nearest to word, or
 * NULL when none is near enough to be meant. For "did you mean". */
const char *base_nearest(const char *word, const char *(*next)(const void *user, size_t i),
                         const void *user);

/* ---- fields -----------------------------------------------------------------------------
 * One named, typed, ranged member of a plain struct. Tables of them, ended by a field
 * without a name, are the options of commands, the keys of recipes, the options of routers
 * and attacks, the settings of a network. A table names its struct once and then takes a
 * line or two a field:
 *
 *     typedef struct blur { double sigma; int norm; } blur;
 *     #define BASE_STRUCT blur
 *     static const base_field fields[] = {
 *         BASE_REAL("sigma", sigma, 0, 10, "standard deviation in pixels"),
 *         BASE_CHOICE("norm", norm, "linf|l2|l1", "how distance is measured"),
 *         {0},
 *     };
 *     #undef BASE_STRUCT */

typedef enum base_kind {
    BASE_KIND_INT,    /* int, int32_t or int64_t, low..high */
    BASE_KIND_REAL,   /* double, low..high */
    BASE_KIND_BOOL,   /* bool; as an option of a command it has no value */
    BASE_KIND_CHOICE, /* int or enum: index into choices */
    BASE_KIND_TEXT,   /* char array */
    BASE_KIND_WORD,   /* const char *, borrowed, not empty */
    BASE_KIND_LIST    /* base_list: one word more each time */
} base_kind;

enum { BASE_LIST_MAX = 128 };
typedef struct base_list {
    const char *at[BASE_LIST_MAX]; /* borrowed */
    size_t count;
} base_list;

typedef struct base_field {
    const char *name;  /* "steps", "router.k" */
    const char *value; /* the value's name in --help: "N", "FILE"; NULL: none */
    base_kind kind;
    size_t at, bytes;    /* offset and size of the member */
    size_t given;        /* offset of a bool that is set with the member; 0: none */
    double low, high;    /* low == high: any number */
    const char *choices; /* "a|b|c" */
    const char *help;
    bool automatic; /* REAL: "auto" is a value too, NaN in the struct */
    bool whole;     /* REAL: whole numbers only */
    bool required;  /* refused when missing */
    bool free;      /* a recipe's key that may change from a run to its resumption */
} base_field;

#define BASE_AT(member)                                                                    \
    .at = offsetof(BASE_STRUCT, member), .bytes = sizeof(((BASE_STRUCT *)0)->member)
/* The member that says whether the option was given: behind the help of a field. */
#define BASE_GIVEN(member) .given = offsetof(BASE_STRUCT, member)
/* Behind the help may follow .required = true and the like. */
#define BASE_NUMBER(k, n, member, l, h, ...)                                               \
    {                                                                                      \
        .name = n, .kind = k, BASE_AT(member), .low = l, .high = h, .help = __VA_ARGS__    \
    }
#define BASE_INT(n, member, l, h, ...)                                                     \
    BASE_NUMBER(BASE_KIND_INT, n, member, l, h, __VA_ARGS__)
#define BASE_REAL(n, member, l, h, ...)                                                    \
    BASE_NUMBER(BASE_KIND_REAL, n, member, l, h, __VA_ARGS__)
#define BASE_BOOL(n, member, ...) BASE_NUMBER(BASE_KIND_BOOL, n, member, 0, 0, __VA_ARGS__)
#define BASE_TEXT(n, member, ...) BASE_NUMBER(BASE_KIND_TEXT, n, member, 0, 0, __VA_ARGS__)
#define BASE_WORD(n, member, ...) BASE_NUMBER(BASE_KIND_WORD, n, member, 0, 0, __VA_ARGS__)
#define BASE_LIST(n, member, ...) BASE_NUMBER(BASE_KIND_LIST, n, member, 0, 0, __VA_ARGS__)
#define BASE_CHOICE(n, member, words, ...)                                                 \
    BASE_NUMBER(BASE_KIND_CHOICE, n, member, 0, 0, __VA_ARGS__, .choices = words)

/* The field of that name, NULL: there is none. */
const base_field *base_field_find(const base_field *fields, const char *name);
/* The one whose name is nearest to word, for "did you mean"; NULL: the table is empty. */
const base_field *base_field_nearest(const base_field *fields, const char *word);
/* Stores text in the member of settings. False, with settings untouched, when it is not
 * what base_field_expected says. */
bool base_field_set(void *settings, const base_field *field, const char *text);
/* "a number from 0 to 255 or auto", "one of linf|l2", "true or false" into out, for a
 * refusal. Returns out. */
const char *base_field_expected(char *out, size_t out_bytes, const base_field *field);
/* "1 .. 64", "linf|l2" or "" into out, for a reader. Returns out. */
const char *base_field_range(char *out, size_t out_bytes, const base_field *field);
/* The member as text that base_field_set reads back to the same bits (LIST: words with
 * blanks). Returns out. */
const char *base_field_text(char *out, size_t out_bytes, const void *settings,
                            const base_field *field);
/* Whether the member holds what base_field_set would store. */
bool base_field_good(const void *settings, const base_field *field);

/* A member, for those who write it in a format of their own. */
typedef struct base_value {
    enum {
        BASE_VALUE_NONE,
        BASE_VALUE_INT,
        BASE_VALUE_REAL,
        BASE_VALUE_BOOL,
        BASE_VALUE_TEXT
    } kind;
    int64_t whole;
    double real;
    bool flag;
    const char *text;
} base_value;

/* room [room_bytes]: for the word of a choice. NONE: "auto", a WORD that is NULL, a
 * LIST. */
base_value base_field_get(const void *settings, const base_field *field, char *room,
                          size_t room_bytes);
/* value as text into out, "auto" for NONE. Returns out. */
const char *base_value_text(char *out, size_t out_bytes, base_value value);
/* As base_field_set: an integer for a REAL, a whole number for an INT, a word for a CHOICE
 * and the like. */
bool base_field_put(void *settings, const base_field *field, base_value value);

/* The place of word in "a|b|c", -1: not there. */
int base_choice_find(const char *choices, const char *word);
/* The i-th word of "a|b|c" into out; false, with out empty, past the end. */
bool base_choice_word(char *out, size_t out_bytes, const char *choices, size_t i);

/* ---- files --------------------------------------------------------------------------- */

/* A file that appears whole or not at all: written beside under a name that nobody can
 * guess (PATH.<16 digits>.part, created exclusively), flushed to disk, renamed. */
typedef struct base_writer {
    FILE *file; /* write here */
    char *path;
    char *part;
} base_writer;

/* On success *out must end in commit or abandon. A device or pipe is written to as it is; a
 * pipe that nobody reads yet is waited for until the user asks to stop
 * (BASE_INTERRUPTED). */
base_status base_writer_open(base_writer *out, const char *path, base_error *err);
/* Flush, fsync, close, rename, fsync of the folder. On failure the part file is gone, an
 * older file of that name is as it was, and err names the path. Closes in any case. */
base_status base_writer_commit(base_writer *out, base_error *err);
/* Closes and removes the part file. Safe after commit (does nothing) and on a zeroed
 * struct. */
void base_writer_abandon(base_writer *out);

/* Opens an ordinary file for reading (close *fd); *bytes, which may be NULL, is its size. A
 * folder, pipe, socket or device is refused at once, without opening it: nothing is waited
 * for. err names the path. */
base_status base_file_open(int *fd, size_t *bytes, const char *path, base_error *err);
/* The same as a stream (fclose). */
base_status base_stream_open(FILE **out, const char *path, base_error *err);
/* Reads a whole file of at most limit bytes; adds a final 0 that is not counted in *bytes.
 * The caller frees *out with base_free. On failure the outputs are untouched and err names
 * the path. */
base_status base_file_read(char **out, size_t *bytes, const char *path, size_t limit,
                           base_error *err);
/* Makes the folder and its parents; an existing one is fine. */
base_status base_folder_make(const char *path, base_error *err);
/* Removes a folder and what is in it; a missing one is fine. Does not follow links. */
base_status base_folder_remove(const char *path, base_error *err);
/* Puts folder fresh in the place of folder live, atomically where the system can exchange
 * names (renameat2), else by two renames through LIVE.old. What live held before is
 * removed. */
base_status base_folder_replace(const char *live, const char *fresh, base_error *err);
/* printf into new memory (the caller frees it with base_free), or NULL. */
char *base_text(const char *format, ...) BASE_PRINTF(1, 2);

/* ---- sums of bytes ----------------------------------------------------------------------
 * SHA-256 (FIPS 180-4): begin, add as often as you like, end. */

enum { BASE_SHA256_TEXT = 65 };

typedef struct base_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
} base_sha256;

base_sha256 base_sha256_begin(void);
void base_sha256_add(base_sha256 *hash, const void *bytes, size_t count);
/* The sum as 64 hexadecimal digits. The hash is used up. */
void base_sha256_end(char out[BASE_SHA256_TEXT], base_sha256 *hash);
/* The three at once, of count bytes. Cannot fail. */
void base_sha256_text(char out[BASE_SHA256_TEXT], const void *bytes, size_t count);
/* Of a whole file. err names it. */
base_status base_sha256_file(char out[BASE_SHA256_TEXT], const char *path, base_error *err);

/* ---- stopping ------------------------------------------------------------------------ */

/* The user wants the program to end: who works for long looks here now and then. Safe from
 * any thread. */
void base_stop_ask(void);
bool base_stop_asked(void);

/* ---- machine ------------------------------------------------------------------------- */

/* Instructions that loops are built for; a processor with one has all before it. */
typedef enum base_isa {
    BASE_ISA_ANY,
    BASE_ISA_AVX2,   /* with FMA, BMI1 and BMI2 */
    BASE_ISA_AVX512, /* F, DQ, VL, BW */
    BASE_ISA_AVX512_VNNI,
    BASE_ISA_AVX512_BF16
} base_isa;
/* The last of them that this processor has; BASE_ISA_ANY on other than x86-64. */
base_isa base_isa_best(void);

/* Seconds of a clock that only goes forward. */
double base_seconds(void);
/* Processors this process may use: affinity mask and cgroup quota respected, at least 1. */
int base_cpu_count(void);
/* The quota alone, in whole processors, at least 1; INT_MAX: none. */
int base_cpu_quota(void);
/* Peak resident memory of this process in bytes, 0 if unknown. */
size_t base_peak_bytes(void);
/* Resident memory now, likewise. */
size_t base_resident_bytes(void);
/* Address space that this process has, 0 if unknown. */
size_t base_virtual_bytes(void);

/* ---- cores ------------------------------------------------------------------------------
 * A plan of processors: which there are, in which order threads take them, who gets how
 * many. */

/* A processor as the kernel numbers it: one thread of a core. */
typedef struct base_cpu {
    int id;
    int core;    /* the same for all threads of a core */
    int package; /* socket */
    int sibling; /* set by base_cpus_order: 0 the first of its core, 1 the second, ... */
} base_cpu;

enum { BASE_CPUS_MAX = 4096 };
/* Fills ids [most] with the processors that the calling thread may run on, rising; returns
 * how many, 0 when the kernel does not say. */
size_t base_cpus_allowed(int *ids, size_t most);
/* Looks up core and package of each; a processor that the kernel says nothing of is a core
 * of package 0. */
void base_cpus_describe(base_cpu *out, const int *ids, size_t count);
/* Sorts by package, core and id; siblings_last: the first processor of every core before
 * any second. */
void base_cpus_order(base_cpu *cpus, size_t count, bool siblings_last);
/* Keeps part `part` of `parts`, whole cores where they go round, at the front and returns
 * how many those are, at least 1 of count >= 1. Programs side by side take a part each. */
size_t base_cpus_part(base_cpu *cpus, size_t count, size_t part, size_t parts);

/* How the threads of a program that trains are shared out. */
typedef struct base_thread_split {
    size_t network;
    size_t loaders; /* beside it, in the background */
} base_thread_split;

/* threads at least 1. From 8 on the loader has one in eight of them and the network the
 * others; fewer are all the network's, with one loader thread that runs in the gaps.
 * workers: loader threads that the user wants, below 0: these. The network's number depends
 * on threads alone. */
base_thread_split base_threads_split(size_t threads, int64_t workers);
/* The calling thread may run on these processors alone. False: the kernel refuses, nothing
 * changed. */
bool base_thread_allow(const int *ids, size_t count);
/* From now on the calling thread gives way to the others of this program (SCHED_BATCH, a
 * nice value 5 higher). */
void base_thread_background(void);

#endif
