/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from deltas to events: each delta adds to the result that the run ends
 * with, and to the batch of the read that it came in. An event is built only when
 * somebody wants it, and counted always. Loop only. It knows nothing of HTTP and nothing
 * of handlers.
 */

#include "models/raddle-answer.h"

#include "events/raddle-result-private.h"
#include "models/raddle-content.h"
#include "raddle/raddle-error.h"

/* A content block that has begun. */
typedef struct
{
  int index;
  gboolean finished;
} RaddleAnswerBlock;

/* The number of a block whose provider gives it none. */
typedef struct
{
  RaddleDeltaType type; /* text, thinking or the start of a tool call */
  int tool;             /* which call; -1 */
  int block;
} RaddleAnswerPlace;

struct _RaddleAnswer
{
  RaddleRunRecord *run;
  RaddleBatch *batch; /* NULL until something comes */
  RaddleResult *result;
  GString *text;
  GString *thinking;
  GArray *blocks; /* of RaddleAnswerBlock */
  GArray *places; /* of RaddleAnswerPlace */
  RaddleContent *content;
  gint64 first_time; /* 0: nothing came yet */
  guint n_pieces;
  gboolean begun; /* something of it came, not only its head */
  gboolean over;
  gboolean complete;
  GError *error;
  gboolean may_retry;    /* the error may pass */
  gint64 retry_after_ms; /* how long it asks to wait; -1 if it does not */
};

RaddleAnswer *
raddle_answer_new (RaddleRunRecord *run)
{
  RaddleAnswer *self = g_new0 (RaddleAnswer, 1);

  self->run = raddle_run_record_ref (run);
  self->result = raddle_result_new (run->info.id);
  self->text = g_string_new (NULL);
  self->thinking = g_string_new (NULL);
  self->blocks = g_array_new (FALSE, FALSE, sizeof (RaddleAnswerBlock));
  self->places = g_array_new (FALSE, FALSE, sizeof (RaddleAnswerPlace));
  self->content = raddle_content_new ();
  self->retry_after_ms = -1;

  return self;
}

void
raddle_answer_free (RaddleAnswer *self)
{
  g_clear_pointer (&self->batch, raddle_batch_unref);
  g_clear_pointer (&self->result, raddle_result_unref);
  g_string_free (self->text, TRUE);
  g_string_free (self->thinking, TRUE);
  g_array_unref (self->blocks);
  g_array_unref (self->places);
  raddle_content_free (self->content);
  g_clear_error (&self->error);
  raddle_run_record_unref (self->run);
  g_free (self);
}

/* ---- events ---- */

static RaddleEvent *
add_event (RaddleAnswer *self,
           RaddleEventType type,
           const char *text,
           gsize length)
{
  if (self->batch == NULL)
    self->batch = raddle_batch_new (&self->run->info, RADDLE_EVENT_CLASS_FLOW);
  if (raddle_run_record_wants (self->run, type))
    return raddle_batch_add (self->batch, type, text, length);

  raddle_batch_skip (self->batch, 1);
  return NULL;
}

static void
add_stream_event (RaddleAnswer *self,
                  RaddleDeltaKind kind,
                  int block,
                  const char *text,
                  gsize length,
                  const char *label)
{
  RaddleEvent *event = add_event (self, RADDLE_EVENT_STREAM_EVENT, text, length);

  if (event == NULL)
    return;
  event->delta = kind;
  event->block = block;
  if (label != NULL)
    raddle_event_ensure_detail (event)->label = g_strdup (label);
}

static void
add_token (RaddleAnswer *self,
           int block,
           const char *text,
           gsize length)
{
  RaddleEvent *event = add_event (self, RADDLE_EVENT_LLM_NEW_TOKEN, text, length);

  if (event != NULL)
    event->block = block;
}

/* Announces a block when its first piece comes. */
static void
begin_block (RaddleAnswer *self,
             int index,
             const char *type,
             const char *label)
{
  for (guint i = 0; i < self->blocks->len; i++)
    if (g_array_index (self->blocks, RaddleAnswerBlock, i).index == index)
      return;

  g_array_append_vals (self->blocks, &(RaddleAnswerBlock) { index, FALSE }, 1);
  add_stream_event (self, RADDLE_DELTA_BLOCK_START, index, type, strlen (type), label);
}

