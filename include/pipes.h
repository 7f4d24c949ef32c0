/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pipes for splice(2), a few per thread.
 *
 * Pipe pages are a budget of all processes of a user (fs.pipe-user-pages-soft: 16,384 pages, which
 * all proxies of a node share); past it the kernel makes pipes of one or two pages, which are
 * worse than a copy. So a pipe is of the default size, never enlarged, its size is checked, and
 * a flow holds one only while bytes are in it.
 */
#ifndef SLUICE_PIPES_H
#define SLUICE_PIPES_H

#include "base.h"

#include <stdatomic.h>

/* What a usable pipe holds, bytes (the kernel's default). */
#define PIPE_BYTES 65536

struct pipe {
	struct pipe *next; /* in the pool */
	int read_fd, write_fd;
	size_t bytes; /* that are in it now */
};

/* All zero, with a limit, is an empty pool. */
struct pipe_pool {
	struct pipe *free;
	unsigned free_count;
	_Atomic unsigned open; /* pipes that there are: each is two descriptors */
	unsigned limit;	       /* how many there may be */
	uint64_t retry; /* ns: no new pipe is tried before, since the last was refused or small */
};

/* An empty pipe, or NULL when there is none to be had now: then read and write instead. */
struct pipe *pipe_take(struct pipe_pool *pool, uint64_t now);

/* Gives @p back; one that still holds bytes is closed. */
void pipe_give(struct pipe_pool *pool, struct pipe *p);

/* Closes the pool's pipes. */
void pipe_pool_fini(struct pipe_pool *pool);

#endif
