/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers, durations and words out of text. Pure: no I/O, nothing printed. Every parser refuses
 * empty text, signs, blanks, trailing text and overflow with a usage error that quotes the text
 * and says what would be right; the caller puts the option's name before it (err_wrap).
 */
#ifndef SLUICE_PARSE_H
#define SLUICE_PARSE_H

#include "error.h"
#include "span.h"

/* Decimal, min to max inclusive. */
int parse_u32(struct span s, uint32_t min, uint32_t max, uint32_t *out, struct err *e);
int parse_u64(struct span s, uint64_t min, uint64_t max, uint64_t *out, struct err *e);

/* A TCP port: 1 to 65535. */
int parse_port(struct span s, uint16_t *out, struct err *e);

/* "250ms", "2s", "5m", "1h"; a bare number is refused, since its unit would be a guess. */
int parse_duration_ms(struct span s, uint32_t min_ms, uint32_t max_ms, uint32_t *out,
		      struct err *e);

/* "64MiB", "512KiB", "1GiB", with or without the B; a bare number is refused, as above. */
int parse_size(struct span s, uint64_t min, uint64_t max, uint64_t *out, struct err *e);

/* "on/off", "true/false", "yes/no", "1/0". */
int parse_bool(struct span s, bool *out, struct err *e);

/* One of @count words; *out is its index. */
int parse_word(struct span s, const char *const *words, unsigned count, unsigned *out,
	       struct err *e);

#endif
