/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns which runs a handler gets at all: by their names, tags and kinds, and whether they
 * are roots. What a run is does not change once it has started, so that its start decides
 * for all of its events. Filled by one thread; a handler has a copy of its own that only
 * is read.
 */

#include "handlers/raddle-filter-private.h"

struct _RaddleFilter
{
  GPtrArray *names; /* of char *; empty: all */
  GPtrArray *tags;  /* of char *; empty: all */
  guint kinds;      /* a bit for each RaddleRunKind; 0: all */
  GPtrArray *excluded_names; /* of char * */
  GPtrArray *excluded_tags;  /* of char * */
  guint excluded_kinds;      /* a bit for each RaddleRunKind */
  gboolean roots_only;
};

/**
 * RaddleFilter:
 *
 * Which runs a handler gets. A run passes when its name is one of the names, at least one
 * of its tags is one of the tags, and its kind is one of the kinds; what no name, tag or
 * kind was added to asks for nothing. A new filter lets all runs pass.
 *
 * The start of a run decides: a handler gets all events of a run or none. Runs below one
 * that is left out are looked at for themselves.
 *
 * Since: 0.1
 */
G_DEFINE_BOXED_TYPE (RaddleFilter, raddle_filter, raddle_filter_copy, raddle_filter_free)

/**
 * raddle_filter_new:
 *
 * Makes a filter that lets all runs pass.
 *
 * Returns: (transfer full): the filter; give it to raddle_handler_set_filter()
 *
 * Since: 0.1
 */
RaddleFilter *
raddle_filter_new (void)
{
  RaddleFilter *self = g_new0 (RaddleFilter, 1);

  self->names = g_ptr_array_new_with_free_func (g_free);
  self->tags = g_ptr_array_new_with_free_func (g_free);
  self->excluded_names = g_ptr_array_new_with_free_func (g_free);
  self->excluded_tags = g_ptr_array_new_with_free_func (g_free);

  return self;
}

static void
copy_words (GPtrArray *to,
            GPtrArray *from)
{
  for (guint i = 0; i < from->len; i++)
    g_ptr_array_add (to, g_strdup (from->pdata[i]));
}

/**
 * raddle_filter_copy:
 * @self: a filter
 *
 * Makes another filter that lets the same runs pass.
 *
 * Returns: (transfer full): the copy
 *
 * Since: 0.1
 */
RaddleFilter *
raddle_filter_copy (const RaddleFilter *self)
{
  RaddleFilter *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = raddle_filter_new ();
  copy_words (copy->names, self->names);
  copy_words (copy->tags, self->tags);
  copy->kinds = self->kinds;
  copy_words (copy->excluded_names, self->excluded_names);
  copy_words (copy->excluded_tags, self->excluded_tags);
  copy->excluded_kinds = self->excluded_kinds;
  copy->roots_only = self->roots_only;

  return copy;
}

/**
 * raddle_filter_free:
 * @self: (transfer full): a filter
 *
 * Gives a filter back.
 *
 * Since: 0.1
 */
void
raddle_filter_free (RaddleFilter *self)
{
  g_return_if_fail (self != NULL);

  g_ptr_array_unref (self->names);
  g_ptr_array_unref (self->tags);
  g_ptr_array_unref (self->excluded_names);
  g_ptr_array_unref (self->excluded_tags);
  g_free (self);
}

static gboolean
has_word (GPtrArray *words,
          const char *word)
{
  return g_ptr_array_find_with_equal_func (words, word, g_str_equal, NULL);
}

static void
add_word (GPtrArray *words,
          const char *word)
{
  if (!has_word (words, word))
    g_ptr_array_add (words, g_strdup (word));
}

/**
 * raddle_filter_add_name:
 * @self: a filter
 * @name: the whole name of runs
 *
 * Lets runs of this name pass, beside those of other names that were added.
 *
 * Since: 0.1
 */
