/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

/* How far a request has come. */
typedef enum
{
  RADDLE_HTTP_STAGE_QUEUED,
  RADDLE_HTTP_STAGE_CONNECTING,
  RADDLE_HTTP_STAGE_WAITING,   /* sent or being sent; no headers yet */
  RADDLE_HTTP_STAGE_STREAMING,
} RaddleHttpStage;

GUri   *raddle_http_parse_url      (const char      *url,
                                    GError         **error);
GError *raddle_http_failure_new    (const char      *peer,
                                    RaddleHttpStage  stage,
                                    SoupMessage     *message,
                                    const GError    *cause);
gboolean raddle_http_failure_may_pass (SoupMessage     *message,
                                       const GError    *cause);
GError *raddle_http_timeout_new    (const char      *peer,
                                    RaddleHttpStage  stage,
                                    gint64           limit_us);

G_END_DECLS
