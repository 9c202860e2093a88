/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "properties.h"

int LLVMFuzzerTestOneInput (const guint8 *bytes,
                            gsize         length);

int
LLVMFuzzerTestOneInput (const guint8 *bytes,
                        gsize length)
{
  check_head_properties (bytes, length);
  return 0;
}
