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

/* ---- what must fit together ---- */

static gboolean
check_class (RaddleHandler *self,
             GError **error)
{
  RaddleHandlerClass *klass = RADDLE_HANDLER_GET_CLASS (self);
  const char *reason = NULL;

  if ((klass->event_async != NULL) != (klass->event_finish != NULL))
    reason = klass->event_async != NULL
               ? "overrides event_async () without event_finish ()"
               : "overrides event_finish () without event_async ()";
  else if (klass->event != NULL && klass->event_async != NULL)
    reason = "overrides both event () and event_async (); it must choose one of them";
  else if (klass->event == NULL && klass->event_async == NULL)
    reason = "overrides neither event () nor event_async (), so that it could not be "
             "given any event";
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
          calls->async[i] = call_event_async;
          calls->finish[i] = call_event_finish;
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
      RADDLE_HANDLER_GET_CLASS (self)->event_async != NULL)
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
