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

#include "models/raddle-scan-words.h"

#include <string.h>

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

/* Takes the words and the white space around them. */
static gboolean
take_phrase (const char **at,
             const char *end,
             const Phrase *phrase)
{
  if (!raddle_scan_bytes (at, end, phrase->joined, phrase->length))
    for (const char *const *word = phrase->words; *word != NULL; word++)
      {
        *at = raddle_scan_space (*at, end);
        if (!raddle_scan_bytes (at, end, *word, strlen (*word)))
          return FALSE;
      }
  *at = raddle_scan_space (*at, end);
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
         raddle_scan_index (&at, end, &scan->block) &&
         take_phrase (&at, end, &middle) &&
         take_kind (&at, end, &scan->type) &&
         raddle_scan_string (&at, end, text) &&
         take_phrase (&at, end, &closing) && at == end;
}
