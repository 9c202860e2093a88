// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The library as a program in Vala sees it: a host, a run, a model call, a handler.

const string JOKE = "Why does the main loop never get any sleep?\n\n" +
	"Because someone is always polling its leg.";

StringBuilder heard;
Raddle.EventType[] seen;

bool listen (Raddle.Handler handler, Raddle.Event event) throws Error {
	seen += event.get_event_type ();
	if (event.get_event_type () == Raddle.EventType.LLM_NEW_TOKEN)
		heard.append (event.get_text ());
	return true;
}

async void by_hand (Raddle.Host host) throws Error {
	var run = host.start_run (Raddle.RunKind.LLM, "by hand", null);
	assert (run.emit_tokens ({ "a", "b" }));
	assert (run.end (null));
	assert (yield run.settle_async (null));
	assert (heard.str == "ab");
	assert (run.get_outcome () == Raddle.Outcome.COMPLETE);

	try {
		run.emit_token ("c");
		assert_not_reached ();
	} catch (Raddle.Error error) {
		assert (error is Raddle.Error.CLOSED);
	}
}

async void generate (Raddle.Host host) throws Error {
	var model = host.dup_cassette (Environment.get_variable ("RADDLE_TEST_CASSETTE"), 0);
	var request = new Raddle.Request ();
	request.add_message ("user", "Tell me a joke");
	heard.truncate ();

	var result = yield model.generate_async (request, null);
	assert (result.get_text () == JOKE);
	assert (result.get_usage ().source == Raddle.UsageSource.REPORTED);
	assert (heard.str == JOKE);
}

async void use_all () throws Error {
	var host = new Raddle.Host ();
	host.set_use_keyfile (false);
	host.set_use_plugins (false);
	host.start ();
	var handler = new Raddle.Handler.with_func ("listener",
		{ Raddle.EventType.LLM_START, Raddle.EventType.LLM_NEW_TOKEN }, listen);
	host.add_handler (handler);

	yield by_hand (host);
	yield generate (host);

	assert (seen[0] == Raddle.EventType.LLM_START);
	Raddle.HandlerStats stats = handler.get_stats ();
	assert (stats.n_delivered == seen.length);
	assert (handler.state == Raddle.HandlerState.RUNNING);
	assert (yield host.close_async (null));
}

int main () {
	var loop = new MainLoop ();
	int status = 1;

	heard = new StringBuilder ();
	use_all.begin ((object, result) => {
		try {
			use_all.end (result);
			status = 0;
		} catch (Error error) {
			printerr ("%s\n", error.message);
		}
		loop.quit ();
	});
	loop.run ();
	return status;
}
