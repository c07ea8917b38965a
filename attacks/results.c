/* results.c - what a run has found so far, read. Relied on elsewhere: clean and robust
 * count samples, whatever the order in which they were found. Cannot fail. */
#include "attacks/attacks_internal.h"

size_t attack_run_count(const attack_run *run)
{
    return run->entry_count;
}

const attack_result *attack_run_result(const attack_run *run, size_t i)
{
    return i < run->entry_count ? &run->entries[i].result : NULL;
}

bool attack_run_broke(const attack_run *run, size_t attack, size_t sample)
{
    return attack < run->entry_count && sample < run->n &&
           run->entries[attack].broke[sample];
}

size_t attack_run_clean(const attack_run *run)
{
    size_t right = 0;

    for (size_t i = 0; i < run->n; i++)
        right += run->samples[i].right;
    return right;
}

size_t attack_run_robust(const attack_run *run)
{
    size_t robust = 0;

    for (size_t i = 0; i < run->n; i++)
        robust += run->samples[i].right && !run->samples[i].broken;
    return robust;
}

attack_sample attack_run_sample(const attack_run *run, size_t i)
{
    return run->samples[i];
}

const float *attack_run_adversarial(const attack_run *run)
{
    return run->adversarial;
}
