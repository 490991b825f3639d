/* The instructions of unwind tables, which make a row; the records that they are in are found by cfi_records.c,
 * expressions evaluated by cfi_expression.c. */
#include "unwind/cfi.h"

#include "unwind/cfi_records.h"

#define REMEMBERED_MOST 4

struct machine {
    struct hp_row *row;
    struct hp_row initial; /* after the CIE's instructions, for DW_CFA_restore */
    struct hp_row remembered[REMEMBERED_MOST];
    unsigned depth;
    uintptr_t location, pc;
    const struct hp_common *common;
};

static void set_rule(struct machine *machine, uint64_t reg, enum hp_rule_kind kind, int64_t value)
{
    if (reg < HP_REGISTERS)
        machine->row->rules[reg] = (struct hp_rule){.kind = (uint8_t)kind, .value = (int32_t)value};
}

static void set_expression(struct machine *machine, struct hp_cursor *cursor, struct hp_rule *rule,
                           enum hp_rule_kind kind)
{
    struct hp_rule unused;
    if (!rule)
        rule = &unused;
    *rule = (struct hp_rule){.kind = (uint8_t)kind, .value = (int32_t)(cursor->at - machine->row->record)};
    hp_skip(cursor, hp_read_uleb(cursor));
}

static struct hp_rule *rule_of(struct machine *machine, uint64_t reg)
{
    return reg < HP_REGISTERS ? &machine->row->rules[reg] : NULL;
}

static bool set_cfa(struct machine *machine, uint64_t reg, int64_t offset)
{
    if (reg >= HP_REGISTERS)
        return false;
    machine->row->cfa = (struct hp_rule){.kind = HP_RULE_CFA_REGISTER, .reg = (uint8_t)reg, .value = (int32_t)offset};
    return true;
}

static bool remember(struct machine *machine)
{
    if (machine->depth == REMEMBERED_MOST)
        return false;
    machine->remembered[machine->depth++] = *machine->row;
    return true;
}

static bool recall(struct machine *machine)
{
    if (!machine->depth)
        return false;
    *machine->row = machine->remembered[--machine->depth];
    return true;
}

