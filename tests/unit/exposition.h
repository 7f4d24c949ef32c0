/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A strict reader of the text format 0.0.4, which fails the test at the first thing that the
 * format's description does not allow. Include after cmocka.h.
 */
#ifndef TESTS_EXPOSITION_H
#define TESTS_EXPOSITION_H

#include "metrics.h"

#include <ctype.h>
#include <math.h>

struct exposition_sample {
	char *series; /* name{labels} as printed; owned, as are the others */
	char *family; /* of the TYPE line that it stands under */
	double value;
};

struct exposition {
	char *text;
	size_t len;
	struct exposition_sample *samples;
	size_t count;
};

static inline int exposition_write(void *to, struct span piece)
{
	struct exposition *x = to;

	x->text = realloc(x->text, x->len + piece.len + 1);
	assert_non_null(x->text);
	memcpy(x->text + x->len, piece.ptr, piece.len);
	x->len += piece.len;
	x->text[x->len] = '\0';
	return 0;
}

static inline void exposition_fini(struct exposition *x)
{
	for (size_t i = 0; i < x->count; i++) {
		free(x->samples[i].series);
		free(x->samples[i].family);
	}
	free(x->samples);
	free(x->text);
	*x = (struct exposition){ 0 };
}

/* [a-zA-Z_:][a-zA-Z0-9_:]*; labels without colons. Returns its length. */
static inline size_t exposition_name(const char *p, bool label)
{
	size_t n = 0;

	while (isalpha((unsigned char)p[n]) || p[n] == '_' || (!label && p[n] == ':') ||
	       (n && isdigit((unsigned char)p[n])))
		n++;
	return n;
}

/* {name="value",...}: returns what is behind it. */
static inline const char *exposition_labels(const char *p, const char *line)
{
	assert_int_equal(*p, '{');
	p++;
	for (;;) {
		size_t n = exposition_name(p, true);

		if (!n || p[n] != '=' || p[n + 1] != '"')
			fail_msg("bad label in: %s", line);
		for (p += n + 2; *p != '"'; p++) {
			if (*p == '\0')
				fail_msg("open label value in: %s", line);
			if (*p == '\\' && !strchr("\\\"n", *++p))
				fail_msg("bad escape in: %s", line);
		}
		p++;
		if (*p == '}')
			return p + 1;
		if (*p++ != ',')
			fail_msg("no comma in: %s", line);
	}
}

static inline void exposition_sample_line(struct exposition *x, const char *line,
					  const char *family, const char *type)
{
	size_t name = exposition_name(line, false), base = strlen(family);
	const char *end = line + name;
	struct exposition_sample *s;
	char *rest;

	if (!name || strncmp(line, family, base) != 0)
		fail_msg("not under its TYPE: %s", line);
	if (strcmp(type, "histogram") == 0) {
		struct span suffix = SPAN(line + base, name - base);

		if (!span_eq(suffix, SPAN_LIT("_bucket")) && !span_eq(suffix, SPAN_LIT("_sum")) &&
		    !span_eq(suffix, SPAN_LIT("_count")))
			fail_msg("no part of a histogram: %s", line);
	} else if (name != base) {
		fail_msg("not under its TYPE: %s", line);
	}
	if (*end == '{')
		end = exposition_labels(end, line);
	if (*end != ' ' || !(isdigit((unsigned char)end[1]) || end[1] == '-'))
		fail_msg("no value: %s", line);
	if ((x->count & (x->count + 1)) == 0) {
		x->samples = realloc(x->samples, (2 * x->count + 1) * sizeof(*x->samples));
		assert_non_null(x->samples);
	}
	s = &x->samples[x->count++];
	s->series = strndup(line, (size_t)(end - line));
	s->family = strdup(family);
	s->value = strtod(end + 1, &rest);
	if (*rest)
		fail_msg("trailing text: %s", line);
}

