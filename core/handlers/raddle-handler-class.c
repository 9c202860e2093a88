/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the way from a class that a program derived from RaddleHandler to the functions
 * that a lane calls, and what such a class must override. The functions run where the
 * lane's other functions do; they must do nothing but pass on.
 */

#include "handlers/raddle-handler-private.h"

#include "events/raddle-lock.h"
#include "raddle/raddle-error.h"

/* ---- what the lane calls ---- */

static gboolean
call_event (RaddleHandler *self,
            RaddleEvent *event,
            GError **error)
{
  return RADDLE_HANDLER_GET_CLASS (self)->event (self, event, error);
}

static void
call_event_async (RaddleHandler *self,
                  RaddleEvent *event,
                  GCancellable *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer user_data)
{
  RADDLE_HANDLER_GET_CLASS (self)->event_async (self, event, cancellable, callback,
                                                user_data);
}

static gboolean
call_event_finish (RaddleHandler *self,
                   GAsyncResult *result,
                   GError **error)
{
  return RADDLE_HANDLER_GET_CLASS (self)->event_finish (self, result, error);
}

/* What an exception in another language becomes, must not leave the task open. */
static void
call_event_task (RaddleHandler *self,
                 RaddleEvent *event,
                 GCancellable *cancellable,
                 GAsyncReadyCallback callback,
                 gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;

  g_task_set_source_tag (task, call_event_task);
  RADDLE_HANDLER_GET_CLASS (self)->event_task (self, event, task, &error);
  if (error != NULL)
    g_task_return_error (task, error);
}

static gboolean
call_event_task_finish (RaddleHandler *self,
                        GAsyncResult *result,
                        GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* ---- what must fit together ---- */

/* NULL if nothing is wrong. */
static const char *
find_class_fault (RaddleHandlerClass *klass)
{
  guint n_ways = (klass->event != NULL) + (klass->event_async != NULL) +
                 (klass->event_task != NULL);

  if (klass->event_async != NULL && klass->event_finish == NULL)
    return "overrides event_async () without event_finish ()";
  if (klass->event_finish != NULL && klass->event_async == NULL)
    return "overrides event_finish () without event_async ()";
  if (n_ways > 1)
    return "overrides more than one of event (), event_async () and event_task (); it "
           "must choose one of them";
  if (n_ways == 0)
    return "overrides none of event (), event_async () and event_task (), so that it "
           "could not be given any event";
  return NULL;
}

static gboolean
check_class (RaddleHandler *self,
             GError **error)
{
  const char *reason = find_class_fault (RADDLE_HANDLER_GET_CLASS (self));

  if (reason == NULL)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The handler '%s' cannot be used: its class %s %s",
               raddle_handler_get_name (self), G_OBJECT_TYPE_NAME (self), reason);
  return FALSE;
}

static gboolean
check_overflow (RaddleHandler *self,
                GError **error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);

  if (priv->lane_settings.overflow == RADDLE_OVERFLOW_BLOCK ||
      priv->delivery == RADDLE_DELIVERY_AWAITED ||
      priv->delivery == RADDLE_DELIVERY_DETACHED)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The handler '%s' cannot be used: with delivery %s it has no queue that "
               "could be full, so that its overflow must be block",
               priv->name, raddle_delivery_get_nick (priv->delivery));
  return FALSE;
}

static gboolean
read_events (RaddleHandler *self,
             guint32 *types,
             GError **error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  RaddleEventType type;

  *types = priv->events == NULL ? G_MAXUINT32 : 0;
  for (char **nick = priv->events; nick != NULL && *nick != NULL; nick++)
    {
      if (!raddle_event_type_from_nick (*nick, &type))
        {
          g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
                       "The handler '%s' cannot be used: '%s' in its events is no event",
                       priv->name, *nick);
          return FALSE;
        }
      *types |= RADDLE_EVENT_MASK (type);
    }
  if (*types != 0)
    return TRUE;

  g_set_error (error, RADDLE_ERROR, RADDLE_ERROR_REQUEST,
               "The handler '%s' cannot be used: its events name no event; NULL is for "
               "all of them",
               priv->name);
  return FALSE;
}

/* ---- making the functions ---- */

static RaddleHandlerCalls *
make_calls (RaddleHandler *self,
            guint32 types)
{
  RaddleHandlerClass *klass = RADDLE_HANDLER_GET_CLASS (self);
  RaddleHandlerCalls *calls = g_new0 (RaddleHandlerCalls, 1);

  for (guint i = 0; i < RADDLE_N_EVENT_TYPES; i++)
    {
      if (!(types & RADDLE_EVENT_MASK (i)))
        continue;
      if (klass->event != NULL)
        calls->sync[i] = call_event;
      else
        {
          gboolean is_task = klass->event_task != NULL;

          calls->async[i] = is_task ? call_event_task : call_event_async;
          calls->finish[i] = is_task ? call_event_task_finish : call_event_finish;
        }
    }
  calls->setup = klass->setup;
  calls->teardown = klass->teardown;

  return calls;
}

static gboolean
prepare_locked (RaddleHandler *self,
                GError **error)
{
  RaddleHandlerPrivate *priv = raddle_handler_get_private (self);
  guint32 types;

  if (priv->calls != NULL)
    return TRUE;
  if (!check_class (self, error))
    return FALSE;
  if (priv->delivery == RADDLE_DELIVERY_INLINE &&
      RADDLE_HANDLER_GET_CLASS (self)->event == NULL)
    priv->delivery = RADDLE_DELIVERY_AWAITED;
  if (!check_overflow (self, error) || !read_events (self, &types, error))
    return FALSE;

  priv->own_calls = make_calls (self, types);
  priv->calls = priv->own_calls;
  priv->types = types;
  return TRUE;
}

/* Any thread: runs that name the handler may be started in several at once. */
gboolean
raddle_handler_prepare (RaddleHandler *self,
                        GError **error)
{
  static GMutex lock; /* over the making of the functions */
  gboolean good;

  raddle_lock (&lock);
  good = prepare_locked (self, error);
  raddle_unlock (&lock);

  return good;
}
