/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_EVENT (raddle_event_get_type ())

RADDLE_PUBLIC
GType               raddle_event_get_type          (void);
RADDLE_PUBLIC
RaddleEvent        *raddle_event_ref               (RaddleEvent *self);
RADDLE_PUBLIC
void                raddle_event_unref             (RaddleEvent *self);

/* What every event has. */
RADDLE_PUBLIC
RaddleEventType     raddle_event_get_event_type    (RaddleEvent *self);
RADDLE_PUBLIC
const char         *raddle_event_get_run_id        (RaddleEvent *self);
RADDLE_PUBLIC
const char         *raddle_event_get_parent_id     (RaddleEvent *self);
RADDLE_PUBLIC
RaddleRunKind       raddle_event_get_run_kind      (RaddleEvent *self);
RADDLE_PUBLIC
const char         *raddle_event_get_run_name      (RaddleEvent *self);
RADDLE_PUBLIC
const char * const *raddle_event_get_tags          (RaddleEvent *self);
RADDLE_PUBLIC
JsonObject         *raddle_event_get_metadata      (RaddleEvent *self);
RADDLE_PUBLIC
guint64             raddle_event_get_seq           (RaddleEvent *self);
RADDLE_PUBLIC
guint64             raddle_event_get_first_seq     (RaddleEvent *self);
RADDLE_PUBLIC
gint64              raddle_event_get_time          (RaddleEvent *self);
RADDLE_PUBLIC
gint64              raddle_event_get_wall_time     (RaddleEvent *self);
RADDLE_PUBLIC
gboolean            raddle_event_is_replayed       (RaddleEvent *self);
RADDLE_PUBLIC
RaddleRun          *raddle_event_dup_run           (RaddleEvent *self);

/* What some events have. */
RADDLE_PUBLIC
const char         *raddle_event_get_text          (RaddleEvent *self);
RADDLE_PUBLIC
gsize               raddle_event_get_text_length   (RaddleEvent *self);
RADDLE_PUBLIC
const char         *raddle_event_get_label         (RaddleEvent *self);
RADDLE_PUBLIC
JsonNode           *raddle_event_get_data          (RaddleEvent *self);
RADDLE_PUBLIC
RaddleDeltaKind     raddle_event_get_delta_kind    (RaddleEvent *self);
RADDLE_PUBLIC
int                 raddle_event_get_block_index   (RaddleEvent *self);
RADDLE_PUBLIC
RaddleOutcome       raddle_event_get_outcome       (RaddleEvent *self);
RADDLE_PUBLIC
const GError       *raddle_event_get_error         (RaddleEvent *self);
RADDLE_PUBLIC
RaddleResult       *raddle_event_get_result        (RaddleEvent *self);
RADDLE_PUBLIC
guint               raddle_event_get_attempt       (RaddleEvent *self);
RADDLE_PUBLIC
gint64              raddle_event_get_delay         (RaddleEvent *self);
RADDLE_PUBLIC
guint64             raddle_event_get_n_dropped     (RaddleEvent *self);
RADDLE_PUBLIC
guint64             raddle_event_get_n_merged      (RaddleEvent *self);

RADDLE_PUBLIC
JsonNode           *raddle_event_to_json           (RaddleEvent *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleEvent, raddle_event_unref)

G_END_DECLS
