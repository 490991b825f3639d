/* What scripts/bench measures processes with.
 *
 *   cost FILE COMMAND...    runs the command; writes its CPU time (microseconds) and peak resident memory (KiB) to FILE
 *
 * A small process of its own: a child starts with its parent's peak, and an interpreter's would hide that of small
 * ones.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: cost FILE COMMAND...\n"), 2;
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    int status = 0;
    struct rusage usage;
    FILE *file = fopen(argv[1], "w");
    if (!file || child < 0 || wait4(child, &status, 0, &usage) < 0)
        return 1;
    fprintf(file, "%ld %ld\n",
            (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec,
            usage.ru_maxrss);
    return fclose(file) || !WIFEXITED(status) || WEXITSTATUS(status);
}
