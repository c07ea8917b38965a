/* cells.c - accuracy under corruption: a cell counts one corruption at one severity, a set
 * of cells gives the errors that the benchmark's figures are made of (Hendrycks and
 * Dietterich 2019, section 4.3). */
#include "measure/measure.h"

#include <math.h>

base_status measure_cell_create(measure_cell *cell, corrupt_pair pair, size_t classes,
                                size_t layers, base_error *err)
{
    measure_cell made = {.pair = pair, .layers = layers};
    base_status status = measure_score_create_small(&made.score, classes, err);

    made.load = base_alloc(layers, sizeof *made.load);
    made.agreement = base_alloc(layers, sizeof *made.agreement);
    if (status == BASE_OK && (!made.load || !made.agreement))
        status = base_fail(err, BASE_NO_MEMORY, "no memory for the counters");
    if (status == BASE_OK)
        *cell = made;
    else
        measure_cell_destroy(&made);
    return status;
}

void measure_cell_destroy(measure_cell *cell)
{
    measure_score_destroy(&cell->score);
    base_free(cell->load);
    base_free(cell->agreement);
    *cell = (measure_cell){0};
}

void measure_cell_pass(measure_cell *cell, const vit_run *run, const bool *bad)
{
    for (size_t l = 0; l < cell->layers; l++) {
        vit_routing routing = vit_run_routing(run, l);

        routing.left_out = bad;
        vit_usage_add(&cell->load[l], &routing);
    }
}

void measure_cell_compare(measure_cell *cell, bool flipped, const measure_trace *clean,
                          const vit_run *run, size_t image)
{
    cell->compared++;
    cell->flipped += flipped;
    if (cell->layers > 0)
        measure_trace_compare(cell->agreement, clean, run, image, flipped);
}

/* NULL: not among them. */
static const measure_cell *cell_find(const measure_cell *cells, size_t count,
                                     corrupt_kind kind, int severity)
{
    for (size_t c = 0; c < count; c++)
        if (cells[c].pair.kind == kind && cells[c].pair.severity == severity)
            return &cells[c];
    return NULL;
}

void measure_cell_errors(corrupt_errors *out, const measure_cell *cells, size_t count,
                         const measure_score *clean)
{
    out->clean = clean->samples > 0 ? 1 - measure_score_top1(clean) : (double)NAN;
    for (size_t k = 0; k < CORRUPT_KIND_COUNT; k++)
        for (size_t s = 0; s < CORRUPT_SEVERITY_MAX; s++)
            out->error[k][s] = (double)NAN;
    for (size_t c = 0; c < count; c++) {
        const measure_cell *cell = &cells[c];

        if (cell->score.samples > 0)
            out->error[cell->pair.kind][cell->pair.severity - 1] =
                1 - measure_score_top1(&cell->score);
    }
}

measure_agreement measure_cell_agreement(const measure_cell *cells, size_t count,
                                         corrupt_kind kind, size_t layer)
{
    measure_agreement sum = {0};

    for (size_t c = 0; c < count; c++)
        if (cells[c].pair.kind == kind)
            measure_agreement_join(&sum, &cells[c].agreement[layer]);
    return sum;
}

measure_cell_means measure_cell_means_of(const measure_cell *cells, size_t count,
                                         corrupt_kind kind)
{
    measure_cell_means m = {0};
    double seen = 0, compared = 0, layers = 0;
    measure_agreement sum = {0};

    for (int s = 1; s <= CORRUPT_SEVERITY_MAX; s++) {
        const measure_cell *cell = cell_find(cells, count, kind, s);

        if (!cell || cell->score.samples == 0)
            continue;
        seen++;
        m.ece += measure_score_ece(&cell->score);
        m.flipped += (double)cell->flipped;
        compared += (double)cell->compared;
        for (size_t l = 0; l < cell->layers; l++) {
            const vit_usage_metrics load = vit_usage_summary(&cell->load[l]);

            layers++;
            m.cv += load.cv;
            m.violation += load.max_violation;
            measure_agreement_join(&sum, &cell->agreement[l]);
        }
    }
    m.measured = seen > 0;
    m.ece /= seen;
    m.flipped /= compared;
    m.cv /= layers;
    m.violation /= layers;
    m.routing = measure_agreement_all(&sum);
    return m;
}

double measure_cell_error(const measure_cell *cells, size_t count)
{
    double sum = 0, measured = 0;

    for (size_t c = 0; c < count; c++) {
        if (cells[c].score.samples == 0)
            continue;
        sum += 1 - measure_score_top1(&cells[c].score);
        measured++;
    }
    return measured > 0 ? sum / measured : (double)NAN;
}
