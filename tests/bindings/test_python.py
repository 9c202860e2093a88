# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library as a Python program sees it: a host, runs, model calls, handlers."""

import gc
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import weakref
import xml.etree.ElementTree

import gi

gi.require_version("Raddle", "1")
gi.require_version("Json", "1.0")

from gi.repository import Gio, GLib, GObject, Json, Raddle  # noqa: E402

CASSETTE = os.environ["RADDLE_TEST_CASSETTE"]
AGENT_CASSETTE = os.environ["RADDLE_TEST_AGENT_CASSETTE"]
PLUGINS = os.environ["RADDLE_TEST_PLUGINS"]
GIR = os.environ["RADDLE_TEST_GIR"]
JOKE = ("Why does the main loop never get any sleep?\n\n"
        "Because someone is always polling its leg.")

Type = Raddle.EventType


def wait_for(begin, finish):
    """Begins an async call, iterates the main context until it ends, and finishes it."""
    results = []
    begin(None, lambda source, result: results.append(result))
    while not results:
        GLib.MainContext.default().iteration(True)
    return finish(results[0])


class Recorder:
    """A handler that keeps what it was told."""

    def __init__(self, *types):
        self.events = []
        self.handler = Raddle.Handler.new_with_func("recorder", types, self.on_event)

    def on_event(self, handler, event):
        self.events.append(event)
        return True

    def nicks(self):
        return [event.get_event_type().value_nick for event in self.events]

    def texts(self):
        return [event.get_text() for event in self.events]


class TestCase(unittest.TestCase):
    def setUp(self):
        self.host = Raddle.Host()
        self.host.set_use_keyfile(False)
        self.host.set_use_plugins(False)
        self.host.start()

    def tearDown(self):
        self.assertTrue(self.host.close(10000))

    def record(self, *types):
        recorder = Recorder(*types)
        self.host.add_handler(recorder.handler)
        return recorder

    def settle(self, run):
        self.assertTrue(wait_for(run.settle_async, run.settle_finish))

    def generate(self, request, model=None):
        model = model or self.host.dup_cassette(CASSETTE, 0)
        return wait_for(lambda *args: model.generate_async(request, *args),
                        model.generate_finish)

    def assertRaddleError(self, caught, code):
        self.assertTrue(caught.exception.matches(Raddle.error_quark(), code),
                        caught.exception)


