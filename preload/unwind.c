/* The walks of the stack. Two of them: the usual one knows a frame by rsp and rbp alone and takes each step from a cache;
 * the full one keeps all registers, and starts over where the usual one meets a frame that needs them. They stand in one
 * file, of more than 400 lines, because they share the cache and what a step is, and must agree on every frame.
 */
#include "unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "cfi.h"
#include "modules.h"
#include "stack.h"

/* How to leave the frame of one return address: the common forms of a row, with the expressions gone. */
enum step_kind {
    STEP_UNKNOWN = 0, /* no tables: made at run time, or by hand; most such code keeps frame pointers */
    STEP_END,         /* outermost */
    STEP_SP,          /* CFA = rsp + cfa */
    STEP_FP,          /* CFA = rbp + cfa */
    STEP_FP_INDIRECT, /* CFA = *(rbp + cfa): a function that realigned its stack */
    STEP_SIGNAL,      /* registers in a ucontext at rsp */
    STEP_COMPLEX,     /* needs all registers */
};

enum fp_kind { FP_SAME, FP_AT_CFA, FP_AT_FP };

/* What walk_simple takes: CFA counted from rsp or rbp, rbp kept or saved below the CFA, all aligned. */
enum { SIMPLE = 1, SIMPLE_FROM_FP = 2, SIMPLE_RESTORES_FP = 4 };

struct step {
    uint64_t frame;
    int32_t cfa;
    int16_t fp;
    uint8_t kind : 4, fp_kind : 4;
    uint8_t simple;
};

/* Direct-mapped by return address. key: the address, EXACT when it is no return address, and the generation in which the
 * step was found. A step is written, word by word, only while its key is BUSY, and is always the same for the same key: a
 * reader that finds the key before and after it read the step has the right one. Zero-filled is valid: address 0 is
 * nobody's. */
struct cached {
    uint64_t key;
    uint64_t step[sizeof(struct step) / sizeof(uint64_t)];
} __attribute__((aligned(32))); /* never in two cache lines */

#define CACHE_SIZE 4096u
#define EXACT (1ull << 63)
#define GENERATION_SHIFT 48 /* addresses of user space are smaller */
#define GENERATIONS (1u << 15)
#define BUSY 1ull

static struct cached cache[CACHE_SIZE];
static uint32_t generation; /* objects were unloaded so often */
static enum hp_engine engine;
static int (*libunwind_backtrace)(void **, int);

/* Where a signal frame keeps registers: rt_sigframe of Linux on x86-64 is a ucontext_t at the stack pointer, whose
 * uc_mcontext.gregs start at 40 (arch/x86/include/uapi/asm/sigcontext.h). */
enum { SIGNAL_RBP = 120, SIGNAL_RSP = 160, SIGNAL_RIP = 168 };

struct walk {
    struct hp_stack_range range;
    uintptr_t pc, sp, fp;
    bool exact; /* pc is where a signal struck, not a return address */
};

#define GUESS_MOST (1ul << 20) /* bytes of stack that a frame without tables may take */

static bool equals(const struct hp_expression *expression, const char *bytes, size_t size)
{
    return (size_t)(expression->end - expression->start) == size && !memcmp(expression->start, bytes, size);
}

/* CFA expressions that compilers and linkers write: a PLT's (rsp + 8 + ((rip & 15) >= 11 or so) * 8), which is constant
 * for one address, and *(rbp + offset). */
static bool simplify_cfa(const struct hp_row *row, uintptr_t pc, struct step *step)
{
    struct hp_expression e;
    if (row->cfa.kind == HP_RULE_CFA_REGISTER) {
        step->cfa = row->cfa.value;
        step->kind = row->cfa.reg == HP_REG_RSP ? STEP_SP : row->cfa.reg == HP_REG_RBP ? STEP_FP : STEP_COMPLEX;
        return step->kind != STEP_COMPLEX;
    }
    if (!hp_cfi_expression(row, row->cfa.value, &e))
        return false;
    if (e.end - e.start == 11 && !memcmp(e.start, "\x77\x08\x80\x00\x3f\x1a", 6) && e.start[6] >= 0x30 &&
        e.start[6] <= 0x4f && !memcmp(e.start + 7, "\x2a\x33\x24\x22", 4)) {
        step->kind = STEP_SP;
        step->cfa = 8 + ((pc & 15) >= e.start[6] - 0x30u ? 8 : 0);
        return true;
    }
    if (e.end - e.start == 3 && e.start[0] == 0x76 && !(e.start[1] & 0x80) && e.start[2] == 0x06) {
        step->kind = STEP_FP_INDIRECT;
        step->cfa = e.start[1] & 0x40 ? (int32_t)e.start[1] - 0x80 : e.start[1];
        return true;
    }
    return false;
}

