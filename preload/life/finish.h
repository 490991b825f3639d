/* finish.h - the end of the process, and of its system calls. */
#ifndef HP_PRELOAD_FINISH_H
#define HP_PRELOAD_FINISH_H

/* What happens when the process ends, from the destructor, _exit, _Exit and quick_exit; does nothing the second
 * time. */
void hp_library_exit(void);

/* The target is about to give up system calls: reserve memory now. */
void hp_library_before_seccomp(void);

#endif
