#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs benchmarks and makes one table of the figures that they print.

    table.py FOLDER [--json] [PAIRS] [NAME...]   all of FOLDER, or those that are named
    table.py --smoke PROGRAM                     tries one program quickly, and prints TAP

A NAME is a program without its bench-, or the beginning of a figure's name. The status is
0 unless a program failed: a sum was wrong, or it crashed. A figure that is not reached is
no failure, since a machine may be busy.
"""

import json
import os
import subprocess
import sys

PROGRAMS = ['sync', 'async', 'nobody', 'latency', 'runs', 'sleepers', 'memory', 'loop',
            'socket']
# Takes no names; its figures begin with its own.
NAMELESS = 'socket'
KEYS = ['name', 'value', 'unit', 'floor', 'ratio', 'reach', 'ok']
HEAD = ['figure', 'value', 'unit', 'floor', 'ratio', 'reach', 'ok', 'floor is']


def read_figure(line):
    """The figure in one line of a program; ValueError if it is none."""
    figure = json.loads(line)
    missing = [key for key in KEYS if key not in figure]
    if missing:
        raise ValueError('no ' + ', '.join(missing))
    for key in ('value', 'floor', 'ratio', 'reach'):
        number = figure[key]
        if isinstance(number, bool) or not isinstance(number, (int, float, type(None))):
            raise ValueError(f'{key} is no number')
    if figure['value'] is None or figure['ok'] not in (True, False, None):
        raise ValueError('value or ok is wrong')
    if (figure['floor'] is None) != (figure['ratio'] is None):
        raise ValueError('a floor needs a ratio, and a ratio a floor')
    if figure['reach'] is not None and figure['ok'] is None:
        raise ValueError('a reach needs an ok')
    if figure['reach'] is None:
        figure['ok'] = None
    return figure


def run_program(path, arguments, tell):
    """Gives tell() each figure as it comes. Whether the program did well."""
    good = True
    with subprocess.Popen([path, *arguments], stdout=subprocess.PIPE, text=True,
                          encoding='utf-8') as program:
        for line in program.stdout:
            try:
                tell(read_figure(line))
            except ValueError as error:
                print(f'{path}: {error}: {line.rstrip()}', file=sys.stderr)
                good = False
    if program.returncode != 0:
        print(f'{path}: failed, exit status {program.returncode}', file=sys.stderr)
    return good and program.returncode == 0


def show_number(number):
    if number is None:
        return '-'
    if number == int(number) and abs(number) < 1e9:
        return str(int(number))
    return f'{number:.3g}' if abs(number) < 100 else f'{number:.0f}'


def show_row(figure):
    ok = {True: 'yes', False: 'NO', None: ''}[figure['ok']]
    reach = '' if figure['reach'] is None else '<= ' + show_number(figure['reach'])
    return [figure['name'], show_number(figure['value']), figure['unit'],
            show_number(figure['floor']), show_number(figure['ratio']), reach, ok,
            figure.get('against') or '']


class Table:
    """Prints rows as they come, in columns that are wide enough for what is usual."""

    WIDTHS = [24, 9, 16, 9, 7, 8, 3, 0]
    RIGHT = (1, 3, 4)

    def __init__(self):
        self.figures = []
        self.print_row(HEAD)

    def print_row(self, cells):
        padded = [cell.rjust(width) if column in self.RIGHT else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(cells, self.WIDTHS))]
        print('  '.join(padded).rstrip(), flush=True)

    def tell(self, figure):
        self.figures.append(figure)
        self.print_row(show_row(figure))

    def end(self):
        judged = [figure for figure in self.figures if figure['ok'] is not None]
        reached = [figure for figure in judged if figure['ok']]
        print(f'{len(reached)} of {len(judged)} figures reached')


class Lines:
    """Prints figures as JSON, one a line."""

    def __init__(self):
        self.figures = []

    def tell(self, figure):
        self.figures.append(figure)
        print(json.dumps({key: figure[key] for key in KEYS}), flush=True)

    def end(self):
        pass


def smoke(path):
    """Whether all that a program prints are figures, and its sums are right."""
    figures = []
    good = run_program(path, ['--pairs', '1', '--quick'], figures.append)
    names = [figure['name'] for figure in figures]
    print('TAP version 13\n1..2')
    print('ok 1' if good else 'not ok 1', '- it works, and prints figures')
    print('ok 2' if names and len(set(names)) == len(names) else 'not ok 2',
          '- each has a name of its own')


def read_arguments(arguments):
    as_json = '--json' in arguments
    rest = [argument for argument in arguments if argument != '--json']
    pairs = '15'
    if rest and rest[0].isdigit():
        pairs = rest.pop(0)
    wrong = [argument for argument in rest if argument.startswith('-')]
    if wrong or int(pairs) == 0:
        print('usage: run [--json] [PAIRS] [NAME...]', file=sys.stderr)
        sys.exit(2)
    return as_json, pairs, rest


def choose(folder, names):
    """Each program that there is with the figures that are wanted of it; none is all."""
    figures = [name for name in names if name not in PROGRAMS]
    chosen = []
    for program in PROGRAMS:
        path = os.path.join(folder, 'bench-' + program)
        if not os.access(path, os.X_OK):
            if program in names:
                print(f'bench-{program} was not built', file=sys.stderr)
        elif not names or program in names:
            chosen.append((path, []))
        elif program == NAMELESS:
            if any(name.startswith(program) for name in figures):
                chosen.append((path, []))
        elif figures:
            chosen.append((path, figures))
    return chosen


def main(folder, arguments):
    as_json, pairs, names = read_arguments(arguments)
    report = Lines() if as_json else Table()
    good = True
    for path, wanted in choose(folder, names):
        good &= run_program(path, ['--pairs', pairs, *wanted], report.tell)
    report.end()
    if names and not report.figures:
        print('there is no such program or figure', file=sys.stderr)
        return 2
    return 0 if good else 1


if sys.argv[1] == '--smoke':
    smoke(sys.argv[2])
else:
    sys.exit(main(sys.argv[1], sys.argv[2:]))
