/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one table of events. The enumeration, the names, the symbols that a plugin exports,
 * the kind of run an event belongs to and how it is delivered all come from here.
 *
 * Entries are part of the ABI: a new one goes at the end.
 */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

/**
 * RADDLE_EVENTS:
 * @E: a macro of five arguments: the name in capitals, the part of a plugin's symbol, the
 *   name as a string, the #RaddleRunKind without its prefix, and the #RaddleEventClass
 *   without its prefix
 *
 * The table of events: @E is applied to each of them.
 *
 * Since: 0.1
 */
#define RADDLE_EVENTS(E)                                                   \
  E (LLM_START, llm_start, "llm-start", LLM, START)                        \
  E (CHAT_MODEL_START, chat_model_start, "chat-model-start", LLM, START)   \
  E (LLM_NEW_TOKEN, llm_new_token, "llm-new-token", LLM, FLOW)             \
  E (LLM_END, llm_end, "llm-end", LLM, END)                                \
  E (LLM_ERROR, llm_error, "llm-error", LLM, END)                          \
  E (CHAIN_START, chain_start, "chain-start", CHAIN, START)                \
  E (CHAIN_END, chain_end, "chain-end", CHAIN, END)                        \
  E (CHAIN_ERROR, chain_error, "chain-error", CHAIN, END)                  \
  E (TOOL_START, tool_start, "tool-start", TOOL, START)                    \
  E (TOOL_END, tool_end, "tool-end", TOOL, END)                            \
  E (TOOL_ERROR, tool_error, "tool-error", TOOL, END)                      \
  E (RETRIEVER_START, retriever_start, "retriever-start", RETRIEVER, START) \
  E (RETRIEVER_END, retriever_end, "retriever-end", RETRIEVER, END)        \
  E (RETRIEVER_ERROR, retriever_error, "retriever-error", RETRIEVER, END)  \
  E (AGENT_ACTION, agent_action, "agent-action", CHAIN, STEP)              \
  E (AGENT_FINISH, agent_finish, "agent-finish", CHAIN, STEP)              \
  E (TEXT, text, "text", ANY, FLOW)                                        \
  E (RETRY, retry, "retry", ANY, FLOW)                                     \
  E (CUSTOM, custom, "custom", ANY, FLOW)                                  \
  E (STREAM_EVENT, stream_event, "stream-event", LLM, FLOW)                \
  E (GAP, gap, "gap", ANY, FLOW)

