#include "process/library.h"

struct hp_library hp_library __attribute__((aligned(4096)));
