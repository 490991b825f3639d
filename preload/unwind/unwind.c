/* The walks of the stack. Two of them: the usual one knows a frame by sp and fp alone and takes each step from a cache;
 * the full one keeps all registers, and starts over where the usual one meets a frame that needs them.
 */
#include "unwind/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "unwind/cfi.h"
#include "unwind/modules.h"
#include "unwind/stack.h"
#include "unwind/step.h"

static enum hp_engine engine;
static int (*libunwind_backtrace)(void **, int);

struct walk {
    struct hp_stack_range range;
    uintptr_t pc, sp, fp;
    bool exact; /* pc is where a signal struck, not a return address */
};

#define GUESS_MOST (1ul << 20) /* bytes of stack that a frame without tables may take */

/* Out of a signal handler, into what it interrupted, which may be on another stack. */
static bool leave_signal_frame(struct walk *walk)
{
    uintptr_t pc, sp, fp;
    if (!hp_stack_read(&walk->range, walk->sp + HP_SIGNAL_PC, &pc) ||
        !hp_stack_read(&walk->range, walk->sp + HP_SIGNAL_SP, &sp) ||
        !hp_stack_read(&walk->range, walk->sp + HP_SIGNAL_FP, &fp))
        return false;
    walk->pc = pc;
    walk->sp = sp;
    walk->fp = fp;
    walk->exact = true;
    return hp_stack_find_interrupted(&walk->range, sp);
}

static inline bool take_step(struct walk *walk, const struct hp_step *step)
{
    uintptr_t cfa, pc, fp = walk->fp;
    switch (step->kind) {
    case HP_STEP_SP:
        cfa = walk->sp + (uintptr_t)(intptr_t)step->cfa;
        break;
    case HP_STEP_FP:
        cfa = walk->fp + (uintptr_t)(intptr_t)step->cfa;
        break;
    case HP_STEP_FP_INDIRECT:
        if (!hp_stack_read(&walk->range, walk->fp + (uintptr_t)(intptr_t)step->cfa, &cfa))
            return false;
        break;
    case HP_STEP_SIGNAL:
        return leave_signal_frame(walk);
    case HP_STEP_UNKNOWN:
        if (walk->fp < walk->sp || walk->fp - walk->sp > GUESS_MOST)
            return false;
        cfa = walk->fp - HP_SAVED_FP_AT;
        break;
    default:
        return false;
    }
    if (cfa <= walk->sp || !hp_stack_read(&walk->range, cfa + HP_RETURN_AT, &pc) || !pc)
        return false;
    /* A frame pointer that can't be read may never be needed: gcc's tables are wrong about it in the last instructions
     * of functions that realigned their stack. */
    if (step->fp_kind == HP_FP_AT_CFA && !hp_stack_read(&walk->range, cfa + (uintptr_t)(intptr_t)step->fp, &fp))
        fp = 0;
    if (step->fp_kind == HP_FP_AT_FP && !hp_stack_read(&walk->range, walk->fp + (uintptr_t)(intptr_t)step->fp, &fp))
        fp = 0;
    walk->pc = pc;
    walk->sp = cfa;
    walk->fp = fp;
    walk->exact = false;
    return true;
}

/* All registers, for the few functions whose frame is not relative to sp or fp. */
struct full_walk {
    struct hp_stack_range range;
    uintptr_t registers[HP_REGISTERS];
    bool exact;
    bool signal; /* met one */
};

static bool read_full(void *state, uintptr_t address, uintptr_t *word)
{
    return hp_stack_read(&((struct full_walk *)state)->range, address, word);
}

static bool evaluate_at(struct full_walk *walk, const struct hp_row *row, int32_t value, const uintptr_t *initial,
                        uintptr_t *result)
{
    struct hp_expression expression;
    return hp_cfi_expression(row, value, &expression) &&
           hp_cfi_evaluate(&expression, walk->registers, read_full, walk, initial, result);
}

