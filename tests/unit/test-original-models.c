/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What LangChain's callbacks do in calls of models, as far as no other test shows it: a
 * stream that breaks off after some tokens, and what calls took, by model. Once for every
 * kind of handler, from cassettes. tests/conformance/original.md says what each stands
 * for. */

#include <glib/gstdio.h>
#include <string.h>

#include "host-kit.h"
#include "raddle/raddle-model.h"
#include "raddle/raddle-request.h"

#define EVENT(json_) "data: " json_ "\n\n"
#define START(model_)                                                                    \
  EVENT ("{\"type\":\"message_start\",\"message\":{\"model\":\"" model_ "\","            \
         "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}")
#define TEXT(text_)                                                                      \
  EVENT ("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"                      \
         "{\"type\":\"text_delta\",\"text\":\"" text_ "\"}}")
#define STOP(tokens_)                                                                    \
  EVENT ("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"         \
         "\"usage\":{\"output_tokens\":" tokens_ "}}")                                   \
  EVENT ("{\"type\":\"message_stop\"}")
#define BUSY                                                                             \
  EVENT ("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","                 \
         "\"message\":\"too busy\"}}")

static const Kind kinds[] = {
  { PROBE_SYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_SYNC, RADDLE_DELIVERY_INLINE },
  { PROBE_SYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_SYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_THREAD_SAFE, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_AWAITED },
  { PROBE_ASYNC, RADDLE_DELIVERY_LOCKSTEP },
  { PROBE_ASYNC, RADDLE_DELIVERY_DETACHED },
  { PROBE_MIXED, RADDLE_DELIVERY_AWAITED },
};

/* ---- helpers ---- */

/* One that answers each call with the next of the bodies. */
static RaddleModel *
dup_model (HostKit *kit,
           const char *const *bodies)
{
  g_autofree char *folder = g_dir_make_tmp ("raddle-original-XXXXXX", NULL);
  g_autofree char *file = g_build_filename (folder, "m.cassette", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  RaddleModel *model;

  for (; *bodies != NULL; bodies++)
    {
      g_autofree char *base64 =
        g_base64_encode ((const guchar *) *bodies, strlen (*bodies));

      g_string_append_printf (text,
                              "{\"raddle-cassette\":1,\"provider\":\"anthropic\","
                              "\"headers\":{\"content-type\":\"text/event-stream\"}}\n"
                              "{\"t\":0,\"base64\":\"%s\"}\n",
                              base64);
    }
  g_assert_true (g_file_set_contents (file, text->str, -1, NULL));
  model = raddle_host_dup_cassette (kit->host, file, 0, &error);
  g_assert_no_error (error);
  g_unlink (file);
  g_rmdir (folder);
  return model;
}

static void
generated_cb (GObject *source,
              GAsyncResult *result,
              gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static RaddleResult *
generate (HostKit *kit,
          RaddleModel *model,
          GError **error)
{
  g_autoptr (RaddleRequest) request = raddle_request_new ();
  g_autoptr (GAsyncResult) done = NULL;

  g_assert_true (raddle_request_add_message (request, "user", "hi", NULL));
  raddle_request_set_run_name (request, "R");
  raddle_model_generate_async (model, request, NULL, generated_cb, &done);
  kit_iterate_until (kit->kit, done != NULL);
  return raddle_model_generate_finish (model, done, error);
}

static void
add_probes (HostKit *kit,
            void (*entered) (Probe *probe, RaddleEvent *event, Mark *mark))
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *name = g_strdup_printf ("p%u", i);
      Probe *probe =
        probe_new (kit->kit, name, kinds[i].flags, kinds[i].delivery,
                   KIT_ALL_TYPES & ~RADDLE_EVENT_MASK (RADDLE_EVENT_STREAM_EVENT));

      probe->entered = entered;
      probe->entered_data = g_string_new (NULL);
      kit_add (kit->kit, probe);
    }
}

/* After the close; all of them saw the same, and wrote the same down. */
static void
assert_probes (HostKit *kit,
               const char *seen,
               const char *written)
{
  for (guint i = 0; i < kit->kit->probes->len; i++)
    {
      Probe *probe = kit->kit->probes->pdata[i];
      GString *text = probe->entered_data;

      probe_assert_saw (probe, seen);
      g_assert_cmpstr (text->str, ==, written);
      g_string_free (text, TRUE);
    }
}