class TestRuns(TestCase):
    def test_events_by_hand(self):
        recorder = self.record(Type.LLM_START, Type.LLM_NEW_TOKEN, Type.LLM_END)
        run = self.host.start_run(Raddle.RunKind.LLM, "by hand", Json.from_string('"Hello"'))

        self.assertTrue(run.emit_token("a"))
        self.assertTrue(run.emit_tokens(["b", "ç"]))
        self.assertTrue(run.end(None))
        self.settle(run)

        self.assertEqual(recorder.nicks(), ["llm-start"] + 3 * ["llm-new-token"] + ["llm-end"])
        self.assertEqual(recorder.texts(), ["Hello", "a", "b", "ç", "abç"])
        self.assertEqual([event.get_seq() for event in recorder.events], [0, 1, 2, 3, 4])
        for event in recorder.events:
            self.assertEqual(event.get_run_id(), run.get_id())
            self.assertEqual(event.get_run_name(), "by hand")
            self.assertEqual(event.get_run_kind(), Raddle.RunKind.LLM)
            self.assertIsNone(event.get_parent_id())
            self.assertEqual(event.get_tags(), [])
            self.assertIsNone(event.get_metadata())
            self.assertIsNone(event.get_error())
        self.assertEqual(run.get_outcome(), Raddle.Outcome.COMPLETE)

    def test_children_and_data(self):
        recorder = self.record(Type.CHAIN_START, Type.TOOL_START, Type.TOOL_END, Type.CHAIN_END)
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        tool = chain.new_child(Raddle.RunKind.TOOL, "tool", Json.from_string('{"x": [1, 2]}'))

        tool.end(Json.from_string('{"y": 3}'))
        chain.end(None)
        self.settle(chain)

        self.assertEqual(recorder.nicks(),
                         ["chain-start", "tool-start", "tool-end", "chain-end"])
        self.assertEqual(tool.get_parent_id(), chain.get_id())
        self.assertEqual(recorder.events[1].get_parent_id(), chain.get_id())
        inputs = recorder.events[1].get_data().get_object()
        self.assertEqual(inputs.get_array_member("x").get_int_element(1), 2)
        self.assertEqual(recorder.events[2].get_data().get_object().get_int_member("y"), 3)
        told = recorder.events[2].to_json().get_object()
        self.assertEqual(told.get_string_member("event"), "tool-end")

    def test_fail(self):
        recorder = self.record(Type.TOOL_ERROR)
        run = self.host.start_run(Raddle.RunKind.TOOL, "tool", None)

        run.fail(GLib.Error.new_literal(Gio.io_error_quark(), "no such thing",
                                        Gio.IOErrorEnum.NOT_FOUND))
        self.settle(run)

        error = recorder.events[0].get_error()
        self.assertEqual(error.message, "no such thing")
        self.assertTrue(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.NOT_FOUND))
        self.assertEqual(recorder.events[0].get_outcome(), Raddle.Outcome.ERROR)

    def test_dropped(self):
        recorder = self.record(Type.CHAIN_ERROR)
        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)

        del run
        gc.collect()
        while not recorder.events:
            GLib.MainContext.default().iteration(True)

        self.assertEqual(recorder.events[0].get_outcome(), Raddle.Outcome.DROPPED)

    def test_errors(self):
        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)

        with self.assertRaises(GLib.Error) as caught:
            run.emit_token("only a model call has tokens")
        self.assertRaddleError(caught, Raddle.Error.REQUEST)

        run.end(None)
        with self.assertRaises(GLib.Error) as caught:
            run.end(None)
        self.assertRaddleError(caught, Raddle.Error.CLOSED)
        with self.assertRaises(GLib.Error) as caught:
            run.new_child(Raddle.RunKind.TOOL, "tool", None)
        self.assertRaddleError(caught, Raddle.Error.CLOSED)

    def test_room(self):
        recorder = self.record(Type.LLM_NEW_TOKEN)
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        taken = 0

        with self.assertRaises(GLib.Error) as caught:
            while True:
                run.emit_token("token ")
                taken += 1
        self.assertTrue(caught.exception.matches(Gio.io_error_quark(),
                                                 Gio.IOErrorEnum.WOULD_BLOCK))
        self.assertTrue(wait_for(run.ready_async, run.ready_finish))
        run.end(None)
        self.settle(run)

        self.assertGreater(taken, 0)
        self.assertEqual(len(recorder.events), taken)


    def test_other_events(self):
        """The other events by hand."""
        recorder = self.record(Type.CHAT_MODEL_START, Type.AGENT_ACTION, Type.RETRY, Type.CUSTOM,
                               Type.STREAM_EVENT, Type.AGENT_FINISH, Type.LLM_END)
        messages = Json.from_string('[{"role": "user", "content": "Hello"}]')
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        chain.emit_agent_action("look", Json.from_string('{"where": "here"}'), "I will look")
        chat = chain.new_child(Raddle.RunKind.CHAT_MODEL, "chat", messages)
        chat.emit_retry(1, 500000, GLib.Error("busy", "raddle-error-quark", Raddle.Error.FAILED))
        chat.emit_delta(Raddle.DeltaKind.BLOCK_START, 0, "text", None)
        chat.emit_delta(Raddle.DeltaKind.TEXT, 0, "Hi", None)
        chat.emit_custom("mood", Json.from_string('"good"'))
        usage = Raddle.Usage()
        usage.source = Raddle.UsageSource.ESTIMATED
        usage.input, usage.output = 3, 1
        chat.set_usage(usage)
        chat.end(None)
        chain.emit_agent_finish(Json.from_string('"Hi"'), None)
        self.host.emit_custom("alone", None)
        chain.end(None)
        self.settle(chain)

        own = [event for event in recorder.events if event.get_run_id() == chain.get_id()]
        below = [event for event in recorder.events if event.get_run_id() == chat.get_id()]
        alone = [event for event in recorder.events if event not in own + below]
        self.assertEqual([event.get_event_type().value_nick for event in own + below + alone],
                         ["agent-action", "agent-finish", "chat-model-start", "retry",
                          "stream-event", "stream-event", "custom", "llm-end", "custom"])
        action, _, start, retry, _, delta, mood, end, _ = own + below + alone
        self.assertEqual(action.get_label(), "look")
        self.assertEqual(start.get_text(), "Human: Hello")
        self.assertEqual((retry.get_attempt(), retry.get_delay()), (1, 500000))
        self.assertEqual(retry.get_error().message, "busy")
        self.assertEqual((delta.get_delta_kind(), delta.get_text()),
                         (Raddle.DeltaKind.TEXT, "Hi"))
        self.assertEqual(mood.get_data().get_string(), "good")
        self.assertEqual(end.get_result().get_text(), "Hi")
        self.assertEqual(end.get_result().get_usage().output, 1)
        self.assertEqual(alone[0].get_run_name(), "alone")


