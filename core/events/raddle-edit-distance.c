/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns how far apart two names are, for messages that say what was probably meant. Pure;
 * any thread. Not for long texts: it takes the time of their product.
 */

#include "events/raddle-edit-distance.h"

#include <string.h>

/* Letters to insert, remove, change or swap with their neighbour (optimal string
 * alignment). Rows are kept for the last three letters of @a. */
guint
raddle_get_edit_distance (const char *a,
                          const char *b)
{
  gsize length_b = strlen (b);
  g_autofree guint *rows = g_new0 (guint, 3 * (length_b + 1));
  guint *before = rows, *above = rows + length_b + 1, *row = above + length_b + 1;

  for (gsize j = 0; j <= length_b; j++)
    above[j] = j;

  for (gsize i = 0; a[i] != '\0'; i++)
    {
      guint *oldest = before;

      row[0] = i + 1;
      for (gsize j = 0; j < length_b; j++)
        {
          guint cost = above[j] + (a[i] != b[j]);

          cost = MIN (cost, MIN (above[j + 1], row[j]) + 1);
          if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j])
            cost = MIN (cost, before[j - 1] + 1);
          row[j + 1] = cost;
        }
      before = above;
      above = row;
      row = oldest;
    }

  return above[length_b];
}
