/* Reading .eh_frame: pointers, the search table, common and frame entries, and the instructions that make a row. Over 500
 * lines, because it is one format whose parts only make sense together; expressions are in cfi_expression.c.
 */
#include "unwind/cfi.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

/* Pointer encodings (LSB 10.5.1). */
enum {
    PE_ABSPTR = 0x00,
    PE_ULEB128 = 0x01,
    PE_UDATA2,
    PE_UDATA4,
    PE_UDATA8,
    PE_SLEB128 = 0x09,
    PE_SDATA2,
    PE_SDATA4,
    PE_SDATA8,
    PE_PCREL = 0x10,
    PE_DATAREL = 0x30,
    PE_OMIT = 0xff
};

#define REMEMBERED_MOST 4

/* A place to read from; after a read beyond `end` it is at the end, and all further reads give 0. */
struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t read_beyond(struct cursor *cursor)
{
    cursor->at = cursor->end;
    cursor->bad = true;
    return 0;
}

/* Inline, so that `size` is a constant: a program's first samples spend most of their time here. */
static inline __attribute__((always_inline)) uint64_t read_fixed(struct cursor *cursor, unsigned size)
{
    uint64_t value = 0;
    if ((size_t)(cursor->end - cursor->at) < size)
        return read_beyond(cursor);
    memcpy(&value, cursor->at, size);
    cursor->at += size;
    return value;
}

static inline uint8_t read_byte(struct cursor *cursor)
{
    return (uint8_t)read_fixed(cursor, 1);
}

static __attribute__((noinline)) uint64_t read_long_uleb(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = read_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

/* Nearly all are one byte long. */
static inline uint64_t read_uleb(struct cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at < 0x80 ? *cursor->at++ : read_long_uleb(cursor);
}

static int64_t read_sleb(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0;;) {
        uint8_t byte = read_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80)) {
            if (shift < 64 && byte & 0x40)
                value |= ~0ull << shift;
            return (int64_t)value;
        }
    }
}

static uintptr_t read_encoded(struct cursor *cursor, uint8_t encoding)
{
    uintptr_t here = (uintptr_t)cursor->at, value;
    switch (encoding & 0x0f) {
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8:
        value = read_fixed(cursor, 8);
        break;
    case PE_ULEB128:
        value = read_uleb(cursor);
        break;
    case PE_SLEB128:
        value = (uintptr_t)read_sleb(cursor);
        break;
    case PE_UDATA2:
        value = read_fixed(cursor, 2);
        break;
    case PE_SDATA2:
        value = (uintptr_t)(int16_t)read_fixed(cursor, 2);
        break;
    case PE_UDATA4:
        value = read_fixed(cursor, 4);
        break;
    case PE_SDATA4:
        value = (uintptr_t)(int32_t)read_fixed(cursor, 4);
        break;
    default:
        cursor->bad = true;
        return 0;
    }
    return (encoding & 0x70) == PE_PCREL ? value + here : value;
}

static void skip(struct cursor *cursor, uint64_t size)
{
    if (size > (uint64_t)(cursor->end - cursor->at))
        read_beyond(cursor);
    else
        cursor->at += size;
}

/* The table of .eh_frame_hdr: pairs of (first address, address of the FDE), sorted, relative to the header. All linkers
 * write it in this one encoding. */
static const uint8_t *find_fde(const uint8_t *header, const uint8_t *end, uintptr_t pc)
{
    struct cursor cursor = {.at = header, .end = end};
    uint8_t version = read_byte(&cursor), frame_encoding = read_byte(&cursor);
    uint8_t count_encoding = read_byte(&cursor), table_encoding = read_byte(&cursor);
    if (version != 1 || count_encoding == PE_OMIT || table_encoding != (PE_DATAREL | PE_SDATA4))
        return NULL;
    read_encoded(&cursor, frame_encoding);
    uint64_t count = read_encoded(&cursor, count_encoding);
    if (cursor.bad || !count || count > (uint64_t)(end - cursor.at) / 8)
        return NULL;
    const uint8_t *table = cursor.at;
    int64_t wanted = (int64_t)(pc - (uintptr_t)header);
    uint64_t low = 0, high = count; /* entry[low] <= wanted < entry[high] */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        int32_t first;
        memcpy(&first, table + 8 * middle, sizeof first);
        if (first <= wanted)
            low = middle;
        else
            high = middle;
    }
    int32_t entry[2];
    memcpy(entry, table + 8 * low, sizeof entry);
    return entry[0] <= wanted ? header + entry[1] : NULL;
}

