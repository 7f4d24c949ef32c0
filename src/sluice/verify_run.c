// SPDX-License-Identifier: GPL-2.0-or-later
/* The checks of verify, one after the other: see verify_run.h. */
#include "verify_run.h"

#include "backend.h"
#include "readback.h"
#include "stage.h"
#include "status.h"
#include "verify.h"
#include "verify_net.h"

#include <netinet/in.h>

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

/*
 * On a busy machine a beat may come too late, or an answer: a rule that is missing fails always.
 * Once something has failed the outcome is clear, and the rest need not wait as long.
 */
#define TRIES		3
#define ANSWER_MS	1500
#define ANSWER_SHORT_MS 400

#define WHAT_MAX 256

struct run {
	const struct config *config;
	const struct plan *plan;
	const volatile int *stop;
	void (*report)(const struct verify_report *r, void *data);
	void *data;
	long failed;
	struct stage stage;
	struct verify_listeners listeners;
	struct verify_world world;
	struct verify_list list;
};

static void tell(struct run *r, enum verify_outcome outcome, const char *what, const char *reason)
{
	const struct verify_report report = { outcome, what, reason };

	r->failed += outcome == VERIFY_FAILED;
	r->report(&report, r->data);
}

static const char *const families[] = { [ADDR_V4] = "IPv4", [ADDR_V6] = "IPv6" };

/* ---- The rules themselves ---- */

struct first_line {
	char text[400];
};

static void keep_first(const char *line, void *data)
{
	struct first_line *first = data;

	if (!first->text[0])
		snprintf(first->text, sizeof(first->text), "%.390s", line);
}

static int check_rules(struct run *r, struct err *e)
{
	struct first_line first = { "" };
	long differences = backend_check(r->config->backend, r->plan, keep_first, &first, NULL, e);

	if (differences < 0)
		return (int)differences;
	tell(r, differences ? VERIFY_FAILED : VERIFY_OK, "rules: the kernel holds the plan",
	     first.text);
	return 0;
}

/* ---- The dead-man switch ---- */

/* One datagram of the proxy's. 1 when a rule dropped it, 0 when not, or -errno with @e set. */
static int beat_as(const struct run *r, enum addr_family family, uint32_t uid, uint32_t gid,
		   struct err *e)
{
	const struct sockaddr_in v4 = { .sin_family = AF_INET,
					.sin_port = htons(r->config->inbound_port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
					 .sin6_port = htons(r->config->inbound_port),
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const void *to = family == ADDR_V4 ? (const void *)&v4 : &v6;
	_cleanup_close_ int fd =
		stage_socket(&r->stage, STAGE_HERE, family, SOCK_DGRAM, uid, gid, e);

	if (fd < 0)
		return fd;
	if (sendto(fd, "", 1, MSG_NOSIGNAL, to, family == ADDR_V4 ? sizeof(v4) : sizeof(v6)) < 0)
		return errno == EPERM;
	return 0;
}

/* An owner that is not the proxy's. */
#define NOBODY 61207

static int beat(const struct run *r, enum addr_family family, struct err *e)
{
	return beat_as(r, family, r->config->proxy_uids.ranges[0].first, NOBODY, e);
}

static void check_beat(struct run *r, enum addr_family family, bool by_group)
{
	const struct config *c = r->config;
	char what[WHAT_MAX];
	struct err e = ERR_INIT;
	int rc;

	snprintf(what, sizeof(what), "beat: %s, a heartbeat by %s is taken", families[family],
		 by_group ? "group" : "user");
	rc = by_group ? beat_as(r, family, NOBODY, c->proxy_gids.ranges[0].first, &e)
		      : beat(r, family, &e);
	tell(r,
	     rc == 1   ? VERIFY_OK
	     : rc == 0 ? VERIFY_FAILED
		       : VERIFY_NOT_TRIED,
	     what,
	     rc < 0    ? e.text
	     : rc == 0 ? "no rule dropped it"
		       : "");
}

/* Waits until what an earlier heartbeat said is over. False when somebody goes on beating. */
static bool wait_unarmed(const struct run *r)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	unsigned ms = MAX(r->config->heartbeat_timeout_ms, 1000u) + 500;
	bool armed = true;

	for (unsigned waited = 0; armed && waited <= ms && !*r->stop; waited += 20) {
		struct readback now;

		readback_rules(&now);
		readback_armed(&now);
		armed = now.armed[ADDR_V4] == READBACK_ARMED ||
			now.armed[ADDR_V6] == READBACK_ARMED;
		readback_fini(&now);
		if (armed)
			nanosleep(&step, NULL);
	}
	return !armed;
}

/* ---- Connections ---- */

static uint64_t row_packets(const char *row)
{
	struct status_count rows[PLAN_ROW_COUNT] = { { .present = false } };
	struct readback now;
	uint64_t packets = 0;

	readback_rules(&now);
	if (readback_has_nft(&now))
		status_count_nft(&now.nft, rows);
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			status_count_xt(&now.xt[i][f], rows);
	}
	readback_fini(&now);
	for (unsigned i = 0; i < PLAN_ROW_COUNT; i++) {
		if (strcmp(plan_row_id(i), row) == 0)
			packets = rows[i].packets;
	}
	return packets;
}

