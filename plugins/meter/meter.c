/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A sync handler that counts what model calls take, in tokens and in money, and stops
 * them when a budget is used up. Owns what is not yet in the file of the totals. A call
 * counts when it ends, however it does; a budget is looked at before the request is sent.
 * Runs on the pool, one call at a time. It must never lose a count because the file
 * cannot be written, nor let nobody know of a figure that it does not know.
 */

#include "meter-file.h"
#include "meter-prices.h"
#include "meter-table.h"

#include <raddle/raddle-plugin.h>

#include <math.h>
#include <string.h>

static const RaddleOption options[] = {
  { "path", RADDLE_OPTION_PATH, "",
    "The file of the totals; without one, raddle/usage.json in the user's state folder",
    NULL },
  { "prices", RADDLE_OPTION_PATH, "", "A price table in the place of the built-in one",
    NULL },
  { "budget", RADDLE_OPTION_DOUBLE, "0",
    "Money that may be spent, in the currency of the price table; 0: any", NULL },
  { "budget-tokens", RADDLE_OPTION_INT, "0",
    "Tokens that may be used, in and out, with those of the cache; 0: any", NULL },
  { "budget-period", RADDLE_OPTION_ENUM, "day", "What the budgets are for",
    "day|month|total" },
};

RADDLE_PLUGIN_FULL ("meter",
                    "1.0",
                    "Counts tokens and cost, and keeps to a budget",
                    RADDLE_PLUGIN_ON_REQUEST,
                    options)

#define MAX_NAME   200 /* characters */
#define MAX_BUDGET (G_MAXINT64 / METER_UNIT)

typedef struct
{
  MeterFile *file;
  MeterPrices *prices;
  GHashTable *pending; /* what is not in the file */
  gboolean failing;
  gint64 budget;        /* in METER_UNIT; 0: none */
  gint64 budget_tokens; /* 0: none */
  gsize n_day;          /* how much of a day's name is the same in the budget's period */
  gboolean told_of_price;
} Meter;

/* What is kept of a call until it ends. */
typedef struct
{
  char *model; /* that was asked for; NULL: nobody said */
  gboolean stopped;
} MeterCall;

static void
meter_free (gpointer data)
{
  Meter *self = data;

  meter_file_free (self->file);
  meter_prices_free (self->prices);
  g_hash_table_unref (self->pending);
  g_free (self);
}

static void
meter_call_free (gpointer data)
{
  MeterCall *self = data;

  g_free (self->model);
  g_free (self);
}

/* ---- the file ---- */

static void
tell_of_damage (Meter *self,
                RaddleHandler *handler,
                const char *damaged)
{
  if (damaged != NULL)
    g_message ("handler '%s': %s is damaged; it was moved to %s and begun anew with what "
               "is known",
               raddle_handler_get_name (handler), meter_file_get_path (self->file),
               damaged);
}

/* FALSE only for the first of several failures: what is not written is kept, and goes
 * with the next. */
static gboolean
write_pending (Meter *self,
               RaddleHandler *handler,
               GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autofree char *damaged = NULL;
  gboolean was_failing = self->failing;

  self->failing = !meter_file_add (self->file, self->pending, &damaged, &reason);
  tell_of_damage (self, handler, damaged);
  if (was_failing && !self->failing)
    g_message ("handler '%s': %s can be written again; nothing was lost",
               raddle_handler_get_name (handler), meter_file_get_path (self->file));
  if (was_failing || !self->failing)
    return TRUE;
  g_set_error (error, reason->domain, reason->code,
               "%s: %s; what is counted is kept in memory until it can be written",
               meter_file_get_path (self->file), reason->message);
  return FALSE;
}

/* ---- the budget ---- */

static char *
get_day (RaddleEvent *event)
{
  g_autoptr (GDateTime) time =
    g_date_time_new_from_unix_local (raddle_event_get_wall_time (event) / G_USEC_PER_SEC);

  return g_date_time_format (time, "%Y-%m-%d");
}

static void
sum_up (Meter *self,
        GHashTable *table,
        const char *day,
        gint64 *cost,
        gint64 *tokens)
{
  const char *currency = meter_prices_get_currency (self->prices);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const MeterRow *row = value;

      if (strncmp (row->day, day, self->n_day) != 0)
        continue;
      if (g_str_equal (row->currency, currency))
        *cost = meter_sum (*cost, row->counts[METER_COST]);
      for (guint i = METER_INPUT; i <= METER_CACHE_WRITE; i++)
        *tokens = meter_sum (*tokens, row->counts[i]);
    }
}

