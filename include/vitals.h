/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What parent and worker know of one another: a page of memory and an eventfd. */
#ifndef SLUICE_VITALS_H
#define SLUICE_VITALS_H

#include "base.h"

#include <stdatomic.h>

/* What the admin server was told last; each goes further than the one before. */
enum vitals_order {
	ORDER_NONE,
	ORDER_DRAIN, /* give the redirect up, and stay */
	ORDER_QUIT,  /* as SIGTERM */
};

/*
 * Shared memory, made by the parent before it forks. The worker writes `pulse`, `ready` and
 * `order`, the parent the rest.
 */
struct vitals {
	_Atomic uint64_t pulse; /* counts up while every thread of the worker goes round */
	_Atomic int order;	/* enum vitals_order; outlives a worker */
	_Atomic bool ready;	/* some worker has served: a later failure is a crash */
	_Atomic uint64_t restarts;
	_Atomic bool observers_off; /* of flows that begin */
	_Atomic bool rest;	    /* no beat: workers died too often */
};

#endif