static const char *const fates[] = {
	[FATE_DIRECT] = "it went direct",
	[FATE_REDIRECTED] = "it was redirected",
	[FATE_REFUSED] = "it was refused",
	[FATE_SILENT] = "nobody answered",
	[FATE_LOST] = "somebody else took it",
	[FATE_BARRED] = "the kernel did not let it out",
	[FATE_MISLED] = "it was redirected, but its destination is not known any more",
};
_Static_assert(ARRAY_SIZE(fates) == FATE_COUNT, "words for each");

static int wanted_fate(const struct run *r, const struct verify_check *k)
{
	if (k->want.verdict == EXPLAIN_REDIRECT)
		return FATE_REDIRECTED;
	if (k->packet.listening == PACKET_NO)
		return FATE_REFUSED;
	return k->packet.local == PACKET_YES || r->stage.peer >= 0 ? FATE_DIRECT : FATE_SILENT;
}

/* One attempt: NULL when all is as it should be, else what is not. */
static const char *attempt(struct run *r, const struct verify_check *k, int *rc, struct err *e)
{
	const struct packet *p = &k->packet;
	uint64_t before = row_packets(k->want.row);

	if (!r->world.proxy && p->alive == PACKET_YES && (*rc = beat(r, p->to.addr.family, e)) < 0)
		return e->text;
	*rc = verify_connect(&r->stage, &r->listeners, p, r->failed ? ANSWER_SHORT_MS : ANSWER_MS,
			     r->stop, e);
	if (*rc < 0)
		return e->text;
	if (!k->by_counter && *rc != wanted_fate(r, k))
		return fates[*rc];
	return row_packets(k->want.row) > before ? NULL : "the row's counter did not move";
}

/* "out-port-excl: IPv4, 61206 to 198.18.206.2 port 22, alive: direct". */
static void describe(const struct verify_check *k, char what[WHAT_MAX])
{
	const struct packet *p = &k->packet;
	char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX + 32], verdict[EXPLAIN_VERDICT_MAX];

	if (p->direction == PACKET_OUTBOUND)
		snprintf(from, sizeof(from), "uid %u, gid %u", p->uid, p->gid);
	else
		addr_text(&p->from.addr, from);
	snprintf(what, WHAT_MAX, "%s: %s, from %s to %s port %u%s%s: %s", k->want.row,
		 families[p->to.addr.family], from, addr_text(&p->to.addr, to), p->to.port,
		 p->listening == PACKET_NO ? ", where nobody listens" : "",
		 p->alive == PACKET_NO ? ", without a proxy" : "",
		 p->listening == PACKET_NO && k->want.verdict == EXPLAIN_DIRECT
			 ? "refused"
			 : explain_verdict_text(&k->want, verdict));
}