/**
 * RaddleRunKind:
 * @RADDLE_RUN_ANY: any kind of run; only in the table of events
 * @RADDLE_RUN_LLM: a call of a language model
 * @RADDLE_RUN_CHAIN: a piece of work made of others
 * @RADDLE_RUN_TOOL: a call of a tool
 * @RADDLE_RUN_RETRIEVER: a look-up of documents
 * @RADDLE_RUN_CHAT_MODEL: a call of a language model that is asked with messages; only to
 *   start one: the run is a %RADDLE_RUN_LLM
 *
 * What a run does.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_RUN_ANY,
  RADDLE_RUN_LLM,
  RADDLE_RUN_CHAIN,
  RADDLE_RUN_TOOL,
  RADDLE_RUN_RETRIEVER,
  RADDLE_RUN_CHAT_MODEL,
} RaddleRunKind;

/**
 * RaddleEventClass:
 * @RADDLE_EVENT_CLASS_START: opens a run; a barrier
 * @RADDLE_EVENT_CLASS_FLOW: goes by in batches; nobody waits at it, but for a handler in
 *   lockstep
 * @RADDLE_EVENT_CLASS_STEP: a barrier in the middle of a run
 * @RADDLE_EVENT_CLASS_END: ends a run, exactly once and last; a barrier
 *
 * How an event is delivered. A barrier is delivered when the handlers that are waited for
 * have finished all that came before it in its run, and the run goes on when they have
 * finished it. Only what flows can be dropped or merged when a queue is full.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_EVENT_CLASS_START,
  RADDLE_EVENT_CLASS_FLOW,
  RADDLE_EVENT_CLASS_STEP,
  RADDLE_EVENT_CLASS_END,
} RaddleEventClass;

#define RADDLE_EVENT_ENUM_ENTRY_(NAME, symbol, nick, KIND, CLASS) RADDLE_EVENT_##NAME,

/**
 * RaddleEventType:
 * @RADDLE_EVENT_LLM_START: a call of a model begins; the text is the prompt
 * @RADDLE_EVENT_CHAT_MODEL_START: a call of a chat model begins; the data is its messages.
 *   Who does not ask for it gets `llm-start` in its place
 * @RADDLE_EVENT_LLM_NEW_TOKEN: a piece of the answer
 * @RADDLE_EVENT_LLM_END: the answer is complete; the text is all of it
 * @RADDLE_EVENT_LLM_ERROR: the call ended in another way; the outcome says which
 * @RADDLE_EVENT_CHAIN_START: a piece of work made of others begins
 * @RADDLE_EVENT_CHAIN_END: it is complete
 * @RADDLE_EVENT_CHAIN_ERROR: it ended in another way
 * @RADDLE_EVENT_TOOL_START: a call of a tool begins
 * @RADDLE_EVENT_TOOL_END: it is complete
 * @RADDLE_EVENT_TOOL_ERROR: it ended in another way
 * @RADDLE_EVENT_RETRIEVER_START: a look-up of documents begins
 * @RADDLE_EVENT_RETRIEVER_END: it is complete
 * @RADDLE_EVENT_RETRIEVER_ERROR: it ended in another way
 * @RADDLE_EVENT_AGENT_ACTION: an agent is about to call a tool
 * @RADDLE_EVENT_AGENT_FINISH: an agent has its answer
 * @RADDLE_EVENT_TEXT: a piece of text that is no token of a model
 * @RADDLE_EVENT_RETRY: a call failed and will be tried again
 * @RADDLE_EVENT_CUSTOM: what a program tells under a name of its own
 * @RADDLE_EVENT_STREAM_EVENT: the structure of a model's answer: messages, blocks, deltas
 * @RADDLE_EVENT_GAP: what this handler alone missed, or got merged
 *
 * The type of an event, in the order of %RADDLE_EVENTS.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_EVENTS (RADDLE_EVENT_ENUM_ENTRY_)
  RADDLE_N_EVENT_TYPES,
} RaddleEventType;

#undef RADDLE_EVENT_ENUM_ENTRY_

/**
 * RaddleOutcome:
 * @RADDLE_OUTCOME_RUNNING: the run has not ended
 * @RADDLE_OUTCOME_COMPLETE: it ended as it should
 * @RADDLE_OUTCOME_ERROR: it failed
 * @RADDLE_OUTCOME_CANCELLED: its caller cancelled it
 * @RADDLE_OUTCOME_STOPPED: a handler stopped it
 * @RADDLE_OUTCOME_DROPPED: its last handle went, or its host closed, before it ended
 *
 * How a run ended.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_OUTCOME_RUNNING,
  RADDLE_OUTCOME_COMPLETE,
  RADDLE_OUTCOME_ERROR,
  RADDLE_OUTCOME_CANCELLED,
  RADDLE_OUTCOME_STOPPED,
  RADDLE_OUTCOME_DROPPED,
} RaddleOutcome;

/**
 * RaddleDeltaKind:
 * @RADDLE_DELTA_NONE: not a stream event
 * @RADDLE_DELTA_MESSAGE_START: the message begins
 * @RADDLE_DELTA_BLOCK_START: a content block begins; the text is its type
 * @RADDLE_DELTA_TEXT: a piece of the answer
 * @RADDLE_DELTA_THINKING: a piece of the model's thinking
 * @RADDLE_DELTA_TOOL_ARGS: a piece of a tool call's arguments, raw JSON text
 * @RADDLE_DELTA_BLOCK_FINISH: a content block is complete
 * @RADDLE_DELTA_MESSAGE_FINISH: the message is complete; the text is its stop reason
 *
 * What a `stream-event` tells.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_DELTA_NONE,
  RADDLE_DELTA_MESSAGE_START,
  RADDLE_DELTA_BLOCK_START,
  RADDLE_DELTA_TEXT,
  RADDLE_DELTA_THINKING,
  RADDLE_DELTA_TOOL_ARGS,
  RADDLE_DELTA_BLOCK_FINISH,
  RADDLE_DELTA_MESSAGE_FINISH,
} RaddleDeltaKind;

RADDLE_PUBLIC
const char       *raddle_event_type_get_nick   (RaddleEventType   type);
RADDLE_PUBLIC
const char       *raddle_event_type_get_symbol (RaddleEventType   type);
RADDLE_PUBLIC
RaddleRunKind     raddle_event_type_get_kind   (RaddleEventType   type);
RADDLE_PUBLIC
RaddleEventClass  raddle_event_type_get_class  (RaddleEventType   type);
RADDLE_PUBLIC
gboolean          raddle_event_type_from_nick  (const char       *nick,
                                                RaddleEventType  *type);
RADDLE_PUBLIC
const char       *raddle_run_kind_get_nick     (RaddleRunKind     kind);
RADDLE_PUBLIC
const char       *raddle_outcome_get_nick      (RaddleOutcome     outcome);
RADDLE_PUBLIC
const char       *raddle_delta_kind_get_nick   (RaddleDeltaKind   kind);

G_END_DECLS