struct common {
    struct cursor instructions;
    uint64_t code_align;
    int64_t data_align;
    uint64_t return_register;
    uint8_t pointer_encoding;
    bool augmented, signal_frame;
};

/* The length field of a record: its end, or NULL. */
static const uint8_t *record_end(struct cursor *cursor)
{
    uint64_t length = read_fixed(cursor, 4);
    if (length == 0xffffffff)
        length = read_fixed(cursor, 8);
    if (cursor->bad || !length || length > (uint64_t)(cursor->end - cursor->at))
        return NULL;
    return cursor->at + length;
}

static bool read_common(const uint8_t *cie, const uint8_t *end, struct common *common)
{
    struct cursor cursor = {.at = cie, .end = end};
    const uint8_t *cie_end = record_end(&cursor);
    if (!cie_end)
        return false;
    cursor.end = cie_end;
    if (read_fixed(&cursor, 4) != 0)
        return false;
    uint8_t version = read_byte(&cursor);
    const char *augmentation = (const char *)cursor.at;
    while (read_byte(&cursor) && !cursor.bad)
        ;
    if (cursor.bad || (version != 1 && version != 3))
        return false;
    *common = (struct common){.pointer_encoding = PE_ABSPTR};
    common->code_align = read_uleb(&cursor);
    common->data_align = read_sleb(&cursor);
    common->return_register = version == 1 ? read_byte(&cursor) : read_uleb(&cursor);
    if (augmentation[0] == 'z') {
        uint64_t size = read_uleb(&cursor);
        struct cursor after = cursor;
        skip(&after, size);
        common->augmented = true;
        for (const char *p = augmentation + 1; *p; p++) {
            if (*p == 'R')
                common->pointer_encoding = read_byte(&cursor);
            else if (*p == 'L')
                read_byte(&cursor);
            else if (*p == 'P')
                read_encoded(&cursor, read_byte(&cursor));
            else if (*p == 'S')
                common->signal_frame = true;
            else if (*p != 'B')
                break; /* unknown: its data are skipped with the rest */
        }
        cursor = after;
    } else if (augmentation[0]) {
        return false;
    }
    common->instructions = cursor;
    return !cursor.bad && common->return_register == HP_REG_PC;
}

struct machine {
    struct hp_row *row;
    struct hp_row initial; /* after the CIE's instructions, for DW_CFA_restore */
    struct hp_row remembered[REMEMBERED_MOST];
    unsigned depth;
    uintptr_t location, pc;
    const struct common *common;
};

static void set_rule(struct machine *machine, uint64_t reg, enum hp_rule_kind kind, int64_t value)
{
    if (reg < HP_REGISTERS)
        machine->row->rules[reg] = (struct hp_rule){.kind = (uint8_t)kind, .value = (int32_t)value};
}