/* Gives the peer the addresses of a packet that are not its own. */
static int lend(struct run *r, const struct packet *p, struct err *e)
{
	const struct addr *a = p->direction == PACKET_OUTBOUND ? &p->to.addr : &p->from.addr;
	enum addr_family f = a->family;

	if (p->local == PACKET_YES && p->direction == PACKET_OUTBOUND)
		return 0;
	if (memcmp(a, &r->stage.there[f], sizeof(*a)) == 0 ||
	    memcmp(a, &r->stage.other[f], sizeof(*a)) == 0 ||
	    memcmp(a, &r->stage.linklocal, sizeof(*a)) == 0)
		return 0;
	return stage_lend(&r->stage, a, e);
}

/* Who has the port that a check would listen on, and what to do about it. */
static const char *taken(const struct run *r, const struct packet *p, struct err *e)
{
	*e = (struct err)ERR_INIT;
	if (r->world.proxy && p->to.port == r->config->admin_port)
		err_set(e, -EADDRINUSE,
			"the proxy serves port %u itself (--admin-port): verify while it does not "
			"run",
			p->to.port);
	else
		err_set(e, -EADDRINUSE,
			"somebody listens on port %u here already: verify while nobody does",
			p->to.port);
	return e->text;
}

/* 0, or -EINTR with @e set. */
static int check_connection(struct run *r, const struct verify_check *k, struct err *e)
{
	const char *wrong = "";
	struct err failure;
	char what[WHAT_MAX];
	int rc = 0;

	describe(k, what);
	for (unsigned try = 0; wrong && try < (r->failed ? 1 : TRIES); try++) {
		failure = (struct err)ERR_INIT;
		rc = lend(r, &k->packet, &failure);
		wrong = rc < 0 ? failure.text : attempt(r, k, &rc, &failure);
		if (*r->stop)
			return err_set(e, -EINTR, "interrupted");
		if (rc == -EADDRINUSE) {
			wrong = taken(r, &k->packet, &failure);
			break;
		}
	}
	tell(r,
	     !wrong   ? VERIFY_OK
	     : rc < 0 ? VERIFY_NOT_TRIED
		      : VERIFY_FAILED,
	     what, wrong ? wrong : "");
	return 0;
}

/* ---- What is there to work with ---- */

static bool excluded(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->exclude_interfaces.count; i++) {
		const struct iface *x = &c->exclude_interfaces.items[i];

		if (strncmp(name, x->name, strlen(x->name)) == 0)
			return true;
	}
	return false;
}

/* A name that no option knows. */
static void choose_name(const struct config *c, char name[IFACE_NAME_MAX + 1])
{
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (uint32_t)getpid();
	for (const char *first = "stuvwxyz"; *first; first++) {
		snprintf(name, IFACE_NAME_MAX + 1, "%clv%06x", *first, number & 0xffffff);
		if (!excluded(c, name))
			return;
	}
}

static int look_around(struct run *r, struct err *e)
{
	struct verify_world *w = &r->world;
	struct stage *s = &r->stage;
	struct readback now;
	int rc = verify_listen(s, r->config, &r->listeners, &w->proxy, e);

	if (rc < 0)
		return rc;
	readback_rules(&now);
	readback_armed(&now);
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		w->family[f] = s->family[f];
		w->lent[f] = s->marked[f];
		w->alive[f] = now.armed[f] == READBACK_ARMED;
		w->here[f] = s->here[f];
		w->there[f] = s->there[f];
		w->other[f] = s->other[f];
		w->beyond[f] = s->beyond[f];
	}
	readback_fini(&now);
	w->peer = s->peer >= 0;
	w->linklocal = s->linklocal;
	memcpy(w->iface, s->iface, sizeof(w->iface));
	return verify_pick(r->plan, r->config, w, &r->list, e);
}

