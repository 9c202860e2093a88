/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `raddle decode`: prints what a captured wire stream means, one JSON object a line.
 * Reads a file or stdin piece by piece, so that it works on a stream that is still
 * coming; blocks, on the program's only thread. Must never write anything but those
 * lines to stdout.
 */

#include "cli/raddle-cli-decode.h"

#include "cli/raddle-cli.h"
#include "config/raddle-file.h"
#include "models/raddle-decoder.h"
#include "models/raddle-json-text.h"
#include "models/raddle-sse-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 65536
#define MAX_CHUNK (64 * 1024 * 1024)
#define WHOLE G_MININT /* no --chunk: as it comes */
#define MAX_META (16 * 1024 * 1024)

enum
{
  EXIT_GOOD,
  EXIT_FAILED,
};

typedef struct
{
  char *provider;
  int chunk;
  char *meta;
  gboolean http;
  char *file;
  RaddleResponseHead *head; /* NULL with --http until it was read */
  GByteArray *start;        /* with --http: what has come of the head */
  char *last_id;
  RaddleDecoder *decoder; /* one of these two */
  RaddleSseReader *sse;
} Decode;

static void
decode_clear (Decode *self)
{
  g_free (self->provider);
  g_free (self->meta);
  g_free (self->file);
  g_free (self->last_id);
  g_clear_pointer (&self->start, g_byte_array_unref);
  g_clear_pointer (&self->head, raddle_response_head_free);
  g_clear_pointer (&self->decoder, raddle_decoder_free);
  g_clear_pointer (&self->sse, raddle_sse_reader_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Decode, decode_clear)

/* Output */

/* Not json-glib: an event's data may hold NULs. */
static void
print_string (const char *text,
              gsize length)
{
  putchar ('"');
  for (gsize i = 0; i < length; i++)
    {
      guint8 byte = text[i];

      if (byte == '"' || byte == '\\')
        printf ("\\%c", byte);
      else if (byte == '\n')
        fputs ("\\n", stdout);
      else if (byte < 0x20 || byte == 0x7f)
        printf ("\\u%04x", byte);
      else
        putchar (byte);
    }
  putchar ('"');
}

static void
print_sse (const RaddleSseItem *item,
           gpointer user_data)
{
  switch (item->type)
    {
    case RADDLE_SSE_EVENT:
      fputs ("{\"type\":\"sse\",\"event\":", stdout);
      print_string (item->event, item->event_length);
      fputs (",\"data\":", stdout);
      print_string (item->data, item->data_length);
      fputs (",\"id\":", stdout);
      print_string (item->id, strlen (item->id));
      break;
    case RADDLE_SSE_RETRY:
      printf ("{\"type\":\"retry\",\"ms\":%" G_GINT64_FORMAT, item->retry_ms);
      break;
    case RADDLE_SSE_LIMIT:
      fputs ("{\"type\":\"error\",\"kind\":", stdout);
      print_string (item->kind, strlen (item->kind));
      fputs (",\"message\":", stdout);
      print_string (item->message, strlen (item->message));
      break;
    case RADDLE_SSE_EOF:
      printf ("{\"type\":\"eof\",\"discarded\":%s,\"last_event_id\":",
              item->discarded ? "true" : "false");
      print_string (item->id, strlen (item->id));
      break;
    }
  puts ("}");
}

static void
print_delta (const RaddleDelta *delta,
             gpointer user_data)
{
  g_autoptr (JsonNode) node = raddle_delta_to_json (delta);
  g_autofree char *line = json_to_string (node, FALSE);

  puts (line);
}

/* What a person should know beside the lines; goes to stderr. */
static void
explain_delta (const RaddleDelta *delta)
{
  g_autofree char *message = NULL;

  if (delta->type != RADDLE_DELTA_TYPE_ERROR || delta->error.detail == NULL)
    return;
  message = raddle_delta_dup_error_message (delta);
  g_printerr ("raddle decode: %s\n", message);
}

static void
take_delta (const RaddleDelta *delta,
            gpointer user_data)
{
  print_delta (delta, user_data);
  explain_delta (delta);
}

/* The .meta.json */

static void
read_headers (Decode *self,
              JsonObject *headers)
{
  g_autoptr (GList) names = headers != NULL ? json_object_get_members (headers) : NULL;

  for (GList *l = names; l != NULL; l = l->next)
    {
      const char *value = raddle_json_get_string (headers, l->data);

      if (value != NULL)
        raddle_response_head_set (self->head, l->data, value);
    }
}

static gboolean
is_known_provider (const char *name)
{
  return g_str_equal (name, "sse") ||
         g_strv_contains (raddle_decoder_get_providers (), name);
}

/* The format of the meta file counts where --provider is not given. HTTP errors are
 * judged alike for all providers, so there a format that cannot be decoded does not
 * matter. */
static gboolean
take_format (Decode *self,
             const char *format)
{
  if (self->provider != NULL || format == NULL)
    return TRUE;
  if (is_known_provider (format))
    self->provider = g_strdup (format);
  else if (self->head->status == 200)
    {
      g_printerr (
          "raddle decode: %s: the format \"%s\" cannot be decoded; say --provider "
          "to read it as another\n",
          self->meta, format);
      return FALSE;
    }
  return TRUE;
}

static gboolean
take_meta (Decode *self,
           JsonObject *object)
{
  gint64 status = raddle_json_get_count (object, "status");

  if (json_object_has_member (object, "status") && (status < 100 || status > 999))
    {
      g_printerr ("raddle decode: %s: \"status\" is not an HTTP status\n", self->meta);
      return FALSE;
    }
  if (status > 0)
    self->head->status = status;
  read_headers (self, raddle_json_get_object (object, "headers"));
  self->last_id = g_strdup (raddle_json_get_string (object, "last_event_id"));
  return take_format (self, raddle_json_get_string (object, "format"));
}

static gboolean
read_meta (Decode *self)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  RaddleJsonText json;
  JsonObject *object = NULL;
  gboolean good = FALSE;
  gsize length;

  if (self->meta == NULL)
    return TRUE;
  text = raddle_file_read (self->meta, MAX_META, &length, &error);
  if (text == NULL)
    {
      g_printerr ("raddle decode: cannot read %s: %s\n", self->meta, error->message);
      return FALSE;
    }
  raddle_json_text_init (&json);
  if (g_utf8_validate (text, length, NULL))
    object = raddle_json_node_object (raddle_json_text_parse (&json, text, length));
  if (object != NULL)
    good = take_meta (self, object);
  else
    g_printerr ("raddle decode: %s: not a JSON object\n", self->meta);
  raddle_json_text_clear (&json);
  return good;
}