class TestScopes(TestCase):
    def test_reach(self):
        """A handler written here gets the runs that name it, and no others."""
        own, tree = Recorder(), Counter(name="tree", events=["chain-start", "tool-start"])
        own.handler = Raddle.Handler.new_with_func(
            "own", [Type.CHAIN_START, Type.TOOL_START], own.on_event)
        scope = Raddle.Scope()
        scope.add_handler(own.handler, Raddle.Reach.RUN)
        scope.add_handler(tree, Raddle.Reach.TREE)
        scope.add_tag("nightly", Raddle.Reach.TREE)
        scope.add_tag("first", Raddle.Reach.RUN)
        scope.set_metadata("user", Json.from_string('"me"'), Raddle.Reach.TREE)
        self.assertEqual(scope.dup_tags(Raddle.Reach.TREE), ["nightly"])
        self.assertEqual(scope.dup_handlers(Raddle.Reach.TREE), [tree])
        everything = self.record(Type.CHAIN_START, Type.TOOL_START)

        chain = self.host.start_run_with_scope(Raddle.RunKind.CHAIN, "chain", None, scope)
        tool = chain.new_child(Raddle.RunKind.TOOL, "tool", None)
        other = self.host.start_run(Raddle.RunKind.CHAIN, "other", None)
        for run in (tool, chain, other):
            run.end(None)
            self.settle(run)

        self.assertEqual([event.get_run_name() for event in own.events], ["chain"])
        self.assertEqual(tree.log, ["setup", ("chain-start", None), ("tool-start", None),
                                    "teardown"])
        starts = {event.get_run_name(): event for event in everything.events}
        self.assertEqual(starts["chain"].get_tags(), ["nightly", "first"])
        self.assertEqual(starts["tool"].get_tags(), ["nightly"])
        self.assertEqual(starts["tool"].get_metadata().get_string_member("user"), "me")
        self.assertEqual(starts["other"].get_tags(), [])

    def test_merged(self):
        one, two = Raddle.Scope(), Raddle.Scope()
        one.add_tag("a", Raddle.Reach.RUN)
        two.add_tag("a", Raddle.Reach.TREE)
        two.add_metadata(Json.from_string('{"x": 1}'), Raddle.Reach.RUN)
        two.set_inherit(False)
        one.merge(two)

        self.assertEqual(one.dup_tags(Raddle.Reach.TREE), ["a"])
        self.assertFalse(one.copy().get_inherit())
        self.assertEqual(one.dup_metadata(Raddle.Reach.RUN).get_object().get_int_member("x"), 1)

    def test_request(self):
        counter = Counter(name="counter", events=["llm-end"])
        scope = Raddle.Scope()
        scope.add_handler(counter, Raddle.Reach.RUN)
        scope.set_run_id("01234567-89AB-7def-8123-456789abcdef")
        request = Raddle.Request()
        request.add_message("user", "Tell me a joke")
        request.set_scope(scope)
        recorder = self.record(Type.LLM_END)

        self.generate(request)

        self.assertIn(("llm-end", JOKE), counter.log)
        self.assertEqual(recorder.events[0].get_run_id(),
                         "01234567-89ab-7def-8123-456789abcdef")
        with self.assertRaises(GLib.Error) as caught:
            self.host.start_run_with_scope(Raddle.RunKind.CHAIN, "chain", None, scope)
        self.assertRaddleError(caught, Raddle.Error.REQUEST)

    def test_refused(self):
        """Bad input is an exception, whether Raddle finds it or what is between."""
        scope = Raddle.Scope()
        with self.assertRaises(GLib.Error) as caught:
            scope.add_metadata(Json.from_string("[1]"), Raddle.Reach.RUN)
        self.assertRaddleError(caught, Raddle.Error.REQUEST)
        for tag in (b"a\xff", "a\udcff"):
            with self.assertRaises((TypeError, UnicodeError)):
                scope.add_tag(tag, Raddle.Reach.RUN)
        self.assertEqual(scope.dup_tags(Raddle.Reach.RUN), [])

        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        scope.set_run_id(run.get_id())
        with self.assertRaises(GLib.Error) as caught:
            run.new_child_with_scope(Raddle.RunKind.TOOL, "below itself", None, scope)
        self.assertRaddleError(caught, Raddle.Error.REQUEST)

    def test_late(self):
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        recorder = Recorder(Type.LLM_START, Type.LLM_END)
        self.record(Type.LLM_START)
        self.settle(run)
        run.add_handler(recorder.handler, Raddle.Reach.RUN)
        run.end(None)
        self.settle(run)

        self.assertEqual(recorder.nicks(), ["llm-start", "llm-end"])
        self.assertTrue(recorder.events[0].is_replayed())


class TestCurrentRun(TestCase):
    def test_push(self):
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        self.assertIsNone(Raddle.Run.dup_current())
        chain.push_current()
        try:
            self.assertEqual(Raddle.Run.dup_current(), chain)
            child = self.host.start_run(Raddle.RunKind.TOOL, "tool", None)
        finally:
            chain.pop_current()

        self.assertIsNone(Raddle.Run.dup_current())
        self.assertEqual(child.get_parent_id(), chain.get_id())
        child.end(None)
        chain.end(None)
        self.settle(chain)

    def test_callback(self):
        """A callback has the run that was current at the call."""
        seen = []
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        chain.push_current()
        chain.settle_async(None, lambda run, result: seen.append(Raddle.Run.dup_current()))
        chain.pop_current()
        while not seen:
            GLib.MainContext.default().iteration(True)
        self.assertEqual(seen, [chain])
        chain.end(None)

    def test_thread(self):
        def work(run, cancellable, number):
            child = self.host.start_run(Raddle.RunKind.TOOL, "tool", None)
            child.end(None)
            return Json.from_string('"%s %d"' % (child.get_parent_id(), number))

        def fail(run, cancellable):
            raise GLib.Error("out of wool", "raddle-error-quark", Raddle.Error.FAILED)

        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        output = wait_for(lambda *args: chain.thread_async(work, (7,), *args), chain.thread_finish)
        self.assertEqual(output.get_string(), chain.get_id() + " 7")
        with self.assertRaises(GLib.Error) as caught:
            wait_for(lambda *args: chain.thread_async(fail, (), *args), chain.thread_finish)
        self.assertEqual(caught.exception.message, "out of wool")
        chain.end(None)

    def test_in_handler(self):
        """There is none in a handler's call; what is started there is a root."""
        seen = []

        def start(handler, event):
            seen.append(Raddle.Run.dup_current())
            inner = self.host.start_run(Raddle.RunKind.TOOL, "inner", None)
            seen.append(inner.get_parent_id())
            inner.end(None)
            return True

        self.host.add_handler(Raddle.Handler.new_with_func("h", [Type.CHAIN_START], start))
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        chain.push_current()
        self.settle(chain)
        chain.pop_current()
        chain.end(None)
        self.assertEqual(seen, [None, None])


