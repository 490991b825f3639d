/* Which names are the allocator's, and which are sites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/symbolize.h"

static const char *const allocators[] = {
    "malloc",
    "calloc",
    "realloc",
    "free",
    "reallocarray",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "cfree",
    "__libc_malloc",
    "__libc_memalign",
    "__GI___libc_malloc",
    "_int_malloc",
    "_mid_memalign.isra.0",
    "_int_free_merge_chunk",
    "malloc@plt",
    "__posix_memalign",
    "sysmalloc",
    "tc_malloc",
    "tc_newarray_nothrow",
    "tcmalloc::allocate_full_malloc_oom(unsigned long)",
    "(anonymous namespace)::do_malloc(unsigned long)",
    "tcmalloc::ThreadCache::FetchFromCentralCache(unsigned int, int, void* (*)(unsigned long))",
    "je_malloc_default",
    "je_arena_palloc",
    "mallocx",
    "rallocx",
    "_rjem_mallocx",
    "imalloc_body",
    "mi_malloc",
    "mi_heap_malloc_aligned",
    "_mi_malloc_generic",
    "mi_new",
    "g_malloc0",
    "g_slice_alloc",
    "g_realloc",
    "operator new(unsigned long)",
    "operator new[](unsigned long)",
    "operator new[]",
    "operator new(unsigned long, std::align_val_t, std::nothrow_t const&)",
    "operator delete(void*, unsigned long)",
    "std::allocator<int>::allocate(unsigned long)",
    "std::__new_allocator<std::pair<int const, char> >::allocate(unsigned long, void const*)",
    "__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
    "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned long)",
    "int* std::allocator_traits<X<((a)>(b)), &Y::operator> > >::allocate<int>(unsigned long)",
    "__gnu_cxx::__alloc_traits<std::allocator<int>, int>::_S_select_on_copy(std::allocator<int>)",
    "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
    "std::__detail::_Hashtable_alloc<std::allocator<std::__detail::_Hash_node<int, false> > >"
    "::_M_allocate_buckets(unsigned long)",
    "std::__detail::_Hash_node<int, false>* std::__detail::_Hashtable_alloc<std::allocator<"
    "std::__detail::_Hash_node<int, false> > >::_M_allocate_node<int const&>(int const&)",
    "std::_Rb_tree<int, int, std::_Identity<int>, std::less<int>, std::allocator<int> "
    ">::_M_get_node()",
    "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create"
    "(unsigned long&, unsigned long)",
    "std::__cxx11::list<int, std::allocator<int> >::_M_get_node()",
    "std::__allocated_ptr<std::allocator<int> > std::__allocate_guarded<std::allocator<int> >"
    "(std::allocator<int>&)",
    "std::shared_ptr<X> std::make_shared<X, int>(int&&)",
    "std::__shared_count<(__gnu_cxx::_Lock_policy)2>::__shared_count<X, std::allocator<X> >(X*&)",
    "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int const&>"
    "(__gnu_cxx::__normal_iterator<int*, std::vector<int, std::allocator<int> > >, int const&)",
    "std::__1::allocator<char>::allocate[abi:ne180100](unsigned long)",
    "std::__1::__libcpp_allocate[abi:v15007](unsigned long, unsigned long)",
    "std::vector<main::{lambda(int)#1}, std::allocator<main::{lambda(int)#1}> >::_M_grow()",
    "std::_Vector_base<int, std::allocator<int>>::_M_allocate",
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "__rdl_alloc",
    "__rg_realloc",
    "__rustc::__rust_alloc",
    "__rustc[5224e6b81cd82a8f]::__rdl_alloc",
    "alloc::alloc::alloc",
    "alloc::alloc::exchange_malloc",
    "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
    "<alloc::alloc::Global>::alloc_impl_runtime",
    "alloc::raw_vec::RawVec<T,A>::grow_one",
    "alloc::raw_vec::finish_grow",
    "<alloc::raw_vec::RawVec<alloc::vec::Vec<u8>>>::grow_one",
    "<alloc::raw_vec::RawVecInner<_>>::reserve::do_reserve_and_handle::<alloc::alloc::Global>",
    "alloc::boxed::Box<T>::new",
    "<alloc::boxed::Box<[u8; 100]>>::new",
    "hashbrown::raw::RawTableInner::new_uninitialized",
    "<hashbrown::raw::RawTable<(K, V)>>::reserve_rehash::<F>",
    "<tikv_jemallocator::Jemalloc as core::alloc::global::GlobalAlloc>::alloc",
    "<my_program::Counting as core::alloc::global::GlobalAlloc>::alloc",
};

static const char *const sites[] = {
    "",
    "main",
    "mallocate",
    "my_malloc",
    "xmalloc",
    "zmalloc",
    "malloc_stats_print_me",
    "freeze",
    "strdup",
    "__strdup",
    "asprintf",
    "fopen",
    "getline",
    "g_strdup",
    "mi_strdup",
    "je",
    "operator_new",
    "Pool::operator new(unsigned long)",
    "operator<<(std::ostream&, X const&)",
    "allocator<int>::allocate(unsigned long)",
    "shop::allocator<int>::allocate(unsigned long)",
    "shop::std::allocator::allocate()",
    "shop::malloc(unsigned long)",
    "malloc::run()",
    "std::vector<int, std::allocator<int> >::push_back(int const&)",
    "void std::vector<int, std::allocator<int> >::emplace_back<int>(int&&)",
    "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::append(char "
    "const*)",
    "std::map<int, int, std::less<int>, std::allocator<std::pair<int const, int> > "
    ">::operator[](int const&)",
    "std::_Function_handler<int (int), main::{lambda(int)#1}>::_M_invoke(std::_Any_data const&, "
    "int&&)",
    "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run()",
    "std::allocator<int> make_allocator<std::allocator<int> >(int)",
    "f(std::allocator<int>::value_type)",
    "std::string f<std::allocator<int>::rebind<int> >()",
    "main::{lambda(int)#1}::operator()(int) const",
    "(anonymous namespace)::tree<int>::put(int const&, int const&)",
    "bool operator< <std::allocator<int> >(X const&, X const&)",
    "X::operator->() const",
    "X::operator std::allocator<int>() const",
    "decltype(auto) shop::visit<std::allocator<int> >(int)",
    "alloc::vec::Vec<T,A>::push",
    "<alloc::vec::Vec<u8>>::with_capacity",
    "<alloc::string::String as core::clone::Clone>::clone",
    "my_program::make_boxes",
    "<my_program::Squares as my_program::Grow>::grow",
    "<std::path::PathBuf>::_push",
    "std::sys::backtrace::__rust_begin_short_backtrace::<f, ()>",
    "core::ptr::drop_in_place::<alloc::raw_vec::RawVec<u8>>",
    "<",
    ">",
    "<<<<",
    "((((",
    "a<b",
    "operator",
    "operator<",
    "::",
    "{",
    "a::<",
    "<a as b",
    "std::",
    "std::{",
    "std::__cxx11::",
    "<>::",
    "< as >",
};

static void table_of_allocators(void **state)
{
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
        if (!hp_is_allocator_function(allocators[i]))
            print_error("not taken for the allocator: %s\n", allocators[i]);
        assert_true(hp_is_allocator_function(allocators[i]));
    }
}

static void table_of_sites(void **state)
{
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        if (hp_is_allocator_function(sites[i]))
            print_error("taken for the allocator: %s\n", sites[i]);
        assert_false(hp_is_allocator_function(sites[i]));
    }
}

/* Every beginning of every name, and long nests: nothing is read past the end. */
static void cut_and_nested_names(void **state)
{
    char text[4096];
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
        size_t length = strlen(allocators[i]);
        for (size_t cut = 0; cut < length; cut++) {
            char *copy = strndup(allocators[i], cut);
            hp_is_allocator_function(copy);
            free(copy);
        }
    }
    for (const char *bracket = "<([{>"; *bracket; bracket++) {
        memset(text, *bracket, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_false(hp_is_allocator_function(text));
        memcpy(text, "std::_X", 7);
        hp_is_allocator_function(text);
    }
}

static void libraries(void **state)
{
    assert_true(hp_is_allocator_module("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"));
    assert_true(hp_is_allocator_module("libtcmalloc_minimal.so.4"));
    assert_true(hp_is_allocator_module("/opt/libmimalloc.so.2.0"));
    assert_true(hp_is_allocator_module("/usr/lib/libheapprof.so"));
    assert_false(hp_is_allocator_module("/usr/lib/libjemallocator.so"));
    assert_false(hp_is_allocator_module("/srv/libjemalloc.so.2/app"));
    assert_false(hp_is_allocator_module("/usr/lib/libc.so.6"));
    assert_false(hp_is_allocator_module(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_of_allocators),
        cmocka_unit_test(table_of_sites),
        cmocka_unit_test(libraries),
        cmocka_unit_test(cut_and_nested_names),
    };
    return cmocka_run_group_tests_name("allocator", tests, NULL, NULL);
}
