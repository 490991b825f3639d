#include "unwind/step.h"

#include <string.h>

#include "unwind/cfi.h"
#include "unwind/modules.h"

struct hp_cached_step hp_step_cache[HP_STEP_CACHE_SIZE] __attribute__((aligned(4096)));
uint32_t hp_step_generation;

static bool simplify_cfa(const struct hp_row *row, uintptr_t pc, struct hp_step *step)
{
    struct hp_expression e;
    if (row->cfa.kind == HP_RULE_CFA_REGISTER) {
        step->cfa = row->cfa.value;
        step->kind = row->cfa.reg == HP_REG_SP ? HP_STEP_SP : row->cfa.reg == HP_REG_FP ? HP_STEP_FP : HP_STEP_COMPLEX;
        return step->kind != HP_STEP_COMPLEX;
    }
    if (!hp_cfi_expression(row, row->cfa.value, &e))
        return false;
    const size_t size = (size_t)(e.end - e.start);
    if (hp_is_plt_cfa(e.start, size, pc, &step->cfa)) {
        step->kind = HP_STEP_SP;
        return true;
    }
    if (hp_is_indirect_cfa(e.start, size, &step->cfa)) {
        step->kind = HP_STEP_FP_INDIRECT;
        return true;
    }
    return false;
}

static bool simplify_fp(const struct hp_row *row, struct hp_step *step)
{
    const struct hp_rule *rule = &row->rules[HP_REG_FP];
    struct hp_expression e;
    switch (rule->kind) {
    case HP_RULE_SAME:
    case HP_RULE_UNDEFINED:
        step->fp_kind = HP_FP_SAME;
        step->fp = HP_RETURN_AT; /* walk_simple reads there in any case */
        return true;
    case HP_RULE_OFFSET:
        step->fp_kind = HP_FP_AT_CFA;
        step->fp = (int16_t)rule->value;
        return step->fp == rule->value;
    case HP_RULE_EXPRESSION:
        step->fp_kind = HP_FP_AT_FP;
        step->fp = 0;
        return hp_cfi_expression(row, rule->value, &e) && hp_is_at_fp(e.start, (size_t)(e.end - e.start));
    default:
        return false;
    }
}

static uint8_t simple_flags(const struct hp_step *step)
{
    const int32_t least = step->kind == HP_STEP_SP ? -step->cfa : HP_SAVED_FP_AT; /* so that fp is not below sp */
    if ((step->kind != HP_STEP_SP && step->kind != HP_STEP_FP) || step->fp_kind == HP_FP_AT_FP || step->cfa < 16 ||
        step->cfa % 8 || step->fp % 8 || step->fp > -8 || step->fp < least)
        return 0;
    return (uint8_t)(HP_SIMPLE | (step->kind == HP_STEP_FP ? HP_SIMPLE_FROM_FP : 0) |
                     (step->fp_kind == HP_FP_AT_CFA ? HP_SIMPLE_RESTORES_FP : 0));
}

/* The section that HP_UNSEEN puts functions into, as the linker has it; not there where no hooks are linked in. */
extern const char __start_hp_unseen[] __attribute__((weak, visibility("hidden")));
extern const char __stop_hp_unseen[] __attribute__((weak, visibility("hidden")));

static bool is_unseen(uintptr_t address)
{
    return address >= (uintptr_t)__start_hp_unseen && address < (uintptr_t)__stop_hp_unseen;
}

static void learn(uintptr_t pc, bool exact, struct hp_step *step)
{
    struct dl_find_object object;
    struct hp_row row;
    uintptr_t inside = exact ? pc : pc - 1;
    *step = (struct hp_step){.kind = HP_STEP_UNKNOWN, .fp_kind = HP_FP_AT_FP};
    if (!hp_find_object(inside, &object)) {
        step->frame = hp_module_frame(pc, NULL);
        return;
    }
    step->frame = hp_module_frame(exact ? pc + 1 : pc, &object); /* readers take one off */
    if (!hp_cfi_row(&object, inside, &row))
        return;
    const struct hp_rule *ra = &row.rules[HP_REG_PC];
    if (row.signal_frame && hp_is_sigreturn(pc))
        step->kind = HP_STEP_SIGNAL;
    else if (ra->kind == HP_RULE_UNDEFINED)
        step->kind = HP_STEP_END;
    else if (ra->kind != HP_RULE_OFFSET || ra->value != HP_RETURN_AT || !simplify_cfa(&row, inside, step) ||
             !simplify_fp(&row, step))
        step->kind = HP_STEP_COMPLEX;
    if (is_unseen(inside))
        step->frame = 0;
    else
        step->simple = simple_flags(step);
}

static void store_step(uint64_t key, const struct hp_step *step)
{
    struct hp_cached_step *slot = hp_step_slot(key);
    uint64_t before = __atomic_load_n(&slot->key, __ATOMIC_RELAXED);
    if (before == HP_STEP_BUSY ||
        !__atomic_compare_exchange_n(&slot->key, &before, HP_STEP_BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return; /* another thread is writing it */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    uint64_t words[2];
    memcpy(words, step, sizeof words);
    __atomic_store_n(&slot->words[0], words[0], __ATOMIC_RELAXED);
    __atomic_store_n(&slot->words[1], words[1], __ATOMIC_RELAXED);
    __atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
}

void hp_step_learn(uint64_t key, uintptr_t pc, bool exact, struct hp_step *step)
{
    learn(pc, exact, step);
    store_step(key | (step->simple && !exact ? HP_STEP_SIMPLE : 0), step);
}

void hp_step_forget(void)
{
    uint32_t now = __atomic_add_fetch(&hp_step_generation, 1, __ATOMIC_RELAXED);
    if (now % HP_STEP_GENERATIONS) /* numbers come again: nothing may be left of their first time */
        return;
    for (unsigned i = 0; i < HP_STEP_CACHE_SIZE; i++)
        __atomic_store_n(&hp_step_cache[i].key, 0, __ATOMIC_RELAXED);
}
