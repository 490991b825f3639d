#include "profile/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "profile/alloc.h"

/* Every thread that asks first finds the same. */
static uint64_t seed(void)
{
    static uint64_t known;
    uint64_t value = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (value)
        return value;
    /* 16 random bytes that the kernel gives to each process. */
    const void *random = (const void *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)
    if (random)
        memcpy(&value, random, sizeof value);
    value |= 1;
    __atomic_store_n(&known, value, __ATOMIC_RELAXED);
    return value;
}

/* The finalizer of splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

uint64_t hp_hash(uint64_t key)
{
    return mix(key ^ seed());
}

uint64_t hp_hash_bytes(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t hash = seed() ^ size;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = mix(hash ^ word) + 0x9e3779b97f4a7c15U;
    }
    uint64_t word = 0;
    memcpy(&word, p, size);
    return mix(hash ^ word);
}

static struct hp_map_slot *find(const struct hp_map *map, uint64_t key)
{
    size_t i = hp_hash(key) & (map->capacity - 1);
    while (map->slots[i].value_plus_one && map->slots[i].key != key)
        i = (i + 1) & (map->capacity - 1);
    return &map->slots[i];
}

uint32_t hp_map_get(const struct hp_map *map, uint64_t key)
{
    /* A free slot holds 0, which makes HP_MAP_NONE. */
    return map->capacity ? find(map, key)->value_plus_one - 1 : HP_MAP_NONE;
}

uint32_t hp_map_add(struct hp_map *map, uint64_t key, uint32_t value)
{
    if (map->count * 2 >= map->capacity) {
        struct hp_map larger = {.capacity = map->capacity ? map->capacity * 2 : 64, .count = map->count};
        larger.slots = hp_alloc(larger.capacity, sizeof *larger.slots);
        for (size_t i = 0; i < map->capacity; i++)
            if (map->slots[i].value_plus_one)
                *find(&larger, map->slots[i].key) = map->slots[i];
        free(map->slots);
        *map = larger;
    }
    struct hp_map_slot *slot = find(map, key);
    if (!slot->value_plus_one) {
        *slot = (struct hp_map_slot){.key = key, .value_plus_one = value + 1};
        map->count++;
    }
    return slot->value_plus_one - 1;
}

void hp_map_clear(struct hp_map *map)
{
    free(map->slots);
    *map = (struct hp_map){0};
}