static void
finish_block (RaddleAnswer *self,
              int index)
{
  for (guint i = 0; i < self->blocks->len; i++)
    {
      RaddleAnswerBlock *block = &g_array_index (self->blocks, RaddleAnswerBlock, i);

      if (block->index != index || block->finished)
        continue;
      block->finished = TRUE;
      add_stream_event (self, RADDLE_DELTA_BLOCK_FINISH, index, NULL, 0, NULL);
    }
}

static void
finish_all_blocks (RaddleAnswer *self)
{
  for (guint i = 0; i < self->blocks->len; i++)
    finish_block (self, g_array_index (self->blocks, RaddleAnswerBlock, i).index);
}

/* ---- deltas ---- */

static void
note_piece (RaddleAnswer *self)
{
  if (self->first_time == 0)
    self->first_time = g_get_monotonic_time ();
  self->n_pieces++;
}

static void
take_start (RaddleAnswer *self,
            const RaddleDelta *delta)
{
  self->result->id = g_strdup (delta->id);
  self->result->model = g_strdup (delta->model);
  add_stream_event (self, RADDLE_DELTA_MESSAGE_START, -1, NULL, 0, delta->model);
}

static void
take_text (RaddleAnswer *self,
           const RaddleDelta *delta)
{
  note_piece (self);
  begin_block (self, delta->block, "text", NULL);
  g_string_append_len (self->text, delta->text, delta->text_length);
  add_token (self, delta->block, delta->text, delta->text_length);
  add_stream_event (self, RADDLE_DELTA_TEXT, delta->block, delta->text,
                    delta->text_length, NULL);
}

static void
take_thinking (RaddleAnswer *self,
               const RaddleDelta *delta)
{
  note_piece (self);
  begin_block (self, delta->block, "thinking", NULL);
  g_string_append_len (self->thinking, delta->text, delta->text_length);
  add_stream_event (self, RADDLE_DELTA_THINKING, delta->block, delta->text,
                    delta->text_length, NULL);
}

static void
take_tool_start (RaddleAnswer *self,
                 const RaddleDelta *delta)
{
  note_piece (self);
  begin_block (self, delta->block, delta->server ? "server_tool_use" : "tool_use",
               delta->name);
}

static void
take_tool_args (RaddleAnswer *self,
                const RaddleDelta *delta)
{
  note_piece (self);
  add_stream_event (self, RADDLE_DELTA_TOOL_ARGS, delta->block, delta->text,
                    delta->text_length, NULL);
}

static void
take_stop (RaddleAnswer *self,
           const RaddleDelta *delta)
{
  self->result->stop_reason = delta->reason;
  g_free (self->result->raw_stop_reason);
  self->result->raw_stop_reason = g_strdup (delta->raw);
  finish_all_blocks (self);
  add_stream_event (self, RADDLE_DELTA_MESSAGE_FINISH, -1, delta->raw,
                    delta->raw != NULL ? strlen (delta->raw) : 0, NULL);
}

static RaddleError
classify_status (guint status)
{
  switch (status)
    {
    case 401:
    case 403:
      return RADDLE_ERROR_AUTH;
    case 404:
      return RADDLE_ERROR_NOT_FOUND;
    case 429:
      return RADDLE_ERROR_RATE_LIMIT;
    case 529:
      return RADDLE_ERROR_OVERLOADED;
    default:
      return status >= 500 ? RADDLE_ERROR_SERVER : RADDLE_ERROR_REQUEST;
    }
}

/* An error in the stream of an answer that began well goes by its name. */
static RaddleError
classify_kind (const char *kind)
{
  static const struct
  {
    const char *kind;
    RaddleError code;
  } table[] = {
    { "incomplete_stream", RADDLE_ERROR_INCOMPLETE },
    { "overloaded_error", RADDLE_ERROR_OVERLOADED },
    { "server_is_overloaded", RADDLE_ERROR_OVERLOADED },
    { "rate_limit_exceeded", RADDLE_ERROR_RATE_LIMIT },
    { "insufficient_quota", RADDLE_ERROR_RATE_LIMIT },
    { "invalid_api_key", RADDLE_ERROR_AUTH },
    { "server_error", RADDLE_ERROR_SERVER },
    { "service_unavailable_error", RADDLE_ERROR_SERVER },
    { "unavailable_error", RADDLE_ERROR_SERVER },
    { "InternalServerError", RADDLE_ERROR_SERVER },
    { "rate_limit_error", RADDLE_ERROR_RATE_LIMIT },
    { "authentication_error", RADDLE_ERROR_AUTH },
    { "permission_error", RADDLE_ERROR_AUTH },
    { "not_found_error", RADDLE_ERROR_NOT_FOUND },
    { "invalid_request_error", RADDLE_ERROR_REQUEST },
    { "api_error", RADDLE_ERROR_SERVER },
    { "timeout_error", RADDLE_ERROR_SERVER },
  };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (g_strcmp0 (kind, table[i].kind) == 0)
      return table[i].code;
  return RADDLE_ERROR_PROTOCOL;
}

