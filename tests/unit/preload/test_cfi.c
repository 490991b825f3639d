/* Rows of the unwind table of functions written here in assembler, and the evaluator of expressions, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unwind/cfi.h"
#include "unwind/modules.h"

void plain_function(void);
void framed_function(void);
void saved_function(void);
void remembered_function(void);
void odd_function(void);
void bare_function(void);

__asm__(".text\n"
        "plain_function: .cfi_startproc\n nop\n subq $24, %rsp\n .cfi_adjust_cfa_offset 24\n nop\n"
        " addq $24, %rsp\n .cfi_adjust_cfa_offset -24\n ret\n .cfi_endproc\n"
        "framed_function: .cfi_startproc\n pushq %rbp\n .cfi_def_cfa_offset 16\n .cfi_offset %rbp, -16\n"
        " movq %rsp, %rbp\n .cfi_def_cfa_register %rbp\n nop\n popq %rbp\n .cfi_def_cfa %rsp, 8\n ret\n .cfi_endproc\n"
        "saved_function: .cfi_startproc\n .cfi_offset %rbx, -24\n .cfi_offset %r15, -32\n .cfi_same_value %r12\n"
        " .cfi_register %r13, %rax\n .cfi_undefined %rip\n"
        " .cfi_escape 0x14, 14, 5\n nop\n"
        " .cfi_restore %rbx\n nop\n .cfi_endproc\n"
        "remembered_function: .cfi_startproc\n nop\n .cfi_remember_state\n .cfi_def_cfa_offset 64\n nop\n"
        " .cfi_remember_state\n .cfi_def_cfa_offset 128\n nop\n .cfi_restore_state\n nop\n .cfi_restore_state\n nop\n"
        " .skip 70000, 0x90\n .cfi_def_cfa_offset 256\n nop\n .cfi_endproc\n"
        "odd_function: .cfi_startproc\n .cfi_signal_frame\n .cfi_escape 0x0f, 3, 0x77, 0x80, 0x01\n" /* breg7 128 */
        " .cfi_escape 0x10, 6, 2, 0x76, 0\n nop\n .cfi_endproc\n"
        "bare_function: nop\n ret\n");

static struct hp_row row_at(void (*function)(void), unsigned offset)
{
    struct dl_find_object object;
    struct hp_row row;
    uintptr_t pc = (uintptr_t)function + offset;
    assert_true(hp_find_object(pc, &object));
    assert_true(hp_cfi_row(&object, pc, &row));
    assert_true(row.signal_frame || row.rules[HP_REG_RIP].kind == HP_RULE_UNDEFINED ||
                (row.rules[HP_REG_RIP].kind == HP_RULE_OFFSET && row.rules[HP_REG_RIP].value == -8));
    return row;
}

static void assert_cfa(void (*function)(void), unsigned offset, unsigned reg, int value)
{
    struct hp_row row = row_at(function, offset);
    assert_int_equal(row.cfa.kind, HP_RULE_CFA_REGISTER);
    assert_int_equal(row.cfa.reg, reg);
    assert_int_equal(row.cfa.value, value);
}

static void follows_the_stack_pointer(void **state)
{
    assert_cfa(plain_function, 0, HP_REG_RSP, 8);
    assert_cfa(plain_function, 1, HP_REG_RSP, 8);
    assert_cfa(plain_function, 4, HP_REG_RSP, 8); /* still inside the subq */
    assert_cfa(plain_function, 5, HP_REG_RSP, 32);
    assert_cfa(plain_function, 6, HP_REG_RSP, 32);
    assert_cfa(plain_function, 10, HP_REG_RSP, 8);
}

static void follows_the_frame_pointer(void **state)
{
    assert_cfa(framed_function, 0, HP_REG_RSP, 8);
    assert_int_equal(row_at(framed_function, 0).rules[HP_REG_RBP].kind, HP_RULE_SAME);
    assert_cfa(framed_function, 1, HP_REG_RSP, 16);
    assert_int_equal(row_at(framed_function, 1).rules[HP_REG_RBP].kind, HP_RULE_OFFSET);
    assert_int_equal(row_at(framed_function, 1).rules[HP_REG_RBP].value, -16);
    assert_cfa(framed_function, 4, HP_REG_RBP, 16);
    assert_cfa(framed_function, 6, HP_REG_RSP, 8);
}

