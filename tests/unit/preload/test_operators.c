/* Which frames are operator new: those between its first byte and the one behind its last, innermost first, not all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kinds/heap/operator_frames.h"

/* Absolute frames, of no module. */
static void counts_the_innermost_frames(void **state)
{
    static const struct {
        uint64_t frames[6];
        unsigned depth, operators;
    } cases[] = {
        {{0x1050, 0x9000}, 2, 1},
        {{0x1000, 0x9000}, 2, 0}, /* a return address is not the first byte */
        {{0x1001, 0x9000}, 2, 1},
        {{0x1100, 0x9000}, 2, 1}, /* a call that does not return may be the last one */
        {{0x1101, 0x9000}, 2, 0},
        {{0x3001, 0x9000}, 2, 0}, /* of unknown size */
        {{0x9000, 0x1050}, 2, 0},
        {{0x1050, 0x9000, 0x1050, 0x9000}, 4, 1},
        {{0x1050, 0x2010, 0x9000}, 3, 2},
        {{0x1050, 0x2010, 0x2010, 0x2010, 0x9000}, 5, HP_OPERATORS_DEEP},
        {{0x1050}, 1, 0}, /* better than no stack */
        {{0x1050, 0x2010}, 2, 1},
        {{0}, 0, 0},
    };
    hp_operators_set(0, 0x1000, 0x100);
    hp_operators_set(HP_OPERATORS_NEW - 1, 0x2000, 0x20);
    hp_operators_set(3, 0x3000, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("case %zu\n", i);
        assert_int_equal(hp_operators_in(cases[i].frames, cases[i].depth), cases[i].operators);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_the_innermost_frames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
