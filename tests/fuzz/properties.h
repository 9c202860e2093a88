/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What must hold for any bytes at all; aborts where it does not. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

void check_sse_properties       (const guint8 *bytes,
                                 gsize         length);
void check_ndjson_properties    (const guint8 *bytes,
                                 gsize         length);
void check_head_properties      (const guint8 *bytes,
                                 gsize         length);
void check_anthropic_properties (const guint8 *bytes,
                                 gsize         length);
void check_chat_properties      (const guint8 *bytes,
                                 gsize         length);
void check_responses_properties (const guint8 *bytes,
                                 gsize         length);
void check_ollama_properties    (const guint8 *bytes,
                                 gsize         length);
void check_scan_properties      (const guint8 *bytes,
                                 gsize         length);
void check_cassette_properties  (const guint8 *bytes,
                                 gsize         length);
void check_chat_scan_properties (const guint8 *bytes,
                                 gsize         length);

G_END_DECLS
