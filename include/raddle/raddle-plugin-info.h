/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-enum-types.h>
#include <raddle/raddle-event-types.h>
#include <raddle/raddle-option.h>

G_BEGIN_DECLS

/**
 * RaddlePluginState:
 * @RADDLE_PLUGIN_FOUND: a file in a plugin folder, not yet looked at
 * @RADDLE_PLUGIN_REFUSED: cannot be used; the reason says why
 * @RADDLE_PLUGIN_DISABLED: turned off in the keyfile
 * @RADDLE_PLUGIN_SHADOWED: a file of the same name in an earlier folder is used
 * @RADDLE_PLUGIN_LOADED: in the process, ready to make handlers
 *
 * Where a plugin stands.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_PLUGIN_FOUND,
  RADDLE_PLUGIN_REFUSED,
  RADDLE_PLUGIN_DISABLED,
  RADDLE_PLUGIN_SHADOWED,
  RADDLE_PLUGIN_LOADED,
} RaddlePluginState;

/**
 * RaddleCallKind:
 * @RADDLE_CALL_NONE: the event is not handled
 * @RADDLE_CALL_SYNC: by a function that returns when it is done
 * @RADDLE_CALL_ASYNC: by a pair of functions, on the loop
 *
 * How a plugin handles one event.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_CALL_NONE,
  RADDLE_CALL_SYNC,
  RADDLE_CALL_ASYNC,
} RaddleCallKind;

#define RADDLE_TYPE_PLUGIN (raddle_plugin_get_type ())

/* The cast is RADDLE_PLUGIN_INFO (): RADDLE_PLUGIN () is what authors
 * of plugins write. */
RADDLE_PUBLIC
G_DECLARE_FINAL_TYPE (RaddlePlugin, raddle_plugin, RADDLE, PLUGIN_INFO, GObject)

RADDLE_PUBLIC
RaddlePlugin       *raddle_plugin_inspect         (const char        *file);
RADDLE_PUBLIC
const char         *raddle_plugin_get_file        (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_name        (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_version     (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_description (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_kind        (RaddlePlugin      *self);
RADDLE_PUBLIC
RaddleCallKind      raddle_plugin_get_call_kind   (RaddlePlugin      *self,
                                                   RaddleEventType    type);
RADDLE_PUBLIC
RaddlePluginState   raddle_plugin_get_state       (RaddlePlugin      *self);
RADDLE_PUBLIC
char               *raddle_plugin_dup_reason      (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_abi         (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_get_build_id    (RaddlePlugin      *self);
RADDLE_PUBLIC
const char * const *raddle_plugin_get_needed      (RaddlePlugin      *self);
RADDLE_PUBLIC
char              **raddle_plugin_dup_flag_nicks  (RaddlePlugin      *self);
RADDLE_PUBLIC
const RaddleOption *raddle_plugin_get_options     (RaddlePlugin      *self,
                                                   gsize             *n_options);
RADDLE_PUBLIC
JsonNode           *raddle_plugin_to_json         (RaddlePlugin      *self);
RADDLE_PUBLIC
const char         *raddle_plugin_state_get_nick  (RaddlePluginState  state);
RADDLE_PUBLIC
const char         *raddle_call_kind_get_nick     (RaddleCallKind     kind);

G_END_DECLS
