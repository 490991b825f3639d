#include "report/core/markup.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "report/core/units.h"

void hp_markup_text(FILE *out, const char *text)
{
    char *clean = hp_clean(text);
    for (const char *c = clean; *c; c++)
        switch (*c) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*c, out);
        }
    free(clean);
}

static const char *mix(char buffer[8], const int *from, const int *to, double share)
{
    int colour[3];
    for (int i = 0; i < 3; i++)
        colour[i] = (int)lround(from[i] + (to[i] - from[i]) * share) & 0xff;
    snprintf(buffer, 8, "#%02x%02x%02x", (unsigned)colour[0], (unsigned)colour[1], (unsigned)colour[2]);
    return buffer;
}

const char *hp_markup_colour(char buffer[8], const char *name)
{
    static const int sand[3] = {0xf6, 0xe3, 0xb4}, amber[3] = {0xf2, 0xa6, 0x5a};
    uint32_t hash = 0x811c9dc5u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x01000193u;
    hash ^= hash >> 15;
    return mix(buffer, sand, amber, (hash % 256) / 255.0);
}

const char *hp_markup_growth(char buffer[8], double growth, double size, bool significant)
{
    static const int grey[3] = {0xd0, 0xd0, 0xd0};
    static const int pale_orange[3] = {0xf9, 0xd8, 0xb4}, orange[3] = {0xe6, 0x7e, 0x0a};
    static const int pale_blue[3] = {0xc4, 0xdd, 0xf2}, blue[3] = {0x4a, 0x90, 0xd0};
    if (!significant || growth == 0)
        return mix(buffer, grey, grey, 0);
    double share = size != 0 ? fmin(fabs(growth / size), 1) : 1;
    return growth > 0 ? mix(buffer, pale_orange, orange, share) : mix(buffer, pale_blue, blue, share);
}
