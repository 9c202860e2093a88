#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints original.md, the list of the original's behaviours and defects, as TAP.

    test-original-list.py LIST NAME=FILE...

Each FILE is a test program of that name, which lists its tests with -l, or a script whose
cases are read from it; a program that this build leaves out has no FILE. A row fails
where it has no state, where its state lacks a test or a reason, and where a test that it
names does not exist; the list fails where a number is missing or there twice. That all of
these are found is tried first, with rows that are wrong.
"""

import ast
import re
import subprocess
import sys

N_BEHAVIOURS = 66

STATES = ('shown', 'differs on purpose', 'does not apply')
TESTS = re.compile(r'(?:^|; )(`[^`]+`(?:, `[^`]+`)*)$')


def list_program(file):
    """The paths of a GLib test program."""
    done = subprocess.run([file, '-l'], check=True, capture_output=True, text=True)
    return {line for line in done.stdout.splitlines() if line.startswith('/')}


def list_python(file):
    """CLASS.METHOD for each test method."""
    with open(file, encoding='utf-8') as source:
        tree = ast.parse(source.read())
    return {f'{parent.name}.{child.name}'
            for parent in tree.body if isinstance(parent, ast.ClassDef)
            for child in parent.body if isinstance(child, ast.FunctionDef)
            and child.name.startswith('test_')}


def list_javascript(file):
    """The names of the methods of the table of tests, in their quotes."""
    with open(file, encoding='utf-8') as source:
        return set(re.findall(r"^    async ('[^']+')\(", source.read(), re.MULTILINE))


class Programs:
    """The tests that there are, looked up when the first row names their program."""

    def __init__(self, files):
        self.files = files
        self.tests = {}

    def find(self, name):
        """What is wrong with the name of a test; None if nothing is."""
        program, _, path = name.partition(' ')
        if program not in self.files:
            return f"there is no test program '{program}'"
        file = self.files[program]
        if file == '':
            return None
        if program not in self.tests:
            listers = {'.py': list_python, '.js': list_javascript}
            self.tests[program] = listers.get(file[-3:], list_program)(file)
        if path not in self.tests[program]:
            return f"the program '{program}' has no test '{path}'"
        return None


def check_state(state, programs):
    """What is wrong with the state of a row."""
    kind, colon, rest = state.partition(':')
    rest = rest.strip()
    if colon == '' or kind not in STATES:
        return ['the row has no state: ' + '; '.join(STATES)]
    if kind == 'does not apply':
        return [] if rest else ['it does not apply, and there is no reason']

    problems = []
    match = TESTS.search(rest)
    if match is None:
        problems.append('no test is named')
    elif (why := rest[:match.start()].strip()) and kind == 'shown':
        problems.append(f"'{why}' is not the name of a test")
    elif not why and kind != 'shown':
        problems.append('it differs, and nobody says what is better')
    names = re.findall('`([^`]+)`', match[1]) if match else []
    return problems + list(filter(None, map(programs.find, names)))


def read_rows(text):
    """The cells of each row of the tables, without their heads."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        if line.startswith('|') and cells[0] != 'no.' and not re.match('^-+$', cells[0]):
            yield cells


def check_numbers(numbers):
    """What is wrong with the numbers of all rows."""
    defects = [number for number in numbers if number.startswith('D')]
    wanted = [str(n + 1) for n in range(N_BEHAVIOURS)]
    wanted += [f'D{n + 1}' for n in range(max(1, len(set(defects))))]
    return ([f'{number} is missing' for number in wanted if number not in numbers] +
            [f'{number} is there {numbers.count(number)} times'
             for number in sorted(set(numbers)) if numbers.count(number) > 1] +
            [f'{number} is no number of the list'
             for number in sorted(set(numbers)) if number not in wanted])


def check_row(cells, programs):
    """What is wrong with one row."""
    if len(cells) != 3 or not cells[1]:
        return ['the row does not have three cells']
    problems = check_state(cells[2], programs)
    if cells[0].startswith('D') and not cells[2].startswith('shown:'):
        problems.append('no test shows that the defect cannot happen')
    return problems


class Tap:
    """Results in TAP."""

    def __init__(self):
        self.n = 0
        self.failed = False

    def tell(self, what, problems):
        self.n += 1
        self.failed = self.failed or bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.n} - {what.replace('#', '')}")
        for problem in problems:
            print(f'# {problem}')


def try_on_bad_rows(tap, own_name):
    """That what is wrong is found, and nothing else."""
    programs = Programs({'this': own_name, 'absent': '', 'true': '/bin/true'})
    rows = {
        '| 1 | it does |  |': 'has no state',
        '| 1 | it does | done |': 'has no state',
        '| 1 | it does |': 'three cells',
        '| 1 |  | does not apply: no |': 'three cells',
        '| 1 | it does | does not apply: |': 'no reason',
        '| 1 | it does | shown: |': 'no test is named',
        '| 1 | it does | shown: `` |': 'no test is named',
        '| 1 | it does | shown: here; `absent x` |': 'is not the name of a test',
        '| 1 | it does | differs on purpose: `absent x` |': 'what is better',
        '| 1 | it does | differs on purpose: faster |': 'no test is named',
        '| 1 | it does | shown: `nobody /x` |': "no test program 'nobody'",
        '| 1 | it does | shown: `absent x`, `true /x` |': "has no test '/x'",
        '| 1 | it does | shown: `this Tap.test_x` |': "has no test 'Tap.test_x'",
        '| D1 | it does | does not apply: no |': 'cannot happen',
    }
    for row, complaint in rows.items():
        found = [check_row(cells, programs) for cells in read_rows(row)]
        good = len(found) == 1 and len(found[0]) == 1 and complaint in found[0][0]
        tap.tell(f'finds: {row}', [] if good else [f'found: {found}'])

    numbers = [str(n + 1) for n in range(N_BEHAVIOURS)] + ['D1', 'D2']
    for what, wrong, complaint in (
            ('a missing number', numbers[1:], ['1 is missing']),
            ('a number twice', numbers + ['7'], ['7 is there 2 times']),
            ('a number too many', numbers + ['67'], ['67 is no number of the list']),
            ('a missing defect', numbers[:-1] + ['D3'],
             ['D2 is missing', 'D3 is no number of the list']),
            ('nothing in a good list', numbers, [])):
        found = check_numbers(wrong)
        tap.tell(f'finds {what}', [] if found == complaint else [f'found: {found}'])


def main(own_name, path, *files):
    tap = Tap()
    programs = Programs(dict(file.split('=', 1) for file in files))
    print('TAP version 13')
    try_on_bad_rows(tap, own_name)
    with open(path, encoding='utf-8') as text:
        rows = list(read_rows(text.read()))
    for cells in rows:
        tap.tell(' '.join(cells), check_row(cells, programs))
    tap.tell(f'numbers 1 to {N_BEHAVIOURS}, and those of the defects, each once',
             check_numbers([cells[0] for cells in rows]))
    print(f'1..{tap.n}')
    return tap.failed


sys.exit(main(*sys.argv))
