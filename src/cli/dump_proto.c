#include "cli/dump_proto.h"

#include <string.h>

#include "cli/load.h"
#include "cli/output.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "cli/write_profile.h"

static int write_to(struct hp_profile *profile, const char *path)
{
    struct hp_output output;
    const struct hp_sources sources = {0};
    struct hp_loader loader;
    hp_loader_open(&loader, &sources);
    hp_loader_symbolize(&loader, profile);
    hp_loader_close(&loader);
    if (hp_output_open(&output, path, false, 0600) != HP_DONE)
        return HP_FAILED;
    int status = hp_format_pprof.write(profile, hp_output_sink, &output);
    if (!status)
        return hp_output_close(&output, true, false);
    hp_output_close(&output, false, false);
    return hp_fail("%s: %s", path, strerror(-status));
}

int hp_dump_proto(const struct hp_ledger_info *info, const void *text, size_t size, const char *path)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_profile_read_memory(path, text, size, &profile, &error))
        return hp_fail("%s", error.text);
    profile->live_pid = info->running ? (int)info->pid : 0;
    int status = write_to(profile, path);
    hp_profile_free(profile);
    return status;
}

int hp_dump_proto_replace(const char *path)
{
    struct hp_error error = {""};
    struct hp_profile *profile;
    if (hp_profile_read(path, &profile, &error))
        return hp_fail("%s", error.text);
    int status = write_to(profile, path);
    hp_profile_free(profile);
    return status;
}
