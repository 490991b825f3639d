#include "report/core/trim.h"

#include <stdlib.h>
#include <string.h>

#include "profile/alloc.h"
#include "symbolize/symbolize.h"

static uint32_t allocator_lines(const struct hp_location *location)
{
    uint32_t count = 0;
    while (count < location->line_count && *location->lines[count].function &&
           hp_is_allocator_function(location->lines[count].function))
        count++;
    return count;
}

void hp_trim_allocator(struct hp_profile *profile)
{
    bool *whole = hp_alloc(profile->location_count, sizeof *whole);
    for (size_t i = 0; i < profile->location_count; i++) {
        struct hp_location *location = &profile->locations[i];
        uint32_t count = allocator_lines(location);
        whole[i] = location->line_count ? count == location->line_count
                                        : location->module != HP_NO_MODULE &&
                                              hp_is_allocator_module(profile->modules[location->module].path);
        if (count && !whole[i]) { /* inlined into the site */
            location->line_count -= count;
            memmove(location->lines, location->lines + count, location->line_count * sizeof *location->lines);
        }
    }
    for (size_t i = 0; i < profile->sample_count; i++) {
        struct hp_sample *sample = &profile->samples[i];
        while (sample->depth > 1 && whole[profile->frames[sample->first]]) {
            sample->first++;
            sample->depth--;
        }
    }
    free(whole);
}
