/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the rules by which pieces of tool calls find together. The protocol says: by
 * index, with id and name on the first piece. Servers leave the index out, give 0 to
 * all, repeat id and name or send them empty, name a call after its arguments began, or
 * send the arguments as an object. Runs where the decoder is fed. Must never give a
 * piece to two calls, or begin a call before its name is known.
 */

#include "models/raddle-chat-calls.h"

#include <string.h>

/* As in raddle-tool-calls.c, for calls that wait for their name. */
#define MAX_OPEN 1024
#define NO_INDEX -1
/* The one call that there was before calls were numbered. */
#define LEGACY_INDEX -2

typedef struct
{
  int key;
  int index;
  char *id; /* or NULL */
  gboolean started;
  GString *held; /* arguments that came before the name */
} Call;

/* One piece, as it came; "" is as good as nothing. */
typedef struct
{
  int index;
  const char *id;
  const char *name;
  const char *arguments;
} Piece;

static void
call_free (gpointer data)
{
  Call *call = data;

  g_free (call->id);
  g_string_free (call->held, TRUE);
  g_free (call);
}

void
raddle_chat_calls_init (RaddleChatCalls *self,
                        int choice)
{
  raddle_tool_calls_init (&self->tools);
  self->calls = g_ptr_array_new_with_free_func (call_free);
  self->last = NULL;
  self->n_calls = 0;
  self->choice = choice;
}

void
raddle_chat_calls_clear (RaddleChatCalls *self)
{
  raddle_tool_calls_clear (&self->tools);
  g_clear_pointer (&self->calls, g_ptr_array_unref);
}

/* The latest of that index, or with NO_INDEX, of that id. */
static Call *
find_latest (RaddleChatCalls *self,
             int index,
             const char *id)
{
  for (guint i = self->calls->len; i > 0; i--)
    {
      Call *call = g_ptr_array_index (self->calls, i - 1);

      if (index != NO_INDEX ? call->index == index : g_strcmp0 (call->id, id) == 0)
        return call;
    }
  return NULL;
}

/* NULL: the piece begins a call. */
static Call *
find_call (RaddleChatCalls *self,
           const Piece *piece)
{
  Call *call;

  if (piece->index == NO_INDEX)
    return piece->id != NULL ? find_latest (self, NO_INDEX, piece->id) : self->last;
  call = find_latest (self, piece->index, NULL);
  if (call != NULL && call->id != NULL && piece->id != NULL && piece->name != NULL &&
      !g_str_equal (call->id, piece->id))
    return NULL;
  return call;
}

static Call *
add_call (RaddleChatCalls *self,
          RaddleDecoder *decoder,
          int index)
{
  Call *call;

  if (self->calls->len == MAX_OPEN)
    {
      raddle_decoder_fail (decoder, "too_many_tools",
                           "too many tool calls are open at once");
      return NULL;
    }
  call = g_new0 (Call, 1);
  call->key = self->n_calls++;
  call->index = index;
  call->held = g_string_new (NULL);
  g_ptr_array_add (self->calls, call);
  return call;
}

static void
start_call (RaddleChatCalls *self,
            RaddleDecoder *decoder,
            Call *call,
            const char *name)
{
  RaddleToolStart start = {
    .key = call->key,
    .place = { -1, self->choice },
    .id = call->id,
    .name = name,
  };

  call->started = TRUE;
  raddle_tool_calls_start (&self->tools, decoder, &start);
  if (call->held->len > 0 && !raddle_decoder_is_done (decoder))
    raddle_tool_calls_add (&self->tools, decoder, call->key, call->held->str);
  g_string_truncate (call->held, 0);
}

static void
hold (RaddleDecoder *decoder,
      Call *call,
      const char *arguments)
{
  gsize length = strlen (arguments);

  if (length > raddle_decoder_get_max_event (decoder) - call->held->len)
    raddle_decoder_fail (decoder, "event_too_large",
                         "the arguments of a tool call are too long");
  else
    g_string_append_len (call->held, arguments, length);
}

/* What waited for a name goes out in one piece with what came with it. */
static void
take_piece (RaddleChatCalls *self,
            RaddleDecoder *decoder,
            const Piece *piece)
{
  Call *call = find_call (self, piece);

  if (call == NULL)
    call = add_call (self, decoder, piece->index);
  if (call == NULL)
    return;
  self->last = call;
  if (call->id == NULL)
    call->id = g_strdup (piece->id);
  if (!call->started && piece->arguments != NULL)
    hold (decoder, call, piece->arguments);
  else if (piece->arguments != NULL)
    raddle_tool_calls_add (&self->tools, decoder, call->key, piece->arguments);
  if (!call->started && piece->name != NULL && !raddle_decoder_is_done (decoder))
    start_call (self, decoder, call, piece->name);
}

/* Text as it is, and what some servers have parsed already as text again. */
static const char *
read_arguments (JsonObject *function,
                char **text)
{
  JsonNode *node = NULL;

  if (function != NULL)
    node = json_object_get_member (function, "arguments");
  if (node == NULL || !(JSON_NODE_HOLDS_OBJECT (node) || JSON_NODE_HOLDS_ARRAY (node)))
    return raddle_json_node_string (node);
  *text = json_to_string (node, FALSE);
  return *text;
}

static void
read_piece (RaddleChatCalls *self,
            RaddleDecoder *decoder,
            JsonObject *object,
            JsonObject *function,
            int index)
{
  g_autofree char *text = NULL;
  Piece piece = {
    .index = index,
    .id = raddle_json_get_string (object, "id"),
    .name = raddle_json_get_string (function, "name"),
    .arguments = read_arguments (function, &text),
  };

  take_piece (self, decoder, &piece);
}

/* What a delta, or the message of a body, has of calls. */
void
raddle_chat_calls_read (RaddleChatCalls *self,
                        RaddleDecoder *decoder,
                        JsonObject *delta)
{
  JsonArray *pieces = raddle_json_get_array (delta, "tool_calls");
  JsonObject *legacy = raddle_json_get_object (delta, "function_call");
  guint n = pieces != NULL ? json_array_get_length (pieces) : 0;

  for (guint i = 0; i < n && !raddle_decoder_is_done (decoder); i++)
    {
      JsonObject *piece = raddle_json_node_object (json_array_get_element (pieces, i));
      gint64 index = raddle_json_get_count (piece, "index");

      if (piece != NULL)
        read_piece (self, decoder, piece, raddle_json_get_object (piece, "function"),
                    index >= 0 && index <= G_MAXINT ? (int) index : NO_INDEX);
    }
  if (legacy != NULL && !raddle_decoder_is_done (decoder))
    read_piece (self, decoder, NULL, legacy, LEGACY_INDEX);
}

/* Ends all that are open, oldest first. A call whose name never came is told without:
 * nobody can make it, but it must not be lost. */
void
raddle_chat_calls_close (RaddleChatCalls *self,
                         RaddleDecoder *decoder)
{
  for (guint i = 0; i < self->calls->len && !raddle_decoder_is_done (decoder); i++)
    {
      Call *call = g_ptr_array_index (self->calls, i);

      if (!call->started)
        start_call (self, decoder, call, NULL);
    }
  if (!raddle_decoder_is_done (decoder))
    raddle_tool_calls_close (&self->tools, decoder);
  g_ptr_array_set_size (self->calls, 0);
  self->last = NULL;
}
