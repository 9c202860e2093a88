/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The strict check in front of json-glib: what it refuses, what it mends, and that
 * reading a tree of any shape neither warns nor crashes. */

#include "models/raddle-json-text.h"

#include <string.h>

typedef struct
{
  const char *text;
  const char *parsed; /* as json-glib writes it; NULL: refused */
} Case;

static const Case cases[] = {
  { "{}", "{}" },
  { " [1, -2 ,3.5,\"x\"]\r\n", "[1,-2,3.5,\"x\"]" },
  { "null", "null" },
  { "-0", "0" },
  { "1e5", "100000.0" },
  { "1E+2", "100.0" },
  { "-1.5e-3", "-0.0015" },
  { "{\"a\":{\"b\":[[],{},[{}]]},\"c\":true}",
    "{\"a\":{\"b\":[[],{},[{}]]},\"c\":true}" },
  { "{\"z\":1,\"a\":2,\"m\":3}", "{\"z\":1,\"a\":2,\"m\":3}" },
  { "{\"a\":1,\"a\":2}", "{\"a\":2}" },
  { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\xc3\xa9\"" },
  /* mended */
  { "\"a\\u0000b\"", "\"a\xef\xbf\xbd"
                     "b\"" },
  { "{\"a\\u0000b\":1}", "{\"a\xef\xbf\xbd"
                         "b\":1}" },
  { "\"\\ud83d\"", "\"\xef\xbf\xbd\"" },
  { "\"\\ud83dx\"", "\"\xef\xbf\xbdx\"" },
  { "\"\\ude00\"", "\"\xef\xbf\xbd\"" },
  { "\"\\ud83d\\ud83d\\ude00\"", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\"" },
  { "\"\\uD83D\\uDE00\"", "\"\xf0\x9f\x98\x80\"" },
  { "\"\\ud83d\\n\"", "\"\xef\xbf\xbd\\n\"" },
  { "\"\\ud83d\\u0000\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
  { "\"\\\\u0000\"", "\"\\\\u0000\"" },
  { "9223372036854775807", "9223372036854775807" },
  { "9223372036854775808", "9223372036854775808.0" },
  { "18446744073709551615", "18446744073709551616.0" },
  { "-9223372036854775809", "-9223372036854775808.0" },
  { "1e400", "null" },
  { "[-1e999,1]", "[null,1]" },
  /* refused */
  { "", NULL },
  { " \n", NULL },
  { "{\"a\":1}{\"b\":2}", NULL },
  { "{} x", NULL },
  { "1 2", NULL },
  { "{'a':1}", NULL },
  { "{a:1}", NULL },
  { "// c\n{}", NULL },
  { "/* c */{}", NULL },
  { "[1,]", NULL },
  { "[,1]", NULL },
  { "{\"a\":1,}", NULL },
  { "{,}", NULL },
  { "{\"a\"}", NULL },
  { "{\"a\":}", NULL },
  { "{1:2}", NULL },
  { "[1 2]", NULL },
  { "[1}", NULL },
  { "{\"a\":1]", NULL },
  { "[", NULL },
  { "{", NULL },
  { "{\"a\":", NULL },
  { "\"a", NULL },
  { "\"a\\", NULL },
  { "\"\\x\"", NULL },
  { "\"\\u12\"", NULL },
  { "\"\\u12g4\"", NULL },
  { "\"\t\"", NULL },
  { "\"\n\"", NULL },
  { "01", NULL },
  { "-", NULL },
  { "+1", NULL },
  { ".5", NULL },
  { "1.", NULL },
  { "1e", NULL },
  { "0x10", NULL },
  { "NaN", NULL },
  { "Infinity", NULL },
  { "undefined", NULL },
  { "tru", NULL },
  { "True", NULL },
  { "\xef\xbb\xbf{}", NULL },
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *written = NULL;
  RaddleJsonText text;
  JsonNode *node;

  raddle_json_text_init (&text);
  node = raddle_json_text_parse (&text, c->text, strlen (c->text));
  written = node != NULL ? json_to_string (node, FALSE) : NULL;
  if (c->parsed == NULL || !g_str_has_suffix (c->parsed, ".0"))
    g_assert_cmpstr (written, ==, c->parsed);
  else /* as many digits as the double has */
    g_assert_cmpfloat (g_ascii_strtod (written, NULL), ==,
                       g_ascii_strtod (c->parsed, NULL));
  raddle_json_text_clear (&text);
}

static void
test_nul (void)
{
  g_autoptr (GString) mended = g_string_new (NULL);

  g_assert_cmpint (raddle_json_check ("{}\0", 3, mended, NULL), ==, RADDLE_JSON_INVALID);
  g_assert_cmpint (raddle_json_check ("\"\0\"", 3, mended, NULL), ==,
                   RADDLE_JSON_INVALID);
  g_assert_cmpint (raddle_json_check ("\"\\\0\"", 4, mended, NULL), ==,
                   RADDLE_JSON_INVALID);
  g_assert_cmpint (raddle_json_check (NULL, 0, mended, NULL), ==, RADDLE_JSON_EMPTY);
}

/* A text that is cut must not be read beyond its end, whatever follows there. */
static void
test_length_is_kept (void)
{
  static const char text[] = "{\"a\":[1.5e3,\"\\ud83d\\ude00\",true,null]}";
  g_autoptr (GString) mended = g_string_new (NULL);

  for (gsize length = 0; length < sizeof text - 1; length++)
    {
      g_autofree char *copy = g_memdup2 (text, length);

      g_assert_cmpint (raddle_json_check (copy, length, mended, NULL), !=,
                       RADDLE_JSON_VALID);
    }
}

static void
test_depth (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GString) mended = g_string_new (NULL);

  for (guint depth = RADDLE_JSON_MAX_DEPTH; depth <= RADDLE_JSON_MAX_DEPTH + 1; depth++)
    {
      g_string_truncate (text, 0);
      for (guint i = 0; i < depth; i++)
        g_string_append (text, i % 2 != 0 ? "{\"a\":" : "[");
      g_string_append_c (text, '1');
      for (guint i = depth; i-- > 0;)
        g_string_append_c (text, i % 2 != 0 ? '}' : ']');
      g_assert_cmpint (raddle_json_check (text->str, text->len, mended, NULL), ==,
                       depth > RADDLE_JSON_MAX_DEPTH ? RADDLE_JSON_TOO_DEEP
                                                     : RADDLE_JSON_VALID);
    }
}

