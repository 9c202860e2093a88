/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_FILTER (raddle_filter_get_type ())

RADDLE_PUBLIC
GType         raddle_filter_get_type       (void);
RADDLE_PUBLIC
RaddleFilter *raddle_filter_new            (void);
RADDLE_PUBLIC
RaddleFilter *raddle_filter_copy           (const RaddleFilter *self);
RADDLE_PUBLIC
void          raddle_filter_free           (RaddleFilter       *self);
RADDLE_PUBLIC
void          raddle_filter_add_name       (RaddleFilter       *self,
                                            const char         *name);
RADDLE_PUBLIC
void          raddle_filter_add_tag        (RaddleFilter       *self,
                                            const char         *tag);
RADDLE_PUBLIC
void          raddle_filter_add_kind       (RaddleFilter       *self,
                                            RaddleRunKind       kind);
RADDLE_PUBLIC
void          raddle_filter_exclude_name   (RaddleFilter       *self,
                                            const char         *name);
RADDLE_PUBLIC
void          raddle_filter_exclude_tag    (RaddleFilter       *self,
                                            const char         *tag);
RADDLE_PUBLIC
void          raddle_filter_exclude_kind   (RaddleFilter       *self,
                                            RaddleRunKind       kind);
RADDLE_PUBLIC
void          raddle_filter_set_roots_only (RaddleFilter       *self,
                                            gboolean            roots_only);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleFilter, raddle_filter_free)

G_END_DECLS
