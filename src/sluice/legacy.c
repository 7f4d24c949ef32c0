// SPDX-License-Identifier: GPL-2.0-or-later
/* The legacy tables through libiptc: see legacy.h. */
#include "legacy.h"

#include "user_map.h"

#include <netinet/in.h>

#include <errno.h>
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <linux/netfilter/xt_owner.h>
#include <sys/socket.h>

/* libiptc and its twin, with the types of the entries hidden. */
struct library {
	const char *name; /* of the family, for users */
	const char *proc; /* names of the tables there are, of matches, of targets */
	int domain;
	struct xtc_handle *(*init)(const char *);
	void (*free)(struct xtc_handle *);
	const char *(*first_chain)(struct xtc_handle *);
	const char *(*next_chain)(struct xtc_handle *);
	const void *(*first_rule)(const char *, struct xtc_handle *);
	const void *(*next_rule)(const void *, struct xtc_handle *);
	const char *(*target)(const void *, struct xtc_handle *);
	int (*builtin)(const char *, struct xtc_handle *);
	int (*create)(const xt_chainlabel, struct xtc_handle *);
	int (*flush)(const xt_chainlabel, struct xtc_handle *);
	int (*delete)(const xt_chainlabel, struct xtc_handle *);
	int (*append)(const xt_chainlabel, const void *, struct xtc_handle *);
	int (*insert)(const xt_chainlabel, const void *, unsigned, struct xtc_handle *);
	int (*delete_rule)(const xt_chainlabel, unsigned, struct xtc_handle *);
	int (*commit)(struct xtc_handle *);
	const char *(*strerror)(int);
};

#define LIBRARY(prefix, entry)                                                                     \
	static const void *prefix##_first(const char *chain, struct xtc_handle *h)                 \
	{                                                                                          \
		return prefix##_first_rule(chain, h);                                              \
	}                                                                                          \
	static const void *prefix##_next(const void *rule, struct xtc_handle *h)                   \
	{                                                                                          \
		return prefix##_next_rule((const struct entry *)rule, h);                          \
	}                                                                                          \
	static const char *prefix##_target(const void *rule, struct xtc_handle *h)                 \
	{                                                                                          \
		return prefix##_get_target((const struct entry *)rule, h);                         \
	}                                                                                          \
	static int prefix##_append(const xt_chainlabel chain, const void *r, struct xtc_handle *h) \
	{                                                                                          \
		return prefix##_append_entry(chain, (const struct entry *)r, h);                   \
	}                                                                                          \
	static int prefix##_insert(const xt_chainlabel chain, const void *r, unsigned position,    \
				   struct xtc_handle *h)                                           \
	{                                                                                          \
		return prefix##_insert_entry(chain, (const struct entry *)r, position, h);         \
	}

LIBRARY(iptc, ipt_entry)
LIBRARY(ip6tc, ip6t_entry)

#define MEMBERS(prefix)                                                                        \
	.init = prefix##_init, .free = prefix##_free, .first_chain = prefix##_first_chain,     \
	.next_chain = prefix##_next_chain, .first_rule = prefix##_first,                       \
	.next_rule = prefix##_next, .target = prefix##_target, .builtin = prefix##_builtin,    \
	.create = prefix##_create_chain, .flush = prefix##_flush_entries,                      \
	.delete = prefix##_delete_chain, .append = prefix##_append, .insert = prefix##_insert, \
	.delete_rule = prefix##_delete_num_entry, .commit = prefix##_commit,                   \
	.strerror = prefix##_strerror

static const struct library libraries[] = {
	[ADDR_V4] = { "IPv4", "ip", AF_INET, MEMBERS(iptc) },
	[ADDR_V6] = { "IPv6", "ip6", AF_INET6, MEMBERS(ip6tc) },
};
_Static_assert(ARRAY_SIZE(libraries) == ADDR_FAMILY_COUNT, "a library for each family");

