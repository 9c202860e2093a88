// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The library as a program in JavaScript sees it: a host, runs, model calls, handlers.
// Prints TAP.

imports.gi.versions.Raddle = '1';
imports.gi.versions.Json = '1.0';

const {Gio, GLib, GObject, Json, Raddle} = imports.gi;
const System = imports.system;

Gio._promisify(Raddle.Model.prototype, 'generate_async', 'generate_finish');
Gio._promisify(Raddle.Run.prototype, 'settle_async', 'settle_finish');
Gio._promisify(Raddle.Run.prototype, 'ready_async', 'ready_finish');
Gio._promisify(Raddle.Stream.prototype, 'next_async', 'next_finish');
Gio._promisify(Raddle.Agent.prototype, 'run_async', 'run_finish');
Gio._promisify(Raddle.Host.prototype, 'close_async', 'close_finish');

const CASSETTE = GLib.getenv('RADDLE_TEST_CASSETTE');
const TOP = GLib.getenv('RADDLE_TEST_TOP');
const AGENT_CASSETTE = GLib.getenv('RADDLE_TEST_AGENT_CASSETTE');
const JOKE = 'Why does the main loop never get any sleep?\n\n' +
    'Because someone is always polling its leg.';
const Type = Raddle.EventType;

function assertEqual(actual, expected) {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (a !== b)
        throw new Error(`${a} is not ${b}`);
}

function assertThrows(domain, code, func) {
    try {
        func();
    } catch (error) {
        if (!error.matches || !error.matches(domain, code))
            throw error;
        return;
    }
    throw new Error('nothing was thrown');
}

function makeHost() {
    const host = new Raddle.Host();

    host.set_use_keyfile(false);
    host.set_use_plugins(false);
    host.start();
    return host;
}

// A handler that keeps what it was told. What a callback gets is borrowed in this language,
// too.
function record(host, ...types) {
    const events = [];

    host.add_handler(Raddle.Handler.new_with_func('recorder', types, (handler, event) => {
        events.push(event.ref());
        return true;
    }));
    return events;
}

function nicks(events) {
    return events.map(event => Raddle.event_type_get_nick(event.get_event_type()));
}

function texts(events) {
    return events.map(event => event.get_text());
}

// A class of one's own.
const Counter = GObject.registerClass(class Counter extends Raddle.Handler {
    vfunc_setup() {
        this.log = ['setup'];
        return true;
    }

    vfunc_event(event) {
        this.log.push(event.get_text());
        if (event.get_text() === 'bad')
            throw new GLib.Error(Raddle.Error, Raddle.Error.FAILED, 'a bad word');
        return true;
    }

    vfunc_teardown() {
        this.log.push('teardown');
    }
});

// One that answers later.
const Patient = GObject.registerClass(class Patient extends Raddle.Handler {
    vfunc_setup() {
        this.log = [];
        this.open = 0;
        return true;
    }

    vfunc_event_task(event, task) {
        const bad = event.get_text() === 'bad';
        this.log.push(event.get_text());
        this.open++;
        GLib.timeout_add(GLib.PRIORITY_DEFAULT, 5, () => {
            this.open--;
            if (bad)
                task.return_error(new GLib.Error(Raddle.Error, Raddle.Error.FAILED, 'a bad word'));
            else
                task.return_boolean(true);
            return GLib.SOURCE_REMOVE;
        });
    }
});

// Functions of this language must not be called in threads, so its tools are async.
const NOTES = 'Blue wool, 12.50 in May\nRed wool, 9.25 in June\n';

const FindNotes = GObject.registerClass(class FindNotes extends Raddle.Tool {
    vfunc_call_task(args, run, task) {
        this.word = args.get_object().get_string_member('word');
        this.sameRun = Raddle.Run.dup_current() === run;
        GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
            run.new_child(Raddle.RunKind.RETRIEVER, 'notes', null).end(null);
            this.return_output(task, Json.from_string(JSON.stringify(NOTES)));
            return GLib.SOURCE_REMOVE;
        });
    }
});

const Add = GObject.registerClass(class Add extends Raddle.Tool {
    vfunc_call_task(args, run, task) {
        const numbers = JSON.parse(Json.to_string(args, false)).numbers;
        if (this.name === 'add')
            this.return_output(task, Json.from_string(`${numbers[0] + numbers[1]}`));
        else
            task.return_error(new GLib.Error(Raddle.Error, Raddle.Error.FAILED, 'out of ink'));
    }
});

