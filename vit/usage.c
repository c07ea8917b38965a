/* usage.c - how evenly the experts of one MoE layer are used, summed over passes.
 * Follows routing.md 12 of the design. Relied on elsewhere: counts are before dropping; the
 * figures of a whole evaluation come from summed counts, not from means of batches; sums of
 * passes have the same bits in any order, so that ranks may share the passes. */
#include "vit/vit_internal.h"

#include <assert.h>
#include <math.h>

/* Share of the mean load below which an expert counts as dead. */
static const double dead_share = 0.01;

/* What a pass adds is rounded to multiples of these: sums of such numbers are exact, up to
 * 2^29 tokens and nats, residuals up to 2^13. */
static const double grain = 0x1p-24, grain_residual = 0x1p-40;

static double grained(double x, double step)
{
    return nearbyint(x / step) * step;
}

/* What one token adds: its gates and what became of them. */
static void token_add(vit_usage *load, const vit_routing *r, size_t t)
{
    double top = 0.0, lost = 0.0, kept = 0.0;

    for (uint32_t a = r->start[t]; a < r->start[t + 1]; a++) {
        load->load[r->expert[a]] += 1.0;
        load->assignments += 1.0;
        top = fmax(top, (double)r->gate[a]);
        if (r->kept[a]) {
            kept += 1.0;
        } else {
            load->dropped += 1.0;
            lost += (double)r->gate[a];
        }
    }
    load->gate_max += top;
    load->gate_lost += lost;
    load->orphans += kept == 0.0;
    load->most = fmax(load->most, kept);
    load->fewest = fmin(load->fewest, kept);
    for (int i = 0; i < VIT_USAGE_LEVELS; i++)
        load->at_least[i] += kept >= (double)(1 << i);
}

void vit_usage_add(vit_usage *load, const vit_routing *routing)
{
    const size_t n = routing->experts;
    vit_usage pass = {.experts = n,
                      .fewest = routing->soft.is_soft ? 0.0 : (double)INFINITY,
                      .passes = 1.0,
                      .seconds = routing->seconds};

    for (size_t t = 0; t < routing->tokens; t++) {
        const double *p = routing->probs + t * n;
        if (routing->left_out && routing->left_out[t / routing->tokens_per_image])
            continue;
        pass.tokens += 1.0;
        if (!routing->soft.is_soft)
            token_add(&pass, routing, t);
        for (size_t e = 0; e < n; e++) {
            pass.importance[e] += p[e];
            if (p[e] > 0.0) /* 0 log 0 = 0 */
                pass.entropy -= p[e] * log(p[e]);
        }
    }
    if (pass.tokens == 0.0)
        return;
    if (routing->soft.is_soft) {
        pass.soft_passes = 1.0;
        pass.combine_max = routing->soft.combine_max;
        pass.dispatch_max = routing->soft.dispatch_max;
        pass.combine_entropy = routing->soft.combine_entropy * pass.tokens;
    }
    if (routing->used_sinkhorn) {
        pass.sinkhorn_passes = 1.0;
        pass.sinkhorn_iterations = routing->sinkhorn_iterations;
        pass.sinkhorn_residual = grained(routing->sinkhorn_residual, grain_residual);
        pass.sinkhorn_failed = !routing->sinkhorn_converged;
    }
    for (size_t e = 0; e < n; e++)
        pass.importance[e] = grained(pass.importance[e], grain);
    pass.gate_max = grained(pass.gate_max, grain);
    pass.gate_lost = grained(pass.gate_lost, grain);
    pass.entropy = grained(pass.entropy, grain);
    pass.combine_entropy = grained(pass.combine_entropy, grain);
    vit_usage_merge(load, &pass);
}

