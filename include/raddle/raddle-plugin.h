/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the author of a handler includes, and nothing else. A handler is a shared object
 * that says what it is with RADDLE_PLUGIN () and exports one function per event:
 *
 *   gboolean raddle_on_EVENT (RaddleHandler *self, RaddleEvent *event, GError **error);
 *
 * or, for an async event, the pair
 *
 *   void     raddle_on_EVENT_async  (RaddleHandler *self, RaddleEvent *event,
 *                                    GCancellable *cancellable,
 *                                    GAsyncReadyCallback callback, gpointer user_data);
 *   gboolean raddle_on_EVENT_finish (RaddleHandler *self, GAsyncResult *result,
 *                                    GError **error);
 *
 * All of them are declared below, so that a wrong signature does not compile. What runs on
 * the loop, which is every `_async` and `_finish`, must return at once and must not iterate
 * the main context.
 */

#pragma once

#include <raddle/raddle-types.h>
#include <raddle/raddle-error.h>
#include <raddle/raddle-event-types.h>
#include <raddle/raddle-event.h>
#include <raddle/raddle-handler.h>
#include <raddle/raddle-option.h>
#include <raddle/raddle-result.h>
#include <raddle/raddle-run.h>

G_BEGIN_DECLS

/* The version of the contract between host and plugin. A plugin loads when its major
 * number is the host's and its minor number is not above the host's. */
#define RADDLE_ABI_MAJOR 1
#define RADDLE_ABI_MINOR 0

#define RADDLE_PLUGIN_MAGIC 0x4c444452u /* "RDDL" in the file */

/**
 * RaddlePluginFlags:
 * @RADDLE_PLUGIN_THREAD_SAFE: sync functions may run on several threads at once, for
 *   different runs; must be set when a plugin has both sync and async events
 * @RADDLE_PLUGIN_INLINE: made for inline delivery: every call takes microseconds
 * @RADDLE_PLUGIN_LOCKSTEP: made for lockstep delivery: the run waits after each token
 * @RADDLE_PLUGIN_DETACHED: made for detached delivery: nobody waits for this handler
 * @RADDLE_PLUGIN_EXCLUSIVE: two instances cannot live side by side
 * @RADDLE_PLUGIN_COALESCE: when too much waits, adjacent pieces of text may become one
 * @RADDLE_PLUGIN_DROP_OLDEST: when too much waits, the oldest tokens may be left out
 * @RADDLE_PLUGIN_DROP_NEWEST: when too much waits, the newest tokens may be left out
 *
 * What a plugin says of itself. One flag at most says how it is made to get its events,
 * and one what may happen when its queue is full; without that, the stream waits. Inline
 * and lockstep delivery have no queue that could be full and go with none of these. The
 * keyfile's `delivery` and `overflow` win over the flags.
 */
typedef enum
{
  RADDLE_PLUGIN_FLAGS_NONE  = 0,
  RADDLE_PLUGIN_THREAD_SAFE = 1 << 0,
  RADDLE_PLUGIN_INLINE      = 1 << 1,
  RADDLE_PLUGIN_LOCKSTEP    = 1 << 2,
  RADDLE_PLUGIN_DETACHED    = 1 << 3,
  RADDLE_PLUGIN_EXCLUSIVE   = 1 << 4,
  RADDLE_PLUGIN_COALESCE    = 1 << 5,
  RADDLE_PLUGIN_DROP_OLDEST = 1 << 6,
  RADDLE_PLUGIN_DROP_NEWEST = 1 << 7,
} RaddlePluginFlags;

/**
 * RaddlePluginDescriptor:
 *
 * What a plugin is. The first five members are read from the file's bytes before it is
 * loaded; the struct grows only at its end. Made by RADDLE_PLUGIN () and
 * RADDLE_PLUGIN_FULL (), never by hand.
 */
typedef struct
{
  guint32 magic;
  guint32 struct_size;
  guint32 option_size;
  guint16 abi_major;
  guint16 abi_minor;
  guint32 flags;
  guint32 n_options;
  const char *name;
  const char *version;
  const char *description;
  const RaddleOption *options;
} RaddlePluginDescriptor;

RADDLE_PUBLIC const RaddlePluginDescriptor raddle_plugin_descriptor;

/**
 * RADDLE_PLUGIN:
 * @name_: the plugin's name: lower-case letters, digits and dashes
 * @version_: its version, for people
 * @description_: one sentence on what it does
 *
 * Says what the plugin is. Stands once in a plugin, outside of any function.
 */
#define RADDLE_PLUGIN(name_, version_, description_)                                    \
  const RaddlePluginDescriptor raddle_plugin_descriptor = {                             \
    RADDLE_PLUGIN_MAGIC, sizeof (RaddlePluginDescriptor), sizeof (RaddleOption),        \
    RADDLE_ABI_MAJOR, RADDLE_ABI_MINOR, RADDLE_PLUGIN_FLAGS_NONE, 0,                    \
    name_, version_, description_, NULL                                                 \
  };

/**
 * RADDLE_PLUGIN_FULL:
 * @name_: the plugin's name: lower-case letters, digits and dashes
 * @version_: its version, for people
 * @description_: one sentence on what it does
 * @flags_: #RaddlePluginFlags
 * @options_: an array of #RaddleOption, not a pointer to one; see RADDLE_NO_OPTIONS
 *
 * RADDLE_PLUGIN () with flags and settings.
 */
#define RADDLE_PLUGIN_FULL(name_, version_, description_, flags_, options_)             \
  const RaddlePluginDescriptor raddle_plugin_descriptor = {                             \
    RADDLE_PLUGIN_MAGIC, sizeof (RaddlePluginDescriptor), sizeof (RaddleOption),        \
    RADDLE_ABI_MAJOR, RADDLE_ABI_MINOR, (flags_),                                       \
    sizeof (options_) / sizeof (RaddleOption),                                          \
    name_, version_, description_, options_                                             \
  };

/**
 * RADDLE_NO_OPTIONS:
 *
 * Stands for the table of a plugin that has flags but no settings.
 */
#define RADDLE_NO_OPTIONS ((const RaddleOption[]) { })

/* Called once before the handler's first event and once after its last, on the pool or,
 * for a handler with async events or inline delivery, on the loop. */
RADDLE_PUBLIC
gboolean raddle_setup    (RaddleHandler  *self,
                          GError        **error);
RADDLE_PUBLIC
void     raddle_teardown (RaddleHandler  *self);

/* State carried from one image of a plugin to the next. */
RADDLE_PUBLIC
GBytes  *raddle_save     (RaddleHandler  *self);
RADDLE_PUBLIC
gboolean raddle_restore  (RaddleHandler  *self,
                          GBytes         *state,
                          GError        **error);

#define RADDLE_EVENT_PROTOTYPES_(NAME, symbol, nick, KIND, CLASS)                        \
  RADDLE_PUBLIC                                                                          \
  gboolean raddle_on_##symbol (RaddleHandler *self, RaddleEvent *event, GError **error); \
  RADDLE_PUBLIC                                                                          \
  void raddle_on_##symbol##_async (RaddleHandler *self, RaddleEvent *event,              \
                                   GCancellable *cancellable,                            \
                                   GAsyncReadyCallback callback, gpointer user_data);    \
  RADDLE_PUBLIC                                                                          \
  gboolean raddle_on_##symbol##_finish (RaddleHandler *self, GAsyncResult *result,       \
                                        GError **error);

RADDLE_EVENTS (RADDLE_EVENT_PROTOTYPES_)

#undef RADDLE_EVENT_PROTOTYPES_

G_END_DECLS
