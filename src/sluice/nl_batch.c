// SPDX-License-Identifier: GPL-2.0-or-later
/* One nftables transaction: see nl_batch.h. */
#include "nl_batch.h"

#include <libmnl/libmnl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <string.h>

/* One message of the transaction. */
struct message {
	size_t offset; /* in the buffer */
	struct nl_batch_label label;
};

struct nl_batch {
	struct nl_socket *nl;
	char *buffer;
	size_t len, capacity; /* len counts finished messages */
	struct nlmsghdr *open;
	struct message *messages; /* message i has sequence number first_seq + i */
	size_t count, message_capacity;
	uint32_t first_seq;
	bool failed; /* memory is out */
	_Alignas(struct nlmsghdr) char scratch[NL_BATCH_MESSAGE_MAX +
					       1]; /* what is written to then */
};

/* The message being written, if any, is as long as it says now. */
static void close_message(struct nl_batch *b)
{
	if (b->open && !b->failed)
		b->len += MNL_ALIGN(b->open->nlmsg_len);
	b->open = NULL;
}

static bool grow(struct nl_batch *b)
{
	if (b->len + NL_BATCH_MESSAGE_MAX + 1 > b->capacity) {
		/*
		 * Of zeros, since libmnl leaves the padding of attributes as it is; and so large
		 * that calloc() gets it from the kernel, page by page when one is written.
		 */
		size_t capacity = 2 * b->capacity + 4 * (NL_BATCH_MESSAGE_MAX + 1);
		char *grown = calloc(1, capacity);

		if (!grown)
			return false;
		if (b->len)
			memcpy(grown, b->buffer, b->len);
		free(b->buffer);
		b->buffer = grown;
		b->capacity = capacity;
	}
	if (b->count == b->message_capacity) {
		size_t capacity = 2 * b->message_capacity + 64;
		struct message *grown = realloc(b->messages, capacity * sizeof(*grown));

		if (!grown)
			return false;
		b->messages = grown;
		b->message_capacity = capacity;
	}
	return true;
}

static struct nlmsghdr *add(struct nl_batch *b, uint16_t type, uint16_t flags, uint8_t family,
			    uint16_t res_id, struct nl_batch_label label)
{
	uint32_t seq = nl_socket_seq(b->nl);
	struct nlmsghdr *nlh;
	struct nfgenmsg *nfg;

	close_message(b);
	b->failed |= !grow(b);
	if (!b->count)
		b->first_seq = seq;
	if (!b->failed)
		b->messages[b->count++] = (struct message){ b->len, label };
	nlh = mnl_nlmsg_put_header(b->failed ? b->scratch : b->buffer + b->len);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
	b->open = nlh;
	return nlh;
}

struct nl_batch *nl_batch_new(struct nl_socket *nl, uint32_t generation, struct err *e)
{
	struct nl_batch *b = malloc(sizeof(*b));
	struct nlmsghdr *nlh;

	if (!b) {
		err_set(e, -ENOMEM, "out of memory for a transaction");
		return NULL;
	}
	memset(b, 0, offsetof(struct nl_batch, scratch));
	b->nl = nl;
	nlh = add(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES,
		  (struct nl_batch_label){ "begin", "" });
	mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	return b;
}

void nl_batch_free(struct nl_batch *b)
{
	if (!b)
		return;
	free(b->buffer);
	free(b->messages);
	free(b);
}

struct nlmsghdr *nl_batch_add(struct nl_batch *b, uint16_t type, uint16_t flags,
			      struct nl_batch_label label)
{
	return add(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0, label);
}

/* What came back. */
struct outcome {
	struct nl_batch *batch;
	size_t last; /* index of the message that asked for an acknowledgement */
	bool acked;
	size_t refused; /* index of the first refused message; count: none */
	int code;
	uint32_t offset;
	char text[128]; /* the kernel's words */
};

