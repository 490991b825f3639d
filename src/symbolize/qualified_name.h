/* qualified_name.h - the qualified form of a demangled name: no template arguments, parameters, return type or
 * clone suffix.
 *
 *   int* std::allocator_traits<std::allocator<int> >::allocate(unsigned long)  std::allocator_traits::allocate
 *   (anonymous namespace)::f(int)::{lambda()#1}::operator()() const             f::{}::operator()
 *   <alloc::alloc::Global as core::alloc::Allocator>::allocate                  alloc::alloc::Global::allocate
 */
#ifndef HP_SYMBOLIZE_QUALIFIED_NAME_H
#define HP_SYMBOLIZE_QUALIFIED_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define HP_QUALIFIED_NAME_MAX 256 /* longer forms are cut: none of the names that matter is as long */

struct hp_qualified_name {
    char text[HP_QUALIFIED_NAME_MAX];
    size_t used;
};

/* Any text is taken; what is no name gives some text, in time proportional to its length. */
void hp_qualified_name_of(struct hp_qualified_name *qualified, const char *name);
bool hp_begins(const char *text, const char *prefix);

#endif
