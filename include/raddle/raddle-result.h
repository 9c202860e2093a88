/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-event-types.h>

G_BEGIN_DECLS

/**
 * RaddleStopReason:
 * @RADDLE_STOP_NONE: no reason came
 * @RADDLE_STOP_STOP: the answer is complete
 * @RADDLE_STOP_LENGTH: a limit of length was reached
 * @RADDLE_STOP_TOOL_USE: the model wants tools to be called
 * @RADDLE_STOP_CONTENT_FILTER: the provider held the rest back
 * @RADDLE_STOP_PAUSE: the provider pauses; sending the answer back goes on
 * @RADDLE_STOP_UNKNOWN: a reason that Raddle does not know; see the raw one
 *
 * Why a model stopped.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_STOP_NONE,
  RADDLE_STOP_STOP,
  RADDLE_STOP_LENGTH,
  RADDLE_STOP_TOOL_USE,
  RADDLE_STOP_CONTENT_FILTER,
  RADDLE_STOP_PAUSE,
  RADDLE_STOP_UNKNOWN,
} RaddleStopReason;

/**
 * RaddleUsageSource:
 * @RADDLE_USAGE_UNKNOWN: nobody knows
 * @RADDLE_USAGE_REPORTED: the provider's own figures
 * @RADDLE_USAGE_ESTIMATED: counted here, from what had arrived
 *
 * Where the figures of a #RaddleUsage come from.
 *
 * Since: 0.1
 */
typedef enum
{
  RADDLE_USAGE_UNKNOWN,
  RADDLE_USAGE_REPORTED,
  RADDLE_USAGE_ESTIMATED,
} RaddleUsageSource;

/**
 * RaddleUsage:
 * @source: where the figures come from
 * @input: tokens of the request that were not cached
 * @output: tokens of the answer
 * @cache_read: tokens read from the provider's cache
 * @cache_write: tokens written to it
 * @reasoning: tokens of thinking, part of @output
 *
 * The tokens that a call took; -1 where a figure is not known.
 *
 * Since: 0.1
 */
typedef struct
{
  RaddleUsageSource source;
  gint64 input;
  gint64 output;
  gint64 cache_read;
  gint64 cache_write;
  gint64 reasoning;
} RaddleUsage;

#define RADDLE_TYPE_USAGE (raddle_usage_get_type ())

RADDLE_PUBLIC
GType              raddle_usage_get_type             (void);
RADDLE_PUBLIC
RaddleUsage       *raddle_usage_copy                 (const RaddleUsage  *self);
RADDLE_PUBLIC
void               raddle_usage_free                 (RaddleUsage        *self);

#define RADDLE_TYPE_RESULT (raddle_result_get_type ())

RADDLE_PUBLIC
GType              raddle_result_get_type            (void);
RADDLE_PUBLIC
RaddleResult      *raddle_result_ref                 (RaddleResult       *self);
RADDLE_PUBLIC
void               raddle_result_unref               (RaddleResult       *self);
RADDLE_PUBLIC
const char        *raddle_result_get_run_id          (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_result_get_id              (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_result_get_model           (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_result_get_text            (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_result_get_thinking        (const RaddleResult *self);
RADDLE_PUBLIC
JsonArray         *raddle_result_get_tool_calls      (const RaddleResult *self);
RADDLE_PUBLIC
RaddleOutcome      raddle_result_get_outcome         (const RaddleResult *self);
RADDLE_PUBLIC
RaddleStopReason   raddle_result_get_stop_reason     (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_result_get_raw_stop_reason (const RaddleResult *self);
RADDLE_PUBLIC
const RaddleUsage *raddle_result_get_usage           (const RaddleResult *self);
RADDLE_PUBLIC
gint64             raddle_result_get_first_token_time (const RaddleResult *self);
RADDLE_PUBLIC
gint64             raddle_result_get_duration        (const RaddleResult *self);
RADDLE_PUBLIC
JsonNode          *raddle_result_to_json             (const RaddleResult *self);
RADDLE_PUBLIC
const char        *raddle_stop_reason_get_nick       (RaddleStopReason    reason);
RADDLE_PUBLIC
const char        *raddle_usage_source_get_nick      (RaddleUsageSource   source);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleResult, raddle_result_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleUsage, raddle_usage_free)

G_END_DECLS
