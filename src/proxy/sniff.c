// SPDX-License-Identifier: GPL-2.0-or-later
/* What a flow speaks, from its first bytes: see sniff.h. */
#include "sniff.h"

/* RFC 9113 sect. 3.4. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof(preface) - 1 == SNIFF_MAX, "the preface is what bounds sniffing");

/* Characters of a token (RFC 9110 sect. 5.6.2), and the line ends that may precede a request. */
static bool may_begin_request(unsigned char c)
{
	if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~\r\n", c);
}

/*
 * A TLS record of type handshake, version 3.0 to 3.4, that begins with a ClientHello
 * (RFC 8446 sect. 4, 5.1). The record's length is not looked at.
 */
static enum sniff_verdict judge_tls(const unsigned char *p, size_t len)
{
	if (len > 1 && p[1] != 0x03)
		return SNIFF_TCP;
	if (len > 2 && p[2] > 0x04)
		return SNIFF_TCP;
	if (len > 5)
		return p[5] == 0x01 ? SNIFF_TLS : SNIFF_TCP;
	return SNIFF_OPEN;
}

static enum sniff_verdict judge_client(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] == 0x16)
		return judge_tls(p, len);
	if (memcmp(text, preface, MIN(len, (size_t)SNIFF_MAX)) == 0)
		return len >= SNIFF_MAX ? SNIFF_HTTP2 : SNIFF_OPEN;
	return may_begin_request(p[0]) ? SNIFF_HTTP1 : SNIFF_TCP;
}

/* The header of a SETTINGS frame that is no acknowledgement: RFC 9113 sect. 4.1, 6.5. */
static bool may_be_settings(const char *text, size_t len)
{
	/* Length below 16 KiB and a multiple of 6, type 4, no flags, stream 0. */
	static const unsigned char mask[9] = { 0xff, 0xc0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const unsigned char want[9] = { 0, 0, 0, 0x04, 0, 0, 0, 0, 0 };
	const unsigned char *p = (const unsigned char *)text;

	for (size_t i = 0; i < MIN(len, sizeof(want)); i++) {
		if ((p[i] & mask[i]) != want[i])
			return false;
	}
	return len < 3 || ((unsigned)p[1] << 8 | p[2]) % 6 == 0;
}

static void keep(struct sniff *s, enum way way, struct span bytes)
{
	size_t n = MIN(bytes.len, (size_t)SNIFF_MAX - s->kept_len[way]);

	memcpy(s->kept[way] + s->kept_len[way], bytes.ptr, n);
	s->kept_len[way] = (uint8_t)(s->kept_len[way] + n);
}

enum sniff_verdict sniff_feed(struct sniff *s, enum way way, struct span bytes, uint64_t now)
{
	enum sniff_verdict verdict;
	char joined[SNIFF_MAX];
	struct span seen = bytes;
	size_t had = s->kept_len[way];

	if (s->verdict != SNIFF_OPEN || !bytes.len)
		return (enum sniff_verdict)s->verdict;
	if (had) {
		size_t more = MIN(bytes.len, sizeof(joined) - had);

		memcpy(joined, s->kept[way], had);
		memcpy(joined + had, bytes.ptr, more);
		seen = SPAN(joined, had + more);
	}
	if (way == WAY_TO_SERVER)
		verdict = judge_client(seen.ptr, seen.len);
	else
		verdict = may_be_settings(seen.ptr, seen.len) ? SNIFF_OPEN : SNIFF_TCP;
	/* Only HTTP/2 lets a server speak before it was asked. */
	if (s->kept_len[WAY_TO_CLIENT] && verdict != SNIFF_OPEN && verdict != SNIFF_HTTP2)
		verdict = SNIFF_TCP;
	s->verdict = (uint8_t)verdict;
	if (verdict != SNIFF_OPEN)
		return verdict;
	if (way == WAY_TO_SERVER && !had)
		s->first = now;
	keep(s, way, bytes);
	return SNIFF_OPEN;
}
