/* cfi.h - call frame information: how to get from a code address to the frame of its caller.
 *
 * Reads .eh_frame through the binary search table of .eh_frame_hdr, which glibc's _dl_find_object finds without locks.
 * Formats: DWARF 5, section 6.4, and Linux Standard Base Core 5.0, chapter 10.6 (eh_frame and its header).
 *
 * Async-signal-safe; no locks, system calls or allocation. Reads only memory of the loaded object, each byte checked
 * against its end.
 */
#ifndef HP_PRELOAD_CFI_H
#define HP_PRELOAD_CFI_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#include "arch/arch.h"

enum hp_rule_kind {
    HP_RULE_SAME,       /* unchanged, also when the tables say nothing */
    HP_RULE_UNDEFINED,  /* of the return address: outermost frame */
    HP_RULE_OFFSET,     /* saved at CFA + value */
    HP_RULE_VAL_OFFSET, /* is CFA + value */
    HP_RULE_REGISTER,   /* in register `value` */
    HP_RULE_EXPRESSION, /* saved where the expression at record + value says */
    HP_RULE_VAL_EXPRESSION,
    HP_RULE_CFA_REGISTER, /* of the CFA only: register + value */
};

struct hp_rule {
    uint8_t kind, reg;
    int32_t value;
};

/* The row of the unwind table for one address. */
struct hp_row {
    struct hp_rule cfa;
    struct hp_rule rules[HP_REGISTERS];
    const uint8_t *record; /* base of expressions; a ULEB128 length stands before each */
    const uint8_t *limit;  /* end of readable memory for them */
    bool signal_frame;     /* the interrupted address is exact, not a return address */
};

/* The row that covers `pc` in `object` (from hp_find_object). False if there is none, or it can't be read. */
bool hp_cfi_row(const struct dl_find_object *object, uintptr_t pc, struct hp_row *row);

/* Bytes of a DWARF expression. */
struct hp_expression {
    const uint8_t *start, *end;
};
bool hp_cfi_expression(const struct hp_row *row, int32_t value, struct hp_expression *expression);

/* Evaluate, with `initial` on the stack if `push`. read: reads a word of the stack, false if it must not. */
typedef bool hp_read_word_fn(void *state, uintptr_t address, uintptr_t *word);
bool hp_cfi_evaluate(const struct hp_expression *expression, const uintptr_t registers[HP_REGISTERS],
                     hp_read_word_fn *read, void *state, const uintptr_t *initial, uintptr_t *result);

#endif
