/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What came since it was last looked at, with the pieces of each run, block and type put
 * together. Bounded by whoever fills it. */

#pragma once

#include "events/raddle-batch.h"

G_BEGIN_DECLS

typedef struct _RaddleInbox RaddleInbox;

RaddleInbox *raddle_inbox_new      (void);
void         raddle_inbox_free     (RaddleInbox *self);
void         raddle_inbox_push     (RaddleInbox *self,
                                    RaddleEvent *event);
gboolean     raddle_inbox_is_empty (RaddleInbox *self);
gboolean     raddle_inbox_is_full  (RaddleInbox *self);
GPtrArray   *raddle_inbox_take     (RaddleInbox *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleInbox, raddle_inbox_free)

G_END_DECLS