class TestHandlers(TestCase):
    def test_statistics(self):
        recorder = self.record(Type.CHAIN_START)
        handler = recorder.handler
        self.assertEqual(handler.props.name, "recorder")
        self.assertEqual(handler.get_delivery(), Raddle.Delivery.INLINE)

        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        run.end(None)
        self.settle(run)

        self.assertEqual(handler.props.state, Raddle.HandlerState.RUNNING)
        self.assertIsNone(handler.props.reason)
        stats = handler.get_stats()
        self.assertEqual((stats.n_delivered, stats.n_failed), (1, 0))
        self.assertEqual(stats.copy().n_delivered, 1)

    def test_failure(self):
        def fail(handler, event):
            raise GLib.Error("out of ink", "raddle-error-quark", Raddle.Error.FAILED)

        handler = Raddle.Handler.new_with_func("failing", [Type.CHAIN_START], fail)
        self.host.add_handler(handler)
        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        run.end(None)
        self.settle(run)

        self.assertEqual(handler.get_n_failures(), 1)
        self.assertEqual(run.get_outcome(), Raddle.Outcome.COMPLETE)

    def test_stop(self):
        def stop(handler, event):
            return event.dup_run().stop("that will do")

        handler = Raddle.Handler.new_with_func("stopper", [Type.LLM_NEW_TOKEN], stop)
        self.host.add_handler(handler)
        recorder = self.record(Type.LLM_ERROR)
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        run.emit_token("a")
        while not recorder.events:
            GLib.MainContext.default().iteration(True)

        self.assertEqual(run.get_outcome(), Raddle.Outcome.STOPPED)
        self.assertEqual(recorder.events[0].get_outcome(), Raddle.Outcome.STOPPED)
        self.assertEqual(recorder.events[0].get_label(), "that will do")

    def test_removal_frees(self):
        class Kept:
            pass

        kept = Kept()
        gone = weakref.ref(kept)
        handler = Raddle.Handler.new_with_func("handler", [Type.CHAIN_START],
                                               lambda handler, event, kept=kept: True)
        self.host.add_handler(handler)
        del kept
        self.host.remove_handler(handler)
        del handler
        while gone() is not None:
            GLib.MainContext.default().iteration(False)


class Counter(Raddle.Handler):
    """A class of one's own."""

    def __init__(self, **properties):
        super().__init__(**properties)
        self.log = []

    def do_setup(self):
        self.log.append("setup")
        return True

    def do_event(self, event):
        self.log.append((event.get_event_type().value_nick, event.get_text()))
        if event.get_text() == "bad":
            raise GLib.Error("a bad word", "raddle-error-quark", Raddle.Error.FAILED)
        return True

    def do_teardown(self):
        self.log.append("teardown")


class TestSubclass(TestCase):
    def test_events(self):
        counter = Counter(name="counter", events=["llm-new-token", "llm-end"])
        self.host.add_handler(counter)
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        run.emit_tokens(["a", "bad"])
        run.end(None)
        self.settle(run)
        self.host.remove_handler(counter)
        while counter.props.state != Raddle.HandlerState.STOPPED:
            GLib.MainContext.default().iteration(True)

        self.assertEqual(counter.get_name(), "counter")
        self.assertEqual(counter.get_delivery(), Raddle.Delivery.INLINE)
        self.assertEqual(counter.log,
                         ["setup", ("llm-new-token", "a"), ("llm-new-token", "bad"),
                          ("llm-end", "abad"), "teardown"])
        self.assertEqual(counter.get_n_failures(), 1)

    def test_threads(self):
        """On the pool, while the main loop waits in Python."""
        counter = Counter(name="counter", delivery=Raddle.Delivery.AWAITED)
        self.host.add_handler(counter)
        for _ in range(20):
            run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
            run.emit_tokens(["a"] * 50)
            run.end(None)
            self.settle(run)

        self.assertEqual(len(counter.log), 1 + 20 * 52)

    def test_async(self):
        """Answers later; a run waits for that at its start and end."""
        class Patient(Raddle.Handler):
            open, log = 0, []

            def do_event_async(self, event, cancellable, callback, *data):
                task = Gio.Task.new(self, cancellable, callback)
                self.begin(event, task)

            def do_event_finish(self, result):
                return result.propagate_boolean()

            def begin(self, event, task):
                self.open += 1
                self.log.append(event.get_event_type().value_nick)
                GLib.timeout_add(5, self.go_on, event, task)

            def go_on(self, event, task):
                self.open -= 1
                if event.get_text() == "bad":
                    task.return_error(GLib.Error("a bad word", "raddle-error-quark",
                                                 Raddle.Error.FAILED))
                else:
                    task.return_boolean(True)
                return GLib.SOURCE_REMOVE

        class PatientTask(Raddle.Handler):
            open, log = 0, []
            begin, go_on = Patient.begin, Patient.go_on

            def do_event_task(self, event, task):
                self.assert_cancellable = task.get_cancellable()
                self.begin(event, task)

        for patient in (Patient(name="patient"), PatientTask(name="patient-task")):
            self.host.add_handler(patient)
            run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
            self.settle(run)
            self.assertEqual((patient.open, patient.log), (0, ["llm-start"]))
            run.emit_token("bad")
            run.end(Json.from_string('"good"'))
            self.settle(run)

            self.assertEqual((patient.open, patient.log),
                             (0, ["llm-start", "llm-new-token", "llm-end"]))
            self.assertEqual(patient.get_delivery(), Raddle.Delivery.AWAITED)
            self.assertEqual(patient.get_n_failures(), 1)
            self.host.remove_handler(patient)

    def test_set_up_fails(self):
        class Broken(Counter):
            def do_setup(self):
                raise GLib.Error("no ink", "raddle-error-quark", Raddle.Error.FAILED)

        broken = Broken(name="broken")
        self.host.add_handler(broken)
        run = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        run.end(None)
        self.settle(run)

        self.assertEqual(broken.props.state, Raddle.HandlerState.FAILED)
        self.assertIn("no ink", broken.props.reason)
        self.assertEqual(broken.log, [])

    def test_filter(self):
        counter = Counter(name="counter")
        names = Raddle.Filter.new()
        names.add_name("wanted")
        counter.set_filter(names)
        self.host.add_handler(counter)
        for name in ("wanted", "unwanted"):
            run = self.host.start_run(Raddle.RunKind.CHAIN, name, None)
            run.end(None)
            self.settle(run)

        self.assertEqual(counter.log, ["setup", ("chain-start", None), ("chain-end", None)])


