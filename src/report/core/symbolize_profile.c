#include "report/core/symbolize_profile.h"

#include <stdlib.h>
#include <string.h>

#include "report/core/memory.h"
#include "report/core/names.h"
#include "report/core/view.h"
#include "symbolize/perf_map.h"

/* Inlined calls at one address: the deepest seen in large C++ programs is below 40. */
#define MOST_INLINED 64

#define AS_ADDRESSES ": its functions are shown as addresses (--symbols=DIR says where else to look)"

static void lines_of(struct hp_profile *profile, uint32_t index, struct hp_symbol_module *module)
{
    struct hp_symbol_frame frames[MOST_INLINED];
    struct hp_line lines[MOST_INLINED];
    size_t count = hp_symbolize(module, profile->locations[index].offset, frames, MOST_INLINED);
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct hp_line){.function = frames[i].function,
                                    .linkage = frames[i].linkage,
                                    .file = frames[i].file,
                                    .line = frames[i].line,
                                    .start_line = frames[i].start_line,
                                    .entry_offset = frames[i].entry_offset};
    if (count)
        hp_profile_set_lines(profile, index, lines, count);
    else
        profile->locations[index].symbolized = true;
}

static bool is_there(const struct hp_symbol_module *module)
{
    enum hp_module_status status = hp_symbol_module_status(module);
    return status != HP_MODULE_MISSING && status != HP_MODULE_REPLACED;
}

static void complain(const struct hp_module *module, const char *why, const struct hp_symbolize_watch *watch)
{
    char *text = hp_print("%s %s", module->path, why);
    watch->note(watch->state, text);
    free(text);
}

/* The number by which the process knows itself; NULL if the profile does not say. */
static const char *own_pid(const struct hp_profile *profile)
{
    const char *pid = hp_profile_fact(profile, "heapprof.pid");
    return pid && *pid && strlen(pid) < 10 && !pid[strspn(pid, "0123456789")] ? pid : NULL;
}

/* Unix time in ns; 0 if unknown. Seconds in the profiles of the first versions. */
static int64_t start_of(const struct hp_profile *profile)
{
    const char *start = hp_profile_fact(profile, "heapprof.start");
    long long started = start ? strtoll(start, NULL, 10) : 0;
    if (started < 0)
        return 0;
    return started < 9000000000 ? started * 1000000000 : started;
}

static bool tells_build_ids(const struct hp_profile *profile)
{
    for (size_t i = 0; i < profile->module_count; i++)
        if (*profile->modules[i].build_id)
            return true;
    return false;
}

/* Without a build id: whether the file is surely another one than the one profiled; *doubt: it may be. Of what others
 * wrote nothing is sure: their mappings need not be those of the system. */
static bool is_another(const struct hp_profile *profile, const struct hp_module *module,
                       const struct hp_symbol_module *symbols, bool *doubt)
{
    struct hp_symbol_file file = hp_symbol_module_file(symbols);
    int64_t since = start_of(profile) ? start_of(profile) : profile->time_ns;
    *doubt = since > 0 && file.changed_ns > since;
    return start_of(profile) && ((file.has_build_id && tells_build_ids(profile)) ||
                                 !hp_symbol_module_fits(symbols, module->offset, module->limit - module->start));
}

/* Only one that the profiled process wrote itself: a number may have belonged to another before. It has a /tmp of its
 * own in a container. */
static struct hp_perf_map *map_of(const struct hp_profile *profile)
{
    const char *pid = own_pid(profile);
    int64_t started = start_of(profile);
    if (!pid || !started)
        return NULL;
    char *path = profile->live_pid ? hp_print("/proc/%d/root/tmp/perf-%s.map", profile->live_pid, pid)
                                   : hp_print("/tmp/perf-%s.map", pid);
    struct hp_perf_map *map = hp_perf_map_read(path, started);
    free(path);
    return map;
}

static bool is_code_of_runtime(const struct hp_profile *profile, const struct hp_location *location)
{
    return location->module == HP_NO_MODULE || profile->modules[location->module].path[0] != '/' ||
           !strncmp(profile->modules[location->module].path, "//anon", 6);
}

static void name_runtime_code(struct hp_profile *profile)
{
    struct hp_perf_map *map = NULL;
    bool looked = false;
    for (uint32_t i = 0; i < profile->location_count; i++) {
        const struct hp_location *location = &profile->locations[i];
        if (location->symbolized || location->line_count || !is_code_of_runtime(profile, location))
            continue;
        if (!looked)
            map = map_of(profile);
        looked = true;
        uint64_t entry;
        const char *name = map ? hp_perf_map_find(map, location->address, &entry) : NULL;
        if (!name)
            continue;
        const struct hp_line line = {
            .function = name, .linkage = "", .file = "", .entry_offset = location->address - entry};
        hp_profile_set_lines(profile, i, &line, 1);
    }
    hp_perf_map_free(map);
}

