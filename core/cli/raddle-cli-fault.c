/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Makes of a cassette the answer that goes wrong as `--fault` says: another head and
 * body, other pieces, an early end. No state, and no sockets: what is left to do with the
 * connection is told to raddle-cli-serve.c. A cassette is shared and never changed. */

#include "cli/raddle-cli-fault.h"

#include <libsoup/soup.h>
#include <string.h>

/* What is asked for */

static gboolean
parse_number (const char *text,
              guint64     min,
              guint64     max,
              guint64    *number)
{
  return g_ascii_string_to_unsigned (text, 10, min, max, number, NULL);
}

/* The connection can be cut once only: where it comes first. */
static void
take_cut (RaddleCliFaults *self,
          RaddleCliCut     cut,
          guint64          at)
{
  if (self->cut != RADDLE_CLI_CUT_NONE && self->cut_at < at)
    return;
  self->cut = cut;
  self->cut_at = at;
}

static gboolean
add_cut (RaddleCliFaults *self,
         const char      *text)
{
  static const char *const names[] = {
    [RADDLE_CLI_CUT_TRUNCATE] = "truncate@",
    [RADDLE_CLI_CUT_RESET] = "reset@",
    [RADDLE_CLI_CUT_STALL] = "stall@",
  };
  guint64 at;

  for (guint i = RADDLE_CLI_CUT_TRUNCATE; i < G_N_ELEMENTS (names); i++)
    if (g_str_has_prefix (text, names[i]) &&
        parse_number (text + strlen (names[i]), 0, G_MAXINT64, &at))
      {
        take_cut (self, i, at);
        return TRUE;
      }
  return FALSE;
}

/* FALSE if @text is no fault. */
gboolean
raddle_cli_faults_add (RaddleCliFaults *self,
                       const char      *text)
{
  guint64 number;

  if (g_str_has_prefix (text, "status=") &&
      parse_number (text + strlen ("status="), 400, 599, &number))
    self->status = number;
  else if (g_str_has_prefix (text, "split=") &&
           parse_number (text + strlen ("split="), 1, G_MAXINT64, &number))
    self->split = number;
  else
    return add_cut (self, text);
  return TRUE;
}

/* The answer to a request that fails */

typedef enum
{
  FORM_ANTHROPIC,
  FORM_OPENAI,
  FORM_OLLAMA,
} Form;

static Form
form_of_path (const char *path)
{
  if (strstr (path, "/chat/completions") != NULL || strstr (path, "/responses") != NULL)
    return FORM_OPENAI;
  if (g_str_has_suffix (path, "/api/chat") || g_str_has_suffix (path, "/api/generate"))
    return FORM_OLLAMA;
  return FORM_ANTHROPIC;
}

/* A bare body does not say whose it is; what was asked does. */
static Form
form_of (RaddleCassette *cassette,
         const char     *path)
{
  static const char *const openai[] = { "openai", "openai-responses", "chat",
                                        "responses", NULL };
  const char *provider = raddle_cassette_get_provider (cassette);

  if (provider == NULL)
    return form_of_path (path);
  if (g_str_equal (provider, "ollama"))
    return FORM_OLLAMA;
  return g_strv_contains (openai, provider) ? FORM_OPENAI : FORM_ANTHROPIC;
}

static const char *
anthropic_type (guint status)
{
  static const struct
  {
    guint       status;
    const char *type;
  } types[] = {
    { 401, "authentication_error" }, { 403, "permission_error" },
    { 404, "not_found_error" },      { 413, "request_too_large" },
    { 429, "rate_limit_error" },     { 529, "overloaded_error" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].status == status)
      return types[i].type;
  return status < 500 ? "invalid_request_error" : "api_error";
}

/* Those that libsoup does not know are the ones that models give most. */
static const char *
words_of (guint status)
{
  switch (status)
    {
    case 429:
      return "Too Many Requests";
    case 529:
      return "Overloaded";
    default:
      return soup_status_get_phrase (status);
    }
}

static char *
make_error_body (Form  form,
                 guint status)
{
  const char *words = words_of (status);

  switch (form)
    {
    case FORM_ANTHROPIC:
      return g_strdup_printf (
        "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}",
        anthropic_type (status), words);
    case FORM_OPENAI:
      return g_strdup_printf ("{\"error\":{\"message\":\"%s\",\"type\":\"%s\","
                              "\"param\":null,\"code\":null}}",
                              words,
                              status < 500 ? "invalid_request_error" : "server_error");
    case FORM_OLLAMA:
      break;
    }
  return g_strdup_printf ("{\"error\":\"%s\"}", words);
}

static RaddleCassette *
make_error (guint           status,
            RaddleCassette *cassette,
            const char     *path)
{
  g_autoptr (RaddleResponseHead) head = raddle_response_head_new (status);
  char *text = make_error_body (form_of (cassette, path), status);
  g_autoptr (GBytes) body = g_bytes_new_take (text, strlen (text));
  RaddleCassette *error;

  raddle_response_head_set (head, "content-type", "application/json");
  error = raddle_cassette_new (raddle_cassette_get_provider (cassette), head);
  raddle_cassette_add_chunk (error, 0, body);
  return error;
}

/* The body */

static void
add_pieces (RaddleCassette *target,
            gint64          time_us,
            GBytes         *bytes,
            gsize           length,
            guint64         split)
{
  gsize n;

  for (gsize at = 0; at < length; at += n)
    {
      g_autoptr (GBytes) piece = NULL;

      n = split > 0 ? MIN (split, length - at) : length - at;
      piece = g_bytes_new_from_bytes (bytes, at, n);
      raddle_cassette_add_chunk (target, time_us, piece);
    }
}

/* Copies the first @room bytes in pieces; returns how many there were. */
static guint64
copy_body (RaddleCassette *source,
           RaddleCassette *target,
           guint64         room,
           guint64         split)
{
  guint64 total = 0;

  for (guint i = 0; i < raddle_cassette_get_n_chunks (source) && total < room; i++)
    {
      gint64 time_us;
      GBytes *bytes = raddle_cassette_get_chunk (source, i, &time_us);
      gsize length = MIN (g_bytes_get_size (bytes), room - total);

      add_pieces (target, time_us, bytes, length, split);
      total += length;
    }
  return total;
}

RaddleCassette *
raddle_cli_faults_apply (const RaddleCliFaults *self,
                         RaddleCassette        *cassette,
                         const char            *path,
                         RaddleCliCut          *cut)
{
  gboolean cuts = self->cut != RADDLE_CLI_CUT_NONE;
  g_autoptr (RaddleCassette) source = NULL;
  RaddleCassette *target;
  RaddleCassetteEnd end;
  gint64 end_time_us;

  *cut = RADDLE_CLI_CUT_NONE;
  if (!cuts && self->split == 0 && self->status == 0)
    return raddle_cassette_ref (cassette);
  source = self->status > 0 ? make_error (self->status, cassette, path)
                            : raddle_cassette_ref (cassette);
  target = raddle_cassette_new (raddle_cassette_get_provider (source),
                                raddle_cassette_get_head (source));
  if (copy_body (source, target, cuts ? self->cut_at : G_MAXUINT64, self->split) ==
        self->cut_at && cuts)
    {
      *cut = self->cut;
      return target;
    }
  end = raddle_cassette_get_end (source, &end_time_us);
  raddle_cassette_set_end (target, end_time_us, end);
  return target;
}
