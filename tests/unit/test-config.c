/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keyfiles, good ones for their values and bad ones for their problems. */

#include "config/raddle-config.h"

#include "raddle/raddle-event-types.h"

#include <glib/gstdio.h>
#include <string.h>

static char *folder;

static RaddleConfig *
load_bytes (const char *data,
            gssize length,
            const char * const *overrides,
            GPtrArray *problems)
{
  g_autofree char *file = g_build_filename (folder, "test.conf", NULL);

  g_assert_true (g_file_set_contents (file, data, length, NULL));
  return raddle_config_load (file, overrides, problems);
}

/* Without the folder, which is another one each time. */
static char *
take_text (GPtrArray *problems)
{
  g_autofree char *text = raddle_problems_to_text (problems);
  g_autoptr (GString) string = g_string_new (text);
  g_autofree char *prefix = g_strconcat (folder, "/", NULL);

  g_string_replace (string, prefix, "", 0);
  return g_string_free (g_steal_pointer (&string), FALSE);
}

static RaddleConfig *
load_good (const char *data,
           const char * const *overrides)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  RaddleConfig *config = load_bytes (data, -1, overrides, problems);
  g_autofree char *text = take_text (problems);

  g_assert_cmpstr (text, ==, "");
  return config;
}

static void
assert_problems (const char *data,
                 gssize length,
                 const char *expected)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (RaddleConfig) config = load_bytes (data, length, NULL, problems);
  g_autofree char *text = take_text (problems);

  g_assert_nonnull (config);
  g_assert_cmpstr (text, ==, expected);
}

typedef struct
{
  const char *data;
  const char *problem; /* without the file's name; each holds one */
} BadCase;

#define PROVIDERS "anthropic, openai, openai-responses, ollama and cassette"

