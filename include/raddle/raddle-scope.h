/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

/**
 * RaddleReach:
 * @RADDLE_REACH_RUN: for the run alone
 * @RADDLE_REACH_TREE: for the run and all below it
 *
 * How far down something goes that is given to a run.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_REACH_RUN,
  RADDLE_REACH_TREE,
} RaddleReach;

#define RADDLE_TYPE_SCOPE (raddle_scope_get_type ())

RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddleScope, raddle_scope, RADDLE, SCOPE, GObject)

RADDLE_PUBLIC
RaddleScope *raddle_scope_new            (void);
RADDLE_PUBLIC
RaddleScope *raddle_scope_copy           (RaddleScope    *self);
RADDLE_PUBLIC
void         raddle_scope_merge          (RaddleScope    *self,
                                          RaddleScope    *other);
RADDLE_PUBLIC
void         raddle_scope_add_handler    (RaddleScope    *self,
                                          RaddleHandler  *handler,
                                          RaddleReach     reach);
RADDLE_PUBLIC
void         raddle_scope_remove_handler (RaddleScope    *self,
                                          RaddleHandler  *handler);
RADDLE_PUBLIC
gboolean     raddle_scope_add_tag        (RaddleScope    *self,
                                          const char     *tag,
                                          RaddleReach     reach,
                                          GError        **error);
RADDLE_PUBLIC
gboolean     raddle_scope_set_metadata   (RaddleScope    *self,
                                          const char     *key,
                                          JsonNode       *value,
                                          RaddleReach     reach,
                                          GError        **error);
RADDLE_PUBLIC
gboolean     raddle_scope_add_metadata   (RaddleScope    *self,
                                          JsonNode       *object,
                                          RaddleReach     reach,
                                          GError        **error);
RADDLE_PUBLIC
void         raddle_scope_set_inherit    (RaddleScope    *self,
                                          gboolean        inherit);
RADDLE_PUBLIC
gboolean     raddle_scope_get_inherit    (RaddleScope    *self);
RADDLE_PUBLIC
gboolean     raddle_scope_set_run_id     (RaddleScope    *self,
                                          const char     *id,
                                          GError        **error);
RADDLE_PUBLIC
const char  *raddle_scope_get_run_id     (RaddleScope    *self);
RADDLE_PUBLIC
GPtrArray   *raddle_scope_dup_handlers   (RaddleScope    *self,
                                          RaddleReach     reach);
RADDLE_PUBLIC
char       **raddle_scope_dup_tags       (RaddleScope    *self,
                                          RaddleReach     reach);
RADDLE_PUBLIC
JsonNode    *raddle_scope_dup_metadata   (RaddleScope    *self,
                                          RaddleReach     reach);

G_END_DECLS
