/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For those who write a transport: the fields, the vtable, and how to reach the owner. */

#pragma once

#include "models/raddle-transport.h"

G_BEGIN_DECLS

/* One drained read ends at the first of these, so that a source keeps to its share of a
 * turn. */
#define RADDLE_DRAIN_READS 64
#define RADDLE_DRAIN_BYTES (64 * 1024)
#define RADDLE_DRAIN_TIME_US 1000

typedef struct
{
  void (*paused) (RaddleTransport *self); /* self->paused changed */
  void (*stop)   (RaddleTransport *self); /* let go of sources, sockets and the world */
  void (*finish) (RaddleTransport *self); /* the same, unhurried; NULL: stop does it */
  void (*free)   (RaddleTransport *self);
} RaddleTransportClass;

struct _RaddleTransport
{
  const RaddleTransportClass *klass;
  guint                       ref_count;
  GMainContext               *context;
  int                         priority;
  RaddleTransportCallbacks    callbacks;
  gpointer                    user_data;
  gboolean                    paused;
  gboolean                    satisfied; /* the owner has all it wanted */
  gboolean                    ended; /* done was told, or the owner cancelled */
  gboolean                    may_retry;
};

void     raddle_transport_init         (RaddleTransport                *self,
                                        const RaddleTransportClass     *klass,
                                        int                             priority,
                                        const RaddleTransportCallbacks *callbacks,
                                        gpointer                        user_data);
void     raddle_transport_hold         (RaddleTransport                *self);
void     raddle_transport_release      (RaddleTransport                *self);
GSource *raddle_transport_timer_new    (RaddleTransport                *self,
                                        GSourceFunc                     callback);
void     raddle_transport_timer_clear  (GSource                       **timer);

/* FALSE when the owner has cancelled meanwhile: then touch nothing but what is held. */
gboolean raddle_transport_emit_head    (RaddleTransport                *self,
                                        const RaddleResponseHead       *head);
gboolean raddle_transport_emit_bytes   (RaddleTransport                *self,
                                        const guint8                   *bytes,
                                        gsize                           length);
gboolean raddle_transport_emit_drained (RaddleTransport                *self);
void     raddle_transport_emit_done    (RaddleTransport                *self,
                                        const GError                   *error);

G_END_DECLS
