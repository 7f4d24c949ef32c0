// SPDX-License-Identifier: GPL-2.0-or-later
/* What a worker may use: see quota.h. */
#include "quota.h"

#include "log.h"

#include <fcntl.h>
#include <sys/resource.h>

/* Descriptors kept for all but flows: listeners beside these, admin connections, files. */
#define DESCRIPTORS_RESERVED 160

/* Half of what a user without privileges may have of pipe pages (fs.pipe-user-pages-soft). */
#define PIPES_MAX 512u

#define MEMORY_DEFAULT (512ull << 20)

/* Where the kernel says what a container may have, in version 2 and 1 of control groups. */
static const char *const memory_files[] = {
	"/sys/fs/cgroup/memory.max",
	"/sys/fs/cgroup/memory/memory.limit_in_bytes",
};

/* A number in a file; UINT64_MAX where there is none ("max", no file). */
static uint64_t read_limit(const char *path)
{
	/* #syscalls openat read */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return UINT64_MAX;
	text[n] = '\0';
	return strtoull(text, NULL, 10);
}

/* Half: the kernel's buffers of its sockets are the container's memory, too. */
uint64_t quota_memory_default(uint64_t container)
{
	return MIN(MEMORY_DEFAULT, container / 2);
}

/* What the process may open for flows. */
static uint32_t descriptors_left(const struct pod *pod)
{
	struct rlimit files = { 0, 0 };
	rlim_t other = pod->listener_count + DESCRIPTORS_RESERVED;

	/* #syscalls prlimit64 */
	getrlimit(RLIMIT_NOFILE, &files);
	return files.rlim_cur > other ? (uint32_t)MIN(files.rlim_cur - other, UINT32_MAX) : 0;
}

void quota_init(struct quota *q, const struct proxy_config *config, const struct pod *pod)
{
	uint32_t left = descriptors_left(pod), most;
	uint64_t container = UINT64_MAX;

	/* A pipe is two descriptors, and all proxies of a node share the pages of theirs. */
	q->descriptors = left;
	q->pipes = MIN(left / 8, PIPES_MAX);
	most = MAX((left - 2 * q->pipes) / 2, 1u);
	q->pipes /= config->threads;
	if (config->max_connections > most)
		log_warn("--max-connections=%u: the descriptor limit allows %u",
			 config->max_connections, most);
	q->connections = config->max_connections ? MIN(config->max_connections, most) : most;

	for (unsigned i = 0; i < ARRAY_SIZE(memory_files); i++)
		container = MIN(container, read_limit(memory_files[i]));
	q->memory = config->max_memory ? config->max_memory : quota_memory_default(container);
	if (q->memory > container)
		log_warn("--max-memory: this container may have %llu bytes in all",
			 (unsigned long long)container);
	q->backlog = q->memory / 2 / config->threads;
}

static bool is_near(uint64_t used, uint64_t limit)
{
	return used >= limit - limit / 10;
}

enum rest quota_near(const struct quota *q, const struct usage *u)
{
	if (is_near(u->connections, q->connections))
		return REST_CONNECTIONS;
	if (is_near(u->descriptors, q->descriptors))
		return REST_DESCRIPTORS;
	return is_near(u->memory, q->memory) ? REST_MEMORY : REST_NONE;
}