static const BadCase bad_cases[] = {
  /* lines */
  { "[host\n", ":1: a group's name ends in ']'; the keys below it were not checked" },
  { "[host] # x\nthreads=zz\n",
    ":1: nothing may follow a group's ']'; the keys below it were not checked" },
  { "[]\n", ":1: this is no name of a group; the keys below it were not checked" },
  { "threads=1\n[host]\n", ":1: threads: this key stands before the first group" },
  { "[host]\nthreads\n",
    ":2: [host]: this is no [group], no key=value and no # comment" },
  { "[host]\n; x=1\n", ":2: [host]: a comment begins with '#'" },
  { "[host]\n=1\n", ":2: [host]: no key stands before the '='" },
  { "[host]\nthreads=1\nreload=true\nthreads=1\n",
    ":4: [host] threads: this key stands here twice; first on line 2" },
  { "[host]\n[model a]\nprovider=anthropic\nmodel=m\n[host]\n",
    ":5: [host]: this group stands in the file twice, on line 1 and on line 5" },
  { "[handler a]\n\n[handler  a]\n",
    ":3: [handler a]: this group stands in the file twice, on line 1 and on line 3" },
  { "[host]\n# \xff\n", ":2: [host]: the line is not UTF-8 text" },
  { "[host]\n# \033[31m\n",
    ":2: [host]: the line has a control character in it; \\n, \\t and \\r "
    "write them" },
  /* groups */
  { "[hots]\nx=1\n", ":1: [hots]: unknown group; there are [host], [model NAME] and "
                     "[handler NAME]; did you mean 'host'?" },
  { "[zebra]\n", ":1: [zebra]: unknown group; there are [host], [model NAME] and "
                 "[handler NAME]" },
  { "[host x]\n", ":1: [host x]: this group is just [host], without a name" },
  { "[handler]\n", ":1: [handler]: this group needs a name without spaces, as in "
                   "[handler NAME]" },
  { "[model a b]\n", ":1: [model a b]: this group needs a name without spaces, as in "
                     "[model NAME]" },
  /* [host] */
  { "[host]\nthread=1\n", ":2: [host] thread: unknown key; did you mean 'threads'?" },
  { "[host]\nMax_Threads=1\n", ":2: [host] Max_Threads: unknown key; did you mean "
                               "'max-threads'?" },
  { "[host]\nzebra=1\n", ":2: [host] zebra: unknown key" },
  { "[host]\nreload[de]=true\n", ":2: [host] reload[de]: unknown key" },
  { "[host]\nthreads=many\n", ":2: [host] threads: 'many' is not a whole number" },
  { "[host]\nthreads=-1\n", ":2: [host] threads: -1 is out of bounds: from 0 to 4096" },
  { "[host]\nmax-threads=0\n",
    ":2: [host] max-threads: 0 is out of bounds: from 1 to 4096" },
  { "[host]\nmax-threads=4\n\nthreads=5\n",
    ":4: [host] threads: 5 is more than max-threads, which is 4" },
  { "[host]\nreload=yes\n", ":2: [host] reload: 'yes' is neither 'true' nor 'false'" },
  { "[host]\nplugin-path=a;;b\n",
    ":2: [host] plugin-path: one of the folders has no name" },
  { "[host]\nplugin-path=~root/x\n",
    ":2: [host] plugin-path: '~root/x' starts at another "
    "user's home; only '~/' expands" },
  { "[host]\nplugin-path=a\\\n",
    ":2: [host] plugin-path: the value ends in a lone backslash; a "
    "backslash is written \\\\" },
  /* [model] */
  { "[model a]\nmodel=m\n",
    ":1: [model a] provider: must be given; there are " PROVIDERS },
  { "[model a]\nprovider=anthropics\n",
    ":2: [model a] provider: 'anthropics' is no provider; there are " PROVIDERS
    "; did you mean 'anthropic'?" },
  { "[model a]\nprovider=openai\n",
    ":1: [model a] model: must be given for provider=openai" },
  { "[model a]\nprovider=openai-responses\nmodel=m\nstop=a\n",
    ":4: [model a] stop: is not for provider=openai-responses, which has no such "
    "setting; openai has" },
  { "[model a]\nprovider=ollama\nmodel=m\nspeed=1\n",
    ":4: [model a] speed: is only for provider=cassette" },
  { "[model a]\nprovider=openai\nmodel=m\nextra=[1]\n",
    ":4: [model a] extra: the value is no JSON object, as in {\"seed\":1}; a '\\' is "
    "written twice" },
  { "[model a]\nprovider=openai\nmodel=m\nextra={\n",
    ":4: [model a] extra: the value is no JSON object, as in {\"seed\":1}; a '\\' is "
    "written twice" },
  { "[model a]\nprovider=anthropic\nmodel=m\nthinking-budget=1023\n",
    ":4: [model a] thinking-budget: must be 0 or at least 1024 for "
    "provider=anthropic" },
  { "[model a]\nprovider=anthropic\nmodel=m\nthinking-budget=1024\n",
    ":4: [model a] thinking-budget: must be less than max-tokens, which is 1024" },
  { "[model a]\nprovider=anthropic\n",
    ":1: [model a] model: must be given for provider=anthropic" },
  { "[model a]\nprovider=cassette\nfile=\n",
    ":3: [model a] file: must be given for provider=cassette" },
  { "[model a]\nprovider=anthropic\nmodel=m\nspeed=1\n",
    ":4: [model a] speed: is only for provider=cassette" },
  { "[model a]\nprovider=anthropic\nmodel=m\nmax-tokens=0\n",
    ":4: [model a] max-tokens: 0 is out of bounds: from 1 to 2147483647" },
  { "[model a]\nprovider=anthropic\nmodel=m\ntemperature=2.5\n",
    ":4: [model a] temperature: 2.5 is out of bounds: from 0 to 2" },
  { "[model a]\nprovider=anthropic\nmodel=m\ntop-p=1,5\n",
    ":4: [model a] top-p: '1,5' is not a number, such as 0.5" },
  { "[model a]\nprovider=anthropic\nmodel=m\nstop=a;;b\n",
    ":4: [model a] stop: one of the texts is empty; \\s writes a space" },
  { "[model a]\nprovider=anthropic\nmodel=m\nretries=-1\n",
    ":4: [model a] retries: -1 is out of bounds: from 0 to 100" },
  { "[model a]\nprovider=anthropic\nmodel=m\nretry-delay=2min\n",
    ":4: [model a] retry-delay: must be at most 1min; it doubles with each retry" },
  { "[model a]\nprovider=anthropic\nmodel=m\nca-file=/dev/null\n",
    ":4: [model a] ca-file: no certificate could be read from it: it holds none in the "
    "form of PEM" },
  { "[model a]\nprovider=anthropic\nmodel=m\nidle-timeout=soon\n",
    ":4: [model a] idle-timeout: 'soon' is not a time: a number with us, ms, s, min, h or d "
    "behind it; seconds without one" },
  { "[model a]\nprovider=cassette\nfile=x\nspeed=-1\n",
    ":4: [model a] speed: -1 is out of bounds: from 0 to 1000" },
  { "[model a]\nprovider=anthropic\nmodel=m\nbase-url=ftp://host\n",
    ":4: [model a] base-url: the value is not an http:// or https:// URL" },
  { "[model a]\nprovider=anthropic\nmodel=m\nbase-url=localhost:80\n",
    ":4: [model a] base-url: the value is not an http:// or https:// URL" },
  { "[model a]\nprovider=anthropic\nmodel=m\nbase-url=https:///v1\n",
    ":4: [model a] base-url: the value names no host" },
  { "[model a]\nprovider=anthropic\nmodel=m\nbase-url=https://u:hunter2@host\n",
    ":4: [model a] base-url: the value has a user or a password in it; a key goes into "
    "the variable that api-key-env names" },
  { "[model a]\nprovider=anthropic\nmodel=m\nbase-url=https://host?key=hunter2\n",
    ":4: [model a] base-url: the value has a '?' or a '#' in it; it ends with the path" },
  { "[model a]\nprovider=anthropic\nmodel=m\napi-key=hunter2\n",
    ":4: [model a] api-key: a key never stands in the keyfile; put it into an "
    "environment variable and name that with api-key-env, or into a file and name that "
    "with key-file" },
  { "[model a]\nprovider=anthropic\nmodel=m\nAPI_KEY=hunter2\n",
    ":4: [model a] API_KEY: a key never stands in the keyfile; put it into an "
    "environment variable and name that with api-key-env, or into a file and name that "
    "with key-file" },
  { "[model a]\nprovider=anthropic\nmodel=m\napi-key-env=sk-hunter2\n",
    ":4: [model a] api-key-env: the value is not the name of an environment variable; "
    "the key itself never stands in the keyfile" },
  { "[model a]\nprovider=anthropic\nmodel=m\nkey-file=a\napi-key-env=B\n",
    ":4: [model a] key-file: a key is in one place: give api-key-env, key-file or "
    "key-secret" },
#ifndef RADDLE_HAVE_LIBSECRET
  { "[model a]\nprovider=anthropic\nmodel=m\nkey-secret=hunter2\n",
    ":4: [model a] key-secret: this Raddle was built without libsecret and cannot ask the "
    "Secret Service; put the key into a file and name that with key-file" },
#endif
  { "[model a]\nprovider=anthropic\nmodel=m\nsk-hunter2\n",
    ":4: [model a]: this is no [group], no key=value and no # comment" },
  /* [handler] */
  { "[handler a]\nplugin=x.so\n",
    ":2: [handler a] plugin: must be the name of a plugin, as "
    "raddle plugins lists it, and not a file" },
  { "[handler a]\nenabled=1\n",
    ":2: [handler a] enabled: '1' is neither 'true' nor 'false'" },
  { "[handler a]\nevents=llm-end;llm-strat\n",
    ":2: [handler a] events: 'llm-strat' is no event; did you mean 'llm-start'?" },
  { "[handler a]\nevents=\n",
    ":2: [handler a] events: names no event; leave the key out for "
    "all, or write enabled=false" },
  { "[handler a]\ndelivery=inlin\n",
    ":2: [handler a] delivery: 'inlin' is none of: awaited, "
    "inline, lockstep, detached" },
  { "[handler a]\noverflow=drop\n", ":2: [handler a] overflow: 'drop' is none of: block, "
                                    "coalesce, drop-oldest, drop-newest" },
  { "[handler a]\non-error=panic\n",
    ":2: [handler a] on-error: 'panic' is none of: log, raise, disable" },
  { "[handler a]\nisolation=jail\n",
    ":2: [handler a] isolation: 'jail' is none of: none, process" },
  { "[handler a]\nisolation=process\n",
    ":2: [handler a] isolation: 'process' is not available in this version" },
  { "[handler a]\nqueue-length=0\n",
    ":2: [handler a] queue-length: 0 is out of bounds: from 1 to 2147483647" },
  { "[handler a]\nqueue-bytes=0\n", ":2: [handler a] queue-bytes: 0 is out of bounds: at "
                                    "least 1" },
  { "[handler a]\nqueue-bytes=8Q\n", ":2: [handler a] queue-bytes: '8Q' is not a size: a "
                                     "whole number of bytes, with K, M or G "
                                     "behind it for powers of 1024" },
  { "[handler a]\nbreaker=-1\n",
    ":2: [handler a] breaker: -1 is out of bounds: from 0 to 2147483647" },
  { "[handler a]\nonly-names=\n",
    ":2: [handler a] only-names: names nothing; leave the key out for all runs" },
  { "[handler a]\nonly-kinds=llm;model\n",
    ":2: [handler a] only-kinds: 'model' is no kind of run: one of llm, chain, tool, "
    "retriever" },
  { "[handler a]\nonly-kinds=any\n",
    ":2: [handler a] only-kinds: 'any' is no kind of run: one of llm, chain, tool, "
    "retriever" },
  { "[handler a]\nroots-only=perhaps\n",
    ":2: [handler a] roots-only: 'perhaps' is neither 'true' nor 'false'" },
  { "[handler a]\nbreaker-wait=0\n",
    ":2: [handler a] breaker-wait: 0 is out of bounds: at least 1ms" },
  { "[handler a]\nbreaker-wait=999us\n",
    ":2: [handler a] breaker-wait: 999us is out of bounds: at least 1ms" },
  { "[handler a]\nbreaker-wait=long\n",
    ":2: [handler a] breaker-wait: 'long' is not a time: a number with us, ms, s, min, h "
    "or d behind it; seconds without one" },
  { "[handler a]\ntimeout=-1s\n", ":2: [handler a] timeout: '-1s' is not a time: a "
                                  "number with us, ms, s, min, h or d behind "
                                  "it; seconds without one" },
  { "[handler a]\noverflow=coalesce\ndelivery=inline\n",
    ":2: [handler a] overflow: does not fit delivery=inline, which has no queue that "
    "could overflow; leave overflow out, or choose another delivery" },
  { "[handler a]\ndelivery=inline\noverflow=block\n",
    ":3: [handler a] overflow: does not fit delivery=inline, which has no queue that "
    "could overflow; leave overflow out, or choose another delivery" },
  { "[handler a]\ndelivery=lockstep\noverflow=drop-newest\n",
    ":3: [handler a] overflow: does not fit delivery=lockstep, which waits after each "
    "event; only block does" },
  { "[handler a]\ndelivery=detached\non-error=raise\n",
    ":3: [handler a] on-error: raise does not fit delivery=detached: nobody waits for "
    "the handler, so no run can fail with its error" },
};

