/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values as written in a keyfile, and the settings made of them. */

#include "handlers/raddle-settings.h"

#include "raddle/raddle-error.h"

#include <glib/gstdio.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#define WRONG G_MININT64

typedef struct
{
  const char *text;
  gint64 value; /* WRONG: refused */
} WholeCase;

static void
assert_refused (gboolean result,
                GError **error,
                const char *fragment)
{
  g_assert_false (result);
  g_assert_error (*error, RADDLE_ERROR, RADDLE_ERROR_CONFIG);
  if (strstr ((*error)->message, fragment) == NULL)
    g_error ("'%s' does not say '%s'", (*error)->message, fragment);
  g_clear_error (error);
}

static void
test_int (void)
{
  static const WholeCase cases[] = {
    { "0", 0 },
    { "-7", -7 },
    { "9223372036854775807", G_MAXINT64 },
    { "", WRONG },
    { "x", WRONG },
    { "1x", WRONG },
    { " 1", WRONG },
    { "1 ", WRONG },
    { "1.0", WRONG },
    { "0x10", WRONG },
    { "1e3", WRONG },
    { "--1", WRONG },
    { "9223372036854775808", WRONG },
    { "-9223372036854775809", WRONG },
  };
  GError *error = NULL;
  gint64 value;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gboolean good = raddle_parse_int (cases[i].text, &value, &error);

      if (cases[i].value == WRONG)
        assert_refused (good, &error, "whole number");
      else
        g_assert_cmpint (value, ==, cases[i].value);
      g_assert_no_error (error);
    }
}

static void
test_size (void)
{
  static const WholeCase cases[] = {
    { "0", 0 },
    { "1", 1 },
    { "8M", 8 * 1024 * 1024 },
    { "3K", 3072 },
    { "2G", G_GINT64_CONSTANT (2147483648) },
    { "007", 7 },
    { "", WRONG },
    { "K", WRONG },
    { "-1", WRONG },
    { "+1", WRONG },
    { "1.5M", WRONG },
    { "8m", WRONG },
    { "8MB", WRONG },
    { "8 M", WRONG },
    { " 8", WRONG },
    { "8T", WRONG },
    { "18446744073709551616", WRONG },
    { "17179869184G", WRONG },
    { "99999999999999999999999999", WRONG },
  };
  GError *error = NULL;
  guint64 value;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gboolean good = raddle_parse_size (cases[i].text, &value, &error);

      if (cases[i].value == WRONG)
        assert_refused (good, &error, "size");
      else
        g_assert_cmpuint (value, ==, (guint64) cases[i].value);
      g_assert_no_error (error);
    }
  g_assert_true (raddle_parse_size ("18446744073709551615", &value, NULL));
  g_assert_cmpuint (value, ==, G_MAXUINT64);
  g_assert_true (raddle_parse_size ("17179869183G", &value, NULL));
  g_assert_cmpuint (value, ==, G_GUINT64_CONSTANT (17179869183) << 30);
}

static void
test_duration (void)
{
  static const WholeCase cases[] = {
    { "0", 0 },
    { "30", 30000000 },
    { "30s", 30000000 },
    { "0.3s", 300000 },
    { "0.3", 300000 },
    { "250ms", 250000 },
    { "7us", 7 },
    { "2min", 120000000 },
    { "1.5h", G_GINT64_CONSTANT (5400000000) },
    { "1d", G_GINT64_CONSTANT (86400000000) },
    { "1.000001", 1000001 },
    { "0.1d", G_GINT64_CONSTANT (8640000000) },
    { "9223372036854775807us", G_MAXINT64 },
    { "", WRONG },
    { "s", WRONG },
    { "-1s", WRONG },
    { ".5s", WRONG },
    { "1.s", WRONG },
    { "1 s", WRONG },
    { "1m", WRONG },
    { "1S", WRONG },
    { "1,5s", WRONG },
    { "1e3", WRONG },
    { "9223372036854775808us", WRONG },
    { "106751992d", WRONG },
    { "99999999999999999999999s", WRONG },
    { "inf", WRONG },
    { "1.2.3", WRONG },
  };
  GError *error = NULL;
  gint64 value;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gboolean good = raddle_parse_duration (cases[i].text, &value, &error);

      if (cases[i].value == WRONG)
        assert_refused (good, &error, "time");
      else
        g_assert_cmpint (value, ==, cases[i].value);
      g_assert_no_error (error);
    }
}

