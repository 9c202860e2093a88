/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tells ThreadSanitizer the order that GLib's reference counts give: who drops the last
 * reference to an object comes after all who dropped one before. GLib is not instrumented,
 * so the sanitizer cannot see it. Linked into the test programs of its build, where it
 * stands before GLib's own function; the library and the handlers in files find it too. */

#include <dlfcn.h>

#include <glib-object.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

void
g_object_unref (gpointer object)
{
  static gpointer next;
  void (*unref) (gpointer) = g_atomic_pointer_get (&next);

  if (unref == NULL)
    {
      unref = (void (*) (gpointer)) dlsym (RTLD_NEXT, "g_object_unref");
      g_atomic_pointer_set (&next, unref);
    }
  __tsan_release (object);
  __tsan_acquire (object);
  unref (object);
}
