/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sluice can be told to do. */
#ifndef SLUICE_COMMANDS_H
#define SLUICE_COMMANDS_H

#include "config.h"

/* Goes where the rules are, or shall be. The second rung of privs.h. */
int commands_enter(const struct config *c, struct err *e);

/* Each takes a frozen configuration and returns an exit status, or -errno with @e set. */
int command_status(const struct config *c, struct err *e);
int command_verify(const struct config *c, struct err *e);
int command_explain(const struct config *c, struct err *e);
int command_apply(const struct config *c, struct err *e);
int command_remove(const struct config *c, struct err *e);
int command_plan(const struct config *c, struct err *e);
int command_inject(const struct config *c, struct err *e);
int command_check(const struct config *c, struct err *e);

#endif
