/* start.h - the library's start: by its constructor, or by the first sampled allocation before that. */
#ifndef HP_PRELOAD_START_H
#define HP_PRELOAD_START_H

#include <stdbool.h>

/* Start if need be; true if the library is ready. False while another thread, or this one, is at it. */
bool hp_library_start(void);

#endif
