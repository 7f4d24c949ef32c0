// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines on stderr: see log.h. */
#include "log.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const char *log_program = "sluice";
static enum log_level log_level = LOG_INFO;

static const char *const log_prefix[] = { "error: ", "warning: ", "", "debug: " };
_Static_assert(ARRAY_SIZE(log_prefix) == LOG_LEVEL_COUNT, "a prefix for each level");

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_level = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	size_t len;

	if (level > log_level)
		return;
	snprintf(line, sizeof(line), "%s: %s", log_program, log_prefix[level]);
	len = strlen(line);
	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0) {
		/* Nobody to tell. */
	}
}
