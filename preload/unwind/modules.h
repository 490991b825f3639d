/* modules.h - the loaded objects that samples point into, as the ledger keeps them.
 *
 * A code address becomes a frame, (module, offset), which stays right when the object is unloaded and another one takes
 * its place. The same file (path and build id) keeps its number when it is loaded again, wherever that is.
 * Async-signal-safe: no locks, system calls or allocation outside of the ledger.
 */
#ifndef HP_PRELOAD_MODULES_H
#define HP_PRELOAD_MODULES_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#include "ledger/ledger.h"

/* Where relative names of libraries start from; kept, not copied. */
void hp_modules_init(const struct hp_store *store, const char *directory);

/* The loaded object that `address` lies in, as _dl_find_object says, but with the whole range of its mappings. Of a
 * program that the kernel mapped with gaps between its segments, that function tells one segment only, in which neither
 * the ELF header nor the unwind tables are. False if it lies in none. */
bool hp_find_object(uintptr_t address, struct dl_find_object *object);

/* The frame of `address`, which lies in `object` (from hp_find_object of that address, or of one byte before); NULL:
 * in no object. An absolute frame if the module table is full. */
uint64_t hp_module_frame(uintptr_t address, const struct dl_find_object *object);

/* The address that a frame stands for, where its module was last; the frame itself if it is absolute. */
uintptr_t hp_module_address(uint64_t frame);

/* After an object was unloaded: look at all of them again, by their contents. */
void hp_modules_forget(void);

/* True if the modules that the frames name are still those at their addresses: one is not when it was unloaded and
 * something else was loaded there after the frame was cached. */
bool hp_modules_hold(const uint64_t *frames, size_t depth);

#endif