void vit_usage_merge(vit_usage *load, const vit_usage *other)
{
    const vit_usage *o = other;

    if (o->passes == 0.0)
        return;
    assert(load->experts == 0 || load->experts == o->experts);
    load->fewest = load->passes == 0.0 ? o->fewest : fmin(load->fewest, o->fewest);
    load->experts = o->experts;
    load->tokens += o->tokens;
    load->assignments += o->assignments;
    load->dropped += o->dropped;
    load->orphans += o->orphans;
    for (size_t e = 0; e < o->experts; e++) {
        load->load[e] += o->load[e];
        load->importance[e] += o->importance[e];
    }
    load->gate_max += o->gate_max;
    load->entropy += o->entropy;
    load->gate_lost += o->gate_lost;
    load->passes += o->passes;
    load->sinkhorn_passes += o->sinkhorn_passes;
    load->sinkhorn_iterations += o->sinkhorn_iterations;
    load->sinkhorn_residual += o->sinkhorn_residual;
    load->sinkhorn_failed += o->sinkhorn_failed;
    load->soft_passes += o->soft_passes;
    load->combine_max = fmax(load->combine_max, o->combine_max);
    load->dispatch_max = fmax(load->dispatch_max, o->dispatch_max);
    load->combine_entropy += o->combine_entropy;
    load->seconds += o->seconds;
    load->most = fmax(load->most, o->most);
    for (int i = 0; i < VIT_USAGE_LEVELS; i++)
        load->at_least[i] += o->at_least[i];
}

/* sum / count, 0 for nothing counted. */
static double mean_of(double sum, double count)
{
    return count > 0.0 ? sum / count : 0.0;
}

/* Population standard deviation over mean, 0 when the mean is 0. */
static double variation(const double *x, size_t n, double mean)
{
    double squares = 0.0;

    for (size_t e = 0; e < n; e++)
        squares += (x[e] - mean) * (x[e] - mean);
    return n > 0 && mean > 0.0 ? sqrt(squares / (double)n) / mean : 0.0;
}

vit_usage_metrics vit_usage_summary(const vit_usage *load)
{
    const size_t n = load->experts;
    double sum = 0.0, importance = 0.0;
    vit_usage_metrics m = {0};

    for (size_t e = 0; e < n; e++) {
        sum += load->load[e];
        importance += load->importance[e];
    }
    const double mean = mean_of(sum, (double)n);
    if (mean > 0.0) {
        double top = 0.0, low = INFINITY;
        for (size_t e = 0; e < n; e++) {
            const double q = load->load[e] / sum;
            if (q > 0.0)
                m.entropy -= q * log(q);
            top = fmax(top, load->load[e]);
            low = fmin(low, load->load[e]);
            m.dead += load->load[e] < dead_share * mean;
        }
        m.entropy = n > 1 ? m.entropy / log((double)n) : 1.0; /* one expert is balanced */
        m.max_violation = top / mean - 1.0;
        m.min_ratio = low / mean;
        m.cv = variation(load->load, n, mean);
    }
    m.importance_cv = variation(load->importance, n, mean_of(importance, (double)n));
    m.dropped = mean_of(load->dropped, load->assignments);
    m.orphans = mean_of(load->orphans, load->tokens);
    m.gate_lost = mean_of(load->gate_lost, load->tokens);
    m.gate_max = mean_of(load->gate_max, load->tokens);
    m.prob_entropy = mean_of(load->entropy, load->tokens);
    m.sinkhorn_share = mean_of(load->sinkhorn_passes, load->passes);
    m.sinkhorn_iterations = mean_of(load->sinkhorn_iterations, load->sinkhorn_passes);
    m.sinkhorn_residual = mean_of(load->sinkhorn_residual, load->sinkhorn_passes);
    m.sinkhorn_failed = load->sinkhorn_failed;
    m.seconds = load->seconds;
    m.fewest = isinf(load->fewest) ? 0.0 : load->fewest;
    m.most = load->most;
    m.kept = mean_of(load->assignments - load->dropped, load->tokens);
    for (int i = 0; i < VIT_USAGE_LEVELS; i++)
        m.at_least[i] = mean_of(load->at_least[i], load->tokens);
    m.soft =
        (vit_soft_report){.is_soft = load->soft_passes > 0.0,
                          .combine_max = load->combine_max,
                          .dispatch_max = load->dispatch_max,
                          .combine_entropy = mean_of(load->combine_entropy, load->tokens)};
    return m;
}
