// SPDX-License-Identifier: GPL-2.0-or-later
/* Names in DNS: see dns_message.h. */
#include "dns_message.h"

#define HEADER_LEN   12	   /* RFC 1035 sect. 4.1.1 */
#define POINTER	     0xc0u /* the top bits of a compressed label, sect. 4.1.4 */
#define POINTERS_MAX 32	   /* that follow one another: more would only be a loop */

const char *dns_reverse_name(const struct addr *a, char text[DNS_REVERSE_MAX])
{
	static const char hex[] = "0123456789abcdef";
	char *out = text;

	if (a->family == ADDR_V4) {
		snprintf(text, DNS_REVERSE_MAX, "%u.%u.%u.%u.in-addr.arpa", a->bytes[3],
			 a->bytes[2], a->bytes[1], a->bytes[0]);
		return text;
	}
	for (int i = 15; i >= 0; i--) {
		*out++ = hex[a->bytes[i] & 15];
		*out++ = '.';
		*out++ = hex[a->bytes[i] >> 4];
		*out++ = '.';
	}
	memcpy(out, "ip6.arpa", sizeof("ip6.arpa"));
	return text;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool dns_name_is_plain(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (!is_plain(name.ptr[i]) && name.ptr[i] != '.')
			return false;
	}
	return name.len > 0 && name.len <= DNS_NAME_MAX;
}

bool dns_name_lower(struct span name, char out[DNS_NAME_MAX + 1])
{
	size_t label = 0;

	if (!name.len || name.len > DNS_NAME_MAX + (name.ptr[name.len - 1] == '.'))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c == '.' ? !label
			     : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
				 c == '_'))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		out[i] = c;
	}
	return true;
}

bool dns_name_below(struct span name, struct span domain)
{
	size_t rest = name.len - domain.len;

	return domain.len && name.len > domain.len + 1 && name.ptr[rest - 1] == '.' &&
	       span_eq_nocase(SPAN(name.ptr + rest, domain.len), domain);
}

static unsigned u8_at(struct span m, size_t at)
{
	return (unsigned char)m.ptr[at];
}

static unsigned u16_at(struct span m, size_t at)
{
	return u8_at(m, at) << 8 | u8_at(m, at + 1);
}

/* Where the name at @at ends, which need not be where its text does. 0: nowhere. */
static size_t name_end(struct span m, size_t at)
{
	while (at < m.len) {
		unsigned len = u8_at(m, at);

		if (len == 0)
			return at + 1;
		if ((len & POINTER) == POINTER)
			return at + 2 <= m.len ? at + 2 : 0;
		if (len & POINTER)
			return 0;
		at += 1 + len;
	}
	return 0;
}

/* One label of plain characters onto the end of @text. Returns its new length; 0: not plain. */
static size_t add_label(struct span label, char *text, size_t len)
{
	if (len + (len > 0) + label.len > DNS_NAME_MAX)
		return 0;
	if (len)
		text[len++] = '.';
	for (size_t i = 0; i < label.len; i++) {
		char c = label.ptr[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (!is_plain(c))
			return 0;
		text[len++] = c;
	}
	return len;
}

/* The text of the name at @at. Empty: the root's, malformed, or not plain. */
static struct span name_text(struct span m, size_t at, char text[DNS_NAME_MAX])
{
	unsigned pointers = 0;
	size_t len = 0;

	while (at < m.len) {
		unsigned label = u8_at(m, at);

		if (label == 0)
			return SPAN(text, len);
		if ((label & POINTER) == POINTER) {
			if (at + 2 > m.len || ++pointers > POINTERS_MAX)
				break;
			at = u16_at(m, at) & 0x3fff;
			continue;
		}
		if (label & POINTER || at + 1 + label > m.len)
			break;
		len = add_label(SPAN(m.ptr + at + 1, label), text, len);
		if (!len)
			break;
		at += 1 + label;
	}
	return SPAN_LIT("");
}

unsigned dns_ptr_read(struct span m, dns_ptr_found *found, void *ctx, uint32_t *ttl)
{
	unsigned questions, answers, told = 0;
	char text[DNS_NAME_MAX];
	size_t at = HEADER_LEN;

	*ttl = UINT32_MAX;
	if (m.len < HEADER_LEN)
		return 0;
	questions = u16_at(m, 4);
	answers = u16_at(m, 6);
	for (; questions && at; questions--) {
		at = name_end(m, at);
		at = at && at + 4 <= m.len ? at + 4 : 0;
	}
	for (; answers && at; answers--) {
		unsigned type, class, len;
		uint32_t seconds;
		struct span name;

		at = name_end(m, at);
		if (!at || at + 10 > m.len)
			break;
		type = u16_at(m, at);
		class = u16_at(m, at + 2);
		seconds = (uint32_t)u16_at(m, at + 4) << 16 | u16_at(m, at + 6);
		len = u16_at(m, at + 8);
		at += 10;
		if (at + len > m.len)
			break;
		/* RFC 2181 sect. 8: a TTL with its top bit set is 0. */
		if (seconds >> 31)
			seconds = 0;
		name = type == DNS_TYPE_PTR && class == DNS_CLASS_IN ? name_text(m, at, text)
								     : SPAN_LIT("");
		if (name.len) {
			found(ctx, name);
			told++;
		}
		if (name.len || (type == DNS_TYPE_CNAME && class == DNS_CLASS_IN))
			*ttl = MIN(*ttl, seconds);
		at += len;
	}
	return told;
}