static bool simplify_fp(const struct hp_row *row, struct step *step)
{
    const struct hp_rule *rule = &row->rules[HP_REG_RBP];
    struct hp_expression e;
    switch (rule->kind) {
    case HP_RULE_SAME:
    case HP_RULE_UNDEFINED:
        step->fp_kind = FP_SAME;
        step->fp = -8; /* walk_simple reads there in any case */
        return true;
    case HP_RULE_OFFSET:
        step->fp_kind = FP_AT_CFA;
        step->fp = (int16_t)rule->value;
        return step->fp == rule->value;
    case HP_RULE_EXPRESSION:
        step->fp_kind = FP_AT_FP;
        step->fp = 0;
        return hp_cfi_expression(row, rule->value, &e) && equals(&e, "\x76\x00", 2);
    default:
        return false;
    }
}

static void learn(uintptr_t pc, bool exact, struct step *step)
{
    struct dl_find_object object;
    struct hp_row row;
    uintptr_t inside = exact ? pc : pc - 1;
    *step = (struct step){.kind = STEP_UNKNOWN, .fp_kind = FP_AT_FP};
    if (!hp_find_object(inside, &object)) {
        step->frame = hp_module_frame(pc, NULL);
        return;
    }
    step->frame = hp_module_frame(exact ? pc + 1 : pc, &object); /* readers take one off */
    if (!hp_cfi_row(&object, inside, &row))
        return;
    const struct hp_rule *ra = &row.rules[HP_REG_RIP];
    if (row.signal_frame)
        step->kind = STEP_SIGNAL;
    else if (ra->kind == HP_RULE_UNDEFINED)
        step->kind = STEP_END;
    else if (ra->kind != HP_RULE_OFFSET || ra->value != -8 || !simplify_cfa(&row, inside, step) ||
             !simplify_fp(&row, step))
        step->kind = STEP_COMPLEX;
    if ((step->kind == STEP_SP || step->kind == STEP_FP) && step->fp_kind != FP_AT_FP && step->fp % 8 == 0)
        step->simple = (uint8_t)(SIMPLE | (step->kind == STEP_FP ? SIMPLE_FROM_FP : 0) |
                                 (step->fp_kind == FP_AT_CFA ? SIMPLE_RESTORES_FP : 0));
}

static struct cached *slot_of(uint64_t address)
{
    return &cache[(address * 0x9e3779b97f4a7c15ull) >> 52];
}

static uint64_t key_of(uint64_t address)
{
    uint64_t now = __atomic_load_n(&generation, __ATOMIC_RELAXED) % GENERATIONS;
    return address | now << GENERATION_SHIFT;
}

static inline bool recall_step(const struct cached *slot, uint64_t key, struct step *step)
{
    if (__atomic_load_n(&slot->key, __ATOMIC_ACQUIRE) != key)
        return false;
    const uint64_t words[] = {__atomic_load_n(&slot->step[0], __ATOMIC_RELAXED),
                              __atomic_load_n(&slot->step[1], __ATOMIC_RELAXED)};
    memcpy(step, words, sizeof *step);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&slot->key, __ATOMIC_RELAXED) == key;
}

static void store_step(struct cached *slot, uint64_t key, const struct step *step)
{
    uint64_t before = __atomic_load_n(&slot->key, __ATOMIC_RELAXED);
    if (before == BUSY || !__atomic_compare_exchange_n(&slot->key, &before, BUSY, false, __ATOMIC_ACQUIRE,
                                                       __ATOMIC_RELAXED))
        return; /* another thread is writing it */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    uint64_t words[2];
    memcpy(words, step, sizeof words);
    __atomic_store_n(&slot->step[0], words[0], __ATOMIC_RELAXED);
    __atomic_store_n(&slot->step[1], words[1], __ATOMIC_RELAXED);
    __atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
}

