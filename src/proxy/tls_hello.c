// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads a TLS ClientHello: see tls_hello.h. Section numbers are those of RFC 8446. */
#include "tls_hello.h"

#define RECORD_HANDSHAKE 22
#define RECORD_MAX	 (1u << 14) /* sect. 5.1 */
#define CLIENT_HELLO	 1
#define MESSAGE_HEADER	 4u

/* Extensions, by IANA's registry. */
enum extension {
	EXTENSION_SERVER_NAME = 0,	   /* RFC 6066 sect. 3 */
	EXTENSION_ALPN = 16,		   /* RFC 7301 sect. 3.1 */
	EXTENSION_SUPPORTED_VERSIONS = 43, /* sect. 4.2.1 */
};

/* Bytes being read; once something is missing, everything from there on is zero or empty. */
struct reader {
	const uint8_t *p;
	size_t len;
	bool bad;
};

static struct reader take(struct reader *r, size_t len)
{
	struct reader part = { r->p, len, false };

	if (r->bad || len > r->len) {
		r->bad = true;
		r->len = 0;
		return (struct reader){ r->p, 0, true };
	}
	r->p += len;
	r->len -= len;
	return part;
}

/* A number of @bytes, at most 3. */
static uint32_t number(struct reader *r, unsigned bytes)
{
	struct reader part = take(r, bytes);
	uint32_t n = 0;

	for (size_t i = 0; i < part.len; i++)
		n = n << 8 | part.p[i];
	return n;
}

/* What follows its own length of @bytes. */
static struct reader vector(struct reader *r, unsigned bytes)
{
	return take(r, number(r, bytes));
}

/* Values that clients send to keep servers tolerant: RFC 8701 sect. 2. */
static bool is_grease(uint32_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* A host's name in lower case; none if it cannot be one. A final dot goes. */
static void say_name(struct tls_hello_said *said, struct reader name)
{
	bool label = false;

	if (name.len && name.p[name.len - 1] == '.')
		name.len--;
	if (!name.len || name.len > TLS_NAME_MAX)
		return;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + 'a' - 'A');
		if (c == '.' && !label)
			return;
		label = c != '.';
		if (label && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_')
			return;
		said->name[i] = (char)c;
	}
	if (label)
		said->name_len = (uint8_t)name.len;
}

static void read_server_name(struct tls_hello_said *said, struct reader r)
{
	struct reader list = vector(&r, 2);

	while (list.len) {
		uint32_t type = number(&list, 1);
		struct reader name = vector(&list, 2);

		if (type == 0 && !name.bad) {
			say_name(said, name);
			return;
		}
	}
}

static void read_alpn(struct tls_hello_said *said, struct reader r)
{
	struct reader list = vector(&r, 2);

	while (list.len) {
		struct reader name = vector(&list, 1);
		struct reader pair = name;

		if (name.bad)
			return;
		if (name.len == 2 && is_grease(number(&pair, 2)))
			continue;
		if (!name.len || name.len > TLS_ALPN_MAX)
			return;
		for (size_t i = 0; i < name.len; i++) {
			if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
				return;
		}
		memcpy(said->alpn, name.p, name.len);
		said->alpn_len = (uint8_t)name.len;
		return;
	}
}

static enum tls_version version_of(uint32_t code)
{
	switch (code) {
	case 0x0300:
		return TLS_VERSION_SSL3;
	case 0x0301:
		return TLS_VERSION_1_0;
	case 0x0302:
		return TLS_VERSION_1_1;
	case 0x0303:
		return TLS_VERSION_1_2;
	case 0x0304:
		return TLS_VERSION_1_3;
	default:
		return TLS_VERSION_OTHER;
	}
}

static void read_versions(struct tls_hello_said *said, struct reader r)
{
	struct reader list = vector(&r, 1);
	uint32_t newest = 0;

	while (list.len >= 2) {
		uint32_t code = number(&list, 2);

		/* Drafts (0x7fxx) and other things unknown count only if there is nothing else. */
		if (is_grease(code))
			continue;
		if (!newest || (version_of(code) != TLS_VERSION_OTHER && code > newest) ||
		    version_of(newest) == TLS_VERSION_OTHER)
			newest = code;
	}
	if (newest)
		said->version = version_of(newest);
}