/* Calls @each with every line of /proc/net/ip_tables_<kind> until it is true: then 1; 0 or -errno.
 */
static int find_listed(const struct library *lib, const char *kind,
		       bool (*each)(const char *line, const void *data), const void *data)
{
	char path[64], line[64];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), "/proc/self/net/%s_tables_%s", lib->proc, kind);
	f = fopen(path, "re"); /* #syscalls openat */
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (each(line, data))
			return 1;
	}
	return 0;
}

static bool is_name(const char *line, const void *data)
{
	return strcmp(line, data) == 0;
}

static bool is_table(const char *line, const void *data)
{
	bool is = false;

	(void)data;
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++)
		is |= strcmp(line, lower_table_name(i)) == 0;
	return is;
}

/* Whether /proc/net/ip_tables_<kind> has the line @name: 1, 0, -ENOENT or -EACCES. */
static int listed(const struct library *lib, const char *kind, const char *name)
{
	return find_listed(lib, kind, is_name, name);
}

int legacy_registered(enum addr_family family, enum lower_table table)
{
	int rc = listed(&libraries[family], "names", lower_table_name(table));

	/* Without the module there is no such file, and no table. */
	return rc == -ENOENT ? 0 : rc;
}

int legacy_registered_any(enum addr_family family)
{
	int rc = find_listed(&libraries[family], "names", is_table, NULL);

	return rc == -ENOENT ? 0 : rc;
}

bool legacy_has_family(enum addr_family family)
{
	_cleanup_close_ int fd = socket(libraries[family].domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 || errno != EAFNOSUPPORT;
}

int legacy_may(struct err *e)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (fd < 0 && errno == EPERM)
		return err_set(
			e, -EPERM,
			"the legacy tables need CAP_NET_RAW besides CAP_NET_ADMIN: grant it, "
			"or use --backend=nft, which does without");
	return 0;
}

static int open_error(const struct legacy *l, int error, struct err *e)
{
	const struct library *lib = &libraries[l->family];
	const char *table = lower_table_name(l->table);

	if (error == EPERM)
		return legacy_may(e) < 0 ? e->code
					 : err_set(e, -EPERM,
						   "the legacy tables need CAP_NET_ADMIN in the "
						   "user namespace "
						   "that owns this network namespace");
	if (error == ENOENT || error == ENOPROTOOPT)
		return err_set(e, -error,
			       "this kernel has no legacy %s table '%s' (%s_tables is missing or "
			       "was built without it): use --backend=nft",
			       lib->name, table, lib->proc);
	return err_set(e, -error, "cannot read the legacy %s table '%s': %s", lib->name, table,
		       strerror(error));
}

void legacy_close(struct legacy *l)
{
	if (l->handle)
		libraries[l->family].free(l->handle);
	l->handle = NULL;
}

int legacy_open(struct legacy *l, enum addr_family family, enum lower_table table, struct err *e)
{
	*l = (struct legacy){ .family = family, .table = table };
	errno = 0;
	/* #syscalls socket getsockopt setsockopt fcntl */
	l->handle = libraries[family].init(lower_table_name(table));
	/* libiptc says it the wrong way round where it is out of memory for its index of chains. */
	errno = errno < 0 ? -errno : errno;
	/* And stops reading when it is out of memory for a chain, and says nothing (parse_table()).
	 */
	if (l->handle && errno == ENOMEM) {
		legacy_close(l);
		errno = ENOMEM;
	}
	return l->handle ? 0 : open_error(l, errno, e);
}

static bool is_ours(const char *chain)
{
	return chain && strncmp(chain, LOWER_PREFIX, strlen(LOWER_PREFIX)) == 0;
}

