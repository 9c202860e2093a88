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
Gio._promisify(Raddle.Host.prototype, 'close_async', 'close_finish');

const CASSETTE = GLib.getenv('RADDLE_TEST_CASSETTE');
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

const tests = {
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
        let event;
        while ((event = await stream.next_async(null)) !== null) {
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
