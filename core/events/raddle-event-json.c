/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the JSON form of events, as `--json` prints it and handlers write it. Any thread.
 * Members that an event does not have are left out, never null.
 */

#include "raddle/raddle-event.h"

#include "events/raddle-batch.h"
#include "events/raddle-json-copy.h"

static void
add_string (JsonBuilder *builder,
            const char *name,
            const char *value)
{
  if (value == NULL)
    return;

  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_int (JsonBuilder *builder,
         const char *name,
         gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

static void
add_wall_time (JsonBuilder *builder,
               gint64 wall_time)
{
  g_autoptr (GDateTime) seconds =
    g_date_time_new_from_unix_utc (wall_time / G_USEC_PER_SEC);
  g_autoptr (GDateTime) exact = g_date_time_add (seconds, wall_time % G_USEC_PER_SEC);
  g_autofree char *text = g_date_time_format_iso8601 (exact);

  add_string (builder, "wall_time", text);
}

static void
add_tags (JsonBuilder *builder,
          const char *const *tags)
{
  json_builder_set_member_name (builder, "tags");
  json_builder_begin_array (builder);
  for (; *tags != NULL; tags++)
    json_builder_add_string_value (builder, *tags);
  json_builder_end_array (builder);
}

static void
add_run (JsonBuilder *builder,
         const RaddleRunInfo *run)
{
  add_string (builder, "run_id", run->id);
  add_string (builder, "parent_id", run->parent_id);
  add_string (builder, "run_kind", raddle_run_kind_get_nick (run->kind));
  add_string (builder, "run_name", run->name);
  add_tags (builder, (const char *const *) run->tags);
  if (run->metadata != NULL)
    {
      JsonNode *node = json_node_new (JSON_NODE_OBJECT);

      json_node_take_object (node, raddle_json_copy_object (run->metadata));
      json_builder_set_member_name (builder, "metadata");
      json_builder_add_value (builder, node);
    }
}

static void
add_error (JsonBuilder *builder,
           const GError *error)
{
  json_builder_set_member_name (builder, "error");
  json_builder_begin_object (builder);
  add_string (builder, "domain", g_quark_to_string (error->domain));
  add_int (builder, "code", error->code);
  add_string (builder, "message", error->message);
  json_builder_end_object (builder);
}

static void
add_detail (JsonBuilder *builder,
            const RaddleEvent *self)
{
  const RaddleEventDetail *detail = self->detail;

  add_string (builder, "label", detail->label);
  if (detail->data != NULL)
    {
      json_builder_set_member_name (builder, "data");
      json_builder_add_value (builder, raddle_json_copy_node (detail->data));
    }
  if (detail->outcome != RADDLE_OUTCOME_RUNNING)
    add_string (builder, "outcome", raddle_outcome_get_nick (detail->outcome));
  if (detail->error != NULL)
    add_error (builder, detail->error);
  if (detail->result != NULL)
    {
      json_builder_set_member_name (builder, "result");
      json_builder_add_value (builder, raddle_result_to_json (detail->result));
    }
  if (self->type == RADDLE_EVENT_RETRY)
    {
      add_int (builder, "attempt", detail->attempt);
      add_int (builder, "delay_us", detail->delay);
    }
  if (self->type == RADDLE_EVENT_GAP)
    {
      add_int (builder, "dropped", detail->n_dropped);
      add_int (builder, "merged", detail->n_merged);
    }
}

/**
 * raddle_event_to_json:
 * @self: an event
 *
 * Makes an object of the event, for logs and other programs. Times are in microseconds
 * (`time_us`, monotonic) and as an ISO 8601 date in UTC (`wall_time`).
 *
 * Returns: (transfer full): the object
 *
 * Since: 0.1
 */
JsonNode *
raddle_event_to_json (RaddleEvent *self)
{
  g_autoptr (JsonBuilder) builder = NULL;

  g_return_val_if_fail (self != NULL, NULL);

  builder = json_builder_new ();
  json_builder_begin_object (builder);
  add_string (builder, "event", raddle_event_type_get_nick (self->type));
  add_int (builder, "seq", raddle_event_get_seq (self));
  if (raddle_event_get_first_seq (self) != raddle_event_get_seq (self))
    add_int (builder, "first_seq", raddle_event_get_first_seq (self));
  add_int (builder, "time_us", raddle_event_get_time (self));
  add_wall_time (builder, raddle_event_get_wall_time (self));
  add_run (builder, self->batch->run);
  if (self->batch->replayed)
    {
      json_builder_set_member_name (builder, "replayed");
      json_builder_add_boolean_value (builder, TRUE);
    }
  if (self->delta != RADDLE_DELTA_NONE)
    add_string (builder, "delta", raddle_delta_kind_get_nick (self->delta));
  if (self->block >= 0)
    add_int (builder, "block", self->block);
  if (self->text_length != G_MAXUINT)
    add_string (builder, "text", raddle_event_get_text (self));
  if (self->detail != NULL)
    add_detail (builder, self);
  json_builder_end_object (builder);

  return json_builder_get_root (builder);
}
