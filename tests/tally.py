#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what one run of `meson test` executed, by the log that it wrote.

The first line has three numbers: passed, failed, skipped. After it comes what the programs
that failed had to say.

Meson counts programs; a program of ours runs many tests and tells them in TAP. Each of
these counts. A program that fails without any test of its own failing (a crash, a time-out,
a leak found at its exit) counts as one failed test more.
"""

import json
import re
import sys

TOLD_LINES = 100

RESULT = re.compile(r'^( *)(not )?ok\b([^#]*)(#\s*(skip|todo))?', re.IGNORECASE)


def read_tap(output):
    """The kinds of the results in TAP output, without the summaries of nested tests."""
    kinds = []
    depth = 0
    for line in output.splitlines():
        match = RESULT.match(line)
        if not match:
            continue
        indent = len(match[1])
        is_summary = indent < depth
        depth = indent
        if is_summary:
            continue
        directive = (match[5] or '').lower()
        if directive == 'skip':
            kinds.append('skipped')
        elif match[2] and directive != 'todo':
            kinds.append('failed')
        else:
            kinds.append('passed')
    return kinds


def read_program(entry):
    """The kinds of the results of one program, by its line in meson's log."""
    kinds = read_tap(entry.get('stdout') or '')
    result = entry['result']
    if result in ('OK', 'EXPECTEDFAIL'):
        return kinds or ['passed']
    if result == 'SKIP':
        return kinds or ['skipped']
    return kinds if 'failed' in kinds else kinds + ['failed']


def tell_failure(entry):
    """What a program that failed had to say, without its tests that passed."""
    said = [line for line in (entry.get('stdout') or '').splitlines()
            if not line.startswith('ok ')]
    errors = (entry.get('stderr') or '').splitlines()
    print(f"\n=== {entry['name']}: {entry['result']}, exit status {entry['returncode']}")
    print(*said[-TOLD_LINES:], *errors[-TOLD_LINES:], sep='\n')


def read_log(path):
    """The programs in meson's log; none when there is no log."""
    try:
        with open(path, encoding='utf-8', errors='replace') as log:
            return [json.loads(line) for line in log]
    except FileNotFoundError:
        return []


def main(path):
    kinds = []
    failures = []
    for entry in read_log(path):
        of_program = read_program(entry)
        kinds += of_program
        if 'failed' in of_program:
            failures.append(entry)
    print(*(kinds.count(kind) for kind in ('passed', 'failed', 'skipped')))
    for entry in failures:
        tell_failure(entry)


sys.stdout.reconfigure(errors='replace')
main(sys.argv[1])
