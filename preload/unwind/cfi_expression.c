/* A DWARF expression (DWARF 5, section 2.5) as call frame information uses it: PLT entries, signal frames, and
 * functions that realign their stack. */
#include "unwind/cfi.h"

#include <stddef.h>
#include <string.h>

#define STACK_MOST 16
#define STEPS_MOST 200

struct evaluation {
    const uint8_t *at, *start, *end;
    uintptr_t stack[STACK_MOST];
    unsigned depth;
    const uintptr_t *registers;
    hp_read_word_fn *read;
    void *state;
};

static bool push(struct evaluation *e, uintptr_t value)
{
    if (e->depth == STACK_MOST)
        return false;
    e->stack[e->depth++] = value;
    return true;
}

static bool take_fixed(struct evaluation *e, unsigned size, uint64_t *value)
{
    *value = 0;
    if ((size_t)(e->end - e->at) < size)
        return false;
    memcpy(value, e->at, size);
    e->at += size;
    return true;
}

static bool take_leb(struct evaluation *e, bool is_signed, uint64_t *value)
{
    unsigned shift = 0;
    uint8_t byte;
    *value = 0;
    do {
        if (e->at == e->end || shift > 63)
            return false;
        byte = *e->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (is_signed && shift < 64 && byte & 0x40)
        *value |= ~0ull << shift;
    return true;
}

static bool push_constant(struct evaluation *e, uint8_t op)
{
    uint64_t value;
    switch (op) {
    case 0x03: /* addr */
    case 0x0e: /* const8u */
    case 0x0f:
        return take_fixed(e, 8, &value) && push(e, value);
    case 0x08:
        return take_fixed(e, 1, &value) && push(e, value);
    case 0x09:
        return take_fixed(e, 1, &value) && push(e, (uintptr_t)(int8_t)value);
    case 0x0a:
        return take_fixed(e, 2, &value) && push(e, value);
    case 0x0b:
        return take_fixed(e, 2, &value) && push(e, (uintptr_t)(int16_t)value);
    case 0x0c:
        return take_fixed(e, 4, &value) && push(e, value);
    case 0x0d:
        return take_fixed(e, 4, &value) && push(e, (uintptr_t)(int32_t)value);
    case 0x10: /* constu */
        return take_leb(e, false, &value) && push(e, value);
    default: /* 0x11, consts */
        return take_leb(e, true, &value) && push(e, value);
    }
}

static bool unary(struct evaluation *e, uint8_t op)
{
    uint64_t operand = 0;
    if (!e->depth)
        return false;
    uintptr_t *top = &e->stack[e->depth - 1];
    switch (op) {
    case 0x06: /* deref */
        return e->read(e->state, *top, top);
    case 0x12: /* dup */
        return push(e, *top);
    case 0x13: /* drop */
        e->depth--;
        return true;
    case 0x19: /* abs */
        if ((intptr_t)*top < 0)
            *top = 0 - *top;
        return true;
    case 0x1f: /* neg */
        *top = 0 - *top;
        return true;
    case 0x20: /* not */
        *top = ~*top;
        return true;
    default: /* 0x23, plus_uconst */
        if (!take_leb(e, false, &operand))
            return false;
        *top += operand;
        return true;
    }
}

static bool binary(struct evaluation *e, uint8_t op)
{
    if (e->depth < 2)
        return false;
    uintptr_t b = e->stack[--e->depth], *a = &e->stack[e->depth - 1];
    intptr_t sa = (intptr_t)*a, sb = (intptr_t)b;
    switch (op) {
    case 0x14: /* over */
        e->depth++;
        return push(e, *a);
    case 0x16: /* swap */
        e->stack[e->depth++] = *a;
        *a = b;
        return true;
    case 0x1a:
        *a &= b;
        return true;
    case 0x1c:
        *a -= b;
        return true;
    case 0x1e:
        *a *= b;
        return true;
    case 0x21:
        *a |= b;
        return true;
    case 0x22:
        *a += b;
        return true;
    case 0x24:
        *a = b < 64 ? *a << b : 0;
        return true;
    case 0x25:
        *a = b < 64 ? *a >> b : 0;
        return true;
    case 0x26:
        /* cppcheck-suppress shiftTooManyBitsSigned */ /* arithmetic, as all our compilers do it */
        *a = (uintptr_t)(sa >> (b < 63 ? b : 63));
        return true;
    case 0x27:
        *a ^= b;
        return true;
    case 0x29:
        *a = sa == sb;
        return true;
    case 0x2a:
        *a = sa >= sb;
        return true;
    case 0x2b:
        *a = sa > sb;
        return true;
    case 0x2c:
        *a = sa <= sb;
        return true;
    case 0x2d:
        *a = sa < sb;
        return true;
    default: /* 0x2e, ne */
        *a = sa != sb;
        return true;
    }
}

static bool jump(struct evaluation *e, bool conditional)
{
    uint64_t distance;
    if (!take_fixed(e, 2, &distance) || (conditional && !e->depth))
        return false;
    if (conditional && !e->stack[--e->depth])
        return true;
    ptrdiff_t target = (e->at - e->start) + (int16_t)distance;
    if (target < 0 || target > e->end - e->start)
        return false;
    e->at = e->start + target;
    return true;
}

static bool step(struct evaluation *e)
{
    uint8_t op = *e->at++;
    uint64_t reg, offset;
    if (op >= 0x30 && op <= 0x4f) /* lit0..31 */
        return push(e, op - 0x30u);
    if (op >= 0x70 && op <= 0x8f) { /* breg0..31 */
        return op - 0x70 < HP_REGISTERS && take_leb(e, true, &offset) && push(e, e->registers[op - 0x70] + offset);
    }
    switch (op) {
    case 0x03:
    case 0x08 ... 0x11:
        return push_constant(e, op);
    case 0x06:
    case 0x12:
    case 0x13:
    case 0x19:
    case 0x1f:
    case 0x20:
    case 0x23:
        return unary(e, op);
    case 0x14:
    case 0x16:
    case 0x1a:
    case 0x1c:
    case 0x1e:
    case 0x21:
    case 0x22:
    case 0x24 ... 0x27:
    case 0x29 ... 0x2e:
        return binary(e, op);
    case 0x28: /* bra */
    case 0x2f: /* skip */
        return jump(e, op == 0x28);
    case 0x92: /* bregx */
        return take_leb(e, false, &reg) && reg < HP_REGISTERS && take_leb(e, true, &offset) &&
               push(e, e->registers[reg] + offset);
    case 0x96: /* nop */
        return true;
    default:
        return false;
    }
}

bool hp_cfi_evaluate(const struct hp_expression *expression, const uintptr_t registers[HP_REGISTERS],
                     hp_read_word_fn *read, void *state, const uintptr_t *initial, uintptr_t *result)
{
    struct evaluation e = {.at = expression->start,
                           .start = expression->start,
                           .end = expression->end,
                           .registers = registers,
                           .read = read,
                           .state = state};
    if (initial && !push(&e, *initial))
        return false;
    for (unsigned steps = 0; e.at < e.end; steps++)
        if (steps == STEPS_MOST || !step(&e))
            return false;
    if (!e.depth)
        return false;
    *result = e.stack[e.depth - 1];
    return true;
}
