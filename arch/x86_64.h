/* x86_64.h - x86-64 with Linux's calling convention (System V ABI, AMD64 supplement; section numbers below are its
 * own).
 *
 * Terms
 *   CFA   canonical frame address: the stack pointer before the call that made the frame (DWARF 5, section 6.4)
 *   row   of the unwind tables: how to find the CFA and the caller's registers at one address (cfi.h)
 */
#ifndef HP_ARCH_X86_64_H
#define HP_ARCH_X86_64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HP_PAGE 4096ul /* bytes, of the smallest page */

/* --- The kernel --- */

static inline long hp_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* A function `syscall` that passes all its arguments on by a jump to the address at `next`, because clone returns
 * twice. Before that it calls `called` with them, where that is 0 yet or the number is that of seccomp or prctl. */
#define HP_SYS_SECCOMP 317
#define HP_SYS_PRCTL 157
#define HP_SYSCALL_HOOK(called, next)                                                                                  \
    __asm__(".text\n.p2align 4\n.globl syscall\n.type syscall, @function\nsyscall:\n.cfi_startproc\n"                  \
            "movq " next "(%rip), %rax\n"                                                                              \
            "cmpl $317, %edi\n"                                                                                        \
            "je 1f\n"                                                                                                  \
            "cmpl $157, %edi\n"                                                                                        \
            "je 1f\n"                                                                                                  \
            "testq %rax, %rax\n"                                                                                       \
            "je 1f\n"                                                                                                  \
            "jmp *%rax\n"                                                                                              \
            "1: pushq %rdi\n.cfi_adjust_cfa_offset 8\npushq %rsi\n.cfi_adjust_cfa_offset 8\n"                          \
            "pushq %rdx\n.cfi_adjust_cfa_offset 8\npushq %rcx\n.cfi_adjust_cfa_offset 8\n"                             \
            "pushq %r8\n.cfi_adjust_cfa_offset 8\npushq %r9\n.cfi_adjust_cfa_offset 8\n"                               \
            "subq $8, %rsp\n.cfi_adjust_cfa_offset 8\n"                                                                \
            "call " called "\n"                                                                                        \
            "addq $8, %rsp\n.cfi_adjust_cfa_offset -8\n"                                                               \
            "popq %r9\n.cfi_adjust_cfa_offset -8\npopq %r8\n.cfi_adjust_cfa_offset -8\n"                               \
            "popq %rcx\n.cfi_adjust_cfa_offset -8\npopq %rdx\n.cfi_adjust_cfa_offset -8\n"                             \
            "popq %rsi\n.cfi_adjust_cfa_offset -8\npopq %rdi\n.cfi_adjust_cfa_offset -8\n"                             \
            "movq " next "(%rip), %rax\n"                                                                              \
            "jmp *%rax\n.cfi_endproc\n.size syscall, .-syscall\n")

/* --- Counters that threads share --- */

/* While another thread is waited for. */
static inline void hp_spin(void)
{
    __builtin_ia32_pause();
}

__extension__ typedef unsigned __int128 hp_wide;

/* Two words at once, at a place that is aligned to 16 bytes. __sync, because __atomic of this size calls libatomic,
 * which the target need not have. */
static inline bool hp_swap_two(void *place, const uint64_t expected[2], const uint64_t desired[2])
{
    return __sync_bool_compare_and_swap((hp_wide *)place, (hp_wide)expected[1] << 64 | expected[0],
                                        (hp_wide)desired[1] << 64 | desired[0]);
}

/* --- Hooks --- */

/* Take n off `left`; true: that was all there was, or more. One instruction, so that a signal handler sees it done or
 * not done. */
static inline __attribute__((always_inline)) bool hp_subtract(uint64_t *left, size_t n)
{
    bool out = false;
    __asm__("subq %2, %0" : "+m"(*left), "=@ccbe"(out) : "re"(n));
    return out;
}

/* What the hooks call: the target may have its stack at an odd place (code that was never meant to be called from C),
 * so it is aligned here; and the direction flag set, which the ABI wants clear and the compiler's own copying needs so.
 * Such a function does nothing but call one that is not inlined into it, between these two. */
#define HP_ENTRY __attribute__((force_align_arg_pointer))
#define HP_DIRECTION 0x400u

static inline __attribute__((always_inline)) uint64_t hp_entry_begin(void)
{
    const uint64_t direction = __builtin_ia32_readeflags_u64() & HP_DIRECTION;
    if (__builtin_expect(direction != 0, 0))
        __asm__ volatile("cld" : : : "memory");
    return direction;
}

static inline __attribute__((always_inline)) void hp_entry_end(uint64_t direction)
{
    if (__builtin_expect(direction != 0, 0))
        __asm__ volatile("std" : : : "memory");
}

