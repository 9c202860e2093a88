/* SPDX-License-Identifier: LGPL-2.1-or-later */

#pragma once

int raddle_cli_inspect (int    argc,
                        char **argv);
