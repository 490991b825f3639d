/* handler.h - the signal that asks for a dump. */
#ifndef HP_PRELOAD_HANDLER_H
#define HP_PRELOAD_HANDLER_H

#include <signal.h>
#include <stdbool.h>

#include "process/library.h"

void hp_library_handler(int number);

/* How the library's handler is installed. */
void hp_library_own_action(struct sigaction *action);

/* Only where nothing is installed: the target's own handler, or its wish to ignore the signal, wins. */
void hp_library_install_handler(int number);

static inline bool hp_library_answers(int number)
{
    return number && number == hp_library.signal;
}

#endif
