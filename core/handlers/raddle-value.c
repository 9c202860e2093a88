/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how a value is written in a keyfile: escapes, lists, numbers, sizes, times, paths
 * and where a secret is kept. Pure functions, callable from any thread; only a secret
 * looks at the environment or reads a file. It must never look at the locale, and never
 * put a secret into an error.
 */

#include "handlers/raddle-value.h"

#include "raddle/raddle-error.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_QUOTED_LENGTH 60
#define MAX_SECRET_SIZE   (64 * 1024)

static gboolean
refuse_value (const char *text,
              const char *why,
              GError **error)
{
  g_autofree char *quoted = raddle_quote_value (text);

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG, "%s %s", quoted, why);
  return FALSE;
}

char *
raddle_quote_value (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *quoted = g_string_new ("'");
  guint n_characters = 0;

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (n_characters++ == MAX_QUOTED_LENGTH)
        {
          g_string_append (quoted, "…");
          break;
        }
      if (g_unichar_iscntrl (c) || g_unichar_type (c) == G_UNICODE_FORMAT)
        g_string_append_printf (quoted, "\\x%02x", c);
      else
        g_string_append_unichar (quoted, c);
    }
  g_string_append_c (quoted, '\'');

  return g_string_free (quoted, FALSE);
}

static gboolean
append_escaped (GString *text,
                char letter,
                GError **error)
{
  static const char letters[] = "sntr\\;";
  static const char meanings[] = " \n\t\r\\;";
  const char *found = letter != '\0' ? strchr (letters, letter) : NULL;

  if (found != NULL)
    {
      g_string_append_c (text, meanings[found - letters]);
      return TRUE;
    }
  if (letter == '\0')
    g_set_error_literal (
      error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
      "the value ends in a lone backslash; a backslash is written \\\\");
  else
    g_set_error_literal (
      error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
      "a backslash stands before something that is no escape; there are \\s, \\n, \\t, "
      "\\r, \\; and \\\\");
  return FALSE;
}

static char *
unescape (const char *value,
          gsize length,
          GError **error)
{
  g_autoptr (GString) text = g_string_sized_new (length);

  for (gsize i = 0; i < length; i++)
    {
      if (value[i] != '\\')
        g_string_append_c (text, value[i]);
      else if (!append_escaped (text, ++i < length ? value[i] : '\0', error))
        return NULL;
    }

  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* A key's value as it is written, with `\s` and its like turned into what they mean. */
char *
raddle_unescape_value (const char *value,
                       GError **error)
{
  return unescape (value, strlen (value), error);
}

static gboolean
append_item (GPtrArray *items,
             const char *start,
             const char *end,
             GError **error)
{
  char *item;

  while (start < end && g_ascii_isspace (*start))
    start++;
  while (end > start && g_ascii_isspace (end[-1]))
    end--;

  item = unescape (start, end - start, error);
  if (item == NULL)
    return FALSE;
  g_ptr_array_add (items, item);
  return TRUE;
}

/* Splits at semicolons; the last may be left out. White space around an item does not
 * count, so that one that matters is written `\s`. */
char **
raddle_parse_list (const char *value,
                   GError **error)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_free);
  const char *start = value;
  const char *p = value;

  for (; *p != '\0'; p++)
    {
      if (*p == '\\' && p[1] != '\0')
        p++;
      else if (*p == ';')
        {
          if (!append_item (items, start, p, error))
            return NULL;
          start = p + 1;
        }
    }
  if (start < p && !append_item (items, start, p, error))
    return NULL;

  g_ptr_array_add (items, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&items), FALSE);
}

gboolean
raddle_parse_int (const char *text,
                  gint64 *number,
                  GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, number, &reason))
    return TRUE;
  if (g_error_matches (reason, G_NUMBER_PARSER_ERROR,
                       G_NUMBER_PARSER_ERROR_OUT_OF_BOUNDS))
    return refuse_value (text, "is out of bounds for a whole number of 64 bits", error);
  return refuse_value (text, "is not a whole number", error);
}

