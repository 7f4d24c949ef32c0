// SPDX-License-Identifier: GPL-2.0-or-later
/* Two ordered lists held against each other: see diff.h. */
#include "diff.h"

#include <errno.h>

/* Beyond this the two have so little in common that everything is told as missing and extra. */
#define TABLE_MAX (16u << 20)

/* The part that differs, from where both begin to where both end. */
struct window {
	size_t i, j; /* the walk's place */
	size_t want, have;
};

static struct window narrow(const struct diff *d)
{
	struct window w = { .want = d->want, .have = d->have };

	while (w.i < w.want && w.j < w.have && d->equal(w.i, w.j, d->data))
		w.i++, w.j++;
	while (w.want > w.i && w.have > w.j && d->equal(w.want - 1, w.have - 1, d->data))
		w.want--, w.have--;
	return w;
}

/* Length of the longest common subsequence from (i, j) on, for each i and j of the window. */
static void fill(const struct diff *d, const struct window *w, uint32_t *common, size_t width)
{
	for (size_t i = w->want; i-- > w->i;) {
		uint32_t *row = common + (i - w->i) * width, *below = row + width;

		for (size_t j = w->have; j-- > w->j;) {
			size_t k = j - w->j;

			row[k] = d->equal(i, j, d->data) ? below[k + 1] + 1
							 : MAX(below[k], row[k + 1]);
		}
	}
}

static void walk(const struct diff *d, struct window w, const uint32_t *common, size_t width)
{
	size_t i = w.i, j = w.j;

	while (i < w.want || j < w.have) {
		const uint32_t *here = common + (i - w.i) * width + (j - w.j);
		bool both = i < w.want && j < w.have;

		if (both && d->equal(i, j, d->data)) {
			i++, j++;
		} else if (both && here[0] == here[width + 1] && d->akin(i, j, d->data)) {
			d->changed(i++, j++, d->data);
		} else if (j == w.have || (i < w.want && here[width] >= here[1])) {
			d->missing(i++, d->data);
		} else {
			d->extra(j++, d->data);
		}
	}
}

int diff_walk(const struct diff *d)
{
	struct window w = narrow(d);
	size_t height = w.want - w.i + 1, width = w.have - w.j + 1;
	uint32_t *common;

	if (height > TABLE_MAX / width) {
		for (size_t i = w.i; i < w.want; i++)
			d->missing(i, d->data);
		for (size_t j = w.j; j < w.have; j++)
			d->extra(j, d->data);
		return 0;
	}
	common = calloc(height * width, sizeof(*common));
	if (!common)
		return -ENOMEM;
	fill(d, &w, common, width);
	walk(d, w, common, width);
	free(common);
	return 0;
}
