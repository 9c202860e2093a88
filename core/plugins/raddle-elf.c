/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the reading of shared objects with libelf: identity, bounds, symbols, needed
 * libraries, build-id and the first bytes of the descriptor. Runs on the thread that
 * calls it. It must never run or map the file, and never trust a number in it: any
 * garbage gives an error or a harmless answer. What the symbols mean is decided
 * elsewhere.
 */

#include "plugins/raddle-elf.h"

#include "plugins/raddle-refusal.h"

#include <errno.h>
#include <gelf.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The header of the image that this code is in: what a plugin has to be like. */
extern const ElfW (Ehdr) __ehdr_start __attribute__ ((visibility ("hidden")));

static void
raddle_elf_symbol_free (gpointer data)
{
  RaddleElfSymbol *self = data;

  g_free (self->name);
  g_free (self);
}

RaddleElf *
raddle_elf_new (void)
{
  RaddleElf *self = g_new0 (RaddleElf, 1);

  self->exported = g_ptr_array_new_with_free_func (raddle_elf_symbol_free);
  self->hidden = g_ptr_array_new_with_free_func (g_free);
  self->mangled = g_ptr_array_new_with_free_func (g_free);
  self->needed = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
raddle_elf_free (RaddleElf *self)
{
  g_ptr_array_unref (self->exported);
  g_ptr_array_unref (self->hidden);
  g_ptr_array_unref (self->mangled);
  g_ptr_array_unref (self->needed);
  g_free (self->build_id);
  g_free (self);
}

const RaddleElfSymbol *
raddle_elf_lookup (RaddleElf *self,
                   const char *name)
{
  for (guint i = 0; i < self->exported->len; i++)
    {
      const RaddleElfSymbol *symbol = g_ptr_array_index (self->exported, i);

      if (g_str_equal (symbol->name, name))
        return symbol;
    }

  return NULL;
}

/* Counts @name among what the file exports. */
void
raddle_elf_add (RaddleElf *self,
                const char *name,
                gboolean is_function)
{
  RaddleElfSymbol *symbol = g_new0 (RaddleElfSymbol, 1);

  symbol->name = g_strdup (name);
  symbol->is_function = is_function;
  g_ptr_array_add (self->exported, symbol);
}

static char *
describe_machine (guint machine)
{
  switch (machine)
    {
    case EM_X86_64:
      return g_strdup ("x86-64");
    case EM_386:
      return g_strdup ("x86 (32 bits)");
    case EM_AARCH64:
      return g_strdup ("AArch64");
    case EM_ARM:
      return g_strdup ("ARM (32 bits)");
    case EM_RISCV:
      return g_strdup ("RISC-V");
    case EM_PPC64:
      return g_strdup ("PowerPC 64");
    case EM_S390:
      return g_strdup ("S/390");
    default: /* not an enumeration: any number may stand in a file */
      return g_strdup_printf ("machine %u", machine);
    }
}

static gboolean
check_ident (const guint8 *ident,
             gsize length,
             GError **error)
{
  const guint8 *own = __ehdr_start.e_ident;

  if (length == 0)
    return raddle_refuse (error, "is empty; build or copy it again");
  if (length < SELFMAG || memcmp (ident, ELFMAG, SELFMAG) != 0)
    return raddle_refuse (error, "is not a shared object (it does not begin like an ELF "
                          "file); compile it with -shared, or take .so off its name");
  if (length < EI_NIDENT)
    return raddle_refuse (error, "is cut short; build or copy it again");
  if (ident[EI_CLASS] != own[EI_CLASS])
    return raddle_refuse (error, "is for %d bits and this program has %d; rebuild it on "
                          "this system", ident[EI_CLASS] == ELFCLASS32 ? 32 : 64,
                          own[EI_CLASS] == ELFCLASS32 ? 32 : 64);
  if (ident[EI_DATA] != own[EI_DATA])
    return raddle_refuse (error, "has the other byte order; rebuild it on this system");

  return TRUE;
}

static gboolean
check_header (const GElf_Ehdr *header,
              GError **error)
{
  if (header->e_machine != __ehdr_start.e_machine)
    {
      g_autofree char *theirs = describe_machine (header->e_machine);
      g_autofree char *ours = describe_machine (__ehdr_start.e_machine);

      return raddle_refuse (error, "is built for %s and this program runs on %s; "
                            "rebuild it on this system", theirs, ours);
    }
  if (header->e_type == ET_REL)
    return raddle_refuse (error, "is an object file, not a shared object; link it with "
                          "-shared");
  if (header->e_type == ET_EXEC)
    return raddle_refuse (error, "is a program, not a shared object; link it with "
                          "-shared");
  if (header->e_type != ET_DYN)
    return raddle_refuse (error, "is an ELF file of type %u, not a shared object; link "
                          "it with -shared", header->e_type);

  return TRUE;
}

static gboolean
is_within (guint64 offset,
           guint64 length,
           guint64 size)
{
  return offset <= size && length <= size - offset;
}

/* A file that is still being copied, or was cut off, would load and crash later. */
static gboolean
check_bounds (Elf *elf,
              const GElf_Ehdr *header,
              guint64 size,
              GError **error)
{
  Elf_Scn *section = NULL;
  gsize n_segments = 0;
  GElf_Phdr segment;
  GElf_Shdr shdr;

  if (header->e_shoff == 0)
    return raddle_refuse (error, "has no section headers, so that its symbols cannot be "
                          "read; build it again and do not strip more than strip does");
  if (!is_within (header->e_shoff, (guint64) header->e_shnum * header->e_shentsize, size)
      || !is_within (header->e_phoff, (guint64) header->e_phnum * header->e_phentsize,
                     size)
      || elf_getphdrnum (elf, &n_segments) != 0)
    return raddle_refuse (error, "is cut short; build or copy it again");

  for (gsize i = 0; i < n_segments; i++)
    if (gelf_getphdr (elf, (int) i, &segment) == NULL
        || !is_within (segment.p_offset, segment.p_filesz, size))
      return raddle_refuse (error, "is cut short; build or copy it again");

  while ((section = elf_nextscn (elf, section)) != NULL)
    if (gelf_getshdr (section, &shdr) == NULL
        || (shdr.sh_type != SHT_NOBITS
            && !is_within (shdr.sh_offset, shdr.sh_size, size)))
      return raddle_refuse (error, "is cut short; build or copy it again");

  return TRUE;
}

static Elf_Scn *
find_section (Elf *elf,
              guint32 type,
              GElf_Shdr *shdr)
{
  Elf_Scn *section = NULL;

  while ((section = elf_nextscn (elf, section)) != NULL)
    if (gelf_getshdr (section, shdr) != NULL && shdr->sh_type == type)
      return section;

  return NULL;
}

/* The descriptor's first members have no relocations: what is in the file is what a
 * process would see. */
static void
read_descriptor (RaddleElf *self,
                 Elf *elf,
                 int fd,
                 const GElf_Sym *symbol)
{
  GElf_Shdr shdr;
  guint64 start;
  gssize got;

  self->descriptor_size = symbol->st_size;
  if (symbol->st_shndx >= SHN_LORESERVE
      || gelf_getshdr (elf_getscn (elf, symbol->st_shndx), &shdr) == NULL
      || shdr.sh_type == SHT_NOBITS
      || symbol->st_value < shdr.sh_addr)
    return;

  start = symbol->st_value - shdr.sh_addr;
  if (start >= shdr.sh_size || shdr.sh_offset > G_MAXINT64 - start)
    return;

  got = pread (fd, self->descriptor,
               MIN (shdr.sh_size - start, sizeof self->descriptor),
               (off_t) (shdr.sh_offset + start));
  self->descriptor_read = MAX (got, 0);
}

static gboolean
is_exported (const GElf_Sym *symbol)
{
  guint binding = GELF_ST_BIND (symbol->st_info);
  guint visibility = GELF_ST_VISIBILITY (symbol->st_other);

  return symbol->st_shndx != SHN_UNDEF
         && (binding == STB_GLOBAL || binding == STB_WEAK || binding == STB_GNU_UNIQUE)
         && (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

static gboolean
is_function (const GElf_Sym *symbol)
{
  guint type = GELF_ST_TYPE (symbol->st_info);

  return symbol->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

static void
add_unique (GPtrArray *names,
            char *name)
{
  if (g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
    g_free (name);
  else
    g_ptr_array_add (names, name);
}

static gboolean
is_name_of_abi (const char *name,
                gboolean function)
{
  if (!function)
    return g_str_equal (name, "raddle_plugin_descriptor");

  return g_str_has_prefix (name, "raddle_on_") || g_str_equal (name, "raddle_setup")
         || g_str_equal (name, "raddle_teardown") || g_str_equal (name, "raddle_save")
         || g_str_equal (name, "raddle_restore");
}

static void
add_mangled (RaddleElf *self,
             const char *name)
{
  g_autofree char *plain = raddle_elf_demangle (name);

  if (plain != NULL && is_name_of_abi (plain, TRUE))
    add_unique (self->mangled, g_steal_pointer (&plain));
}

static void
read_dynamic_symbol (RaddleElf *self,
                     Elf *elf,
                     int fd,
                     const GElf_Sym *symbol,
                     const char *name)
{
  gboolean function = is_function (symbol);

  if (!is_exported (symbol))
    return;
  if (function)
    add_mangled (self, name);
  if (!g_str_has_prefix (name, "raddle_") || raddle_elf_lookup (self, name) != NULL)
    return;
  if (!function && GELF_ST_TYPE (symbol->st_info) != STT_OBJECT)
    return;

  raddle_elf_add (self, name, function);
  if (!function && g_str_equal (name, "raddle_plugin_descriptor"))
    read_descriptor (self, elf, fd, symbol);
}

/* Compilers name pieces of a function `function.part.0`, `function.cold` and so on: they
 * stand for the function itself. */
static void
read_other_symbol (RaddleElf *self,
                   const GElf_Sym *symbol,
                   const char *name)
{
  gboolean function = is_function (symbol);
  g_autofree char *base = NULL;

  if (symbol->st_shndx == SHN_UNDEF
      || (!function && GELF_ST_TYPE (symbol->st_info) != STT_OBJECT))
    return;

  base = g_strndup (name, strcspn (name, "."));
  if (function)
    add_mangled (self, base);
  if (is_name_of_abi (base, function) && raddle_elf_lookup (self, base) == NULL)
    add_unique (self->hidden, g_steal_pointer (&base));
}

static gboolean
read_symbols (RaddleElf *self,
              Elf *elf,
              int fd,
              guint32 type,
              GError **error)
{
  GElf_Shdr shdr;
  Elf_Scn *section = find_section (elf, type, &shdr);
  Elf_Data *data;
  GElf_Sym symbol;

  if (section == NULL)
    return TRUE;

  data = elf_getdata (section, NULL);
  if (data == NULL)
    return raddle_refuse (error, "is damaged (its symbols cannot be read: %s); build or "
                          "copy it again", elf_errmsg (-1));

  for (int i = 1; gelf_getsym (data, i, &symbol) != NULL; i++)
    {
      const char *name = elf_strptr (elf, shdr.sh_link, symbol.st_name);

      if (name == NULL)
        continue;
      if (type == SHT_DYNSYM)
        read_dynamic_symbol (self, elf, fd, &symbol, name);
      else
        read_other_symbol (self, &symbol, name);
    }

  return TRUE;
}

static gboolean
read_dynamic (RaddleElf *self,
              Elf *elf,
              GError **error)
{
  GElf_Shdr shdr;
  Elf_Scn *section = find_section (elf, SHT_DYNAMIC, &shdr);
  Elf_Data *data = section != NULL ? elf_getdata (section, NULL) : NULL;
  GElf_Dyn entry;

  if (data == NULL)
    return raddle_refuse (error, "is damaged (it has no dynamic section); build or copy "
                          "it again");

  for (int i = 0; gelf_getdyn (data, i, &entry) != NULL && entry.d_tag != DT_NULL; i++)
    {
      if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE) != 0)
        return raddle_refuse (error, "is a program, not a shared object; link it with "
                              "-shared");
      if (entry.d_tag == DT_NEEDED)
        {
          const char *name = elf_strptr (elf, shdr.sh_link, entry.d_un.d_val);

          if (name != NULL)
            g_ptr_array_add (self->needed, g_utf8_make_valid (name, -1));
        }
    }

  return TRUE;
}

static char *
format_hex (const guint8 *bytes,
            gsize length)
{
  GString *hex = g_string_sized_new (length * 2);

  for (gsize i = 0; i < length; i++)
    g_string_append_printf (hex, "%02x", bytes[i]);

  return g_string_free (hex, FALSE);
}

static char *
read_build_id (Elf *elf)
{
  Elf_Scn *section = NULL;
  GElf_Shdr shdr;

  while ((section = elf_nextscn (elf, section)) != NULL)
    {
      Elf_Data *data;
      GElf_Nhdr note;
      gsize name, desc, offset = 0;

      if (gelf_getshdr (section, &shdr) == NULL || shdr.sh_type != SHT_NOTE
          || (data = elf_getdata (section, NULL)) == NULL)
        continue;

      while ((offset = gelf_getnote (data, offset, &note, &name, &desc)) > 0)
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU
            && memcmp ((const char *) data->d_buf + name, ELF_NOTE_GNU,
                       sizeof ELF_NOTE_GNU) == 0)
          return format_hex ((const guint8 *) data->d_buf + desc, note.n_descsz);
    }

  return NULL;
}

static gboolean
read_sections (RaddleElf *self,
               Elf *elf,
               int fd,
               GError **error)
{
  if (!read_dynamic (self, elf, error)
      || !read_symbols (self, elf, fd, SHT_DYNSYM, error)
      || !read_symbols (self, elf, fd, SHT_SYMTAB, error))
    return FALSE;

  self->build_id = read_build_id (elf);
  return TRUE;
}

/* pread () and not a mapping: a file that shrinks meanwhile must not kill the process. */
static gboolean
read_file (RaddleElf *self,
           Elf *elf,
           int fd,
           GError **error)
{
  struct stat st;
  GElf_Ehdr header;

  if (elf == NULL || elf_kind (elf) != ELF_K_ELF || gelf_getehdr (elf, &header) == NULL)
    return raddle_refuse (error, "is damaged (%s); build or copy it again",
                          elf_errmsg (-1));
  if (fstat (fd, &st) != 0)
    return raddle_refuse (error, "cannot be looked at: %s", g_strerror (errno));

  return check_header (&header, error)
         && check_bounds (elf, &header, (guint64) st.st_size, error)
         && read_sections (self, elf, fd, error);
}

/**
 * raddle_elf_read:
 * @fd: an open file
 * @error: return location for an error
 *
 * Reads what @fd says of itself. The messages of errors do not name the file: they go on
 * from its name ("is empty; ...").
 *
 * Returns: (transfer full): what was read, or %NULL with @error set when the file is not
 *   a whole shared object for this process
 */
RaddleElf *
raddle_elf_read (int fd,
                 GError **error)
{
  g_autoptr(RaddleElf) self = raddle_elf_new ();
  guint8 ident[EI_NIDENT] = { 0, };
  gboolean good;
  gssize got;
  Elf *elf;

  got = pread (fd, ident, sizeof ident, 0);
  if (got < 0)
    {
      raddle_refuse (error, "cannot be read: %s", g_strerror (errno));
      return NULL;
    }
  if (!check_ident (ident, (gsize) got, error))
    return NULL;

  elf_version (EV_CURRENT);
  elf = elf_begin (fd, ELF_C_READ, NULL);
  good = read_file (self, elf, fd, error);
  elf_end (elf);

  return good ? g_steal_pointer (&self) : NULL;
}

/* One `<length><identifier>` of a C++ name; moves @cursor behind it. */
static char *
take_identifier (const char **cursor)
{
  guint64 length;
  char *end;

  if (**cursor == 'L') /* internal linkage */
    (*cursor)++;
  if (!g_ascii_isdigit (**cursor))
    return NULL;

  length = g_ascii_strtoull (*cursor, &end, 10);
  if (length == 0 || length > strlen (end))
    return NULL;

  *cursor = end + length;
  return g_strndup (end, length);
}

/**
 * raddle_elf_demangle:
 * @name: a symbol
 *
 * Gets the plain name of a C++ function or method, without its namespaces and arguments.
 * Entities local to a function (lambdas, static variables) and templates have none: they
 * do not stand for the function whose name they contain.
 *
 * Returns: (transfer full) (nullable): the name, or %NULL
 */
char *
raddle_elf_demangle (const char *name)
{
  const char *cursor = name + 2;
  g_autofree char *last = NULL;

  if (!g_str_has_prefix (name, "_Z"))
    return NULL;
  if (*cursor != 'N')
    return take_identifier (&cursor);

  for (cursor++; *cursor != '\0' && strchr ("rVKRO", *cursor) != NULL; cursor++)
    ;
  for (char *part; (part = take_identifier (&cursor)) != NULL; last = part)
    g_free (last);

  return *cursor == 'E' ? g_steal_pointer (&last) : NULL;
}