/* What is not said is taken for the stream that the provider sends. */
static void
guess_content_type (Decode *self)
{
  const char *type = NULL;

  if (self->head->content_type != NULL)
    return;
  if (g_str_has_suffix (self->file, ".json"))
    type = "application/json";
  else if (g_str_has_suffix (self->file, ".ndjson"))
    type = "application/x-ndjson";
  else if (g_str_has_suffix (self->file, ".sse"))
    type = "text/event-stream";
  if (type != NULL)
    raddle_response_head_set (self->head, "content-type", type);
}

/* Only one provider's streams are no server-sent events. */
static void
guess_provider (Decode *self)
{
  if (self->provider == NULL)
    self->provider = g_strdup (g_str_has_suffix (self->file, ".ndjson") ? "ollama"
                                                                        : "anthropic");
}

/* Input */

static gboolean
is_event_stream (const RaddleResponseHead *head)
{
  return head->status == 200 &&
         (head->content_type == NULL ||
          g_str_equal (head->content_type, "text/event-stream"));
}

static void
make_reader (Decode *self)
{
  guess_provider (self);
  if (!g_str_equal (self->provider, "sse"))
    self->decoder = raddle_decoder_new (self->provider, self->head, take_delta, NULL);
  else if (is_event_stream (self->head))
    {
      self->sse = raddle_sse_reader_new (print_sse, NULL);
      if (self->last_id != NULL)
        raddle_sse_reader_set_last_id (self->sse, self->last_id);
    }
  else
    puts ("{\"type\":\"reject\",\"why\":\"content_type\"}");
}

static void
feed_pieces (Decode *self,
             const guint8 *bytes,
             gsize length)
{
  gsize piece = self->chunk > 0 ? (gsize) self->chunk : length;

  for (gsize at = 0; at < length; at += piece)
    {
      if (self->sse != NULL)
        raddle_sse_reader_feed (self->sse, bytes + at, MIN (piece, length - at));
      else if (self->decoder != NULL)
        raddle_decoder_feed (self->decoder, bytes + at, MIN (piece, length - at));
    }
}

/* Gathers the head that stands before the body; then the rest of @bytes is fed. */
static gboolean
feed_start (Decode *self,
            const guint8 *bytes,
            gsize length)
{
  gssize head_length;

  if (self->head != NULL)
    {
      feed_pieces (self, bytes, length);
      return TRUE;
    }
  g_byte_array_append (self->start, bytes, length);
  head_length = raddle_response_head_parse ((const char *) self->start->data,
                                            self->start->len, &self->head);
  if (head_length < 0)
    g_printerr ("raddle decode: %s: does not begin with an HTTP status line and headers\n",
                self->file);
  if (head_length <= 0)
    return head_length == 0;
  make_reader (self);
  feed_pieces (self, self->start->data + head_length, self->start->len - head_length);
  g_byte_array_set_size (self->start, 0);
  return TRUE;
}

/* A full buffer where --chunk is given, so that the pieces are even; else what is
 * there. */
