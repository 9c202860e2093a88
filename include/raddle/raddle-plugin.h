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
 * All of them are declared below, so that a wrong signature does not compile.
 *
 * Which thread, and how often at once. A sync function is called on a thread of the host's
 * pool, not always the same one; by one thread at a time, over all runs, unless the plugin
 * has the flag RADDLE_PLUGIN_THREAD_SAFE: then at most once at a time for each run. With
 * inline delivery it is called on the host's main loop. An `_async` and its `_finish` are
 * called on the loop, with the host's context as the thread's default; there is one call
 * under way for each run, and many runs at once. Of one run, events come in order and one at
 * a time, whatever their kind, and each call sees what the one before wrote.
 *
 * What may block. A sync function on the pool may: it can sleep, read files, or wait for a
 * run that it starts itself, which is not delivered to it. It must not wait for the run that
 * the call is about. What runs on the loop must return at once, and must not iterate the
 * main context; the host names in its log who holds it up for a second.
 *
 * When done. An `_async` function calls @callback once, with its own @user_data, on the loop.
 * One that has nothing to wait for may call it at once, inside of itself. The result goes to
 * `_finish` as it is, and may be any GAsyncResult, or NULL; the source object may be NULL too:
 *
 *   void
 *   raddle_on_llm_new_token_async (RaddleHandler *self, RaddleEvent *event,
 *                                  GCancellable *cancellable,
 *                                  GAsyncReadyCallback callback, gpointer user_data)
 *   {
 *     count_token (self, event);
 *     callback (G_OBJECT (self), NULL, user_data);
 *   }
 *
 *   gboolean
 *   raddle_on_llm_new_token_finish (RaddleHandler *self, GAsyncResult *result,
 *                                   GError **error)
 *   {
 *     return TRUE;
 *   }
 *
 * A callback from another thread is taken to the loop, and one that comes twice is ignored;
 * both are logged.
 *
 * Errors. A function that returns FALSE, with @error set, has failed: that is counted and
 * logged, at the 1st, 2nd, 4th, 8th time and so on, and the next event comes as if nothing
 * had been. The keyfile's `on-error` may have the run fail too, or the handler disabled, and
 * `breaker` failures in a row suspend the handler for `breaker-wait`.
 *
 * Time limits. A call that takes longer than the keyfile's `timeout`, 30 s if it says
 * nothing, counts as a failure. A sync handler is then set aside until the call returns:
 * nobody waits for it, it is not entered again, and what comes for it is dropped and counted;
 * a thread-safe one only for the run of that call. Of an async call the cancellable is
 * cancelled; when it does not call back within another quarter of the time (2 s at most), it
 * gets nothing more of that run until it does. The cancellable is also cancelled when the
 * closing of the host takes too long, and not when the run is cancelled. Nothing can be done
 * about a function that does not return on the loop. raddle_setup () has the same limit as a
 * sync call, but the breaker does not count it; and so has raddle_teardown (), for which
 * the closing of the host waits no longer than that.
 *
 * Gaps. A handler that was set aside, suspended, or whose keyfile or flags let tokens go when
 * its queue is full, does not get every event; starts and ends are left out only while it is
 * set aside or suspended. One that comes back gets the runs that are still under way anew,
 * each with its start, for which raddle_event_is_replayed () is TRUE; what it kept with
 * raddle_handler_set_run_data () was freed before. The event `gap` tells what was left out,
 * just before the event that follows; and what was merged, just after it:
 *
 *   gboolean
 *   raddle_on_gap (RaddleHandler *self, RaddleEvent *event, GError **error)
 *   {
 *     g_print ("[%" G_GUINT64_FORMAT " left out, %" G_GUINT64_FORMAT " merged]",
 *              raddle_event_get_n_dropped (event), raddle_event_get_n_merged (event));
 *     return TRUE;
 *   }
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

/**
 * RADDLE_ABI_MAJOR:
 *
 * The version of the contract between host and plugin: a plugin loads when it was compiled
 * with the host's major number and with a minor number that is not above the host's.
 *
 * Since: 0.1
 */
#define RADDLE_ABI_MAJOR 1

/**
 * RADDLE_ABI_MINOR:
 *
 * The second number of the version that %RADDLE_ABI_MAJOR begins.
 *
 * Since: 0.1
 */
#define RADDLE_ABI_MINOR 0

/**
 * RADDLE_PLUGIN_MAGIC: (skip)
 *
 * What a plugin's descriptor begins with: `RDDL` in the file.
 *
 * Since: 0.1
 */
#define RADDLE_PLUGIN_MAGIC 0x4c444452u

