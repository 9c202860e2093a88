/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads the deltas that nearly all of an Anthropic stream consists of without building a
 * tree, at a small part of json-glib's price:
 *
 *   {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}
 *
 * with these members in this order and nothing else, and white space wherever JSON has
 * it. Takes only what surely means the same when read the long way; all else is refused
 * and read that way. So what is wrong here costs time, never an event: a fuzzer and a
 * test over all near misses hold both ways together. Pure functions, any thread.
 */

#include "models/raddle-decoder-scan.h"

#include <string.h>

/* More digits than this may not fit an int. */
#define MAX_INDEX_DIGITS 9

/* Words of JSON: as servers write them, and one by one for those that put white space
 * between. */
typedef struct
{
  const char *joined;
  gsize length;
  const char *words[9]; /* ended by NULL */
} Phrase;

#define PHRASE(joined_, ...)                                                             \
  {                                                                                      \
    joined_, sizeof (joined_) - 1, { __VA_ARGS__ }                                       \
  }

static const Phrase opening =
  PHRASE ("{\"type\":\"content_block_delta\",\"index\":",
          "{", "\"type\"", ":", "\"content_block_delta\"", ",", "\"index\"", ":");
static const Phrase middle =
  PHRASE (",\"delta\":{\"type\":", ",", "\"delta\"", ":", "{", "\"type\"", ":");
static const Phrase closing = PHRASE ("}}", "}", "}");
/* By RaddleScanType. */
static const Phrase kinds[] = {
  PHRASE ("\"text_delta\",\"text\":", "\"text_delta\"", ",", "\"text\"", ":"),
  PHRASE ("\"thinking_delta\",\"thinking\":",
          "\"thinking_delta\"", ",", "\"thinking\"", ":"),
  PHRASE ("\"input_json_delta\",\"partial_json\":",
          "\"input_json_delta\"", ",", "\"partial_json\"", ":"),
};

static const char *
skip_space (const char *at,
            const char *end)
{
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

static gboolean
take_bytes (const char **at,
            const char *end,
            const char *bytes,
            gsize length)
{
  if ((gsize) (end - *at) < length || memcmp (*at, bytes, length) != 0)
    return FALSE;
  *at += length;
  return TRUE;
}

/* Takes the words and the white space around them. */
static gboolean
take_phrase (const char **at,
             const char *end,
             const Phrase *phrase)
{
  if (!take_bytes (at, end, phrase->joined, phrase->length))
    for (const char *const *word = phrase->words; *word != NULL; word++)
      {
        *at = skip_space (*at, end);
        if (!take_bytes (at, end, *word, strlen (*word)))
          return FALSE;
      }
  *at = skip_space (*at, end);
  return TRUE;
}

static gboolean
take_index (const char **at,
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

/* A string up to its closing quote, and what it says. */
static gboolean
take_string (const char **at,
             const char *end,
             GString *text)
{
  if (!take_bytes (at, end, "\"", 1))
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

static gboolean
take_kind (const char **at,
           const char *end,
           RaddleScanType *type)
{
  const char *from = *at;

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      *at = from;
      if (take_phrase (at, end, &kinds[i]))
        {
          *type = i;
          return TRUE;
        }
    }
  return FALSE;
}

/* Whether @data, which must be valid UTF-8 but for NULs, is one of these deltas: then
 * @scan and @text say which. Otherwise they say nothing. */
gboolean
raddle_decoder_scan (const char *data,
                     gsize length,
                     RaddleScan *scan,
                     GString *text)
{
  const char *at, *end;

  g_return_val_if_fail (data != NULL || length == 0, FALSE);
  g_return_val_if_fail (scan != NULL && text != NULL, FALSE);

  at = data != NULL ? data : "";
  end = at + length;
  g_string_truncate (text, 0);
  return take_phrase (&at, end, &opening) &&
         take_index (&at, end, &scan->block) &&
         take_phrase (&at, end, &middle) &&
         take_kind (&at, end, &scan->type) &&
         take_string (&at, end, text) &&
         take_phrase (&at, end, &closing) && at == end;
}
