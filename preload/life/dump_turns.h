/* dump_turns.h - who is making dumps: whose turn it is when a signal asks for one, and what the end of the process and
 * children of forks have to wait for. Async-signal-safe.
 */
#ifndef HP_PRELOAD_DUMP_TURNS_H
#define HP_PRELOAD_DUMP_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "process/thread.h"

/* Of dumps asked for by signals: any number of requests that come during one dump is served by one more, by whoever is
 * at it. Each dump has its own memory and file, so that a second one at the same time does no harm, if one is started
 * because who was at it seems to be gone: jumped out of the handler, or dead. Of its own thread the owner is always
 * gone, or will be when the request is served: the signal is blocked while it is answered, so that they don't nest
 * without end. (To tell a jump from a nested request by the place on the stack was wrong for each request from deeper
 * down than the jump, and on signal stacks.) */
void hp_dump_ask(void);

/* True: there is a request, and the calling thread has to serve it. False: there is none, or somebody is at it, and
 * will see what was asked. */
bool hp_dump_turn_begin(uint32_t tid);
void hp_dump_turn_end(uint32_t tid);

/* A sign of life from who is at it. */
void hp_dump_beat(void);

/* Every dump that is being made, for a child that a signal handler forks in the middle of one. `mark`: an address in
 * the frame of who makes it (busy.h). Returns a slot for hp_dump_leave. */
unsigned hp_dump_enter(uint32_t tid, uintptr_t mark);
void hp_dump_leave(unsigned slot, uint32_t tid);

/* True if the calling thread is in a signal handler that interrupted a dump; of a thread that has just been forked by
 * one, its parent's. */
bool hp_dump_is_under_way(const struct hp_thread *thread);

/* Around giving a file its name; false: the process ends, and nothing is published any more. */
bool hp_dump_publishing_begin(void);
void hp_dump_publishing_end(void);

/* The process ends: no dump gets its name any more, and those that are at it are waited for, for some ms at most. */
void hp_dump_end(void);

/* In the child of a fork: a dump that another thread of the parent was making goes on there, not here. */
void hp_dump_forked(void);

#endif