gboolean
raddle_parse_boolean (const char *text,
                      gboolean *truth,
                      GError **error)
{
  if (g_str_equal (text, "true") || g_str_equal (text, "false"))
    {
      *truth = text[0] == 't';
      return TRUE;
    }
  return refuse_value (text, "is neither 'true' nor 'false'", error);
}

gboolean
raddle_parse_double (const char *text,
                     double *number,
                     GError **error)
{
  char *end = NULL;
  double value;

  /* g_ascii_strtod() also reads hexadecimal, infinities and leading blanks. */
  if (text[0] == '\0' || text[strspn (text, "0123456789+-.eE")] != '\0')
    return refuse_value (text, "is not a number, such as 0.5", error);

  value = g_ascii_strtod (text, &end);
  if (*end != '\0' || end == text)
    return refuse_value (text, "is not a number, such as 0.5", error);
  if (!isfinite (value))
    return refuse_value (text, "is out of bounds for a number", error);

  *number = value;
  return TRUE;
}

/* Moves @text behind the digits. The number means nothing when @overflow is set. */
static guint64
read_digits (const char **text,
             gboolean *overflow)
{
  guint64 value = 0;

  for (; g_ascii_isdigit (**text); (*text)++)
    if (!g_uint64_checked_mul (&value, value, 10) ||
        !g_uint64_checked_add (&value, value, **text - '0'))
      *overflow = TRUE;

  return value;
}

gboolean
raddle_parse_size (const char *text,
                   guint64 *bytes,
                   GError **error)
{
  static const char units[] = "KMG";
  const char *p = text;
  gboolean overflow = FALSE;
  guint64 value = read_digits (&p, &overflow);
  const char *unit = *p != '\0' ? strchr (units, *p) : NULL;

  if (p == text || (*p != '\0' && (unit == NULL || p[1] != '\0')))
    return refuse_value (
      text,
      "is not a size: a whole number of bytes, with K, M or G behind it for powers of "
      "1024",
      error);
  if (unit != NULL &&
      !g_uint64_checked_mul (&value, value,
                             G_GUINT64_CONSTANT (1) << (10 * (unit - units + 1))))
    overflow = TRUE;
  if (overflow)
    return refuse_value (text, "is out of bounds for a size of 64 bits", error);

  *bytes = value;
  return TRUE;
}

static gint64
find_duration_unit (const char *unit)
{
  static const struct { const char *name; gint64 microseconds; } units[] = {
    { "", G_USEC_PER_SEC },
    { "us", 1 },
    { "ms", 1000 },
    { "s", G_USEC_PER_SEC },
    { "min", 60 * (gint64) G_USEC_PER_SEC },
    { "h", 3600 * (gint64) G_USEC_PER_SEC },
    { "d", 86400 * (gint64) G_USEC_PER_SEC },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (g_str_equal (unit, units[i].name))
      return units[i].microseconds;

  return 0;
}

/* What stands behind the point, as a part of one. */
static gboolean
read_fraction (const char **text,
               double *fraction)
{
  double place = 0.1;

  *fraction = 0;
  if (**text != '.')
    return TRUE;
  (*text)++;
  if (!g_ascii_isdigit (**text))
    return FALSE;
  for (; g_ascii_isdigit (**text); (*text)++, place /= 10)
    *fraction += (**text - '0') * place;

  return TRUE;
}

gboolean
raddle_parse_duration (const char *text,
                       gint64 *microseconds,
                       GError **error)
{
  const char *p = text;
  gboolean overflow = FALSE;
  guint64 value = read_digits (&p, &overflow);
  double fraction = 0;
  gboolean number = p > text && read_fraction (&p, &fraction);
  gint64 unit = number ? find_duration_unit (p) : 0;

  if (unit == 0)
    return refuse_value (text,
                         "is not a time: a number with us, ms, s, min, h or d behind "
                         "it; seconds without one",
                         error);
  if (overflow || !g_uint64_checked_mul (&value, value, unit) ||
      !g_uint64_checked_add (&value, value, (guint64) (fraction * unit + 0.5)) ||
      value > G_MAXINT64)
    return refuse_value (text, "is out of bounds for a time", error);

  *microseconds = value;
  return TRUE;
}

/* A path without a folder starts at @base_folder, or at the working folder if that is
 * %NULL. */
char *
raddle_resolve_path (const char *path,
                     const char *base_folder,
                     GError **error)
{
  g_autofree char *working_folder = NULL;

  if (path[0] == '~' && path[1] != '\0' && path[1] != '/')
    {
      refuse_value (path, "starts at another user's home; only '~/' expands", error);
      return NULL;
    }
  if (path[0] == '~')
    return path[1] == '\0' ? g_strdup (g_get_home_dir ())
                           : g_build_filename (g_get_home_dir (), path + 2, NULL);
  if (g_path_is_absolute (path))
    return g_strdup (path);
  if (base_folder == NULL)
    base_folder = working_folder = g_get_current_dir ();
  return g_build_filename (base_folder, path, NULL);
}

gboolean
raddle_is_variable_name (const char *text)
{
  if (!g_ascii_isalpha (text[0]) && text[0] != '_')
    return FALSE;
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '_')
      return FALSE;

  return TRUE;
}