static int outcome_answer(const struct nlmsghdr *nlh, void *data)
{
	struct outcome *o = data;
	uint32_t index = nlh->nlmsg_seq - o->batch->first_seq;
	struct nl_refusal r;

	if (nlh->nlmsg_type != NLMSG_ERROR || index >= o->batch->count)
		return 0;
	r = nl_refusal_parse(nlh);
	if (r.code == 0) {
		o->acked |= index == o->last;
	} else if (index < o->refused) {
		o->refused = index;
		o->code = r.code;
		o->offset = r.offset;
		snprintf(o->text, sizeof(o->text), "%s", r.text ? r.text : "");
	}
	return 0;
}

/* Answers are there when send returns; after a refusal there may be no acknowledgement. */
static int collect(struct outcome *o, struct err *e)
{
	int rc;

	do {
		bool answered = o->acked || o->refused < o->batch->count;

		rc = nl_socket_receive(o->batch->nl, !answered, outcome_answer, o, e);
	} while (rc == 0);
	return rc == -EAGAIN ? 0 : rc;
}

/* Name of the expression of a rule's message in which @offset lies, or NULL. */
static const char *expression_at(const struct nlmsghdr *nlh, uint32_t offset)
{
	const char *at = (const char *)nlh + offset;
	const struct nlattr *list, *item, *field;

	if (NFNL_MSG_TYPE(nlh->nlmsg_type) != NFT_MSG_NEWRULE || !offset)
		return NULL;
	mnl_attr_for_each(list, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_RULE_EXPRESSIONS)
			continue;
		mnl_attr_for_each_nested(item, list)
		{
			if (at < (const char *)item ||
			    at >= (const char *)item + MNL_ALIGN(item->nla_len))
				continue;
			mnl_attr_for_each_nested(field, item)
			{
				if (mnl_attr_get_type(field) == NFTA_EXPR_NAME)
					return mnl_attr_get_str(field);
			}
		}
	}
	return NULL;
}

static int refusal_error(const struct outcome *o, struct err *e)
{
	const struct message *m = &o->batch->messages[o->refused];
	const struct nlmsghdr *nlh = (const void *)(o->batch->buffer + m->offset);
	const char *expression = expression_at(nlh, o->offset);

	if (o->refused == 0 && o->code == -ERESTART)
		return -ERESTART;
	if (o->refused == 0 && o->code == -EPERM)
		return err_set(e, o->code,
			       "the kernel does not let us program nftables: CAP_NET_ADMIN is "
			       "needed in the user namespace that owns this network namespace");
	/* Who may program at all is refused so in one case only (nft_table_lookup()). */
	if (o->code == -EPERM)
		return err_set(e, o->code,
			       "the kernel refused %s '%s': the table belongs to another process "
			       "(flags owner), which alone may change it: end that process first",
			       m->label.what, m->label.name);
	return err_sys(e, o->code, "the kernel refused %s '%s'%s%s%s%s%s", m->label.what,
		       m->label.name, expression ? ", expression '" : "",
		       expression ? expression : "", expression ? "'" : "", o->text[0] ? ": " : "",
		       o->text);
}

int nl_batch_commit(struct nl_batch *b, struct err *e)
{
	struct outcome o = { .batch = b, .last = b->count - 1 };
	int rc;

	b->open->nlmsg_flags |= NLM_F_ACK;
	add(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES,
	    (struct nl_batch_label){ "end", "" });
	close_message(b);
	if (b->failed)
		return err_set(e, -ENOMEM, "out of memory for a transaction");
	o.refused = b->count;
	rc = nl_socket_reserve(b->nl, b->len, e);
	if (rc == 0)
		rc = nl_socket_send(b->nl, b->buffer, b->len, e);
	if (rc < 0)
		return rc;
	rc = collect(&o, e);
	if (rc < 0)
		return err_wrap(e, "whether the kernel took the change is not known (the same "
				   "command, run again, will see)");
	return o.refused < b->count ? refusal_error(&o, e) : 0;
}
