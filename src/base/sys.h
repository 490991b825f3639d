/* sys.h - system calls without libc's wrappers.
 *
 * libc's are cancellation points, set errno, and may be interposed by another preloaded library; inside somebody
 * else's program none of that may happen. Each returns what the kernel returns: >= 0, or -errno.
 */
#ifndef HP_BASE_SYS_H
#define HP_BASE_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"

/* Exact; a system call. */
static inline uint64_t hp_clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    hp_syscall(SYS_clock_gettime, clock, (long)&now, 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC as of the last tick, 1 to 10 ms ago; no system call where the vDSO has it (clock.c). It needs no time
 * stamp counter, which a process may have forbidden itself (PR_SET_TSC). */
uint64_t hp_coarse_ns(void);

/* CLOCK_MONOTONIC, exact; no system call where the vDSO has it, but it may need the time stamp counter. */
uint64_t hp_fine_ns(void);

/* From here to hp_signals_restore() no signal handler runs in this thread: none jumps away from there, or forks.
 * False: that can't be had. */
static inline bool hp_signals_block(uint64_t *before)
{
    const uint64_t all = ~0ull;
    return hp_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)before, sizeof all, 0, 0) == 0;
}

static inline void hp_signals_restore(uint64_t before)
{
    hp_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
}

static inline int hp_sys_open(const char *path, int flags, unsigned mode)
{
    return (int)hp_syscall(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, (long)mode, 0, 0);
}

static inline int hp_sys_close(int fd)
{
    return (int)hp_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline long hp_sys_read(int fd, void *data, size_t size)
{
    return hp_syscall(SYS_read, fd, (long)data, (long)size, 0, 0, 0);
}

static inline long hp_sys_pread(int fd, void *data, size_t size, uint64_t offset)
{
    return hp_syscall(SYS_pread64, fd, (long)data, (long)size, (long)offset, 0, 0);
}

static inline long hp_sys_write(int fd, const void *data, size_t size)
{
    return hp_syscall(SYS_write, fd, (long)data, (long)size, 0, 0, 0);
}

/* NULL on failure. */
static inline long hp_sys_pwrite(int fd, const void *data, size_t size, uint64_t offset)
{
    return hp_syscall(SYS_pwrite64, fd, (long)data, (long)size, (long)offset, 0, 0);
}

/* `operation`: as in flock(2). */
static inline int hp_sys_flock(int fd, int operation)
{
    return (int)hp_syscall(SYS_flock, fd, operation, 0, 0, 0, 0);
}

/* A name for what `from` links to, as /proc/self/fd/N does. */
static inline int hp_sys_link(const char *from, const char *to)
{
    return (int)hp_syscall(SYS_linkat, AT_FDCWD, (long)from, AT_FDCWD, (long)to, AT_SYMLINK_FOLLOW, 0);
}

static inline void *hp_sys_mmap(void *address, size_t size, int protection, int flags, int fd)
{
    long result = hp_syscall(SYS_mmap, (long)address, (long)size, protection, flags, fd, 0);
    return result < 0 && result > -4096 ? NULL : (void *)result;
}

/* NULL on failure. */
static inline void *hp_sys_mremap(void *old, size_t old_size, size_t size, int flags)
{
    long result = hp_syscall(SYS_mremap, (long)old, (long)old_size, (long)size, flags, 0, 0);
    return result < 0 && result > -4096 ? NULL : (void *)result;
}

static inline int hp_sys_munmap(void *address, size_t size)
{
#if defined(__SANITIZE_THREAD__)
    /* It does not see system calls: what another thread maps here next would seem to race with what was here. */
    return munmap(address, size) < 0 ? -EINVAL : 0;
#else
    return (int)hp_syscall(SYS_munmap, (long)address, (long)size, 0, 0, 0, 0);
#endif
}

static inline int hp_sys_mprotect(void *address, size_t size, int protection)
{
    return (int)hp_syscall(SYS_mprotect, (long)address, (long)size, protection, 0, 0, 0);
}

static inline int hp_sys_munlock(void *address, size_t size)
{
    return (int)hp_syscall(SYS_munlock, (long)address, (long)size, 0, 0, 0, 0);
}

static inline int hp_sys_madvise(void *address, size_t size, int advice)
{
    return (int)hp_syscall(SYS_madvise, (long)address, (long)size, advice, 0, 0, 0);
}

static inline int hp_sys_ftruncate(int fd, uint64_t size)
{
    return (int)hp_syscall(SYS_ftruncate, fd, (long)size, 0, 0, 0, 0);
}

static inline int hp_sys_fstat(int fd, struct stat *status)
{
    return (int)hp_syscall(SYS_newfstatat, fd, (long)"", (long)status, AT_EMPTY_PATH, 0, 0);
}

static inline int hp_sys_stat(const char *path, struct stat *status)
{
    return (int)hp_syscall(SYS_newfstatat, AT_FDCWD, (long)path, (long)status, 0, 0, 0);
}

static inline int hp_sys_lstat(const char *path, struct stat *status)
{
    return (int)hp_syscall(SYS_newfstatat, AT_FDCWD, (long)path, (long)status, AT_SYMLINK_NOFOLLOW, 0, 0);
}

static inline int hp_sys_statfs(const char *path, struct statfs *status)
{
    return (int)hp_syscall(SYS_statfs, (long)path, (long)status, 0, 0, 0, 0);
}

static inline int hp_sys_mkdir(const char *path, unsigned mode)
{
    return (int)hp_syscall(SYS_mkdirat, AT_FDCWD, (long)path, (long)mode, 0, 0, 0);
}

static inline int hp_sys_unlink(const char *path)
{
    return (int)hp_syscall(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
}

static inline int hp_sys_rename(const char *from, const char *to)
{
    return (int)hp_syscall(SYS_renameat2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0, 0);
}

static inline long hp_sys_readlink(const char *path, char *target, size_t size)
{
    return hp_syscall(SYS_readlinkat, AT_FDCWD, (long)path, (long)target, (long)size, 0, 0);
}

static inline long hp_sys_getcwd(char *path, size_t size)
{
    return hp_syscall(SYS_getcwd, (long)path, (long)size, 0, 0, 0, 0);
}

static inline int hp_sys_getpid(void)
{
    return (int)hp_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

static inline unsigned hp_sys_getuid(void)
{
    return (unsigned)hp_syscall(SYS_geteuid, 0, 0, 0, 0, 0, 0);
}

static inline int hp_sys_getrlimit(int resource, struct rlimit *limit)
{
    return (int)hp_syscall(SYS_prlimit64, 0, resource, 0, (long)limit, 0, 0);
}

static inline int hp_sys_getrusage(int who, struct rusage *usage)
{
    return (int)hp_syscall(SYS_getrusage, who, (long)usage, 0, 0, 0, 0);
}

#endif