/* Some give a status as the code of an error in the stream. */
static RaddleError
classify (const RaddleDeltaError *error)
{
  guint64 status = error->status;

  if (status == 0 && error->code_is_number)
    status = g_ascii_strtoull (error->code, NULL, 10);
  if (status >= 400 && status <= 599)
    return classify_status ((guint) status);
  return classify_kind (error->kind);
}

static void
take_error (RaddleAnswer *self,
            const RaddleDelta *delta)
{
  g_autofree char *message = raddle_delta_dup_error_message (delta);

  g_clear_error (&self->error);
  self->error =
    g_error_new_literal (RADDLE_ERROR, classify (&delta->error), message);
  self->may_retry = delta->error.retryable;
  self->retry_after_ms = delta->error.retry_after_ms;
}

/* ---- places ---- */

/* What a delta adds to, as the type of the first that does; END: to no block. */
static RaddleDeltaType
get_kind (const RaddleDelta *delta)
{
  switch (delta->type)
    {
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_REFUSAL:
    case RADDLE_DELTA_TYPE_CITATION:
      return RADDLE_DELTA_TYPE_TEXT;
    case RADDLE_DELTA_TYPE_THINKING:
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
      return RADDLE_DELTA_TYPE_THINKING;
    case RADDLE_DELTA_TYPE_TOOL_START:
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
    case RADDLE_DELTA_TYPE_TOOL_END:
      return RADDLE_DELTA_TYPE_TOOL_START;
    case RADDLE_DELTA_TYPE_START:
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
    case RADDLE_DELTA_TYPE_BLOCK:
    case RADDLE_DELTA_TYPE_PING:
    case RADDLE_DELTA_TYPE_USAGE:
    case RADDLE_DELTA_TYPE_STOP:
    case RADDLE_DELTA_TYPE_ERROR:
    case RADDLE_DELTA_TYPE_END:
      break;
    }
  return RADDLE_DELTA_TYPE_END;
}

/* Numbers the blocks of a provider that does not, as they begin: one of text, one of
 * thinking, and one for each call. */
static int
choose_block (RaddleAnswer *self,
              const RaddleDelta *delta)
{
  RaddleDeltaType kind = get_kind (delta);
  RaddleAnswerPlace place = { kind, delta->tool, (int) self->places->len };

  if (delta->block >= 0 || kind == RADDLE_DELTA_TYPE_END)
    return delta->block;
  for (guint i = 0; i < self->places->len; i++)
    {
      const RaddleAnswerPlace *known =
        &g_array_index (self->places, RaddleAnswerPlace, i);

      if (known->type == kind && known->tool == delta->tool)
        return known->block;
    }
  g_array_append_val (self->places, place);
  return place.block;
}

