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

/* A handler that answers later. */
class Patient : Raddle.Handler {
	public string log = "";
	public int open = 0;

	public Patient (string name) {
		Object (name: name);
	}

	public override bool setup () throws Error {
		log = "setup";
		return true;
	}

	public override async bool event_async (Raddle.Event event, Cancellable? cancellable)
			throws Error {
		log += " " + event.get_event_type ().get_nick ();
		open++;
		Timeout.add (5, event_async.callback);
		yield;
		open--;
		if (event.get_text () == "bad")
			throw new Raddle.Error.FAILED ("a bad word");
		return true;
	}
}

/* A handler on a thread of the pool. */
class Writer : Raddle.Handler {
	public string log = "";

	public Writer (string name) {
		Object (name: name, delivery: Raddle.Delivery.AWAITED);
	}

	public override bool event (Raddle.Event event) throws Error {
		log += "%s(%s) ".printf (event.get_event_type ().get_nick (),
			string.joinv (",", event.get_tags ()));
		return true;
	}
}

const string NOTES = "Blue wool, 12.50 in May\nRed wool, 9.25 in June\n";

/* A sync tool: in a thread of its own. */
class FindNotes : Raddle.Tool {
	public unowned Thread<void*> thread;

	public FindNotes () throws Error {
		Object (name: "find_notes", description: "Finds notes",
			schema: Json.from_string ("{\"type\":\"object\",\"required\":[\"word\"]}"));
	}

	public override Json.Node? call (Json.Node arguments, Raddle.Run run,
			Cancellable? cancellable) throws Error {
		thread = Thread.self<void*> ();
		assert (Raddle.Run.dup_current () == run);
		run.new_child (Raddle.RunKind.RETRIEVER, "notes", null).end (null);
		return new Json.Node.alloc ().init_string (NOTES);
	}
}

/* An async one: on the loop. */
class Add : Raddle.Tool {
	public Add () {
		Object (name: "add");
	}

	public override async Json.Node? call_async (Json.Node arguments, Raddle.Run run,
			Cancellable? cancellable) throws Error {
		double sum = 0;
		Idle.add (call_async.callback);
		yield;
		foreach (var number in arguments.get_object ().get_array_member ("numbers").get_elements ())
			sum += number.get_double ();
		return new Json.Node.alloc ().init_double (sum);
	}
}

async void wait_patiently (Raddle.Host host) throws Error {
	var patient = new Patient ("patient");
	host.add_handler (patient);
	var run = host.start_run (Raddle.RunKind.LLM, "run", null);
	yield run.settle_async (null);
	assert (patient.open == 0 && patient.log == "setup llm-start");
	run.emit_token ("bad");
	run.end (new Json.Node.alloc ().init_string ("good"));
	yield run.settle_async (null);
	assert (patient.open == 0 && patient.log == "setup llm-start llm-new-token llm-end");
	assert (patient.get_n_failures () == 1);
	host.remove_handler (patient);
}

async void use_scopes (Raddle.Host host) throws Error {
	var own = new Writer ("own");
	var tree = new Writer ("tree");
	var scope = new Raddle.Scope ();
	scope.add_handler (own, Raddle.Reach.RUN);
	scope.add_handler (tree, Raddle.Reach.TREE);
	scope.add_tag ("nightly", Raddle.Reach.TREE);
	scope.add_tag ("first", Raddle.Reach.RUN);
	assert (scope.dup_handlers (Raddle.Reach.TREE)[0] == tree);
	assert (scope.dup_tags (Raddle.Reach.TREE).length == 1);

	var chain = host.start_run_with_scope (Raddle.RunKind.CHAIN, "chain", null, scope);
	chain.push_current ();
	var tool = host.start_run (Raddle.RunKind.TOOL, "tool", null);
	chain.pop_current ();
	assert (tool.get_parent_id () == chain.get_id ());
	tool.end (null);
	chain.end (null);
	yield chain.settle_async (null);

	assert (own.log == "chain-start(nightly,first) chain-end(nightly,first) ");
	assert (tree.log == "chain-start(nightly,first) tool-start(nightly) " +
		"tool-end(nightly) chain-end(nightly,first) ");
}

