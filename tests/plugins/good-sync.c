/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("good-sync", "1.0", "Takes tokens")

gboolean
raddle_on_llm_new_token (RaddleHandler *self,
                         RaddleEvent *event,
                         GError **error)
{
  return TRUE;
}