static void
test_double (void)
{
  static const char * const wrong[] = { "",    "x",     "1,5", "0x1p3", "inf",
                                       "nan", "-nan",  " 1",  "1 ",    "1.5.2",
                                       "e5",  "1e999", "+",   NULL };
  static const char * const locales[] = { "C", "de_DE.UTF-8", "fr_FR.UTF-8", NULL };
  GError *error = NULL;
  double value;

  for (gsize i = 0; locales[i] != NULL; i++)
    {
      setlocale (LC_ALL, locales[i]); /* where it is not there, the one before stays */
      g_assert_true (raddle_parse_double ("1.5", &value, &error));
      g_assert_cmpfloat (value, ==, 1.5);
      g_assert_true (raddle_parse_double ("-2e3", &value, &error));
      g_assert_cmpfloat (value, ==, -2000.0);
    }
  setlocale (LC_ALL, "C");
  for (gsize i = 0; wrong[i] != NULL; i++)
    assert_refused (raddle_parse_double (wrong[i], &value, &error), &error, "number");
}

static void
test_boolean (void)
{
  static const char * const wrong[] = { "", "1", "0", "yes", "TRUE", "true ", NULL };
  GError *error = NULL;
  gboolean value;

  g_assert_true (raddle_parse_boolean ("true", &value, NULL));
  g_assert_true (value);
  g_assert_true (raddle_parse_boolean ("false", &value, NULL));
  g_assert_false (value);
  for (gsize i = 0; wrong[i] != NULL; i++)
    assert_refused (raddle_parse_boolean (wrong[i], &value, &error), &error, "'false'");
}

static void
test_list (void)
{
  static const struct
  {
    const char *text;
    const char *items;
  } cases[] = {
    { "", "" },
    { "a", "<a>" },
    { "a;", "<a>" },
    { "a;b", "<a><b>" },
    { " a ; b ", "<a><b>" },
    { "a;;b", "<a><><b>" },
    { ";", "<>" },
    { "a\\;b;c", "<a;b><c>" },
    { "\\s;x", "< ><x>" },
    { "\\\\;x", "<\\><x>" },
    { "\\n\\nHuman:", "<\n\nHuman:>" },
  };
  GError *error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (GStrv) items = raddle_parse_list (cases[i].text, &error);
      g_autoptr (GString) joined = g_string_new (NULL);

      g_assert_no_error (error);
      for (gsize j = 0; items[j] != NULL; j++)
        g_string_append_printf (joined, "<%s>", items[j]);
      g_assert_cmpstr (joined->str, ==, cases[i].items);
    }
  assert_refused (raddle_parse_list ("a;b\\", &error) != NULL, &error, "lone backslash");
  assert_refused (raddle_parse_list ("a\\q;b", &error) != NULL, &error, "no escape");
}

static void
test_path (void)
{
  g_autofree char *home = raddle_resolve_path ("~", "/base", NULL);
  g_autofree char *in_home = raddle_resolve_path ("~/x/y", "/base", NULL);
  g_autofree char *in_home_expected = g_build_filename (g_get_home_dir (), "x/y", NULL);
  g_autofree char *absolute = raddle_resolve_path ("/x", "/base", NULL);
  g_autofree char *relative = raddle_resolve_path ("../x", "/base", NULL);
  g_autofree char *working = raddle_resolve_path ("x", NULL, NULL);
  g_autofree char *folder = g_get_current_dir ();
  g_autofree char *working_expected = g_build_filename (folder, "x", NULL);
  GError *error = NULL;

  g_assert_cmpstr (home, ==, g_get_home_dir ());
  g_assert_cmpstr (in_home, ==, in_home_expected);
  g_assert_cmpstr (absolute, ==, "/x");
  g_assert_cmpstr (relative, ==, "/base/../x");
  g_assert_cmpstr (working, ==, working_expected);
  assert_refused (raddle_resolve_path ("~root/x", "/", &error) != NULL, &error, "home");
}

static void
refuse_secret (const char *where,
               const char *folder,
               const char *fragment)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *secret = raddle_read_secret (where, folder, &error);

  g_assert_null (secret);
  g_assert_error (error, RADDLE_ERROR, RADDLE_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, fragment));
  g_assert_null (strstr (error->message, "hunter2"));
}