/* Why nothing more may be asked today; NULL if it may. Transfer full. */
static char *
judge_budget (Meter *self,
              RaddleHandler *handler,
              RaddleEvent *event)
{
  const char *period = raddle_handler_get_string (handler, "budget-period");
  const char *each = g_str_equal (period, "total") ? "in all"
                     : g_str_equal (period, "day") ? "a day"
                                                   : "a month";
  g_autofree char *day = get_day (event);
  gint64 cost = 0, tokens = 0;

  meter_file_look (self->file);
  sum_up (self, meter_file_get_totals (self->file), day, &cost, &tokens);
  sum_up (self, self->pending, day, &cost, &tokens);
  if (self->budget > 0 && cost >= self->budget)
    return g_strdup_printf (
      "handler '%s': the budget of %.6f %s %s is used up: it is %.6f so far",
      raddle_handler_get_name (handler), (double) self->budget / METER_UNIT,
      meter_prices_get_currency (self->prices), each, (double) cost / METER_UNIT);
  if (self->budget_tokens > 0 && tokens >= self->budget_tokens)
    return g_strdup_printf ("handler '%s': the budget of %" G_GINT64_FORMAT
                            " tokens %s is used up: it is %" G_GINT64_FORMAT " so far",
                            raddle_handler_get_name (handler), self->budget_tokens, each,
                            tokens);
  return NULL;
}

/* A call that is told again has long been asked. */
static void
keep_to_budget (Meter *self,
                RaddleHandler *handler,
                RaddleEvent *event,
                MeterCall *call)
{
  g_autofree char *reason = NULL;
  g_autoptr (RaddleRun) run = NULL;

  if ((self->budget == 0 && self->budget_tokens == 0) || raddle_event_is_replayed (event))
    return;
  reason = judge_budget (self, handler, event);
  run = reason != NULL ? raddle_event_dup_run (event) : NULL;
  call->stopped = run != NULL;
  if (run != NULL)
    raddle_run_stop (run, reason);
}

/* ---- counting ---- */

/* Transfer full. */
static char *
shorten (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  return g_utf8_strlen (valid, -1) > MAX_NAME ? g_utf8_substring (valid, 0, MAX_NAME)
                                              : g_steal_pointer (&valid);
}

static void
tell_of_price (Meter *self,
               RaddleHandler *handler,
               const char *model)
{
  if (self->budget == 0 || self->told_of_price)
    return;
  self->told_of_price = TRUE;
  g_message ("handler '%s': the price table does not name the model '%s'; its calls "
             "do not count for the budget",
             raddle_handler_get_name (handler), model);
}

/* The model that answered is often a version of the one that was asked for. */
static gboolean
find_cost (Meter *self,
           const MeterRow *row,
           const MeterCall *call,
           const RaddleUsage *usage,
           gint64 *cost)
{
  return meter_prices_get_cost (self->prices, row->model, usage, cost) ||
         (call != NULL && call->model != NULL &&
          meter_prices_get_cost (self->prices, call->model, usage, cost));
}

static void
count_usage (Meter *self,
             RaddleHandler *handler,
             const MeterCall *call,
             const RaddleUsage *usage,
             MeterRow *row)
{
  row->counts[METER_CALLS] = 1;
  if (usage == NULL || usage->source == RADDLE_USAGE_UNKNOWN)
    {
      row->counts[METER_UNKNOWN] = 1;
      return;
    }
  row->counts[METER_ESTIMATED] = usage->source == RADDLE_USAGE_ESTIMATED;
  row->counts[METER_INPUT] = MAX (usage->input, 0);
  row->counts[METER_OUTPUT] = MAX (usage->output, 0);
  row->counts[METER_CACHE_READ] = MAX (usage->cache_read, 0);
  row->counts[METER_CACHE_WRITE] = MAX (usage->cache_write, 0);
  row->counts[METER_REASONING] = MAX (usage->reasoning, 0);
  if (find_cost (self, row, call, usage, &row->counts[METER_COST]))
    return;
  row->counts[METER_UNPRICED] = 1;
  tell_of_price (self, handler, row->model);
}