static void
test_bad (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bad_cases); i++)
    {
      g_autofree char *expected = g_strconcat ("test.conf", bad_cases[i].problem, NULL);

      assert_problems (bad_cases[i].data, -1, expected);
    }
}

static void
test_many (void)
{
  assert_problems (
    "x=1\n"
    "[host]\n"
    "threads=4 # four\n"
    "[handler a]\n"
    "isolation=process\n"
    "delivery=inline\n"
    "[model m]\n"
    "speed=2\n"
    "provider=anthropic\n"
    "[handler a]\n"
    "breaker=x\n",
    -1,
    "test.conf:1: x: this key stands before the first group\n"
    "test.conf:3: [host] threads: '4 # four' is not a whole number\n"
    "test.conf:5: [handler a] isolation: 'process' is not available in this "
    "version\n"
    "test.conf:5: [handler a] isolation: does not fit delivery=inline, which "
    "calls the handler on the loop's own thread\n"
    "test.conf:7: [model m] model: must be given for provider=anthropic\n"
    "test.conf:8: [model m] speed: is only for provider=cassette\n"
    "test.conf:10: [handler a]: this group stands in the file twice, on line 4 "
    "and on line 10\n"
    "test.conf:11: [handler a] breaker: 'x' is not a whole number");
}

static void
test_bytes (void)
{
  static const char nul[] = "[host]\nthre\0ads=1\nreload=no\n";
  static const char utf16[] = "\xff\xfe[\0h\0";

  assert_problems (
    nul, sizeof nul - 1,
    "test.conf:2: [host]: the line has a NUL byte in it; a keyfile is UTF-8 "
    "text\n"
    "test.conf:3: [host] reload: 'no' is neither 'true' nor 'false'");
  assert_problems (utf16, sizeof utf16 - 1,
                   "test.conf:1: the line has a NUL byte in it; a keyfile is UTF-8 text");
}

static void
test_missing (void)
{
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autofree char *file = g_build_filename (folder, "none.conf", NULL);
  g_autoptr (RaddleConfig) missing = raddle_config_load (file, NULL, problems);
  g_autoptr (RaddleConfig) directory = raddle_config_load (folder, NULL, problems);
  g_autoptr (RaddleConfig) endless = raddle_config_load ("/dev/zero", NULL, problems);
  const RaddleProblem *problem;
  g_autofree char *text = NULL;

  g_assert_true (missing != NULL && directory != NULL && endless != NULL);
  g_assert_cmpuint (problems->len, ==, 3);
  problem = problems->pdata[0];
  g_assert_cmpstr (problem->file, ==, file);
  g_assert_cmpuint (problem->line, ==, 0);
  g_assert_cmpstr (problem->message, ==, "cannot be read: No such file or directory");
  problem = problems->pdata[1];
  g_assert_cmpstr (problem->message, ==, "cannot be read: Is a directory");
  text = raddle_problem_to_text (problems->pdata[2]);
  g_assert_cmpstr (text, ==, "/dev/zero: is longer than 1 MiB, too long for a keyfile");
}

