/* cfi_records.h - the records of .eh_frame: a common one (CIE) for many functions, and one for each function (FDE). */
#ifndef HP_PRELOAD_CFI_RECORDS_H
#define HP_PRELOAD_CFI_RECORDS_H

#include <dlfcn.h>

#include "unwind/cfi_cursor.h"

/* A CIE. */
struct hp_common {
    struct hp_cursor instructions;
    uint64_t code_align;
    int64_t data_align;
    uint64_t return_register;
    uint8_t pointer_encoding;
    bool augmented, signal_frame;
};

/* The FDE of an address. */
struct hp_function {
    struct hp_common common;
    struct hp_cursor instructions;
    const uint8_t *record;
    uintptr_t start; /* of the function */
};

/* False: there is none, or it can't be read. */
bool hp_cfi_find(const struct dl_find_object *object, uintptr_t pc, struct hp_function *function);

#endif
