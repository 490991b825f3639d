/* preload/spare.c: marked objects that wait for samples, and that go back when the target shrinks. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "next.h"
#include "record.h"
#include "spare.h"

const struct hp_hot hp_exact_hooks; /* the hooks are not linked in */

#define MANY 100

static void *objects[MANY];

static void take_many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        objects[i] = hp_spare_take(1000);
        assert_non_null(objects[i]);
        memset(objects[i], 1, HP_SPARE_SIZE);
    }
}

static unsigned keep_or_free_many(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < MANY; i++) {
        if (hp_spare_keep(objects[i]))
            kept++;
        else
            free(objects[i]);
    }
    return kept;
}

static void gives_marked_objects_once(void **state)
{
    take_many();
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(hp_is_marked(objects[i]));
        assert_true(malloc_usable_size(objects[i]) >= HP_SPARE_SIZE);
        for (unsigned k = 0; k < i; k++)
            assert_ptr_not_equal(objects[i], objects[k]);
    }
    keep_or_free_many();
}

static void keeps_what_samples_leave(void **state)
{
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < 1000; i++) {
        void *object = hp_spare_take(1000);
        assert_non_null(object);
        assert_true(hp_spare_keep(object));
    }
    assert_true(mallinfo2().arena == before.arena);
}

static void keeps_nothing_else(void **state)
{
    void *large = memalign(HP_MARK, 2 * HP_SPARE_SIZE), *small = memalign(HP_MARK, 100), *odd = malloc(HP_SPARE_SIZE);
    free(hp_spare_take(1000)); /* there is room for one more, and the target does not shrink */
    assert_false(hp_spare_keep(large));
    assert_false(hp_spare_keep(small));
    assert_true(hp_is_marked(odd) || !hp_spare_keep(odd));
    free(large);
    free(small);
    free(odd);
}

static void gives_all_back_when_the_target_shrinks(void **state)
{
    take_many();
    keep_or_free_many();
    struct mallinfo2 empty = mallinfo2();
    take_many();
    unsigned kept = keep_or_free_many();
    assert_true(kept > 0 && kept < 64);
    assert_true(mallinfo2().uordblks <= empty.uordblks);
    void *object = hp_spare_take(1000);
    assert_true(mallinfo2().uordblks >= empty.uordblks + 8 * HP_SPARE_SIZE); /* a batch, for nothing was left */
    free(object);
}

/* As with allocators other than glibc, whose objects are the same to the store. */
static int catch_some(void **state)
{
    hp_next.allocator = HP_ALLOCATOR_TCMALLOC;
    for (void *left = hp_spare_take(0); left; left = hp_spare_take(0))
        free(left);
    hp_spare_catch_some(true);
    return 0;
}

static int catch_no_more(void **state)
{
    hp_spare_catch_some(false);
    hp_next.allocator = HP_ALLOCATOR_GLIBC;
    return 0;
}

static void catches_what_looks_marked(void **state)
{
    void *small = memalign(HP_MARK, 100), *large = memalign(HP_MARK, 600), *huge = memalign(HP_MARK, 2 * HP_MARK);
    char *odd = memalign(HP_MARK, 100);
    assert_null(hp_spare_take(1));
    hp_frees.unsampled(NULL);
    hp_frees.unsampled(huge); /* many of its size look marked */
    assert_false(hp_spare_catch(odd + 16));
    free(odd);
    assert_null(hp_spare_take(1));
    hp_frees.unsampled(small);
    hp_frees.unsampled(large);
    assert_ptr_equal(hp_spare_take(500), large);
    assert_null(hp_spare_take(500));
    assert_ptr_equal(hp_spare_take(100), small);
    free(small);
    free(large);
}

static void stops_catching_in_vain(void **state)
{
    void *huge = memalign(HP_MARK, 2 * HP_MARK);
    unsigned tries = 0;
    assert_null(hp_spare_take(1)); /* with each sample that is taken, a few more */
    for (; hp_frees.unsampled != hp_next.free && tries < 1000; tries++)
        assert_false(hp_spare_catch(huge));
    assert_in_range(tries, 1, 999);
    assert_null(hp_spare_take(1));
    assert_ptr_not_equal(hp_frees.unsampled, hp_next.free);
    free(huge);
}

static int resolve(void **state)
{
    hp_next_resolve();
    return hp_next.allocator == HP_ALLOCATOR_GLIBC ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_marked_objects_once),
        cmocka_unit_test(keeps_what_samples_leave),
        cmocka_unit_test(keeps_nothing_else),
        cmocka_unit_test(gives_all_back_when_the_target_shrinks),
        cmocka_unit_test_setup_teardown(catches_what_looks_marked, catch_some, catch_no_more),
        cmocka_unit_test_setup_teardown(stops_catching_in_vain, catch_some, catch_no_more),
    };
    return cmocka_run_group_tests(tests, resolve, NULL);
}
