/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The dispatcher: takes batches from runs and puts them into the lanes of the handlers,
 * run by run through tracks. It lives on the host's context; other threads only leave
 * notes in its inbox. It knows nothing of models. */

#pragma once

#include "dispatch/raddle-track.h"
#include "handlers/raddle-lane.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

typedef struct _RaddleDispatcher RaddleDispatcher;

RaddleDispatcher *raddle_dispatcher_new         (GMainContext           *context,
                                                 int                     priority,
                                                 guint                   n_threads,
                                                 guint                   max_threads);
RaddleDispatcher *raddle_dispatcher_ref         (RaddleDispatcher       *self);
void              raddle_dispatcher_unref       (RaddleDispatcher       *self);
RaddleRunSink    *raddle_dispatcher_get_sink    (RaddleDispatcher       *self);
GMainContext     *raddle_dispatcher_get_context (RaddleDispatcher       *self);
int               raddle_dispatcher_get_priority (RaddleDispatcher      *self);

/* Loop. */
void              raddle_dispatcher_add         (RaddleDispatcher       *self,
                                                 RaddleHandler          *handler,
                                                 const RaddleLaneSettings *settings);
void              raddle_dispatcher_remove      (RaddleDispatcher       *self,
                                                 RaddleHandler          *handler);
guint             raddle_dispatcher_get_n_queued (RaddleDispatcher      *self,
                                                 RaddleHandler          *handler);
void              raddle_dispatcher_settle      (RaddleDispatcher       *self,
                                                 RaddleRunRecord        *run,
                                                 RaddleTrackFunc         func,
                                                 gpointer                user_data);
gboolean          raddle_dispatcher_has_room    (RaddleDispatcher       *self,
                                                 RaddleRunRecord        *run);
guint             raddle_dispatcher_watch_room  (RaddleDispatcher       *self,
                                                 RaddleRunRecord        *run,
                                                 RaddleTrackFunc         func,
                                                 gpointer                user_data);
void              raddle_dispatcher_unwatch_room (RaddleDispatcher      *self,
                                                 guint                   id);
void              raddle_dispatcher_close       (RaddleDispatcher       *self,
                                                 RaddleTrackFunc         func,
                                                 gpointer                user_data);
gboolean          raddle_dispatcher_is_closing  (RaddleDispatcher       *self);
gboolean          raddle_dispatcher_is_closed   (RaddleDispatcher       *self);

/* Any thread. */
gboolean          raddle_dispatcher_claim       (RaddleDispatcher       *self,
                                                 RaddleHandler          *handler,
                                                 gboolean                for_all_runs);
GPtrArray        *raddle_dispatcher_dup_named_handlers (RaddleDispatcher *self);
gboolean          raddle_dispatcher_post        (RaddleDispatcher       *self,
                                                 RaddleTrackFunc         func,
                                                 gpointer                user_data);
guint             raddle_dispatcher_abandon     (RaddleDispatcher       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleDispatcher, raddle_dispatcher_unref)

G_END_DECLS