static char *
read_secret_variable (const char *name,
                      GError **error)
{
  const char *value;

  if (!raddle_is_variable_name (name))
    {
      g_set_error_literal (
        error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
        "what follows 'env:' is not the name of an environment variable");
      return NULL;
    }
  value = g_getenv (name);
  if (value == NULL || value[0] == '\0')
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                   "the environment variable %s, which should hold the secret, is %s",
                   name, value == NULL ? "not set" : "empty");
      return NULL;
    }
  return g_strdup (value);
}

static gboolean
check_secret_file (int fd,
                   const char *quoted,
                   GError **error)
{
  struct stat info;

  if (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode))
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s is not a regular file", quoted);
  else if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s is open to other users (mode %04o); close it "
                 "with chmod 600",
                 quoted, (guint) info.st_mode & 07777);
  else if (info.st_size > MAX_SECRET_SIZE)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s is longer than %d bytes", quoted, MAX_SECRET_SIZE);
  else
    return TRUE;
  return FALSE;
}

static char *
read_secret_text (int fd,
                  const char *quoted,
                  GError **error)
{
  g_autofree char *text = g_malloc0 (MAX_SECRET_SIZE + 1);
  gsize length = 0;
  gssize n_read;

  while ((n_read = read (fd, text + length, MAX_SECRET_SIZE - length)) > 0)
    length += n_read;
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
    text[--length] = '\0';

  if (n_read < 0)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s cannot be read: %s", quoted, g_strerror (errno));
  else if (length == 0)
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s is empty", quoted);
  else if (!g_utf8_validate (text, length, NULL))
    g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                 "the secret's file %s is not UTF-8 text", quoted);
  else
    return g_strdup (text);
  return NULL;
}

static char *
read_secret_file (const char *path,
                  const char *base_folder,
                  GError **error)
{
  g_autofree char *file = raddle_resolve_path (path, base_folder, error);
  g_autofree char *quoted = NULL;
  char *secret = NULL;
  int fd;

  if (file == NULL)
    return NULL;
  quoted = raddle_quote_value (file);
  /* Not blocking: a pipe in the place of the file must not hold the program up. */
  fd = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
                   "the secret's file %s cannot be read: %s", quoted, g_strerror (errno));
      return NULL;
    }
  if (check_secret_file (fd, quoted, error))
    secret = read_secret_text (fd, quoted, error);
  close (fd);

  return secret;
}

/* @where is `env:VARIABLE` or `file:PATH`. Anything else may be the secret itself, which
 * somebody wrote into the wrong place: it is never repeated. */
char *
raddle_read_secret (const char *where,
                    const char *base_folder,
                    GError **error)
{
  if (g_str_has_prefix (where, "env:"))
    return read_secret_variable (where + strlen ("env:"), error);
  if (g_str_has_prefix (where, "file:") && where[strlen ("file:")] != '\0')
    return read_secret_file (where + strlen ("file:"), base_folder, error);

  g_set_error_literal (
    error, RADDLE_ERROR, RADDLE_ERROR_CONFIG,
    "a secret never stands in the keyfile; write where it is to be found: env:VARIABLE "
    "or file:PATH");
  return NULL;
}
