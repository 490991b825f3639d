/* The command's front: the verbs that only copy or change a ledger, and the door to all others.
 *
 * Dumps are taken in loops, of machines that have no time left, and loading the libraries that reports, pages and
 * servers need costs seven times what it takes to read a ledger. So those verbs live in a second program, which has all
 * of them; this one needs little more than libc.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli/say.h"
#include "cli/verb.h"
#include "cli/write_profile.h"

#define REPORTS "heapprof-reports"

static const struct hp_verb *const own_verbs[] = {&hp_verb_dump, &hp_verb_recover, &hp_verb_rm, &hp_verb_interval};

/* Functions are looked up by the other program. */
static bool wants_functions(char **argv)
{
    while (*argv)
        if (hp_is_proto_name(*argv++))
            return true;
    return false;
}

/* Beside this program as built or unpacked, then as installed under any prefix, then as configured. */
static int run_reports(char **argv)
{
    static const char *const places[] = {"/" REPORTS, "/" HP_LIBEXECDIR_RELATIVE "/" REPORTS};
    char path[PATH_MAX + 256];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    char *end = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;
    for (size_t i = 0; end && i < sizeof places / sizeof *places; i++) {
        strcpy(end, places[i]);
        execv(path, argv);
        if (errno != ENOENT)
            return hp_fail("%s: %s", path, strerror(errno));
    }
    execv(HP_LIBEXECDIR "/" REPORTS, argv);
    return hp_fail(HP_LIBEXECDIR "/" REPORTS ": %s: reinstall heapprof", strerror(errno));
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof own_verbs / sizeof *own_verbs; i++)
        if (!strcmp(argv[1], own_verbs[i]->name) && !wants_functions(argv + 2))
            return own_verbs[i]->run(argc - 1, argv + 1);
    return run_reports(argv);
}
