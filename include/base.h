/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every file may use: sizes, cleanup attributes, printf checking. */
#ifndef SLUICE_BASE_H
#define SLUICE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a)	      (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	      ((a) < (b) ? (a) : (b))
#define MAX(a, b)	      ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _must_check_	    __attribute__((warn_unused_result))
#define _unused_	    __attribute__((unused))
#define _noreturn_	    __attribute__((noreturn))
#define likely(x)	    __builtin_expect(!!(x), 1)
#define unlikely(x)	    __builtin_expect(!!(x), 0)

#define _cleanup_(fn)	 __attribute__((cleanup(fn)))
#define _cleanup_free_	 _cleanup_(cleanup_free)
#define _cleanup_close_	 _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* What a noun takes behind a number: "1 rule", "2 rules". */
static inline const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

/* Hands a descriptor on: the cleanup attribute no longer closes it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Hands a heap pointer on; use as take_ptr(&p). The type is the caller's. */
#define take_ptr(p)                             \
	__extension__({                         \
		__typeof__(*(p)) taken_ = *(p); \
		*(p) = NULL;                    \
		taken_;                         \
	})

#endif
