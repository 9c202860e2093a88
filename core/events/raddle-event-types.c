/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of events: names, symbols, kinds and classes, all made from
 * RADDLE_EVENTS (). Pure data; callable from any thread. It must never know what an event
 * carries or who gets it.
 */

#include "raddle/raddle-event-types.h"

#include "raddle/raddle-enum-types.h"

typedef struct
{
  const char *nick;
  const char *symbol;
  RaddleRunKind kind;
  RaddleEventClass event_class;
} RaddleEventTypeInfo;

#define RADDLE_EVENT_INFO_ENTRY(NAME, symbol, nick, KIND, CLASS)                         \
  [RADDLE_EVENT_##                                                                       \
    NAME] = { nick, #symbol, RADDLE_RUN_##KIND, RADDLE_EVENT_CLASS_##CLASS },

static const RaddleEventTypeInfo infos[RADDLE_N_EVENT_TYPES] = {
  RADDLE_EVENTS (RADDLE_EVENT_INFO_ENTRY)
};

G_STATIC_ASSERT (RADDLE_N_EVENT_TYPES <= 32); /* sets of types are 32-bit masks */

#define RADDLE_EVENT_VALUE_ENTRY(NAME, symbol, nick, KIND, CLASS)                        \
  G_DEFINE_ENUM_VALUE (RADDLE_EVENT_##NAME, nick),

/* G_DEFINE_ENUM_TYPE () cannot be used: it adds a comma of its own. */
GType
raddle_event_type_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type))
    {
      static const GEnumValue values[] = {
        RADDLE_EVENTS (RADDLE_EVENT_VALUE_ENTRY)
        { 0, NULL, NULL },
      };

      g_once_init_leave (&type, g_enum_register_static ("RaddleEventType", values));
    }
  return type;
}

/**
 * raddle_event_type_get_nick:
 * @type: a type of event
 *
 * Gets the name of @type as it stands in keyfiles and in JSON, such as `llm-start`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_event_type_get_nick (RaddleEventType type)
{
  g_return_val_if_fail ((guint) type < RADDLE_N_EVENT_TYPES, NULL);

  return infos[type].nick;
}

/**
 * raddle_event_type_get_symbol:
 * @type: a type of event
 *
 * Gets the part of a plugin's symbol that names @type: `llm_start` for
 * `raddle_on_llm_start`.
 *
 * Returns: (transfer none): the part of the symbol
 *
 * Since: 0.1
 */
const char *
raddle_event_type_get_symbol (RaddleEventType type)
{
  g_return_val_if_fail ((guint) type < RADDLE_N_EVENT_TYPES, NULL);

  return infos[type].symbol;
}

/**
 * raddle_event_type_get_kind:
 * @type: a type of event
 *
 * Gets the kind of run that has events of @type.
 *
 * Returns: the kind; %RADDLE_RUN_ANY for events of every run
 *
 * Since: 0.1
 */
RaddleRunKind
raddle_event_type_get_kind (RaddleEventType type)
{
  g_return_val_if_fail ((guint) type < RADDLE_N_EVENT_TYPES, RADDLE_RUN_ANY);

  return infos[type].kind;
}

/**
 * raddle_event_type_get_class:
 * @type: a type of event
 *
 * Gets how events of @type are delivered.
 *
 * Returns: the class
 *
 * Since: 0.1
 */
RaddleEventClass
raddle_event_type_get_class (RaddleEventType type)
{
  g_return_val_if_fail ((guint) type < RADDLE_N_EVENT_TYPES, RADDLE_EVENT_CLASS_FLOW);

  return infos[type].event_class;
}

/**
 * raddle_event_type_from_nick:
 * @nick: a name such as `llm-start`
 * @type: (out): return location for the type
 *
 * Looks a type up by its name.
 *
 * Returns: %FALSE if no type has that name; @type is then left alone
 *
 * Since: 0.1
 */
gboolean
raddle_event_type_from_nick (const char *nick,
                             RaddleEventType *type)
{
  g_return_val_if_fail (nick != NULL, FALSE);
  g_return_val_if_fail (type != NULL, FALSE);

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    if (g_str_equal (infos[i].nick, nick))
      {
        *type = i;
        return TRUE;
      }

  return FALSE;
}

/**
 * raddle_run_kind_get_nick:
 * @kind: a kind of run
 *
 * Gets the name of @kind, such as `llm`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_run_kind_get_nick (RaddleRunKind kind)
{
  switch (kind)
    {
    case RADDLE_RUN_ANY:
      return "any";
    case RADDLE_RUN_LLM:
      return "llm";
    case RADDLE_RUN_CHAIN:
      return "chain";
    case RADDLE_RUN_TOOL:
      return "tool";
    case RADDLE_RUN_RETRIEVER:
      return "retriever";
    case RADDLE_RUN_CHAT_MODEL:
      return "chat-model";
    }
  g_return_val_if_reached (NULL);
}

/**
 * raddle_outcome_get_nick:
 * @outcome: an outcome
 *
 * Gets the name of @outcome, such as `complete`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_outcome_get_nick (RaddleOutcome outcome)
{
  switch (outcome)
    {
    case RADDLE_OUTCOME_RUNNING:
      return "running";
    case RADDLE_OUTCOME_COMPLETE:
      return "complete";
    case RADDLE_OUTCOME_ERROR:
      return "error";
    case RADDLE_OUTCOME_CANCELLED:
      return "cancelled";
    case RADDLE_OUTCOME_STOPPED:
      return "stopped";
    case RADDLE_OUTCOME_DROPPED:
      return "dropped";
    }
  g_return_val_if_reached (NULL);
}

/**
 * raddle_delta_kind_get_nick:
 * @kind: a kind of delta
 *
 * Gets the name of @kind, such as `text` or `tool-args`.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
raddle_delta_kind_get_nick (RaddleDeltaKind kind)
{
  switch (kind)
    {
    case RADDLE_DELTA_NONE:
      return "none";
    case RADDLE_DELTA_MESSAGE_START:
      return "message-start";
    case RADDLE_DELTA_BLOCK_START:
      return "block-start";
    case RADDLE_DELTA_TEXT:
      return "text";
    case RADDLE_DELTA_THINKING:
      return "thinking";
    case RADDLE_DELTA_TOOL_ARGS:
      return "tool-args";
    case RADDLE_DELTA_BLOCK_FINISH:
      return "block-finish";
    case RADDLE_DELTA_MESSAGE_FINISH:
      return "message-finish";
    }
  g_return_val_if_reached (NULL);
}