static void set_expression(struct machine *machine, struct cursor *cursor, struct hp_rule *rule, enum hp_rule_kind kind)
{
    struct hp_rule unused;
    if (!rule)
        rule = &unused;
    *rule = (struct hp_rule){.kind = (uint8_t)kind, .value = (int32_t)(cursor->at - machine->row->record)};
    skip(cursor, read_uleb(cursor));
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
static bool execute_extended(struct machine *machine, struct cursor *cursor, uint8_t code)
{
    int64_t align = machine->common->data_align;
    uint64_t reg;
    switch (code) {
    case 0x00: /* nop */
        return true;
    case 0x01: /* set_loc */
        machine->location = read_encoded(cursor, machine->common->pointer_encoding);
        return true;
    case 0x02: /* advance_loc1 */
        machine->location += read_fixed(cursor, 1) * machine->common->code_align;
        return true;
    case 0x03:
        machine->location += read_fixed(cursor, 2) * machine->common->code_align;
        return true;
    case 0x04:
        machine->location += read_fixed(cursor, 4) * machine->common->code_align;
        return true;
    case 0x05: /* offset_extended */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, (int64_t)read_uleb(cursor) * align);
        return true;
    case 0x06: /* restore_extended */
        reg = read_uleb(cursor);
        if (reg < HP_REGISTERS)
            machine->row->rules[reg] = machine->initial.rules[reg];
        return true;
    case 0x07: /* undefined */
        set_rule(machine, read_uleb(cursor), HP_RULE_UNDEFINED, 0);
        return true;
    case 0x08: /* same_value */
        set_rule(machine, read_uleb(cursor), HP_RULE_SAME, 0);
        return true;
    case 0x09: /* register */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_REGISTER, (int64_t)read_uleb(cursor));
        return true;
    case 0x0a:
        return remember(machine);
    case 0x0b:
        return recall(machine);
    case 0x0c: /* def_cfa */
        reg = read_uleb(cursor);
        return set_cfa(machine, reg, (int64_t)read_uleb(cursor));
    case 0x0d: /* def_cfa_register */
        return set_cfa(machine, read_uleb(cursor), machine->row->cfa.value);
    case 0x0e: /* def_cfa_offset */
        machine->row->cfa.value = (int32_t)read_uleb(cursor);
        return true;
    case 0x0f: /* def_cfa_expression */
        set_expression(machine, cursor, &machine->row->cfa, HP_RULE_VAL_EXPRESSION);
        return true;
    case 0x10: /* expression */
        reg = read_uleb(cursor);
        set_expression(machine, cursor, rule_of(machine, reg), HP_RULE_EXPRESSION);
        return true;
    case 0x11: /* offset_extended_sf */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, read_sleb(cursor) * align);
        return true;
    case 0x12: /* def_cfa_sf */
        reg = read_uleb(cursor);
        return set_cfa(machine, reg, read_sleb(cursor) * align);
    case 0x13: /* def_cfa_offset_sf */
        machine->row->cfa.value = (int32_t)(read_sleb(cursor) * align);
        return true;
    case 0x14: /* val_offset */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_VAL_OFFSET, (int64_t)read_uleb(cursor) * align);
        return true;
    case 0x15: /* val_offset_sf */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_VAL_OFFSET, read_sleb(cursor) * align);
        return true;
    case 0x16: /* val_expression */
        reg = read_uleb(cursor);
        set_expression(machine, cursor, rule_of(machine, reg), HP_RULE_VAL_EXPRESSION);
        return true;
    case 0x2e: /* GNU_args_size */
        read_uleb(cursor);
        return true;
    case 0x2f: /* GNU_negative_offset_extended */
        reg = read_uleb(cursor);
        set_rule(machine, reg, HP_RULE_OFFSET, -(int64_t)read_uleb(cursor) * align);
        return true;
    default:
        return false;
    }
}

