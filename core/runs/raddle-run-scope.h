/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a run has of its scope and from its parent: tags, metadata and an id, which do not
 * change once it has started, and the handlers that get it beside those of the host,
 * which may come and go. */

#pragma once

#include "raddle/raddle-scope.h"
#include "runs/raddle-run-record.h"

G_BEGIN_DECLS

/* Before the start. */
void       raddle_run_record_inherit         (RaddleRunRecord *self);
gboolean   raddle_run_record_set_scope       (RaddleRunRecord *self,
                                              RaddleScope     *scope,
                                              GError         **error);
void       raddle_run_record_inherit_handlers (RaddleRunRecord *self);

/* Any thread. */
gboolean   raddle_run_record_add_handler     (RaddleRunRecord *self,
                                              RaddleHandler   *handler,
                                              RaddleReach      reach,
                                              GError         **error);
gboolean   raddle_run_record_remove_handler  (RaddleRunRecord *self,
                                              RaddleHandler   *handler);
gboolean   raddle_run_record_bar             (RaddleRunRecord *self,
                                              RaddleHandler   *handler);
gboolean   raddle_run_record_names           (RaddleRunRecord *self,
                                              RaddleHandler   *handler);
GPtrArray *raddle_run_record_take_handlers   (RaddleRunRecord *self);
void       raddle_run_record_forget_handlers (RaddleRunRecord *self);

/* For the record's end. */
void       raddle_run_record_clear_scope     (RaddleRunRecord *self);

G_END_DECLS
