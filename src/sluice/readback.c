// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel holds of ours: see readback.h. */
#include "readback.h"

#include "legacy.h"
#include "nft_list.h"
#include "nft_read.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <time.h>

static void read_nft(struct readback *out)
{
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, &out->nft_why);

	if (nl && nft_read(nl, &out->nft, &out->nft_why) == 0)
		out->nft_seen = true;
	else
		ruleset_fini(&out->nft);
	nl_socket_free(nl);
}

static int read_table(struct xtable *out, struct err *e)
{
	struct legacy l;
	int rc = legacy_registered(out->family, out->table);

	if (rc == -EACCES)
		return err_set(e, rc, "only root may know which legacy tables there are");
	if (rc <= 0)
		return rc;
	rc = legacy_open(&l, out->family, out->table, e);
	if (rc == 0)
		rc = legacy_read(&l, out, e);
	legacy_close(&l);
	return rc;
}

static void read_xt(struct readback *out)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; rc == 0 && f < ADDR_FAMILY_COUNT; f++) {
			if (legacy_has_family(f))
				rc = read_table(&out->xt[i][f], &out->xt_why);
			out->xt_any |= !xtable_empty(&out->xt[i][f]);
		}
	}
	out->xt_seen = rc == 0;
}

void readback_rules(struct readback *out)
{
	*out = (struct readback){ .nft_why = ERR_INIT, .xt_why = ERR_INIT };
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			xtable_init(&out->xt[i][f], f, i);
	}
	read_nft(out);
	read_xt(out);
}

static void armed_nft(struct readback *out)
{
	struct err ignored = ERR_INIT;
	struct nl_socket *nl = nl_socket_new(NETLINK_NETFILTER, &ignored);
	struct nft_alive alive;

	for (unsigned f = 0; nl && f < ADDR_FAMILY_COUNT; f++) {
		if (f == 0 && nft_list_alive(nl, &alive, &ignored) < 0)
			break;
		out->armed[f] = alive.left_ms[f] ? READBACK_ARMED : READBACK_UNARMED;
	}
	nl_socket_free(nl);
}

/* The list of xt_recent, one line for each family: "src=0.0.0.0 ttl: 0 last_seen: 4295 ...". */
#define RECENT_PATH "/proc/self/net/xt_recent/" LOWER_ALIVE

/* When each family's last beat was, in jiffies; 0: never. False when nobody may know. */
static bool read_recent(unsigned long long seen[ADDR_FAMILY_COUNT])
{
	_cleanup_fclose_ FILE *f = fopen(RECENT_PATH, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;

	seen[ADDR_V4] = seen[ADDR_V6] = 0;
	while (f && getline(&line, &capacity, f) >= 0) {
		const char *at = strstr(line, "last_seen: ");
		size_t len = strcspn(line, " ");

		if (at)
			seen[memchr(line, ':', len) ? ADDR_V6 : ADDR_V4] =
				strtoull(at + strlen("last_seen: "), NULL, 10);
	}
	return f != NULL;
}

/* A beat is believed for a second; a new one shows as another time. */
#define BEAT_WAIT_MS 1100
#define BEAT_STEP_MS 20

static void armed_xt(struct readback *out)
{
	const struct timespec step = { .tv_nsec = BEAT_STEP_MS * 1000000L };
	unsigned long long before[ADDR_FAMILY_COUNT], now[ADDR_FAMILY_COUNT];

	if (!read_recent(before))
		return;
	for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
		out->armed[f] = READBACK_UNARMED;
	for (unsigned ms = 0; ms < BEAT_WAIT_MS && (before[ADDR_V4] || before[ADDR_V6]);
	     ms += BEAT_STEP_MS) {
		bool waiting = false;

		nanosleep(&step, NULL);
		if (!read_recent(now))
			return;
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++) {
			if (now[f] != before[f])
				out->armed[f] = READBACK_ARMED;
			waiting |= before[f] && out->armed[f] != READBACK_ARMED;
		}
		if (!waiting)
			return;
	}
}

void readback_armed(struct readback *out)
{
	if (readback_has_nft(out))
		armed_nft(out);
	else if (readback_has_xt(out))
		armed_xt(out);
}

bool readback_has_nft(const struct readback *r)
{
	return r->nft.exists;
}

bool readback_has_xt(const struct readback *r)
{
	return r->xt_any;
}

void readback_fini(struct readback *r)
{
	ruleset_fini(&r->nft);
	for (unsigned i = 0; i < LOWER_TABLE_COUNT; i++) {
		for (unsigned f = 0; f < ADDR_FAMILY_COUNT; f++)
			xtable_fini(&r->xt[i][f]);
	}
}
