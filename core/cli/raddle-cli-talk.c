/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what was said so far: the system prompt, the messages of a JSON file, and the
 * turns of a chat. Runs on the main thread. It must never hold what no request can be made of.
 */

#include "cli/raddle-cli-talk.h"

#include "config/raddle-file.h"
#include "models/raddle-json-text.h"

#include <string.h>

typedef struct
{
  char *role;
  char *text;
  RaddleResult *answer; /* as it came; NULL: @role said @text */
} Turn;

struct _RaddleCliTalk
{
  char *system;     /* NULL: the keyfile's */
  GPtrArray *turns; /* of Turn, owned */
};

static void
turn_free (gpointer data)
{
  Turn *turn = data;

  g_free (turn->role);
  g_free (turn->text);
  g_clear_pointer (&turn->answer, raddle_result_unref);
  g_free (turn);
}

RaddleCliTalk *
raddle_cli_talk_new (void)
{
  RaddleCliTalk *self = g_new0 (RaddleCliTalk, 1);

  self->turns = g_ptr_array_new_with_free_func (turn_free);
  return self;
}

void
raddle_cli_talk_free (RaddleCliTalk *self)
{
  g_free (self->system);
  g_ptr_array_unref (self->turns);
  g_free (self);
}

gboolean
raddle_cli_talk_set_system (RaddleCliTalk *self,
                            const char *text,
                            GError **error)
{
  g_autoptr (RaddleRequest) probe = raddle_request_new ();

  if (self->system != NULL)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "there is a system prompt already; give it once, with --system or as "
                   "the first message of --file");
      return FALSE;
    }
  if (!raddle_request_set_system (probe, text, error))
    return FALSE;
  self->system = g_strdup (text);
  return TRUE;
}

gboolean
raddle_cli_talk_add (RaddleCliTalk *self,
                     const char *role,
                     const char *text,
                     GError **error)
{
  g_autoptr (RaddleRequest) probe = raddle_request_new ();
  Turn *turn;

  if (!raddle_request_add_message (probe, role, text, error))
    return FALSE;

  turn = g_new0 (Turn, 1);
  turn->role = g_strdup (role);
  turn->text = g_strdup (text);
  g_ptr_array_add (self->turns, turn);
  return TRUE;
}

void
raddle_cli_talk_add_turn (RaddleCliTalk *self,
                          const char *prompt,
                          RaddleResult *answer)
{
  Turn *turn;

  if (!raddle_cli_talk_add (self, "user", prompt, NULL))
    g_return_if_reached ();

  turn = g_new0 (Turn, 1);
  turn->answer = raddle_result_ref (answer);
  g_ptr_array_add (self->turns, turn);
}

RaddleRequest *
raddle_cli_talk_make_request (RaddleCliTalk *self,
                              const char *prompt,
                              GError **error)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();

  if (self->system != NULL && !raddle_request_set_system (request, self->system, error))
    return NULL;
  for (guint i = 0; i < self->turns->len; i++)
    {
      Turn *turn = self->turns->pdata[i];

      if (turn->answer != NULL)
        raddle_request_add_result (request, turn->answer);
      else if (!raddle_request_add_message (request, turn->role, turn->text, error))
        return NULL;
    }
  if (prompt == NULL && self->turns->len == 0)
    {
      g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                   "there is no message to send; write one into the file, or give a "
                   "PROMPT");
      return NULL;
    }
  if (prompt != NULL && !raddle_request_add_message (request, "user", prompt, error))
    return NULL;
  return g_steal_pointer (&request);
}

/* ---- a file ---- */

G_GNUC_PRINTF (3, 4)
static gboolean
fault (GError **error,
       const char *place,
       const char *format,
       ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST, "%s: %s", place, text);
  return FALSE;
}

/* `FILE:LINE:COLUMN`; a column is a character. */
static char *
make_place (const char *file,
            const char *text,
            gsize offset)
{
  guint line = 1;
  const char *start = text;

  for (const char *p = text; p < text + offset; p++)
    if (*p == '\n')
      {
        line++;
        start = p + 1;
      }
  return g_strdup_printf ("%s:%u:%ld", file, line,
                          g_utf8_strlen (start, text + offset - start) + 1);
}

/* What makes @text no JSON at all. */
static gboolean
check_json (const char *file,
            const char *text,
            gsize length,
            GString *mended,
            GError **error)
{
  RaddleJsonVerdict verdict;
  g_autofree char *place = NULL;
  const char *end;

  if (!g_utf8_validate (text, length, &end))
    {
      place = make_place (file, text, end - text);
      return fault (error, place, "byte 0x%02x is not UTF-8 text; convert the file first",
                    (guchar) *end);
    }
  verdict = raddle_json_check (text, length, mended, NULL);
  if (verdict == RADDLE_JSON_VALID)
    return TRUE;

  place = make_place (file, text, raddle_json_find_error (text, length));
  switch (verdict)
    {
    case RADDLE_JSON_VALID:
    case RADDLE_JSON_EMPTY:
      return fault (error, file, "it is empty; a JSON list of messages was expected");
    case RADDLE_JSON_INVALID:
      return fault (error, place, "this is not valid JSON");
    case RADDLE_JSON_TOO_DEEP:
      return fault (error, place, "too many lists and objects in one another");
    }
  g_return_val_if_reached (FALSE);
}

