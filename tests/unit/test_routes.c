// SPDX-License-Identifier: GPL-2.0-or-later
/* Routes: what a template is, which one a path belongs to, and that a match is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "routes.h"

#include <errno.h>

static const char *const templates[] = {
	"/",
	"/api/users/{id}",
	"/api/users/me",
	"/api/users/{id}/posts/{post}",
	"/api/{kind}/all",
	"/files/{path...}",
	"/files/index",
	"/a%2Fb/{x}",
	"/slash/",
	"/v1/{a}/x/1",
	"/v1/{a}/{b}/2",
	"/v1/{rest...}",
};

static struct routes *all(void)
{
	struct routes *r = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(templates); i++)
		assert_int_equal(routes_add(&r, span_str(templates[i]), NULL), 0);
	return r;
}

static const char *route_of(const struct routes *r, const char *path)
{
	uint16_t route = routes_match(r, span_str(path));

	return route ? routes_template(r, route) : "";
}

static void test_matches(void **state)
{
	static const struct {
		const char *path, *route;
	} rows[] = {
		{ "/", "/" },
		{ "/api/users/7", "/api/users/{id}" },
		{ "/api/users/me", "/api/users/me" },
		{ "/api/users/me2", "/api/users/{id}" },
		{ "/api/users/ME", "/api/users/{id}" },
		{ "/api/users/", "" }, /* a segment that is empty is no {id} */
		{ "/api/users", "" },
		{ "/api/users/7/", "" },
		{ "/api/users/7/posts/8", "/api/users/{id}/posts/{post}" },
		{ "/api/users/me/posts/8", "/api/users/{id}/posts/{post}" },
		{ "/api/users/all", "/api/users/{id}" }, /* the earlier literal decides */
		{ "/api/things/all", "/api/{kind}/all" },
		{ "/files/", "/files/{path...}" },
		{ "/files/a/b//c", "/files/{path...}" },
		{ "/files/index", "/files/index" },
		{ "/files/index/", "/files/{path...}" },
		{ "/files", "" },
		{ "/a%2Fb/c", "/a%2Fb/{x}" }, /* as it is spelt, never decoded */
		{ "/a%2fb/c", "" },
		{ "/a/b/c", "" },
		{ "/slash/", "/slash/" },
		{ "/slash", "" },
		{ "/v1/q/x/1", "/v1/{a}/x/1" },
		{ "/v1/q/x/2", "/v1/{a}/{b}/2" }, /* back from the literal that led nowhere */
		{ "/v1/q/x/3", "/v1/{rest...}" },
		{ "//", "" },
		{ "", "" },
		{ "*", "" },
		{ "api/users/7", "" },
	};
	struct routes *r = all();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(route_of(r, rows[i].path), rows[i].route) != 0)
			fail_msg("%s: %s", rows[i].path, route_of(r, rows[i].path));
	}
	routes_free(r);
}

static void test_refuses(void **state)
{
	static const struct {
		const char *template, *says;
	} rows[] = {
		{ "users", "'users' does not begin with '/'" },
		{ "/v{id}", "'v{id}': a whole segment is {name}, or none of it" },
		{ "/{id}x", "'{id}x': a whole segment is {name}, or none of it" },
		{ "/{}", "'{}': a whole segment is {name}, or none of it" },
		{ "/{a{b}", "'{a{b}': a name is of letters, digits, '-' and '_'" },
		{ "/{...}", "'{...}': a name is of letters, digits, '-' and '_'" },
		{ "/{a...}/b", "'{a...}' must be the last segment" },
		{ "/a b", "'a b' holds a character that no path has: percent-encode it" },
		{ "/a?b", "'a?b' holds a character that no path has: percent-encode it" },
		{ "/\"", "'\"' holds a character that no path has: percent-encode it" },
		{ "/api/users/{name}",
		  "'/api/users/{name}' matches what '/api/users/{id}' matches" },
		{ "/v1/{all...}", "'/v1/{all...}' matches what '/v1/{rest...}' matches" },
	};
	struct routes *r = all();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(routes_add(&r, span_str(rows[i].template), &e), -EINVAL);
		assert_string_equal(e.text, rows[i].says);
		assert_int_equal(e.status, EXIT_USAGE);
	}
	/* What was refused has changed nothing; the same again is the same. */
	assert_string_equal(route_of(r, "/api/users/7"), "/api/users/{id}");
	assert_int_equal(routes_add(&r, SPAN_LIT("/api/users/{id}"), NULL), 0);
	assert_string_equal(route_of(r, "/v1/"), "/v1/{rest...}");
	routes_free(r);
}

static void test_bounds(void **state)
{
	char text[ROUTES_PATH_MAX + 2], longest[ROUTES_TEMPLATE_MAX + 2];
	struct routes *r = NULL;
	struct err e = ERR_INIT;

	(void)state;
	memset(longest, '/', sizeof(longest));
	longest[ROUTES_TEMPLATE_MAX + 1] = '\0';
	assert_int_equal(routes_add(&r, span_str(longest), &e), -EINVAL);
	assert_string_equal(e.text, "longer than 200 characters");
	longest[ROUTES_TEMPLATE_MAX] = '\0';
	assert_int_equal(routes_add(&r, span_str(longest), &e), 0);
	assert_string_equal(route_of(r, longest), longest);
	for (unsigned i = 1; i < ROUTES_MAX; i++) {
		snprintf(text, sizeof(text), "/%u/{a}/{b}/x%u", i % 7, i);
		assert_int_equal(routes_add(&r, span_str(text), &e), 0);
	}
	assert_int_equal(routes_add(&r, SPAN_LIT("/more"), &e), -EINVAL);
	assert_string_equal(e.text, "more than 200 templates");
	for (unsigned i = 1; i < ROUTES_MAX; i++) {
		snprintf(text, sizeof(text), "/%u/{a}/{b}/x%u", i % 7, i);
		assert_string_equal(route_of(r, text), text);
	}
	routes_free(r);

	r = NULL;
	assert_int_equal(routes_add(&r, SPAN_LIT("/{all...}"), &e), 0);
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	assert_int_equal(routes_match(r, SPAN(text, ROUTES_PATH_MAX)), 1);
	assert_int_equal(routes_match(r, SPAN(text, ROUTES_PATH_MAX + 1)), 0);
	routes_free(r);
	routes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