static void
test_defaults (void)
{
  g_autoptr (RaddleConfig) config = raddle_config_new_default ();
  g_autoptr (RaddleConfig) empty = load_good ("", NULL);
  g_autoptr (RaddleHandlerConfig) handler = raddle_handler_config_new ("x");
  g_autofree char *working = g_get_current_dir ();

  g_assert_null (config->file);
  g_assert_cmpstr (config->folder, ==, working);
  g_assert_cmpstr (empty->folder, ==, folder);
  g_assert_cmpuint (empty->threads, ==, 0);
  g_assert_cmpuint (empty->max_threads, ==, 64);
  g_assert_true (empty->reload);
  g_assert_cmpuint (empty->plugin_path->len, ==, 0);
  g_assert_cmpuint (empty->models->len + empty->handlers->len, ==, 0);

  g_assert_cmpstr (handler->plugin, ==, "x");
  g_assert_true (handler->enabled);
  g_assert_cmpuint (handler->events, ==, G_MAXUINT32);
  g_assert_false (handler->has_delivery);
  g_assert_cmpint (handler->delivery, ==, RADDLE_DELIVERY_AWAITED);
  g_assert_cmpint (handler->lane.overflow, ==, RADDLE_OVERFLOW_BLOCK);
  g_assert_cmpuint (handler->lane.max_events, ==, 4096);
  g_assert_cmpuint (handler->lane.max_bytes, ==, 8 << 20);
  g_assert_cmpint (handler->lane.timeout, ==, 30 * G_USEC_PER_SEC);
  g_assert_cmpint (handler->lane.on_error, ==, RADDLE_ON_ERROR_LOG);
  g_assert_cmpuint (handler->lane.breaker, ==, 5);
  g_assert_cmpint (handler->lane.breaker_wait, ==, 30 * G_USEC_PER_SEC);
  g_assert_cmpint (handler->isolation, ==, RADDLE_ISOLATION_NONE);
}

static const char good_file[] = "\xef\xbb\xbf# a comment\r\n"
                                "[host]\r\n"
                                "plugin-path = plugins ; /abs; ~/mine \r\n"
                                "threads=2\r\n"
                                "max-threads=8\r\n"
                                "reload=false\r\n"
                                "\r\n"
                                "[model default]\n"
                                "provider=anthropic\n"
                                "model=claude-3-sonnet-20240229\n"
                                "max-tokens=25\n"
                                "base-url=http://127.0.0.1:8080/x/\n"
                                "api-key-env=MY_KEY\n"
                                "temperature=0.5\n"
                                "top-p=1\n"
                                "stop=\\n\\nHuman:;END\n"
                                "system=Be\\sbrief.\\n\n"
                                "connect-timeout=1s\n"
                                "first-byte-timeout=2min\n"
                                "idle-timeout=1.5min\n"
                                "retries=5\n"
                                "retry-delay=100ms\n"
                                "\n"
                                "[model tape]\n"
                                "provider=cassette\n"
                                "file=tapes/joke.json\n"
                                "speed=0\n"
                                "[model plain]\n"
                                "provider=anthropic\n"
                                "model=m\n"
                                "stream=false\n"
                                "\n"
                                "[handler audit]\n"
                                "plugin=jsonl\n"
                                "events=llm-start;llm-end\n"
                                "delivery=detached\n"
                                "overflow=coalesce\n"
                                "queue-length=10\n"
                                "queue-bytes=1K\n"
                                "timeout=100ms\n"
                                "on-error=disable\n"
                                "breaker=0\n"
                                "breaker-wait=1ms\n"
                                "isolation=none\n"
                                "only-names=a;b\n"
                                "only-tags=c\n"
                                "only-kinds=llm;tool\n"
                                "roots-only=true\n"
                                "path=audit.jsonl\n"
                                "[handler tokens]\n"
                                "enabled=false";

static void
check_models (const RaddleConfig *config)
{
  const RaddleModelConfig *model = raddle_config_find_model (config, "default");
  const RaddleModelConfig *plain = raddle_config_find_model (config, "plain");
  const RaddleModelConfig *tape = raddle_config_find_model (config, "tape");
  g_autofree char *file = g_build_filename (folder, "tapes/joke.json", NULL);

  g_assert_cmpuint (config->models->len, ==, 3);
  g_assert_null (raddle_config_find_model (config, "other"));
  g_assert_cmpstr (model->provider, ==, "anthropic");
  g_assert_cmpstr (model->model, ==, "claude-3-sonnet-20240229");
  g_assert_cmpint (model->max_tokens, ==, 25);
  g_assert_cmpstr (model->base_url, ==, "http://127.0.0.1:8080/x");
  g_assert_cmpstr (model->api_key_env, ==, "MY_KEY");
  g_assert_true (model->has_temperature && model->has_top_p);
  g_assert_cmpfloat (model->temperature, ==, 0.5);
  g_assert_cmpfloat (model->top_p, ==, 1);
  g_assert_cmpstr (model->stop[0], ==, "\n\nHuman:");
  g_assert_cmpstr (model->stop[1], ==, "END");
  g_assert_null (model->stop[2]);
  g_assert_cmpstr (model->system, ==, "Be brief.\n");
  g_assert_cmpint (model->connect_timeout, ==, G_USEC_PER_SEC);
  g_assert_cmpint (model->first_byte_timeout, ==, 120 * G_USEC_PER_SEC);
  g_assert_cmpint (model->idle_timeout, ==, 90 * G_USEC_PER_SEC);
  g_assert_cmpint (model->retries, ==, 5);
  g_assert_cmpint (model->retry_delay, ==, 100000);

  g_assert_cmpstr (tape->file, ==, file);
  g_assert_cmpfloat (tape->speed, ==, 0);

  g_assert_cmpstr (plain->base_url, ==, "https://api.anthropic.com");
  g_assert_cmpstr (plain->api_key_env, ==, "ANTHROPIC_API_KEY");
  g_assert_cmpint (plain->max_tokens, ==, 1024);
  g_assert_cmpint (plain->connect_timeout, ==, 10 * G_USEC_PER_SEC);
  g_assert_cmpint (plain->first_byte_timeout, ==, 600 * G_USEC_PER_SEC);
  g_assert_cmpint (plain->idle_timeout, ==, 120 * G_USEC_PER_SEC);
  g_assert_cmpint (plain->retries, ==, 2);
  g_assert_cmpint (plain->retry_delay, ==, 500000);
  g_assert_false (plain->has_temperature || plain->has_top_p);
  g_assert_true (plain->stop == NULL && plain->system == NULL);
}

