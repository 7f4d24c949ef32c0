// SPDX-License-Identifier: GPL-2.0-or-later
/* Which ids a user namespace has: see user_map.h. */
#include "user_map.h"

#include <stdio.h>
#include <stdlib.h>

bool user_map_has(bool group, uint32_t id)
{
	/* #syscalls openat */
	_cleanup_fclose_ FILE *f = fopen(group ? "/proc/self/gid_map" : "/proc/self/uid_map", "re");
	char line[128];
	bool any = false;

	/* First inside, first outside, how many: of a range. */
	while (f && fgets(line, sizeof(line), f)) {
		char *rest;
		unsigned long inside = strtoul(line, &rest, 10), count;

		(void)strtoul(rest, &rest, 10);
		count = strtoul(rest, NULL, 10);
		any = true;
		if (id >= inside && id - inside < count)
			return true;
	}
	return !any;
}
