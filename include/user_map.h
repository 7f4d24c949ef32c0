/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which users and groups there are in the user namespace of this process. */
#ifndef SLUICE_USER_MAP_H
#define SLUICE_USER_MAP_H

#include "base.h"

/*
 * Whether /proc/self/uid_map, or gid_map for a @group, has @id inside (user_namespaces(7)). Also
 * true where that cannot be told.
 */
bool user_map_has(bool group, uint32_t id);

#endif