static void
check_handlers (const RaddleConfig *config)
{
  const RaddleHandlerConfig *audit = raddle_config_find_handler (config, "audit");
  const RaddleHandlerConfig *tokens = raddle_config_find_handler (config, "tokens");

  g_assert_cmpuint (config->handlers->len, ==, 2);
  g_assert_null (raddle_config_find_handler (config, "other"));
  g_assert_cmpstr (audit->plugin, ==, "jsonl");
  g_assert_cmpuint (audit->events, ==,
                    1u << RADDLE_EVENT_LLM_START | 1u << RADDLE_EVENT_LLM_END);
  g_assert_true (audit->has_delivery);
  g_assert_cmpint (audit->delivery, ==, RADDLE_DELIVERY_DETACHED);
  g_assert_cmpint (audit->lane.overflow, ==, RADDLE_OVERFLOW_COALESCE);
  g_assert_cmpuint (audit->lane.max_events, ==, 10);
  g_assert_cmpuint (audit->lane.max_bytes, ==, 1024);
  g_assert_cmpint (audit->lane.timeout, ==, 100000);
  g_assert_cmpint (audit->lane.on_error, ==, RADDLE_ON_ERROR_DISABLE);
  g_assert_cmpuint (audit->lane.breaker, ==, 0);
  g_assert_cmpint (audit->lane.breaker_wait, ==, 1000);
  g_assert_nonnull (audit->filter);
  g_assert_null (tokens->filter);
  g_assert_true (raddle_handler_config_has_key (audit, "timeout"));
  g_assert_true (raddle_handler_config_has_key (audit, "path"));
  g_assert_false (raddle_handler_config_has_key (audit, "enabled"));
  g_assert_cmpuint (audit->group->line, ==, 33);

  g_assert_cmpstr (tokens->plugin, ==, "tokens");
  g_assert_false (tokens->enabled);
}

static void
test_good (void)
{
  g_autoptr (RaddleConfig) config = load_good (good_file, NULL);
  g_autofree char *plugins = g_build_filename (folder, "plugins", NULL);
  g_autofree char *mine = g_build_filename (g_get_home_dir (), "mine", NULL);

  g_assert_cmpuint (config->plugin_path->len, ==, 3);
  g_assert_cmpstr (config->plugin_path->pdata[0], ==, plugins);
  g_assert_cmpstr (config->plugin_path->pdata[1], ==, "/abs");
  g_assert_cmpstr (config->plugin_path->pdata[2], ==, mine);
  g_assert_cmpuint (config->threads, ==, 2);
  g_assert_cmpuint (config->max_threads, ==, 8);
  g_assert_false (config->reload);
  check_models (config);
  check_handlers (config);
}

