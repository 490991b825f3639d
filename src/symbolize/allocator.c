/* Which functions are the allocator, so that the site of an allocation is the code that asked for
 * it.
 *
 * Names are looked up in their qualified form (qualified_name.h), whatever their arguments.
 *
 * What counts
 *   yes  the allocators: glibc, jemalloc, tcmalloc, mimalloc, scalable_malloc, operator new, and
 * glib's g_malloc family yes  verbs that only allocate and construct: std::make_shared,
 * std::make_unique, Box::new, Rc::new, Arc::new yes  what the C++ library keeps to itself (reserved
 * names in std and __gnu_cxx: _M_realloc_insert, _Vector_base), but for what calls back into the
 * program's code (_M_invoke, _M_run) yes  what Rust's library keeps to itself: alloc::alloc,
 * alloc::raw_vec, hashbrown::raw, any GlobalAlloc no   public functions that allocate among other
 * things: std::vector::push_back, std::string::append, Vec::push, Vec::with_capacity, strdup,
 * asprintf, fopen no   a program's own wrappers: xmalloc, zmalloc, Type::operator new
 */
#include "symbolize/symbolize.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "symbolize/qualified_name.h"

/* Entries that end in '*' stand for all names that begin so. */
static const char *const families[] = {
    "malloc",         "calloc",
    "realloc",        "free",
    "reallocarray",   "reallocarr",
    "reallocf",       "cfree",
    "memalign",       "aligned_alloc",
    "valloc",         "pvalloc",
    "posix_memalign", "zalloc",
    "free_sized",     "free_aligned_sized",
    "aligned_free",   NULL,
};

/* In front of a name of the families. */
static const char *const family_prefixes[] = {
    "",          "__libc_", "__GI___libc_",   "__GI___",         "__GI_",     "__", "tc_",
    "scalable_", "rp",      "__interceptor_", "___interceptor_", "__simple_", NULL,
};

static const char *const functions[] = {
    /* glibc, musl */
    "_int_malloc",
    "_int_realloc",
    "_int_memalign",
    "_int_free*",
    "_mid_memalign",
    "sysmalloc*",
    "malloc_consolidate",
    "malloc_hook_ini",
    "realloc_hook_ini",
    "memalign_hook_ini",
    "malloc_check",
    "realloc_check",
    "memalign_check",
    "tcache_init",
    "tcache_key_initialize",
    "arena_get2",
    "ptmalloc_init",
    "mremap_chunk",
    "__libc_malloc2",
    "__libc_calloc2",
    "__libc_malloc_impl",
    "__malloc_alloc_meta",
    "alloc_slot",
    "__debug_malloc",
    "__debug_calloc",
    "__debug_realloc",
    /* tcmalloc */
    "tcmalloc::*",
    "tc_new*",
    "tc_delete*",
    "TCMalloc*",
    "do_malloc*",
    "do_calloc*",
    "do_realloc*",
    "do_memalign*",
    "do_free*",
    /* jemalloc, and as Rust links it */
    "je_*",
    "jet_*",
    "_rjem_*",
    "mallocx",
    "rallocx",
    "xallocx",
    "sallocx",
    "nallocx",
    "dallocx",
    "sdallocx",
    "imalloc*",
    "ialloc",
    "iallocztm*",
    "ipalloc*",
    "iralloc*",
    "do_rallocx",
    "malloc_default",
    "fallback_alloc",
    "arena_malloc*",
    "arena_palloc",
    "arena_ralloc",
    "tcache_alloc_*",
    "large_malloc",
    "large_palloc",
    "large_ralloc",
    "newImpl",
    "handleOOM",
    /* mimalloc */
    "_mi_*",
    "mi_malloc*",
    "mi_calloc*",
    "mi_zalloc*",
    "mi_realloc*",
    "mi_rezalloc*",
    "mi_recalloc*",
    "mi_umalloc*",
    "mi_ucalloc*",
    "mi_mallocn*",
    "mi_heap_*",
    "mi_theap_*",
    "mi_new*",
    "mi_memalign",
    "mi_posix_memalign",
    "mi_aligned_alloc",
    "mi_valloc",
    "mi_pvalloc",
    "mi_free*",
    "mi_cfree",
    "mi_page_malloc*",
    "mi_expand",
    "mi_alloc_new_try*",
    /* glib */
    "g_malloc*",
    "g_try_malloc*",
    "g_realloc*",
    "g_try_realloc*",
    "g_aligned_alloc*",
    "g_slice_alloc*",
    "g_free*",
    "g_slice_free1",
    /* C++ */
    "operator new",
    "operator new[]",
    "operator delete",
    "operator delete[]",
    "__builtin_new",
    "__builtin_vec_new",
    "std::allocator::*",
    "std::allocator_traits::*",
    "std::make_shared*",
    "std::allocate_shared*",
    "std::make_unique*",
    "std::shared_ptr::shared_ptr",
    "std::get_temporary_buffer",
    "std::pmr::polymorphic_allocator::*",
    "std::pmr::memory_resource::*",
    "std::pmr::monotonic_buffer_resource::*",
    "std::pmr::synchronized_pool_resource::*",
    "std::pmr::unsynchronized_pool_resource::*",
    "__gnu_cxx::new_allocator::*",
    "__gnu_cxx::malloc_allocator::*",
    "__gnu_cxx::bitmap_allocator::*",
    /* Rust */
    "__rust_alloc*",
    "__rust_realloc",
    "__rust_dealloc",
    "__rdl_*",
    "__rg_*",
    "__rustc::__rust_alloc*",
    "__rustc::__rust_realloc",
    "__rustc::__rust_dealloc",
    "__rustc::__rdl_*",
    "__rustc::__rg_*",
    "alloc::alloc::*",
    "alloc::raw_vec::*",
    "std::alloc::*",
    "std::sys::alloc::*",
    "std::sys::unix::alloc::*",
    "std::sys::pal::unix::alloc::*",
    "std::sys_common::alloc::*",
    "core::alloc::*",
    "hashbrown::raw::*",
    "alloc::boxed::box_new*",
    "alloc::boxed::Box::new*",
    "alloc::boxed::Box::try_new*",
    "alloc::boxed::Box::pin*",
    "alloc::rc::Rc::new*",
    "alloc::rc::Rc::pin*",
    "alloc::rc::Rc::allocate_for*",
    "alloc::rc::Rc::try_allocate_for*",
    "alloc::rc::rc_inner_layout*",
    "alloc::rc::UniqueRcUninit::*",
    "alloc::sync::Arc::new*",
    "alloc::sync::Arc::pin*",
    "alloc::sync::Arc::allocate_for*",
    "alloc::sync::Arc::try_allocate_for*",
    "alloc::sync::UniqueArcUninit::*",
    "tikv_jemallocator::*",
    "jemallocator::*",
    "mimalloc::MiMalloc::*",
    NULL,
};