class TestListeners(TestCase):
    def test_signals(self):
        listener = Raddle.Listener()
        heard, tokens = [], []
        listener.connect("event", lambda listener, event: heard.append(event))
        listener.connect("event::llm-new-token",
                         lambda listener, event: tokens.append(event.get_text()))
        self.host.add_handler(listener.get_handler())
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        run.emit_tokens(["a", "b", "c"])
        run.end(None)
        while not heard or heard[-1].get_event_type() != Type.LLM_END:
            GLib.MainContext.default().iteration(True)

        self.assertEqual(heard[0].get_event_type(), Type.LLM_START)
        self.assertEqual(heard[-1].get_event_type(), Type.LLM_END)
        self.assertEqual("".join(tokens), "abc")

    def test_stream(self):
        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        stream = Raddle.Stream.new_for_run(run)
        self.host.add_handler(stream.get_handler())
        run.emit_tokens(["a", "b", "c"])
        run.end(None)
        text = ""
        for event in iter(lambda: wait_for(stream.next_async, stream.next_finish), None):
            if event.get_event_type() == Type.LLM_NEW_TOKEN:
                text += event.get_text()

        self.assertEqual(text, "abc")

    def test_stream_of_all(self):
        stream = Raddle.Stream()
        self.host.add_handler(stream.get_handler())
        for name in ("a", "b"):
            self.host.start_run(Raddle.RunKind.CHAIN, name, None).end(None)
        events = [wait_for(stream.next_async, stream.next_finish) for _ in range(4)]
        stream.close()

        self.assertEqual({event.get_run_name() for event in events}, {"a", "b"})
        self.assertIsNone(wait_for(stream.next_async, stream.next_finish))

    def test_stream_async_for(self):
        """As a program with a loop of its own would write it."""
        async def read(stream):
            return "".join([event.get_text() async for event in Events(stream)
                            if event.get_event_type() == Type.LLM_NEW_TOKEN])

        run = self.host.start_run(Raddle.RunKind.LLM, "run", None)
        stream = Raddle.Stream(run=run)
        self.host.add_handler(stream.get_handler())
        run.emit_tokens(["a", "b", "c"])
        GLib.idle_add(lambda: run.end(None) and GLib.SOURCE_REMOVE)

        self.assertEqual(drive(read(stream)), "abc")

    def test_collector(self):
        collector = Raddle.Collector()
        self.host.add_handler(collector.get_handler())
        chain = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        tool = chain.new_child(Raddle.RunKind.TOOL, "tool", Json.from_string('"wool"'))
        tool.end(Json.from_string('{"cost": 9.25}'))
        chain.end(None)
        self.settle(chain)
        while len(collector.list_runs()) == 0:
            GLib.MainContext.default().iteration(True)

        root = collector.list_runs()[0]
        self.assertEqual(root.get_name(), "chain")
        self.assertEqual([node.get_name() for node in root.list_children()], ["tool"])
        self.assertEqual(root.props.outcome, "complete")
        told = json.loads(Json.to_string(collector.to_json(), False))
        self.assertEqual([(tree["kind"], tree["name"], tree["outcome"]) for tree in told],
                         [("chain", "chain", "complete")])
        self.assertEqual([(node["name"], node["parent_id"], node["inputs"], node["outputs"])
                          for node in told[0]["children"]],
                         [("tool", chain.get_id(), "wool", {"cost": 9.25})])
        collector.clear()
        self.assertEqual(len(collector.list_runs()), 0)