static void
test_choices (void)
{
  static const struct
  {
    const char *key, *words;
  } keys[] = {
    { "delivery", "awaited inline lockstep detached" },
    { "overflow", "block coalesce drop-oldest drop-newest" },
    { "on-error", "log raise disable" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_auto (GStrv) words = g_strsplit (keys[i].words, " ", -1);

      for (guint j = 0; words[j] != NULL; j++)
        {
          g_autofree char *data =
            g_strdup_printf ("[handler a]\n%s=%s\n", keys[i].key, words[j]);
          g_autoptr (RaddleConfig) config = load_good (data, NULL);
          const RaddleHandlerConfig *handler = raddle_config_find_handler (config, "a");
          const guint values[] = { handler->delivery, handler->lane.overflow,
                                   handler->lane.on_error };

          g_assert_cmpuint (values[i], ==, j);
        }
    }
}

static void
test_overrides (void)
{
  static const char * const overrides[] = { "host.threads=3",
                                           "host.threads=4",
                                           "model tape.speed=1.5",
                                           "model.default.model=m=x",
                                           "handler.audit.path=other.jsonl",
                                           "handler.new.plugin=jsonl",
                                           "model.gpt-4.1.provider=cassette",
                                           "model.gpt-4.1.file=here",
                                           NULL };
  g_autoptr (RaddleConfig) config = load_good (good_file, overrides);
  const RaddleKeyfileEntry *path =
    raddle_keyfile_group_find (raddle_config_find_handler (config, "audit")->group,
                               "path");
  g_autofree char *working = g_get_current_dir ();
  g_autofree char *here = g_build_filename (working, "here", NULL);

  g_assert_cmpuint (config->threads, ==, 4);
  g_assert_cmpfloat (raddle_config_find_model (config, "tape")->speed, ==, 1.5);
  g_assert_cmpstr (raddle_config_find_model (config, "default")->model, ==, "m=x");
  g_assert_cmpstr (raddle_config_find_model (config, "gpt-4.1")->file, ==, here);
  g_assert_cmpstr (raddle_config_find_handler (config, "new")->plugin, ==, "jsonl");
  g_assert_cmpstr (path->value, ==, "other.jsonl");
  g_assert_cmpuint (path->line, ==, 0);
}

static void
test_bad_overrides (void)
{
  static const char * const overrides[] = {
    "hunter2",           "threads=1",
    "host.=1",           ".threads=1",
    "host.thread=1",     "host.reload=no",
    "zebra.x=1",         "model.a.api-key=hunter2",
    "host.threads=\xff", "model.a.provider=cassette",
    "model.a.file=x",    NULL
  };
  static const char form[] = "--set: what follows is not of the form GROUP.KEY=VALUE\n";
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (RaddleConfig) config =
    load_bytes ("[host]\nmax-threads=x\n", -1, overrides, problems);
  g_autofree char *text = take_text (problems);
  g_autofree char *expected = g_strconcat (
    "test.conf:2: [host] max-threads: 'x' is not a whole number\n", form, form, form,
    form,
    "--set: [host] threads: the value is not UTF-8 text without control characters\n"
    "--set: [host] thread: unknown key; did you mean 'threads'?\n"
    "--set: [host] reload: 'no' is neither 'true' nor 'false'\n"
    "--set: [zebra]: unknown group; there are [host], [model NAME] and [handler NAME]\n"
    "--set: [model a] api-key: a key never stands in the keyfile; put it into an "
    "environment variable and name that with api-key-env, or into a file and name that "
    "with key-file",
    NULL);

  g_assert_nonnull (config);
  g_assert_cmpstr (text, ==, expected);
}

static const RaddleOption plugin_options[] = {
  { "path", RADDLE_OPTION_PATH, NULL, "Where it writes", NULL },
  { "flush", RADDLE_OPTION_BOOL, "true", NULL, NULL },
  { "token", RADDLE_OPTION_SECRET, "", NULL, NULL },
};

static void
test_apply (void)
{
  static const char * const overrides[] = { "handler.b.path=x", NULL };
  g_autoptr (RaddleConfig) config = load_good (
    "[handler a]\nplugin=jsonl\npath=sub/x\ntimeout=1s\n[handler b]\nflush=false\n",
    overrides);
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  g_autoptr (RaddleSettings) a = NULL;
  g_autoptr (RaddleSettings) b = NULL;
  g_autofree char *path_a = g_build_filename (folder, "sub/x", NULL);
  g_autofree char *working = g_get_current_dir ();
  g_autofree char *path_b = g_build_filename (working, "x", NULL);

  g_assert_true (raddle_handler_config_apply (raddle_config_find_handler (config, "a"),
                                              plugin_options,
                                              G_N_ELEMENTS (plugin_options), "jsonl", &a,
                                              config, problems));
  g_assert_true (raddle_handler_config_apply (raddle_config_find_handler (config, "b"),
                                              plugin_options,
                                              G_N_ELEMENTS (plugin_options), "jsonl", &b,
                                              config, problems));
  g_assert_cmpstr (raddle_settings_get_string (a, "path"), ==, path_a);
  g_assert_true (raddle_settings_get_boolean (a, "flush"));
  g_assert_false (raddle_settings_get_kind (a, "timeout", NULL));
  g_assert_cmpstr (raddle_settings_get_string (b, "path"), ==, path_b);
  g_assert_false (raddle_settings_get_boolean (b, "flush"));
}

static void
test_bad_apply (void)
{
  static const RaddleOption clash = { "timeout", RADDLE_OPTION_INT, "1", NULL, NULL };
  g_autoptr (RaddleConfig) config =
    load_good ("[handler a]\npth=x\nflush=1\ndelivry=inline\ntoken=hunter2\nzebra=1\n",
               NULL);
  g_autoptr (RaddleHandlerConfig) unmentioned = raddle_handler_config_new ("u");
  g_autoptr (GPtrArray) problems = raddle_problems_new ();
  RaddleSettings *settings = NULL;
  g_autofree char *text = NULL;

  g_assert_false (raddle_handler_config_apply (raddle_config_find_handler (config, "a"),
                                               plugin_options,
                                               G_N_ELEMENTS (plugin_options), "jsonl",
                                               &settings, config, problems));
  g_assert_false (raddle_handler_config_apply (unmentioned, plugin_options, 1, "u",
                                               &settings, config, problems));
  g_assert_false (raddle_handler_config_apply (unmentioned, &clash, 1, "u", &settings,
                                               config, problems));
  g_assert_null (settings);
  raddle_problems_sort (problems);
  text = take_text (problems);
  g_assert_cmpstr (
    text, ==,
    "[handler u] path: must be given: the plugin 'u' has no default for it (Where it "
    "writes)\n"
    "[handler u] plugin: the plugin 'u' has a setting named 'timeout', which is a key of "
    "Raddle's own; it must be renamed\n"
    "test.conf:1: [handler a] path: must be given: the plugin 'a' has no default for it "
    "(Where it writes)\n"
    "test.conf:2: [handler a] pth: unknown key: neither Raddle nor the plugin 'jsonl' "
    "has a "
    "setting of this name; did you mean 'path'?\n"
    "test.conf:3: [handler a] flush: '1' is neither 'true' nor 'false'\n"
    "test.conf:4: [handler a] delivry: unknown key: neither Raddle nor the plugin "
    "'jsonl' has a "
    "setting of this name; did you mean 'delivery'?\n"
    "test.conf:5: [handler a] token: a secret never stands in the keyfile; write where "
    "it is to "
    "be found: env:VARIABLE or file:PATH\n"
    "test.conf:6: [handler a] zebra: unknown key: neither Raddle nor the plugin 'jsonl' "
    "has a "
    "setting of this name");
}

typedef struct
{
  const char *data;  /* of [handler a] */
  const char *flags; /* of its plugin */
  gboolean has_async_events;
  RaddleDelivery delivery;
  RaddleOverflow overflow;
  const char *problems;
} FitCase;

#define NOT_INLINE                                                                       \
  "does not fit delivery=inline, which has no queue that could overflow; leave overflow " \
  "out, or choose another delivery"
#define NOT_LOCKSTEP                                                                     \
  "does not fit delivery=lockstep, which waits after each event; only block does"
#define NOT_ASYNC "inline does not fit the plugin 'a', which has async events"
#define NOT_DETACHED                                                                     \
  "raise does not fit delivery=detached: nobody waits for the handler, so no run can "   \
  "fail with its error"

static const FitCase fit_cases[] = {
  { "", "", TRUE, RADDLE_DELIVERY_AWAITED, RADDLE_OVERFLOW_BLOCK, "" },
  { "", "thread-safe exclusive", FALSE, RADDLE_DELIVERY_AWAITED, RADDLE_OVERFLOW_BLOCK,
    "" },
  { "", "inline", FALSE, RADDLE_DELIVERY_INLINE, RADDLE_OVERFLOW_BLOCK, "" },
  { "", "lockstep", TRUE, RADDLE_DELIVERY_LOCKSTEP, RADDLE_OVERFLOW_BLOCK, "" },
  { "", "thread-safe detached exclusive coalesce", TRUE, RADDLE_DELIVERY_DETACHED,
    RADDLE_OVERFLOW_COALESCE, "" },
  { "", "drop-oldest", TRUE, RADDLE_DELIVERY_AWAITED, RADDLE_OVERFLOW_DROP_OLDEST, "" },
  { "", "drop-newest", TRUE, RADDLE_DELIVERY_AWAITED, RADDLE_OVERFLOW_DROP_NEWEST, "" },

  /* The keyfile goes before. */
  { "delivery=awaited\n", "inline", TRUE, RADDLE_DELIVERY_AWAITED, RADDLE_OVERFLOW_BLOCK,
    "" },
  { "delivery=lockstep\n", "detached", TRUE, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_OVERFLOW_BLOCK, "" },
  { "overflow=block\n", "drop-newest", TRUE, RADDLE_DELIVERY_AWAITED,
    RADDLE_OVERFLOW_BLOCK, "" },
  { "overflow=drop-oldest\n", "detached coalesce", TRUE, RADDLE_DELIVERY_DETACHED,
    RADDLE_OVERFLOW_DROP_OLDEST, "" },
  { "delivery=inline\n", "coalesce", FALSE, RADDLE_DELIVERY_INLINE,
    RADDLE_OVERFLOW_BLOCK, "" },
  { "delivery=lockstep\noverflow=block\n", "coalesce", FALSE, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_OVERFLOW_BLOCK, "" },

  /* What the two do not agree on. */
  { "delivery=inline\n", "", TRUE, RADDLE_DELIVERY_INLINE, RADDLE_OVERFLOW_BLOCK,
    "test.conf:2: [handler a] delivery: " NOT_ASYNC },
  { "overflow=coalesce\n", "inline", FALSE, RADDLE_DELIVERY_INLINE,
    RADDLE_OVERFLOW_COALESCE, "test.conf:2: [handler a] overflow: " NOT_INLINE },
  { "overflow=block\n", "inline", FALSE, RADDLE_DELIVERY_INLINE, RADDLE_OVERFLOW_BLOCK,
    "test.conf:2: [handler a] overflow: " NOT_INLINE },
  { "overflow=drop-oldest\n", "lockstep", FALSE, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_OVERFLOW_DROP_OLDEST, "test.conf:2: [handler a] overflow: " NOT_LOCKSTEP },
  { "on-error=raise\n", "lockstep", FALSE, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_OVERFLOW_BLOCK, "" },
  { "on-error=raise\n", "detached", FALSE, RADDLE_DELIVERY_DETACHED,
    RADDLE_OVERFLOW_BLOCK, "test.conf:2: [handler a] on-error: " NOT_DETACHED },
  { "delivery=lockstep\n", "drop-newest", FALSE, RADDLE_DELIVERY_LOCKSTEP,
    RADDLE_OVERFLOW_DROP_NEWEST,
    "test.conf:2: [handler a] delivery: the plugin 'a' asks for overflow=drop-newest, "
    "which " NOT_LOCKSTEP "; write overflow=block as well" },
  { "overflow=coalesce\n", "inline", TRUE, RADDLE_DELIVERY_INLINE,
    RADDLE_OVERFLOW_COALESCE,
    "test.conf:1: [handler a] delivery: " NOT_ASYNC "\n"
    "test.conf:2: [handler a] overflow: " NOT_INLINE },
};

static void
test_fit (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (fit_cases); i++)
    {
      const FitCase *fit = &fit_cases[i];
      g_autofree char *data = g_strconcat ("[handler a]\n", fit->data, NULL);
      g_auto (GStrv) flags = g_strsplit (fit->flags, " ", -1);
      g_autoptr (RaddleConfig) config = load_good (data, NULL);
      g_autoptr (GPtrArray) problems = raddle_problems_new ();
      g_autofree char *text = NULL;
      RaddleDelivery delivery;
      RaddleOverflow overflow;

      raddle_handler_config_fit_plugin (raddle_config_find_handler (config, "a"),
                                        fit->has_async_events,
                                        (const char *const *) flags, &delivery,
                                        &overflow, problems);
      raddle_problems_sort (problems);
      text = take_text (problems);
      g_assert_cmpstr (text, ==, fit->problems);
      g_assert_cmpint (delivery, ==, fit->delivery);
      g_assert_cmpint (overflow, ==, fit->overflow);
    }
}

