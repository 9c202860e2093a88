/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The wrong arguments: in C++ that is another function, under another name. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("overload", "1.0", "Has the wrong arguments")

gboolean raddle_on_text (RaddleHandler *self, const char *text);

__attribute__ ((visibility ("default"))) gboolean
raddle_on_text (RaddleHandler *self, const char *text)
{
  return TRUE;
}

gboolean
raddle_on_llm_end (RaddleHandler *self, RaddleEvent *event, GError **error)
{
  return TRUE;
}
