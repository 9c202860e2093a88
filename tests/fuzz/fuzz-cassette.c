/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "models/raddle-cassette.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *bytes,
                            gsize         length);

/* Whatever is taken is written so that it is taken again, and means the same. */
static void
check_round_trip (RaddleCassette *cassette)
{
  g_autofree char *text = raddle_cassette_to_text (cassette);
  g_autoptr (GBytes) written = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;
  g_autoptr (RaddleCassette) again =
      raddle_cassette_new_from_bytes (written, "again.cassette", &error);
  g_autofree char *text_again = NULL;

  if (again == NULL)
    g_error ("not taken again: %s", error->message);
  text_again = raddle_cassette_to_text (again);
  if (g_strcmp0 (text, text_again) != 0)
    g_error ("written otherwise:\n%s\n%s", text, text_again);
}

int
LLVMFuzzerTestOneInput (const guint8 *bytes,
                        gsize         length)
{
  static const char *const names[] = { "a.cassette", "a.sse", "a.ndjson" };
  g_autoptr (GBytes) input = g_bytes_new (bytes, length);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (RaddleCassette) cassette =
        raddle_cassette_new_from_bytes (input, names[i], NULL);

      if (cassette != NULL)
        check_round_trip (cassette);
    }
  return 0;
}