/* What the keyfile gets wrong by itself is told once. */
static void
test_told_once (void)
{
  static const char *const datas[] = {
    "[handler a]\ndelivery=inline\noverflow=coalesce\n",
    "[handler a]\ndelivery=inline\noverflow=block\n",
    "[handler a]\ndelivery=lockstep\noverflow=drop-oldest\n",
    "[handler a]\ndelivery=detached\non-error=raise\n",
  };
  static const char *const flags[] = { "coalesce", NULL };

  for (guint i = 0; i < G_N_ELEMENTS (datas); i++)
    {
      g_autoptr (GPtrArray) problems = raddle_problems_new ();
      g_autoptr (RaddleConfig) config = load_bytes (datas[i], -1, NULL, problems);
      RaddleDelivery delivery;
      RaddleOverflow overflow;

      g_assert_cmpuint (problems->len, ==, 1);
      raddle_handler_config_fit_plugin (raddle_config_find_handler (config, "a"), FALSE,
                                        flags, &delivery, &overflow, problems);
      g_assert_cmpuint (problems->len, ==, 1);
    }
}

static void
test_nearest (void)
{
  static const char * const names[] = { "provider", "model", "max-tokens", "stop", NULL };

  g_assert_cmpstr (raddle_nearest_name ("provdier", names), ==, "provider");
  g_assert_cmpstr (raddle_nearest_name ("MAX_TOKENS", names), ==, "max-tokens");
  g_assert_cmpstr (raddle_nearest_name ("modle", names), ==, "model");
  g_assert_cmpstr (raddle_nearest_name ("stops", names), ==, "stop");
  g_assert_null (raddle_nearest_name ("zebra", names));
  g_assert_null (raddle_nearest_name ("", names));
  g_assert_null (raddle_nearest_name ("s", names));
}

