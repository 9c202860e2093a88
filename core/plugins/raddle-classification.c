/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the meaning of a plugin's names: which event each stands for, and whether together
 * they make a plugin. Pure computation, on the thread that calls it. It must never take a
 * name apart: names are looked up in the table of events, since `agent_finish` is an
 * event.
 */

#include "plugins/raddle-classification.h"

#include "events/raddle-edit-distance.h"
#include "plugins/raddle-refusal.h"
#include "raddle/raddle-plugin.h"

#include <string.h>

#define PREFIX "raddle_on_"

static const char * const suffixes[RADDLE_N_SYMBOL_FORMS] = { "", "_async", "_finish" };

/**
 * raddle_event_build_symbol:
 * @type: a type of event
 * @form: one of the forms that a symbol can have
 *
 * Makes the name that a plugin exports for @type.
 *
 * Returns: (transfer full): the name
 */
char *
raddle_event_build_symbol (RaddleEventType type,
                           RaddleSymbolForm form)
{
  return g_strconcat (PREFIX, raddle_event_type_get_symbol (type), suffixes[form], NULL);
}

const char *
raddle_plugin_kind_get_nick (RaddlePluginKind kind)
{
  switch (kind)
    {
    case RADDLE_PLUGIN_KIND_UNKNOWN:
      return NULL;
    case RADDLE_PLUGIN_KIND_SYNC:
      return "sync";
    case RADDLE_PLUGIN_KIND_ASYNC:
      return "async";
    case RADDLE_PLUGIN_KIND_MIXED:
      return "mixed";
    }
  g_return_val_if_reached (NULL);
}

static gboolean
is_event_symbol (const char *name)
{
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    for (guint form = 0; form < RADDLE_N_SYMBOL_FORMS; form++)
      {
        g_autofree char *symbol = raddle_event_build_symbol (type, form);

        if (g_str_equal (symbol, name))
          return TRUE;
      }

  return FALSE;
}

/**
 * raddle_classification_find_nearest:
 * @symbol: a name
 *
 * Finds the real name that is most like @symbol.
 *
 * Returns: (transfer full): the name
 */
char *
raddle_classification_find_nearest (const char *symbol)
{
  g_autofree char *nearest = NULL;
  guint best = G_MAXUINT;

  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    for (guint form = 0; form < RADDLE_N_SYMBOL_FORMS; form++)
      {
        g_autofree char *name = raddle_event_build_symbol (type, form);
        guint distance = raddle_get_edit_distance (symbol, name);

        if (distance >= best)
          continue;
        best = distance;
        g_free (nearest);
        nearest = g_steal_pointer (&name);
      }

  return g_steal_pointer (&nearest);
}

/* @how is what else the author has to know, or "". */
static gboolean
refuse_unknown (const char *name,
                const char *how,
                GError **error)
{
  g_autofree char *shown = g_utf8_make_valid (name, -1);
  g_autofree char *nearest = raddle_classification_find_nearest (shown);

  return raddle_refuse (error, "%s%s stands for no event; the nearest that does is %s. "
                        "Rename it: names that begin with %s are for events", shown, how,
                        nearest, PREFIX);
}

static gboolean
judge_exported (RaddleElf *elf,
                GError **error)
{
  for (guint i = 0; i < elf->exported->len; i++)
    {
      const RaddleElfSymbol *symbol = g_ptr_array_index (elf->exported, i);

      if (!g_str_has_prefix (symbol->name, PREFIX))
        continue;
      if (!is_event_symbol (symbol->name))
        return refuse_unknown (symbol->name, "", error);
      if (!symbol->is_function)
        return raddle_refuse (error, "%s is a variable; make it a function, as "
                              "raddle-plugin.h declares it", symbol->name);
    }

  return TRUE;
}

/* Names that the author meant for us and the linker does not show us: without this the
 * handler would silently get nothing. */
static gboolean
judge_unseen (RaddleElf *elf,
              GPtrArray *names,
              const char *how,
              const char *mend,
              GError **error)
{
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      if (raddle_elf_lookup (elf, name) != NULL
          || g_str_equal (name, "raddle_plugin_descriptor"))
        continue;
      if (g_str_has_prefix (name, PREFIX) && !is_event_symbol (name))
        return refuse_unknown (name, how, error);

      return raddle_refuse (error, "%s%s cannot be seen by the host; %s", name, how,
                            mend);
    }

  return TRUE;
}