/* The file of a profile that was read from a process is the one that the process has. Who wrote a profile may run on,
 * too; that its number was not given to another process since is shown by the build id alone. */
static struct hp_symbol_module *open_module(const struct hp_profile *profile, const struct hp_module *module,
                                            struct hp_symbolizer *symbolizer)
{
    const char *pid = *module->build_id ? own_pid(profile) : NULL;
    const struct hp_symbol_process process = {profile->live_pid ? profile->live_pid
                                              : pid             ? (int)strtol(pid, NULL, 10)
                                                                : 0,
                                              module->start, module->limit};
    return hp_symbolizer_live_module(symbolizer, module->path, module->build_id, process.pid ? &process : NULL);
}

/* Whether the file's names are not to be used; `watch` (NULL: it was told) learns why, and where there is a doubt. */
static bool judge(const struct hp_profile *profile, const struct hp_module *module,
                  const struct hp_symbol_module *symbols, const struct hp_symbolize_watch *watch)
{
    bool doubt = false, there = is_there(symbols);
    bool another = there ? !*module->build_id && is_another(profile, module, symbols, &doubt)
                         : hp_symbol_module_status(symbols) == HP_MODULE_REPLACED;
    if (another && watch)
        complain(module, "is another build than the one profiled" AS_ADDRESSES, watch);
    else if (!there && watch)
        complain(module, "can't be read" AS_ADDRESSES, watch);
    else if (doubt && watch)
        complain(
            module,
            "was changed after the profiled program started, and has no build id that could tell builds apart: its "
            "names are not to be trusted if it is another build",
            watch);
    return another || !there;
}

void hp_symbolize_profile(struct hp_profile *profile, struct hp_symbolizer *symbolizer,
                          const struct hp_symbolize_watch *watch)
{
    name_runtime_code(profile);
    struct hp_symbol_module **modules = hp_alloc(profile->module_count, sizeof *modules);
    bool *unusable = hp_alloc(profile->module_count, sizeof *unusable);
    for (uint32_t i = 0; i < profile->location_count; i++) {
        if (watch->progress)
            watch->progress(i, profile->location_count);
        uint32_t index = profile->locations[i].module;
        if (profile->locations[i].symbolized || index == HP_NO_MODULE)
            continue;
        const struct hp_module *module = &profile->modules[index];
        if (module->path[0] != '/') /* [vdso], code made at run time: no file to look into */
            continue;
        if (!modules[index]) {
            modules[index] = open_module(profile, module, symbolizer);
            bool noted = false; /* a file has several mappings; its handle is the same for all */
            for (uint32_t other = 0; other < profile->module_count; other++)
                noted |= other != index && modules[other] == modules[index];
            unusable[index] = judge(profile, module, modules[index], noted ? NULL : watch);
        }
        if (unusable[index]) /* it may be there, where the profile is looked at next */
            continue;
        lines_of(profile, i, modules[index]);
    }
    free(modules);
    free(unusable);
}

static bool has_build_id(const struct hp_profile *profile, const struct hp_location *location)
{
    return location->module != HP_NO_MODULE && *profile->modules[location->module].build_id;
}

void hp_symbols_share(const struct hp_profile *from, struct hp_profile *to)
{
    struct hp_names identities = {0};
    uint32_t *known = hp_alloc(from->location_count, sizeof *known); /* location of `from`, by identity */
    for (uint32_t i = 0; i < from->location_count; i++) {
        const struct hp_location *location = &from->locations[i];
        if (!location->line_count || !has_build_id(from, location))
            continue;
        char *identity = hp_location_identity(from, location);
        known[hp_names_add(&identities, identity, NULL)] = i;
        free(identity);
    }
    for (uint32_t i = 0; i < to->location_count; i++) {
        if (to->locations[i].line_count || !has_build_id(to, &to->locations[i]))
            continue;
        char *identity = hp_location_identity(to, &to->locations[i]);
        uint32_t number = hp_names_find(&identities, identity);
        free(identity);
        if (number != HP_NO_NAME)
            hp_profile_set_lines(to, i, from->locations[known[number]].lines,
                                 from->locations[known[number]].line_count);
    }
    hp_names_free(&identities);
    free(known);
}