/* Instructions with the low six bits as their whole code (DWARF 5, table 7.29). */
static bool execute_extended(struct machine *machine, struct hp_cursor *cursor, uint8_t code)
{
    int64_t align = machine->common->data_align;
    uint64_t reg;
    switch (code) {
    case 0x00: /* nop */
        return true;
    case 0x01: /* set_loc */
        machine->location = hp_read_encoded(cursor, machine->common->pointer_encoding);
        return true;
    case 0x02: /* advance_loc1 */
        machine->location += hp_read_fixed(cursor, 1) * machine->common->code_align;
        return true;
    case 0x03:
        machine->location += hp_read_fixed(cursor, 2) * machine->common->code_align;
        return true;
    case 0x04:
        machine->location += hp_read_fixed(cursor, 4) * machine->common->code_align;
        return true;
    case 0x05: /* offset_extended */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, (int64_t)hp_read_uleb(cursor) * align);
        return true;
    case 0x06: /* restore_extended */
        reg = hp_read_uleb(cursor);
        if (reg < HP_REGISTERS)
            machine->row->rules[reg] = machine->initial.rules[reg];
        return true;
    case 0x07: /* undefined */
        set_rule(machine, hp_read_uleb(cursor), HP_RULE_UNDEFINED, 0);
        return true;
    case 0x08: /* same_value */
        set_rule(machine, hp_read_uleb(cursor), HP_RULE_SAME, 0);
        return true;
    case 0x09: /* register */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_REGISTER, (int64_t)hp_read_uleb(cursor));
        return true;
    case 0x0a:
        return remember(machine);
    case 0x0b:
        return recall(machine);
    case 0x0c: /* def_cfa */
        reg = hp_read_uleb(cursor);
        return set_cfa(machine, reg, (int64_t)hp_read_uleb(cursor));
    case 0x0d: /* def_cfa_register */
        return set_cfa(machine, hp_read_uleb(cursor), machine->row->cfa.value);
    case 0x0e: /* def_cfa_offset */
        machine->row->cfa.value = (int32_t)hp_read_uleb(cursor);
        return true;
    case 0x0f: /* def_cfa_expression */
        set_expression(machine, cursor, &machine->row->cfa, HP_RULE_VAL_EXPRESSION);
        return true;
    case 0x10: /* expression */
        reg = hp_read_uleb(cursor);
        set_expression(machine, cursor, rule_of(machine, reg), HP_RULE_EXPRESSION);
        return true;
    case 0x11: /* offset_extended_sf */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, hp_read_sleb(cursor) * align);
        return true;
    case 0x12: /* def_cfa_sf */
        reg = hp_read_uleb(cursor);
        return set_cfa(machine, reg, hp_read_sleb(cursor) * align);
    case 0x13: /* def_cfa_offset_sf */
        machine->row->cfa.value = (int32_t)(hp_read_sleb(cursor) * align);
        return true;
    case 0x14: /* val_offset */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_VAL_OFFSET, (int64_t)hp_read_uleb(cursor) * align);
        return true;
    case 0x15: /* val_offset_sf */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_VAL_OFFSET, hp_read_sleb(cursor) * align);
        return true;
    case 0x16: /* val_expression */
        reg = hp_read_uleb(cursor);
        set_expression(machine, cursor, rule_of(machine, reg), HP_RULE_VAL_EXPRESSION);
        return true;
    case 0x2e: /* GNU_args_size */
        hp_read_uleb(cursor);
        return true;
    case 0x2f: /* GNU_negative_offset_extended */
        reg = hp_read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, -(int64_t)hp_read_uleb(cursor) * align);
        return true;
    default:
        return false;
    }
}

static bool execute(struct machine *machine, struct hp_cursor cursor)
{
    while (cursor.at < cursor.end && machine->location <= machine->pc) {
        uint8_t code = hp_read_byte(&cursor), low = code & 0x3f;
        switch (code >> 6) {
        case 1: /* advance_loc */
            machine->location += low * machine->common->code_align;
            break;
        case 2: /* offset */
            set_rule(machine, low, HP_RULE_OFFSET, (int64_t)hp_read_uleb(&cursor) * machine->common->data_align);
            break;
        case 3: /* restore */
            if (low < HP_REGISTERS)
                machine->row->rules[low] = machine->initial.rules[low];
            break;
        default:
            if (!execute_extended(machine, &cursor, low))
                return false;
        }
        if (cursor.bad)
            return false;
    }
    return true;
}

bool hp_cfi_row(const struct dl_find_object *object, uintptr_t pc, struct hp_row *row)
{
    struct hp_function function;
    if (!hp_cfi_find(object, pc, &function))
        return false;
    struct machine machine; /* field by field: rows that nothing was remembered in need no zeroes */
    machine.row = row;
    machine.depth = 0;
    machine.pc = pc;
    machine.common = &function.common;
    *row = (struct hp_row){
        .record = function.record, .limit = object->dlfo_map_end, .signal_frame = function.common.signal_frame};
    machine.initial = *row;
    machine.location = 0; /* the CIE's instructions apply everywhere */
    if (!execute(&machine, function.common.instructions))
        return false;
    machine.initial = *row;
    machine.location = function.start;
    return execute(&machine, function.instructions);
}

bool hp_cfi_expression(const struct hp_row *row, int32_t value, struct hp_expression *expression)
{
    struct hp_cursor cursor = {.at = row->record + value, .end = row->limit};
    uint64_t size = hp_read_uleb(&cursor);
    expression->start = cursor.at;
    hp_skip(&cursor, size);
    expression->end = cursor.at;
    return !cursor.bad;
}
