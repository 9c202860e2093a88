/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the first step of admission: file type, owner and mode, ELF identity, the
 * descriptor's numbers, and then the names. Runs on the thread that calls it. It must
 * never run a plugin's code, block on what is not a regular file, or judge a name before
 * the ABI is known to fit.
 */

#include "plugins/raddle-admission.h"

#include "plugins/raddle-classification.h"
#include "plugins/raddle-refusal.h"
#include "plugins/raddle-trust.h"
#include "raddle/raddle-plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The sizes of ABI 1.0. The structs grow only at their ends, so these never change. */
#define DESCRIPTOR_SIZE_1_0                                                              \
  (offsetof (RaddlePluginDescriptor, options) + sizeof (gpointer))
#define OPTION_SIZE_1_0 (offsetof (RaddleOption, choices) + sizeof (gpointer))

#define DELIVERY_FLAGS                                                                   \
  (RADDLE_PLUGIN_INLINE | RADDLE_PLUGIN_LOCKSTEP | RADDLE_PLUGIN_DETACHED)
#define OVERFLOW_FLAGS                                                                   \
  (RADDLE_PLUGIN_COALESCE | RADDLE_PLUGIN_DROP_OLDEST | RADDLE_PLUGIN_DROP_NEWEST)
#define KNOWN_FLAGS                                                                      \
  (RADDLE_PLUGIN_THREAD_SAFE | DELIVERY_FLAGS | RADDLE_PLUGIN_EXCLUSIVE |                 \
   OVERFLOW_FLAGS | RADDLE_PLUGIN_ON_REQUEST)

G_STATIC_ASSERT (offsetof (RaddlePluginDescriptor, flags) + sizeof (guint32)
                 <= RADDLE_ELF_DESCRIPTOR_BYTES);

void
raddle_plugin_facts_clear (RaddlePluginFacts *self)
{
  g_clear_pointer (&self->build_id, g_free);
  g_clear_pointer (&self->needed, g_strfreev);
  memset (self, 0, sizeof *self);
}

static const char *
describe_type (mode_t mode)
{
  if (S_ISDIR (mode))
    return "folder";
  if (S_ISFIFO (mode))
    return "FIFO";
  if (S_ISSOCK (mode))
    return "socket";
  return "device";
}

static gboolean
refuse_missing (const char *file,
                int error_number,
                GError **error)
{
  g_autofree char *target = NULL;

  if (error_number == ENOENT)
    target = g_file_read_link (file, NULL);
  if (target != NULL)
    {
      g_autofree char *display = g_filename_display_name (target);

      return raddle_refuse (error, "is a link to %s, which does not exist; mend or "
                            "remove the link", display);
    }
  if (error_number == ENOENT)
    return raddle_refuse (error, "does not exist; check the name");
  if (error_number == EACCES)
    return raddle_refuse (error, "cannot be read: %s; check its mode and that of its "
                          "folders", g_strerror (error_number));

  return raddle_refuse (error, "cannot be opened: %s", g_strerror (error_number));
}

static gboolean
refuse_type (mode_t mode,
             GError **error)
{
  return raddle_refuse (error, "is a %s, not a file; remove it or give it a name "
                        "without .so", describe_type (mode));
}

/* Looks before it opens, since opening a device can do things, and again afterwards,
 * since something else may be there by then. Never waits for the other end of a FIFO. */
static int
open_file (const char *file,
           struct stat *st,
           GError **error)
{
  int fd;

  if (stat (file, st) != 0)
    {
      refuse_missing (file, errno, error);
      return -1;
    }
  if (!S_ISREG (st->st_mode))
    {
      refuse_type (st->st_mode, error);
      return -1;
    }

  fd = open (file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0 || fstat (fd, st) != 0)
    refuse_missing (file, errno, error);
  else if (!S_ISREG (st->st_mode))
    refuse_type (st->st_mode, error);
  else
    return fd;

  if (fd >= 0)
    close (fd);
  return -1;
}

static void
take_numbers (RaddleElf *elf,
              RaddlePluginFacts *facts)
{
  RaddlePluginDescriptor head = { 0, };

  memcpy (&head, elf->descriptor, elf->descriptor_read);
  facts->magic = head.magic;
  facts->struct_size = head.struct_size;
  facts->option_size = head.option_size;
  facts->abi_major = head.abi_major;
  facts->abi_minor = head.abi_minor;
  facts->flags = head.flags;
  facts->has_numbers = elf->descriptor_read >= offsetof (RaddlePluginDescriptor, flags);
}

