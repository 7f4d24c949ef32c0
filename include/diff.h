/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ordered lists of rules held against each other. Pure. */
#ifndef SLUICE_DIFF_H
#define SLUICE_DIFF_H

#include "base.h"

/* What is compared: @i counts in the list that is wanted, @j in the one that was found. */
struct diff {
	size_t want, have; /* lengths */
	bool (*equal)(size_t i, size_t j, void *data);
	bool (*akin)(size_t i, size_t j, void *data); /* the same row, if not the same rule */
	void (*missing)(size_t i, void *data);
	void (*extra)(size_t j, void *data);
	void (*changed)(size_t i, size_t j, void *data);
	void *data;
};

/*
 * Walks both along a longest common subsequence, so that one rule put in between is one difference
 * and not one for each rule behind it. Time and memory: the product of what is left between the
 * first and the last difference. 0 or -ENOMEM.
 */
int diff_walk(const struct diff *d);

#endif