/* A histogram's buckets are cumulative, end in +Inf, and that is the count that follows. */
static inline void exposition_histograms(const struct exposition *x)
{
	double last = 0;
	bool infinite = false;

	for (size_t i = 0; i < x->count; i++) {
		const struct exposition_sample *s = &x->samples[i];
		const char *part = s->series + MIN(strlen(s->family), strlen(s->series));

		if (strncmp(part, "_bucket", 7) == 0) {
			if (s->value < last)
				fail_msg("not cumulative: %s", s->series);
			last = s->value;
			infinite = strstr(part, "le=\"+Inf\"") != NULL;
		} else if (strncmp(part, "_sum", 4) == 0) {
			if (!infinite)
				fail_msg("no +Inf before: %s", s->series);
		} else if (strncmp(part, "_count", 6) == 0) {
			if (s->value != last)
				fail_msg("not the +Inf bucket: %s", s->series);
			last = 0;
		}
	}
}

static inline int exposition_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void exposition_unique(const struct exposition *x)
{
	const char **all = calloc(x->count + 1, sizeof(*all));

	assert_non_null(all);
	for (size_t i = 0; i < x->count; i++)
		all[i] = x->samples[i].series;
	qsort(all, x->count, sizeof(*all), exposition_compare);
	for (size_t i = 1; i < x->count; i++) {
		if (strcmp(all[i - 1], all[i]) == 0)
			fail_msg("twice: %s", all[i]);
	}
	free(all);
}

/* Takes one metric's name off "# HELP name text" or "# TYPE name type"; the rest is returned. */
static inline const char *exposition_comment(const char *line, char name[128])
{
	size_t n = exposition_name(line + 7, false);

	if (!n || n >= 128 || line[7 + n] != ' ' || !line[8 + n])
		fail_msg("bad comment: %s", line);
	memcpy(name, line + 7, n);
	name[n] = '\0';
	return line + 8 + n;
}

/* Scrapes @m and reads it. */
static inline void exposition_read(struct exposition *x, struct metrics *m,
				   const struct metrics_process *process)
{
	char family[128] = "", type[16] = "", help[128] = "", *seen = strdup(" "), *copy, *line,
	     *next;

	*x = (struct exposition){ 0 };
	assert_int_equal(metrics_text(m, process, METRICS_TEXT, exposition_write, x), 0);
	assert_int_equal(x->text[x->len - 1], '\n');
	assert_int_equal(strlen(x->text), x->len);
	copy = strdup(x->text);
	for (line = copy; *line; line = next) {
		next = strchr(line, '\n');
		*next++ = '\0';
		if (strncmp(line, "# HELP ", 7) == 0) {
			exposition_comment(line, help);
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			snprintf(type, sizeof(type), "%s", exposition_comment(line, family));
			assert_string_equal(family, help);
			/* A family comes once. */
			seen = realloc(seen, strlen(seen) + sizeof(family) + 2);
			strcat(family, " ");
			assert_null(strstr(seen, family));
			strcat(seen, family);
			family[strlen(family) - 1] = '\0';
			if (strcmp(type, "counter") != 0 && strcmp(type, "gauge") != 0)
				assert_string_equal(type, "histogram");
		} else {
			exposition_sample_line(x, line, family, type);
		}
	}
	free(copy);
	free(seen);
	exposition_histograms(x);
	exposition_unique(x);
}

/* The value of a series, given as printed; NAN when there is none. */
static inline double exposition_value(const struct exposition *x, const char *series)
{
	for (size_t i = 0; i < x->count; i++) {
		if (strcmp(x->samples[i].series, series) == 0)
			return x->samples[i].value;
	}
	return NAN;
}

/* The sum of the values of all series that begin with @start. */
static inline double exposition_sum(const struct exposition *x, const char *start)
{
	double sum = 0;

	for (size_t i = 0; i < x->count; i++) {
		if (strncmp(x->samples[i].series, start, strlen(start)) == 0)
			sum += x->samples[i].value;
	}
	return sum;
}

#endif
