/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A host on a context of its own, with no keyfile and no plugins, whose dispatcher a kit
 * drives; and runs that are made by hand through the public functions. */

#pragma once

#include "dispatch-kit.h"
#include "host/raddle-host-private.h"
#include "raddle/raddle-error.h"

typedef struct
{
  Kit *kit;
  RaddleHost *host;
} HostKit;

static HostKit *
host_kit_new (void)
{
  HostKit *self = g_new0 (HostKit, 1);
  GMainContext *context = g_main_context_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (g_main_context_acquire (context));
  g_main_context_push_thread_default (context);
  self->host = raddle_host_new ();
  raddle_host_set_use_keyfile (self->host, FALSE);
  raddle_host_set_use_plugins (self->host, FALSE);
  raddle_host_add_override (self->host, "host.threads=2");
  raddle_host_start (self->host, &error);
  g_assert_no_error (error);

  self->kit = kit_new_for_dispatcher (
    raddle_dispatcher_ref (raddle_host_get_dispatcher (self->host)), context);
  return self;
}

static void
host_kit_close (HostKit *self)
{
  g_assert_true (raddle_host_close (self->host, KIT_DEADLINE_SECONDS * 1000));
  self->kit->closed = TRUE;
}

static void
host_kit_free (HostKit *self)
{
  if (!self->kit->closed)
    host_kit_close (self);
  g_clear_object (&self->host);
  g_main_context_pop_thread_default (self->kit->context);
  kit_free (self->kit);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (HostKit, host_kit_free)

static G_GNUC_UNUSED void
host_kit_add (HostKit *self,
              gpointer handler)
{
  g_autoptr (GError) error = NULL;

  raddle_host_add_handler (self->host, handler, &error);
  g_assert_no_error (error);
}

/* What is posted for the loop now is done when it returns. */
static G_GNUC_UNUSED void
host_kit_turn (HostKit *self)
{
  gboolean done = FALSE;

  g_assert_true (raddle_dispatcher_post (self->kit->dispatcher, set_true, &done));
  kit_iterate_until (self->kit, done);
}

static G_GNUC_UNUSED RaddleRun *
host_kit_start (HostKit *self,
                RaddleRunKind kind,
                const char *name)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_host_start_run (self->host, kind, name, NULL, &error);

  g_assert_no_error (error);
  return run;
}

static G_GNUC_UNUSED RaddleRun *
start_child (RaddleRun *parent,
             RaddleRunKind kind,
             const char *name)
{
  g_autoptr (GError) error = NULL;
  RaddleRun *run = raddle_run_new_child (parent, kind, name, NULL, &error);

  g_assert_no_error (error);
  return run;
}

static G_GNUC_UNUSED void
emit_token (RaddleRun *run,
            const char *text)
{
  g_autoptr (GError) error = NULL;

  raddle_run_emit_token (run, text, &error);
  g_assert_no_error (error);
}

static G_GNUC_UNUSED void
finish (RaddleRun *run)
{
  g_autoptr (GError) error = NULL;

  raddle_run_end (run, NULL, &error);
  g_assert_no_error (error);
}

static void
settled_cb (GObject *source,
            GAsyncResult *result,
            gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  raddle_run_settle_finish (RADDLE_RUN (source), result, &error);
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

/* Until all handlers that are waited for have done what the run has now. */
static G_GNUC_UNUSED void
host_kit_settle (HostKit *self,
                 RaddleRun *run)
{
  gboolean done = FALSE;

  raddle_run_settle_async (run, NULL, settled_cb, &done);
  kit_iterate_until (self->kit, done);
}
