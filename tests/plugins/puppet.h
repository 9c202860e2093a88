/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a test and the puppets, which are plugins, share: the strings by which the test
 * moves them. A puppet finds its own by the number in its group of the keyfile. */

#pragma once

#include <raddle/raddle-plugin.h>

typedef struct _PuppetStrings PuppetStrings;

struct _PuppetStrings
{
  gboolean (*call) (PuppetStrings *self, RaddleHandler *handler, RaddleEvent *event,
                    GError **error);
  void (*call_async) (PuppetStrings *self, RaddleHandler *handler, RaddleEvent *event,
                      GCancellable *cancellable, GAsyncReadyCallback callback,
                      gpointer user_data);
  gboolean (*call_finish) (PuppetStrings *self, RaddleHandler *handler,
                           GAsyncResult *result, GError **error);
};
