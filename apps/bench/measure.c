/* measure.c - one network timed beside its own ceiling: rounds of the network and rounds of
 * oneDNN's plain products in turn, so that a slow minute of the machine hits both. A round
 * of a small network is several passes; they follow one pass that is not counted, because
 * the ceiling's products have just filled the caches.
 *
 * With --paced each round waits for a line on standard input: "ready" says that warm-up is
 * over, "round MS" answers each line, the result comes when the input ends. So bench/run
 * takes several programs through the same minutes, round by round (bench/peers/pace.py
 * speaks the same). */
#include "apps/bench/internal.h"

#include <string.h>

/* Seconds that a round lasts at least, and up to which a pass is repeated before it
 * counts. */
static const double round_seconds = 0.01, cold_seconds = 0.05;

/* The rounds of one subject, before medians are taken. */
typedef struct rounds {
    bench_times pass, forward, backward, ceiling, share;
    bench_times part[BENCH_PARTS];
    bench_times product[VIT_PRODUCTS_MAX];
} rounds;

static void times_add(bench_times *times, double seconds)
{
    times->seconds[times->count++] = seconds;
}

static double median_of(bench_times *times)
{
    return times->count > 0 ? bench_spread_of(times).median : 0;
}

static void ceiling_round(rounds *out, vit_ceiling *ceiling, double pass)
{
    const double seconds = vit_ceiling_round(ceiling);

    times_add(&out->ceiling, seconds);
    times_add(&out->share, seconds / pass);
    for (size_t i = 0; i < vit_ceiling_count(ceiling); i++)
        times_add(&out->product[i], vit_ceiling_seconds(ceiling, i));
}

static base_status round_make(rounds *out, bench_rig *rig, size_t passes,
                              vit_ceiling *ceiling, bool cold, base_error *err)
{
    const double count = (double)passes;
    base_status status = cold ? bench_rig_pass(rig, 1, err) : BASE_OK;

    if (status != BASE_OK)
        return status;
    bench_rig_clear(rig);
    const double started = base_seconds();
    status = bench_rig_pass(rig, passes, err);
    const double seconds = (base_seconds() - started) / count;
    if (status != BASE_OK)
        return status;
    times_add(&out->pass, seconds);
    times_add(&out->forward, rig->times.forward / count);
    times_add(&out->backward, rig->times.backward / count);
    for (size_t i = 0; i < BENCH_PARTS; i++)
        times_add(&out->part[i], rig->times.part[i] / count);
    if (ceiling)
        ceiling_round(out, ceiling, seconds);
    return BASE_OK;
}

static void result_fill(bench_result *r, rounds *all, const vit_ceiling *ceiling)
{
    r->rounds = all->pass.count;
    r->pass = bench_spread_of(&all->pass);
    r->forward = median_of(&all->forward);
    r->backward = median_of(&all->backward);
    for (size_t i = 0; i < BENCH_PARTS; i++)
        r->part[i] = median_of(&all->part[i]);
    if (!ceiling)
        return;
    r->ceiling = bench_spread_of(&all->ceiling);
    r->share = bench_spread_of(&all->share);
    r->product_count = vit_ceiling_count(ceiling);
    for (size_t i = 0; i < r->product_count; i++) {
        bench_product *p = &r->products[i];

        p->product = *vit_ceiling_product(ceiling, i);
        p->seconds = median_of(&all->product[i]);
        snprintf(p->form, sizeof p->form, "%s", vit_ceiling_form(ceiling, i));
        r->part_ceiling[p->product.part] += p->seconds * (double)p->product.count;
    }
}

/* Warm-up: how long a pass takes, and what memory the network needs on its own. */
static base_status warm(bench_result *r, double *seconds, bench_rig *rig,
                        const bench_args *args, base_error *err)
{
    base_status status = BASE_OK;

    *seconds = 0;
    for (int64_t i = 0; i <= args->warmup && status == BASE_OK; i++) {
        const double started = base_seconds();

        status = bench_rig_pass(rig, 1, err);
        *seconds = base_seconds() - started;
    }
    r->peak_mib = (double)base_peak_bytes() / (1 << 20);
    r->passes = 1;
    if (*seconds < round_seconds)
        r->passes = (size_t)(round_seconds / *seconds) + 1;
    return status;
}

static void operations_count(bench_result *r, const vit_model *model, vit_mode mode)
{
    vit_product products[VIT_PRODUCTS_MAX];
    const size_t count =
        vit_model_products(products, VIT_PRODUCTS_MAX, model, r->batch, mode);

    r->flops = vit_model_pass_flops(model, r->batch, mode);
    for (size_t i = 0; i < count; i++)
        r->part_flops[products[i].part] +=
            (double)products[i].count * vit_product_flops(&products[i]);
}

void bench_say(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    fflush(stdout);
}

bool bench_round_wanted(size_t made, const bench_args *args)
{
    char line[64];

    if (!args->paced)
        return made < (size_t)args->rounds;
    return made < BENCH_ROUNDS_MAX && fgets(line, sizeof line, stdin) != NULL;
}

base_status bench_measure(bench_result *out, const char *name, const char *subject,
                          vit_mode mode, const bench_args *args, base_error *err)
{
    vit_model *model = NULL;
    vit_ceiling *ceiling = NULL;
    rounds *all = app_take(NULL, 1, sizeof *all);
    bench_rig rig = {0};
    double seconds = 0;

    *out = (bench_result){.name = name, .subject = subject};
    base_status status = bench_model(&model, subject, args, err);
    if (status == BASE_OK)
        status = bench_rig_open(&rig, model, mode, NULL, args, err);
    if (status == BASE_OK) {
        out->config = *vit_model_config(rig.model);
        out->batch = rig.batch;
        out->parameters = vit_model_floats(rig.model);
        operations_count(out, rig.model, mode);
        status = warm(out, &seconds, &rig, args, err);
    }
    if (status == BASE_OK && !args->no_ceiling)
        status = vit_ceiling_create(&ceiling, rig.model, rig.batch, mode,
                                    (vit_precision)args->common.precision, err);
    const bool cold = ceiling && seconds < cold_seconds;
    if (args->paced && status == BASE_OK)
        bench_say("ready");
    while (status == BASE_OK && bench_round_wanted(all->pass.count, args)) {
        status = round_make(all, &rig, out->passes, ceiling, cold, err);
        if (args->paced && status == BASE_OK)
            bench_say("round %.4f", 1e3 * all->pass.seconds[all->pass.count - 1]);
    }
    if (status == BASE_OK && all->pass.count == 0)
        status = base_fail(err, BASE_USAGE, "no line on standard input asked for a round");
    if (status == BASE_OK)
        status = bench_rig_check(&rig, err);
    if (status == BASE_OK)
        result_fill(out, all, ceiling);
    out->losses = rig.losses;
    vit_ceiling_destroy(ceiling);
    bench_rig_close(&rig);
    return status;
}
