/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One pass over a JSON text before json-glib sees it. json-glib 1.6 takes comments,
 * single quotes, raw control characters and anything after the first value, cuts
 * strings at an escaped NUL, lets lone surrogates out as broken UTF-8 and wraps large
 * integers round. So this is a strict checker that never recurses, and it mends what is
 * legal JSON but not safe: \u0000 and lone surrogates become U+FFFD, an integer that no
 * gint64 holds becomes a double, and a number that no double holds becomes null (and is
 * said to be lossy). Pure functions, any thread.
 */

#include "models/raddle-json-text.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const char *at;
  const char *end;
  const char *copied; /* up to here the text is in mended, if mending has begun */
  GString *mended;
  gboolean lossy;
  guint depth;
  guint8 closers[RADDLE_JSON_MAX_DEPTH];
} Check;

/* Puts @text in place of what lies between @from and @to. */
static void
mend (Check *check,
      const char *from,
      const char *to,
      const char *text)
{
  g_string_append_len (check->mended, check->copied, from - check->copied);
  g_string_append (check->mended, text);
  check->copied = to;
}

static void
skip_space (Check *check)
{
  while (check->at < check->end && (*check->at == ' ' || *check->at == '\t' ||
                                    *check->at == '\n' || *check->at == '\r'))
    check->at++;
}

/* The value of the four digits at @at; -1 where they are not. */
static int
read_hex (const char *at,
          const char *end)
{
  int value = 0;

  if (end - at < 4)
    return -1;
  for (int i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (at[i]);

      if (digit < 0)
        return -1;
      value = value * 16 + digit;
    }
  return value;
}

/* @check stands at the backslash of a \u escape. */
static gboolean
check_unicode (Check *check)
{
  const char *from = check->at;
  int unit = read_hex (from + 2, check->end);

  if (unit < 0)
    return FALSE;
  check->at += 6;
  if (unit >= 0xd800 && unit <= 0xdbff && check->end - check->at >= 6 &&
      check->at[0] == '\\' && check->at[1] == 'u')
    {
      int low = read_hex (check->at + 2, check->end);

      if (low >= 0xdc00 && low <= 0xdfff)
        {
          check->at += 6;
          return TRUE;
        }
    }
  if (unit == 0 || (unit >= 0xd800 && unit <= 0xdfff))
    mend (check, from, check->at, "\\ufffd");
  return TRUE;
}

static gboolean
check_escape (Check *check)
{
  if (check->end - check->at < 2)
    return FALSE;
  if (check->at[1] == 'u')
    return check_unicode (check);
  if (check->at[1] == '\0' || strchr ("\"\\/bfnrt", check->at[1]) == NULL)
    return FALSE;
  check->at += 2;
  return TRUE;
}

static gboolean
check_string (Check *check)
{
  if (check->at == check->end || *check->at != '"')
    return FALSE;
  check->at++;
  while (check->at < check->end)
    {
      if (*check->at == '"')
        {
          check->at++;
          return TRUE;
        }
      if (*check->at == '\\')
        {
          if (!check_escape (check))
            return FALSE;
        }
      else if ((guint8) *check->at < 0x20)
        return FALSE;
      else
        check->at++;
    }
  return FALSE;
}

static gsize
skip_digits (Check *check)
{
  const char *from = check->at;

  while (check->at < check->end && g_ascii_isdigit (*check->at))
    check->at++;
  return check->at - from;
}

static gboolean
is_beyond_int64 (const char *digits,
                 gsize length)
{
  static const char limit[] = "9223372036854775807";

  if (length != sizeof limit - 1)
    return length > sizeof limit - 1;
  return memcmp (digits, limit, length) > 0;
}

static void
mend_number (Check *check,
             const char *from,
             const char *digits,
             gsize n_digits,
             gboolean is_integer)
{
  g_autofree char *copy = NULL;

  if (n_digits < 19 && is_integer)
    return;
  if (!is_integer || n_digits > 300)
    {
      copy = g_strndup (from, check->at - from);
      if (!isfinite (g_ascii_strtod (copy, NULL)))
        {
          mend (check, from, check->at, "null");
          check->lossy = TRUE;
          return;
        }
    }
  if (is_integer && is_beyond_int64 (digits, n_digits))
    mend (check, check->at, check->at, ".0");
}