/* The caller's registers by the row; callee-saved ones that are not mentioned stay. */
static bool apply_row(struct full_walk *walk, const struct hp_row *row)
{
    uintptr_t cfa, old_sp = walk->registers[HP_REG_SP], registers[HP_REGISTERS];
    if (row->cfa.kind == HP_RULE_CFA_REGISTER)
        cfa = walk->registers[row->cfa.reg] + (uintptr_t)(intptr_t)row->cfa.value;
    else if (!evaluate_at(walk, row, row->cfa.value, NULL, &cfa))
        return false;
    memcpy(registers, walk->registers, sizeof registers);
    registers[HP_REG_SP] = cfa;
    for (unsigned i = 0; i < HP_REGISTERS; i++) {
        const struct hp_rule *rule = &row->rules[i];
        uintptr_t value = cfa + (uintptr_t)(intptr_t)rule->value;
        bool good = true;
        switch (rule->kind) {
        case HP_RULE_OFFSET:
            good = hp_stack_read(&walk->range, value, &registers[i]);
            break;
        case HP_RULE_VAL_OFFSET:
            registers[i] = value;
            break;
        case HP_RULE_REGISTER:
            if ((good = rule->value >= 0 && rule->value < HP_REGISTERS))
                registers[i] = walk->registers[rule->value];
            break;
        case HP_RULE_EXPRESSION:
            good =
                evaluate_at(walk, row, rule->value, &cfa, &value) && hp_stack_read(&walk->range, value, &registers[i]);
            break;
        case HP_RULE_VAL_EXPRESSION:
            good = evaluate_at(walk, row, rule->value, &cfa, &registers[i]);
            break;
        default: /* same; undefined: nobody may ask for it */
            break;
        }
        if (!good && i == HP_REG_PC)
            return false;
        if (!good)
            registers[i] = 0; /* as in take_step: it may never be needed */
    }
    memcpy(walk->registers, registers, sizeof registers);
    walk->exact = row->signal_frame;
    walk->signal |= row->signal_frame;
    if (row->signal_frame && !hp_stack_find_interrupted(&walk->range, registers[HP_REG_SP]))
        return false;
    return registers[HP_REG_PC] && (row->signal_frame || registers[HP_REG_SP] > old_sp);
}

static bool step_full(struct full_walk *walk)
{
    struct dl_find_object object;
    struct hp_row row;
    uintptr_t inside = walk->registers[HP_REG_PC] - !walk->exact;
    return hp_find_object(inside, &object) && hp_cfi_row(&object, inside, &row) &&
           row.rules[HP_REG_PC].kind != HP_RULE_UNDEFINED && apply_row(walk, &row);
}

/* Starts here, in our own code, because only from here on all callee-saved registers are known; frames below `start_sp`
 * are ours and left out. */
static __attribute__((noinline)) unsigned walk_fully(uintptr_t start_sp, uint64_t *frames, unsigned most,
                                                     struct hp_met *met)
{
    struct full_walk walk = {.exact = true};
    uintptr_t *r = walk.registers;
    unsigned count = 0;
    hp_registers_now(r);
    hp_stack_find(&walk.range, r[HP_REG_SP]);
    while (step_full(&walk)) {
        if (r[HP_REG_SP] < start_sp && !count)
            continue;
        if (count == most) {
            met->truncated = true;
            break;
        }
        struct hp_step step;
        hp_step_find(r[HP_REG_PC], walk.exact, &step);
        frames[count] = step.frame;
        count += step.frame != 0;
        met->whole = step.kind == HP_STEP_END;
        if (step.kind == HP_STEP_END || step.kind == HP_STEP_UNKNOWN)
            break;
    }
    met->signal |= walk.signal;
    return count;
}

/* As hp_step_find and take_step, for as many frames as are of the most common kinds, are in the cache, and lie in
 * memory that is known to be readable; nine of ten are. A function of its own, so that its variables stay in registers.
 * A caller of 0 ends it; that is found when it is looked for, for it is in no cache. */
static __attribute__((noinline)) unsigned walk_simple(struct walk *walk, uint64_t *frames, unsigned count,
                                                      unsigned most)
{
    uintptr_t pc = walk->pc, sp = walk->sp, fp = walk->fp;
    const uintptr_t high = walk->range.high;
    const uint64_t now = hp_step_key(HP_STEP_SIMPLE);
    for (; count < most; count++) {
        const uint64_t key = pc | now;
        const struct hp_cached_step *slot = hp_step_slot(key);
        __asm__("" : "+r"(slot)); /* else gcc computes the address of each field anew */
        if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) != key)
            break;
        const uint64_t frame = __atomic_load_n(&slot->step.frame, __ATOMIC_RELAXED);
        const intptr_t to_cfa = __atomic_load_n(&slot->step.cfa, __ATOMIC_RELAXED);
        const intptr_t to_fp = __atomic_load_n(&slot->step.fp, __ATOMIC_RELAXED);
        const unsigned simple = __atomic_load_n(&slot->step.simple, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&slot->key, __ATOMIC_RELAXED) != key)
            break;
        const uintptr_t cfa = (simple & HP_SIMPLE_FROM_FP ? fp : sp) + (uintptr_t)to_cfa;
        if (cfa < sp + 16 || cfa > high) /* sp is in the range, and with it all that lies between */
            break;
        pc = ((const uintptr_t *)cfa)[-1];
        const uintptr_t saved = *(const uintptr_t *)(cfa + (uintptr_t)to_fp);
        frames[count] = frame;
        fp = simple & HP_SIMPLE_RESTORES_FP ? saved : fp;
        sp = cfa;
    }
    walk->pc = pc;
    walk->sp = sp;
    walk->fp = fp;
    return count;
}

