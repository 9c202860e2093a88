/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host with one stock handler, as it is built and as a keyfile has it, and a tree of
 * runs in which every event happens. What is logged is kept, by line.
 */

#pragma once

#include "plugin-kit.h"

#include "events/raddle-batch.h"
#include "raddle/raddle.h"
#include "runs/raddle-run-private.h"

#include <string.h>
#include <unistd.h>

#define DEADLINE_SECONDS 30

typedef struct
{
  PluginKit folder;
  GString *keyfile;
  RaddleHost *host;
} Stock;

static GMutex stock_log_lock;
static GString *stock_log; /* stock_log_lock */

static GLogWriterOutput
stock_write_log (GLogLevelFlags level,
                 const GLogField *fields,
                 gsize n_fields,
                 gpointer user_data)
{
  gboolean is_ours = FALSE;

  for (gsize i = 0; i < n_fields; i++)
    is_ours |= g_str_equal (fields[i].key, "GLIB_DOMAIN") &&
               g_str_equal (fields[i].value, "Raddle");
  if (!is_ours ||
      (level & (G_LOG_LEVEL_WARNING | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)))
    return g_log_writer_default (level, fields, n_fields, user_data);

  g_mutex_lock (&stock_log_lock);
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      g_string_append_printf (stock_log, "%s\n", (const char *) fields[i].value);
  g_mutex_unlock (&stock_log_lock);
  return G_LOG_WRITER_HANDLED;
}

static void
stock_init (void)
{
  stock_log = g_string_new (NULL);
  g_log_set_writer_func (stock_write_log, NULL, NULL);
  alarm (10 * DEADLINE_SECONDS);
}

/* What was logged since the last time. */
static char *
stock_take_log (void)
{
  char *text;

  g_mutex_lock (&stock_log_lock);
  text = g_strdup (stock_log->str);
  g_string_truncate (stock_log, 0);
  g_mutex_unlock (&stock_log_lock);
  return text;
}

static void
stock_set_up (Stock *self,
              gconstpointer data)
{
  plugin_kit_set_up (&self->folder, NULL);
  self->keyfile = g_string_new (NULL);
  g_string_append_printf (self->keyfile, "[host]\nplugin-path=%s\n", self->folder.folder);
  self->host = raddle_host_new ();
}

static void
stock_close (Stock *self)
{
  g_assert_true (raddle_host_close (self->host, DEADLINE_SECONDS * 1000));
}

static void
stock_tear_down (Stock *self,
                 gconstpointer data)
{
  g_autofree char *log = NULL;

  g_clear_object (&self->host);
  g_string_free (self->keyfile, TRUE);
  plugin_kit_tear_down (&self->folder, NULL);
  log = stock_take_log ();
  g_assert_cmpstr (log, ==, "");
}

static char *
stock_path (Stock *self,
            const char *name)
{
  return plugin_kit_path (&self->folder, name);
}

/* The file's text; "" where there is no file. */
static G_GNUC_UNUSED char *
stock_read (Stock *self,
            const char *name)
{
  g_autofree char *path = stock_path (self, name);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : g_strdup ("");
}

/* Names of files in @settings begin in the folder. */
static void
stock_start (Stock *self,
             const char *plugin,
             const char *settings)
{
  g_autofree char *built = g_strdup_printf ("../../plugins/%s/%s", plugin, plugin);
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);
  g_autofree char *file = stock_path (self, "raddle.conf");
  g_autoptr (GError) error = NULL;

  g_free (plugin_kit_copy (&self->folder, built, name));
  g_string_append_printf (self->keyfile, "[handler a]\nplugin=%s\n%s\n", plugin,
                          settings);
  plugin_kit_write (file, self->keyfile->str, self->keyfile->len);
  raddle_host_load_keyfile (self->host, file, &error);
  g_assert_no_error (error);
  raddle_host_start (self->host, &error);
  g_assert_no_error (error);
}

static G_GNUC_UNUSED RaddleHandler *
stock_dup_handler (Stock *self)
{
  return g_list_model_get_item (raddle_host_list_handlers (self->host), 0);
}

/* ---- runs ---- */

static RaddleRun *
stock_new_run (Stock *self,
               RaddleRun *parent,
               RaddleRunKind kind,
               const char *name,
               const char *inputs)
{
  g_autoptr (JsonNode) node = json_from_string (inputs, NULL);
  g_autoptr (GError) error = NULL;
  RaddleRun *run = parent != NULL
                     ? raddle_run_new_child (parent, kind, name, node, &error)
                     : raddle_host_start_run (self->host, kind, name, node, &error);

  g_assert_no_error (error);
  return run;
}

static void
stock_settled_cb (GObject *run,
                  GAsyncResult *result,
                  gpointer user_data)
{
  raddle_run_settle_finish (RADDLE_RUN (run), result, NULL);
  *(gboolean *) user_data = TRUE;
}

/* Until the handler is done with all that was told of the run up to its last barrier. */
static void
stock_settle (RaddleRun *run)
{
  gboolean settled = FALSE;

  raddle_run_settle_async (run, NULL, stock_settled_cb, &settled);
  while (!settled)
    g_main_context_iteration (NULL, TRUE);
}

