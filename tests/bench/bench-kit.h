/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What all benchmarks share: their arguments, clocks, the texts of the tokens, and the
 * figures, each a line of JSON on stdout:
 *
 *   {"name": "sync-1-batch-64", "value": 61.2, "unit": "ns", "floor": 240.1,
 *    "against": "g_signal_emit", "ratio": 0.255, "reach": 0.333, "ok": true}
 *
 * A figure with a floor is measured in pairs: the floor and the value by turns, in the
 * same process; value and floor are the medians, and ratio is the median of the pairs'
 * ratios. The reach is for the ratio, or for the value where there is no floor; what has
 * no reach has no ok. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  guint n_pairs;
  gboolean quick; /* so few events that nothing is measured, but all is tried */
  GStrv names;    /* of the figures that are wanted, or what they begin with */
} BenchOptions;

/* Returns one measurement. */
typedef double (*BenchFunc) (gpointer data);

typedef struct
{
  const char *name;
  const char *unit;
  const char *against; /* what the floor is */
  double reach;        /* 0: none */
  BenchFunc value;
  gpointer value_data;
  BenchFunc floor; /* NULL: none */
  gpointer floor_data;
} BenchFigure;

/* A result whose measuring is its own affair. */
typedef struct
{
  const char *name;
  const char *unit;
  const char *against;
  double reach;
  double value;
  double floor; /* 0: none */
  double ratio; /* 0: value / floor */
} BenchResult;

typedef struct
{
  double cpu;  /* ns, of the process */
  double wall; /* ns */
} BenchTime;

#define BENCH_MAX_BATCH 64

void                bench_init        (BenchOptions      *options,
                                       int                argc,
                                       char             **argv);
gboolean            bench_wants       (const BenchOptions *options,
                                       const char        *name);
guint               bench_scale       (const BenchOptions *options,
                                       guint              n);
void                bench_measure     (const BenchOptions *options,
                                       const BenchFigure *figure);
void                bench_tell        (const BenchResult *result);
double              bench_percentile  (GArray            *samples,
                                       double             part);

BenchTime           bench_begin       (void);
BenchTime           bench_since       (BenchTime          begun);
double              bench_thread_cpu  (void);

const char * const *bench_get_texts   (guint64            first);
void                bench_sum_texts   (guint64            n,
                                       gsize             *length,
                                       guint64           *sum);
void                bench_check       (const char        *who,
                                       guint64            n,
                                       gsize              length,
                                       guint64            sum);

G_END_DECLS
