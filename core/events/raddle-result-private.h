/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "raddle/raddle-result.h"

G_BEGIN_DECLS

struct _RaddleResult
{
  int ref_count; /* atomic */
  char *run_id;
  char *id;      /* the provider's; NULL if none came */
  char *model;   /* NULL if none came */
  char *text;
  char *thinking;
  JsonArray *tool_calls;
  JsonArray *blocks; /* what to send back; NULL where only the rest is known */
  RaddleOutcome outcome;
  RaddleStopReason stop_reason;
  char *raw_stop_reason;
  RaddleUsage usage;
  gint64 first_token_time; /* us since the request; -1 if none came */
  gint64 duration;         /* us */
};

#define RADDLE_USAGE_INIT { RADDLE_USAGE_UNKNOWN, -1, -1, -1, -1, -1 }

RaddleResult *raddle_result_new              (const char        *run_id);
RaddleResult *raddle_result_new_with_outcome (RaddleResult      *result,
                                              RaddleOutcome      outcome);
/* Figures that not both have are known only in part, and so are estimates. */
void          raddle_usage_add               (RaddleUsage       *self,
                                              const RaddleUsage *usage);

G_END_DECLS