static __attribute__((noinline)) void learn_and_store(uint64_t key, uintptr_t pc, bool exact, struct step *step)
{
    learn(pc, exact, step);
    store_step(slot_of(pc), key, step);
}

static inline void find_step(uintptr_t pc, bool exact, struct step *step)
{
    uint64_t key = key_of(pc | (exact ? EXACT : 0));
    if (!recall_step(slot_of(pc), key, step))
        learn_and_store(key, pc, exact, step);
}

void hp_unwind_forget(void)
{
    uint32_t now = __atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED);
    if (now % GENERATIONS) /* numbers come again: nothing may be left of their first time */
        return;
    for (unsigned i = 0; i < CACHE_SIZE; i++)
        __atomic_store_n(&cache[i].key, 0, __ATOMIC_RELAXED);
}

/* Out of a signal handler, into what it interrupted, which may be on another stack. */
static bool leave_signal_frame(struct walk *walk)
{
    uintptr_t pc, sp, fp;
    if (!hp_stack_read(&walk->range, walk->sp + SIGNAL_RIP, &pc) ||
        !hp_stack_read(&walk->range, walk->sp + SIGNAL_RSP, &sp) ||
        !hp_stack_read(&walk->range, walk->sp + SIGNAL_RBP, &fp))
        return false;
    walk->pc = pc;
    walk->sp = sp;
    walk->fp = fp;
    walk->exact = true;
    return hp_stack_find_interrupted(&walk->range, walk->range.thread, sp);
}

static inline bool take_step(struct walk *walk, const struct step *step)
{
    uintptr_t cfa, pc, fp = walk->fp;
    switch (step->kind) {
    case STEP_SP:
        cfa = walk->sp + (uintptr_t)(intptr_t)step->cfa;
        break;
    case STEP_FP:
        cfa = walk->fp + (uintptr_t)(intptr_t)step->cfa;
        break;
    case STEP_FP_INDIRECT:
        if (!hp_stack_read(&walk->range, walk->fp + (uintptr_t)(intptr_t)step->cfa, &cfa))
            return false;
        break;
    case STEP_SIGNAL:
        return leave_signal_frame(walk);
    case STEP_UNKNOWN:
        if (walk->fp < walk->sp || walk->fp - walk->sp > GUESS_MOST)
            return false;
        cfa = walk->fp + 16;
        break;
    default:
        return false;
    }
    if (cfa <= walk->sp || !hp_stack_read(&walk->range, cfa - 8, &pc) || !pc)
        return false;
    /* A frame pointer that can't be read may never be needed: gcc's tables are wrong about it in the last instructions
     * of functions that realigned their stack. */
    if (step->fp_kind == FP_AT_CFA && !hp_stack_read(&walk->range, cfa + (uintptr_t)(intptr_t)step->fp, &fp))
        fp = 0;
    if (step->fp_kind == FP_AT_FP && !hp_stack_read(&walk->range, walk->fp + (uintptr_t)(intptr_t)step->fp, &fp))
        fp = 0;
    walk->pc = pc;
    walk->sp = cfa;
    walk->fp = fp;
    walk->exact = false;
    return true;
}

