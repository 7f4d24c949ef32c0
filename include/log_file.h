/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of the access log: opened before privileges go, and anew when it was moved or removed.
 *
 * Theory of Operation: the parent opens, since the worker, which reads what strangers send, may
 * open nothing for writing. It looks once a second whether the path still leads to its file, as it
 * does no more after a rotation by renaming; if so it opens the path again and hands the descriptor
 * over to the worker, which puts it in place of the old one between two lines. A worker that comes
 * later inherits it. Only files are looked after: a pipe, a terminal and standard output stay.
 *
 * What is at the path later is not what was there at the start: whoever may rename in that
 * directory chooses it, and clients what is written. So a symbolic link is followed only where
 * there was one from the start, and nothing but a regular file takes the old one's place.
 */
#ifndef SLUICE_LOG_FILE_H
#define SLUICE_LOG_FILE_H

#include "error.h"

#include <fcntl.h>

/* Nonblocking, for a pipe that nobody reads: it must not hold the start up, and is an error. */
#define LOG_FILE_FLAGS (O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

struct log_file {
	const char *path; /* borrowed */
	int flags; /* for open(2), anew; the parent's sandbox allows no others; 0: it stays */
	int fd;	   /* -1: there is no log */
	int send, receive; /* the two ends of where descriptors are handed over; -1: it stays */
	unsigned ticks;	   /* since the last look */
	int complained;	   /* of what: an errno, or NOT_REGULAR; 0: of nothing that still is so */
};

#define LOG_FILE_NONE                               \
	{                                           \
		.fd = -1, .send = -1, .receive = -1 \
	}

/* Opens @path, or takes "-" for standard output; an empty one is none. 0, or -errno with @e set. */
int log_file_open(struct log_file *f, const char *path, struct err *e);

void log_file_close(struct log_file *f);

/* The parent, each time @period_ms have passed. */
void log_file_tick(struct log_file *f, unsigned period_ms);

/* The parent, when it is told to (SIGUSR1): looks now. */
void log_file_look(struct log_file *f);

/*
 * The worker: puts the newest descriptor of @receive in place of @fd, if there is one. Whether. One
 * that it has no number free for waits for the next call.
 */
bool log_file_take(int receive, int fd);

#endif