/* What reserved names in std do not mean allocation: they run the program's code, possibly inlined.
 */
static const char *const callers[] = {
    "_M_invoke*", "_M_run*",    "__invoke*", "_S_invoke*", "_M_call*", "__do_visit*", "__visit*",    "_M_complete*",
    "_M_do_set*", "__do_call*", "__run*",    "operator()", "__rust_*", "_M_dispose*", "_M_destroy*", NULL};

static const char *const rust_allocator_traits[] = {
    " as core::alloc::global::GlobalAlloc>::", " as core::alloc::Allocator>::", " as alloc::alloc::Allocator>::",
    " as allocator_api2::", NULL};

static bool listed(const char *name, const char *const *list)
{
    for (; *list; list++) {
        size_t length = strlen(*list);
        bool open = (*list)[length - 1] == '*';
        if (open ? !strncmp(name, *list, length - 1) : !strcmp(name, *list))
            return true;
    }
    return false;
}

/* Inline namespaces say nothing of whether a name is public. */
static const char *skip_std(const char *name)
{
    static const char *const prefixes[] = {
        "__cxx11::", "__1::", "__ndk1::", "_V2::", "__debug::", "__cxx1998::", "__8::", NULL};
    if (hp_begins(name, "__gnu_cxx::"))
        return name + 11;
    if (!hp_begins(name, "std::"))
        return NULL;
    name += 5;
    for (const char *const *prefix = prefixes; *prefix; prefix++)
        if (hp_begins(name, *prefix))
            name += strlen(*prefix);
    return name;
}

/* As C++ reserves names; Rust's library has names like std::path::PathBuf::_push, which are none.
 */
static bool is_reserved(const char *name)
{
    name += *name == '~';
    return name[0] == '_' && (name[1] == '_' || isupper((unsigned char)name[1]));
}

static bool is_library_internal(const char *name)
{
    const char *scope = skip_std(name);
    if (!scope || strchr(name, '{'))
        return false;
    const char *last = scope;
    bool reserved = is_reserved(scope);
    for (const char *at = scope; (at = strstr(at, "::"));) {
        at += 2;
        last = at;
        reserved |= is_reserved(at);
    }
    return reserved && !listed(last, callers);
}

static bool is_family(const char *name)
{
    for (const char *const *prefix = family_prefixes; *prefix; prefix++)
        if (hp_begins(name, *prefix) && listed(name + strlen(*prefix), families))
            return true;
    return false;
}

int hp_is_allocator_function(const char *function)
{
    if (*function == '<')
        for (const char *const *trait = rust_allocator_traits; *trait; trait++)
            if (strstr(function, *trait))
                return 1;
    struct hp_qualified_name qualified;
    hp_qualified_name_of(&qualified, function);
    char *suffix = strpbrk(qualified.text, ".@"); /* malloc.part.0, malloc@plt */
    if (suffix && suffix != qualified.text)
        *suffix = '\0';
    const char *name = qualified.text;
    /* jemalloc's and mimalloc's strdup and realpath are sites, as libc's are. */
    if (strstr(name, "strdup") || strstr(name, "strndup") || strstr(name, "realpath"))
        return 0;
    const char *rest = hp_begins(name, "std::") ? skip_std(name) : NULL;
    if (rest && rest != name + 5) /* std::__cxx11::x as std::x, which is how the table has it */
        memmove(qualified.text + 5, rest, strlen(rest) + 1);
    return is_family(name) || listed(name, functions) || is_library_internal(name);
}

int hp_is_allocator_module(const char *path)
{
    static const char *const libraries[] = {"libjemalloc", "libtcmalloc", "libmimalloc", "libheapprof", NULL};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (const char *const *library = libraries; *library; library++) {
        const char *rest = hp_begins(name, *library) ? name + strlen(*library) : "";
        if (*rest == '.' || *rest == '_' || *rest == '-')
            return strstr(rest, ".so") != NULL;
    }
    return 0;
}