/* ---- calls that fail ---- */

static void
write_failure (Probe *probe,
               RaddleEvent *event,
               Mark *mark)
{
  if (mark->event_class == RADDLE_EVENT_CLASS_END)
    g_string_append_printf (probe->entered_data, "%s: %s",
                            raddle_result_get_text (raddle_event_get_result (event)),
                            raddle_event_get_error (event)->message);
}

/* A stream that fails after @n tokens. Sync or async, each handler gets these, and then
 * one end with their text and the error that the caller gets too. */
static void
test_fails_after (gconstpointer data)
{
  static const char *const bodies[][2] = {
    { START ("m") BUSY },
    { START ("m") TEXT ("a") BUSY },
    { START ("m") TEXT ("a") TEXT ("b") BUSY },
    { START ("m") TEXT ("a") TEXT ("b") TEXT ("c") BUSY },
  };
  static const char *const seen[] = {
    "R:chat-model-start R:llm-error=error",
    "R:chat-model-start R:llm-new-token:a R:llm-error=error",
    "R:chat-model-start R:llm-new-token:a R:llm-new-token:b R:llm-error=error",
    ("R:chat-model-start R:llm-new-token:a R:llm-new-token:b R:llm-new-token:c "
     "R:llm-error=error"),
  };
  static const char *const texts[] = { "", "a", "ab", "abc" };
  guint n = GPOINTER_TO_UINT (data);
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleModel) model = dup_model (kit, bodies[n]);
  g_autoptr (RaddleResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *written = NULL;

  add_probes (kit, write_failure);
  result = generate (kit, model, &error);
  g_assert_null (result);
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_OVERLOADED);
  g_assert_nonnull (strstr (error->message, "too busy"));
  host_kit_close (kit);
  written = g_strdup_printf ("%s: %s", texts[n], error->message);
  assert_probes (kit, seen[n], written);
}

/* ---- what calls took ---- */

static void
write_usage (Probe *probe,
             RaddleEvent *event,
             Mark *mark)
{
  RaddleResult *result = raddle_event_get_result (event);
  const RaddleUsage *usage;

  if (result == NULL)
    return;
  usage = raddle_result_get_usage (result);
  g_string_append_printf (probe->entered_data,
                          "%s %s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "|",
                          raddle_result_get_model (result),
                          raddle_usage_source_get_nick (usage->source), usage->input,
                          usage->output);
}

/* Each end says what the call took and of which model, so that a handler can add it up;
 * also of a call that failed, as far as it is known. */
static void
test_usage (void)
{
  static const char *const bodies[] = {
    START ("m-1") TEXT ("a") STOP ("3"),
    START ("m-2") TEXT ("a") STOP ("50"),
    START ("m-1") TEXT ("a") STOP ("4"),
    START ("m-1") TEXT ("a") BUSY,
    NULL,
  };
  g_autoptr (HostKit) kit = host_kit_new ();
  g_autoptr (RaddleModel) model = dup_model (kit, bodies);

  add_probes (kit, write_usage);
  for (guint i = 0; bodies[i] != NULL; i++)
    {
      g_autoptr (RaddleResult) result = generate (kit, model, NULL);

      g_assert_true ((result == NULL) == (i == 3));
    }
  host_kit_close (kit);
#define CALL "R:chat-model-start R:llm-new-token:a "
  assert_probes (kit,
                 CALL "R:llm-end " CALL "R:llm-end " CALL "R:llm-end "
                 CALL "R:llm-error=error",
                 "m-1 reported 7 3|m-2 reported 7 50|m-1 reported 7 4|"
                 "m-1 estimated 7 1|");
}

#define ADD_FOR(name, number, func) \
  g_test_add_data_func ("/original-models/" name, GUINT_TO_POINTER (number), func)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD_FOR ("fails-after/0", 0, test_fails_after);
  ADD_FOR ("fails-after/1", 1, test_fails_after);
  ADD_FOR ("fails-after/2", 2, test_fails_after);
  ADD_FOR ("fails-after/3", 3, test_fails_after);
  g_test_add_func ("/original-models/usage", test_usage);

  return g_test_run ();
}
