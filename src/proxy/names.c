// SPDX-License-Identifier: GPL-2.0-or-later
/* What private destinations are called: see names.h. */
#include "names.h"

/* An address without a name may have one a while later: then a new answer is worth a look. */
#define LOOK_AGAIN_NS 1000000000ull

#define NEVER UINT64_MAX

static bool is_private_v4(const uint8_t b[4])
{
	return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
	       (b[0] == 100 && (b[1] & 0xc0) == 64);
}

bool names_is_private(const struct addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family == ADDR_V4)
		return is_private_v4(a->bytes);
	if (memcmp(a->bytes, mapped, sizeof(mapped)) == 0)
		return is_private_v4(a->bytes + sizeof(mapped));
	return (a->bytes[0] & 0xfe) == 0xfc;
}

/* The label of @name that begins at *@at, which goes on to the next. Empty: there is none. */
static struct span next_label(struct span name, size_t *at)
{
	const char *begin = name.ptr + MIN(*at, name.len);
	size_t left = name.len - MIN(*at, name.len);
	const char *dot = left ? memchr(begin, '.', left) : NULL;
	struct span label = SPAN(begin, dot ? (size_t)(dot - begin) : left);

	*at += label.len + 1;
	return label;
}

/* Whether @label is @a as DNS of clusters spells it: with "-" for "." and ":". */
static bool spells(struct span label, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	addr_text(a, text);
	for (char *c = text; *c; c++) {
		if (*c == '.' || *c == ':')
			*c = '-';
	}
	return span_eq(label, span_str(text));
}

struct span names_of_service(struct span name, const struct addr *a)
{
	struct span labels[4];
	size_t at = 0, rest = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(labels); i++) {
		labels[i] = next_label(name, &at);
		if (i == 0)
			rest = at;
	}
	if (rest < name.len && (span_eq(labels[3], SPAN_LIT("svc")) ||
				span_eq(labels[2], SPAN_LIT("pod")) || spells(labels[0], a)))
		return SPAN(name.ptr + rest, name.len - rest);
	return name;
}

void names_look(const struct names *n, struct names_flow *f, const struct addr *a, uint64_t now)
{
	struct resolver_answer answer;

	if (f->look_at == NEVER || now < f->look_at || !resolver_ptr(n->resolver, a, NULL, &answer))
		return;
	f->look_at = now > NEVER - LOOK_AGAIN_NS ? NEVER : now + LOOK_AGAIN_NS;
	if (answer.result == DNS_ANSWERED && resolver_searches(n->resolver, answer.name)) {
		f->name = metrics_name(n->shard, names_of_service(answer.name, a), METRIC_NAME_PTR);
		f->look_at = NEVER;
	}
}

void names_begin(const struct names *n, struct names_flow *f, const struct addr *a, uint64_t now)
{
	*f = (struct names_flow){ .name = METRIC_NAME_NONE, .look_at = NEVER };
	if (!n->resolver ||
	    !(names_is_private(a) || (n->cluster && cidr_list_has(n->cluster, a))) ||
	    !resolver_has_search(n->resolver))
		return;
	f->look_at = 0;
	names_look(n, f, a, now);
}
