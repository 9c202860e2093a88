/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that writes every event as a line of JSON. Owns the lines that are not
 * yet in the file, and the count of those that never will be. Tokens are collected for a
 * moment; a start, a step or an end is written at once, with all before it. Runs on the
 * pool, one call at a time. It must never let a disk that is full be more than a gap in
 * the file.
 */

#include "jsonl-file.h"

#include <raddle/raddle-plugin.h>

#include <errno.h>

static const RaddleOption options[] = {
  { "path", RADDLE_OPTION_PATH, NULL, "The file that the lines are appended to", NULL },
  { "max-size", RADDLE_OPTION_SIZE, "0",
    "When the file would become larger, it is moved to PATH.1 first; 0: never", NULL },
  { "keep", RADDLE_OPTION_INT, "3", "How many moved files are kept, 1000 at most", NULL },
  { "buffer", RADDLE_OPTION_SIZE, "32K",
    "How much of tokens is collected, for a fifth of a second at most", NULL },
};

RADDLE_PLUGIN_FULL ("jsonl", "1.0", "Writes every event as a line of JSON",
                    RADDLE_PLUGIN_ON_REQUEST, options)

#define MAX_KEEP 1000
#define MAX_AGE  (G_USEC_PER_SEC / 5)
/* For the reader of a FIFO. */
#define MAX_WAIT G_USEC_PER_SEC

typedef struct
{
  JsonlFile *file;
  GString *lines;
  gsize max_lines; /* bytes */
  gint64 last_write;
  gboolean failing;
  guint64 n_lost; /* since it fails */
} Jsonl;

static void
jsonl_free (gpointer data)
{
  Jsonl *self = data;

  jsonl_file_free (self->file);
  g_string_free (self->lines, TRUE);
  g_free (self);
}

static guint64
count_lines (const char *text,
             gsize size)
{
  guint64 n = 0;

  for (gsize i = 0; i < size; i++)
    n += text[i] == '\n';
  return n;
}

static void
tell_of_loss (Jsonl *self,
              RaddleHandler *handler,
              const char *what)
{
  g_message ("handler '%s': %s %s; %" G_GUINT64_FORMAT " line%s lost",
             raddle_handler_get_name (handler),
             raddle_handler_get_string (handler, "path"), what, self->n_lost,
             self->n_lost == 1 ? " was" : "s were");
}

/* FALSE only for the first of several failures: that one is told, the others are counted.
 */
static gboolean
write_lines (Jsonl *self,
             RaddleHandler *handler,
             GError **error)
{
  g_autoptr (GError) reason = NULL;
  gboolean was_failing = self->failing;
  gsize n_written;

  if (self->lines->len == 0)
    return TRUE;
  n_written = jsonl_file_append (self->file, self->lines->str, self->lines->len,
                                 was_failing ? 0 : MAX_WAIT, &reason);
  self->failing = reason != NULL;
  self->n_lost +=
    count_lines (self->lines->str + n_written, self->lines->len - n_written);
  g_string_truncate (self->lines, 0);
  self->last_write = g_get_monotonic_time ();

  if (was_failing && !self->failing)
    {
      tell_of_loss (self, handler, "can be written again");
      self->n_lost = 0;
    }
  if (was_failing || !self->failing)
    return TRUE;
  g_set_error (error, reason->domain, reason->code,
               "%s cannot be written: %s; lines are lost until it can",
               raddle_handler_get_string (handler, "path"), reason->message);
  return FALSE;
}

static gboolean
may_wait (Jsonl *self,
          RaddleEvent *event)
{
  RaddleEventType type = raddle_event_get_event_type (event);

  return raddle_event_type_get_class (type) == RADDLE_EVENT_CLASS_FLOW &&
         self->lines->len < self->max_lines &&
         g_get_monotonic_time () - self->last_write < MAX_AGE;
}

static gboolean
take_event (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  Jsonl *self = raddle_handler_get_data (handler);
  g_autoptr (JsonNode) node = raddle_event_to_json (event);
  g_autofree char *line = json_to_string (node, FALSE);

  g_string_append (self->lines, line);
  g_string_append_c (self->lines, '\n');
  return may_wait (self, event) || write_lines (self, handler, error);
}

/* ---- what the host calls ---- */

/* What passes by itself is no reason not to begin. */
static gboolean
may_pass (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE) ||
         g_error_matches (error, G_IO_ERROR, g_io_error_from_errno (ENXIO));
}

gboolean
raddle_setup (RaddleHandler *handler,
              GError **error)
{
  const char *path = raddle_handler_get_string (handler, "path");
  gint64 keep = raddle_handler_get_int (handler, "keep");
  g_autoptr (GError) reason = NULL;
  Jsonl *self;

  if (keep < 0 || keep > MAX_KEEP)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "keep=%" G_GINT64_FORMAT " is not a number from 0 to %d", keep,
                   MAX_KEEP);
      return FALSE;
    }

  self = g_new0 (Jsonl, 1);
  self->file = jsonl_file_new (path, raddle_handler_get_size (handler, "max-size"), keep);
  self->lines = g_string_new (NULL);
  self->max_lines = raddle_handler_get_size (handler, "buffer");
  raddle_handler_set_data (handler, self, jsonl_free);
  if (jsonl_file_open (self->file, &reason) || may_pass (reason))
    return TRUE;

  g_set_error (error, reason->domain, reason->code, "cannot open %s: %s", path,
               reason->message);
  return FALSE;
}

void
raddle_teardown (RaddleHandler *handler)
{
  Jsonl *self = raddle_handler_get_data (handler);
  g_autoptr (GError) error = NULL;

  write_lines (self, handler, &error);
  if (self->failing)
    tell_of_loss (self, handler, "could not be written to the end");
}

#define ON_EVENT(NAME, symbol, nick, KIND, CLASS)                                        \
  gboolean raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error)  \
  {                                                                                      \
    return take_event (self, event, error);                                              \
  }

RADDLE_EVENTS (ON_EVENT)
