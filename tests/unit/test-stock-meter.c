/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the stock handler meter counts, keeps and stops, and what it says of a file that
 * it cannot use. */

#include "stock-kit.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define PRICES                                                                           \
  "[prices]\ncurrency=EUR\n[m-1]\ninput=1\noutput=2\ncache-read=0.5\n"                   \
  "[m-*]\ninput=3\noutput=3\n[m-22*]\ninput=4\noutput=4\n"

typedef struct
{
  const char *model; /* NULL: nobody says */
  const char *name;
  const char *tag; /* NULL: none */
  RaddleUsage usage;
} Call;

static const Call small = {
  "m-1", "ask", NULL, { RADDLE_USAGE_REPORTED, 100, 10, -1, -1, -1 }
};

static RaddleRun *
begin_call (Stock *stock,
            const Call *call)
{
  g_autoptr (RaddleScope) scope = raddle_scope_new ();
  g_autoptr (JsonNode) data = json_from_string ("{}", NULL);
  g_autoptr (GError) error = NULL;
  RaddleRun *run;

  if (call->tag != NULL)
    raddle_scope_add_tag (scope, call->tag, RADDLE_REACH_RUN, &error);
  run = raddle_host_start_run_with_scope (stock->host, RADDLE_RUN_LLM, call->name, NULL,
                                          scope, &error);
  g_assert_no_error (error);
  stock_settle (run);
  if (call->model == NULL || raddle_run_get_outcome (run) != RADDLE_OUTCOME_RUNNING)
    return run;

  json_object_set_string_member (json_node_get_object (data), "model", call->model);
  raddle_run_emit_delta (run, RADDLE_DELTA_MESSAGE_START, -1, NULL, data, &error);
  g_assert_no_error (error);
  raddle_run_set_usage (run, &call->usage, &error);
  g_assert_no_error (error);
  return run;
}

static void
make_call (Stock *stock,
           const Call *call)
{
  g_autoptr (RaddleRun) run = begin_call (stock, call);

  stock_end (run, NULL);
}

/* A run that the handler stops at its start. */
static void
make_stopped_call (Stock *stock)
{
  g_autoptr (RaddleRun) run = begin_call (stock, &small);

  g_assert_cmpint (raddle_run_get_outcome (run), ==, RADDLE_OUTCOME_STOPPED);
  stock_settle (run);
}

/* As the next start of a program. */
static void
restart (Stock *stock,
         const char *settings)
{
  stock_close (stock);
  g_object_unref (stock->host);
  stock->host = raddle_host_new ();
  g_string_printf (stock->keyfile, "[host]\nplugin-path=%s\n", stock->folder.folder);
  stock_start (stock, "meter", settings);
}

static void
write_file (Stock *stock,
            const char *name,
            const char *text)
{
  g_autofree char *path = stock_path (stock, name);

  g_remove (path); /* the kit writes over what is there, and no further */
  plugin_kit_write (path, text, strlen (text));
}

/* ---- what is in the file ---- */

static JsonArray *
read_rows (Stock *stock)
{
  g_autofree char *text = stock_read (stock, "u.json");
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = json_from_string (text, &error);

  g_assert_no_error (error);
  g_assert_nonnull (root);
  return json_array_ref (
    json_object_get_array_member (json_node_get_object (root), "rows"));
}

static gint64
get (JsonArray *rows,
     guint row,
     const char *name)
{
  return json_object_get_int_member (json_array_get_object_element (rows, row), name);
}

static const char *
get_text (JsonArray *rows,
          guint row,
          const char *name)
{
  return json_object_get_string_member (json_array_get_object_element (rows, row), name);
}

static gint64
sum_of (Stock *stock,
        const char *name)
{
  g_autoptr (JsonArray) rows = read_rows (stock);
  gint64 sum = 0;

  for (guint i = 0; i < json_array_get_length (rows); i++)
    sum += get (rows, i, name);
  return sum;
}

static void
check_log_has (const char *fragment)
{
  g_autofree char *log = stock_take_log ();

  if (strstr (log, fragment) == NULL)
    g_error ("no '%s' in '%s'", fragment, log);
  g_assert_cmpuint (strlen (strchr (log, '\n')), ==, 1); /* said once, and nothing else */
}

/* ---- counting ---- */