static void
test_secret_variable (void)
{
  g_autofree char *secret = NULL;

  g_setenv ("RADDLE_TEST_SECRET", "hunter2", TRUE);
  secret = raddle_read_secret ("env:RADDLE_TEST_SECRET", NULL, NULL);
  g_assert_cmpstr (secret, ==, "hunter2");

  g_setenv ("RADDLE_TEST_SECRET", "", TRUE);
  refuse_secret ("env:RADDLE_TEST_SECRET", NULL,
                 "RADDLE_TEST_SECRET, which should hold the "
                 "secret, is empty");
  g_unsetenv ("RADDLE_TEST_SECRET");
  refuse_secret ("env:RADDLE_TEST_SECRET", NULL, "not set");
  refuse_secret ("env:sk-hunter2", NULL, "not the name of an environment variable");
  refuse_secret ("env:", NULL, "not the name of an environment variable");
  refuse_secret ("hunter2", NULL, "env:VARIABLE or file:PATH");
  refuse_secret ("file:", NULL, "env:VARIABLE or file:PATH");
}

static void
test_secret_file (void)
{
  g_autofree char *folder = g_dir_make_tmp ("raddle-settings-XXXXXX", NULL);
  g_autofree char *file = g_build_filename (folder, "key", NULL);
  g_autofree char *secret = NULL;

  g_assert_true (g_file_set_contents (file, "hunter2\n", -1, NULL));
  g_assert_cmpint (g_chmod (file, 0640), ==, 0);
  refuse_secret ("file:key", folder, "open to other users (mode 0640)");
  g_assert_cmpint (g_chmod (file, 0604), ==, 0);
  refuse_secret ("file:key", folder, "open to other users");

  g_assert_cmpint (g_chmod (file, 0600), ==, 0);
  secret = raddle_read_secret ("file:key", folder, NULL);
  g_assert_cmpstr (secret, ==, "hunter2");

  g_assert_true (g_file_set_contents_full (file, "\n", -1, G_FILE_SET_CONTENTS_CONSISTENT,
                                           0600, NULL));
  refuse_secret ("file:key", folder, "is empty");
  g_assert_true (g_file_set_contents_full (file, "hunter2\0x", 9,
                                           G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  refuse_secret ("file:key", folder, "not UTF-8");
  g_assert_cmpint (g_unlink (file), ==, 0);
  refuse_secret ("file:key", folder, "cannot be read");
  refuse_secret ("file:.", folder, "not a regular file");
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static const RaddleOption options[] = {
  { "text", RADDLE_OPTION_STRING, "a\\tb", NULL, NULL },
  { "count", RADDLE_OPTION_INT, "7", NULL, NULL },
  { "on", RADDLE_OPTION_BOOL, "true", NULL, NULL },
  { "ratio", RADDLE_OPTION_DOUBLE, "0.25", NULL, NULL },
  { "bytes", RADDLE_OPTION_SIZE, "2K", NULL, NULL },
  { "wait", RADDLE_OPTION_DURATION, "1.5s", NULL, NULL },
  { "path", RADDLE_OPTION_PATH, "out.jsonl", NULL, NULL },
  { "mode", RADDLE_OPTION_ENUM, "fast", NULL, "slow|fast" },
  { "names", RADDLE_OPTION_LIST, "x;y\\;z", NULL, NULL },
  { "token", RADDLE_OPTION_SECRET, "", NULL, NULL },
};

static void
test_defaults (void)
{
  g_autoptr (RaddleSettings) self = raddle_settings_new ();
  g_autoptr (GPtrArray) missing = g_ptr_array_new ();
  RaddleOptionType kind;
  GError *error = NULL;

  g_assert_true (raddle_settings_set_defaults (self, options, G_N_ELEMENTS (options),
                                               "/base", missing, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (missing->len, ==, 0);
  g_assert_cmpstr (raddle_settings_get_string (self, "text"), ==, "a\tb");
  g_assert_cmpint (raddle_settings_get_int (self, "count"), ==, 7);
  g_assert_true (raddle_settings_get_boolean (self, "on"));
  g_assert_cmpfloat (raddle_settings_get_double (self, "ratio"), ==, 0.25);
  g_assert_cmpuint (raddle_settings_get_size (self, "bytes"), ==, 2048);
  g_assert_cmpint (raddle_settings_get_duration (self, "wait"), ==, 1500000);
  g_assert_cmpstr (raddle_settings_get_string (self, "path"), ==, "/base/out.jsonl");
  g_assert_cmpstr (raddle_settings_get_string (self, "mode"), ==, "fast");
  g_assert_cmpstr (raddle_settings_get_list (self, "names")[1], ==, "y;z");
  g_assert_null (raddle_settings_get_list (self, "names")[2]);
  g_assert_cmpstr (raddle_settings_get_string (self, "token"), ==, "");

  g_assert_true (raddle_settings_get_kind (self, "mode", &kind));
  g_assert_cmpint (kind, ==, RADDLE_OPTION_ENUM);
  g_assert_false (raddle_settings_get_kind (self, "nothing", &kind));
  g_assert_null (raddle_settings_get_string (self, "nothing"));
  g_assert_null (raddle_settings_get_string (self, "count"));
  g_assert_cmpint (raddle_settings_get_int (self, "wait"), ==, 0);
}

static void
test_set (void)
{
  g_autoptr (RaddleSettings) self = raddle_settings_new ();
  g_autoptr (RaddleSettings) same = raddle_settings_ref (self);
  g_autoptr (GPtrArray) missing = g_ptr_array_new ();
  const RaddleOption needed = { "needed", RADDLE_OPTION_INT, NULL, NULL, NULL };
  const RaddleOption odd = { "odd", 77, "x", NULL, NULL };
  const RaddleOption broken = { "broken", RADDLE_OPTION_INT, "x", NULL, NULL };
  GError *error = NULL;

  assert_refused (raddle_settings_set (self, &options[7], "medium", NULL, &error), &error,
                  "'medium' is none of: slow, fast");
  assert_refused (raddle_settings_set (self, &options[9], "hunter2", NULL, &error),
                  &error, "a secret never stands in the keyfile");
  assert_refused (raddle_settings_set (self, &options[0], "a\\", NULL, &error), &error,
                  "backslash");
  assert_refused (raddle_settings_set (self, &odd, "x", NULL, &error), &error, "type 77");

  g_assert_false (raddle_settings_set_defaults (self, &needed, 1, NULL, missing, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (missing->len, ==, 1);
  g_assert_cmpstr (missing->pdata[0], ==, "needed");
  assert_refused (raddle_settings_set_defaults (self, &broken, 1, NULL, missing, &error),
                  &error, "the default of 'broken': 'x' is not a whole number");

  g_assert_true (raddle_settings_set (self, &needed, "5", NULL, &error));
  g_assert_true (raddle_settings_set (self, &needed, "6", NULL, &error));
  g_assert_true (raddle_settings_set_defaults (self, &needed, 1, NULL, missing, &error));
  g_assert_cmpint (raddle_settings_get_int (same, "needed"), ==, 6);
}

static void
test_quote (void)
{
  g_autofree char *plain = raddle_quote_value ("grün");
  g_autofree char *escape = raddle_quote_value ("\033[31m\n");
  g_autofree char *broken = raddle_quote_value ("\xff");
  g_autofree char *filler = g_strnfill (100, 'x');
  g_autofree char *longer = raddle_quote_value (filler);

  g_assert_cmpstr (plain, ==, "'grün'");
  g_assert_cmpstr (escape, ==, "'\\x1b[31m\\x0a'");
  g_assert_cmpstr (broken, ==, "'\xef\xbf\xbd'");
  g_assert_cmpuint (g_utf8_strlen (longer, -1), ==, 63);
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/settings/int", test_int);
  g_test_add_func ("/settings/size", test_size);
  g_test_add_func ("/settings/duration", test_duration);
  g_test_add_func ("/settings/double", test_double);
  g_test_add_func ("/settings/boolean", test_boolean);
  g_test_add_func ("/settings/list", test_list);
  g_test_add_func ("/settings/path", test_path);
  g_test_add_func ("/settings/secret/variable", test_secret_variable);
  g_test_add_func ("/settings/secret/file", test_secret_file);
  g_test_add_func ("/settings/defaults", test_defaults);
  g_test_add_func ("/settings/set", test_set);
  g_test_add_func ("/settings/quote", test_quote);

  return g_test_run ();
}