static void reads_rules_of_registers(void **state)
{
    static const struct {
        unsigned reg, kind;
        int value;
    } cases[] = {{3, HP_RULE_OFFSET, -24},  {15, HP_RULE_OFFSET, -32},     {12, HP_RULE_SAME, 0},
                 {13, HP_RULE_REGISTER, 0}, {14, HP_RULE_VAL_OFFSET, -40}, {16, HP_RULE_UNDEFINED, 0}};
    struct hp_row row = row_at(saved_function, 0);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(row.rules[cases[i].reg].kind, cases[i].kind);
        assert_int_equal(row.rules[cases[i].reg].value, cases[i].value);
    }
    assert_int_equal(row_at(saved_function, 1).rules[3].kind, HP_RULE_SAME);
}

static void remembers_states(void **state)
{
    static const int offsets[] = {8, 64, 128, 64, 8};
    for (unsigned i = 0; i < 5; i++)
        assert_cfa(remembered_function, i, HP_REG_RSP, offsets[i]);
    assert_cfa(remembered_function, 70004, HP_REG_RSP, 8);
    assert_cfa(remembered_function, 70005, HP_REG_RSP, 256);
}

static bool read_here(void *state, uintptr_t address, uintptr_t *word)
{
    *word = *(const uintptr_t *)address;
    return true;
}

static void reads_expressions(void **state)
{
    struct hp_row row = row_at(odd_function, 0);
    struct hp_expression expression;
    uintptr_t registers[HP_REGISTERS] = {[HP_REG_RSP] = 1000, [HP_REG_RBP] = 77}, result;
    assert_true(row.signal_frame);
    assert_int_equal(row.cfa.kind, HP_RULE_VAL_EXPRESSION);
    assert_true(hp_cfi_expression(&row, row.cfa.value, &expression));
    assert_true(hp_cfi_evaluate(&expression, registers, read_here, NULL, NULL, &result));
    assert_int_equal(result, 1128);
    assert_int_equal(row.rules[HP_REG_RBP].kind, HP_RULE_EXPRESSION);
    assert_true(hp_cfi_expression(&row, row.rules[HP_REG_RBP].value, &expression));
    assert_true(hp_cfi_evaluate(&expression, registers, read_here, NULL, NULL, &result));
    assert_int_equal(result, 77);
}

static void finds_nothing_where_there_is_nothing(void **state)
{
    struct dl_find_object object;
    struct hp_row row;
    assert_false(hp_find_object((uintptr_t)&row, &object));
    assert_true(hp_find_object((uintptr_t)bare_function, &object));
    assert_false(hp_cfi_row(&object, (uintptr_t)bare_function, &row));
    assert_false(hp_cfi_row(&object, (uintptr_t)object.dlfo_map_start, &row));
    assert_false(hp_cfi_row(&object, (uintptr_t)object.dlfo_map_end, &row));
}

/* As after linking with --no-eh-frame-hdr: the records are found by what they look like. */
static void finds_records_without_a_header(void **state)
{
    struct dl_find_object object;
    struct hp_row with, without;
    assert_true(hp_find_object((uintptr_t)plain_function, &object));
    assert_true(hp_cfi_row(&object, (uintptr_t)plain_function, &with));
    object.dlfo_eh_frame = NULL;
    for (unsigned round = 0; round < 2; round++) { /* found, then remembered */
        assert_true(hp_cfi_row(&object, (uintptr_t)plain_function, &without));
        assert_ptr_equal(without.record, with.record);
        assert_memory_equal(&without.cfa, &with.cfa, sizeof with.cfa);
        assert_memory_equal(without.rules, with.rules, sizeof with.rules);
    }
    assert_false(hp_cfi_row(&object, (uintptr_t)bare_function, &without));
    assert_false(hp_cfi_row(&object, (uintptr_t)object.dlfo_map_end, &without));
}

/* What the system's own libraries say must be readable everywhere. */
static void reads_all_of_libc(void **state)
{
    struct dl_find_object object;
    unsigned rows = 0;
    assert_true(hp_find_object((uintptr_t)qsort, &object));
    for (uintptr_t pc = (uintptr_t)qsort - 100000; pc < (uintptr_t)qsort + 300000; pc += 3) {
        struct hp_row row;
        if (!hp_cfi_row(&object, pc, &row))
            continue;
        rows++;
        assert_true(row.cfa.kind == HP_RULE_CFA_REGISTER || row.cfa.kind == HP_RULE_VAL_EXPRESSION);
    }
    assert_true(rows > 100000);
}