async function runAgent(host, ...tools) {
    const agent = Raddle.Agent.new(host, host.dup_cassette(AGENT_CASSETTE, 0));
    const request = new Raddle.Request();
    tools.forEach(tool => agent.add_tool(tool));
    request.add_message('user', 'What did the wool cost altogether?');
    return await agent.run_async(request, null);
}

// A stream's events, for `for await`.
async function* eventsOf(stream) {
    for (let event; (event = await stream.next_async(null)) !== null;)
        yield event;
}

const tests = {
    async 'an async handler'(host) {
        const patient = new Patient({name: 'patient'});
        host.add_handler(patient);
        const run = host.start_run(Raddle.RunKind.LLM, 'run', Json.from_string('"Hello"'));
        await run.settle_async(null);
        assertEqual([patient.open, patient.log], [0, ['Hello']]);
        run.emit_token('bad');
        run.end(Json.from_string('"good"'));
        await run.settle_async(null);

        assertEqual([patient.open, patient.log], [0, ['Hello', 'bad', 'good']]);
        assertEqual(patient.get_delivery(), Raddle.Delivery.AWAITED);
        assertEqual(patient.get_n_failures(), 1);
    },

    async 'scopes'(host) {
        const own = new Counter({name: 'own', events: ['chain-start', 'tool-start']});
        const tree = new Counter({name: 'tree', events: ['chain-start', 'tool-start']});
        const scope = new Raddle.Scope();
        scope.add_handler(own, Raddle.Reach.RUN);
        scope.add_handler(tree, Raddle.Reach.TREE);
        scope.add_tag('nightly', Raddle.Reach.TREE);
        scope.add_tag('first', Raddle.Reach.RUN);
        scope.set_metadata('user', Json.from_string('"me"'), Raddle.Reach.TREE);
        assertEqual(scope.dup_handlers(Raddle.Reach.TREE).map(handler => handler.name), ['tree']);
        assertEqual(scope.dup_tags(Raddle.Reach.RUN), ['first']);
        const events = record(host, Type.CHAIN_START, Type.TOOL_START);
        const chain = host.start_run_with_scope(Raddle.RunKind.CHAIN, 'chain',
            Json.from_string('"question"'), scope);
        const tool = chain.new_child(Raddle.RunKind.TOOL, 'tool', null);
        const other = host.start_run(Raddle.RunKind.CHAIN, 'other', null);
        for (const run of [tool, chain, other]) {
            run.end(null);
            await run.settle_async(null);
        }

        assertEqual(own.log, ['setup', 'question', 'teardown']);
        assertEqual(tree.log, ['setup', 'question', null, 'teardown']);
        const tags = Object.fromEntries(
            events.map(event => [event.get_run_name(), event.get_tags()]));
        assertEqual([tags.chain, tags.tool, tags.other],
            [['nightly', 'first'], ['nightly'], []]);
    },

    async 'the current run'(host) {
        const chain = host.start_run(Raddle.RunKind.CHAIN, 'chain', null);
        assertEqual(Raddle.Run.dup_current(), null);
        chain.push_current();
        const tool = host.start_run(Raddle.RunKind.TOOL, 'tool', null);
        assertEqual(Raddle.Run.dup_current() === chain, true);
        chain.pop_current();
        assertEqual(tool.get_parent_id(), chain.get_id());
        assertEqual(Raddle.Run.dup_current(), null);
        tool.end(null);
        chain.end(null);
        await chain.settle_async(null);
    },

    async 'an agent'(host) {
        const collector = new Raddle.Collector();
        const notes = new FindNotes({
            name: 'find_notes',
            description: 'Finds the notes that have a word in them',
            schema: Json.from_string('{"type": "object", "required": ["word"]}'),
        });
        host.add_handler(collector.get_handler());
        const events = record(host, Type.AGENT_ACTION, Type.TOOL_END, Type.AGENT_FINISH);

        const answer = await runAgent(host, notes, new Add({name: 'add'}));

        assertEqual(answer.get_text(), 'The wool cost 21.75 altogether.');
        assertEqual([notes.word, notes.sameRun], ['wool', true]);
        assertEqual(nicks(events),
            ['agent-action', 'tool-end', 'agent-action', 'tool-end', 'agent-finish']);
        assertEqual(events[3].get_data().get_double(), 21.75);
        const [tree] = JSON.parse(Json.to_string(collector.to_json(), false));
        assertEqual([tree.kind, tree.outcome], ['chain', 'complete']);
        assertEqual(tree.children.map(child => child.kind),
            ['llm', 'tool', 'llm', 'tool', 'llm']);
        assertEqual(tree.children[1].children.map(child => [child.kind, child.name]),
            [['retriever', 'notes']]);
        assertEqual(tree.children[1].outputs, NOTES);
        assertEqual(collector.list_runs().get_item(0).list_children().get_n_items(), 5);
    },

    async 'tools that fail'(host) {
        const events = record(host, Type.TOOL_ERROR);
        const answer = await runAgent(host, new Add({name: 'find_notes'}));

        assertEqual(answer.get_text(), 'The wool cost 21.75 altogether.');
        assertEqual(events.map(event => event.get_error().message),
            ['out of ink', "There is no tool 'add'"]);
    },

    async 'a tool that throws'(host) {
        const Thrower = GObject.registerClass(class Thrower extends Raddle.Tool {
            vfunc_call_task() {
                throw new Error('out of paper');
            }
        });
        const events = record(host, Type.TOOL_ERROR);
        const answer = await runAgent(host, new Thrower({name: 'find_notes'}));

        assertEqual(answer.get_text(), 'The wool cost 21.75 altogether.');
        assertEqual(events[0].get_error().message.includes('out of paper'), true);
    },

    async 'an async handler that throws'(host) {
        const Dropper = GObject.registerClass(class Dropper extends Raddle.Handler {
            vfunc_event_task() {
                throw new Error('out of paper');
            }
        });
        const dropper = new Dropper({name: 'dropper'});
        host.add_handler(dropper);
        const run = host.start_run(Raddle.RunKind.CHAIN, 'chain', null);
        run.end(null);
        await run.settle_async(null);

        assertEqual(dropper.get_n_failures(), 2);
    },

    async 'what the pages show'() {
        const page = GLib.build_filenamev([TOP, 'core/docs/writing-a-handler.md']);
        const [, bytes] = GLib.file_get_contents(page);
        const examples = new TextDecoder().decode(bytes).match(/```js\n[^]*?```/g);
        assertEqual(examples.length > 1, true);
        for (const [index, example] of examples.entries()) {
            const lines = example.split('\n').slice(1, -1).join('\n').replace(
                /class (\w+) extends/, `class $1${index} extends`);
            const used = new Function(`${lines}\nreturn host;`)();
            const run = used.start_run(Raddle.RunKind.LLM, 'run', null);
            run.end(null);
            await run.settle_async(null);
            assertEqual(used.list_handlers().get_item(0).state, Raddle.HandlerState.RUNNING);
            assertEqual(used.list_handlers().get_item(0).get_n_failures(), 0);
            assertEqual(await used.close_async(null), true);
        }
    },

    async 'the tool that the pages show'(host) {
        const page = GLib.build_filenamev([TOP, 'core/docs/runs.md']);
        const [, bytes] = GLib.file_get_contents(page);
        const [, example] = new TextDecoder().decode(bytes).match(/```js\n([^]*?)```/);
        const lines = example.replace('class Add extends', 'class ShownAdd extends');
        const tool = new Function(`${lines}\nreturn tool;`)();
        const events = record(host, Type.TOOL_END);

        await runAgent(host, tool);
        assertEqual(events.map(event => event.get_data().get_double()), [21.75]);
    },

    async 'what README.md shows'() {
        const [, bytes] = GLib.file_get_contents(GLib.build_filenamev([TOP, 'README.md']));
        const [, example] = new TextDecoder().decode(bytes).match(/```js\n([^]*?)```/);
        const file = GLib.build_filenamev([GLib.dir_make_tmp(null), 'example.js']);
        GLib.file_set_contents(file, example);
        const program = Gio.Subprocess.new(['gjs', file], Gio.SubprocessFlags.STDOUT_PIPE);
        const [, told] = program.communicate_utf8(null, null);
        GLib.unlink(file);
        GLib.rmdir(GLib.path_get_dirname(file));

        assertEqual(told, `${example.match(/\/\/ (.*)/)[1]}\n`);
    },

    async 'a class of handlers'(host) {
        const counter = new Counter({name: 'counter', events: ['llm-new-token', 'llm-end']});
        host.add_handler(counter);
        const run = host.start_run(Raddle.RunKind.LLM, 'run', null);
        run.emit_tokens(['a', 'bad']);
        run.end(null);
        await run.settle_async(null);
        host.remove_handler(counter);
        while (counter.state !== Raddle.HandlerState.STOPPED)
            GLib.MainContext.default().iteration(true);

        assertEqual(counter.log, ['setup', 'a', 'bad', 'abad', 'teardown']);
        assertEqual(counter.get_n_failures(), 1);
        assertEqual(counter.delivery, Raddle.Delivery.INLINE);
    },

    async 'a listener'(host) {
        const listener = new Raddle.Listener();
        const heard = [];
        let text = '';
        listener.connect('event', (_listener, event) => heard.push(event));
        listener.connect('event::llm-new-token', (_listener, event) => {
            text += event.get_text();
        });
        host.add_handler(listener.get_handler());
        const run = host.start_run(Raddle.RunKind.LLM, 'run', null);
        run.emit_tokens(['a', 'b', 'c']);
        run.end(null);
        System.gc();
        while (heard.every(event => event.get_event_type() !== Type.LLM_END))
            GLib.MainContext.default().iteration(true);

        assertEqual(text, 'abc');
        assertEqual(heard[0].get_event_type(), Type.LLM_START);
        assertEqual(heard[heard.length - 1].get_event_type(), Type.LLM_END);
    },

    async 'a stream'(host) {
        const run = host.start_run(Raddle.RunKind.LLM, 'run', null);
        const stream = Raddle.Stream.new_for_run(run);
        host.add_handler(stream.get_handler());
        run.emit_tokens(['a', 'b', 'c']);
        run.end(null);
        let text = '';
        for await (const event of eventsOf(stream)) {
            if (event.get_event_type() === Type.LLM_NEW_TOKEN)
                text += event.get_text();
        }

        assertEqual(text, 'abc');
    },

    async 'events by hand'(host) {
        const events = record(host, Type.LLM_START, Type.LLM_NEW_TOKEN, Type.LLM_END);
        const run = host.start_run(Raddle.RunKind.LLM, 'by hand', Json.from_string('"Hello"'));

        run.emit_token('a');
        run.emit_tokens(['b', 'ç']);
        run.end(null);
        await run.settle_async(null);
        System.gc();

        assertEqual(nicks(events),
            ['llm-start', 'llm-new-token', 'llm-new-token', 'llm-new-token', 'llm-end']);
        assertEqual(texts(events), ['Hello', 'a', 'b', 'ç', 'abç']);
        assertEqual(events.map(event => event.get_seq()), [0, 1, 2, 3, 4]);
        for (const event of events) {
            assertEqual(event.get_run_id(), run.get_id());
            assertEqual(event.get_run_kind(), Raddle.RunKind.LLM);
            assertEqual(event.get_parent_id(), null);
            assertEqual(event.get_tags(), []);
            assertEqual(event.get_error(), null);
        }
    },

    async 'children and data'(host) {
        const events = record(host, Type.CHAIN_START, Type.TOOL_START, Type.TOOL_END,
            Type.CHAIN_END);
        const chain = host.start_run(Raddle.RunKind.CHAIN, 'chain', null);
        const tool = chain.new_child(Raddle.RunKind.TOOL, 'tool', Json.from_string('{"x": 1}'));

        tool.end(Json.from_string('{"y": 3}'));
        chain.end(null);
        await chain.settle_async(null);

        assertEqual(nicks(events), ['chain-start', 'tool-start', 'tool-end', 'chain-end']);
        assertEqual(events[1].get_parent_id(), chain.get_id());
        assertEqual(events[1].get_data().get_object().get_int_member('x'), 1);
        const told = JSON.parse(Json.to_string(events[2].to_json(), false));
        assertEqual([told.event, told.data], ['tool-end', {y: 3}]);
    },

    async 'a failed run'(host) {
        const events = record(host, Type.TOOL_ERROR);
        const run = host.start_run(Raddle.RunKind.TOOL, 'tool', null);

        run.fail(new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.NOT_FOUND, 'no such thing'));
        await run.settle_async(null);

        assertEqual(events[0].get_outcome(), Raddle.Outcome.ERROR);
        assertEqual(events[0].get_error().message, 'no such thing');
        assertThrows(Raddle.Error, Raddle.Error.CLOSED, () => run.end(null));
    },

    async 'no room'(host) {
        const events = record(host, Type.LLM_NEW_TOKEN);
        const run = host.start_run(Raddle.RunKind.LLM, 'run', null);
        let taken = 0;

        assertThrows(Gio.IOErrorEnum, Gio.IOErrorEnum.WOULD_BLOCK, () => {
            for (;;) {
                run.emit_token('token ');
                taken++;
            }
        });
        await run.ready_async(null);
        run.emit_token('last');
        run.end(null);
        await run.settle_async(null);

        assertEqual(events.length, taken + 1);
        assertEqual(events[taken].get_text(), 'last');
    },

    async 'a handler that throws'(host) {
        const handler = Raddle.Handler.new_with_func('failing', [Type.CHAIN_START], () => {
            throw new GLib.Error(Raddle.Error, Raddle.Error.FAILED, 'out of ink');
        });
        host.add_handler(handler);
        const run = host.start_run(Raddle.RunKind.CHAIN, 'chain', null);
        run.end(null);
        await run.settle_async(null);

        assertEqual(handler.get_n_failures(), 1);
        assertEqual(handler.get_stats().n_failed, 1);
        assertEqual(handler.state, Raddle.HandlerState.RUNNING);
        assertEqual(run.get_outcome(), Raddle.Outcome.COMPLETE);
    },

    async 'a handler that stops the run'(host) {
        host.add_handler(Raddle.Handler.new_with_func('stopper', [Type.LLM_NEW_TOKEN],
            (handler, event) => event.dup_run().stop('that will do')));
        const events = record(host, Type.LLM_ERROR);
        const run = host.start_run(Raddle.RunKind.LLM, 'run', null);
        run.emit_token('a');
        while (events.length === 0)
            GLib.MainContext.default().iteration(true);

        assertEqual(run.get_outcome(), Raddle.Outcome.STOPPED);
        assertEqual(events.map(event => event.get_label()), ['that will do']);
    },

    async 'a model call'(host) {
        const events = record(host, Type.LLM_START, Type.LLM_NEW_TOKEN, Type.LLM_END);
        const metadata = new Json.Object();
        const request = new Raddle.Request();
        const model = host.dup_cassette(CASSETTE, 0);
        metadata.set_string_member('user', 'me');
        request.add_message('user', 'Tell me a joke');
        request.set_run_name('joke');
        request.add_tag('funny');
        request.set_metadata(metadata);

        const result = await model.generate_async(request, null);

        assertEqual(result.get_text(), JOKE);
        assertEqual(result.get_stop_reason(), Raddle.StopReason.STOP);
        assertEqual(result.get_usage().source, Raddle.UsageSource.REPORTED);
        assertEqual(texts(events.slice(1, -1)).join(''), JOKE);
        assertEqual(events[events.length - 1].get_result().get_text(), JOKE);
        assertEqual([events[0].get_run_name(), events[0].get_tags()], ['joke', ['funny']]);
        assertEqual(events[0].get_metadata().get_string_member('user'), 'me');
    },

    async 'a cancelled call'(host) {
        const request = new Raddle.Request();
        const cancellable = new Gio.Cancellable();
        let caught = null;
        request.add_message('user', 'Tell me a joke');
        GLib.idle_add(GLib.PRIORITY_DEFAULT, () => {
            cancellable.cancel();
            return GLib.SOURCE_REMOVE;
        });

        try {
            await host.dup_cassette(CASSETTE, 1).generate_async(request, cancellable);
        } catch (error) {
            caught = error;
        }
        assertThrows(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, () => {
            throw caught;
        });
    },

    async 'what is wrong is thrown'(host) {
        assertThrows(Raddle.Error, Raddle.Error.CONFIG, () => host.dup_model('no such model'));
        const run = host.start_run(Raddle.RunKind.CHAIN, 'chain', null);
        assertThrows(Raddle.Error, Raddle.Error.REQUEST, () => run.emit_token('a'));
        run.end(null);
    },
};

async function runAll() {
    let failures = 0;
    let number = 0;

    print(`1..${Object.keys(tests).length}`);
    for (const [name, test] of Object.entries(tests)) {
        const host = makeHost();
        let told = '';
        try {
            await test(host);
            assertEqual(await host.close_async(null), true);
        } catch (error) {
            failures++;
            told = `# ${error.message}\n${error.stack}`.trim().replace(/\n/g, '\n# ');
        }
        print(`${told === '' ? 'ok' : 'not ok'} ${++number} - ${name}`);
        if (told !== '')
            print(told);
        System.gc();
    }
    return failures;
}

const loop = new GLib.MainLoop(null, false);
let status = 1;

runAll().then(failures => {
    status = failures === 0 ? 0 : 1;
}).catch(error => {
    printerr(error.message);
}).finally(() => loop.quit());
loop.run();
System.exit(status);
