/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker may use, and when new connections had better go past it.
 *
 * Theory of Operation: at 90 % of any limit the heart rests, so that new connections go direct;
 * what was redirected before is still accepted. At the limit itself nothing is accepted until
 * there is room: with --fail=closed connections then wait in the listeners' queues. Memory is
 * bounded twice: what slow readers leave behind is counted as it comes (backlog), and past its
 * share flows read little at a time; all of it is what the kernel says is resident, asked for at
 * each beat.
 */
#ifndef SLUICE_QUOTA_H
#define SLUICE_QUOTA_H

#include "pod.h"
#include "protocol.h"
#include "proxy_config.h"

struct quota {
	uint32_t connections;
	uint32_t descriptors; /* of flows and pipes */
	uint32_t pipes;	      /* of each thread */
	uint64_t memory;      /* resident bytes of the worker */
	uint64_t backlog;     /* bytes of each thread that wait for slow readers */
};

struct usage {
	uint32_t connections, descriptors;
	uint64_t memory;
};

/* Works out what @config leaves open, and says in the log where the machine allows less. */
void quota_init(struct quota *q, const struct proxy_config *config, const struct pod *pod);

/* The limit of which 90 % are used, or REST_NONE. */
enum rest quota_near(const struct quota *q, const struct usage *u);

/*
 * The largest of --max-memory's defaults that fits a container which may have @container bytes
 * (UINT64_MAX: as many as there are).
 */
uint64_t quota_memory_default(uint64_t container);

#endif