static gboolean
check_number (Check *check)
{
  const char *from = check->at;
  const char *digits;
  gsize n_digits;
  gboolean is_integer = TRUE, has_exponent = FALSE;

  if (*check->at == '-')
    check->at++;
  digits = check->at;
  n_digits = skip_digits (check);
  if (n_digits == 0 || (n_digits > 1 && *digits == '0'))
    return FALSE;
  if (check->at < check->end && *check->at == '.')
    {
      check->at++;
      is_integer = FALSE;
      if (skip_digits (check) == 0)
        return FALSE;
    }
  if (check->at < check->end && (*check->at == 'e' || *check->at == 'E'))
    {
      check->at++;
      is_integer = FALSE;
      has_exponent = TRUE;
      if (check->at < check->end && (*check->at == '+' || *check->at == '-'))
        check->at++;
      if (skip_digits (check) == 0)
        return FALSE;
    }
  if (is_integer || has_exponent || n_digits > 300)
    mend_number (check, from, digits, n_digits, is_integer);
  return TRUE;
}

static gboolean
check_word (Check *check,
            const char *word)
{
  gsize length = strlen (word);

  if ((gsize) (check->end - check->at) < length || memcmp (check->at, word, length) != 0)
    return FALSE;
  check->at += length;
  return TRUE;
}

static gboolean
check_scalar (Check *check)
{
  switch (*check->at)
    {
    case '"':
      return check_string (check);
    case 't':
      return check_word (check, "true");
    case 'f':
      return check_word (check, "false");
    case 'n':
      return check_word (check, "null");
    default:
      return check_number (check);
    }
}

/* A name and its colon, up to the value. */
static gboolean
check_name (Check *check)
{
  skip_space (check);
  if (!check_string (check))
    return FALSE;
  skip_space (check);
  if (!check_word (check, ":"))
    return FALSE;
  skip_space (check);
  return TRUE;
}

/* A value, or the opening of one: then *opened, and the next value is its first. */
static RaddleJsonVerdict
check_value (Check *check,
             gboolean *opened)
{
  char closer;

  *opened = FALSE;
  skip_space (check);
  if (check->at == check->end)
    return RADDLE_JSON_INVALID;
  if (*check->at != '{' && *check->at != '[')
    return check_scalar (check) ? RADDLE_JSON_VALID : RADDLE_JSON_INVALID;
  closer = *check->at == '{' ? '}' : ']';
  check->at++;
  skip_space (check);
  if (check->at < check->end && *check->at == closer)
    {
      check->at++;
      return RADDLE_JSON_VALID;
    }
  if (check->depth == RADDLE_JSON_MAX_DEPTH)
    return RADDLE_JSON_TOO_DEEP;
  check->closers[check->depth++] = closer;
  *opened = TRUE;
  return closer == ']' || check_name (check) ? RADDLE_JSON_VALID : RADDLE_JSON_INVALID;
}

/* After a value: closes what ends here; FALSE where neither an end nor a comma stands. */
static gboolean
check_after_value (Check *check)
{
  while (check->depth > 0)
    {
      char closer = check->closers[check->depth - 1];

      skip_space (check);
      if (check->at == check->end)
        return FALSE;
      if (*check->at == ',')
        {
          check->at++;
          return closer == ']' || check_name (check);
        }
      if (*check->at != closer)
        return FALSE;
      check->at++;
      check->depth--;
    }
  return TRUE;
}

static RaddleJsonVerdict
check_text (Check *check)
{
  skip_space (check);
  if (check->at == check->end)
    return RADDLE_JSON_EMPTY;
  do
    {
      gboolean opened;
      RaddleJsonVerdict verdict = check_value (check, &opened);

      if (verdict != RADDLE_JSON_VALID)
        return verdict;
      if (!opened && !check_after_value (check))
        return RADDLE_JSON_INVALID;
    }
  while (check->depth > 0);
  skip_space (check);
  return check->at == check->end ? RADDLE_JSON_VALID : RADDLE_JSON_INVALID;
}

/* Judges @text, which must be valid UTF-8 but for NULs. @mended is emptied, and holds the
 * whole text to be parsed if that differs from @text. */
RaddleJsonVerdict
raddle_json_check (const char *text,
                   gsize length,
                   GString *mended,
                   gboolean *lossy)
{
  Check check;
  RaddleJsonVerdict verdict;

  g_return_val_if_fail (text != NULL || length == 0, RADDLE_JSON_INVALID);
  g_return_val_if_fail (mended != NULL, RADDLE_JSON_INVALID);

  if (text == NULL)
    text = "";
  g_string_truncate (mended, 0);
  check.at = check.copied = text;
  check.end = text + length;
  check.mended = mended;
  check.lossy = FALSE;
  check.depth = 0;
  verdict = check_text (&check);
  if (check.copied != text)
    g_string_append_len (mended, check.copied, check.end - check.copied);
  if (lossy != NULL)
    *lossy = check.lossy;
  return verdict;
}

/* Where reading @text that is not valid, or too deep, came to its end: bytes from its
 * start. */
gsize
raddle_json_find_error (const char *text,
                        gsize length)
{
  g_autoptr (GString) mended = g_string_new (NULL);
  Check check = { .at = text, .copied = text, .end = text + length, .mended = mended };

  check_text (&check);
  return check.at - text;
}