/* Sect. 4.1.2; without its handshake header. False: cut short or malformed. */
static bool read_message(struct reader r, struct tls_hello_said *said)
{
	struct reader extensions;

	*said = (struct tls_hello_said){ 0 };
	said->version = version_of(number(&r, 2));
	take(&r, 32);  /* random */
	vector(&r, 1); /* session */
	vector(&r, 2); /* cipher suites */
	vector(&r, 1); /* compression */
	if (r.bad)
		return false;
	if (!r.len)
		return true; /* before TLS 1.2 there need not be any */
	extensions = vector(&r, 2);
	while (extensions.len) {
		uint32_t type = number(&extensions, 2);
		struct reader data = vector(&extensions, 2);

		if (data.bad)
			break;
		if (type == EXTENSION_SERVER_NAME)
			read_server_name(said, data);
		else if (type == EXTENSION_ALPN)
			read_alpn(said, data);
		else if (type == EXTENSION_SUPPORTED_VERSIONS)
			read_versions(said, data);
	}
	return !r.bad && !extensions.bad;
}

/* Length of the message that @bytes begin, with its header; 0: too few; UINT32_MAX: not a hello. */
static uint32_t message_length(const uint8_t *bytes, size_t len)
{
	struct reader r = { bytes, len, false };
	uint32_t type, length;

	if (len && bytes[0] != CLIENT_HELLO)
		return UINT32_MAX;
	type = number(&r, 1);
	length = number(&r, 3);
	if (r.bad || type != CLIENT_HELLO)
		return 0;
	return length > TLS_HELLO_MAX ? UINT32_MAX : length + MESSAGE_HEADER;
}

static enum tls_hello_status judge(const uint8_t *bytes, size_t len, struct tls_hello_said *said)
{
	uint32_t whole = message_length(bytes, len);
	struct reader body;

	if (whole == UINT32_MAX)
		return TLS_HELLO_GIVE_UP;
	if (!whole || len < whole)
		return TLS_HELLO_MORE;
	body = (struct reader){ bytes + MESSAGE_HEADER, whole - MESSAGE_HEADER, false };
	return read_message(body, said) ? TLS_HELLO_DONE : TLS_HELLO_GIVE_UP;
}

void tls_hello_fini(struct tls_hello *t)
{
	free(t->message);
	*t = (struct tls_hello){ 0 };
}

/* Adds bytes of the message, up to where the longest one ends. False: no memory. */
static bool collect(struct tls_hello *t, const uint8_t *bytes, size_t len)
{
	size_t need = MIN(t->have + len, (size_t)TLS_HELLO_MAX + MESSAGE_HEADER);

	if (need > t->room) {
		size_t room = MAX(need, MIN(2u * t->room, TLS_HELLO_MAX));
		uint8_t *grown = realloc(t->message, room);

		if (!grown)
			return false;
		t->message = grown;
		t->room = (uint32_t)room;
	}
	memcpy(t->message + t->have, bytes, need - t->have);
	t->have = (uint32_t)need;
	return true;
}

/* A record's length, from its header; 0: no handshake record. Sect. 5.1. */
static uint16_t record_length(const uint8_t *header)
{
	unsigned length = (unsigned)header[3] << 8 | header[4];

	if (header[0] != RECORD_HANDSHAKE || header[1] != 3 || length > RECORD_MAX)
		return 0;
	return (uint16_t)length;
}

static enum tls_hello_status step(struct tls_hello *t, struct span *bytes,
				  struct tls_hello_said *said)
{
	const uint8_t *p = (const uint8_t *)bytes->ptr;
	enum tls_hello_status status;
	size_t n;

	if (!t->record_left) {
		n = MIN(bytes->len, sizeof(t->header) - t->header_have);
		memcpy(t->header + t->header_have, p, n);
		t->header_have = (uint8_t)(t->header_have + n);
		*bytes = SPAN(bytes->ptr + n, bytes->len - n);
		if (t->header_have < sizeof(t->header))
			return TLS_HELLO_MORE;
		t->header_have = 0;
		t->record_left = record_length(t->header);
		return t->record_left ? TLS_HELLO_MORE : TLS_HELLO_GIVE_UP;
	}
	n = MIN(bytes->len, (size_t)t->record_left);
	/* All of it in one piece: read it where it lies. */
	if (!t->have) {
		status = judge(p, n, said);
		if (status != TLS_HELLO_MORE)
			return status;
	}
	if (!collect(t, p, n))
		return TLS_HELLO_GIVE_UP;
	t->record_left = (uint16_t)(t->record_left - n);
	*bytes = SPAN(bytes->ptr + n, bytes->len - n);
	return judge(t->message, t->have, said);
}

enum tls_hello_status tls_hello_feed(struct tls_hello *t, struct span bytes,
				     struct tls_hello_said *said)
{
	while (bytes.len) {
		enum tls_hello_status status = step(t, &bytes, said);

		if (status != TLS_HELLO_MORE) {
			tls_hello_fini(t);
			return status;
		}
	}
	return TLS_HELLO_MORE;
}