static bool execute(struct machine *machine, struct cursor cursor)
{
    while (cursor.at < cursor.end && machine->location <= machine->pc) {
        uint8_t code = read_byte(&cursor), low = code & 0x3f;
        switch (code >> 6) {
        case 1: /* advance_loc */
            machine->location += low * machine->common->code_align;
            break;
        case 2: /* offset */
            set_rule(machine, low, HP_RULE_OFFSET, (int64_t)read_uleb(&cursor) * machine->common->data_align);
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

/* Of an FDE whose CIE is `common`: does it cover pc? */
static bool covers(struct cursor cursor, const struct common *common, uintptr_t pc)
{
    uintptr_t start = read_encoded(&cursor, common->pointer_encoding);
    uintptr_t size = read_encoded(&cursor, common->pointer_encoding & 0x0f);
    return !cursor.bad && pc - start < size;
}

/* The FDE that covers pc, in a table of records that begins at `table` with a CIE; NULL: none. *is_table: there were
 * records of both kinds. */
static const uint8_t *search_records(const uint8_t *table, const uint8_t *limit, uintptr_t pc, bool *is_table)
{
    struct common common;
    const uint8_t *known = NULL; /* the CIE in `common` */
    *is_table = false;
    for (const uint8_t *record = table; record < limit;) {
        struct cursor cursor = {.at = record, .end = limit};
        const uint8_t *end = record_end(&cursor);
        if (!end)
            return NULL; /* the terminator, or no record */
        cursor.end = end;
        const uint8_t *place = cursor.at;
        uint64_t back = read_fixed(&cursor, 4);
        if (back) {
            if (back > (uint64_t)(place - table))
                return NULL;
            if (place - back != known && !read_common(place - back, limit, &common))
                return NULL;
            known = place - back;
            *is_table = true;
            if (covers(cursor, &common, pc))
                return record;
        } else if (!read_common(record, limit, &common)) {
            return NULL;
        } else {
            known = record;
        }
        record = end;
    }
    return NULL;
}

/* Where the tables of objects begin that have no .eh_frame_hdr (linked with --no-eh-frame-hdr). By the object's start; what
 * does not look like a table any more is looked for again. */
static struct {
    uintptr_t object;
    const uint8_t *table;
} bare_tables[16];

/* Without a header to tell where .eh_frame is, its first CIE is looked for in the read-only segments: version, augmentation
 * and return register say what it is. Slow, but steps are remembered (step.h). */
static const uint8_t *find_bare_fde(const struct dl_find_object *object, uintptr_t pc)
{
    const uint8_t *start = object->dlfo_map_start, *limit = object->dlfo_map_end, *fde;
    const uintptr_t slot = (uintptr_t)start / HP_PAGE % (sizeof bare_tables / sizeof *bare_tables);
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)start;
    bool is_table;
    if (__atomic_load_n(&bare_tables[slot].object, __ATOMIC_ACQUIRE) == (uintptr_t)start) {
        const uint8_t *table = __atomic_load_n(&bare_tables[slot].table, __ATOMIC_RELAXED);
        if (table >= start && table < limit) {
            fde = search_records(table, limit, pc, &is_table);
            if (is_table)
                return fde;
        }
    }
    if ((size_t)(limit - start) < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
        header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phoff > (size_t)(limit - start) ||
        header->e_phnum > ((size_t)(limit - start) - header->e_phoff) / sizeof(ElfW(Phdr)))
        return NULL;
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(start + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
        const uint8_t *from = (const uint8_t *)(object->dlfo_link_map->l_addr + segment->p_vaddr);
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_R) || segment->p_flags & PF_W || from < start ||
            from >= limit || segment->p_filesz > (size_t)(limit - from))
            continue;
        const uint8_t *end = from + segment->p_filesz;
        for (const uint8_t *table = from + (-(uintptr_t)from & 7); table + 16 < end; table += 8) {
            static const uint8_t is_cie[4] = {0, 0, 0, 0};
            if (memcmp(table + 4, is_cie, sizeof is_cie) || table[8] != 1 || table[9] != 'z')
                continue;
            fde = search_records(table, end, pc, &is_table);
            if (!is_table)
                continue;
            __atomic_store_n(&bare_tables[slot].table, table, __ATOMIC_RELAXED);
            __atomic_store_n(&bare_tables[slot].object, (uintptr_t)start, __ATOMIC_RELEASE);
            return fde;
        }
    }
    return NULL;
}

bool hp_cfi_row(const struct dl_find_object *object, uintptr_t pc, struct hp_row *row)
{
    const uint8_t *limit = object->dlfo_map_end, *header = object->dlfo_eh_frame;
    if (header >= limit)
        return false;
    const uint8_t *fde = header ? find_fde(header, limit, pc) : find_bare_fde(object, pc);
    if (!fde || fde < (const uint8_t *)object->dlfo_map_start || fde >= limit)
        return false;
    struct cursor cursor = {.at = fde, .end = limit};
    const uint8_t *end = record_end(&cursor);
    if (!end)
        return false;
    cursor.end = end;
    const uint8_t *cie = cursor.at;
    uint64_t back = read_fixed(&cursor, 4);
    if (!back || back > (uint64_t)(cie - (const uint8_t *)object->dlfo_map_start))
        return false;
    cie -= back;
    struct common common;
    if (!read_common(cie, limit, &common))
        return false;
    uintptr_t start = read_encoded(&cursor, common.pointer_encoding);
    uintptr_t size = read_encoded(&cursor, common.pointer_encoding & 0x0f);
    if (common.augmented)
        skip(&cursor, read_uleb(&cursor));
    if (cursor.bad || pc - start >= size)
        return false;
    struct machine machine; /* field by field: rows that nothing was remembered in need no zeroes */
    machine.row = row;
    machine.depth = 0;
    machine.pc = pc;
    machine.common = &common;
    *row = (struct hp_row){.record = fde, .limit = limit, .signal_frame = common.signal_frame};
    machine.initial = *row;
    machine.location = 0; /* the CIE's instructions apply everywhere */
    if (!execute(&machine, common.instructions))
        return false;
    machine.initial = *row;
    machine.location = start;
    return execute(&machine, cursor);
}

bool hp_cfi_expression(const struct hp_row *row, int32_t value, struct hp_expression *expression)
{
    struct cursor cursor = {.at = row->record + value, .end = row->limit};
    uint64_t size = read_uleb(&cursor);
    expression->start = cursor.at;
    skip(&cursor, size);
    expression->end = cursor.at;
    return !cursor.bad;
}
