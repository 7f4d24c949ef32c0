// SPDX-License-Identifier: GPL-2.0-or-later
/* Pipes for splice(2): see pipes.h. */
#include "pipes.h"

#include <fcntl.h>

#define POOL_MAX 16	     /* empty pipes that are kept */
#define RETRY_NS 1000000000u /* after a refusal */

static void close_pipe(struct pipe_pool *pool, struct pipe *p)
{
	pool->open--;
	close(p->read_fd);
	close(p->write_fd);
	free(p);
}

static struct pipe *open_pipe(struct pipe_pool *pool)
{
	struct pipe *p = calloc(1, sizeof(*p));
	int fds[2];

	if (!p)
		return NULL;
	/* #syscalls pipe2 */
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	pool->open++;
	p->read_fd = fds[0];
	p->write_fd = fds[1];
	/* #syscalls fcntl */
	if (fcntl(p->write_fd, F_GETPIPE_SZ) >= PIPE_BYTES)
		return p;
	close_pipe(pool, p);
	return NULL;
}

struct pipe *pipe_take(struct pipe_pool *pool, uint64_t now)
{
	struct pipe *p = pool->free;

	if (p) {
		pool->free = p->next;
		pool->free_count--;
		return p;
	}
	if (now < pool->retry || pool->open >= pool->limit)
		return NULL;
	p = open_pipe(pool);
	if (!p)
		pool->retry = now + RETRY_NS;
	return p;
}

void pipe_give(struct pipe_pool *pool, struct pipe *p)
{
	if (p->bytes || pool->free_count == POOL_MAX) {
		close_pipe(pool, p);
		return;
	}
	p->next = pool->free;
	pool->free = p;
	pool->free_count++;
}

void pipe_pool_fini(struct pipe_pool *pool)
{
	while (pool->free) {
		struct pipe *p = pool->free;

		pool->free = p->next;
		close_pipe(pool, p);
	}
	pool->free_count = 0;
}