/* All registers, for the few functions whose frame is not relative to rsp or rbp. */
struct full_walk {
    struct hp_stack_range range;
    uintptr_t registers[HP_REGISTERS];
    bool exact;
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
    uintptr_t cfa, old_sp = walk->registers[HP_REG_RSP], registers[HP_REGISTERS];
    if (row->cfa.kind == HP_RULE_CFA_REGISTER)
        cfa = walk->registers[row->cfa.reg] + (uintptr_t)(intptr_t)row->cfa.value;
    else if (!evaluate_at(walk, row, row->cfa.value, NULL, &cfa))
        return false;
    memcpy(registers, walk->registers, sizeof registers);
    registers[HP_REG_RSP] = cfa;
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
            good = evaluate_at(walk, row, rule->value, &cfa, &value) &&
                   hp_stack_read(&walk->range, value, &registers[i]);
            break;
        case HP_RULE_VAL_EXPRESSION:
            good = evaluate_at(walk, row, rule->value, &cfa, &registers[i]);
            break;
        default: /* same; undefined: nobody may ask for it */
            break;
        }
        if (!good && i == HP_REG_RIP)
            return false;
        if (!good)
            registers[i] = 0; /* as in take_step: it may never be needed */
    }
    memcpy(walk->registers, registers, sizeof registers);
    walk->exact = row->signal_frame;
    if (row->signal_frame &&
        !hp_stack_find_interrupted(&walk->range, walk->range.thread, registers[HP_REG_RSP]))
        return false;
    return registers[HP_REG_RIP] && (row->signal_frame || registers[HP_REG_RSP] > old_sp);
}

static bool step_full(struct full_walk *walk)
{
    struct dl_find_object object;
    struct hp_row row;
    uintptr_t inside = walk->registers[HP_REG_RIP] - !walk->exact;
    return hp_find_object(inside, &object) && hp_cfi_row(&object, inside, &row) &&
           row.rules[HP_REG_RIP].kind != HP_RULE_UNDEFINED && apply_row(walk, &row);
}

#if defined(__x86_64__)
/* Starts here, in our own code, because only from here on all callee-saved registers are known; frames below `start_sp`
 * are ours and left out. */
static __attribute__((noinline)) unsigned walk_fully(uintptr_t start_sp, uint64_t *frames, unsigned most,
                                                     bool *truncated)
{
    struct full_walk walk = {.exact = true};
    uintptr_t *r = walk.registers;
    unsigned count = 0;
    __asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\t"
                     "movq %%r12, 96(%0)\n\tmovq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\tmovq %%r15, 120(%0)\n\t"
                     "leaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)"
                     :
                     : "r"(r)
                     : "rax", "memory");
    hp_stack_find(&walk.range, &hp_thread, r[HP_REG_RSP]);
    while (step_full(&walk)) {
        if (r[HP_REG_RSP] < start_sp && !count)
            continue;
        if (count == most) {
            *truncated = true;
            break;
        }
        struct step step;
        find_step(r[HP_REG_RIP], walk.exact, &step);
        frames[count++] = step.frame;
        if (step.kind == STEP_END || step.kind == STEP_UNKNOWN)
            break;
    }
    return count;
}
#endif

/* True if the instruction before `pc`, an address in code with tables, can be a call: e8 and four bytes, or ff with 2 in
 * the middle three bits of the next byte, and up to five more. */
static bool follows_call(uintptr_t pc)
{
    const uint8_t *code = (const uint8_t *)pc;
    if (pc % 4096 < 8) /* the page before may not be there */
        return false;
    if (code[-5] == 0xe8)
        return true;
    for (int size = 2; size <= 7; size++)
        if (code[-size] == 0xff && (code[1 - size] >> 3 & 7) == 2)
            return true;
    return false;
}

/* As find_step and take_step, for as many frames as are of the most common kinds, are in the cache, and lie in memory
 * that is known to be readable; nine of ten are. A function of its own, so that its variables stay in registers. */
static __attribute__((noinline)) unsigned walk_simple(struct walk *walk, uint64_t *frames, unsigned count, unsigned most)
{
    uintptr_t pc = walk->pc, sp = walk->sp, fp = walk->fp;
    const uintptr_t low = walk->range.low, last = walk->range.high - sizeof pc;
    const uint64_t now = key_of(0);
    if (walk->range.high - low < sizeof pc)
        return count;
    while (count < most) {
        struct step step;
        if (!recall_step(slot_of(pc), pc | now, &step) || !(step.simple & SIMPLE))
            break;
        uintptr_t cfa = (step.simple & SIMPLE_FROM_FP ? fp : sp) + (uintptr_t)(intptr_t)step.cfa;
        uintptr_t pc_at = cfa - sizeof pc, fp_at = cfa + (uintptr_t)(intptr_t)step.fp;
        if (cfa <= sp || pc_at > last || fp_at - low > last - low || cfa % sizeof pc)
            break;
        uintptr_t caller = *(const uintptr_t *)pc_at, saved = *(const uintptr_t *)fp_at;
        if (!caller)
            break;
        frames[count++] = step.frame;
        fp = step.simple & SIMPLE_RESTORES_FP ? saved : fp;
        pc = caller;
        sp = cfa;
    }
    walk->pc = pc;
    walk->sp = sp;
    walk->fp = fp;
    return count;
}

