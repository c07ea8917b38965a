/* budgets.c - budgets as people write them: 8/255, 0.031, lists of them. Pixels are 0..1
 * and nothing is ever divided by 255 in silence (attacks.md 1, rule 2). Relied on
 * elsewhere: the texts of refusals. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attacks/attacks.h"

static base_status one_parse(attack_budget *out, const char *what, const char *text,
                             attack_norm norm, size_t floats, base_error *err)
{
    const double largest = norm == ATTACK_NORM_LINF ? 1
                           : norm == ATTACK_NORM_L2 ? sqrt((double)floats)
                                                    : (double)floats;
    char shown[64];

    base_quote(shown, sizeof shown, text);
    if (strlen(text) >= sizeof out->text || !base_parse_share(&out->eps, text))
        return base_fail(err, BASE_USAGE,
                         "%s '%s' is no budget, expected numbers as 8/255 or 0.031, "
                         "separated by commas",
                         what, shown);
    if (out->eps < 0)
        return base_fail(err, BASE_USAGE, "%s '%s' is below 0", what, shown);
    if (out->eps > largest && norm == ATTACK_NORM_LINF && out->eps <= 255 &&
        !strchr(text, '/'))
        return base_fail(err, BASE_USAGE,
                         "%s '%s' is above 1, but pixels are 0 to 1 here: "
                         "did you mean %s/255",
                         what, shown, shown);
    if (out->eps > largest)
        return base_fail(err, BASE_USAGE,
                         "%s '%s' is above %.4g, the largest distance in %s of images of "
                         "%zu numbers",
                         what, shown, largest, attack_norm_name(norm), floats);
    snprintf(out->text, sizeof out->text, "%s", text);
    return BASE_OK;
}

base_status attack_budgets_parse(attack_budget out[ATTACK_BUDGETS_MAX], size_t *count,
                                 const char *what, const char *text, attack_norm norm,
                                 size_t floats, base_error *err)
{
    attack_budget list[ATTACK_BUDGETS_MAX] = {0};
    char word[64];
    size_t have = 0;

    for (const char *at = text; at; have++) {
        if (have == ATTACK_BUDGETS_MAX)
            return base_fail(err, BASE_USAGE, "%s holds more than %d budgets", what,
                             (int)ATTACK_BUDGETS_MAX);
        base_word_take(word, sizeof word, &at); /* a cut one is too long for a budget */
        const base_status status = one_parse(&list[have], what, word, norm, floats, err);
        if (status != BASE_OK)
            return status;
        for (size_t i = 0; i < have; i++)
            if (list[i].eps == list[have].eps)
                return base_fail(err, BASE_USAGE, "%s holds %s twice", what,
                                 list[have].text);
    }
    memcpy(out, list, sizeof list);
    *count = have;
    return BASE_OK;
}

const char *attack_budget_text(char *out, size_t out_bytes, const attack_budget *budget,
                               attack_norm norm)
{
    if (norm != ATTACK_NORM_LINF || budget->eps == 0)
        snprintf(out, out_bytes, "%s", budget->text);
    else if (strchr(budget->text, '/'))
        snprintf(out, out_bytes, "%s (%.4g)", budget->text, budget->eps);
    else
        snprintf(out, out_bytes, "%s (%.4g/255)", budget->text, 255 * budget->eps);
    return out;
}