/* Transfer full; NULL with @error set. */
static JsonNode *
read_json (const char *file,
           GError **error)
{
  g_autoptr (GString) mended = g_string_new (NULL);
  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;
  gsize length;

  text = raddle_file_read (file, RADDLE_CLI_MAX_PROMPT, &length, &problem);
  if (text == NULL)
    {
      fault (error, file, "%s", problem->message);
      return NULL;
    }
  if (!check_json (file, text, length, mended, error))
    return NULL;
  root = json_from_string (mended->len > 0 ? mended->str : text, &problem);
  if (root == NULL)
    fault (error, file, "%s", problem->message);
  return g_steal_pointer (&root);
}

static gboolean
check_members (JsonObject *message,
               const char *place,
               GError **error)
{
  JsonObjectIter iter;
  const char *name;

  json_object_iter_init (&iter, message);
  while (json_object_iter_next (&iter, &name, NULL))
    if (!g_str_equal (name, "role") && !g_str_equal (name, "content"))
      return fault (error, place, "\"%s\" cannot be sent; a message has a \"role\" and a "
                    "\"content\"", name);
  return TRUE;
}

/* The pieces of a list of text blocks, a line break between them. */
static gboolean
read_blocks (JsonArray *blocks,
             const char *place,
             GString *text,
             GError **error)
{
  for (guint i = 0; i < json_array_get_length (blocks); i++)
    {
      JsonObject *block = raddle_json_node_object (json_array_get_element (blocks, i));
      const char *type = block != NULL ? raddle_json_get_string (block, "type") : NULL;
      const char *piece = block != NULL ? raddle_json_get_string (block, "text") : NULL;

      if (g_strcmp0 (type, "text") != 0 || piece == NULL)
        return fault (error, place, "block %u of \"content\" is no "
                      "{\"type\": \"text\", \"text\": \"…\"} with a text in it, which is "
                      "all that can be sent from a file", i + 1);
      g_string_append_printf (text, "%s%s", i > 0 ? "\n" : "", piece);
    }
  return TRUE;
}

static gboolean
read_content (JsonObject *message,
              const char *place,
              GString *text,
              GError **error)
{
  JsonNode *content = json_object_get_member (message, "content");
  const char *string = raddle_json_node_string (content);

  if (content == NULL)
    return fault (error, place, "there is no \"content\"");
  if (string != NULL)
    g_string_append (text, string);
  else if (JSON_NODE_HOLDS_ARRAY (content) &&
           !read_blocks (json_node_get_array (content), place, text, error))
    return FALSE;

  if (text->len > 0)
    return TRUE;
  return fault (error, place, "\"content\" must be a text that is not empty, or a list "
                "of text blocks");
}

static gboolean
take_message (RaddleCliTalk *self,
              JsonNode *node,
              guint number,
              const char *place,
              GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  JsonObject *message = raddle_json_node_object (node);
  const char *role;

  if (message == NULL)
    return fault (error, place, "it is no object with a \"role\" and a \"content\"");
  if (!check_members (message, place, error) ||
      !read_content (message, place, text, error))
    return FALSE;

  role = raddle_json_get_string (message, "role");
  if (g_strcmp0 (role, "user") == 0 || g_strcmp0 (role, "assistant") == 0)
    return raddle_cli_talk_add (self, role, text->str, error);
  if (g_strcmp0 (role, "system") != 0)
    return fault (error, place, "\"role\" must be \"user\", \"assistant\" or \"system\"");
  if (number > 1)
    return fault (error, place, "the role \"system\" is for the first message only");
  return raddle_cli_talk_set_system (self, text->str, error);
}

gboolean
raddle_cli_talk_load (RaddleCliTalk *self,
                      const char *file,
                      GError **error)
{
  g_autoptr (JsonNode) root = read_json (file, error);
  JsonArray *messages;

  if (root == NULL)
    return FALSE;
  if (!JSON_NODE_HOLDS_ARRAY (root))
    return fault (error, file, "it is no JSON list of messages, such as "
                  "[{\"role\": \"user\", \"content\": \"…\"}]");

  messages = json_node_get_array (root);
  for (guint i = 0; i < json_array_get_length (messages); i++)
    {
      g_autofree char *place = g_strdup_printf ("%s: message %u", file, i + 1);

      if (!take_message (self, json_array_get_element (messages, i), i + 1, place, error))
        return FALSE;
    }
  return TRUE;
}
