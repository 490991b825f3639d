/* significance.h - is a growth more than the sampling noise explains?
 *
 * Terms
 *   term           one (stack, size class) of a row: objects of one size, each sampled with the same probability
 *   weight         what one sample stands for: size / p
 *   keep           1 - p, the probability that an object of this size is not sampled
 *   before, after  samples that only the earlier, only the later profile has (survivors cancel)
 */
#ifndef HP_REPORT_STATISTICS_SIGNIFICANCE_H
#define HP_REPORT_STATISTICS_SIGNIFICANCE_H

#include <stdbool.h>
#include <stddef.h>

struct hp_noise {
    double weight, keep;
    double before, after;
    bool churns; /* objects of this term were freed meanwhile: coming and going is its way of life */
};

/* Only came, or only went: what hp_noise_probability needs to know to tell sampling from churn. */
bool hp_noise_one_way(const struct hp_noise *terms, size_t count);

/* The probability, for a target that did not change, of a growth or shrinkage as large as that of
 * all terms together: 0 to 1. `churn`: the true number of objects may have wavered, too; otherwise
 * all but the luck of sampling counts as change, be it a single object. */
double hp_noise_probability(const struct hp_noise *terms, size_t count, bool churn);

/* Which of `count` hypotheses, with these probabilities, fall when at most `alpha` is the risk that
 * any true one does (Holm's step-down procedure; needs no independence). */
void hp_holm(const double *probabilities, size_t count, double alpha, bool *significant);

#endif
