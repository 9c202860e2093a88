/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Handlers for the property test: of every kind, delivery and policy that go together,
 * with limits, failures and delays. */

#pragma once

#include "dispatch-property.h"

/* The handler's code like any other. */
static void
free_run_data (gpointer data)
{
  Probe *probe = data;

  raddle_lock (&probe->kit->lock);
  if (probe->flags == PROBE_SYNC)
    g_assert_cmpuint (probe->n_inside, ==, 0);
  if (probe->flags & PROBE_ASYNC)
    g_assert_true (g_thread_self () == probe->kit->thread);
  g_assert_cmpuint (probe->n_teardowns, <, probe->n_setups);
  probe->n_run_data--;
  raddle_unlock (&probe->kit->lock);
}

/* Keeps something for the run from its first event on. */
static void
keep_run_data (Probe *probe, RaddleEvent *event, Mark *mark)
{
  mark->had_data = raddle_handler_get_run_data (probe->handler, event) == probe;
  if (mark->had_data)
    return;

  raddle_lock (&probe->kit->lock);
  probe->n_run_data++;
  raddle_unlock (&probe->kit->lock);
  raddle_handler_set_run_data (probe->handler, event, probe, free_run_data);
}

/* Now and then a handler stops the run that it is called for. */
static void
stop_now_and_then (Probe *probe, RaddleEvent *event, Mark *mark)
{
  keep_run_data (probe, event, mark);
  if (is_one_in (probe, mark, 60, 3))
    {
      g_autoptr (RaddleRun) run = raddle_event_dup_run (event);

      raddle_run_stop (run, "a handler's whim");
    }
}

static RaddleOverflow
draw_overflow (GRand *random, RaddleDelivery delivery)
{
  static const RaddleOverflow overflows[] = { RADDLE_OVERFLOW_BLOCK,
                                              RADDLE_OVERFLOW_COALESCE,
                                              RADDLE_OVERFLOW_DROP_OLDEST,
                                              RADDLE_OVERFLOW_DROP_NEWEST };

  if (delivery == RADDLE_DELIVERY_INLINE || delivery == RADDLE_DELIVERY_LOCKSTEP)
    return RADDLE_OVERFLOW_BLOCK;
  return overflows[g_rand_int_range (random, 0, G_N_ELEMENTS (overflows))];
}

static RaddleOnError
draw_on_error (GRand *random, RaddleDelivery delivery)
{
  if (chance (random, 60))
    return RADDLE_ON_ERROR_LOG;
  if (delivery == RADDLE_DELIVERY_DETACHED || chance (random, 50))
    return RADDLE_ON_ERROR_DISABLE;
  return RADDLE_ON_ERROR_RAISE;
}

static void
draw_settings (GRand *random, Probe *probe, RaddleDelivery delivery)
{
  RaddleLaneSettings settings = RADDLE_LANE_SETTINGS_DEFAULT;

  settings.overflow = draw_overflow (random, delivery);
  if (chance (random, 60))
    settings.max_events = g_rand_int_range (random, 1, 21);
  if (chance (random, 30))
    settings.max_bytes = g_rand_int_range (random, 1, 900);
  settings.on_error = draw_on_error (random, delivery);
  settings.breaker = chance (random, 50) ? g_rand_int_range (random, 1, 4) : 0;
  settings.breaker_wait = g_rand_int_range (random, 300, 4000);
  if (chance (random, 15))
    {
      settings.timeout = g_rand_int_range (random, 1000, 4000);
      probe->slow_every = g_rand_int_range (random, 20, 90);
      probe->slow_us = g_rand_int_range (random, 1000, 24000);
      probe->heeds = chance (random, 50);
      probe->may_hang = TRUE;
    }
  probe->settings = settings;
}

/* How it behaves. */
static void
draw_manners (GRand *random, Probe *probe)
{
  if (chance (random, 40))
    probe->sleep_us = g_rand_int_range (random, 1, 60);
  if (chance (random, 10))
    {
      probe->slow_every = g_rand_int_range (random, 30, 100);
      probe->slow_us = g_rand_int_range (random, 1000, 3000);
    }
  probe->fails = chance (random, 5);
  if (chance (random, 25))
    probe->fail_every = g_rand_int_range (random, 2, 60);
  probe->setup_fails = chance (random, 5);
  probe->callback = g_rand_int_range (random, PROBE_LATER, PROBE_IN_SOME_MS + 1);
  probe->entered = chance (random, 15) ? stop_now_and_then : keep_run_data;
}

static guint32
draw_types (GRand *random)
{
  guint32 types = chance (random, 60) ? KIT_ALL_TYPES : g_rand_int (random);

  return chance (random, 40) ? types & ~RADDLE_EVENT_MASK (RADDLE_EVENT_GAP) : types;
}

/* The lanes of what is only named are made by the dispatcher. */
static void
set_named (Probe *probe)
{
  probe->named = TRUE;
  raddle_handler_get_private (probe->handler)->lane_settings = probe->settings;
}

static Probe *
make_probe (Round *round)
{
  static const ProbeFlags flags[] = { PROBE_SYNC, PROBE_SYNC | PROBE_THREAD_SAFE,
                                      PROBE_ASYNC, PROBE_MIXED };
  static const RaddleDelivery deliveries[] = {
    RADDLE_DELIVERY_AWAITED, RADDLE_DELIVERY_AWAITED, RADDLE_DELIVERY_DETACHED,
    RADDLE_DELIVERY_LOCKSTEP, RADDLE_DELIVERY_INLINE
  };
  GRand *random = round->random;
  ProbeFlags flag = flags[g_rand_int_range (random, 0, G_N_ELEMENTS (flags))];
  RaddleDelivery delivery =
    deliveries[g_rand_int_range (random, 0, flag & (PROBE_ASYNC | PROBE_MIXED) ? 4 : 5)];
  g_autofree char *name = g_strdup_printf ("%u", round->n_probes);
  Probe *probe = probe_new (round->kit, name, flag, delivery, draw_types (random));

  draw_manners (random, probe);
  draw_settings (random, probe, delivery);

  return probe;
}
