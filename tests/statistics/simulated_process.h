/* simulated_process.h - a simulated process for the statistical tests: it allocates in simulated time, but
 * what it allocates goes through the real sampler into a real ledger, out through the real writer
 * of the text and back in through the real reader. Only the stacks are made up. The tests know the
 * truth to the byte.
 *
 * Terms
 *   site    what a row of a report is: one stack, which is one made-up address
 *   stream  objects of one size at one site, freed in the order in which they were allocated
 *
 * One process at a time: it uses the thread's own state of the sampler. All dice are seeded: a run
 * comes out the same on each machine.
 */
#ifndef HP_TESTS_SIMULATED_PROCESS_H
#define HP_TESTS_SIMULATED_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

struct process {
    struct hp_store *store;
    uint64_t random;
    uint64_t next_address;
    struct stream *streams; /* to be freed with it */
};

struct drawn {
    uint64_t index, address; /* the index-th object of its stream was sampled */
};

struct stream {
    struct process *process;
    unsigned site;
    uint64_t size;
    uint64_t allocated, freed; /* objects: the truth */
    struct drawn *drawn;       /* those of [first, count) live */
    size_t first, count, capacity;
    struct stream *next;
};

void process_start(struct process *process, uint64_t seed, uint64_t interval);
void process_end(struct process *process);
/* What follows is allocated by a thread that has just started. */
void process_new_thread(struct process *process);
/* As heapprof_interval(): threads learn of it by themselves. */
void process_set_interval(struct process *process, uint64_t interval);
uint64_t process_random(struct process *process);

struct stream *stream_new(struct process *process, unsigned site, uint64_t size);
/* Returns how many of the `count` objects were sampled. */
uint64_t stream_allocate(struct stream *stream, uint64_t count);
void stream_free(struct stream *stream, uint64_t count);

/* A dump, read back. */
struct hp_profile *process_profile(const struct process *process);
/* The estimates of sites 0 to `sites` - 1. */
void profile_estimates(const struct hp_profile *profile, unsigned sites, struct hp_estimate (*sums)[HP_SAMPLE_TYPES]);
/* What they should be; adds up over the streams of a site. */
void stream_truth(const struct stream *stream, double truth[HP_SAMPLE_TYPES]);

/* How many times as many runs as usual: 1, or more in the long form (environment variable LONG). */
unsigned runs_factor(void);

#endif