void
raddle_filter_add_name (RaddleFilter *self,
                        const char *name)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (name != NULL);

  add_word (self->names, name);
}

/**
 * raddle_filter_add_tag:
 * @self: a filter
 * @tag: a tag of runs
 *
 * Lets runs with this tag pass, beside those with other tags that were added.
 *
 * Since: 0.1
 */
void
raddle_filter_add_tag (RaddleFilter *self,
                       const char *tag)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (tag != NULL);

  add_word (self->tags, tag);
}

/**
 * raddle_filter_add_kind:
 * @self: a filter
 * @kind: a kind of runs; that of a chat model's is %RADDLE_RUN_LLM. %RADDLE_RUN_ANY lets
 *   all kinds pass
 *
 * Lets runs of this kind pass, beside those of other kinds that were added.
 *
 * Since: 0.1
 */
void
raddle_filter_add_kind (RaddleFilter *self,
                        RaddleRunKind kind)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail ((guint) kind < 32);

  self->kinds |= 1u << kind;
}

/**
 * raddle_filter_exclude_name:
 * @self: a filter
 * @name: the whole name of runs
 *
 * Leaves out the runs of this name.
 *
 * Since: 0.1
 */
void
raddle_filter_exclude_name (RaddleFilter *self,
                            const char *name)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (name != NULL);

  add_word (self->excluded_names, name);
}

/**
 * raddle_filter_exclude_tag:
 * @self: a filter
 * @tag: a tag of runs
 *
 * Leaves out the runs that have this tag, whatever other tags they have.
 *
 * Since: 0.1
 */
void
raddle_filter_exclude_tag (RaddleFilter *self,
                           const char *tag)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (tag != NULL);

  add_word (self->excluded_tags, tag);
}

/**
 * raddle_filter_exclude_kind:
 * @self: a filter
 * @kind: a kind of runs; that of a chat model's is %RADDLE_RUN_LLM. %RADDLE_RUN_ANY
 *   leaves out all runs
 *
 * Leaves out the runs of this kind.
 *
 * Since: 0.1
 */
void
raddle_filter_exclude_kind (RaddleFilter *self,
                            RaddleRunKind kind)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail ((guint) kind < 32);

  self->excluded_kinds |= 1u << kind;
}

/**
 * raddle_filter_set_roots_only:
 * @self: a filter
 * @roots_only: whether only runs without a parent pass
 *
 * Leaves out the runs that are part of another one. The default is %FALSE.
 *
 * Since: 0.1
 */
void
raddle_filter_set_roots_only (RaddleFilter *self,
                              gboolean roots_only)
{
  g_return_if_fail (self != NULL);

  self->roots_only = roots_only;
}

static gboolean
has_kind (guint kinds,
          RaddleRunKind kind)
{
  return (kinds & (1u << kind | 1u << RADDLE_RUN_ANY)) != 0;
}

static gboolean
has_any_word (GPtrArray *words,
              char **tags)
{
  for (; *tags != NULL && words->len > 0; tags++)
    if (has_word (words, *tags))
      return TRUE;
  return FALSE;
}

static gboolean
excludes (const RaddleFilter *self,
          const RaddleRunInfo *run)
{
  return has_word (self->excluded_names, run->name) ||
         has_kind (self->excluded_kinds, run->kind) ||
         has_any_word (self->excluded_tags, run->tags);
}

/* Any thread, for a run that has started. */
gboolean
raddle_filter_accepts (const RaddleFilter *self,
                       const RaddleRunInfo *run)
{
  if (self->roots_only && run->parent_id != NULL)
    return FALSE;
  if (self->names->len > 0 && !has_word (self->names, run->name))
    return FALSE;
  if (self->kinds != 0 && !has_kind (self->kinds, run->kind))
    return FALSE;
  if (self->tags->len > 0 && !has_any_word (self->tags, run->tags))
    return FALSE;
  return !excludes (self, run);
}