static void
test_rows (Stock *stock,
           gconstpointer data)
{
  const Call tagged = {
    "m-1-2026-01-31", "ask", "night", { RADDLE_USAGE_REPORTED, 7, 3, 20, 5, 2 }
  };
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *day = g_date_time_format (now, "%Y-%m-%d");
  g_autoptr (JsonArray) rows = NULL;

  write_file (stock, "prices.ini", PRICES);
  stock_start (stock, "meter", "path=u.json\nprices=prices.ini");
  make_call (stock, &small);
  make_call (stock, &small);
  make_call (stock, &tagged);
  rows = read_rows (stock);
  g_assert_cmpuint (json_array_get_length (rows), ==, 2);
  g_assert_cmpstr (get_text (rows, 0, "day"), ==, day);
  g_assert_cmpstr (get_text (rows, 0, "model"), ==, "m-1");
  g_assert_cmpstr (get_text (rows, 0, "name"), ==, "ask");
  g_assert_cmpstr (get_text (rows, 0, "currency"), ==, "EUR");
  g_assert_cmpint (get (rows, 0, "calls"), ==, 2);
  g_assert_cmpint (get (rows, 0, "input"), ==, 200);
  g_assert_cmpint (get (rows, 0, "output"), ==, 20);
  g_assert_cmpint (get (rows, 0, "cost_pico"), ==, 240 * 1000000);
  g_assert_cmpstr (get_text (rows, 1, "model"), ==, "m-1-2026-01-31");
  g_assert_cmpstr (
    json_array_get_string_element (
      json_object_get_array_member (json_array_get_object_element (rows, 1), "tags"), 0),
    ==, "night");
  g_assert_cmpint (get (rows, 1, "cache_read"), ==, 20);
  g_assert_cmpint (get (rows, 1, "cache_write"), ==, 5);
  g_assert_cmpint (get (rows, 1, "reasoning"), ==, 2);
  g_assert_cmpint (get (rows, 1, "cost_pico"), ==, (7 + 2 * 3 + 20 / 2 + 5) * 1000000);
  g_assert_cmpint (get (rows, 1, "unpriced"), ==, 0);
  stock_close (stock);
}

/* The model itself, its dated versions, then the longest pattern; no price is no zero. */
static void
test_prices (Stock *stock,
             gconstpointer data)
{
  static const struct
  {
    const char *model;
    gint64 price;
  } models[] = {
    { "m-1", 1 },        { "m-1-latest", 1 },    { "m-1-20260131", 1 },
    { "m-1-202601", 3 }, { "m-1-2026-0131", 3 }, { "m-2", 3 },
    { "m-223", 4 },      { "n-1", -1 },
  };

  write_file (stock, "prices.ini", PRICES);
  stock_start (stock, "meter", "path=u.json\nprices=prices.ini");
  for (guint i = 0; i < G_N_ELEMENTS (models); i++)
    {
      Call call = { models[i].model, "ask", NULL, { RADDLE_USAGE_REPORTED, 1, 0 } };
      gint64 cost = i > 0 ? sum_of (stock, "cost_pico") : 0;
      gint64 unpriced = i > 0 ? sum_of (stock, "unpriced") : 0;

      make_call (stock, &call);
      g_assert_cmpint (sum_of (stock, "cost_pico") - cost, ==,
                       MAX (models[i].price, 0) * 1000000);
      g_assert_cmpint (sum_of (stock, "unpriced") - unpriced, ==, models[i].price < 0);
    }
  stock_close (stock);
}

static void
test_built_in_prices (Stock *stock,
                      gconstpointer data)
{
  const Call haiku = { "claude-3-haiku-20240307",
                       "ask",
                       NULL,
                       { RADDLE_USAGE_REPORTED, 1000, 100, -1, -1, -1 } };

  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &haiku);
  g_assert_cmpint (sum_of (stock, "cost_pico"), ==, 1000 * 250000 + 100 * 1250000);
  stock_close (stock);
}

/* Of what was aborted there is a guess, or nothing; it is counted, and marked. */
static void
test_aborted (Stock *stock,
              gconstpointer data)
{
  const Call cut = { "m-1", "ask", NULL, { RADDLE_USAGE_ESTIMATED, 100, 2, -1, -1, -1 } };
  const Call nothing = { NULL, "ask", NULL };
  g_autoptr (RaddleRun) run = NULL, failed = NULL;
  g_autoptr (JsonArray) rows = NULL;

  stock_start (stock, "meter", "path=u.json");
  run = begin_call (stock, &cut);
  g_assert_true (raddle_run_cancel (run));
  stock_settle (run);
  failed = begin_call (stock, &nothing);
  stock_fail (failed, "nobody there");
  rows = read_rows (stock);
  g_assert_cmpuint (json_array_get_length (rows), ==, 2);
  g_assert_cmpstr (get_text (rows, 0, "model"), ==, "(unknown)");
  g_assert_cmpint (get (rows, 0, "calls"), ==, 1);
  g_assert_cmpint (get (rows, 0, "unknown"), ==, 1);
  g_assert_cmpint (get (rows, 1, "calls"), ==, 1);
  g_assert_cmpint (get (rows, 1, "estimated"), ==, 1);
  g_assert_cmpint (get (rows, 1, "output"), ==, 2);
  stock_close (stock);
}