/* Through code without tables by its frame pointers. That is a guess, so the frames from there on are kept only if they
 * lead to a call in code with tables. */
static unsigned walk_cfi(const void *frame_address, uint64_t *frames, unsigned most, struct hp_met *met)
{
    const uintptr_t *frame = frame_address;
    struct walk walk = {.pc = frame[1], .sp = (uintptr_t)(frame + 2), .fp = frame[0]};
    uintptr_t start_sp = walk.sp;
    unsigned count = 0, sure = 0;
    bool guessed = false, guessing = false;
    hp_stack_find(&walk.range, walk.sp);
    for (;;) {
        struct hp_step step;
        if (!guessing && !walk.exact)
            sure = count = walk_simple(&walk, frames, count, most);
        if (!walk.pc) {
            met->whole = !guessed;
            break;
        }
        hp_step_find(walk.pc, walk.exact, &step);
        met->signal |= step.kind == HP_STEP_SIGNAL;
        if (step.kind == HP_STEP_COMPLEX && !guessed) /* after a guess only sp and fp are known */
            return walk_fully(start_sp, frames, most, met);
        if (guessing && step.kind != HP_STEP_UNKNOWN) {
            if (!hp_follows_call(walk.pc))
                break;
            guessing = false;
        }
        if (count == most) {
            met->truncated = true;
            return count; /* a chain as long as that is no accident */
        }
        frames[count] = step.frame;
        count += step.frame != 0;
        if (!guessing)
            sure = count;
        if (step.kind == HP_STEP_UNKNOWN)
            guessed = guessing = true;
        met->whole = step.kind == HP_STEP_END && !guessed;
        if (!take_step(&walk, &step))
            break;
    }
    return sure;
}

static unsigned walk_frame_pointers(const void *frame_address, uint64_t *frames, unsigned most, struct hp_met *met)
{
    struct hp_stack_range range;
    uintptr_t fp = (uintptr_t)frame_address, next, pc;
    unsigned count = 0;
    hp_stack_find(&range, fp);
    while (hp_stack_read(&range, fp, &next) && hp_stack_read(&range, fp + 8, &pc) && pc) {
        struct hp_step step;
        hp_step_find(pc, false, &step);
        if (count == most) {
            met->truncated = true;
            break;
        }
        if (step.kind == HP_STEP_UNKNOWN && count && !(step.frame >> HP_FRAME_MODULE_SHIFT))
            break; /* fp was no frame pointer there */
        frames[count] = step.frame;
        count += step.frame != 0;
        met->signal |= step.kind == HP_STEP_SIGNAL;
        met->whole = step.kind == HP_STEP_END;
        if (step.kind == HP_STEP_END || next <= fp)
            break;
        fp = next;
    }
    return count;
}

/* Not inlined: the other engines have no 4 KiB of stack to spare. */
static __attribute__((noinline)) unsigned walk_libunwind(const void *frame_address, uint64_t *frames, unsigned most,
                                                         struct hp_met *met)
{
    uintptr_t caller = ((const uintptr_t *)frame_address)[1];
    void *addresses[HP_DEPTH_MAX];
    unsigned count = 0, first = 0;
    int found = libunwind_backtrace(addresses, HP_DEPTH_MAX);
    unsigned all = found > 0 ? (unsigned)found : 0;
    while (first < all && (uintptr_t)addresses[first] != caller)
        first++;
    if (first == all)
        first = 0;
    met->truncated = all == HP_DEPTH_MAX;
    for (unsigned i = first; i < all; i++) {
        struct hp_step step;
        if (count == most) {
            met->truncated = true;
            break;
        }
        hp_step_find((uintptr_t)addresses[i], false, &step);
        frames[count] = step.frame;
        count += step.frame != 0;
        met->signal |= step.kind == HP_STEP_SIGNAL;
        met->whole = step.kind == HP_STEP_END;
    }
    return count;
}

unsigned hp_unwind(const void *frame_address, uint64_t *frames, unsigned most, struct hp_met *met)
{
    *met = (struct hp_met){.truncated = false};
    if (engine == HP_ENGINE_LIBUNWIND)
        return walk_libunwind(frame_address, frames, most, met);
    if (engine == HP_ENGINE_FP)
        return walk_frame_pointers(frame_address, frames, most, met);
    return walk_cfi(frame_address, frames, most, met);
}

int hp_unwind_init(enum hp_engine wanted)
{
    engine = HP_ENGINE_CFI;
    if (wanted == HP_ENGINE_LIBUNWIND) {
        void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
        libunwind_backtrace = library ? (int (*)(void **, int))dlsym(library, "unw_backtrace") : NULL;
        if (!libunwind_backtrace)
            return -ENOENT;
    }
    engine = wanted;
    return 0;
}
