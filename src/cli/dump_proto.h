/* dump_proto.h - dumps as profile.proto, with their functions: what `-o NAME.pb.gz` asks for. */
#ifndef HP_CLI_DUMP_PROTO_H
#define HP_CLI_DUMP_PROTO_H

#include "reader/reader.h"

/* The text of a dump of this ledger to `path`, replaced when the new file is whole. The exit status. */
int hp_dump_proto(const struct hp_ledger_info *info, const void *text, size_t size, const char *path);
/* The dump in the file itself, which the library wrote as text. The exit status. */
int hp_dump_proto_replace(const char *path);

#endif
