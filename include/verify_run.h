/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connections of verify, made: see verify.h for which, stage.h for where. */
#ifndef SLUICE_VERIFY_RUN_H
#define SLUICE_VERIFY_RUN_H

#include "config.h"
#include "plan.h"

/* Told of each check, in turn. */
enum verify_outcome {
	VERIFY_OK,
	VERIFY_FAILED,
	VERIFY_NOT_TRIED,
	VERIFY_OUTCOME_COUNT,
};

struct verify_report {
	enum verify_outcome outcome;
	const char *what;   /* "out-redirect: IPv4, ..." */
	const char *reason; /* what happened instead, or why it was not tried; "" when ok */
};

/*
 * Makes every connection that can show a rule of @plan at work, in the current namespace, and takes
 * away again whatever it made, also when @stop becomes true meanwhile. Returns the number of checks
 * that failed, or -errno with @e set: -EINTR when stopped.
 */
long verify_run(const struct config *c, const struct plan *plan, const volatile int *stop,
		void (*report)(const struct verify_report *r, void *data), void *data,
		struct err *e);

#endif
