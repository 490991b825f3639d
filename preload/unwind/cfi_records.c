/* Finding the record of an address: by the search table of .eh_frame_hdr, or, where an object has none, by looking for
 * its records. */
#include "unwind/cfi_records.h"

#include <elf.h>
#include <link.h>

#include "arch/arch.h"

/* The table of .eh_frame_hdr: pairs of (first address, address of the FDE), sorted, relative to the header. All linkers
 * write it in this one encoding. */
static const uint8_t *find_fde(const uint8_t *header, const uint8_t *end, uintptr_t pc)
{
    struct hp_cursor cursor = {.at = header, .end = end};
    uint8_t version = hp_read_byte(&cursor), frame_encoding = hp_read_byte(&cursor);
    uint8_t count_encoding = hp_read_byte(&cursor), table_encoding = hp_read_byte(&cursor);
    if (version != 1 || count_encoding == HP_PE_OMIT || table_encoding != (HP_PE_DATAREL | HP_PE_SDATA4))
        return NULL;
    hp_read_encoded(&cursor, frame_encoding);
    uint64_t count = hp_read_encoded(&cursor, count_encoding);
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

/* The length field of a record: its end, or NULL. */
static const uint8_t *record_end(struct hp_cursor *cursor)
{
    uint64_t length = hp_read_fixed(cursor, 4);
    if (length == 0xffffffff)
        length = hp_read_fixed(cursor, 8);
    if (cursor->bad || !length || length > (uint64_t)(cursor->end - cursor->at))
        return NULL;
    return cursor->at + length;
}

static bool read_common(const uint8_t *cie, const uint8_t *end, struct hp_common *common)
{
    struct hp_cursor cursor = {.at = cie, .end = end};
    const uint8_t *cie_end = record_end(&cursor);
    if (!cie_end)
        return false;
    cursor.end = cie_end;
    if (hp_read_fixed(&cursor, 4) != 0)
        return false;
    uint8_t version = hp_read_byte(&cursor);
    const char *augmentation = (const char *)cursor.at;
    while (hp_read_byte(&cursor) && !cursor.bad)
        ;
    if (cursor.bad || (version != 1 && version != 3))
        return false;
    *common = (struct hp_common){.pointer_encoding = HP_PE_ABSPTR};
    common->code_align = hp_read_uleb(&cursor);
    common->data_align = hp_read_sleb(&cursor);
    common->return_register = version == 1 ? hp_read_byte(&cursor) : hp_read_uleb(&cursor);
    if (augmentation[0] == 'z') {
        uint64_t size = hp_read_uleb(&cursor);
        struct hp_cursor after = cursor;
        hp_skip(&after, size);
        common->augmented = true;
        for (const char *p = augmentation + 1; *p; p++) {
            if (*p == 'R')
                common->pointer_encoding = hp_read_byte(&cursor);
            else if (*p == 'L')
                hp_read_byte(&cursor);
            else if (*p == 'P')
                hp_read_encoded(&cursor, hp_read_byte(&cursor));
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

/* Of an FDE whose CIE is `common`: does it cover pc? */
static bool covers(struct hp_cursor cursor, const struct hp_common *common, uintptr_t pc)
{
    uintptr_t start = hp_read_encoded(&cursor, common->pointer_encoding);
    uintptr_t size = hp_read_encoded(&cursor, common->pointer_encoding & 0x0f);
    return !cursor.bad && pc - start < size;
}

/* The FDE that covers pc, in a table of records that begins at `table` with a CIE; NULL: none. *is_table: there were
 * records of both kinds. */
static const uint8_t *search_records(const uint8_t *table, const uint8_t *limit, uintptr_t pc, bool *is_table)
{
    struct hp_common common;
    const uint8_t *known = NULL; /* the CIE in `common` */
    *is_table = false;
    for (const uint8_t *record = table; record < limit;) {
        struct hp_cursor cursor = {.at = record, .end = limit};
        const uint8_t *end = record_end(&cursor);
        if (!end)
            return NULL; /* the terminator, or no record */
        cursor.end = end;
        const uint8_t *place = cursor.at;
        uint64_t back = hp_read_fixed(&cursor, 4);
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

/* Where the tables of objects begin that have no .eh_frame_hdr (linked with --no-eh-frame-hdr). By the object's start;
 * what does not look like a table any more is looked for again. */
static struct {
    uintptr_t object;
    const uint8_t *table;
} bare_tables[16];

/* Without a header to tell where .eh_frame is, its first CIE is looked for in the read-only segments: version,
 * augmentation and return register say what it is. Slow, but steps are remembered (step.h). */
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

bool hp_cfi_find(const struct dl_find_object *object, uintptr_t pc, struct hp_function *function)
{
    const uint8_t *limit = object->dlfo_map_end, *header = object->dlfo_eh_frame;
    if (header >= limit)
        return false;
    const uint8_t *fde = header ? find_fde(header, limit, pc) : find_bare_fde(object, pc);
    if (!fde || fde < (const uint8_t *)object->dlfo_map_start || fde >= limit)
        return false;
    struct hp_cursor cursor = {.at = fde, .end = limit};
    const uint8_t *end = record_end(&cursor);
    if (!end)
        return false;
    cursor.end = end;
    const uint8_t *cie = cursor.at;
    uint64_t back = hp_read_fixed(&cursor, 4);
    if (!back || back > (uint64_t)(cie - (const uint8_t *)object->dlfo_map_start))
        return false;
    cie -= back;
    if (!read_common(cie, limit, &function->common))
        return false;
    function->start = hp_read_encoded(&cursor, function->common.pointer_encoding);
    uintptr_t size = hp_read_encoded(&cursor, function->common.pointer_encoding & 0x0f);
    if (function->common.augmented)
        hp_skip(&cursor, hp_read_uleb(&cursor));
    if (cursor.bad || pc - function->start >= size)
        return false;
    function->record = fde;
    function->instructions = cursor;
    return true;
}
