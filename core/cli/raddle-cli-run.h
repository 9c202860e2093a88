/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

int raddle_cli_run    (int argc, char **argv);
int raddle_cli_replay (int argc, char **argv);
