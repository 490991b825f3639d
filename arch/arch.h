/* arch.h - what knows the processor: the one place that asks which it is. README.md says what each file here
 * defines. */
#ifndef HP_ARCH_H
#define HP_ARCH_H

#if defined(__x86_64__)
#include "arch/x86_64.h"
#else
#error "no file in arch/ for this processor"
#endif

#endif