static void
stock_push (RaddleRun *run,
            RaddleEventType type,
            const char *text,
            RaddleEventDetail *detail)
{
  RaddleRunRecord *record = raddle_run_get_record (run);

  g_assert_true (
    raddle_run_record_push (record,
                            raddle_batch_new_single (&record->info, type, text, detail)));
}

static RaddleEventDetail *
stock_detail (const char *label,
              const char *data)
{
  RaddleEventDetail *detail = g_new0 (RaddleEventDetail, 1);

  detail->label = g_strdup (label);
  detail->data = data != NULL ? json_from_string (data, NULL) : NULL;
  if (detail->data != NULL)
    json_node_seal (detail->data);
  return detail;
}

static void
stock_end (RaddleRun *run,
           const char *outputs)
{
  g_autoptr (JsonNode) node = outputs != NULL ? json_from_string (outputs, NULL) : NULL;

  g_assert_true (raddle_run_end (run, node, NULL));
  stock_settle (run);
}

static G_GNUC_UNUSED void
stock_fail (RaddleRun *run,
            const char *message)
{
  g_autoptr (GError) reason =
    g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, message);

  g_assert_true (raddle_run_fail (run, reason, NULL));
  stock_settle (run);
}

static void
stock_stream_piece (RaddleRun *run)
{
  RaddleRunRecord *record = raddle_run_get_record (run);
  RaddleBatch *batch = raddle_batch_new (&record->info, RADDLE_EVENT_CLASS_FLOW);
  RaddleEvent *event = raddle_batch_add (batch, RADDLE_EVENT_STREAM_EVENT, "{\"x\":", 5);

  event->delta = RADDLE_DELTA_TOOL_ARGS;
  event->block = 1;
  g_assert_true (raddle_run_record_push (record, batch));
}

static void
stock_tell_rest (RaddleRun *chain)
{
  RaddleEventDetail *retry = stock_detail (NULL, NULL);
  RaddleEventDetail *gap = stock_detail (NULL, NULL);

  retry->attempt = 2;
  retry->delay = 1500000;
  retry->error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BUSY, "overloaded");
  stock_push (chain, RADDLE_EVENT_RETRY, NULL, retry);
  gap->n_dropped = 3;
  gap->n_merged = 4;
  stock_push (chain, RADDLE_EVENT_GAP, NULL, gap);
  stock_push (chain, RADDLE_EVENT_CUSTOM, NULL,
              stock_detail ("progress", "{\"done\":3}"));
  stock_push (chain, RADDLE_EVENT_AGENT_ACTION, NULL,
              stock_detail ("calculator", "{\"a\":6}"));
  stock_push (chain, RADDLE_EVENT_AGENT_FINISH, NULL, stock_detail (NULL, "{\"x\":42}"));
  g_assert_true (raddle_run_emit_text (chain, "one\ntwo\033[31m", NULL));
}

/* Every event but chat-model-start, which only a model has. */
static G_GNUC_UNUSED void
stock_tell_all (Stock *self)
{
  g_autoptr (RaddleRun) chain =
    stock_new_run (self, NULL, RADDLE_RUN_CHAIN, "plan", "{\"question\":\"6*7?\"}");
  g_autoptr (RaddleRun) llm =
    stock_new_run (self, chain, RADDLE_RUN_LLM, "oracle", "\"Human: 6*7?\"");
  g_autoptr (RaddleRun) tool = NULL, retriever = NULL, broken = NULL, empty = NULL;
  g_autoptr (RaddleRun) worse = NULL;

  g_assert_true (raddle_run_emit_token (llm, "4", NULL));
  g_assert_true (raddle_run_emit_token (llm, "2", NULL));
  stock_stream_piece (llm);
  stock_end (llm, NULL);
  tool = stock_new_run (self, chain, RADDLE_RUN_TOOL, "calculator", "{\"a\":6}");
  broken = stock_new_run (self, tool, RADDLE_RUN_TOOL, "inner", "\"in\"");
  stock_fail (broken, "division by zero");
  stock_end (tool, "{\"x\":42}");
  retriever = stock_new_run (self, chain, RADDLE_RUN_RETRIEVER, "library", "\"42\"");
  stock_end (retriever, "[\"a\",\"b\"]");
  empty = stock_new_run (self, chain, RADDLE_RUN_RETRIEVER, "archive", "\"43\"");
  stock_fail (empty, "closed");
  worse = stock_new_run (self, chain, RADDLE_RUN_LLM, "fool", "\"Human: 7*7?\"");
  g_assert_true (raddle_run_emit_token (worse, "So", NULL));
  g_assert_true (raddle_run_stop (worse, "enough"));
  stock_settle (worse);
  stock_tell_rest (chain);
  stock_fail (chain, "no more");
  chain = (g_object_unref (chain),
           stock_new_run (self, NULL, RADDLE_RUN_CHAIN, "second", "\"again\""));
  stock_end (chain, "\"done\"");
}
