/* trim.h - stacks for readers that know nothing of allocators. */
#ifndef HP_REPORT_CORE_TRIM_H
#define HP_REPORT_CORE_TRIM_H

#include "profile/profile.h"

/* Drops the allocator's own frames from the innermost end of all stacks, as reports do (view.h), so
 * that the innermost frame is the site of the allocation. */
void hp_trim_allocator(struct hp_profile *profile);

#endif