static gssize
read_some (int fd,
           guint8 *buffer,
           gsize size,
           gboolean fill)
{
  gsize got = 0;

  do
    {
      gssize n = read (fd, buffer + got, size - got);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -1;
      if (n == 0)
        break;
      got += n;
    }
  while (fill && got < size);
  return got;
}

static int
finish (Decode *self)
{
  if (self->head == NULL)
    {
      g_printerr ("raddle decode: %s: ends within the HTTP headers\n", self->file);
      return EXIT_FAILED;
    }
  if (self->sse != NULL)
    raddle_sse_reader_finish (self->sse);
  else if (self->decoder != NULL)
    raddle_decoder_finish (self->decoder);
  return raddle_cli_flush () ? EXIT_GOOD : EXIT_FAILED;
}

static int
decode_fd (Decode *self,
           int fd)
{
  gsize size = self->chunk > 0 ? MAX (READ_SIZE / self->chunk, 1) * (gsize) self->chunk
                               : READ_SIZE;
  g_autofree guint8 *buffer = g_malloc (size);
  gssize n;

  while ((n = read_some (fd, buffer, size, self->chunk > 0)) > 0)
    {
      if (!feed_start (self, buffer, n) || !raddle_cli_flush ())
        return EXIT_FAILED;
    }
  if (n < 0)
    {
      g_printerr ("raddle decode: cannot read %s: %s\n", self->file, g_strerror (errno));
      return EXIT_FAILED;
    }
  return finish (self);
}

static gboolean
read_head (Decode *self)
{
  if (self->http)
    {
      self->start = g_byte_array_new ();
      return TRUE;
    }
  self->head = raddle_response_head_new (200);
  if (!read_meta (self))
    return FALSE;
  guess_content_type (self);
  make_reader (self);
  return TRUE;
}

static int
decode_file (Decode *self)
{
  int fd = STDIN_FILENO;
  int status = EXIT_FAILED;

  if (!g_str_equal (self->file, "-"))
    fd = open (self->file, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    {
      g_printerr ("raddle decode: cannot open %s: %s\n", self->file, g_strerror (errno));
      return EXIT_FAILED;
    }
  if (read_head (self))
    status = decode_fd (self, fd);
  if (fd != STDIN_FILENO)
    close (fd);
  return status;
}

/* Arguments */

static gboolean
check_arguments (Decode *self,
                 int *status)
{
  g_autofree char *known =
    g_strjoinv (", ", (char **) raddle_decoder_get_providers ());

  if (self->chunk != WHOLE && (self->chunk < 1 || self->chunk > MAX_CHUNK))
    *status = raddle_cli_usage_error ("decode", "--chunk goes from 1 to %d", MAX_CHUNK);
  else if (self->provider != NULL && !is_known_provider (self->provider))
    *status = raddle_cli_usage_error (
      "decode", "unknown provider \"%s\"; there are %s and sse", self->provider, known);
  else if (self->http && self->meta != NULL)
    *status = raddle_cli_usage_error (
      "decode", "--http and --meta both tell the head; give one of them");
  else
    return TRUE;
  return FALSE;
}

static gboolean
parse_arguments (Decode *self,
                 int argc,
                 char **argv,
                 int *status)
{
  const GOptionEntry entries[] = {
    { "provider", 0, 0, G_OPTION_ARG_STRING, &self->provider,
      "Whose stream it is: anthropic (default), chat, responses or ollama, or sse for the "
      "bare events", "NAME" },
    { "chunk", 0, 0, G_OPTION_ARG_INT, &self->chunk, "Read in pieces of so many bytes",
      "BYTES" },
    { "meta", 0, 0, G_OPTION_ARG_FILENAME, &self->meta,
      "Status, headers and the like of the answer, as a JSON object", "FILE" },
    { "http", 0, 0, G_OPTION_ARG_NONE, &self->http,
      "FILE begins with the status line and headers", NULL },
    { NULL }
  };
  const RaddleCliSyntax syntax = {
    .name = "decode",
    .arguments = "FILE",
    .summary = "Prints what a captured wire stream means, one JSON object a line.",
    .description = "FILE - is standard input.\n"
                   "\n"
                   "Exit status: 0 it was read, whatever it means, 1 it cannot be read, "
                   "2 wrong usage.",
    .entries = entries,
    .min_arguments = 1,
    .max_arguments = 1,
  };
  RaddleCliOptions options = { NULL };
  gboolean good = raddle_cli_parse (&syntax, argc, argv, &options, status);

  if (good)
    self->file = g_strdup (options.arguments[0]);
  raddle_cli_options_clear (&options);
  return good && check_arguments (self, status);
}

/* @argv[0] is the name of the command. Returns 0 when the stream was read, whatever it
 * meant, 1 when a file could not be read or the output not be written, 2 for wrong
 * usage. */
int
raddle_cli_decode (int argc,
                   char **argv)
{
  g_auto (Decode) self = { .chunk = WHOLE };
  int status;

  if (!parse_arguments (&self, argc, argv, &status))
    return status;
  return decode_file (&self);
}