static void
test_restart (Stock *stock,
              gconstpointer data)
{
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  restart (stock, "path=u.json");
  make_call (stock, &small);
  g_assert_cmpint (sum_of (stock, "input"), ==, 200);
  stock_close (stock);
}

/* Two handlers with one file each lock it, as two processes do. */
static void
test_two_writers (Stock *stock,
                  gconstpointer data)
{
  g_string_append (stock->keyfile, "[handler b]\nplugin=meter\npath=u.json\n");
  stock_start (stock, "meter", "path=u.json");
  for (guint i = 0; i < 20; i++)
    make_call (stock, &small);
  stock_close (stock);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 40);
}

/* ---- budgets ---- */

static void
test_budget (Stock *stock,
             gconstpointer data)
{
  g_autofree char *settings =
    g_strdup_printf ("path=u.json\nprices=prices.ini\n%s", (const char *) data);

  write_file (stock, "prices.ini", PRICES);
  stock_start (stock, "meter", settings);
  make_call (stock, &small); /* 110 tokens, 0.00012 */
  make_call (stock, &small);
  make_stopped_call (stock);
  restart (stock, settings); /* it is used up for the next process, too */
  make_stopped_call (stock);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 2);
  stock_close (stock);
}

/* What stands in the way is said to whoever waits for the answer. */
static void
test_reason (Stock *stock,
             gconstpointer data)
{
  G_GNUC_UNUSED g_autoptr (RaddleRun) run = NULL;
  g_autofree char *text = NULL;

  g_string_append (stock->keyfile, "[handler log]\nplugin=jsonl\npath=log\n");
  g_free (plugin_kit_copy (&stock->folder, "../../plugins/jsonl/jsonl", "jsonl.so"));
  stock_start (stock, "meter", "path=u.json\nbudget-tokens=100");
  make_call (stock, &small);
  make_stopped_call (stock);
  stock_close (stock);
  text = stock_read (stock, "log");
  g_assert_nonnull (strstr (text,
                            "handler 'a': the budget of 100 tokens a day is used up: "
                            "it is 110 so far"));
}

/* Another day, or month, has its own. */
static void
test_period (Stock *stock,
             gconstpointer data)
{
  static const char row[] =
    "{\"raddle_usage\":1,\"rows\":[{\"day\":\"2020-02-02\",\"model\":\"m\",\"name\":"
    "\"n\","
    "\"tags\":[],\"currency\":\"USD\",\"calls\":1,\"input\":1000}]}";

  write_file (stock, "u.json", row);
  stock_start (stock, "meter", "path=u.json\nbudget-tokens=500\nbudget-period=month");
  make_call (stock, &small);
  restart (stock, "path=u.json\nbudget-tokens=500");
  make_call (stock, &small);
  restart (stock, "path=u.json\nbudget-tokens=500\nbudget-period=total");
  make_stopped_call (stock);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 3);
  stock_close (stock);
}

static void
test_budget_without_price (Stock *stock,
                           gconstpointer data)
{
  stock_start (stock, "meter", "path=u.json\nbudget=1");
  make_call (stock, &small);
  make_call (stock, &small);
  stock_close (stock);
  check_log_has ("the price table does not name the model 'm-1'; its calls do not count "
                 "for the budget");
}

/* ---- a file that cannot be used ---- */

/* It is kept, and told once; a later one does not replace it. */
static void
test_damaged (Stock *stock,
              gconstpointer data)
{
  g_autofree char *first = NULL, *second = NULL;

  write_file (stock, "u.json.damaged-1", "older");
  write_file (stock, "u.json", data);
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  make_call (stock, &small);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 2);
  stock_close (stock);
  check_log_has ("/u.json is damaged; it was moved to ");
  first = stock_read (stock, "u.json.damaged-1");
  second = stock_read (stock, "u.json.damaged-2");
  g_assert_cmpstr (first, ==, "older");
  g_assert_cmpstr (second, ==, data);
}

