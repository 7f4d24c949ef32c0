/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversations of HTTP/2, written as text: one frame a line.
 *
 *	> P			the client's preface
 *	> S 1=0 4=65535		SETTINGS, identifier=value;  A: their acknowledgement
 *	> H 1 -e :method=GET	HEADERS on stream 1 with END_STREAM; fields are literals
 *	> C 1 a=b		CONTINUATION
 *	< U 1 2 :path=/x	PUSH_PROMISE of stream 2
 *	> D 1 -e 5 m3 m2/9	DATA: 5 bytes, a message of 3 bytes, 2 bytes of one of 9
 *	> R 1 8			RST_STREAM with code 8
 *	< G 5			GOAWAY: last stream 5
 *	> X 2a 1 0102		type 0x2a on stream 1
 *	> ! 0102		bytes
 *	> @ GET / HTTP/1.1||	text, CR LF for each |
 *	> F			FIN
 *
 * Flags follow a '-': e END_STREAM, n without END_HEADERS, p padded by 7 bytes, r with priority. A
 *field may be !hex: bytes of the block.
 */
#ifndef TESTS_HTTP2_SCRIPT_H
#define TESTS_HTTP2_SCRIPT_H

#include "observer.h"

#include <stdarg.h>

#define SCRIPT_STEPS 64
#define SCRIPT_BYTES 65536

struct script_step {
	enum way way;
	bool fin;
	size_t start, len; /* in script.bytes */
};

struct script {
	struct script_step steps[SCRIPT_STEPS];
	size_t count, len;
	char bytes[SCRIPT_BYTES];
};

static inline void script_byte(struct script *s, unsigned byte)
{
	if (s->len == SCRIPT_BYTES)
		abort();
	s->bytes[s->len++] = (char)byte;
}

static inline void script_bytes(struct script *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		script_byte(s, (unsigned char)bytes[i]);
}

static inline void script_number(struct script *s, unsigned long number, unsigned bytes)
{
	while (bytes--)
		script_byte(s, (unsigned)(number >> (8 * bytes)) & 0xff);
}

static inline void script_hex(struct script *s, const char *hex)
{
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		script_byte(s, byte);
}

static inline void script_text(struct script *s, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			script_byte(s, '\r');
		script_byte(s, *text == '|' ? '\n' : (unsigned char)*text);
	}
}

/* "name=value" as a literal that is not indexed, or "!hex". Neither is longer than 126 bytes. */
static inline void script_field(struct script *s, const char *token)
{
	const char *value;

	if (*token == '!') {
		script_hex(s, token + 1);
		return;
	}
	value = strchr(token + 1, '=');
	script_byte(s, 0);
	script_byte(s, (unsigned)(value - token));
	script_bytes(s, token, (size_t)(value - token));
	value++;
	script_byte(s, (unsigned)strlen(value));
	script_bytes(s, value, strlen(value));
}

/* "5", "m3", "m2/9". */
static inline void script_content(struct script *s, const char *token)
{
	unsigned long len, whole;
	char *end;

	len = strtoul(token + (*token == 'm'), &end, 10);
	if (*token == 'm') {
		whole = *end == '/' ? strtoul(end + 1, NULL, 10) : len;
		script_byte(s, 0);
		script_number(s, whole, 4);
	}
	for (unsigned long i = 0; i < len; i++)
		script_byte(s, 'x');
}

static inline void script_payload(struct script *s, char kind, char *save, unsigned flags)
{
	const char *token = strtok_r(NULL, " ", &save);
	unsigned id, value;

	if (kind == 'U') {
		script_number(s, strtoul(token, NULL, 10), 4);
		token = strtok_r(NULL, " ", &save);
	}
	if (flags & 0x20)
		script_bytes(s, "\0\0\0\0\x10", 5);
	for (; token; token = strtok_r(NULL, " ", &save)) {
		if (kind == 'S' && sscanf(token, "%u=%u", &id, &value) == 2) {
			script_number(s, id, 2);
			script_number(s, value, 4);
		} else if (kind == 'D') {
			script_content(s, token);
		} else if (kind == 'X' || kind == '!') {
			script_hex(s, token);
		} else if (kind == 'R' || kind == 'G') {
			script_number(s, strtoul(token, NULL, 10), 4);
		} else {
			script_field(s, token);
		}
	}
	if (kind == 'G')
		script_number(s, 0, 4);
}

static inline void script_frame(struct script *s, char kind, char *save)
{
	static const char kinds[] = "DH?RSU?G?C";
	const char *at = strchr(kinds, kind == 'A' ? 'S' : kind);
	unsigned long type = at ? (unsigned long)(at - kinds) : 0, stream = 0;
	unsigned flags = strchr("HCU", kind) ? 0x04 : 0;
	size_t header = s->len, payload;

	if (kind == 'X')
		type = strtoul(strtok_r(NULL, " ", &save), NULL, 16);
	if (!strchr("SAG", kind))
		stream = strtoul(strtok_r(NULL, " ", &save), NULL, 10);
	save += strspn(save, " ");
	for (bool flag = *save == '-'; flag && *save && *save != ' '; save++) {
		flags |= *save == 'e' ? 0x01 : *save == 'p' ? 0x08 : *save == 'r' ? 0x20 : 0;
		flags &= *save == 'n' ? ~0x04u : ~0u;
	}
	if (kind == 'A')
		flags = 1;
	script_number(s, 0, 3);
	script_byte(s, (unsigned)type);
	script_byte(s, flags);
	script_number(s, stream, 4);
	payload = s->len;
	if (flags & 0x08)
		script_byte(s, 7);
	script_payload(s, kind, save, flags);
	if (flags & 0x08)
		script_bytes(s, "\0\0\0\0\0\0\0", 7);
	for (unsigned i = 0; i < 3; i++)
		s->bytes[header + i] = (char)((s->len - payload) >> (8 * (2 - i)));
}

static inline void script_line(struct script *s, char *line)
{
	struct script_step *step = &s->steps[s->count];
	char *save = line + 3;

	if (s->count++ == SCRIPT_STEPS)
		abort();
	step->way = line[0] == '>' ? WAY_TO_SERVER : WAY_TO_CLIENT;
	step->fin = line[2] == 'F';
	step->start = s->len;
	if (line[2] == 'P')
		script_bytes(s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	else if (line[2] == '@')
		script_text(s, line + 4);
	else if (line[2] == '!')
		script_payload(s, '!', save, 0);
	else if (!step->fin)
		script_frame(s, line[2], save);
	step->len = s->len - step->start;
}

static inline void script_init(struct script *s, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	if (!copy)
		abort();
	s->count = 0;
	s->len = 0;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		script_line(s, line);
	free(copy);
}

#endif