static gboolean
judge_presence (RaddleElf *elf,
                RaddlePluginFacts *facts,
                GError **error)
{
  const RaddleElfSymbol *symbol = raddle_elf_lookup (elf, "raddle_plugin_descriptor");

  if (symbol == NULL
      && g_ptr_array_find_with_equal_func (elf->hidden, "raddle_plugin_descriptor",
                                           g_str_equal, NULL))
    return raddle_refuse (error, "has raddle_plugin_descriptor but does not export it; "
                          "make it with RADDLE_PLUGIN (), and do not hide it in a "
                          "linker script");
  if (symbol == NULL)
    return raddle_refuse (error, "has no raddle_plugin_descriptor, so it is no Raddle "
                          "plugin; say what it is with RADDLE_PLUGIN (name, version, "
                          "description)");
  if (symbol->is_function || !facts->has_numbers)
    return raddle_refuse (error, "has a raddle_plugin_descriptor that is not a "
                          "descriptor; make it with RADDLE_PLUGIN ()");
  if (facts->magic != RADDLE_PLUGIN_MAGIC)
    return raddle_refuse (error, "has a raddle_plugin_descriptor with the wrong magic "
                          "number (0x%08x, not 0x%08x); make it with RADDLE_PLUGIN ()",
                          facts->magic, RADDLE_PLUGIN_MAGIC);

  return TRUE;
}

static gboolean
judge_abi (RaddlePluginFacts *facts,
           GError **error)
{
  guint major = facts->abi_major, minor = facts->abi_minor;
  g_autofree char *what = NULL;

  if (major == RADDLE_ABI_MAJOR && minor <= RADDLE_ABI_MINOR)
    return TRUE;

  what = g_strdup_printf ("is built for Raddle's plugin ABI %u.%u and this host has "
                          "%d.%d (raddle_plugin_descriptor)", major, minor,
                          RADDLE_ABI_MAJOR, RADDLE_ABI_MINOR);
  if (major < RADDLE_ABI_MAJOR)
    return raddle_refuse (error, "%s; rebuild it with this host's headers", what);
  return raddle_refuse (error, "%s; install a Raddle with ABI %u.%u or rebuild it with "
                        "this host's headers", what, major, minor);
}

static gboolean
judge_sizes (RaddleElf *elf,
             RaddlePluginFacts *facts,
             GError **error)
{
  if (facts->struct_size < DESCRIPTOR_SIZE_1_0
      || (elf->descriptor_size != 0 && elf->descriptor_size < facts->struct_size))
    return raddle_refuse (error, "has a raddle_plugin_descriptor of the wrong size (it "
                          "says %u bytes, has %" G_GUINT64_FORMAT ", and ABI %u.%u "
                          "needs %" G_GSIZE_FORMAT "); make it with RADDLE_PLUGIN ()",
                          facts->struct_size, elf->descriptor_size,
                          (guint) facts->abi_major, (guint) facts->abi_minor,
                          DESCRIPTOR_SIZE_1_0);
  if (facts->option_size < OPTION_SIZE_1_0
      || facts->option_size % _Alignof (RaddleOption) != 0)
    return raddle_refuse (error, "has a raddle_plugin_descriptor with options of %u "
                          "bytes each, and ABI %u.%u needs %" G_GSIZE_FORMAT "; make it "
                          "with RADDLE_PLUGIN_FULL ()", facts->option_size,
                          (guint) facts->abi_major, (guint) facts->abi_minor,
                          OPTION_SIZE_1_0);
  if (elf->descriptor_read < RADDLE_ELF_DESCRIPTOR_BYTES)
    return raddle_refuse (error, "has a raddle_plugin_descriptor that is cut short; "
                          "build or copy it again");

  facts->has_flags = TRUE;
  return TRUE;
}

static gboolean
has_several (guint32 flags)
{
  return (flags & (flags - 1)) != 0;
}

