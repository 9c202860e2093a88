/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The types of all enumerations, for properties, values and other languages. */

#pragma once

#include <raddle/raddle-types.h>

G_BEGIN_DECLS

#define RADDLE_TYPE_CALL_KIND (raddle_call_kind_get_type ())
#define RADDLE_TYPE_DELIVERY (raddle_delivery_get_type ())
#define RADDLE_TYPE_DELTA_KIND (raddle_delta_kind_get_type ())
#define RADDLE_TYPE_ERROR (raddle_error_get_type ())
#define RADDLE_TYPE_EVENT_CLASS (raddle_event_class_get_type ())
#define RADDLE_TYPE_EVENT_TYPE (raddle_event_type_get_type ())
#define RADDLE_TYPE_HANDLER_STATE (raddle_handler_state_get_type ())
#define RADDLE_TYPE_OPTION_TYPE (raddle_option_type_get_type ())
#define RADDLE_TYPE_OUTCOME (raddle_outcome_get_type ())
#define RADDLE_TYPE_OVERFLOW (raddle_overflow_get_type ())
#define RADDLE_TYPE_PLUGIN_FLAGS (raddle_plugin_flags_get_type ())
#define RADDLE_TYPE_PLUGIN_STATE (raddle_plugin_state_get_type ())
#define RADDLE_TYPE_REACH (raddle_reach_get_type ())
#define RADDLE_TYPE_RUN_KIND (raddle_run_kind_get_type ())
#define RADDLE_TYPE_STOP_REASON (raddle_stop_reason_get_type ())
#define RADDLE_TYPE_USAGE_SOURCE (raddle_usage_source_get_type ())

RADDLE_PUBLIC
GType raddle_call_kind_get_type     (void);
RADDLE_PUBLIC
GType raddle_delivery_get_type      (void);
RADDLE_PUBLIC
GType raddle_delta_kind_get_type    (void);
RADDLE_PUBLIC
GType raddle_error_get_type         (void);
RADDLE_PUBLIC
GType raddle_event_class_get_type   (void);
RADDLE_PUBLIC
GType raddle_event_type_get_type    (void);
RADDLE_PUBLIC
GType raddle_handler_state_get_type (void);
RADDLE_PUBLIC
GType raddle_option_type_get_type   (void);
RADDLE_PUBLIC
GType raddle_outcome_get_type       (void);
RADDLE_PUBLIC
GType raddle_overflow_get_type      (void);
RADDLE_PUBLIC
GType raddle_plugin_flags_get_type  (void);
RADDLE_PUBLIC
GType raddle_plugin_state_get_type  (void);
RADDLE_PUBLIC
GType raddle_reach_get_type         (void);
RADDLE_PUBLIC
GType raddle_run_kind_get_type      (void);
RADDLE_PUBLIC
GType raddle_stop_reason_get_type   (void);
RADDLE_PUBLIC
GType raddle_usage_source_get_type  (void);

G_END_DECLS
