/* map.h - a hash table from 64-bit keys to 32-bit values, by open addressing.
 *
 * A zero-filled map is empty and valid. Values are below HP_MAP_NONE. Nothing is ever removed.
 */
#ifndef HP_PROFILE_MAP_H
#define HP_PROFILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#define HP_MAP_NONE UINT32_MAX

struct hp_map_slot {
    uint64_t key;
    uint32_t value_plus_one; /* 0: free */
};

struct hp_map {
    struct hp_map_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;    /* <= capacity / 2 */
};

/* Mixed with a seed that differs from run to run: a hostile file cannot choose keys that collide.
 */
uint64_t hp_hash(uint64_t key);
uint64_t hp_hash_bytes(const void *data, size_t size);

uint32_t hp_map_get(const struct hp_map *map, uint64_t key); /* HP_MAP_NONE: not there */
/* The value of `key`: the one that is there already, or else `value`, which is put in. */
uint32_t hp_map_add(struct hp_map *map, uint64_t key, uint32_t value);
void hp_map_clear(struct hp_map *map);

#endif
