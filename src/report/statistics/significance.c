/* The null hypothesis is that as much was freed as was allocated: the objects that only A has and
 * those that only B has are equally many, size class by size class, and what differs in the samples
 * is the luck of sampling.
 *
 * The growth seen is G = sum of w_i (after_i - before_i) with n_i = before_i + after_i samples of
 * weight w_i. Its tail follows from the cumulant generating function K(t) of that luck, a sum over
 * the terms:
 *
 *   churn, or p < 1/2   each of the n samples is equally likely before or after, given n (the conditional test of two
 *                       Poisson means, Przyborowski and Wilenski, Biometrika 31, 1940):
 *                         K = n log cosh(t w)
 *                       That the number of objects itself wavers, as in any live program, is covered: arrivals and
 *                       departures in equilibrium are Poisson, sampled or not.
 *   otherwise           large objects, of which few escape: M objects on each side, each sampled with p, M as small as
 *                       the samples allow but at least n / 2p:
 *                         K = M log(1 + 2 p (1 - p) (cosh(t w) - 1))
 *                       As p goes to 1 there is no noise left, and any growth is real; so at interval 1.
 *
 * The tail is the saddlepoint approximation of Lugannani and Rice (Advances in Applied Probability
 * 12, 1980) with the second continuity correction of Daniels (International Statistical Review 55,
 * 1987): with s at K'(s) = G - h/2,
 *
 *   P = 1 - Phi(r) + phi(r) (1/u - 1/r),   r = sqrt(2 (s (G - h/2) - K(s))),
 *   u = 2 sinh(s h/2) / h sqrt(K''(s))
 *
 * where h is the lattice step of the term with most variance. Where s h > 4, one step is so much
 * less likely than the one before that this breaks down, and the leading term for lattices (Bahadur
 * and Rao, Annals of Mathematical Statistics 31, 1960) takes its place: exp(K(t) - t G) / ((1 -
 * exp(-t h)) sqrt(2 pi K''(t)) / h) with K'(t) = G, which is never more than Chernoff's bound, its
 * numerator.
 *
 * For one weight this is the exact binomial test to within 15 percent, at any n; a normal
 * approximation is wrong by orders of magnitude in the tails that many rows need. */
#include "report/statistics/significance.h"

#include <math.h>
#include <stdlib.h>

#include "profile/alloc.h"

struct cumulants {
    double value, slope, curvature; /* K, K', K'' */
};

static double pairs_of(const struct hp_noise *term)
{
    double p = 1 - term->keep;
    return fmax(fmax(term->before, term->after), (term->before + term->after) / (2 * p));
}

static void add_few(struct cumulants *sum, const struct hp_noise *term, double t)
{
    double n = term->before + term->after, x = t * term->weight, slope = tanh(x);
    sum->value += n * (fabs(x) + log1p(exp(-2 * fabs(x))) - M_LN2);
    sum->slope += n * term->weight * slope;
    sum->curvature += n * term->weight * term->weight * (1 - slope * slope);
}

static void add_many(struct cumulants *sum, const struct hp_noise *term, double t)
{
    double c = 2 * term->keep * (1 - term->keep), x = t * term->weight, m = pairs_of(term);
    if (c <= 0)
        return;
    /* All divided by exp(x), so that no x overflows. */
    double e = exp(-x), e2 = e * e;
    double scaled = e * (1 - c) + c * (1 + e2) / 2;
    double ratio_cosh = c * (1 + e2) / 2 / scaled, ratio_sinh = c * (1 - e2) / 2 / scaled;
    sum->value += m * (x + log(scaled));
    sum->slope += m * term->weight * ratio_sinh;
    sum->curvature += m * term->weight * term->weight * (ratio_cosh - ratio_sinh * ratio_sinh);
}

/* A row's terms, and which of the two formulas they follow. */
struct row {
    const struct hp_noise *terms;
    size_t count;
    bool churn;
};