class Events:
    """The events of a stream, for `async for`."""

    def __init__(self, stream):
        self.stream = stream

    def __aiter__(self):
        return self

    async def __anext__(self):
        event = await Call(self.stream.next_async, self.stream.next_finish)
        if event is None:
            raise StopAsyncIteration
        return event


class Call:
    """An async call of the library, to be awaited."""

    def __init__(self, begin, finish):
        self.begin, self.finish = begin, finish

    def __await__(self):
        return self.finish((yield self.begin))


def drive(coroutine):
    """Runs a coroutine on the main context."""
    result = None
    try:
        while True:
            result = wait_for(coroutine.send(result), lambda result: result)
    except StopIteration as end:
        return end.value


class FindNotes(Raddle.Tool):
    """Sync: in a thread of its own, with a run below the tool's."""

    NOTES = "Blue wool, 12.50 in May\nRed wool, 9.25 in June\n"

    def do_call(self, arguments, run, cancellable):
        self.thread = threading.current_thread()
        word = arguments.get_object().get_string_member("word")
        current = Raddle.Run.dup_current()
        self.run_ids = (run.get_id(), current.get_id())
        look_up = run.new_child(Raddle.RunKind.RETRIEVER, "notes " + word, None)
        look_up.end(None)
        return Json.from_string(json.dumps(self.NOTES))


class TestAgents(TestCase):
    def run_agent(self, *tools, **settings):
        agent = Raddle.Agent(model=self.host.dup_cassette(AGENT_CASSETTE, 0))
        for tool in tools:
            agent.add_tool(tool)
        for name, value in settings.items():
            getattr(agent, "set_" + name)(value)
        request = Raddle.Request()
        request.add_message("user", "What did the wool cost altogether?")
        return wait_for(lambda *args: agent.run_async(request, *args), agent.run_finish)

    def add_numbers(self, tool, arguments, run, cancellable, *data):
        numbers = arguments.get_object().get_array_member("numbers")
        total = sum(node.get_double() for node in numbers.get_elements())
        return Json.from_string(str(total))

    def test_run(self):
        collector = Raddle.Collector()
        self.host.add_handler(collector.get_handler())
        recorder = self.record(Type.AGENT_ACTION, Type.TOOL_END, Type.AGENT_FINISH)
        notes = FindNotes(name="find_notes", description="Finds notes",
                          schema=Json.from_string('{"type": "object", "required": ["word"]}'))
        add = Raddle.Tool.new("add", "Adds numbers", Json.from_string('{"type": "object"}'),
                              self.add_numbers)
        answer = self.run_agent(notes, add, name="buyer")

        self.assertEqual(answer.get_text(), "The wool cost 21.75 altogether.")
        self.assertEqual(recorder.nicks(), ["agent-action", "tool-end"] * 2 + ["agent-finish"])
        self.assertEqual([event.get_label() for event in recorder.events[::2]],
                         ["find_notes", "add", None])
        self.assertEqual(recorder.events[1].get_data().get_string(), FindNotes.NOTES)
        self.assertEqual(recorder.events[3].get_data().get_double(), 21.75)
        self.assertIsNot(notes.thread, threading.main_thread())
        self.assertEqual(notes.run_ids[0], notes.run_ids[1])
        while len(collector.list_runs()) == 0:
            GLib.MainContext.default().iteration(True)
        root = collector.list_runs()[0]
        self.assertEqual(root.get_name(), "buyer")
        names = [node.get_name() for node in root.list_children()]
        self.assertEqual(names[1::2], ["find_notes", "add"])
        below = root.list_children()[1].list_children()[0]
        self.assertEqual((below.get_name(), below.get_kind()),
                         ("notes wool", Raddle.RunKind.RETRIEVER))

    def test_async_tools(self):
        class AddAsync(Raddle.Tool):
            def do_call_async(self, arguments, run, cancellable, callback, *data):
                task = Gio.Task.new(self, cancellable, callback)
                GLib.idle_add(lambda: task.return_boolean(True) and GLib.SOURCE_REMOVE)

            def do_call_finish(self, result):
                result.propagate_boolean()
                return Json.from_string("21.75")

        class NotesTask(Raddle.Tool):
            def do_call_task(self, arguments, run, task):
                GLib.idle_add(lambda: self.return_output(
                    task, Json.from_string(json.dumps(FindNotes.NOTES))))

        recorder = self.record(Type.TOOL_END)
        self.run_agent(NotesTask(name="find_notes"), AddAsync(name="add"))

        self.assertEqual([event.get_data().get_value() for event in recorder.events],
                         [FindNotes.NOTES, 21.75])

    def test_failures(self):
        """What a tool raises is told to the model, not to the caller."""
        def fail(*args):
            raise GLib.Error("out of ink", "raddle-error-quark", Raddle.Error.FAILED)

        class FailingTask(Raddle.Tool):
            def do_call_task(self, arguments, run, task):
                task.return_error(GLib.Error("no pen", "raddle-error-quark",
                                             Raddle.Error.FAILED))

        class RaisingTask(Raddle.Tool):
            def do_call_task(self, arguments, run, task):
                raise GLib.Error("no paper", "raddle-error-quark", Raddle.Error.FAILED)

        recorder = self.record(Type.TOOL_ERROR)
        answer = self.run_agent(Raddle.Tool.new("find_notes", None, None, fail),
                                FailingTask(name="add"))
        self.run_agent(Raddle.Tool.new("add", None, None, self.add_numbers),
                       RaisingTask(name="find_notes"))

        self.assertTrue(answer.get_text())
        self.assertEqual([event.get_error().message for event in recorder.events],
                         ["out of ink", "no pen", "no paper"])

    def test_other_exceptions(self):
        """The bindings only print them, but the model is not told that all was well."""
        class Raising(Raddle.Tool):
            def do_call(self, arguments, run, cancellable):
                raise KeyError("on purpose")

        def fail(*args):
            raise KeyError("on purpose")

        recorder = self.record(Type.TOOL_ERROR)
        self.run_agent(Raising(name="find_notes"), Raddle.Tool.new("add", None, None, fail))

        messages = [event.get_error().message for event in recorder.events]
        self.assertEqual(len(messages), 2)
        for message in messages:
            self.assertIn("returned neither an output nor an error", message)

    def test_limit(self):
        with self.assertRaises(GLib.Error) as caught:
            self.run_agent(Raddle.Tool.new("add", None, None, self.add_numbers), max_rounds=1)
        self.assertRaddleError(caught, Raddle.Error.FAILED)


