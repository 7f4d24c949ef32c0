/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error object: one line for the user, one class for the exit status. */
#ifndef SLUICE_ERROR_H
#define SLUICE_ERROR_H

#include "base.h"

#define ERR_TEXT_MAX 512

/* Exit statuses are a contract with scripts: see the man page. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DRIFT = 3,
};

struct err {
	int code;		 /* negative errno, 0 while nothing failed */
	enum exit_status status; /* what main() exits with */
	char text[ERR_TEXT_MAX]; /* one line, no final newline */
};

#define ERR_INIT                                             \
	{                                                    \
		.code = 0, .status = EXIT_FAILED, .text = "" \
	}

/*
 * Sets @e (which may be NULL) to a formatted line. @code is a negative errno; its text is not
 * added. Returns @code, so that a caller can say: return err_set(e, -EINVAL, "...").
 */
int err_set(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);

/* The same for wrong usage or configuration: always -EINVAL, and main() exits with EXIT_USAGE. */
int err_usage(struct err *e, const char *fmt, ...) _printf_(2, 3);

/* As err_set(), with ": " and strerror(-code) appended. */
int err_sys(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);

/* Puts "formatted: " before what @e says; keeps code and status. Returns e->code. */
int err_wrap(struct err *e, const char *fmt, ...) _printf_(2, 3);

#endif
