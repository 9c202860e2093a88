/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that wants ends alone, so that nobody handles a token. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("ends", "1.0", "Is told of ends, and of nothing else")

gboolean
raddle_on_llm_end (RaddleHandler *self,
                   RaddleEvent *event,
                   GError **error)
{
  return TRUE;
}
