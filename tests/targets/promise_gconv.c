/* A module of iconv's, which libc loads and unloads by itself: no dlclose is seen. It allocates where its name says. */
#include <gconv.h>
#include <stdlib.h>
#include <string.h>

int gconv_init(struct __gconv_step *step);
void gconv_end(struct __gconv_step *step);
int gconv(struct __gconv_step *step, struct __gconv_step_data *data, const unsigned char **in, const unsigned char *end,
          unsigned char **out, size_t *irreversible, int flush, int consume);
void CONVERT_NAME(void);

static void *volatile sink;

__attribute__((noinline)) void CONVERT_NAME(void)
{
    volatile char room[CONVERT_ROOM]; /* so that two modules' code is alike, but for its stack */
    room[0] = 1;
    for (int i = 0; i < 50; i++)
        sink = malloc((size_t)(5000 + room[0]));
    __asm__ volatile("" : : : "memory");
}

int gconv_init(struct __gconv_step *step)
{
    CONVERT_NAME();
    step->__min_needed_from = step->__max_needed_from = step->__min_needed_to = 1;
    step->__max_needed_to = 4;
    step->__stateful = 0;
    return __GCONV_OK;
}

void gconv_end(struct __gconv_step *step)
{
    (void)step;
}

int gconv(struct __gconv_step *step, struct __gconv_step_data *data, const unsigned char **in, const unsigned char *end,
          unsigned char **out, size_t *irreversible, int flush, int consume)
{
    (void)step, (void)data, (void)out, (void)irreversible, (void)consume;
    if (!flush)
        *in = end;
    return __GCONV_EMPTY_INPUT;
}
