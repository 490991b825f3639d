/* uniform.h - are these values uniform? */
#ifndef HP_TEST_UNIFORM_H
#define HP_TEST_UNIFORM_H

#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Anderson and Darling's A^2 of values that should be uniform, with nothing estimated from them; sorts them. Above
 * 3.857 in 1 of 100, above 6 in 1 of 1,000 (Marsaglia and Marsaglia, Evaluating the Anderson-Darling Distribution,
 * 2004). */
static double anderson_darling(double *uniform, size_t count)
{
    double sum = 0;
    qsort(uniform, count, sizeof *uniform, compare_doubles);
    for (size_t i = 0; i < count; i++)
        sum += (double)(2 * i + 1) * (log(uniform[i]) + log1p(-uniform[count - 1 - i]));
    return -(double)count - sum / (double)count;
}

#endif