static gboolean
has_form (RaddleElf *elf,
          RaddleEventType type,
          RaddleSymbolForm form)
{
  g_autofree char *symbol = raddle_event_build_symbol (type, form);

  return raddle_elf_lookup (elf, symbol) != NULL;
}

static gboolean
judge_event (RaddleElf *elf,
             RaddleEventType type,
             RaddlePluginFacts *facts,
             GError **error)
{
  g_autofree char *symbol = raddle_event_build_symbol (type, RADDLE_SYMBOL_SYNC);
  gboolean sync = has_form (elf, type, RADDLE_SYMBOL_SYNC);
  gboolean async = has_form (elf, type, RADDLE_SYMBOL_ASYNC);
  gboolean finish = has_form (elf, type, RADDLE_SYMBOL_FINISH);

  if (sync && (async || finish))
    return raddle_refuse (error, "%s and %s%s are both there; keep one form of each "
                          "event, the sync or the async one", symbol, symbol,
                          async ? "_async" : "_finish");
  if (async && !finish)
    return raddle_refuse (error, "%s_async has no %s_finish; add it, an async event "
                          "needs both", symbol, symbol);
  if (finish && !async)
    return raddle_refuse (error, "%s_finish has no %s_async; add it, an async event "
                          "needs both", symbol, symbol);

  if (sync || async)
    facts->calls[type] = sync ? RADDLE_CALL_SYNC : RADDLE_CALL_ASYNC;
  return TRUE;
}

static gboolean
judge_events (RaddleElf *elf,
              RaddlePluginFacts *facts,
              GError **error)
{
  gboolean sync = FALSE, async = FALSE;

  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    {
      if (!judge_event (elf, type, facts, error))
        return FALSE;
      sync = sync || facts->calls[type] == RADDLE_CALL_SYNC;
      async = async || facts->calls[type] == RADDLE_CALL_ASYNC;
    }
  if (!sync && !async)
    return raddle_refuse (error, "exports no event, so it would never be called; define "
                          "at least one function of raddle-plugin.h, such as "
                          "raddle_on_llm_new_token");

  facts->kind = !async ? RADDLE_PLUGIN_KIND_SYNC
                : !sync ? RADDLE_PLUGIN_KIND_ASYNC
                : RADDLE_PLUGIN_KIND_MIXED;
  return TRUE;
}

static gboolean
judge_kind (RaddlePluginFacts *facts,
            GError **error)
{
  if (facts->kind == RADDLE_PLUGIN_KIND_MIXED
      && (facts->flags & RADDLE_PLUGIN_THREAD_SAFE) == 0)
    return raddle_refuse (error, "has sync and async events, which run on different "
                          "threads, and does not say that it can; set "
                          "RADDLE_PLUGIN_THREAD_SAFE in raddle_plugin_descriptor or "
                          "keep to one kind");
  if (facts->kind != RADDLE_PLUGIN_KIND_SYNC
      && (facts->flags & RADDLE_PLUGIN_INLINE) != 0)
    return raddle_refuse (error, "has async events and RADDLE_PLUGIN_INLINE in "
                          "raddle_plugin_descriptor, which is for sync ones; drop the "
                          "flag or make the events sync");

  return TRUE;
}

static gboolean
has_function (RaddleElf *elf,
              const char *name)
{
  const RaddleElfSymbol *symbol = raddle_elf_lookup (elf, name);

  return symbol != NULL && symbol->is_function;
}

/**
 * raddle_classification_judge:
 * @elf: what was read from the file
 * @facts: has the descriptor's flags; takes the events and the kind
 * @error: return location for an error
 *
 * Finds out which events a plugin handles, and how.
 *
 * Returns: %FALSE with @error set when the names do not make a plugin
 */
gboolean
raddle_classification_judge (RaddleElf *elf,
                             RaddlePluginFacts *facts,
                             GError **error)
{
  facts->has_setup = has_function (elf, "raddle_setup");
  facts->has_teardown = has_function (elf, "raddle_teardown");

  return judge_exported (elf, error)
         && judge_unseen (elf, elf->hidden, " (not exported)",
                          "include raddle-plugin.h and do not make it static or hidden",
                          error)
         && judge_unseen (elf, elf->mangled, " (a C++ name)",
                          "give it the arguments that raddle-plugin.h declares, outside "
                          "of any class or namespace, so that it is extern \"C\"", error)
         && judge_events (elf, facts, error)
         && judge_kind (facts, error);
}
