// SPDX-License-Identifier: GPL-2.0-or-later
/* Which form a scraper gets, by what its header says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "negotiate.h"

#define OM "application/openmetrics-text"

static void test_formats(void **state)
{
	static const struct {
		const char *fields;
		bool openmetrics;
	} rows[] = {
		{ "", false },
		{ "Accept:\r\n", false },
		{ "Accept: " OM "\r\n", true },
		{ "ACCEPT: Application/OpenMetrics-Text;version=1.0.0\r\n", true },
		{ "Accept: " OM ";version=\"1.0.0\"; charset=utf-8\r\n", true },
		{ "Accept: " OM ";version=0.0.1\r\n", false },
		{ "Accept: " OM ";version=2.0.0\r\n", false },
		{ "Accept: */*\r\n", false },
		{ "Accept: application/*\r\n", false },
		{ "Accept: text/html,*/*;q=0.8\r\n", false },
		/* Prometheus 2.42 and 3.x. */
		{ "Accept: " OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
		  true },
		{ "Accept: " OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM
		  ";version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		  "text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
		  true },
		{ "Accept: text/plain;version=0.0.4\r\n", false },
		{ "Accept: text/plain, " OM ";q=0.9\r\n", false },
		{ "Accept: text/plain;q=0.9, " OM "\r\n", true },
		{ "Accept: text/plain, " OM "\r\n", true },
		{ "Accept: " OM ";q=0\r\n", false },
		{ "Accept: " OM ";q=0.000, */*\r\n", false },
		/* The closest range decides, not the best. */
		{ "Accept: " OM ";version=1.0.0;q=0.1, " OM ", text/plain;q=0.5\r\n", false },
		{ "Accept: text/*;q=0.1, text/plain;q=0.9, " OM ";q=0.5\r\n", false },
		{ "Accept: text/*;q=0.9, text/plain;q=0.1, " OM ";q=0.5\r\n", true },
		{ "Accept: text/plain\r\nX: y\r\nAccept: " OM "\r\n", true },
		/* What cannot be read was not said. */
		{ "Accept: " OM ";q=2\r\n", false },
		{ "Accept: " OM ";q=x\r\n", false },
		{ "Accept: " OM ";q=1.0001\r\n", false },
		{ "Accept: " OM "2\r\n", false },
		{ "Accept: x;y=\"" OM ",\\\"" OM "\"\r\n", false },
		{ "Accept: x;y=\"a, b\", " OM "\r\n", true },
		{ "Accept: ,;,=,\"\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool got = negotiate_format(span_str(rows[i].fields)) == METRICS_OPENMETRICS;

		if (got != rows[i].openmetrics)
			fail_msg("%s", rows[i].fields);
	}
}

static void test_codings(void **state)
{
	static const struct {
		const char *fields;
		bool gzip;
	} rows[] = {
		{ "", false },
		{ "Accept-Encoding:\r\n", false },
		{ "Accept-Encoding: gzip\r\n", true },
		{ "accept-encoding: GZip\r\n", true },
		{ "Accept-Encoding: x-gzip\r\n", true },
		{ "Accept-Encoding: gzip, deflate, br\r\n", true },
		{ "Accept-Encoding: deflate, br\r\n", false },
		{ "Accept-Encoding: identity\r\n", false },
		{ "Accept-Encoding: *\r\n", true },
		{ "Accept-Encoding: gzip;q=0\r\n", false },
		{ "Accept-Encoding: gzip;q=0, *\r\n", false },
		{ "Accept-Encoding: gzip;q=0.0, *;q=1\r\n", false },
		{ "Accept-Encoding: *;q=0\r\n", false },
		{ "Accept-Encoding: gzip;q=0.5, identity;q=0.9\r\n", false },
		{ "Accept-Encoding: gzip;q=0.9, identity;q=0.5\r\n", true },
		{ "Accept-Encoding: identity;q=0, gzip;q=0.001\r\n", true },
		{ "Accept-Encoding: deflate\r\nAccept-Encoding: gzip ; q=0.2\r\n", true },
		{ "Accept-Encoding: gzipped\r\n", false },
		{ "Accept-Encoding: gzip;q=9\r\n", false },
		{ "X-Accept-Encoding: gzip\r\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (negotiate_gzip(span_str(rows[i].fields)) != rows[i].gzip)
			fail_msg("%s", rows[i].fields);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_codings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