/* A copy of an object's tables, damaged: no read beyond it (under valgrind or AddressSanitizer), and no endless loop.
 * */
static void survives_damaged_tables(void **state)
{
    struct dl_find_object object;
    assert_true(hp_find_object((uintptr_t)plain_function, &object));
    size_t size = (size_t)((char *)object.dlfo_map_end - (char *)object.dlfo_map_start);
    size_t table = (size_t)((char *)object.dlfo_eh_frame - (char *)object.dlfo_map_start);
    size_t end = size - table < 8192 ? size : table + 8192; /* the tables, and what comes after them */
    unsigned char *copy = malloc(end);
    uint64_t seed = 99;
    struct dl_find_object damaged = object;
    damaged.dlfo_map_start = copy;
    damaged.dlfo_map_end = copy + end;
    damaged.dlfo_eh_frame = copy + table;
    uintptr_t pc = (uintptr_t)copy + ((uintptr_t)plain_function - (uintptr_t)object.dlfo_map_start);
    memcpy(copy + table, (char *)object.dlfo_map_start + table, end - table);
    memset(copy, 0, table);
    struct hp_row row;
    assert_true(hp_cfi_row(&damaged, pc + 5, &row)); /* positions are relative */
    assert_int_equal(row.cfa.value, 32);
    for (unsigned round = 0; round < 50000; round++) {
        memcpy(copy + table, (char *)object.dlfo_map_start + table, end - table);
        for (unsigned i = 0; i < 1 + round % 50; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            copy[table + (seed >> 33) % (end - table)] = (unsigned char)(seed >> 24);
        }
        for (unsigned offset = 0; offset < 200; offset += 40)
            hp_cfi_row(&damaged, pc + offset, &row);
    }
    free(copy);
}

struct evaluation {
    const char *code;
    size_t size;
    bool good;
    uint64_t result;
};

static uintptr_t memory[4] = {111, 222, 333, 444};

static bool read_memory(void *state, uintptr_t address, uintptr_t *word)
{
    if (address < 0x1000 || address >= 0x1020 || address % 8)
        return false;
    *word = memory[(address - 0x1000) / 8];
    return true;
}

#define CODE(text) text, sizeof text - 1

