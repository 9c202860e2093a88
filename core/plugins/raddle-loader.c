/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns dlopen () and what is read from an image afterwards. Runs on the thread that calls
 * it, which runs the plugin's constructors. It must never load a file that admission has
 * not passed, never unload one, and never take a symbol from another image.
 */

#include "plugins/raddle-loader.h"

#include "plugins/raddle-classification.h"
#include "plugins/raddle-option-table.h"
#include "plugins/raddle-refusal.h"

#include <dlfcn.h>
#include <link.h>
#include <locale.h>
#include <string.h>

/* More settings than any person would set: the number is garbage. */
#define MAX_OPTIONS 4096

void
raddle_image_free (RaddleImage *self)
{
  g_free (self->options);
  g_free (self);
}

/* The text between @before and the end of its word, in @message. */
static char *
find_word (const char *message,
           const char *before)
{
  const char *start = strstr (message, before);

  if (start == NULL)
    return NULL;

  start += strlen (before);
  return g_strndup (start, strcspn (start, " ,:'\n"));
}

static char *
explain_symbol (const char *symbol)
{
  if (g_str_has_prefix (symbol, "raddle_on_"))
    return g_strdup_printf ("uses %s without defining it; define it", symbol);
  if (g_str_has_prefix (symbol, "raddle_"))
    return g_strdup_printf ("needs %s, which this host does not have; install a newer "
                            "Raddle or rebuild it with this host's headers", symbol);

  return g_strdup_printf ("needs the symbol %s, which nothing that it is linked with "
                          "defines; link it with the library that has it", symbol);
}

/**
 * raddle_loader_explain:
 * @file: the file that could not be loaded
 * @message: what dlerror () said, untranslated
 *
 * Turns the loader's message into what is wrong with @file and what to do. What is not
 * known is passed on in the loader's own words.
 *
 * Returns: (transfer full): a text that goes on from the file's name
 */
char *
raddle_loader_explain (const char *file,
                       const char *message)
{
  g_autofree char *symbol = find_word (message, "undefined symbol: ");
  g_autofree char *version = find_word (message, ": version `");
  g_autofree char *library = g_strndup (message, strcspn (message, ":"));

  if (symbol != NULL)
    return explain_symbol (symbol);
  if (version != NULL)
    return g_strdup_printf ("needs %s in the version %s, which is newer than what is "
                            "installed; rebuild it on this system", library, version);
  if (strstr (message, "cannot open shared object file") != NULL
      && !g_str_equal (library, file))
    return g_strdup_printf ("needs %s, which cannot be found; install it", library);
  if (strstr (message, "static TLS") != NULL)
    return g_strdup ("needs more thread-local storage than the process has left; "
                     "restart, or compile it with -ftls-model=global-dynamic");
  if (strstr (message, "failed to map segment") != NULL)
    return g_strdup ("cannot be mapped for running; move it to a file system that is "
                     "not mounted noexec");

  return g_strdup_printf ("cannot be loaded: %s", message);
}