class TestModels(TestCase):
    def test_generate(self):
        recorder = self.record(Type.LLM_START, Type.LLM_NEW_TOKEN, Type.LLM_END)
        parent = self.host.start_run(Raddle.RunKind.CHAIN, "chain", None)
        metadata = Json.Object()
        metadata.set_string_member("user", "me")
        request = Raddle.Request()
        request.add_message("user", "Tell me a joke")
        request.set_run_name("joke")
        request.add_tag("funny")
        request.set_metadata(metadata)
        request.set_parent(parent)

        result = self.generate(request)
        parent.end(None)

        self.assertEqual(result.get_text(), JOKE)
        self.assertEqual(result.get_outcome(), Raddle.Outcome.COMPLETE)
        self.assertEqual(result.get_stop_reason(), Raddle.StopReason.STOP)
        self.assertEqual(result.get_tool_calls().get_length(), 0)
        self.assertEqual(result.to_json().get_object().get_string_member("text"), JOKE)

        first, last = recorder.events[0], recorder.events[-1]
        self.assertEqual(first.get_event_type(), Type.LLM_START)
        self.assertEqual(last.get_event_type(), Type.LLM_END)
        self.assertEqual("".join(recorder.texts()[1:-1]), JOKE)
        self.assertEqual(last.get_result().get_text(), JOKE)
        self.assertEqual(first.get_run_name(), "joke")
        self.assertEqual(first.get_tags(), ["funny"])
        self.assertEqual(first.get_metadata().get_string_member("user"), "me")
        self.assertEqual(first.get_parent_id(), parent.get_id())

        usage = result.get_usage()
        del result
        gc.collect()
        self.assertEqual(usage.source, Raddle.UsageSource.REPORTED)
        self.assertGreater(usage.output, 0)

    def test_cancel(self):
        request = Raddle.Request()
        request.add_message("user", "Tell me a joke")
        model = self.host.dup_cassette(CASSETTE, 1)
        cancellable = Gio.Cancellable()
        GLib.idle_add(cancellable.cancel)

        with self.assertRaises(GLib.Error) as caught:
            wait_for(lambda _, callback: model.generate_async(request, cancellable, callback),
                     model.generate_finish)
        self.assertTrue(caught.exception.matches(Gio.io_error_quark(),
                                                 Gio.IOErrorEnum.CANCELLED))

    def test_no_such_model(self):
        with self.assertRaises(GLib.Error) as caught:
            self.host.dup_model("no such model")
        self.assertRaddleError(caught, Raddle.Error.CONFIG)


class TestPlugins(unittest.TestCase):
    def test_lists(self):
        """Sync handlers run on their threads while Python is on the loop."""
        host = Raddle.Host()
        host.set_use_keyfile(False)
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        for name in ("good-sync.so", "no-event.so"):
            shutil.copy(os.path.join(PLUGINS, name), folder)
        host.add_plugin_folder(folder)
        host.load_plugins()
        plugins = {plugin.get_name(): plugin for plugin in host.list_plugins()}
        self.assertEqual(plugins["good-sync"].props.state, Raddle.PluginState.LOADED)
        self.assertEqual(plugins["no-event"].props.state, Raddle.PluginState.REFUSED)
        self.assertTrue(plugins["no-event"].props.reason)
        host.start()
        names = [handler.get_name() for handler in host.list_handlers()]
        self.assertIn("good-sync", names)

        recorder = Recorder(Type.LLM_NEW_TOKEN)
        host.add_handler(recorder.handler)
        run = host.start_run(Raddle.RunKind.LLM, "run", None)
        run.emit_tokens(["a", "b"])
        run.end(None)
        self.assertTrue(host.close(10000))
        self.assertEqual(recorder.texts(), ["a", "b"])

    def test_inspect(self):
        plugin = Raddle.Plugin.inspect(os.path.join(PLUGINS, "good-options.so"))

        self.assertEqual(plugin.get_state(), Raddle.PluginState.LOADED)
        self.assertEqual(plugin.dup_reason(), None)
        self.assertIn(plugin.get_kind(), ("sync", "async", "mixed"))
        self.assertIsInstance(plugin.get_needed(), list)
        self.assertIsInstance(plugin.dup_flag_nicks(), list)
        options = plugin.to_json().get_object().get_array_member("options")
        self.assertGreater(options.get_length(), 0)


