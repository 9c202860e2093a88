/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Takes single words of JSON without building anything. Refuses whatever is rare, even
 * where it is legal: what needs mending, surrogates, large numbers. Pure functions, any
 * thread. Must never read beyond the end.
 */

#include "models/raddle-scan-words.h"

/* More digits than this may not fit an int. */
#define MAX_INDEX_DIGITS 9

/* A number of a block or a choice. */
gboolean
raddle_scan_index (const char **at,
                   const char *end,
                   int *index)
{
  const char *from = *at;

  *index = 0;
  while (*at < end && g_ascii_isdigit (**at) && *at - from < MAX_INDEX_DIGITS)
    *index = *index * 10 + *(*at)++ - '0';
  if (*at == from || (*from == '0' && *at - from > 1))
    return FALSE;
  return *at < end && !g_ascii_isdigit (**at);
}

/* The character of a \u escape, whose digits are at @at; 0 for what needs mending, or a
 * second half. */
static gunichar
read_unicode (const char *at,
              const char *end)
{
  gunichar c = 0;

  if (end - at < 4)
    return 0;
  for (guint i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (at[i]);

      if (digit < 0)
        return 0;
      c = c * 16 + digit;
    }
  return c >= 0xd800 && c <= 0xdfff ? 0 : c;
}

/* @at stands at the backslash. */
static gboolean
take_escape (const char **at,
             const char *end,
             GString *text)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *letter;
  gunichar c;

  if (end - *at < 2 || (*at)[1] == '\0')
    return FALSE;
  letter = strchr (letters, (*at)[1]);
  if (letter != NULL)
    {
      g_string_append_c (text, meanings[letter - letters]);
      *at += 2;
      return TRUE;
    }
  if ((*at)[1] != 'u')
    return FALSE;
  c = read_unicode (*at + 2, end);
  if (c == 0)
    return FALSE;
  g_string_append_unichar (text, c);
  *at += 6;
  return TRUE;
}

/* A string, and what it says is appended. */
gboolean
raddle_scan_string (const char **at,
                    const char *end,
                    GString *text)
{
  if (!raddle_scan_bytes (at, end, "\"", 1))
    return FALSE;
  for (;;)
    {
      const char *from = *at;

      while (*at < end && **at != '"' && **at != '\\' && (guint8) **at >= 0x20)
        (*at)++;
      g_string_append_len (text, from, *at - from);
      if (*at == end)
        return FALSE;
      if (**at == '"')
        break;
      if (**at != '\\' || !take_escape (at, end, text))
        return FALSE;
    }
  (*at)++;
  return TRUE;
}

/* A string without escapes, as it stands there. */
gboolean
raddle_scan_plain (const char **at,
                   const char *end,
                   const char **text,
                   gsize *length)
{
  if (!raddle_scan_bytes (at, end, "\"", 1))
    return FALSE;
  *text = *at;
  while (*at < end && **at != '"' && **at != '\\' && (guint8) **at >= 0x20)
    (*at)++;
  *length = *at - *text;
  return raddle_scan_bytes (at, end, "\"", 1);
}