static bool by_chance(const struct row *row, const struct hp_noise *term)
{
    return row->churn || term->keep > 0.5;
}

static struct cumulants cumulants_at(const struct row *row, double t)
{
    struct cumulants sum = {0};
    const struct hp_noise *terms = row->terms;
    for (size_t i = 0; i < row->count; i++) {
        if (by_chance(row, &terms[i]))
            add_few(&sum, &terms[i], t);
        else
            add_many(&sum, &terms[i], t);
    }
    return sum;
}

static double normal_density(double x)
{
    return exp(-x * x / 2) / sqrt(2 * M_PI);
}

/* The t at which K'(t) is `growth`; where K' never gets there, one so large that K' is as good as
 * its supremum. */
static double solve(const struct row *row, double growth, double step)
{
    double low = 0, high = 1 / step;
    while (cumulants_at(row, high).slope < growth && high * step < 1e4) {
        low = high;
        high *= 2;
    }
    for (int i = 0; i < 60; i++) { /* to the last bit but a few */
        double middle = (low + high) / 2;
        if (cumulants_at(row, middle).slope < growth)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static double tail(const struct row *row, double growth, double step)
{
    /* Chernoff's bound: never below the truth, and equal to it where all that could come came. */
    double t = solve(row, growth, step);
    struct cumulants at = cumulants_at(row, t);
    double bound = exp(fmin(0, at.value - t * growth));
    double corrected = growth - step / 2;
    double s = solve(row, corrected, step);
    if (s * step > 4) {
        double spread = sqrt(2 * M_PI * at.curvature) / step * -expm1(-t * step);
        return spread > 1 ? bound / spread : bound;
    }
    at = cumulants_at(row, s);
    double r = sqrt(fmax(0, 2 * (s * corrected - at.value)));
    if (r < 1e-3)
        return 0.5;
    double u = 2 * sinh(s * step / 2) / step * sqrt(at.curvature);
    double p = erfc(r / M_SQRT2) / 2 + normal_density(r) * (1 / u - 1 / r);
    return p > 0 ? fmin(p, bound) : bound;
}

bool hp_noise_one_way(const struct hp_noise *terms, size_t count)
{
    double before = 0, after = 0;
    bool churns = false;
    for (size_t i = 0; i < count; i++) {
        before += terms[i].before;
        after += terms[i].after;
        churns |= terms[i].churns;
    }
    return !churns && (before == 0 || after == 0);
}

double hp_noise_probability(const struct hp_noise *terms, size_t count, bool churn)
{
    const struct row row = {terms, count, churn};
    double growth = 0, most = 0, step = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        const struct hp_noise *term = &terms[i];
        bool chance = by_chance(&row, term);
        double n = term->before + term->after;
        double variance = n * term->weight * term->weight * (chance ? 1 : term->keep);
        growth += term->weight * (term->after - term->before);
        size += term->weight * n;
        if (variance > most) {
            most = variance;
            step = chance ? 2 * term->weight : term->weight;
        }
    }
    growth = fabs(growth);
    if (growth <= 1e-9 * size || size <= 0)
        return 1;
    if (most <= 0)
        return 0;
    if (growth <= step / 2)
        return 1;
    return fmin(1, 2 * tail(&row, growth, step));
}

struct ranked {
    double probability;
    size_t index;
};

static int by_probability(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    return (left->probability > right->probability) - (left->probability < right->probability);
}

void hp_holm(const double *probabilities, size_t count, double alpha, bool *significant)
{
    struct ranked *order = hp_alloc(count, sizeof *order);
    for (size_t i = 0; i < count; i++) {
        order[i] = (struct ranked){probabilities[i], i};
        significant[i] = false;
    }
    qsort(order, count, sizeof *order, by_probability);
    for (size_t i = 0; i < count && order[i].probability <= alpha / (double)(count - i); i++)
        significant[order[i].index] = true;
    free(order);
}
