/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the GTypes of all public enumerations but that of the events' types, which comes from
 * their table. Pure data; any thread. By hand, as Raddle is built without GLib's
 * generators; a test compares the values with those in the headers.
 */

#include "raddle/raddle-enum-types.h"

#include "raddle/raddle-error.h"
#include "raddle/raddle-event-types.h"
#include "raddle/raddle-handler.h"
#include "raddle/raddle-option.h"
#include "raddle/raddle-plugin-info.h"
#include "raddle/raddle-plugin.h"
#include "raddle/raddle-result.h"
#include "raddle/raddle-scope.h"

G_DEFINE_ENUM_TYPE (RaddleRunKind, raddle_run_kind,
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_ANY, "any"),
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_LLM, "llm"),
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_CHAIN, "chain"),
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_TOOL, "tool"),
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_RETRIEVER, "retriever"),
                    G_DEFINE_ENUM_VALUE (RADDLE_RUN_CHAT_MODEL, "chat-model"))

G_DEFINE_ENUM_TYPE (RaddleReach, raddle_reach,
                    G_DEFINE_ENUM_VALUE (RADDLE_REACH_RUN, "run"),
                    G_DEFINE_ENUM_VALUE (RADDLE_REACH_TREE, "tree"))

G_DEFINE_ENUM_TYPE (RaddleEventClass, raddle_event_class,
                    G_DEFINE_ENUM_VALUE (RADDLE_EVENT_CLASS_START, "start"),
                    G_DEFINE_ENUM_VALUE (RADDLE_EVENT_CLASS_FLOW, "flow"),
                    G_DEFINE_ENUM_VALUE (RADDLE_EVENT_CLASS_STEP, "step"),
                    G_DEFINE_ENUM_VALUE (RADDLE_EVENT_CLASS_END, "end"))

G_DEFINE_ENUM_TYPE (RaddleOutcome, raddle_outcome,
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_RUNNING, "running"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_COMPLETE, "complete"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_ERROR, "error"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_CANCELLED, "cancelled"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_STOPPED, "stopped"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OUTCOME_DROPPED, "dropped"))

G_DEFINE_ENUM_TYPE (RaddleDeltaKind, raddle_delta_kind,
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_MESSAGE_START, "message-start"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_BLOCK_START, "block-start"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_TEXT, "text"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_THINKING, "thinking"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_TOOL_ARGS, "tool-args"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_BLOCK_FINISH, "block-finish"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELTA_MESSAGE_FINISH, "message-finish"))

G_DEFINE_ENUM_TYPE (RaddleStopReason, raddle_stop_reason,
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_STOP, "stop"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_LENGTH, "length"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_TOOL_USE, "tool_use"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_CONTENT_FILTER, "content_filter"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_PAUSE, "pause"),
                    G_DEFINE_ENUM_VALUE (RADDLE_STOP_UNKNOWN, "unknown"))

G_DEFINE_ENUM_TYPE (RaddleUsageSource, raddle_usage_source,
                    G_DEFINE_ENUM_VALUE (RADDLE_USAGE_UNKNOWN, "unknown"),
                    G_DEFINE_ENUM_VALUE (RADDLE_USAGE_REPORTED, "reported"),
                    G_DEFINE_ENUM_VALUE (RADDLE_USAGE_ESTIMATED, "estimated"))

G_DEFINE_ENUM_TYPE (RaddleDelivery, raddle_delivery,
                    G_DEFINE_ENUM_VALUE (RADDLE_DELIVERY_AWAITED, "awaited"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELIVERY_INLINE, "inline"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELIVERY_LOCKSTEP, "lockstep"),
                    G_DEFINE_ENUM_VALUE (RADDLE_DELIVERY_DETACHED, "detached"))

G_DEFINE_ENUM_TYPE (RaddleOverflow, raddle_overflow,
                    G_DEFINE_ENUM_VALUE (RADDLE_OVERFLOW_BLOCK, "block"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OVERFLOW_COALESCE, "coalesce"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OVERFLOW_DROP_OLDEST, "drop-oldest"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OVERFLOW_DROP_NEWEST, "drop-newest"))

G_DEFINE_ENUM_TYPE (RaddleHandlerState, raddle_handler_state,
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_LOADED, "loaded"),
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_RUNNING, "running"),
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_DRAINING, "draining"),
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_STOPPED, "stopped"),
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_FAILED, "failed"),
                    G_DEFINE_ENUM_VALUE (RADDLE_HANDLER_SUSPENDED, "suspended"))

G_DEFINE_ENUM_TYPE (RaddleOptionType, raddle_option_type,
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_STRING, "string"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_INT, "int"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_BOOL, "bool"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_DOUBLE, "double"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_SIZE, "size"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_DURATION, "duration"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_PATH, "path"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_ENUM, "enum"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_LIST, "list"),
                    G_DEFINE_ENUM_VALUE (RADDLE_OPTION_SECRET, "secret"))

G_DEFINE_FLAGS_TYPE (RaddlePluginFlags, raddle_plugin_flags,
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_FLAGS_NONE, "none"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_THREAD_SAFE, "thread-safe"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_INLINE, "inline"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_LOCKSTEP, "lockstep"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_DETACHED, "detached"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_EXCLUSIVE, "exclusive"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_COALESCE, "coalesce"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_DROP_OLDEST, "drop-oldest"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_DROP_NEWEST, "drop-newest"),
                     G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_ON_REQUEST, "on-request"))

G_DEFINE_ENUM_TYPE (RaddlePluginState, raddle_plugin_state,
                    G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_FOUND, "found"),
                    G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_REFUSED, "refused"),
                    G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_DISABLED, "disabled"),
                    G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_SHADOWED, "shadowed"),
                    G_DEFINE_ENUM_VALUE (RADDLE_PLUGIN_LOADED, "loaded"))

G_DEFINE_ENUM_TYPE (RaddleCallKind, raddle_call_kind,
                    G_DEFINE_ENUM_VALUE (RADDLE_CALL_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (RADDLE_CALL_SYNC, "sync"),
                    G_DEFINE_ENUM_VALUE (RADDLE_CALL_ASYNC, "async"))

G_DEFINE_ENUM_TYPE (RaddleError, raddle_error,
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_FAILED, "failed"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_CONFIG, "config"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_PLUGIN, "plugin"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_NO_KEY, "no-key"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_REQUEST, "request"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_AUTH, "auth"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_NOT_FOUND, "not-found"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_RATE_LIMIT, "rate-limit"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_OVERLOADED, "overloaded"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_SERVER, "server"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_TRANSPORT, "transport"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_PROTOCOL, "protocol"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_INCOMPLETE, "incomplete"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_STOPPED, "stopped"),
                    G_DEFINE_ENUM_VALUE (RADDLE_ERROR_CLOSED, "closed"))