/* Between these two there is floating-point arithmetic of ours, in functions that are not inlined: the target's
 * rounding and traps are not for it, and its flags not for the target. */
#define HP_FLOAT_USUAL 0x1f80u

static inline __attribute__((always_inline)) uint32_t hp_float_begin(void)
{
    const uint32_t kept = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(HP_FLOAT_USUAL);
    return kept;
}

static inline __attribute__((always_inline)) void hp_float_end(uint32_t kept)
{
    __builtin_ia32_ldmxcsr(kept);
}

/* --- Stacks --- */

/* Numbers of registers in the tables (figure 3.36). FP, SP and PC are what every processor has. */
enum {
    HP_REG_RBX = 3,
    HP_REG_RBP = 6,
    HP_REG_RSP = 7,
    HP_REG_RIP = 16,
    HP_REGISTERS = 17,
    HP_REG_FP = HP_REG_RBP,
    HP_REG_SP = HP_REG_RSP,
    HP_REG_PC = HP_REG_RIP
};

/* Bytes below the stack pointer that signals leave alone (3.2.2): a leaf's, and of registers that were just popped. */
#define HP_RED_ZONE 128ul
/* A call pushes the return address: it is at CFA - 8, and a function that keeps a frame pointer pushes that next. */
#define HP_RETURN_AT (-8)
#define HP_SAVED_FP_AT (-16)

/* The registers that a caller relies on, and an address in here: where a walk by all registers begins. */
static inline __attribute__((always_inline)) void hp_registers_now(uintptr_t registers[HP_REGISTERS])
{
    __asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\tmovq %%rsp, 56(%0)\n\t"
                     "movq %%r12, 96(%0)\n\tmovq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\tmovq %%r15, 120(%0)\n\t"
                     "leaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)"
                     :
                     : "r"(registers)
                     : "rax", "memory");
}

/* Where a signal frame keeps registers, from its stack pointer on: rt_sigframe of Linux is a ucontext_t there, whose
 * uc_mcontext.gregs start at 40 (arch/x86/include/uapi/asm/sigcontext.h). */
enum { HP_SIGNAL_FP = 120, HP_SIGNAL_SP = 160, HP_SIGNAL_PC = 168 };

/* mov $15, %rax (rt_sigreturn); syscall: what a signal handler returns to. Other code may be marked as a signal frame
 * in its tables (.cfi_signal_frame), and is left as they say. */
static inline bool hp_is_sigreturn(uintptr_t pc)
{
    return !memcmp((const char *)pc, "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9);
}

/* True if the instruction before `pc`, an address in code with tables, can be a call: e8 and four bytes, or ff with 2
 * in the middle three bits of the next byte, and up to five more. */
static inline bool hp_follows_call(uintptr_t pc)
{
    const uint8_t *code = (const uint8_t *)pc;
    if (pc % HP_PAGE < 8) /* the page before may not be there */
        return false;
    if (code[-5] == 0xe8)
        return true;
    for (int size = 2; size <= 7; size++)
        if (code[-size] == 0xff && (code[1 - size] >> 3 & 7) == 2)
            return true;
    return false;
}

/* CFA expressions that compilers and linkers write. A PLT's: rsp + 8 + ((rip & 15) >= 11 or so) * 8, which is constant
 * for one address. */
static inline bool hp_is_plt_cfa(const uint8_t *code, size_t size, uintptr_t pc, int32_t *from_sp)
{
    if (size != 11 || memcmp(code, "\x77\x08\x80\x00\x3f\x1a", 6) || code[6] < 0x30 || code[6] > 0x4f ||
        memcmp(code + 7, "\x2a\x33\x24\x22", 4))
        return false;
    *from_sp = 8 + ((pc & 15) >= code[6] - 0x30u ? 8 : 0);
    return true;
}

/* ... and *(rbp + offset), of a function that realigned its stack. */
static inline bool hp_is_indirect_cfa(const uint8_t *code, size_t size, int32_t *from_fp)
{
    if (size != 3 || code[0] != 0x76 || code[1] & 0x80 || code[2] != 0x06)
        return false;
    *from_fp = code[1] & 0x40 ? (int32_t)code[1] - 0x80 : code[1];
    return true;
}

/* The expression of the place where such a function saved its caller's rbp: rbp + 0. */
static inline bool hp_is_at_fp(const uint8_t *code, size_t size)
{
    return size == 2 && !memcmp(code, "\x76\x00", 2);
}

/* glibc's struct pthread of the calling thread, which begins at the thread pointer (TLS variant II: memory for
 * thread-local variables lies below it), at the top of the thread's stack. */
static inline const uintptr_t *hp_thread_block(void)
{
    return __builtin_thread_pointer();
}

#endif