static gboolean
judge_overflow (RaddlePluginFacts *facts,
                GError **error)
{
  guint32 overflow = facts->flags & OVERFLOW_FLAGS;

  if (has_several (overflow))
    return raddle_refuse (error, "has flags in raddle_plugin_descriptor that contradict "
                          "each other; set only one of RADDLE_PLUGIN_COALESCE, "
                          "RADDLE_PLUGIN_DROP_OLDEST and RADDLE_PLUGIN_DROP_NEWEST");
  if (overflow != 0
      && (facts->flags & (RADDLE_PLUGIN_INLINE | RADDLE_PLUGIN_LOCKSTEP)) != 0)
    return raddle_refuse (error, "has flags in raddle_plugin_descriptor that contradict "
                          "each other: with %s no queue can be full; drop that flag or "
                          "the one of RADDLE_PLUGIN_COALESCE, RADDLE_PLUGIN_DROP_OLDEST "
                          "and RADDLE_PLUGIN_DROP_NEWEST",
                          (facts->flags & RADDLE_PLUGIN_INLINE) != 0
                            ? "RADDLE_PLUGIN_INLINE" : "RADDLE_PLUGIN_LOCKSTEP");

  return TRUE;
}

static gboolean
judge_flags (RaddlePluginFacts *facts,
             GError **error)
{
  if ((facts->flags & ~(guint32) KNOWN_FLAGS) != 0)
    return raddle_refuse (error, "has unknown flags 0x%x in raddle_plugin_descriptor; "
                          "use RADDLE_PLUGIN_* flags only",
                          facts->flags & ~(guint32) KNOWN_FLAGS);
  if (has_several (facts->flags & DELIVERY_FLAGS))
    return raddle_refuse (error, "has flags in raddle_plugin_descriptor that contradict "
                          "each other; set only one of RADDLE_PLUGIN_INLINE, "
                          "RADDLE_PLUGIN_LOCKSTEP and RADDLE_PLUGIN_DETACHED");

  return judge_overflow (facts, error);
}

/**
 * raddle_admission_judge_numbers:
 * @elf: what was read from the file
 * @facts: takes the numbers
 * @error: return location for an error
 *
 * Judges the descriptor by its bytes in the file.
 *
 * Returns: %FALSE with @error set when the plugin is not for this host
 */
gboolean
raddle_admission_judge_numbers (RaddleElf *elf,
                                RaddlePluginFacts *facts,
                                GError **error)
{
  take_numbers (elf, facts);

  return judge_presence (elf, facts, error)
         && judge_abi (facts, error)
         && judge_sizes (elf, facts, error)
         && judge_flags (facts, error);
}

static gboolean
judge_elf (RaddleElf *elf,
           RaddlePluginFacts *facts,
           GError **error)
{
  facts->build_id = g_strdup (elf->build_id);
  g_ptr_array_add (elf->needed, NULL);
  facts->needed = (char **) g_ptr_array_steal (elf->needed, NULL);

  return raddle_admission_judge_numbers (elf, facts, error)
         && raddle_classification_judge (elf, facts, error);
}

static gboolean
judge_fd (const char *file,
          int fd,
          const struct stat *st,
          RaddlePluginFacts *facts,
          GError **error)
{
  g_autoptr(RaddleElf) elf = NULL;

  if (!raddle_trust_check_stat (st, file, error)
      || !raddle_trust_check_folders (file, error))
    return FALSE;

  elf = raddle_elf_read (fd, error);
  return elf != NULL && judge_elf (elf, facts, error);
}

/**
 * raddle_admission_judge:
 * @file: an absolute name
 * @facts: (out caller-allocates): takes what the file says of itself, also when it is
 *   refused; free it with raddle_plugin_facts_clear()
 * @error: return location for an error
 *
 * Decides whether a file may be loaded, without running anything in it. The error's
 * message names the file, the symbol and what to do.
 *
 * Returns: %FALSE with @error set when the file is refused
 */
gboolean
raddle_admission_judge (const char *file,
                        RaddlePluginFacts *facts,
                        GError **error)
{
  g_autofree char *display = g_filename_display_name (file);
  gboolean good = FALSE;
  struct stat st;
  int fd;

  g_return_val_if_fail (g_path_is_absolute (file), FALSE);

  memset (facts, 0, sizeof *facts);
  fd = open_file (file, &st, error);
  if (fd >= 0)
    {
      good = judge_fd (file, fd, &st, facts, error);
      close (fd);
    }
  if (!good)
    g_prefix_error (error, "%s: ", display);

  return good;
}
