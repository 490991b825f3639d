#include "kinds/heap/sampler.h"

#include <sys/auxv.h>

#include "ledger/region.h"
#include "base/sys.h"

uint64_t hp_sampler_seed(void)
{
    static uint64_t calls;
    uint64_t seed = (uint64_t)(uintptr_t)&hp_thread;
    const uint64_t *given = (const uint64_t *)getauxval(AT_RANDOM);
    if (given)
        seed ^= given[0] + given[1];
    seed += hp_coarse_ns() * 0x9e3779b97f4a7c15ull; /* AT_RANDOM is the same in a forked child */
    if (!hp_region_is_sealed())                     /* a filter may kill whoever asks; such a child has the clock */
        seed += (uint64_t)hp_sys_getpid() << 32;
    seed += __atomic_add_fetch(&calls, 0xd1b54a32d192ed03ull, __ATOMIC_RELAXED);
    return seed ? seed : 1;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): any seed will do. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* a * b / 2^64 */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* -ln(u) for u uniform in (0, 1], as a fixed-point number with 56 bits after the point. u = m 2^-k with m in [1/2, 1):
 * -ln u = k ln 2 - ln m, and ln m = 2 atanh(z) = 2 (z + z^3/3 + z^5/5 + ...) with z = (m - 1) / (m + 1), |z| <= 1/3.
 * Terms up to z^29 leave an error below 1e-15. */
static uint64_t exponential(uint64_t random)
{
    random |= 1; /* not 0; the lowest bit is beyond the result's precision */
    unsigned k = (unsigned)__builtin_clzll(random);
    uint64_t m = random << k; /* m 2^64 in [2^63, 2^64) */
    /* w = -z 2^64 = (1 - m) / (1 + m) 2^64, both halved to fit */
    uint64_t w = (uint64_t)(((unsigned __int128)((0 - m) >> 1) << 64) / ((m >> 1) + (1ull << 63)));
    uint64_t square = multiply_high(w, w), sum = 0;
    for (int i = 29; i > 0; i -= 2)
        sum = (1ull << 62) / (unsigned)i + multiply_high(square, sum);
    uint64_t series = multiply_high(w, sum);  /* atanh(-z) 2^62 */
    const uint64_t ln2 = 0xb17217f7d1cf79ull; /* ln 2 * 2^56 */
    return k * ln2 + (series >> 5);
}

uint64_t hp_sampler_gap(uint64_t *random, uint64_t interval)
{
    unsigned __int128 product = (unsigned __int128)exponential(next_random(random)) * interval;
    return (uint64_t)(product >> 56) + 1;
}

static void set_gap(struct hp_thread *thread, uint64_t gap)
{
    thread->left = gap < HP_STRIDE ? gap : HP_STRIDE;
    thread->beyond = gap == HP_NEVER ? HP_NEVER : gap - thread->left;
}

static void draw(struct hp_thread *thread, uint64_t interval)
{
    if (!thread->random)
        thread->random = hp_sampler_seed();
    set_gap(thread, interval == 0 ? HP_NEVER : interval == 1 ? 0 : hp_sampler_gap(&thread->random, interval));
}

/* Take n bytes off the gap; true: it ends in them. */
static bool spend(struct hp_thread *thread, size_t n)
{
    uint64_t gap = thread->left + thread->beyond;
    if (n >= gap)
        return true;
    set_gap(thread, gap - n);
    return false;
}

bool hp_sampler_due(struct hp_thread *thread, size_t n, uint64_t interval)
{
    thread->left += n;
    if (n > PTRDIFF_MAX)
        return false; /* no allocator gives that much */
    /* A signal handler that allocates between the hot path's subtraction and this function may take more than there
     * was; left is then below 0, which as an unsigned number is beyond all gaps. */
    if (thread->left > HP_STRIDE)
        thread->left = 0;
    thread->due_interval = interval;
    if (thread->drawn != interval + 1) {
        uint64_t before = thread->drawn;
        thread->drawn = interval + 1;
        if (before && thread->beyond != HP_NEVER && thread->left + thread->beyond) {
            /* The interval changed. A thread learns of it when its gap ends: to draw a new one then and there would
             * lose the sample that stands for all bytes of the old gap. So this allocation belongs to the old gap,
             * whether it ends here or goes on, and the new one begins behind it. */
            bool due = spend(thread, n);
            thread->due_interval = before - 1;
            draw(thread, interval);
            return due;
        }
        /* The first allocation of this thread, or nothing or everything was sampled so far. */
        draw(thread, interval);
    }
    if (interval == 1) {
        thread->left = 0; /* everything is due */
        return true;
    }
    if (n < thread->left) {
        thread->left -= n;
        return false;
    }
    if (thread->beyond == HP_NEVER) {
        thread->left = HP_STRIDE;
        return false;
    }
    if (!spend(thread, n))
        return false;
    draw(thread, interval);
    return true;
}

uint64_t hp_sampler_weight(uint64_t size, uint64_t interval)
{
    if (interval <= 1 || size / 8 > interval)
        return size;
    /* x / (1 - exp(-x)), x = size / interval, times interval: by its series up to 2, where its error is 0.1 %;
     * above, exp(-x) = exp(-x / 8)^8 with a quadratic. Fixed point with 20 bits. */
    uint64_t x = (size << 20) / interval;
    if (x <= 2u << 20) {
        uint64_t square = x * x >> 20;
        uint64_t ratio = (1u << 20) + x / 2 + square / 12 - (square * square >> 20) / 720;
        return (uint64_t)((unsigned __int128)interval * ratio >> 20);
    }
    uint64_t eighth = x / 8;
    uint64_t power = (1u << 20) - eighth + (eighth * eighth >> 21) - (eighth * eighth >> 20) * eighth / 6 / (1u << 20);
    for (unsigned i = 0; i < 3; i++)
        power = power * power >> 20;
    return (uint64_t)(((unsigned __int128)size << 20) / ((1u << 20) - power));
}