/* dlerror () translates for the calling thread; the words looked for are English. */
static gpointer
open_image (const char *file,
            GError **error)
{
  locale_t plain = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
  locale_t before = uselocale (plain);
  gpointer handle = dlopen (file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  g_autofree char *message = handle == NULL ? g_strdup (dlerror ()) : NULL;

  uselocale (before);
  if (plain != (locale_t) 0)
    freelocale (plain);

  if (handle == NULL)
    {
      g_autofree char *reason = raddle_loader_explain (file, message);

      raddle_refuse (error, "%s", reason);
    }

  return handle;
}

/* dlsym () also searches what the image is linked with. */
static gpointer
find_symbol (gpointer handle,
             const char *name,
             GError **error)
{
  gpointer address = dlsym (handle, name);
  struct link_map *own = NULL, *found = NULL;
  Dl_info info;

  if (address != NULL
      && dlinfo (handle, RTLD_DI_LINKMAP, &own) == 0
      && dladdr1 (address, &info, (void **) &found, RTLD_DL_LINKMAP) != 0
      && found == own)
    return address;

  raddle_refuse (error, "no longer is what was read a moment ago: %s is not in what was "
                 "loaded; restart to use it", name);
  return NULL;
}

static gboolean
fill_event (RaddleImage *self,
            RaddleEventType type,
            RaddleCallKind kind,
            GError **error)
{
  g_autofree char *sync = raddle_event_build_symbol (type, RADDLE_SYMBOL_SYNC);
  g_autofree char *async = raddle_event_build_symbol (type, RADDLE_SYMBOL_ASYNC);
  g_autofree char *finish = raddle_event_build_symbol (type, RADDLE_SYMBOL_FINISH);
  RaddleHandlerCalls *calls = &self->calls;

  switch (kind)
    {
    case RADDLE_CALL_NONE:
      return TRUE;
    case RADDLE_CALL_SYNC:
      calls->sync[type] = find_symbol (self->handle, sync, error);
      return calls->sync[type] != NULL;
    case RADDLE_CALL_ASYNC:
      calls->async[type] = find_symbol (self->handle, async, error);
      if (calls->async[type] == NULL)
        return FALSE;
      calls->finish[type] = find_symbol (self->handle, finish, error);
      return calls->finish[type] != NULL;
    }
  g_return_val_if_reached (FALSE);
}

static gboolean
fill_calls (RaddleImage *self,
            const RaddlePluginFacts *facts,
            GError **error)
{
  for (guint type = 0; type < RADDLE_N_EVENT_TYPES; type++)
    if (!fill_event (self, type, facts->calls[type], error))
      return FALSE;

  if (facts->has_setup)
    self->calls.setup = find_symbol (self->handle, "raddle_setup", error);
  if (facts->has_teardown)
    self->calls.teardown = find_symbol (self->handle, "raddle_teardown", error);
  self->calls.thread_safe = (facts->flags & RADDLE_PLUGIN_THREAD_SAFE) != 0;

  return (self->calls.setup != NULL) == facts->has_setup
         && (self->calls.teardown != NULL) == facts->has_teardown;
}

static gboolean
is_name (const char *name)
{
  if (name == NULL || *name == '\0' || *name == '-')
    return FALSE;
  for (const char *c = name; *c != '\0'; c++)
    if (!g_ascii_islower (*c) && !g_ascii_isdigit (*c) && *c != '-')
      return FALSE;

  return TRUE;
}

static gboolean
check_texts (const RaddlePluginDescriptor *descriptor,
             GError **error)
{
  const char *name = descriptor->name;

  if (!is_name (name))
    return raddle_refuse (error, "has the name \"%s\" in raddle_plugin_descriptor; use "
                          "lower-case letters, digits and dashes",
                          name != NULL && g_utf8_validate (name, -1, NULL) ? name : "?");
  if (descriptor->version == NULL || !g_utf8_validate (descriptor->version, -1, NULL))
    return raddle_refuse (error, "has no readable version in raddle_plugin_descriptor; "
                          "give it one in RADDLE_PLUGIN ()");
  if (descriptor->description == NULL
      || !g_utf8_validate (descriptor->description, -1, NULL))
    return raddle_refuse (error, "has no readable description in "
                          "raddle_plugin_descriptor; give it one in RADDLE_PLUGIN ()");

  return TRUE;
}

static gboolean
read_options (RaddleImage *self,
              GError **error)
{
  const RaddlePluginDescriptor *descriptor = &self->descriptor;

  if (descriptor->n_options > MAX_OPTIONS
      || (descriptor->n_options > 0 && descriptor->options == NULL))
    return raddle_refuse (error, "has %u options in raddle_plugin_descriptor and no "
                          "table of so many; make it with RADDLE_PLUGIN_FULL ()",
                          descriptor->n_options);

  self->options = raddle_option_table_copy (descriptor->options, descriptor->n_options,
                                            descriptor->option_size);
  return raddle_option_table_check (self->options, descriptor->n_options, error);
}

/**
 * raddle_loader_read_descriptor:
 * @bytes: a descriptor in memory, of the size that it says
 * @descriptor: (out caller-allocates): takes it at this host's size
 *
 * Reads the descriptor of a plugin that may have been compiled with older or newer
 * headers: what it does not have is zero.
 */
void
raddle_loader_read_descriptor (gconstpointer bytes,
                               RaddlePluginDescriptor *descriptor)
{
  const RaddlePluginDescriptor *head = bytes;

  memset (descriptor, 0, sizeof *descriptor);
  memcpy (descriptor, bytes, MIN (head->struct_size, sizeof *descriptor));
}

static gboolean
read_descriptor (RaddleImage *self,
                 const RaddlePluginFacts *facts,
                 GError **error)
{
  const RaddlePluginDescriptor *found;

  found = find_symbol (self->handle, "raddle_plugin_descriptor", error);
  if (found == NULL)
    return FALSE;
  if (found->magic != facts->magic || found->struct_size != facts->struct_size
      || found->option_size != facts->option_size || found->flags != facts->flags)
    return raddle_refuse (error, "no longer is what was read a moment ago: its "
                          "raddle_plugin_descriptor differs; restart to use it");

  raddle_loader_read_descriptor (found, &self->descriptor);
  return check_texts (&self->descriptor, error) && read_options (self, error);
}

static gboolean
read_image (RaddleImage *self,
            const char *file,
            const RaddlePluginFacts *facts,
            GError **error)
{
  self->handle = open_image (file, error);

  return self->handle != NULL
         && read_descriptor (self, facts, error)
         && fill_calls (self, facts, error);
}

/**
 * raddle_loader_load:
 * @file: an absolute name of a file that was admitted
 * @facts: what admission found
 * @error: return location for an error
 *
 * Brings a plugin into the process and reads what it says of itself. The error's message
 * names the file and what to do.
 *
 * Returns: (transfer full): the image, or %NULL with @error set
 */
RaddleImage *
raddle_loader_load (const char *file,
                    const RaddlePluginFacts *facts,
                    GError **error)
{
  g_autoptr(RaddleImage) self = g_new0 (RaddleImage, 1);
  g_autofree char *display = g_filename_display_name (file);

  g_return_val_if_fail (g_path_is_absolute (file), NULL);
  g_return_val_if_fail (facts->kind != RADDLE_PLUGIN_KIND_UNKNOWN, NULL);

  if (read_image (self, file, facts, error))
    return g_steal_pointer (&self);

  g_prefix_error (error, "%s: ", display);
  return NULL;
}