static gboolean
count_call (RaddleHandler *handler,
            RaddleEvent *event,
            GError **error)
{
  Meter *self = raddle_handler_get_data (handler);
  const MeterCall *call = raddle_handler_get_run_data (handler, event);
  RaddleResult *result = raddle_event_get_result (event);
  const char *answered = result != NULL ? raddle_result_get_model (result) : NULL;
  const char *asked = call != NULL ? call->model : NULL;
  g_autofree char *day = get_day (event);
  g_autofree char *model = shorten (answered != NULL ? answered
                                    : asked != NULL  ? asked
                                                     : "(unknown)");
  g_autofree char *name = shorten (raddle_event_get_run_name (event));
  g_auto (GStrv) tags = meter_sort_tags (raddle_event_get_tags (event));
  MeterRow row = { day, model, name, tags,
                   (char *) meter_prices_get_currency (self->prices) };

  if (call != NULL && call->stopped) /* nothing was asked */
    return TRUE;
  count_usage (self, handler, call,
               result != NULL ? raddle_result_get_usage (result) : NULL, &row);
  meter_table_add (self->pending, &row, TRUE);
  return write_pending (self, handler, error);
}

/* ---- what the host calls ---- */

static gboolean
read_budget (Meter *self,
             RaddleHandler *handler,
             GError **error)
{
  const char *period = raddle_handler_get_string (handler, "budget-period");
  double budget = raddle_handler_get_double (handler, "budget");

  self->budget_tokens = raddle_handler_get_int (handler, "budget-tokens");
  if (!(budget >= 0 && budget < MAX_BUDGET) || self->budget_tokens < 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           "budget and budget-tokens are 0 or above");
      return FALSE;
    }
  self->budget = llround (budget * METER_UNIT);
  self->n_day = g_str_equal (period, "day")     ? strlen ("YYYY-MM-DD")
                : g_str_equal (period, "month") ? strlen ("YYYY-MM")
                                                : 0;
  return TRUE;
}

static char *
find_path (RaddleHandler *handler)
{
  const char *path = raddle_handler_get_string (handler, "path");
  g_autofree char *folder = NULL;

  if (*path != '\0')
    return g_strdup (path);
  folder = g_build_filename (g_get_user_state_dir (), "raddle", NULL);
  g_mkdir_with_parents (folder, 0700); /* what goes wrong the file will tell */
  return g_build_filename (folder, "usage.json", NULL);
}

/* A file that cannot be used is told of at once, and is no reason not to count. */
gboolean
raddle_setup (RaddleHandler *handler,
              GError **error)
{
  g_autoptr (MeterPrices) prices =
    meter_prices_load (raddle_handler_get_string (handler, "prices"), error);
  g_autoptr (GError) reason = NULL;
  g_autofree char *path = NULL;
  Meter *self;

  if (prices == NULL)
    return FALSE;
  self = g_new0 (Meter, 1);
  path = find_path (handler);
  self->file = meter_file_new (path);
  self->prices = g_steal_pointer (&prices);
  self->pending = meter_table_new ();
  raddle_handler_set_data (handler, self, meter_free);
  if (!read_budget (self, handler, error))
    return FALSE;
  if (!write_pending (self, handler, &reason))
    g_message ("handler '%s': %s", raddle_handler_get_name (handler), reason->message);
  return TRUE;
}

void
raddle_teardown (RaddleHandler *handler)
{
  Meter *self = raddle_handler_get_data (handler);
  g_autoptr (GPtrArray) rows = NULL;
  gint64 n_calls = 0;

  if (g_hash_table_size (self->pending) == 0)
    return;
  write_pending (self, handler, NULL);
  rows = meter_table_list (self->pending);
  for (guint i = 0; i < rows->len; i++)
    n_calls += ((const MeterRow *) rows->pdata[i])->counts[METER_CALLS];
  if (n_calls > 0)
    g_message ("handler '%s': %s could not be written to the end; %" G_GINT64_FORMAT
               " call%s not in it",
               raddle_handler_get_name (handler), meter_file_get_path (self->file),
               n_calls, n_calls == 1 ? " is" : "s are");
}

gboolean
raddle_on_llm_start (RaddleHandler *handler,
                     RaddleEvent *event,
                     GError **error)
{
  Meter *self = raddle_handler_get_data (handler);
  MeterCall *call = g_new0 (MeterCall, 1);

  call->model = g_strdup (raddle_event_get_label (event));
  if (raddle_handler_set_run_data (handler, event, call, meter_call_free))
    keep_to_budget (self, handler, event, call);
  return TRUE;
}

gboolean
raddle_on_llm_end (RaddleHandler *handler,
                   RaddleEvent *event,
                   GError **error)
{
  return count_call (handler, event, error);
}

gboolean
raddle_on_llm_error (RaddleHandler *handler,
                     RaddleEvent *event,
                     GError **error)
{
  return count_call (handler, event, error);
}
