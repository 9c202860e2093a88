/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns what is told at the end: a line for each plugin that was refused and each handler
 * that failed, was suspended or missed events, in words that say what to do. Runs on the
 * program's main thread.
 */

#include "cli/raddle-cli-report.h"

#include "cli/raddle-cli.h"

struct _RaddleCliReport
{
  RaddleHost *host;
  GPtrArray *handlers; /* of RaddleHandler, owned: those that were there */
};

RaddleCliReport *
raddle_cli_report_new (RaddleHost *host)
{
  RaddleCliReport *self = g_new0 (RaddleCliReport, 1);

  self->host = g_object_ref (host);
  self->handlers = g_ptr_array_new_with_free_func (g_object_unref);

  return self;
}

/* Once the host has been started: these are told of, wherever they are at the end. */
void
raddle_cli_report_add_handlers (RaddleCliReport *self)
{
  GListModel *list = raddle_host_list_handlers (self->host);

  for (guint i = 0; i < g_list_model_get_n_items (list); i++)
    g_ptr_array_add (self->handlers, g_list_model_get_item (list, i));
}

void
raddle_cli_report_free (RaddleCliReport *self)
{
  g_ptr_array_unref (self->handlers);
  g_object_unref (self->host);
  g_free (self);
}

/* ---- words ---- */

static void
add_times (GPtrArray *parts,
           const char *what,
           guint64 n_times)
{
  if (n_times == 1)
    g_ptr_array_add (parts, g_strdup_printf ("%s once", what));
  else if (n_times > 1)
    g_ptr_array_add (parts,
                     g_strdup_printf ("%s %" G_GUINT64_FORMAT " times", what, n_times));
}

static void
add_missed (GPtrArray *parts,
            guint64 n_events)
{
  if (n_events > 0)
    g_ptr_array_add (parts, g_strdup_printf ("missed %" G_GUINT64_FORMAT " event%s",
                                             n_events, n_events == 1 ? "" : "s"));
}

/* "a", "a and b", "a, b and c". */
static char *
join (GPtrArray *parts)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < parts->len; i++)
    {
      if (i > 0)
        g_string_append (text, i + 1 < parts->len ? ", " : " and ");
      g_string_append (text, parts->pdata[i]);
    }
  return g_string_free (text, FALSE);
}

/* Why the handler fails was said when it did. */
static const char *
get_advice (const RaddleHandlerStats *stats,
            const char *suspended)
{
  if (stats->n_timed_out > 0)
    return "; have it do less in a call, or give it a longer timeout";
  if (suspended != NULL)
    return "; mend it, or let its breaker and on-error allow more";
  if (stats->n_dropped > 0)
    return "; give it a longer queue-length, or overflow=block to lose nothing";
  if (stats->n_undelivered > 0)
    return "; it was still busy with others when the program ended";
  return "";
}

char *
raddle_cli_describe_trouble (RaddleHandler *handler,
                             const char *suspended)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *words = NULL;
  RaddleHandlerStats stats;

  raddle_handler_get_stats (handler, &stats);
  add_times (parts, "failed", stats.n_failed - stats.n_timed_out); /* which failed too */
  add_times (parts, "did not return in time", stats.n_timed_out);
  if (suspended != NULL)
    g_ptr_array_add (parts, g_strdup_printf ("was suspended (%s)", suspended));
  add_missed (parts, stats.n_dropped + stats.n_undelivered);
  if (parts->len == 0)
    return NULL;

  words = join (parts);
  return g_strconcat (words, get_advice (&stats, suspended), NULL);
}

/* ---- lines ---- */

static void
tell_of_plugins (RaddleCliReport *self)
{
  GListModel *plugins = raddle_host_list_plugins (self->host);

  for (guint i = 0; i < g_list_model_get_n_items (plugins); i++)
    {
      g_autoptr (RaddlePlugin) plugin = g_list_model_get_item (plugins, i);
      g_autofree char *reason = raddle_plugin_dup_reason (plugin);

      if (raddle_plugin_get_state (plugin) == RADDLE_PLUGIN_REFUSED)
        raddle_cli_tell ("raddle: refused: %s\n", reason);
    }
}

static void
tell_of_handler (RaddleCliReport *self,
                 RaddleHandler *handler)
{
  const char *name = raddle_handler_get_name (handler);
  g_autofree char *suspended = raddle_handler_dup_last_suspension (handler);
  g_autofree char *reason = raddle_handler_dup_reason (handler);
  g_autofree char *trouble = raddle_cli_describe_trouble (handler, suspended);

  if (raddle_handler_get_state (handler) == RADDLE_HANDLER_FAILED)
    raddle_cli_tell ("raddle: handler '%s' did not run: %s\n", name, reason);
  else if (trouble != NULL)
    raddle_cli_tell ("raddle: handler '%s' %s\n", name, trouble);
}

void
raddle_cli_report_tell (RaddleCliReport *self)
{
  tell_of_plugins (self);
  for (guint i = 0; i < self->handlers->len; i++)
    tell_of_handler (self, self->handlers->pdata[i]);
}