/* Through code without tables by its frame pointers. That is a guess, so the frames from there on are kept only if they
 * lead to a call in code with tables. */
static unsigned walk_cfi(const void *frame_address, uint64_t *frames, unsigned most, bool *truncated)
{
    const uintptr_t *frame = frame_address;
    struct walk walk = {.pc = frame[1], .sp = (uintptr_t)(frame + 2), .fp = frame[0]};
    uintptr_t start_sp = walk.sp;
    unsigned count = 0, sure = 0;
    bool guessed = false, guessing = false;
    hp_stack_find(&walk.range, &hp_thread, walk.sp);
    for (;;) {
        struct step step;
        if (!guessing && !walk.exact)
            sure = count = walk_simple(&walk, frames, count, most);
        find_step(walk.pc, walk.exact, &step);
        if (step.kind == STEP_COMPLEX && !guessed) /* after a guess only rsp and rbp are known */
            return walk_fully(start_sp, frames, most, truncated);
        if (guessing && step.kind != STEP_UNKNOWN) {
            if (!follows_call(walk.pc))
                break;
            guessing = false;
        }
        if (count == most) {
            *truncated = true;
            return count; /* a chain as long as that is no accident */
        }
        frames[count++] = step.frame;
        if (!guessing)
            sure = count;
        if (step.kind == STEP_UNKNOWN)
            guessed = guessing = true;
        if (!take_step(&walk, &step))
            break;
    }
    return sure;
}

static unsigned walk_frame_pointers(const void *frame_address, uint64_t *frames, unsigned most, bool *truncated)
{
    struct hp_stack_range range;
    uintptr_t fp = (uintptr_t)frame_address, next, pc;
    unsigned count = 0;
    hp_stack_find(&range, &hp_thread, fp);
    while (hp_stack_read(&range, fp, &next) && hp_stack_read(&range, fp + 8, &pc) && pc) {
        struct step step;
        find_step(pc, false, &step);
        if (count == most) {
            *truncated = true;
            break;
        }
        if (step.kind == STEP_UNKNOWN && count && !(step.frame >> HP_FRAME_MODULE_SHIFT))
            break; /* rbp was no frame pointer there */
        frames[count++] = step.frame;
        if (step.kind == STEP_END || next <= fp)
            break;
        fp = next;
    }
    return count;
}

/* Not inlined: the other engines have no 4 KiB of stack to spare. */
static __attribute__((noinline)) unsigned walk_libunwind(const void *frame_address, uint64_t *frames, unsigned most, bool *truncated)
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
    *truncated = all == HP_DEPTH_MAX;
    for (unsigned i = first; i < all; i++) {
        struct step step;
        if (count == most) {
            *truncated = true;
            break;
        }
        find_step((uintptr_t)addresses[i], false, &step);
        frames[count++] = step.frame;
    }
    return count;
}

unsigned hp_unwind(const void *frame_address, uint64_t *frames, unsigned most, bool *truncated)
{
    *truncated = false;
    if (engine == HP_ENGINE_LIBUNWIND)
        return walk_libunwind(frame_address, frames, most, truncated);
    if (engine == HP_ENGINE_FP)
        return walk_frame_pointers(frame_address, frames, most, truncated);
    return walk_cfi(frame_address, frames, most, truncated);
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

size_t hp_stack_room(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    struct hp_stack_range range;
    hp_stack_find(&range, &hp_thread, here);
    if (hp_thread.stack_high > 1 && here >= hp_thread.stack_low && here < hp_thread.stack_high)
        return here - hp_thread.stack_low;
    return range.end - range.high ? 0 : 1 << 20; /* the main stack grows */
}
