/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns a keyfile's content as typed values, and how it is put together from a file and
 * the command line. Plain data for one thread; reading the file blocks, so that a program
 * does it before its loop runs. It must never stop at the first problem.
 */

#include "config/raddle-config-private.h"

#include "config/raddle-file.h"

#include <gio/gio.h>
#include <string.h>

/* Longer than any keyfile: what is longer was named by mistake. */
#define MAX_FILE_SIZE (1024 * 1024)

RaddleModelConfig *
raddle_model_config_new (const char *name)
{
  RaddleModelConfig *self = g_new0 (RaddleModelConfig, 1);

  self->name = g_strdup (name);
  self->max_tokens = 1024;
  self->speed = 1.0;
  self->stream = TRUE;
  self->connect_timeout = 10 * (gint64) G_USEC_PER_SEC;
  self->first_byte_timeout = 120 * (gint64) G_USEC_PER_SEC;
  self->idle_timeout = 120 * (gint64) G_USEC_PER_SEC;
  self->retries = 2;
  self->retry_delay = G_USEC_PER_SEC / 2;

  return self;
}

void
raddle_model_config_free (RaddleModelConfig *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->name);
  g_free (self->provider);
  g_free (self->model);
  g_free (self->base_url);
  g_free (self->api_key_env);
  g_free (self->key_file);
  g_free (self->key_secret);
  g_clear_pointer (&self->extra, json_object_unref);
  g_strfreev (self->stop);
  g_free (self->system);
  g_clear_object (&self->authorities);
  g_free (self->file);
  g_free (self);
}

RaddleHandlerConfig *
raddle_handler_config_new (const char *name)
{
  RaddleHandlerConfig *self = g_new0 (RaddleHandlerConfig, 1);

  self->name = g_strdup (name);
  self->plugin = g_strdup (name);
  self->enabled = TRUE;
  self->events = G_MAXUINT32;
  self->delivery = RADDLE_DELIVERY_AWAITED;
  self->lane = (RaddleLaneSettings) RADDLE_LANE_SETTINGS_DEFAULT;

  return self;
}

void
raddle_handler_config_free (RaddleHandlerConfig *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->name);
  g_free (self->plugin);
  g_clear_pointer (&self->filter, raddle_filter_free);
  g_free (self);
}

static RaddleConfig *
config_new (const char *file)
{
  RaddleConfig *self = g_new0 (RaddleConfig, 1);
  g_autofree char *path = NULL;

  self->keyfile = raddle_keyfile_new (file);
  self->file = self->keyfile->file;
  if (file != NULL)
    {
      path = g_canonicalize_filename (file, NULL);
      self->folder = g_path_get_dirname (path);
    }
  else
    self->folder = g_get_current_dir ();
  self->plugin_path = g_ptr_array_new_with_free_func (g_free);
  self->max_threads = 64;
  self->reload = TRUE;
  self->models =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_model_config_free);
  self->handlers =
    g_ptr_array_new_with_free_func ((GDestroyNotify) raddle_handler_config_free);

  return self;
}

RaddleConfig *
raddle_config_new_default (void)
{
  return config_new (NULL);
}

void
raddle_config_free (RaddleConfig *self)
{
  g_return_if_fail (self != NULL);

  g_ptr_array_unref (self->models);
  g_ptr_array_unref (self->handlers);
  g_ptr_array_unref (self->plugin_path);
  g_free (self->folder);
  raddle_keyfile_free (self->keyfile);
  g_free (self);
}

char *
raddle_config_get_default_file (void)
{
  return g_build_filename (g_get_user_config_dir (), "raddle", "raddle.conf", NULL);
}

RaddleModelConfig *
raddle_config_find_model (const RaddleConfig *self,
                          const char *name)
{
  for (guint i = 0; i < self->models->len; i++)
    {
      RaddleModelConfig *model = self->models->pdata[i];

      if (g_str_equal (model->name, name))
        return model;
    }

  return NULL;
}

RaddleHandlerConfig *
raddle_config_find_handler (const RaddleConfig *self,
                            const char *name)
{
  for (guint i = 0; i < self->handlers->len; i++)
    {
      RaddleHandlerConfig *handler = self->handlers->pdata[i];

      if (g_str_equal (handler->name, name))
        return handler;
    }

  return NULL;
}

