/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ELF reader: what it reads from good files, and that no bytes can hurt it. */

#include "plugin-kit.h"

#include "plugins/raddle-admission.h"
#include "plugins/raddle-classification.h"
#include "plugins/raddle-elf.h"
#include "raddle/raddle-error.h"
#include "raddle/raddle-plugin.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

static int
make_file (const char *contents,
           gsize length)
{
  int fd = memfd_create ("elf", MFD_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (pwrite (fd, contents, length, 0), ==, (gssize) length);
  return fd;
}

static RaddleElf *
read_built (const char *plugin)
{
  g_autofree char *contents = NULL;
  g_autoptr(GError) error = NULL;
  RaddleElf *elf;
  gsize length;
  int fd;

  plugin_kit_read_built (plugin, &contents, &length);
  fd = make_file (contents, length);
  elf = raddle_elf_read (fd, &error);
  g_assert_no_error (error);
  g_assert_nonnull (elf);
  close (fd);
  return elf;
}

static gboolean
has_name (GPtrArray *names,
          const char *name)
{
  return g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL);
}

static void
test_symbols (void)
{
  g_autoptr(RaddleElf) elf = read_built ("good-options");
  RaddlePluginDescriptor head;

  g_assert_cmpuint (elf->exported->len, ==, 4);
  g_assert_true (raddle_elf_lookup (elf, "raddle_on_llm_end")->is_function);
  g_assert_true (raddle_elf_lookup (elf, "raddle_setup")->is_function);
  g_assert_true (raddle_elf_lookup (elf, "raddle_teardown")->is_function);
  g_assert_false (raddle_elf_lookup (elf, "raddle_plugin_descriptor")->is_function);
  g_assert_null (raddle_elf_lookup (elf, "raddle_on_llm"));
  g_assert_cmpuint (elf->hidden->len, ==, 0);
  g_assert_cmpuint (elf->mangled->len, ==, 0);

  g_assert_cmpuint (elf->descriptor_read, ==, RADDLE_ELF_DESCRIPTOR_BYTES);
  /* The address sanitizer puts a margin behind each variable. */
  g_assert_cmpuint (elf->descriptor_size, >=, sizeof (RaddlePluginDescriptor));
  memcpy (&head, elf->descriptor, sizeof elf->descriptor);
  g_assert_cmphex (head.magic, ==, RADDLE_PLUGIN_MAGIC);
  g_assert_cmpuint (head.struct_size, ==, sizeof (RaddlePluginDescriptor));
  g_assert_cmpuint (head.option_size, ==, sizeof (RaddleOption));
  g_assert_cmpuint (head.abi_major, ==, RADDLE_ABI_MAJOR);
  g_assert_cmpuint (head.abi_minor, ==, RADDLE_ABI_MINOR);
  g_assert_cmphex (head.flags, ==, RADDLE_PLUGIN_DETACHED | RADDLE_PLUGIN_EXCLUSIVE);
}

static void
test_needed (void)
{
  g_autoptr(RaddleElf) elf = read_built ("missing-dependency");

  g_assert_true (has_name (elf->needed, "libraddle-lost.so.7"));
  if (elf->build_id != NULL)
    g_assert_true (g_regex_match_simple ("^[0-9a-f]{8,}$", elf->build_id, 0, 0));
}

/* What the library that a file is linked with exports is not the file's. */
static void
test_own_symbols_only (void)
{
  g_autoptr(RaddleElf) elf = read_built ("dependency-event");

  g_assert_null (raddle_elf_lookup (elf, "raddle_on_text"));
  g_assert_false (has_name (elf->hidden, "raddle_on_text"));
}

static void
test_unseen_symbols (void)
{
  g_autoptr(RaddleElf) hidden = read_built ("hidden-event");
  g_autoptr(RaddleElf) local = read_built ("misspelt-static");

  g_assert_true (has_name (hidden->hidden, "raddle_on_llm_end"));
  g_assert_false (has_name (hidden->hidden, "raddle_on_text"));
  g_assert_true (has_name (local->hidden, "raddle_on_llm_new_tokn"));
}

static void
test_cplusplus (void)
{
  g_autoptr(RaddleElf) overload = NULL;
  g_autoptr(RaddleElf) good = NULL;

  if (g_strcmp0 (g_getenv ("RADDLE_TEST_CPLUSPLUS"), "1") != 0)
    {
      g_test_skip ("no C++ compiler");
      return;
    }

  overload = read_built ("overload");
  good = read_built ("good-cplusplus");
  g_assert_true (has_name (overload->mangled, "raddle_on_text"));
  g_assert_cmpuint (good->mangled->len, ==, 0);
}

