/* What the profiles beside this folder call sds.c: lines 103 and 120 allocate. */

































































































char *sds_new(const char *text, size_t size)
{
    char *string;
    if (size > SMALL) {
        string = malloc(size);
        memcpy(string, text, size);













    } else {
        /* rounded up */
        string = malloc(64);
    }
    return string;
}
