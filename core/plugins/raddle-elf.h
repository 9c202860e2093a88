/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the bytes of a shared object say, read without running any of its code. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define RADDLE_ELF_DESCRIPTOR_BYTES 24

/* A symbol of the file's own. */
typedef struct
{
  char *name;
  gboolean is_function;
} RaddleElfSymbol;

/**
 * RaddleElf:
 * @exported: (element-type RaddleElfSymbol): what the file itself exports under names
 *   that begin with `raddle_`
 * @hidden: (element-type utf8): functions named `raddle_on_*`, and other names of the
 *   ABI, that are in the file but not exported by it
 * @mangled: (element-type utf8): the same, for functions with a C++ name
 * @needed: (element-type utf8): the shared objects that the file asks for
 * @build_id: (nullable): the build-id in hexadecimal
 * @descriptor: the first bytes of the exported `raddle_plugin_descriptor`
 * @descriptor_read: how many of these bytes could be read
 * @descriptor_size: the size of that object, or 0 when the file does not tell
 *
 * What was read from a file.
 */
typedef struct
{
  GPtrArray *exported;
  GPtrArray *hidden;
  GPtrArray *mangled;
  GPtrArray *needed;
  char *build_id;
  guint8 descriptor[RADDLE_ELF_DESCRIPTOR_BYTES];
  gsize descriptor_read;
  guint64 descriptor_size;
} RaddleElf;

RaddleElf             *raddle_elf_new      (void);
void                   raddle_elf_free     (RaddleElf   *self);
RaddleElf             *raddle_elf_read     (int          fd,
                                            GError     **error);
const RaddleElfSymbol *raddle_elf_lookup   (RaddleElf   *self,
                                            const char  *name);
void                   raddle_elf_add      (RaddleElf   *self,
                                            const char  *name,
                                            gboolean     is_function);
char                  *raddle_elf_demangle (const char  *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleElf, raddle_elf_free)

G_END_DECLS