/**
 * RaddlePluginFlags:
 * @RADDLE_PLUGIN_FLAGS_NONE: nothing special
 * @RADDLE_PLUGIN_THREAD_SAFE: sync functions may run on several threads at once, for
 *   different runs; must be set when a plugin has both sync and async events
 * @RADDLE_PLUGIN_INLINE: made for inline delivery: every call takes microseconds
 * @RADDLE_PLUGIN_LOCKSTEP: made for lockstep delivery: the run waits after each token
 * @RADDLE_PLUGIN_DETACHED: made for detached delivery: no start or end waits for it
 * @RADDLE_PLUGIN_EXCLUSIVE: two images of it cannot live side by side; for reloading, which
 *   this version does not do
 * @RADDLE_PLUGIN_COALESCE: when too much waits, adjacent pieces of text may become one
 * @RADDLE_PLUGIN_DROP_OLDEST: when too much waits, the oldest tokens may be left out
 * @RADDLE_PLUGIN_DROP_NEWEST: when too much waits, the newest tokens may be left out
 * @RADDLE_PLUGIN_ON_REQUEST: used only where a group of the keyfile names it, for a handler
 *   that nobody expects to be at work because its file is there: one that is installed for
 *   all, and prints, writes files or starts programs
 *
 * What a plugin says of itself. One flag at most says how it is made to get its events,
 * and one what may happen when its queue is full; without that, the stream waits. Inline
 * and lockstep delivery have no queue that could be full and go with none of these. The
 * keyfile's `delivery` and `overflow` win over the flags.
 *
 * Since: 0.1
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
  RADDLE_PLUGIN_ON_REQUEST  = 1 << 8,
} RaddlePluginFlags;

/**
 * RaddlePluginDescriptor: (skip)
 * @magic: %RADDLE_PLUGIN_MAGIC
 * @struct_size: the size of this struct, as the plugin was compiled
 * @option_size: the size of #RaddleOption, as the plugin was compiled
 * @abi_major: %RADDLE_ABI_MAJOR, as the plugin was compiled
 * @abi_minor: %RADDLE_ABI_MINOR, as the plugin was compiled
 * @flags: #RaddlePluginFlags
 * @n_options: how many settings there are
 * @name: the plugin's name
 * @version: its version, for people
 * @description: one sentence on what it does
 * @options: the settings; %NULL if there are none
 *
 * What a plugin is. The first five members are read from the file's bytes before it is
 * loaded; the struct grows only at its end. Made by RADDLE_PLUGIN () and
 * RADDLE_PLUGIN_FULL (), never by hand.
 *
 * Since: 0.1
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

/* What stands between these lines is defined by plugins, not by the library. */
#ifndef __GI_SCANNER__
RADDLE_PUBLIC const RaddlePluginDescriptor raddle_plugin_descriptor;
#endif

/**
 * RADDLE_PLUGIN:
 * @name_: the plugin's name: lower-case letters, digits and dashes
 * @version_: its version, for people
 * @description_: one sentence on what it does
 *
 * Says what the plugin is. Stands once in a plugin, outside of any function.
 *
 * Since: 0.1
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
 *
 * Since: 0.1
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
 *
 * Since: 0.1
 */
#define RADDLE_NO_OPTIONS ((const RaddleOption[]) { })

/**
 * raddle_setup: (skip)
 * @self: the handler
 * @error: return location for an error
 *
 * Defined by a plugin that has something to do before its first event: opening files,
 * making state for raddle_handler_set_data(). Called once, on the pool or, for a handler
 * with async events or inline delivery, on the loop. The start of a run waits for it, and it
 * has no time limit.
 *
 * Returns: %FALSE with @error set when the handler cannot work: it then gets no events and no
 *   teardown, and its state is %RADDLE_HANDLER_FAILED
 *
 * Since: 0.1
 */
RADDLE_PUBLIC
gboolean raddle_setup    (RaddleHandler  *self,
                          GError        **error);

/**
 * raddle_teardown: (skip)
 * @self: the handler
 *
 * Defined by a plugin that has something to do after its last event. Called once, where
 * raddle_setup() was, and not at all when that failed or when a call of the handler never
 * returned.
 *
 * Since: 0.1
 */
RADDLE_PUBLIC
void     raddle_teardown (RaddleHandler  *self);

/**
 * raddle_save: (skip)
 * @self: the handler
 *
 * Defined by a plugin whose state goes over to a changed image of it. Not called in this
 * version, which does not reload plugins.
 *
 * Returns: (transfer full) (nullable): the state, for raddle_restore()
 *
 * Since: 0.1
 */
RADDLE_PUBLIC
GBytes  *raddle_save     (RaddleHandler  *self);

/**
 * raddle_restore: (skip)
 * @self: the handler of the changed image
 * @state: what raddle_save() of the one before gave
 * @error: return location for an error
 *
 * Defined by a plugin whose state goes over to a changed image of it. Not called in this
 * version, which does not reload plugins.
 *
 * Returns: %FALSE with @error set when the handler cannot go on from @state
 *
 * Since: 0.1
 */
RADDLE_PUBLIC
gboolean raddle_restore  (RaddleHandler  *self,
                          GBytes         *state,
                          GError        **error);

#ifndef __GI_SCANNER__
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
#endif

G_END_DECLS
