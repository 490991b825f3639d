/* list.h - the allocators that the library knows, one a line. NAME.c beside this file has hp_allocator_NAME; the build
 * takes its sources from here, too. */
HP_ALLOCATOR(jemalloc)
HP_ALLOCATOR(tcmalloc)
HP_ALLOCATOR(mimalloc)
HP_ALLOCATOR(glibc)
