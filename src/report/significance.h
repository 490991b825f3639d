/* significance.h - is a growth more than the sampling noise explains?
 *
 * Terms
 *   term    one (stack, size class) of a row: objects of one size, each sampled with the same probability
 *   weight  what one sample stands for: size / p
 *   keep    1 - p, the probability that an object of this size is not sampled
 *   before, after  samples that only the earlier, only the later profile has (survivors cancel)
 */
#ifndef HP_REPORT_SIGNIFICANCE_H
#define HP_REPORT_SIGNIFICANCE_H

#include <stdbool.h>
#include <stddef.h>

struct hp_noise {
    double weight, keep;
    double before, after;
};

/* The probability, for a target that did not change, of a growth or shrinkage as large as that of all terms together:
 * 0 to 1. */
double hp_noise_probability(const struct hp_noise *terms, size_t count);

/* Which of `count` hypotheses, with these probabilities, fall when at most `alpha` is the risk that any true one does
 * (Holm's step-down procedure; needs no independence). */
void hp_holm(const double *probabilities, size_t count, double alpha, bool *significant);

#endif