static void
test_demangle (void)
{
  static const struct
  {
    const char *symbol;
    const char *name;
  } rows[] = {
    { "_Z14raddle_on_textPci", "raddle_on_text" },
    { "_ZL14raddle_on_textv", "raddle_on_text" },
    { "_ZN3foo14raddle_on_textEv", "raddle_on_text" },
    { "_ZN12_GLOBAL__N_114raddle_on_textEv", "raddle_on_text" },
    { "_ZNK3foo3bar14raddle_on_textEv", "raddle_on_text" },
    { "_ZN14raddle_on_text3barEv", "bar" },
    { "_ZZ14raddle_on_textE7n_calls", NULL },
    { "_ZZ14raddle_on_textENKUlvE_clEv", NULL },
    { "_Z4callIZ14raddle_on_textEUlvE_EiT_", "call" },
    { "_ZNSt6vectorIiE4pushEi", NULL },
    { "raddle_on_text", NULL },
    { "_Z", NULL },
    { "_ZN", NULL },
    { "_Z99raddle", NULL },
    { "_Z0", NULL },
    { "_Z18446744073709551617x", NULL },
    { "_ZN3foo", NULL },
    { "", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *name = raddle_elf_demangle (rows[i].symbol);

      g_assert_cmpstr (name, ==, rows[i].name);
    }
}

/* Reads and judges, and checks that a refusal has words. */
static gboolean
survives (int fd)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(RaddleElf) elf = raddle_elf_read (fd, &error);
  RaddlePluginFacts facts = { 0, };
  gboolean good;

  good = elf != NULL && raddle_admission_judge_numbers (elf, &facts, &error)
         && raddle_classification_judge (elf, &facts, &error);
  if (good)
    {
      g_assert_no_error (error);
      g_assert_cmpint (facts.kind, !=, RADDLE_PLUGIN_KIND_UNKNOWN);
    }
  else
    {
      g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_PLUGIN);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
    }
  raddle_plugin_facts_clear (&facts);

  return good;
}

/* Cut anywhere, a file is refused: its section table stands at its end. */
static void
test_cut_everywhere (void)
{
  g_autofree char *contents = NULL;
  gsize length;
  int fd;

  plugin_kit_read_built ("good-sync", &contents, &length);
  fd = make_file (contents, length);
  g_assert_true (survives (fd));
  for (gsize cut = length; cut-- > 0;)
    {
      if (cut > 512 && cut % 13 != 0 && length - cut > 512)
        continue;
      g_assert_cmpint (ftruncate (fd, (off_t) cut), ==, 0);
      g_assert_false (survives (fd));
    }
  close (fd);
}

static void
try_byte (int fd,
          gsize offset,
          char original,
          char changed)
{
  g_assert_cmpint (pwrite (fd, &changed, 1, (off_t) offset), ==, 1);
  survives (fd);
  g_assert_cmpint (pwrite (fd, &original, 1, (off_t) offset), ==, 1);
}

/* Each byte in turn, and the bytes of the headers with every value that numbers like. */
static void
test_change_everywhere (void)
{
  static const guint8 values[] = { 0x00, 0x01, 0x40, 0x7f, 0x80, 0xff };
  g_autofree char *contents = NULL;
  ElfW (Ehdr) header;
  gsize length;
  int fd;

  plugin_kit_read_built ("good-sync", &contents, &length);
  memcpy (&header, contents, sizeof header);
  fd = make_file (contents, length);
  for (gsize i = 0; i < length; i++)
    {
      gboolean is_header = i < 0x400 || i >= header.e_shoff;

      for (guint j = 0; is_header && j < G_N_ELEMENTS (values); j++)
        try_byte (fd, i, contents[i], (char) values[j]);
      if (!is_header && contents[i] != 0)
        try_byte (fd, i, contents[i], (char) ~contents[i]);
    }
  g_assert_true (survives (fd));
  close (fd);
}

/* Many bytes at once, always the same ones. */
static void
test_change_at_random (void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (20240229);
  g_autofree char *contents = NULL;
  gsize length;

  plugin_kit_read_built ("good-sync", &contents, &length);
  for (guint round = 0; round < 2000; round++)
    {
      g_autofree char *copy = g_memdup2 (contents, length);
      guint n_changes = (guint) g_rand_int_range (random, 1, 64);
      int fd;

      for (guint i = 0; i < n_changes; i++)
        copy[g_rand_int_range (random, EI_NIDENT, (gint32) length)]
            = (char) g_rand_int_range (random, 0, 256);
      fd = make_file (copy, length);
      survives (fd);
      close (fd);
    }
}

static void
test_noise (void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (7);

  for (guint round = 0; round < 2000; round++)
    {
      char noise[512];
      int fd;

      for (guint i = 0; i < sizeof noise; i++)
        noise[i] = (char) g_rand_int_range (random, 0, 256);
      memcpy (noise, ELFMAG, SELFMAG);
      noise[EI_CLASS] = sizeof (gpointer) == 8 ? ELFCLASS64 : ELFCLASS32;
      noise[EI_DATA] = G_BYTE_ORDER == G_LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB;
      noise[EI_VERSION] = EV_CURRENT;
      fd = make_file (noise, sizeof noise);
      g_assert_false (survives (fd));
      close (fd);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/elf/symbols", test_symbols);
  g_test_add_func ("/elf/needed", test_needed);
  g_test_add_func ("/elf/own-symbols-only", test_own_symbols_only);
  g_test_add_func ("/elf/unseen-symbols", test_unseen_symbols);
  g_test_add_func ("/elf/cplusplus", test_cplusplus);
  g_test_add_func ("/elf/demangle", test_demangle);
  g_test_add_func ("/elf/cut-everywhere", test_cut_everywhere);
  g_test_add_func ("/elf/change-everywhere", test_change_everywhere);
  g_test_add_func ("/elf/change-at-random", test_change_at_random);
  g_test_add_func ("/elf/noise", test_noise);

  return g_test_run ();
}
