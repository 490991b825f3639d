#include "reader/mapping.h"

#include <errno.h>
#include <pthread.h>

#include "base/sys.h"

static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER; /* guards hp_on_cut and the handler */
sigjmp_buf hp_on_cut;

static void jump_out(int number)
{
    siglongjmp(hp_on_cut, number);
}

void hp_guard_begin(struct hp_guard *guard)
{
    struct sigaction action = {.sa_handler = jump_out};
    pthread_mutex_lock(&reading);
    sigaction(SIGBUS, &action, &guard->old);
}

void hp_guard_end(const struct hp_guard *guard)
{
    sigaction(SIGBUS, &guard->old, NULL);
    pthread_mutex_unlock(&reading);
}

int hp_mapping_open(const char *path, bool writable, struct hp_mapping *mapping, unsigned *uid)
{
    struct stat status = {0};
    int fd = hp_sys_open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int error = hp_sys_fstat(fd, &status);
    if (error == 0 && (!S_ISREG(status.st_mode) || status.st_size <= 0))
        error = -EINVAL;
    mapping->size = (size_t)status.st_size;
    mapping->memory =
        error == 0 ? hp_sys_mmap(NULL, mapping->size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd) : NULL;
    hp_sys_close(fd);
    *uid = status.st_uid;
    return error == 0 && !mapping->memory ? -ENOMEM : error;
}