static void evaluates_expressions(void **state)
{
    static const struct evaluation cases[] = {
        {CODE("\x30"), true, 0},                                    /* lit0 */
        {CODE("\x4f"), true, 31},                                   /* lit31 */
        {CODE("\x03\1\2\3\4\5\6\7\x08"), true, 0x0807060504030201}, /* addr */
        {CODE("\x08\xff"), true, 255},                              /* const1u */
        {CODE("\x09\xff"), true, UINT64_MAX},                       /* const1s */
        {CODE("\x0a\xff\xff"), true, 65535},
        {CODE("\x0b\xfe\xff"), true, UINT64_MAX - 1},
        {CODE("\x0c\xff\xff\xff\xff"), true, UINT32_MAX},
        {CODE("\x0d\xff\xff\xff\xff"), true, UINT64_MAX},
        {CODE("\x0e\1\0\0\0\0\0\0\x80"), true, 0x8000000000000001},
        {CODE("\x10\x80\x01"), true, 128},    /* constu */
        {CODE("\x11\x7f"), true, UINT64_MAX}, /* consts */
        {CODE("\x11\x80\x7f"), true, (uint64_t)-128},
        {CODE("\x77\x08"), true, 0x1008},     /* breg7 8 */
        {CODE("\x77\x78"), true, 0xff8},      /* breg7 -8 */
        {CODE("\x92\x07\x10"), true, 0x1010}, /* bregx */
        {CODE("\x77\x08\x06"), true, 222},    /* deref */
        {CODE("\x31\x32\x13"), true, 1},      /* drop */
        {CODE("\x35\x12\x22"), true, 10},     /* dup, plus */
        {CODE("\x31\x32\x14"), true, 1},      /* over */
        {CODE("\x31\x32\x14\x22"), true, 3},
        {CODE("\x31\x35\x16\x1c"), true, 4},                  /* swap, minus */
        {CODE("\x11\x7d\x19"), true, 3},                      /* abs */
        {CODE("\x33\x1f"), true, (uint64_t)-3},               /* neg */
        {CODE("\x30\x20"), true, UINT64_MAX},                 /* not */
        {CODE("\x3c\x3a\x1a"), true, 8},                      /* and */
        {CODE("\x3c\x3a\x21"), true, 14},                     /* or */
        {CODE("\x3c\x3a\x27"), true, 6},                      /* xor */
        {CODE("\x36\x37\x1e"), true, 42},                     /* mul */
        {CODE("\x31\x23\x80\x02"), true, 257},                /* plus_uconst */
        {CODE("\x31\x34\x24"), true, 16},                     /* shl */
        {CODE("\x31\x08\x40\x24"), true, 0},                  /* shl 64 */
        {CODE("\x11\x70\x32\x25"), true, UINT64_MAX / 4 - 3}, /* shr */
        {CODE("\x11\x70\x32\x26"), true, (uint64_t)-4},       /* shra */
        {CODE("\x11\x70\x08\xff\x26"), true, UINT64_MAX},
        {CODE("\x33\x33\x29"), true, 1},     /* eq */
        {CODE("\x33\x11\x7f\x2a"), true, 1}, /* ge, signed */
        {CODE("\x33\x11\x7f\x2b"), true, 1},
        {CODE("\x33\x11\x7f\x2c"), true, 0},
        {CODE("\x33\x11\x7f\x2d"), true, 0},
        {CODE("\x33\x11\x7f\x2e"), true, 1},
        {CODE("\x31\x28\x01\0\x32\x33"), true, 3},                            /* bra over lit2 */
        {CODE("\x34\x30\x28\x01\0\x32"), true, 2},                            /* not taken */
        {CODE("\x34\x2f\x01\0\x32"), true, 4},                                /* skip */
        {CODE("\x96\x31\x96"), true, 1},                                      /* nop */
        {CODE("\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"), true, 0x1010}, /* a PLT's, at ...0f */
        {CODE(""), false, 0},
        {CODE("\x06"), false, 0},     /* deref of nothing */
        {CODE("\x30\x06"), false, 0}, /* of what can't be read */
        {CODE("\x22"), false, 0},     /* plus of nothing */
        {CODE("\x31\x22"), false, 0},
        {CODE("\x13"), false, 0},
        {CODE("\x31\x13"), false, 0}, /* nothing left */
        {CODE("\x03\1\2"), false, 0}, /* cut off */
        {CODE("\x10\x80"), false, 0},
        {CODE("\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), false, 0},
        {CODE("\x2f\xfd\xff"), false, 0}, /* skip to itself, for ever */
        {CODE("\x2f\x00\x80"), false, 0}, /* skip to before the start */
        {CODE("\x2f\x70\x00"), false, 0}, /* and beyond the end */
        {CODE("\x28\x00"), false, 0},
        {CODE("\x8f\x00"), false, 0}, /* breg31: no such register here */
        {CODE("\x92\x20\x00"), false, 0},
        {CODE("\x31\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12\x12"), false, 0}, /* too deep */
        {CODE("\x1b"), false, 0}, /* div, which nobody writes */
        {CODE("\xff"), false, 0},
    };
    uintptr_t registers[HP_REGISTERS] = {[HP_REG_RSP] = 0x1000, [HP_REG_RIP] = 0x200f};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uintptr_t result = 0;
        uint8_t *copy = malloc(cases[i].size + 1); /* so that a tool sees reads beyond the end */
        memcpy(copy, cases[i].code, cases[i].size);
        const struct hp_expression expression = {copy, copy + cases[i].size};
        bool good = hp_cfi_evaluate(&expression, registers, read_memory, NULL, NULL, &result);
        if (good != cases[i].good || result != cases[i].result)
            fail_msg("case %u: %d 0x%lx", i, good, (unsigned long)result);
        free(copy);
    }
    static const uint8_t add_five[] = {0x23, 5};
    const struct hp_expression plus = {add_five, add_five + sizeof add_five};
    uintptr_t initial = 100, result;
    assert_true(hp_cfi_evaluate(&plus, registers, read_memory, NULL, &initial, &result));
    assert_int_equal(result, 105);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_stack_pointer),
        cmocka_unit_test(follows_the_frame_pointer),
        cmocka_unit_test(reads_rules_of_registers),
        cmocka_unit_test(remembers_states),
        cmocka_unit_test(reads_expressions),
        cmocka_unit_test(finds_nothing_where_there_is_nothing),
        cmocka_unit_test(finds_records_without_a_header),
        cmocka_unit_test(reads_all_of_libc),
        cmocka_unit_test(survives_damaged_tables),
        cmocka_unit_test(evaluates_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
