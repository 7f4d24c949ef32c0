/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on stderr per event; nothing else in the code writes there. */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include "base.h"

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	LOG_LEVEL_COUNT,
};

/* The program's name before every line, and the least urgent level that is still printed. */
void log_init(const char *program, enum log_level level);

/* One write(2) per line, so that lines of several threads do not mix. */
void log_line(enum log_level level, const char *fmt, ...) _printf_(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
