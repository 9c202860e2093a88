/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>
#include <raddle/raddle-scope.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_HOST (raddle_host_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleHost, raddle_host, RADDLE, HOST, GObject)

RADDLE_PUBLIC
RaddleHost  *raddle_host_new               (void);
RADDLE_PUBLIC
void         raddle_host_add_plugin_folder (RaddleHost           *self,
                                            const char           *folder);
RADDLE_PUBLIC
gboolean     raddle_host_load_keyfile      (RaddleHost           *self,
                                            const char           *file,
                                            GError              **error);
RADDLE_PUBLIC
void         raddle_host_add_override      (RaddleHost           *self,
                                            const char           *setting);
RADDLE_PUBLIC
void         raddle_host_set_use_keyfile   (RaddleHost           *self,
                                            gboolean              use_keyfile);
RADDLE_PUBLIC
void         raddle_host_set_use_plugins   (RaddleHost           *self,
                                            gboolean              use_plugins);
RADDLE_PUBLIC
gboolean     raddle_host_load_plugins      (RaddleHost           *self,
                                            GError              **error);
RADDLE_PUBLIC
gboolean     raddle_host_start             (RaddleHost           *self,
                                            GError              **error);
RADDLE_PUBLIC
void         raddle_host_set_priority      (RaddleHost           *self,
                                            int                   priority);
RADDLE_PUBLIC
GListModel  *raddle_host_list_plugins      (RaddleHost           *self);
RADDLE_PUBLIC
GListModel  *raddle_host_list_handlers     (RaddleHost           *self);
RADDLE_PUBLIC
gboolean     raddle_host_add_handler       (RaddleHost           *self,
                                            RaddleHandler        *handler,
                                            GError              **error);
RADDLE_PUBLIC
void         raddle_host_remove_handler    (RaddleHost           *self,
                                            RaddleHandler        *handler);
RADDLE_PUBLIC
RaddleModel *raddle_host_dup_model         (RaddleHost           *self,
                                            const char           *name,
                                            GError              **error);
RADDLE_PUBLIC
RaddleModel *raddle_host_dup_cassette      (RaddleHost           *self,
                                            const char           *file,
                                            double                speed,
                                            GError              **error);
RADDLE_PUBLIC
RaddleRun   *raddle_host_start_run         (RaddleHost           *self,
                                            RaddleRunKind         kind,
                                            const char           *name,
                                            JsonNode             *inputs,
                                            GError              **error);
RADDLE_PUBLIC
RaddleRun   *raddle_host_start_run_with_scope (RaddleHost        *self,
                                            RaddleRunKind         kind,
                                            const char           *name,
                                            JsonNode             *inputs,
                                            RaddleScope          *scope,
                                            GError              **error);
RADDLE_PUBLIC
gboolean     raddle_host_emit_custom       (RaddleHost           *self,
                                            const char           *name,
                                            JsonNode             *data,
                                            GError              **error);
RADDLE_PUBLIC
void         raddle_host_close_async       (RaddleHost           *self,
                                            GCancellable         *cancellable,
                                            GAsyncReadyCallback   callback,
                                            gpointer              user_data);
RADDLE_PUBLIC
gboolean     raddle_host_close_finish      (RaddleHost           *self,
                                            GAsyncResult         *result,
                                            GError              **error);
RADDLE_PUBLIC
gboolean     raddle_host_close             (RaddleHost           *self,
                                            guint                 milliseconds);

G_END_DECLS