static void
test_lossy (void)
{
  RaddleJsonText text;

  raddle_json_text_init (&text);
  g_assert_nonnull (raddle_json_text_parse (&text, "[1e400]", 7));
  g_assert_true (text.lossy);
  g_assert_nonnull (raddle_json_text_parse (&text, "[1e300]", 7));
  g_assert_false (text.lossy);
  raddle_json_text_clear (&text);
}

static void
test_getters (void)
{
  static const char *const names[] = { "missing", "null",   "empty", "number", "text",
                                       "list",    "object", "true",  "half",   "minus" };
  static const char json[] =
    "{\"null\":null,\"empty\":\"\",\"number\":7,\"text\":\"x\",\"list\":[],\"object\":{},"
    "\"true\":true,\"half\":0.5,\"minus\":-3,\"two\":2.0,\"big\":18446744073709551617}";
  RaddleJsonText text;
  JsonObject *object;

  raddle_json_text_init (&text);
  object = raddle_json_node_object (raddle_json_text_parse (&text, json, strlen (json)));
  g_assert_nonnull (object);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const char *name = names[i];

      g_assert_cmpstr (raddle_json_get_string (object, name), ==,
                       g_str_equal (name, "text") ? "x" : NULL);
      g_assert_cmpint (raddle_json_get_count (object, name), ==,
                       g_str_equal (name, "number") ? 7 : -1);
      g_assert_true ((raddle_json_get_object (object, name) != NULL) ==
                     g_str_equal (name, "object"));
      g_assert_true ((raddle_json_get_array (object, name) != NULL) ==
                     g_str_equal (name, "list"));
    }
  g_assert_cmpint (raddle_json_get_count (object, "two"), ==, 2);
  g_assert_cmpint (raddle_json_get_count (object, "big"), ==, -1);
  g_assert_null (raddle_json_get_string (NULL, "x"));
  raddle_json_text_clear (&text);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("/json-text/case/%u", i);

      g_test_add_data_func (name, &cases[i], test_case);
    }
  g_test_add_func ("/json-text/nul", test_nul);
  g_test_add_func ("/json-text/length-is-kept", test_length_is_kept);
  g_test_add_func ("/json-text/depth", test_depth);
  g_test_add_func ("/json-text/lossy", test_lossy);
  g_test_add_func ("/json-text/getters", test_getters);
  return g_test_run ();
}