/* Where a rule of the kernel leads, when its target is a standard one; else NULL. */
static const char *standard_target(const struct legacy *l, const void *rule)
{
	const struct ipt_entry *v4 = rule;
	const struct ip6t_entry *v6 = rule;
	size_t offset = l->family == ADDR_V4 ? v4->target_offset : v6->target_offset;
	const struct xt_entry_target *t = (const void *)((const char *)rule + offset);

	return t->u.user.name[0] ? NULL : libraries[l->family].target(rule, l->handle);
}

static size_t rule_size(const struct legacy *l, const void *rule)
{
	return l->family == ADDR_V4 ? ((const struct ipt_entry *)rule)->next_offset
				    : ((const struct ip6t_entry *)rule)->next_offset;
}

/* What a rule of the kernel has counted. */
static void take_counters(const struct legacy *l, const void *rule, struct xtable_rule *out)
{
	const struct xt_counters *counted = l->family == ADDR_V4
						    ? &((const struct ipt_entry *)rule)->counters
						    : &((const struct ip6t_entry *)rule)->counters;

	out->packets = counted->pcnt;
	out->bytes_seen = counted->bcnt;
}

/* All rules of a chain of ours. */
static bool read_chain(const struct legacy *l, const char *chain, struct xtable *out)
{
	const struct library *lib = &libraries[l->family];
	struct xtable_chain *c = xtable_add_chain(out, chain);
	const void *rule;

	if (!c)
		return false;
	for (rule = lib->first_rule(chain, l->handle); rule;
	     rule = lib->next_rule(rule, l->handle)) {
		if (!xtable_add_rule(out, c, rule, rule_size(l, rule)))
			return false;
		take_counters(l, rule, &c->rules[c->count - 1]);
		xtable_normalize(out, &c->rules[c->count - 1], standard_target(l, rule));
	}
	return true;
}

/* The jumps of a built-in chain to chains of ours. */
static bool read_builtin(const struct legacy *l, const char *chain, struct xtable *out)
{
	const struct library *lib = &libraries[l->family];
	unsigned position = 0;
	const void *rule;

	for (rule = lib->first_rule(chain, l->handle); rule;
	     rule = lib->next_rule(rule, l->handle), position++) {
		const char *target = standard_target(l, rule);
		struct xtable_entry *entry;

		if (!is_ours(target))
			continue;
		entry = xtable_add_entry(out, chain, position);
		if (!entry || !xtable_set_entry(out, entry, rule, rule_size(l, rule)))
			return false;
		take_counters(l, rule, &entry->rule);
		xtable_normalize(out, &entry->rule, target);
	}
	return true;
}

int legacy_read(const struct legacy *l, struct xtable *out, struct err *e)
{
	const struct library *lib = &libraries[l->family];
	bool done = true;
	const char *chain;

	xtable_init(out, l->family, l->table);
	for (chain = lib->first_chain(l->handle); done && chain;
	     chain = lib->next_chain(l->handle)) {
		if (lib->builtin(chain, l->handle))
			done = read_builtin(l, chain, out);
		else if (is_ours(chain))
			done = read_chain(l, chain, out);
	}
	xtable_complete(out);
	return done ? 0 : err_set(e, -ENOMEM, "out of memory for the rules");
}

/* The name in a rule's target, "" for a standard one. */
static const char *target_name(const struct legacy *l, const void *rule)
{
	size_t offset = l->family == ADDR_V4 ? ((const struct ipt_entry *)rule)->target_offset
					     : ((const struct ip6t_entry *)rule)->target_offset;

	return ((const struct xt_entry_target *)(const void *)((const char *)rule + offset))
		->u.user.name;
}

void legacy_each_chain(const struct legacy *l,
		       void (*each)(const struct legacy_chain *c, void *data), void *data)
{
	const struct library *lib = &libraries[l->family];
	const void *rule;

	for (const char *chain = lib->first_chain(l->handle); chain;
	     chain = lib->next_chain(l->handle)) {
		struct legacy_chain c = { .name = chain };

		if (is_ours(chain))
			continue;
		c.builtin = lib->builtin(chain, l->handle);
		for (rule = lib->first_rule(chain, l->handle); rule;
		     rule = lib->next_rule(rule, l->handle)) {
			const char *name = target_name(l, rule);

			c.foreign += !is_ours(standard_target(l, rule));
			c.untracking += strcmp(name, "CT") == 0 || strcmp(name, "NOTRACK") == 0;
		}
		each(&c, data);
	}
}

