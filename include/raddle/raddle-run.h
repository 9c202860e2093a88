/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>
#include <raddle/raddle-result.h>
#include <raddle/raddle-scope.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_RUN (raddle_run_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleRun, raddle_run, RADDLE, RUN, GObject)

RADDLE_PUBLIC
const char    *raddle_run_get_id      (RaddleRun  *self);
RADDLE_PUBLIC
const char    *raddle_run_get_parent_id (RaddleRun *self);
RADDLE_PUBLIC
const char    *raddle_run_get_name    (RaddleRun  *self);
RADDLE_PUBLIC
RaddleRunKind  raddle_run_get_kind    (RaddleRun  *self);
RADDLE_PUBLIC
RaddleOutcome  raddle_run_get_outcome (RaddleRun  *self);
RADDLE_PUBLIC
gboolean       raddle_run_stop        (RaddleRun  *self,
                                       const char *reason);
RADDLE_PUBLIC
gboolean       raddle_run_cancel      (RaddleRun  *self);

RADDLE_PUBLIC
gboolean       raddle_run_add_handler (RaddleRun     *self,
                                       RaddleHandler *handler,
                                       RaddleReach    reach,
                                       GError       **error);
RADDLE_PUBLIC
gboolean       raddle_run_remove_handler (RaddleRun     *self,
                                          RaddleHandler *handler);

/* By hand; for whoever started the run. */
RADDLE_PUBLIC
RaddleRun     *raddle_run_new_child   (RaddleRun            *parent,
                                       RaddleRunKind         kind,
                                       const char           *name,
                                       JsonNode             *inputs,
                                       GError              **error);
RADDLE_PUBLIC
RaddleRun     *raddle_run_new_child_with_scope (RaddleRun   *parent,
                                       RaddleRunKind         kind,
                                       const char           *name,
                                       JsonNode             *inputs,
                                       RaddleScope          *scope,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_token  (RaddleRun            *self,
                                       const char           *text,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_tokens (RaddleRun            *self,
                                       const char * const   *texts,
                                       gsize                 n_texts,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_text   (RaddleRun            *self,
                                       const char           *text,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_agent_action (RaddleRun      *self,
                                       const char           *tool,
                                       JsonNode             *input,
                                       const char           *log,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_agent_finish (RaddleRun      *self,
                                       JsonNode             *outputs,
                                       const char           *log,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_retry  (RaddleRun            *self,
                                       guint                 attempt,
                                       gint64                delay,
                                       const GError         *reason,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_custom (RaddleRun            *self,
                                       const char           *name,
                                       JsonNode             *data,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_emit_delta  (RaddleRun            *self,
                                       RaddleDeltaKind       kind,
                                       int                   block,
                                       const char           *text,
                                       JsonNode             *data,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_set_usage   (RaddleRun            *self,
                                       const RaddleUsage    *usage,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_end         (RaddleRun            *self,
                                       JsonNode             *outputs,
                                       GError              **error);
RADDLE_PUBLIC
gboolean       raddle_run_fail        (RaddleRun            *self,
                                       const GError         *reason,
                                       GError              **error);
RADDLE_PUBLIC
void           raddle_run_settle_async (RaddleRun           *self,
                                       GCancellable         *cancellable,
                                       GAsyncReadyCallback   callback,
                                       gpointer              user_data);
RADDLE_PUBLIC
gboolean       raddle_run_settle_finish (RaddleRun          *self,
                                       GAsyncResult         *result,
                                       GError              **error);
RADDLE_PUBLIC
void           raddle_run_ready_async (RaddleRun            *self,
                                       GCancellable         *cancellable,
                                       GAsyncReadyCallback   callback,
                                       gpointer              user_data);
RADDLE_PUBLIC
gboolean       raddle_run_ready_finish (RaddleRun           *self,
                                       GAsyncResult         *result,
                                       GError              **error);

/* The run that what is started in this thread becomes a part of. */
RADDLE_PUBLIC
void             raddle_run_push_current (RaddleRun       *run);
RADDLE_PUBLIC
void             raddle_run_pop_current  (RaddleRun       *run);
RADDLE_PUBLIC
RaddleRun       *raddle_run_dup_current  (void);

typedef struct _RaddleRunPusher RaddleRunPusher;

RADDLE_PUBLIC
RaddleRunPusher *raddle_run_pusher_new   (RaddleRun       *run);
RADDLE_PUBLIC
void             raddle_run_pusher_free  (RaddleRunPusher *self);

typedef JsonNode *(*RaddleRunThreadFunc) (RaddleRun     *run,
                                          GCancellable  *cancellable,
                                          gpointer       user_data,
                                          GError       **error);

RADDLE_PUBLIC
void             raddle_run_thread_async  (RaddleRun           *run,
                                           RaddleRunThreadFunc  func,
                                           gpointer             user_data,
                                           GDestroyNotify       destroy,
                                           GCancellable        *cancellable,
                                           GAsyncReadyCallback  callback,
                                           gpointer             callback_data);
RADDLE_PUBLIC
JsonNode        *raddle_run_thread_finish (RaddleRun           *run,
                                           GAsyncResult        *result,
                                           GError             **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleRunPusher, raddle_run_pusher_free)

G_END_DECLS
