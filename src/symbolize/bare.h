/* bare.h - the bare form of a demangled name: no template arguments, parameters, return type or
 * clone suffix.
 *
 *   int* std::allocator_traits<std::allocator<int> >::allocate(unsigned long)
 * std::allocator_traits::allocate (anonymous namespace)::f(int)::{lambda()#1}::operator()() const
 * f::{}::operator() <alloc::alloc::Global as core::alloc::Allocator>::allocate
 * alloc::alloc::Global::allocate
 */
#ifndef HP_SYMBOLIZE_BARE_H
#define HP_SYMBOLIZE_BARE_H

#include <stdbool.h>
#include <stddef.h>

#define HP_BARE_MAX 256 /* longer forms are cut: none of the names that matter is as long */

struct hp_bare {
    char text[HP_BARE_MAX];
    size_t used;
};

/* Any text is taken; what is no name gives some text, in time proportional to its length. */
void hp_bare_name(struct hp_bare *bare, const char *name);
bool hp_begins(const char *text, const char *prefix);

#endif