/* A chain's name where libiptc wants an array of 32. */
struct label {
	xt_chainlabel text;
};

static struct label label(const char *name)
{
	struct label l = { "" };

	memcpy(l.text, name, strnlen(name, sizeof(l.text) - 1));
	return l;
}

/* Takes our rules out of the snapshot, and the chains that are not wanted any more. */
static bool clear(struct legacy *l, const struct xtable *have, const struct xtable *want,
		  const char **culprit)
{
	const struct library *lib = &libraries[l->family];

	/* From behind, so that positions hold. */
	for (size_t i = have->entry_count; i-- > 0;) {
		*culprit = have->entries[i].builtin;
		if (!lib->delete_rule(label(*culprit).text, have->entries[i].position, l->handle))
			return false;
	}
	for (size_t i = 0; i < have->chain_count; i++) {
		*culprit = have->chains[i].name;
		if (!lib->flush(label(*culprit).text, l->handle))
			return false;
	}
	for (size_t i = 0; i < have->chain_count; i++) {
		*culprit = have->chains[i].name;
		if (!xtable_find_chain(want, *culprit) &&
		    !lib->delete (label(*culprit).text, l->handle))
			return false;
	}
	return true;
}

static bool fill_chain(struct legacy *l, const struct xtable *want, const struct xtable_chain *c)
{
	const struct label name = label(c->name);

	for (size_t i = 0; i < c->count; i++) {
		if (!libraries[l->family].append(name.text, xtable_bytes(want, &c->rules[i]),
						 l->handle))
			return false;
	}
	return true;
}

static bool fill(struct legacy *l, const struct xtable *have, const struct xtable *want,
		 const char **culprit)
{
	const struct library *lib = &libraries[l->family];

	/* Every chain before any rule, which may lead to it. */
	for (size_t i = 0; i < want->chain_count; i++) {
		*culprit = want->chains[i].name;
		if (!xtable_find_chain(have, *culprit) &&
		    !lib->create(label(*culprit).text, l->handle))
			return false;
	}
	for (size_t i = 0; i < want->chain_count; i++) {
		*culprit = want->chains[i].name;
		if (!fill_chain(l, want, &want->chains[i]))
			return false;
	}
	for (size_t i = 0; i < want->entry_count; i++) {
		const struct xtable_entry *entry = &want->entries[i];

		*culprit = entry->builtin;
		if (!lib->insert(label(*culprit).text, xtable_bytes(want, &entry->rule),
				 entry->position, l->handle))
			return false;
	}
	return true;
}

/* Called for each match of each rule of ours: is it one that the kernel did not find? */
struct search {
	const struct library *lib;
	const char *lacking; /* NULL: all found so far */
};

static void find_lacking(const struct xtable_part *match, void *data)
{
	struct search *s = data;

	if (!s->lacking && listed(s->lib, "matches", match->name) == 0)
		s->lacking = match->name;
}

/* The match or target of @want that the kernel has not even after it tried to load it. */
static const char *lacking(const struct xtable *want)
{
	struct search s = { .lib = &libraries[want->family] };

	for (size_t i = 0; i < want->chain_count; i++) {
		const struct xtable_chain *c = &want->chains[i];

		for (size_t j = 0; j < c->count && !s.lacking; j++) {
			struct xtable_part target;

			xtable_each_match(want, &c->rules[j], find_lacking, &s);
			xtable_target_part(want, &c->rules[j], &target);
			/* A standard target has room for its verdict and no more. */
			if (!s.lacking && target.len > XT_ALIGN(sizeof(int)) &&
			    listed(s.lib, "targets", target.name) == 0)
				s.lacking = target.name;
		}
	}
	return s.lacking;
}