static void
read_file (RaddleConfig *self,
           GPtrArray *problems)
{
  g_autoptr (GError) error = NULL;
  gsize length;
  g_autofree char *data = raddle_file_read (self->file, MAX_FILE_SIZE, &length, &error);

  if (data != NULL)
    raddle_keyfile_scan (self->keyfile, data, length, problems);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE))
    raddle_problems_add (problems, self->file, 0, NULL, NULL,
                         "is longer than 1 MiB, too long for a keyfile");
  else
    raddle_problems_add (problems, self->file, 0, NULL, NULL, "cannot be read: %s",
                         error->message);
}

static gboolean
is_good_name (const char *name)
{
  for (const char *p = name; *p != '\0'; p = g_utf8_next_char (p))
    if (!g_unichar_isgraph (g_utf8_get_char (p)))
      return FALSE;

  return name[0] != '\0';
}

/* The group of that name which stands earlier, or NULL. */
static const RaddleKeyfileGroup *
find_earlier (const RaddleConfig *self,
              const RaddleKeyfileGroup *group)
{
  const RaddleKeyfileGroup *first = raddle_keyfile_find (self->keyfile, group->name);

  return first != group ? first : NULL;
}

static void
read_model (RaddleConfig *self,
            const RaddleKeyfileGroup *group,
            const char *name,
            gboolean keep,
            GPtrArray *problems)
{
  g_autoptr (RaddleModelConfig) model = raddle_model_config_new (name);

  model->group = group;
  raddle_config_read_model (self, model, problems);
  if (keep)
    g_ptr_array_add (self->models, g_steal_pointer (&model));
}

static void
read_handler (RaddleConfig *self,
              const RaddleKeyfileGroup *group,
              const char *name,
              gboolean keep,
              GPtrArray *problems)
{
  g_autoptr (RaddleHandlerConfig) handler = raddle_handler_config_new (name);

  handler->group = group;
  raddle_config_read_handler (self, handler, problems);
  if (keep)
    g_ptr_array_add (self->handlers, g_steal_pointer (&handler));
}

static void
refuse_group (const RaddleKeyfileGroup *group,
              GPtrArray *problems)
{
  static const char * const kinds[] = { "host", "model", "handler", NULL };
  g_auto (GStrv) words = g_strsplit (group->name, " ", 2);
  const char *nearest = raddle_nearest_name (words[0], kinds);
  g_autofree char *meant =
    nearest != NULL ? g_strdup_printf ("; did you mean '%s'?", nearest) : NULL;

  if (g_str_equal (words[0], "host"))
    raddle_group_add_problem (group, NULL, problems,
                              "this group is just [host], without a name");
  else if (g_strv_contains (kinds, words[0]))
    raddle_group_add_problem (group, NULL, problems,
                              "this group needs a name without spaces, as in [%s NAME]",
                              words[0]);
  else
    raddle_group_add_problem (group, NULL, problems,
                              "unknown group; there are [host], [model NAME] and "
                              "[handler NAME]%s",
                              meant != NULL ? meant : "");
}

static void
read_group (RaddleConfig *self,
            const RaddleKeyfileGroup *group,
            GPtrArray *problems)
{
  const RaddleKeyfileGroup *earlier = find_earlier (self, group);
  const char *space = strchr (group->name, ' ');
  const char *name = space != NULL ? space + 1 : "";

  if (earlier != NULL)
    raddle_group_add_problem (
      group, NULL, problems,
      "this group stands in the file twice, on line %u and on line %u", earlier->line,
      group->line);

  if (g_str_equal (group->name, "host"))
    raddle_config_read_host (self, group, problems);
  else if (g_str_has_prefix (group->name, "model ") && is_good_name (name))
    read_model (self, group, name, earlier == NULL, problems);
  else if (g_str_has_prefix (group->name, "handler ") && is_good_name (name))
    read_handler (self, group, name, earlier == NULL, problems);
  else
    refuse_group (group, problems);
}

RaddleConfig *
raddle_config_load (const char *file,
                    const char * const *overrides,
                    GPtrArray *problems)
{
  RaddleConfig *self = config_new (file);
  g_autoptr (GPtrArray) own = raddle_problems_new ();

  g_assert (problems != NULL);

  if (file != NULL)
    read_file (self, own);
  for (gsize i = 0; overrides != NULL && overrides[i] != NULL; i++)
    raddle_keyfile_override (self->keyfile, overrides[i], own);
  for (guint i = 0; i < self->keyfile->groups->len; i++)
    read_group (self, self->keyfile->groups->pdata[i], own);

  raddle_problems_sort (own);
  g_ptr_array_extend_and_steal (problems, g_steal_pointer (&own));

  return self;
}