/* What this process has seen in it is not lost with it. */
static void
test_damaged_later (Stock *stock,
                    gconstpointer data)
{
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  restart (stock, "path=u.json");
  make_call (stock, &small);
  write_file (stock, "u.json", "{");
  make_call (stock, &small);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 3);
  stock_close (stock);
  check_log_has ("/u.json is damaged; it was moved to ");
}

static void
test_unwritable (Stock *stock,
                 gconstpointer data)
{
  g_autofree char *folder = stock_path (stock, "sub");
  g_autofree char *log = NULL;

  stock_start (stock, "meter", "path=sub/u.json");
  make_call (stock, &small);
  make_call (stock, &small);
  check_log_has (
    "/sub/u.json: its lock cannot be opened: No such file or directory; what "
    "is counted is kept in memory until it can be written");
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  make_call (stock, &small);
  check_log_has ("/sub/u.json can be written again; nothing was lost");
  stock_close (stock);
  log = stock_read (stock, "sub/u.json");
  g_assert_nonnull (strstr (log, "\"calls\":3,"));
}

static void
test_unwritable_to_the_end (Stock *stock,
                            gconstpointer data)
{
  G_GNUC_UNUSED g_autofree char *log = NULL;

  stock_start (stock, "meter", "path=sub/u.json");
  make_call (stock, &small);
  g_free (stock_take_log ());
  stock_close (stock);
  check_log_has ("/sub/u.json could not be written to the end; 1 call is not in it");
}

/* A disk that is full leaves the file as it was, and no rests. */
static void
test_full (Stock *stock,
           gconstpointer data)
{
  g_autofree char *rest = stock_path (stock, "u.json.new");
  struct rlimit limit, little;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  little = limit;
  little.rlim_cur = 20;
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &little), ==, 0);
  make_call (stock, &small);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 1);
  g_assert_false (g_file_test (rest, G_FILE_TEST_EXISTS));
  g_free (stock_take_log ());
  make_call (stock, &small);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 3);
  stock_close (stock);
  check_log_has ("/u.json can be written again; nothing was lost");
}

/* What is no file is not replaced by one, also behind a link. */
static void
test_no_file (Stock *stock,
              gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "u.json");
  g_autofree char *fifo = stock_path (stock, "fifo");
  struct stat st;

  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (symlink ("fifo", path), ==, 0);
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  g_assert_true (g_file_test (path, G_FILE_TEST_IS_SYMLINK));
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_true (S_ISFIFO (st.st_mode));
  check_log_has ("/fifo: it is no file of its own");
  stock_close (stock);
  check_log_has ("/fifo could not be written to the end; 1 call is not in it");
}

/* Whoever wants to begin anew deletes it. */
static void
test_deleted (Stock *stock,
              gconstpointer data)
{
  g_autofree char *path = stock_path (stock, "u.json");

  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  g_assert_cmpint (g_unlink (path), ==, 0);
  make_call (stock, &small);
  g_assert_cmpint (sum_of (stock, "calls"), ==, 1);
  stock_close (stock);
}

/* A name for each call does not make the file grow for ever. */
static void
test_many_rows (Stock *stock,
                gconstpointer data)
{
  g_autoptr (GString) text = g_string_new ("{\"raddle_usage\":1,\"rows\":[");
  g_autoptr (JsonArray) rows = NULL;
  guint n_other = 0;

  for (guint i = 0; i < 10000; i++)
    g_string_append_printf (text,
                            "%s{\"day\":\"2020-02-02\",\"model\":\"m\",\"name\":\"%u\","
                            "\"tags\":[],\"currency\":\"USD\",\"calls\":1}",
                            i > 0 ? "," : "", i);
  g_string_append (text, "]}");
  write_file (stock, "u.json", text->str);
  stock_start (stock, "meter", "path=u.json");
  make_call (stock, &small);
  make_call (stock, &(Call){ "m-1", "else", "x", small.usage });
  rows = read_rows (stock);
  g_assert_cmpuint (json_array_get_length (rows), ==, 10001);
  for (guint i = 0; i < 10001; i++)
    if (g_str_equal (get_text (rows, i, "name"), "(other)"))
      n_other += get (rows, i, "calls");
  g_assert_cmpuint (n_other, ==, 2);
  stock_close (stock);
}

/* ---- settings ---- */

typedef struct
{
  const char *settings;
  const char *prices;
  const char *reason;
} Refusal;

