/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a round of the property test is made of: handlers, trees of runs, and of each run
 * what it was told, number by number. It is drawn and driven by dispatch-property-draw.h;
 * dispatch-property-check.h holds against it what the handlers saw. */

#pragma once

#include "dispatch-kit.h"

#include "raddle/raddle-error.h"

#include <string.h>

#define MAX_PROBES 9
#define MAX_NAMED  4
#define MAX_TREES  4
#define MAX_RUNS   8

/* One event that a run accepted. */
typedef struct
{
  RaddleEventType type;
  RaddleEventClass event_class;
  int block;
  guint64 seq;
  char *text;
  gboolean counted; /* perhaps nobody wanted it then, and it was never made */
} Told;

/* When somebody learned that the barriers were done. */
typedef struct
{
  guint position;  /* in the kit's marks */
  guint64 barrier; /* the seq of the last one */
} Settled;

/* A handler that joined a run late. */
typedef struct
{
  guint64 seq;   /* of what the run told next */
  guint n_joins; /* of the tree by then, with this one; 0: it did not */
} Late;

/* Handlers are bits, by their index. */
typedef struct
{
  RaddleRunRecord *record;
  RaddleRun *handle; /* of a run by hand; NULL */
  guint32 named;     /* the run names them, or did */
  guint32 handed_on; /* and the runs below that start now do too */
  guint32 went;      /* those that were taken away */
  guint64 went_seq[MAX_PROBES]; /* of what the run told next */
  Late late[MAX_PROBES];
  gboolean cut_off; /* it took nothing from its parent */
  int parent;        /* -1 at the root */
  char *name;
  gboolean started;
  GArray *told; /* of Told: the start, and what followed, without the end */
  guint64 next_seq;
  guint64 barrier;     /* the seq of the last that was told */
  GArray *settled;     /* of Settled */
  guint32 over_before; /* runs below whose ends come before this one's */
  GArray *marks;       /* of int: the places of its marks; of the check */
} Work;

/* The runs of one tree, all driven from one thread. */
typedef struct
{
  Kit *kit;
  GRand *random;
  GMainContext *context; /* of its thread; the kit's where that is the loop */
  GPtrArray *kept;       /* of GObject */
  guint number;
  Probe **nameable; /* the round's */
  guint n_nameable;
  guint n_joins;
  gboolean by_hand;
  gboolean heeds_room;
  Work works[MAX_RUNS];
  guint n_works;
  guint n_steps;
  guint n_texts;
} Tree;

typedef struct
{
  Kit *kit;
  guint32 seed;
  GRand *random;
  Tree *trees[MAX_TREES];
  guint n_trees;
  Probe *probes[MAX_PROBES];
  gboolean joined_late[MAX_PROBES];
  gboolean left[MAX_PROBES];
  guint n_probes;
  Probe *nameable[2 * MAX_NAMED]; /* by runs */
  guint n_nameable;
  gboolean only_named[MAX_PROBES]; /* not for all runs */
  gboolean stays[MAX_PROBES];
  int n_threads_done; /* atomic */
  gboolean closed_early;
} Round;

static gboolean
chance (GRand *random, guint percent)
{
  return g_rand_int_range (random, 0, 100) < (int) percent;
}

static guint32
get_bit (Probe *probe)
{
  return 1u << probe->index;
}

static Told *
get_told (Work *work, guint i)
{
  return &g_array_index (work->told, Told, i);
}

/* The smallest event that tells something, for limits in bytes. */
static gsize
get_least_size (void)
{
  return sizeof (RaddleEvent) + strlen ("<0>") + 1;
}
