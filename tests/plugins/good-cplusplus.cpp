/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Right, although the names of its lambdas and static variables contain event names. */

#include <raddle/raddle-plugin.h>

RADDLE_PLUGIN ("good-cplusplus", "1.0", "Is written in C++")

template <typename Function>
__attribute__ ((noinline)) static gboolean
call (Function function)
{
  return function ();
}

gboolean
raddle_on_text (RaddleHandler *self, RaddleEvent *event, GError **error)
{
  static volatile int n_calls;
  auto count = [] () __attribute__ ((noinline)) { return ++n_calls > 0; };

  return call (count);
}