class TestPages(unittest.TestCase):
    """What README.md and the reference's pages show."""

    TOP = os.environ["RADDLE_TEST_TOP"]
    USE = """
handler = host.list_handlers()[0]
run = host.start_run(Raddle.RunKind.LLM, "run", None)
run.emit_token("a")
run.end(None)
print(host.close(1000), handler.props.state.value_nick, handler.get_n_failures())
"""

    USE_TOOL = """
import os
from gi.repository import GLib
host = Raddle.Host()
host.start()
agent = Raddle.Agent(model=host.dup_cassette(os.environ["RADDLE_TEST_AGENT_CASSETTE"], 0))
agent.add_tool(tool)
request = Raddle.Request()
request.add_message("user", "What did the wool cost altogether?")
host.add_handler(Raddle.Handler.new_with_func(
    "end", [Raddle.EventType.TOOL_END], lambda _, event: print(event.get_data().get_double()) or True))
loop = GLib.MainLoop()
agent.run_async(request, None, lambda *_: loop.quit())
loop.run()
print(host.close(1000))
"""

    def read_examples(self, page):
        with open(os.path.join(self.TOP, page), encoding="utf-8") as stream:
            return re.findall("```python\n(.*?)```", stream.read(), re.DOTALL)

    def run_example(self, example):
        return subprocess.run([sys.executable, "-c", example], check=True, timeout=60,
                              stdout=subprocess.PIPE, encoding="utf-8").stdout

    def test_readme(self):
        for example in self.read_examples("README.md"):
            told = self.run_example(example)
            self.assertRegex(told, "^" + re.escape(JOKE) + r"\n\[\d+ tokens\]\n$")

    def test_pages(self):
        examples = self.read_examples("core/docs/writing-a-handler.md")
        self.assertGreater(len(examples), 1)
        for example in examples:
            self.assertRegex(self.run_example(example + self.USE), "True stopped 0\n$")

    def test_tool(self):
        example, = self.read_examples("core/docs/runs.md")
        self.assertEqual(self.run_example(example + self.USE_TOOL), "21.75\nTrue\n")


class TestTypes(unittest.TestCase):
    """What the introspection data says of the types, as a whole."""

    CORE = "{http://www.gtk.org/introspection/core/1.0}"
    C = "{http://www.gtk.org/introspection/c/1.0}"
    GLIB = "{http://www.gtk.org/introspection/glib/1.0}"

    def setUp(self):
        tree = xml.etree.ElementTree.parse(GIR)
        self.namespace = tree.getroot().find(self.CORE + "namespace")

    def test_enumerations(self):
        """Every enumeration has a GType, whose values are those of the headers."""
        headers = read_enumerations(os.path.join(os.path.dirname(__file__),
                                                 "../../include/raddle"))
        found = 0
        for kind in ("enumeration", "bitfield"):
            for element in self.namespace.findall(self.CORE + kind):
                name = element.get(self.C + "type")
                self.assertIsNotNone(element.get(self.GLIB + "get-type"), name)
                found += 1
                values = [member.get(self.C + "identifier")
                          for member in element.findall(self.CORE + "member")]
                if name != "RaddleEventType":
                    self.assertEqual(values, headers.pop(name))
        self.assertGreaterEqual(found, 14)
        self.assertEqual(headers, {})

    def test_event_types(self):
        for number in range(len(Type.__enum_values__)):
            nick = Raddle.EventType.get_nick(Type(number))
            self.assertEqual(nick, Type(number).value_nick)
            self.assertEqual(Raddle.EventType.from_nick(nick), (True, Type(number)))
        self.assertFalse(Raddle.EventType.from_nick("no-such-event")[0])

    def test_error_domain(self):
        self.assertEqual(GLib.quark_to_string(Raddle.error_quark()), "raddle-error-quark")
        self.assertTrue(issubclass(Raddle.Error, GObject.GEnum))

    def test_nothing_of_plugins(self):
        """What a plugin defines is not in the library, and so must not be callable."""
        for element in self.namespace.findall(self.CORE + "function"):
            name = element.get("name")
            self.assertFalse(name.startswith("on_"), name)
            if name in ("setup", "teardown", "save", "restore"):
                self.assertEqual(element.get("introspectable"), "0", name)


def read_enumerations(folder):
    """The enumerations of the headers: a dictionary of lists of names."""
    enumerations = {}
    for file in glob.glob(os.path.join(folder, "*.h")):
        with open(file, encoding="utf-8") as stream:
            text = re.sub(r"/\*.*?\*/", "", stream.read(), flags=re.DOTALL)
        for body, name in re.findall(r"typedef enum\s*\{([^}]*)\}\s*(\w+);", text):
            if name != "RaddleEventType":
                enumerations[name] = re.findall(r"\b(RADDLE_\w+)\s*(?:=[^,]*)?,", body)
    return enumerations


if __name__ == "__main__":
    unittest.main(verbosity=2)
