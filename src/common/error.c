// SPDX-License-Identifier: GPL-2.0-or-later
/* The error object: see error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void err_vset(struct err *e, int code, enum exit_status status, const char *fmt, va_list ap)
	_printf_(4, 0);

static void err_vset(struct err *e, int code, enum exit_status status, const char *fmt, va_list ap)
{
	e->code = code;
	e->status = status;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	/* What a user wrote may hold anything; the text is one line all the same. */
	for (char *p = e->text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	err_vset(e, code, EXIT_FAILED, fmt, ap);
	va_end(ap);
	return code;
}

int err_usage(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	err_vset(e, -EINVAL, EXIT_USAGE, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	if (!e)
		return code;
	va_start(ap, fmt);
	err_vset(e, code, EXIT_FAILED, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", strerror(-code));
	return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char was[ERR_TEXT_MAX];
	va_list ap;
	size_t len;

	if (!e)
		return -EIO;
	memcpy(was, e->text, sizeof(was));
	va_start(ap, fmt);
	err_vset(e, e->code, e->status, fmt, ap);
	va_end(ap);
	len = strlen(e->text);
	snprintf(e->text + len, sizeof(e->text) - len, ": %s", was);
	return e->code;
}