static void
test_refused (Stock *stock,
              gconstpointer data)
{
  const Refusal *refusal = data;
  g_autoptr (RaddleHandler) handler = NULL;

  if (refusal->prices != NULL)
    write_file (stock, "p.ini", refusal->prices);
  stock_start (stock, "meter", refusal->settings);
  handler = stock_dup_handler (stock);
  make_call (stock, &(Call){ NULL, "ask" });
  g_assert_cmpint (raddle_handler_get_state (handler), ==, RADDLE_HANDLER_FAILED);
  stock_close (stock);
  check_log_has (refusal->reason);
}

static void
add (const char *name,
     gconstpointer data,
     void (*function) (Stock *stock, gconstpointer data))
{
  g_autofree char *path = g_strconcat ("/stock/meter/", name, NULL);

  g_test_add (path, Stock, data, stock_set_up, function, stock_tear_down);
}

static void
add_damaged (void)
{
  static const char *const texts[] = {
    "",
    "{",
    "[]",
    "{\"rows\":[]}",
    "{\"raddle_usage\":2,\"rows\":[]}",
    "{\"raddle_usage\":1,\"rows\":[1]}",
    "{\"raddle_usage\":1,\"rows\":[{\"day\":1}]}",
    "{\"raddle_usage\":1,\"rows\":[{\"day\":\"d\",\"model\":\"m\",\"name\":\"n\","
    "\"tags\":[],\"currency\":\"c\",\"calls\":-1}]}",
    "{\"raddle_usage\":1,\"rows\":[{\"day\":\"d\",\"model\":\"m\",\"name\":\"n\","
    "\"tags\":[1],\"currency\":\"c\"}]}",
    "{\"raddle_usage\":1,\"rows\":[{\"day\":\"\377\"}]}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *name = g_strdup_printf ("damaged/%u", i);

      add (name, texts[i], test_damaged);
    }
}

static void
add_refused (void)
{
  static const Refusal refusals[] = {
    { "path=u.json\nbudget=-1", NULL, "budget and budget-tokens are 0 or above" },
    { "path=u.json\nbudget-tokens=-1", NULL, "budget and budget-tokens are 0 or above" },
    { "path=u.json\nprices=nowhere.ini", NULL, "/nowhere.ini cannot be used: " },
    { "path=u.json\nprices=p.ini", "[m]\ninput=1\n", "[prices] currency: it must be" },
    { "path=u.json\nprices=p.ini", "[prices]\ncurrency=X\n[m]\ninput=1\n",
      "[m] output: it wants a price for a million tokens" },
    { "path=u.json\nprices=p.ini", "[prices]\ncurrency=X\n[m]\ninput=1,5\noutput=1\n",
      "[m] input: it wants a price for a million tokens" },
    { "path=u.json\nprices=p.ini", "[prices]\ncurrency=X\n[m]\ninput=1\noutput=nan\n",
      "[m] output: it wants a price" },
    { "path=u.json\nprices=p.ini",
      "[prices]\ncurrency=X\n[m]\ninput=1\noutput=1\ncache=1\n",
      "[m] cache: there is input, output, cache-read and cache-write" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (refusals); i++)
    {
      g_autofree char *name = g_strdup_printf ("refused/%u", i);

      add (name, &refusals[i], test_refused);
    }
}

int
main (int argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  stock_init ();

  add ("rows", NULL, test_rows);
  add ("prices", NULL, test_prices);
  add ("prices/built-in", NULL, test_built_in_prices);
  add ("aborted", NULL, test_aborted);
  add ("restart", NULL, test_restart);
  add ("two-writers", NULL, test_two_writers);
  add ("budget/money", "budget=0.0002", test_budget);
  add ("budget/exactly", "budget=0.00024", test_budget);
  add ("budget/tokens", "budget-tokens=120", test_budget);
  add ("budget/month", "budget-tokens=120\nbudget-period=month", test_budget);
  add ("budget/reason", NULL, test_reason);
  add ("budget/period", NULL, test_period);
  add ("budget/without-price", NULL, test_budget_without_price);
  add ("damaged-later", NULL, test_damaged_later);
  add ("unwritable", NULL, test_unwritable);
  add ("unwritable/to-the-end", NULL, test_unwritable_to_the_end);
  add ("full", NULL, test_full);
  add ("no-file", NULL, test_no_file);
  add ("deleted", NULL, test_deleted);
  add ("many-rows", NULL, test_many_rows);
  add_damaged ();
  add_refused ();

  return g_test_run ();
}