/* What GKeyFile takes without a group twice is read as GKeyFile reads it. */
static void
compare_with_glib (const char *data,
                   gsize length)
{
  g_autoptr (GKeyFile) theirs = g_key_file_new ();
  g_autoptr (RaddleKeyfile) ours = raddle_keyfile_new ("x");
  g_autoptr (GPtrArray) problems = raddle_problems_new ();

  raddle_keyfile_scan (ours, data, length, problems);
  if (problems->len > 0 || length == 0 ||
      !g_key_file_load_from_data (theirs, data, length, G_KEY_FILE_NONE, NULL))
    return;

  for (guint i = 0; i < ours->groups->len; i++)
    {
      const RaddleKeyfileGroup *group = ours->groups->pdata[i];

      for (guint j = 0; j < group->entries->len; j++)
        {
          const RaddleKeyfileEntry *entry = group->entries->pdata[j];
          g_autofree char *value =
            g_key_file_get_value (theirs, group->name, entry->key, NULL);

          if (raddle_keyfile_find (ours, group->name) == group && value != NULL &&
              ours->groups->len == 1)
            g_assert_cmpstr (g_strchomp (value), ==, entry->value);
        }
    }
}

static void
test_random (void)
{
  static const char * const pieces[] = {
    "[host]",
    "[model a]",
    "[handler x]",
    "[",
    "]",
    "=",
    "\n",
    "\n",
    "\r\n",
    ";",
    "\\",
    " ",
    "#",
    "threads=1",
    "provider=cassette",
    "file=x",
    "events=llm-end;",
    "delivery=inline",
    "\xff",
    "\xef\xbb\xbf",
    "\t",
    "a",
    "stop=a\\;b;",
    "overflow=coalesce",
    "timeout=1s",
    "\x01",
  };

  for (guint i = 0; i < 3000; i++)
    {
      g_autoptr (GString) data = g_string_new (NULL);
      g_autoptr (GPtrArray) problems = raddle_problems_new ();
      g_autoptr (RaddleConfig) config = NULL;
      g_autofree char *text = NULL;
      guint n_pieces = g_test_rand_int_range (0, 40);

      for (guint j = 0; j < n_pieces; j++)
        if (g_test_rand_int_range (0, 8) == 0)
          g_string_append_c (data, g_test_rand_int_range (0, 256));
        else
          g_string_append (data,
                           pieces[g_test_rand_int_range (0, G_N_ELEMENTS (pieces))]);

      compare_with_glib (data->str, data->len);
      if (i % 10 != 0)
        continue;
      config = load_bytes (data->str, data->len, NULL, problems);
      text = raddle_problems_to_text (problems);
      g_assert_true (g_utf8_validate (text, -1, NULL));
    }
}

/* What a keyfile may leave out; a key goes only where it belongs. */
static void
test_providers (void)
{
  static const struct
  {
    const char *lines;
    const char *base_url;
    const char *api_key_env;
  } models[] = {
    { "provider=openai", "https://api.openai.com/v1", "OPENAI_API_KEY" },
    { "provider=openai-responses", "https://api.openai.com/v1", "OPENAI_API_KEY" },
    { "provider=ollama", "http://localhost:11434", NULL },
    { "provider=openai\nbase-url=http://localhost:8080/v1/", "http://localhost:8080/v1",
      NULL },
    { "provider=ollama\napi-key-env=OLLAMA_KEY", "http://localhost:11434", "OLLAMA_KEY" },
    { "provider=anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (models); i++)
    {
      g_autofree char *text = g_strdup_printf (
        "[model a]\nmodel=m\nstream=false\nextra={\"seed\":1}\nmax-tokens=4096\n"
        "thinking-budget=2048\n%s\n",
        models[i].lines);
      g_autoptr (RaddleConfig) config = load_good (text, NULL);
      const RaddleModelConfig *model = raddle_config_find_model (config, "a");

      g_assert_cmpstr (model->base_url, ==, models[i].base_url);
      g_assert_cmpstr (model->api_key_env, ==, models[i].api_key_env);
      g_assert_false (model->stream);
      g_assert_cmpint (model->thinking_budget, ==, 2048);
      g_assert_cmpint (json_object_get_int_member (model->extra, "seed"), ==, 1);
    }
}

int
main (int argc,
      char **argv)
{
  g_autofree char *file = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("raddle-config-XXXXXX", NULL);
  file = g_build_filename (folder, "test.conf", NULL);

  g_test_add_func ("/config/bad", test_bad);
  g_test_add_func ("/config/many", test_many);
  g_test_add_func ("/config/bytes", test_bytes);
  g_test_add_func ("/config/missing", test_missing);
  g_test_add_func ("/config/defaults", test_defaults);
  g_test_add_func ("/config/good", test_good);
  g_test_add_func ("/config/choices", test_choices);
  g_test_add_func ("/config/overrides", test_overrides);
  g_test_add_func ("/config/overrides/bad", test_bad_overrides);
  g_test_add_func ("/config/apply", test_apply);
  g_test_add_func ("/config/apply/bad", test_bad_apply);
  g_test_add_func ("/config/fit", test_fit);
  g_test_add_func ("/config/told-once", test_told_once);
  g_test_add_func ("/config/nearest", test_nearest);
  g_test_add_func ("/config/providers", test_providers);
  g_test_add_func ("/config/random", test_random);
  status = g_test_run ();

  g_unlink (file);
  g_rmdir (folder);
  g_free (folder);

  return status;
}
