/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was used, in rows: one for each day, model, run name, set of tags and currency. A
 * plain table of data, which `raddle usage` reads as well. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  METER_CALLS,
  METER_ESTIMATED,   /* calls whose tokens were counted here: of aborted ones */
  METER_UNKNOWN,     /* calls of which nobody knows what they took */
  METER_UNPRICED,    /* calls whose tokens have no price */
  METER_INPUT,       /* tokens, as all until the cost */
  METER_OUTPUT,
  METER_CACHE_READ,
  METER_CACHE_WRITE,
  METER_REASONING,
  METER_COST,        /* of a unit of money the 10^12th part */
  METER_N_COUNTS,
} MeterCount;

/* So that sums of fractions of a cent are exact. */
#define METER_UNIT G_GINT64_CONSTANT (1000000000000)

typedef struct
{
  char *day; /* YYYY-MM-DD */
  char *model;
  char *name;
  char **tags; /* sorted, none twice */
  char *currency;
  gint64 counts[METER_N_COUNTS];
} MeterRow;

/* How many rows there may be; what comes then goes by the name METER_OTHER, untagged. */
#define METER_MAX_ROWS 10000
#define METER_OTHER    "(other)"

GHashTable *meter_table_new     (void);
void        meter_table_add     (GHashTable     *self,
                                 const MeterRow *row,
                                 gboolean        bounded);
void        meter_table_merge   (GHashTable     *self,
                                 GHashTable     *other,
                                 gboolean        bounded);
GPtrArray  *meter_table_list    (GHashTable     *self);
char       *meter_table_to_text (GHashTable     *self);
GHashTable *meter_table_parse   (const char     *text,
                                 gssize          length,
                                 GError        **error);
char      **meter_sort_tags     (const char * const *tags);
gint64      meter_sum           (gint64          a,
                                 gint64          b);
const char *meter_count_get_name (MeterCount     count);

G_END_DECLS
