/* perf_map.h - names of code that a compiler made at run time: the /tmp/perf-PID.map that runtimes
 * (Node.js, the JVM's agent, PyPy, .NET, ...) write for perf(1). A line is "START SIZE NAME", both
 * figures in hexadecimal; where addresses are used again, the later line counts.
 */
#ifndef HP_SYMBOLIZE_PERF_MAP_H
#define HP_SYMBOLIZE_PERF_MAP_H

#include <stdint.h>

struct hp_perf_map;

/* NULL if there is no such file, it is not regular, or was last changed before `not_before_ns`
 * (Unix time; 0: any time), and so by another process that had the same number. At most 256 MiB are
 * read; lines that are none are passed over. */
struct hp_perf_map *hp_perf_map_read(const char *path, int64_t not_before_ns);
void hp_perf_map_free(struct hp_perf_map *map);
/* The name at `address`, and *entry, where its code begins; NULL if there is none. */
const char *hp_perf_map_find(const struct hp_perf_map *map, uint64_t address, uint64_t *entry);

#endif