static void
take_placed (RaddleAnswer *self,
             const RaddleDelta *delta)
{
  raddle_content_take (self->content, delta);
  switch (delta->type)
    {
    case RADDLE_DELTA_TYPE_START:
      take_start (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_REFUSAL:
      take_text (self, delta);
      break;
    case RADDLE_DELTA_TYPE_THINKING:
      take_thinking (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TOOL_START:
      take_tool_start (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
      take_tool_args (self, delta);
      break;
    case RADDLE_DELTA_TYPE_TOOL_END:
      finish_block (self, delta->block);
      break;
    case RADDLE_DELTA_TYPE_USAGE:
      self->result->usage = delta->usage;
      self->result->usage.source = RADDLE_USAGE_REPORTED;
      break;
    case RADDLE_DELTA_TYPE_STOP:
      take_stop (self, delta);
      break;
    case RADDLE_DELTA_TYPE_ERROR:
      take_error (self, delta);
      break;
    case RADDLE_DELTA_TYPE_END:
      self->over = TRUE;
      self->complete = delta->complete && self->error == NULL;
      break;
    case RADDLE_DELTA_TYPE_BLOCK:
      begin_block (self, delta->block, delta->block_type, NULL);
      break;
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
    case RADDLE_DELTA_TYPE_CITATION:
    case RADDLE_DELTA_TYPE_PING:
      break;
    }
}

/* Whether it is a part of the answer, and not of its frame. */
static gboolean
is_said (RaddleDeltaType type)
{
  switch (type)
    {
    case RADDLE_DELTA_TYPE_TEXT:
    case RADDLE_DELTA_TYPE_THINKING:
    case RADDLE_DELTA_TYPE_THINKING_SIGNATURE:
    case RADDLE_DELTA_TYPE_REDACTED_THINKING:
    case RADDLE_DELTA_TYPE_REASONING_ITEM:
    case RADDLE_DELTA_TYPE_REFUSAL:
    case RADDLE_DELTA_TYPE_TOOL_START:
    case RADDLE_DELTA_TYPE_TOOL_ARGS:
    case RADDLE_DELTA_TYPE_TOOL_END:
    case RADDLE_DELTA_TYPE_CITATION:
    case RADDLE_DELTA_TYPE_BLOCK:
    case RADDLE_DELTA_TYPE_STOP:
      return TRUE;
    case RADDLE_DELTA_TYPE_START:
    case RADDLE_DELTA_TYPE_PING:
    case RADDLE_DELTA_TYPE_USAGE:
    case RADDLE_DELTA_TYPE_ERROR:
    case RADDLE_DELTA_TYPE_END:
      break;
    }
  return FALSE;
}

/* Ollama's calls may have no id, but a result says which call it answers. */
static char *
make_call_id (void)
{
  g_autofree char *random = g_uuid_string_random ();

  return g_strconcat ("call_", random, NULL);
}

/* Adds what a delta says. Where a provider was asked for several answers at once, by extra
 * members of the request, the first is the answer: a run has one. */
void
raddle_answer_take (RaddleAnswer *self,
                    const RaddleDelta *delta)
{
  RaddleDelta placed = *delta;
  g_autofree char *id = NULL;

  if (delta->choice > 0)
    return;
  self->begun |= is_said (delta->type);
  placed.block = choose_block (self, delta);
  if (delta->type == RADDLE_DELTA_TYPE_TOOL_START && delta->block < 0 && delta->id == NULL)
    placed.id = id = make_call_id ();
  take_placed (self, &placed);
}

/* What came since the last time; transfer full, NULL if nothing did. */
RaddleBatch *
raddle_answer_take_batch (RaddleAnswer *self)
{
  return g_steal_pointer (&self->batch);
}

/* Whether something of the answer came: then its handlers are to have it, and asking
 * again would give it to them twice. */
gboolean
raddle_answer_has_begun (RaddleAnswer *self)
{
  return self->begun;
}

gboolean
raddle_answer_is_over (RaddleAnswer *self)
{
  return self->over;
}

gboolean
raddle_answer_is_complete (RaddleAnswer *self)
{
  return self->complete;
}

/* Transfer full; NULL if the stream told of none. Says too whether it may pass, and how
 * long the server asks to wait, -1 if it does not. */
GError *
raddle_answer_take_error (RaddleAnswer *self,
                          gboolean *may_retry,
                          gint64 *retry_after_ms)
{
  *may_retry = self->may_retry;
  *retry_after_ms = self->retry_after_ms;
  return g_steal_pointer (&self->error);
}

/* A provider tells the true figures at the end; what is known before is a guess. */
static void
estimate_usage (RaddleAnswer *self)
{
  RaddleUsage *usage = &self->result->usage;

  if (usage->source == RADDLE_USAGE_UNKNOWN && self->n_pieces == 0)
    return;
  usage->source = RADDLE_USAGE_ESTIMATED;
  usage->output = MAX (usage->output, self->n_pieces);
}

/* The result of the run; transfer full. Once only. @request_time: when the request was
 * sent, us, monotonic; 0 if it was not. */
RaddleResult *
raddle_answer_finish (RaddleAnswer *self,
                      RaddleOutcome outcome,
                      gint64 request_time)
{
  RaddleResult *result = self->result;

  result->outcome = outcome;
  result->text = g_strndup (self->text->str, self->text->len);
  result->thinking = g_strndup (self->thinking->str, self->thinking->len);
  json_array_unref (result->tool_calls);
  result->tool_calls = raddle_content_make_tool_calls (self->content);
  result->blocks = raddle_content_make_blocks (self->content);
  result->duration = g_get_monotonic_time () - self->run->created;
  if (self->first_time > 0 && request_time > 0)
    result->first_token_time = self->first_time - request_time;
  if (outcome != RADDLE_OUTCOME_COMPLETE)
    estimate_usage (self);

  return g_steal_pointer (&self->result);
}
