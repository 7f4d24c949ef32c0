/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A frozen configuration out of arguments, for tests. */
#ifndef SLUICE_TEST_CONFIG_H
#define SLUICE_TEST_CONFIG_H

#include "config.h"

/* Reads @args, NULL at the end, as `sluice apply` would; 0 or what failed. */
static int config_from(struct config *c, const char *const *args, struct err *e)
{
	char *argv[32] = { (char *)"apply" };
	int argc = 1, rc;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	config_init(c);
	rc = options_parse(&config_options, COMMAND_APPLY, argc, argv, NULL, c, NULL, 0, NULL, e);
	return rc < 0 ? rc : config_freeze(c, e);
}

#define CONFIG_FROM(c, e, ...) config_from(c, (const char *const[]){ __VA_ARGS__, NULL }, e)

#endif