static const char *why_untried(const struct verify_untried *u)
{
	if (u->chain == PLAN_CHAIN_QUIC || u->chain == PLAN_CHAIN_QUIC_OUTPUT ||
	    u->chain == PLAN_CHAIN_QUIC_OWNED)
		return "only TCP connections are made";
	if (u->chain == PLAN_CHAIN_VIRTUAL || u->row == PLAN_ROW_OUT_VIRTUAL)
		return "it would have to arrive on a virtual interface";
	if (u->row == PLAN_ROW_IN_LOCAL)
		return "what stays in this namespace is settled on its way out";
	if (u->row == PLAN_ROW_OUT_IFACE || u->row == PLAN_ROW_IN_IFACE)
		return "a packet through that interface would leave this namespace";
	return "no connection that could be made here would end otherwise without it";
}

static void tell_untried(struct run *r)
{
	char what[WHAT_MAX];

	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
		if (!r->stage.family[f])
			tell(r, VERIFY_NOT_TRIED, families[f],
			     "this namespace has no such addresses");
	}
	if (r->config->inbound && r->stage.peer < 0)
		tell(r, VERIFY_NOT_TRIED, "inbound", r->stage.no_peer.text);
	if (r->world.proxy)
		tell(r, VERIFY_NOT_TRIED, "the other state of the switch, and listed addresses",
		     "a proxy runs, and is not disturbed");
	for (size_t i = 0; i < r->list.untried_count; i++) {
		const struct verify_untried *u = &r->list.untried[i];

		snprintf(what, sizeof(what), "%s: %s, chain %s", plan_row_id(u->row),
			 families[u->family], plan_chain_name(u->chain));
		tell(r, VERIFY_NOT_TRIED, what, why_untried(u));
	}
}

static void check_beats(struct run *r)
{
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT && !r->world.proxy; f++) {
		if (!r->stage.family[f])
			continue;
		check_beat(r, f, false);
		if (r->config->proxy_gids.count)
			check_beat(r, f, true);
	}
}

static int check_all(struct run *r, struct err *e)
{
	bool unarmed = r->world.proxy || wait_unarmed(r), beaten = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->list.count; i++) {
		const struct verify_check *k = &r->list.checks[i];
		char what[WHAT_MAX];

		if (!beaten && k->packet.alive == PACKET_YES)
			check_beats(r);
		beaten |= k->packet.alive == PACKET_YES;
		if (rc == 0 && k->packet.alive == PACKET_NO && !unarmed) {
			describe(k, what);
			tell(r, VERIFY_NOT_TRIED, what,
			     "somebody sends heartbeats, though nobody has the proxy's ports");
		} else if (rc == 0) {
			rc = check_connection(r, k, e);
		}
	}
	return rc;
}

long verify_run(const struct config *c, const struct plan *plan, const volatile int *stop,
		void (*report)(const struct verify_report *r, void *data), void *data,
		struct err *e)
{
	struct run *r = calloc(1, sizeof(*r));
	char name[IFACE_NAME_MAX + 1];
	int rc;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory for the checks");
	*r = (struct run){ .config = c,
			   .plan = plan,
			   .stop = stop,
			   .report = report,
			   .data = data,
			   .listeners = { { -1, -1 }, { -1, -1 } } };
	choose_name(c, name);
	rc = check_rules(r, e);
	if (rc == 0) {
		rc = stage_init(&r->stage, name, e);
		if (rc == 0)
			rc = look_around(r, e);
		if (rc == 0) {
			rc = check_all(r, e);
			tell_untried(r);
		}
		verify_unlisten(&r->listeners);
		stage_fini(&r->stage);
	}
	rc = rc < 0 ? rc : 0;
	if (rc == 0 && r->failed)
		rc = (int)MIN(r->failed, INT32_MAX);
	free(r);
	return rc;
}
