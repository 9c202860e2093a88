/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a scope is made of, for the runs that are started with it. */

#pragma once

#include "raddle/raddle-scope.h"

G_BEGIN_DECLS

#define RADDLE_N_REACHES (RADDLE_REACH_TREE + 1)

typedef struct
{
  RaddleHandler *handler; /* owned */
  RaddleReach reach;
  guint types; /* that it wants; in a run: a scope does not know */
} RaddleNamedHandler;

typedef struct
{
  char *tag;
  RaddleReach reach;
} RaddleNamedTag;

/* An id that one run may have. Copies of a scope share it. */
typedef struct
{
  int ref_count; /* atomic */
  int taken;     /* atomic */
  char *text;
} RaddleGivenId;

struct _RaddleScope
{
  GObject parent_instance;
  GArray *handlers; /* of RaddleNamedHandler */
  GArray *tags;     /* of RaddleNamedTag */
  JsonObject *metadata[RADDLE_N_REACHES];
  gboolean inherit;
  RaddleGivenId *id; /* NULL: the run makes one */
};

void           raddle_given_id_unref     (RaddleGivenId *self);
RaddleGivenId *raddle_given_id_ref       (RaddleGivenId *self);
gboolean       raddle_given_id_take      (RaddleGivenId *self);
void           raddle_given_id_give_back (RaddleGivenId *self);

/* Ordered sets; both return whether something has changed. */
GArray        *raddle_named_handlers_new (void);
gboolean       raddle_named_handlers_add (GArray        *self,
                                          RaddleHandler *handler,
                                          RaddleReach    reach,
                                          guint          types);
gboolean       raddle_named_handlers_remove (GArray     *self,
                                          RaddleHandler *handler);

/* Set each member of @from in @into, to a copy. */
void           raddle_metadata_add       (JsonObject    *into,
                                          JsonObject    *from);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleGivenId, raddle_given_id_unref)

G_END_DECLS
