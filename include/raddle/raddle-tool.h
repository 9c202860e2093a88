/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_TOOL (raddle_tool_get_type ())

RADDLE_PUBLIC
G_DECLARE_DERIVABLE_TYPE (RaddleTool, raddle_tool, RADDLE, TOOL, GObject)

/**
 * RaddleToolClass:
 * @parent_class: the parent's
 * @call: does the work, in a thread of its own
 * @call_async: begins the work, on the host's context
 * @call_finish: gives what it gave
 * @call_task: the same for languages whose functions cannot be given a callback: begins the
 *   work, on the host's context, and is done when the task returns, now or later: see
 *   raddle_tool_return_output(); an error with g_task_return_error(). When @error is set, the
 *   work has not begun, and the task does not return
 *
 * What a subclass overrides: either @call, or @call_async and @call_finish, or @call_task.
 */
struct _RaddleToolClass
{
  GObjectClass parent_class;

  JsonNode *(*call)        (RaddleTool           *self,
                            JsonNode             *arguments,
                            RaddleRun            *run,
                            GCancellable         *cancellable,
                            GError              **error);
  void      (*call_async)  (RaddleTool           *self,
                            JsonNode             *arguments,
                            RaddleRun            *run,
                            GCancellable         *cancellable,
                            GAsyncReadyCallback   callback,
                            gpointer              user_data);
  JsonNode *(*call_finish) (RaddleTool           *self,
                            GAsyncResult         *result,
                            GError              **error);
  void      (*call_task)   (RaddleTool           *self,
                            JsonNode             *arguments,
                            RaddleRun            *run,
                            GTask                *task,
                            GError              **error);

  /*< private >*/
  gpointer padding[8];
};

/**
 * RaddleToolFunc:
 * @tool: the tool
 * @arguments: what the model calls it with: an object that has what the schema requires
 * @run: the run of the call, of one's own: to emit in, and for runs below it; it is ended by
 *   who calls
 * @cancellable: is cancelled when nobody wants the result any more
 * @user_data: what the tool was made with
 * @error: return location for an error, which the model is told
 *
 * Does the work of a tool, in a thread of its own; it may wait. Several calls may run at
 * once.
 *
 * Returns: (transfer full) (nullable): what the model gets: a string as it is, nothing for a
 *   JSON null, anything else as JSON; %NULL with @error set if it failed
 *
 * Since: 0.1
 */
typedef JsonNode *(*RaddleToolFunc)       (RaddleTool           *tool,
                                           JsonNode             *arguments,
                                           RaddleRun            *run,
                                           GCancellable         *cancellable,
                                           gpointer              user_data,
                                           GError              **error);

/**
 * RaddleToolAsyncFunc: (skip)
 * @tool: the tool
 * @arguments: what the model calls it with: an object that has what the schema requires
 * @run: the run of the call, as for #RaddleToolFunc
 * @cancellable: is cancelled when nobody wants the result any more
 * @callback: to be called once, when the work is done
 * @callback_data: passed to @callback
 * @user_data: what the tool was made with
 *
 * Begins the work of a tool, on the host's context. It must not wait.
 *
 * Since: 0.1
 */
typedef void      (*RaddleToolAsyncFunc)  (RaddleTool           *tool,
                                           JsonNode             *arguments,
                                           RaddleRun            *run,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              callback_data,
                                           gpointer              user_data);

/**
 * RaddleToolFinishFunc: (skip)
 * @tool: the tool
 * @result: what the callback got
 * @user_data: what the tool was made with
 * @error: return location for an error, which the model is told
 *
 * Gives what the work of a tool gave. Called on the host's context, unless nobody wants it.
 *
 * Returns: (transfer full) (nullable): as of #RaddleToolFunc
 *
 * Since: 0.1
 */
typedef JsonNode *(*RaddleToolFinishFunc) (RaddleTool           *tool,
                                           GAsyncResult         *result,
                                           gpointer              user_data,
                                           GError              **error);

RADDLE_PUBLIC
RaddleTool *raddle_tool_new             (const char           *name,
                                         const char           *description,
                                         JsonNode             *schema,
                                         RaddleToolFunc        func,
                                         gpointer              user_data,
                                         GDestroyNotify        destroy);
RADDLE_PUBLIC
RaddleTool *raddle_tool_new_async       (const char           *name,
                                         const char           *description,
                                         JsonNode             *schema,
                                         RaddleToolAsyncFunc   func,
                                         RaddleToolFinishFunc  finish,
                                         gpointer              user_data,
                                         GDestroyNotify        destroy);
RADDLE_PUBLIC
const char *raddle_tool_get_name        (RaddleTool           *self);
RADDLE_PUBLIC
const char *raddle_tool_get_description (RaddleTool           *self);
RADDLE_PUBLIC
JsonNode   *raddle_tool_get_schema      (RaddleTool           *self);
RADDLE_PUBLIC
gboolean    raddle_tool_is_async        (RaddleTool           *self);
RADDLE_PUBLIC
JsonNode   *raddle_tool_call            (RaddleTool           *self,
                                         JsonNode             *arguments,
                                         RaddleRun            *run,
                                         GCancellable         *cancellable,
                                         GError              **error);
RADDLE_PUBLIC
void        raddle_tool_call_async      (RaddleTool           *self,
                                         JsonNode             *arguments,
                                         RaddleRun            *run,
                                         GCancellable         *cancellable,
                                         GAsyncReadyCallback   callback,
                                         gpointer              user_data);
RADDLE_PUBLIC
JsonNode   *raddle_tool_call_finish     (RaddleTool           *self,
                                         GAsyncResult         *result,
                                         GError              **error);
RADDLE_PUBLIC
void        raddle_tool_return_output   (RaddleTool           *self,
                                         GTask                *task,
                                         JsonNode             *output);

G_END_DECLS