async void use_thread (Raddle.Host host) throws Error {
	var chain = host.start_run (Raddle.RunKind.CHAIN, "chain", null);
	var output = yield chain.thread_async ((run, cancellable) => {
		var tool = host.start_run (Raddle.RunKind.TOOL, "tool", null);
		tool.end (null);
		return new Json.Node.alloc ().init_string (tool.get_parent_id ());
	}, null);
	assert (output.get_string () == chain.get_id ());
	chain.end (null);
}

async void use_stream (Raddle.Host host) throws Error {
	var run = host.start_run (Raddle.RunKind.LLM, "run", null);
	var stream = new Raddle.Stream.for_run (run);
	var text = new StringBuilder ();
	Raddle.Event? event;
	host.add_handler (stream.get_handler ());
	run.emit_tokens ({ "a", "b", "c" });
	run.end (null);
	while ((event = yield stream.next_async (null)) != null)
		if (event.get_event_type () == Raddle.EventType.LLM_NEW_TOKEN)
			text.append (event.get_text ());
	assert (text.str == "abc");
}

async void run_agent (Raddle.Host host) throws Error {
	var collector = new Raddle.Collector ();
	var notes = new FindNotes ();
	var agent = new Raddle.Agent (host, host.dup_cassette (
		Environment.get_variable ("RADDLE_TEST_AGENT_CASSETTE"), 0));
	var request = new Raddle.Request ();
	host.add_handler (collector.get_handler ());
	agent.add_tool (notes);
	agent.add_tool (new Add ());
	request.add_message ("user", "What did the wool cost altogether?");

	var answer = yield agent.run_async (request, null);
	assert (answer.get_text () == "The wool cost 21.75 altogether.");
	assert (notes.thread != Thread.self<void*> ());
	var tree = collector.to_json ().get_array ().get_object_element (0);
	assert (tree.get_string_member ("outcome") == "complete");
	var tool = tree.get_array_member ("children").get_object_element (1);
	assert (tool.get_string_member ("outputs") == NOTES);
	assert (tool.get_array_member ("children").get_length () == 1);
	var root = (Raddle.RunNode) collector.list_runs ().get_item (0);
	assert (root.list_children ().get_n_items () == 5);
}

async void use_function (Raddle.Host host) throws Error {
	var agent = new Raddle.Agent (host, host.dup_cassette (
		Environment.get_variable ("RADDLE_TEST_AGENT_CASSETTE"), 0));
	var request = new Raddle.Request ();
	var errors = new GenericArray<string> ();
	var listener = new Raddle.Listener ();
	listener.event["tool-error"].connect ((event) => {
		errors.add (event.get_error ().message);
	});
	host.add_handler (listener.get_handler ());
	agent.add_tool (new Raddle.Tool ("find_notes", null, null, (tool, arguments, run) => {
		throw new Raddle.Error.FAILED ("out of ink");
	}));
	request.add_message ("user", "What did the wool cost altogether?");

	yield agent.run_async (request, null);
	while (errors.length < 2)
		MainContext.default ().iteration (true);
	assert (errors[0] == "out of ink" && errors[1] == "There is no tool 'add'");
}

Raddle.Host make_host () throws Error {
	var host = new Raddle.Host ();
	host.set_use_keyfile (false);
	host.set_use_plugins (false);
	host.start ();
	return host;
}

async void use_more () throws Error {
	var host = make_host ();
	yield wait_patiently (host);
	yield use_scopes (host);
	yield use_thread (host);
	yield use_stream (host);
	yield run_agent (host);
	yield use_function (host);
	assert (yield host.close_async (null));
}

async void use_all () throws Error {
	var host = make_host ();
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
	yield use_more ();
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
