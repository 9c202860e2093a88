/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a keyfile says. Made whole by raddle_config_load (), then only read. */

#pragma once

#include "config/raddle-keyfile.h"
#include "config/raddle-problem.h"
#include "handlers/raddle-lane-settings.h"
#include "handlers/raddle-settings.h"
#include "raddle/raddle-filter.h"
#include "raddle/raddle-handler.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef enum
{
  RADDLE_ISOLATION_NONE,
  RADDLE_ISOLATION_PROCESS,
} RaddleIsolation;

#define RADDLE_ANTHROPIC_KEY_ENV "ANTHROPIC_API_KEY"

/* [model NAME] */
typedef struct
{
  char *name;
  const RaddleKeyfileGroup *group;

  char *provider;    /* `cassette`, or one of raddle-provider.c */
  char *model;       /* NULL only for a cassette */
  char *base_url;    /* no slash at its end; NULL only for a cassette */
  char *api_key_env; /* of these three one at most; none: no key is sent */
  char *key_file;    /* its absolute path */
  char *key_secret;  /* the name of one in the Secret Service */
  gint64 max_tokens;
  gint64 thinking_budget; /* tokens; 0: the provider's own way */
  gboolean stream;
  JsonObject *extra; /* members of the request's body; NULL: none */
  gboolean has_temperature;
  double temperature;
  gboolean has_top_p;
  double top_p;
  char **stop;       /* NULL: none */
  char *system;      /* NULL: none */
  gint64 connect_timeout;    /* these three in microseconds; 0: for ever */
  gint64 first_byte_timeout; /* from the request to the answer's head */
  gint64 idle_timeout;       /* without a byte, once there is an answer */
  gint64 retries;
  gint64 retry_delay; /* before the first, microseconds */
  GTlsDatabase *authorities; /* of ca-file; NULL: the system's */
  char *file;        /* cassette: its absolute path */
  double speed;      /* cassette: 0 at once, 1 as it was */
} RaddleModelConfig;

/* [handler NAME] */
typedef struct
{
  char *name;
  char *plugin;
  const RaddleKeyfileGroup *group; /* NULL: the keyfile does not mention it */

  gboolean enabled;
  guint32 events;          /* mask of types; G_MAXUINT32: all that the plugin has */
  gboolean has_delivery;   /* the keyfile says it, over the plugin's flags */
  gboolean has_overflow;   /* the same */
  RaddleDelivery delivery;
  RaddleLaneSettings lane;
  RaddleIsolation isolation;
  RaddleFilter *filter;    /* NULL: all runs */
} RaddleHandlerConfig;

typedef struct
{
  RaddleKeyfile *keyfile;
  const char *file;       /* as the user named it; NULL: none */
  char *folder;           /* absolute; of the keyfile, or the working folder */
  GPtrArray *plugin_path; /* absolute paths */
  guint threads;          /* 0: one for each core */
  guint max_threads;
  gboolean reload;
  GPtrArray *models;      /* RaddleModelConfig */
  GPtrArray *handlers;    /* RaddleHandlerConfig */
} RaddleConfig;

/* Reads @file (NULL: none) and puts @overrides (NULL: none), each `GROUP.KEY=VALUE`, over
 * it. Always gives a config, but only without a new problem is it to be used. */
RaddleConfig        *raddle_config_load             (const char          *file,
                                                     const char * const  *overrides,
                                                     GPtrArray           *problems);
RaddleConfig        *raddle_config_new_default      (void);
void                 raddle_config_free             (RaddleConfig        *self);
char                *raddle_config_get_default_file (void);

RaddleModelConfig   *raddle_config_find_model       (const RaddleConfig  *self,
                                                     const char          *name);
RaddleHandlerConfig *raddle_config_find_handler     (const RaddleConfig  *self,
                                                     const char          *name);

RaddleModelConfig   *raddle_model_config_new        (const char          *name);
void                 raddle_model_config_set_anthropic_defaults (RaddleModelConfig *self);
void                 raddle_model_config_free       (RaddleModelConfig   *self);
/* What holds for a plugin that the keyfile does not mention. */
RaddleHandlerConfig *raddle_handler_config_new      (const char          *name);
void                 raddle_handler_config_free     (RaddleHandlerConfig *self);

/* Whether the keyfile or the command line gives the handler's @key. */
gboolean             raddle_handler_config_has_key  (const RaddleHandlerConfig *self,
                                                     const char          *key);
/* Whether @key is Raddle's own, so that no plugin's setting can have its name. */
gboolean             raddle_handler_config_is_own_key (const char        *key);
/* Adds a problem with the place where @key stands, or else the group. */
void                 raddle_handler_config_add_problem (const RaddleHandlerConfig *self,
                                                     const char          *key,
                                                     GPtrArray           *problems,
                                                     const char          *format,
                                                     ...) G_GNUC_PRINTF (4, 5);

/* Reads the plugin's own settings by its table. */
gboolean             raddle_handler_config_apply    (const RaddleHandlerConfig *self,
                                                     const RaddleOption  *options,
                                                     gsize                n_options,
                                                     const char          *plugin_name,
                                                     RaddleSettings     **settings,
                                                     const RaddleConfig  *config,
                                                     GPtrArray           *problems);

/* Chooses delivery and overflow policy by the names of the plugin's flags and, over them,
 * the keyfile, and adds what does not fit together. What the keyfile alone gets wrong was
 * told when it was loaded and is not told again. */
void                 raddle_handler_config_fit_plugin (const RaddleHandlerConfig *self,
                                                     gboolean      has_async_events,
                                                     const char * const  *plugin_flags,
                                                     RaddleDelivery      *delivery,
                                                     RaddleOverflow      *overflow,
                                                     GPtrArray           *problems);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleConfig, raddle_config_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleModelConfig, raddle_model_config_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleHandlerConfig, raddle_handler_config_free)

G_END_DECLS
