/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

#include "models/raddle-response-head.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * What a transport tells its owner, always from the loop and never from inside the
 * function that started it. Any callback may pause, resume, cancel or unref the
 * transport.
 *
 * head:    once, before any bytes
 * bytes:   one call per read
 * drained: the end of one drained read, which is one batch; also of the read that found
 *          the end or a failure, which may have had no bytes
 * done:    exactly once, last, with NULL for a clean end; never after a cancel
 */
typedef struct
{
  void (*head)    (const RaddleResponseHead *head,
                   gpointer                  user_data);
  void (*bytes)   (const guint8             *bytes,
                   gsize                     length,
                   gpointer                  user_data);
  void (*drained) (gpointer                  user_data);
  void (*done)    (const GError             *error,
                   gpointer                  user_data);
} RaddleTransportCallbacks;

typedef struct _RaddleTransport RaddleTransport;

void raddle_transport_pause  (RaddleTransport *self);
void raddle_transport_resume (RaddleTransport *self);
void raddle_transport_satisfy (RaddleTransport *self);
void raddle_transport_cancel (RaddleTransport *self);
void raddle_transport_finish (RaddleTransport *self);
void raddle_transport_unref  (RaddleTransport *self);

gboolean raddle_transport_may_retry (RaddleTransport *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleTransport, raddle_transport_unref)

G_END_DECLS
