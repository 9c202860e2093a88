/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The last step of admission: a plugin's file becomes part of the process. */

#pragma once

#include "handlers/raddle-handler-calls.h"
#include "plugins/raddle-admission.h"

#include "raddle/raddle-option.h"
#include "raddle/raddle-plugin.h"

G_BEGIN_DECLS

/**
 * RaddleImage:
 * @handle: what dlopen () gave
 * @descriptor: the descriptor at the size of this host's; its texts belong to the image
 * @options: the options at the size of this host's
 * @calls: the functions for events, setup and teardown
 *
 * A plugin in the process. An image stays for good; freeing this struct does not unload
 * it.
 */
typedef struct
{
  gpointer handle;
  RaddlePluginDescriptor descriptor;
  RaddleOption *options;
  RaddleHandlerCalls calls;
} RaddleImage;

RaddleImage *raddle_loader_load            (const char                    *file,
                                            const RaddlePluginFacts       *facts,
                                            GError                       **error);
void         raddle_image_free             (RaddleImage                   *self);
char        *raddle_loader_explain         (const char                    *file,
                                            const char                    *message);
void         raddle_loader_read_descriptor (gconstpointer                  bytes,
                                            RaddlePluginDescriptor        *descriptor);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RaddleImage, raddle_image_free)

G_END_DECLS