/* Called for each match of each rule of ours: does it name an owner that there is not here? */
struct stranger {
	bool found, group;
	uint32_t id;
};

static void find_stranger(const struct xtable_part *match, void *data)
{
	struct stranger *s = data;
	struct xt_owner_match_info m;

	if (s->found || strcmp(match->name, "owner") != 0 || match->len < sizeof(m))
		return;
	memcpy(&m, match->data, sizeof(m));
	s->group = m.match & XT_OWNER_GID;
	/* The kernel asks for both ends of a range (owner_check() of xt_owner). */
	for (unsigned end = 0; end < 2 && !s->found; end++) {
		s->id = s->group ? (end ? m.gid_max : m.gid_min) : (end ? m.uid_max : m.uid_min);
		s->found = !user_map_has(s->group, s->id);
	}
}

static struct stranger stranger_in(const struct xtable *want)
{
	struct stranger s = { .found = false };

	for (size_t i = 0; i < want->chain_count; i++) {
		const struct xtable_chain *c = &want->chains[i];

		for (size_t j = 0; j < c->count && !s.found; j++)
			xtable_each_match(want, &c->rules[j], find_stranger, &s);
	}
	return s;
}

static int refused_error(const struct legacy *l, const struct xtable *want, struct err *e)
{
	struct stranger s = stranger_in(want);

	if (s.found)
		return err_set(e, -EINVAL,
			       "this user namespace has no %s %u, and legacy rules match only "
			       "owners that it has: map it (/proc/PID/%cid_map), or name "
			       "another (--proxy-%cid)",
			       s.group ? "group" : "user", s.id, s.group ? 'g' : 'u',
			       s.group ? 'g' : 'u');
	return err_set(
		e, -EINVAL,
		"the kernel refuses the rules for the legacy %s table '%s': the kernel's log "
		"says why (owners can be matched only from the user namespace that owns the "
		"network namespace)",
		libraries[l->family].name, lower_table_name(l->table));
}

static int commit_error(const struct legacy *l, const struct xtable *want, int error, struct err *e)
{
	const struct library *lib = &libraries[l->family];
	const char *table = lower_table_name(l->table);
	const char *extension = error == ENOENT ? lacking(want) : NULL;

	if (error == EAGAIN)
		return -EAGAIN;
	if (extension)
		return err_set(
			e, -ENOENT,
			"this kernel lacks the %s extension '%s' (module xt_%s): load it, or "
			"use --backend=nft",
			lib->name, extension, extension);
	if (error == EINVAL)
		return refused_error(l, want, e);
	return err_set(e, -error, "cannot change the legacy %s table '%s': %s", lib->name, table,
		       strerror(error));
}

static int edit_error(const struct legacy *l, const char *chain, int error, struct err *e)
{
	const struct library *lib = &libraries[l->family];
	const char *table = lower_table_name(l->table);

	if (error == EMLINK)
		return err_set(e, -EBUSY,
			       "legacy %s table '%s': a rule of others still leads to chain %s: "
			       "delete that rule first",
			       lib->name, table, chain);
	return err_set(e, -error, "legacy %s table '%s', chain %s: %s", lib->name, table, chain,
		       lib->strerror(error));
}

int legacy_write(struct legacy *l, const struct xtable *have, const struct xtable *want,
		 struct err *e)
{
	const char *culprit = "";

	errno = 0;
	if (!clear(l, have, want, &culprit) || !fill(l, have, want, &culprit))
		return edit_error(l, culprit, errno ? errno : EINVAL, e);
	errno = 0;
	return libraries[l->family].commit(l->handle)
		       ? 0
		       : commit_error(l, want, errno ? errno : EIO, e);
}
