// SPDX-License-Identifier: GPL-2.0-or-later
/* The option table's reader: command line, environment, files. */
#include "options.h"

#include "interval.h"
#include "parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>

struct fields {
	uint16_t port;
	bool flag;
	struct u32_ranges list;
};

static int field_port(void *field, struct span value, struct err *e)
{
	return parse_port(value, field, e);
}

static int field_flag(void *field, struct span value, struct err *e)
{
	return parse_bool(value, field, e);
}

static int field_list(void *field, struct span value, struct err *e)
{
	return u32_ranges_parse_item(field, value, 1, 99, false, e);
}

enum {
	FIRST = 1,
	SECOND = 2,
};

static const struct option rows[] = {
	{ "my-port", "PORT", "1", "a port", OPTION_VALUE, FIRST, false, field_port,
	  offsetof(struct fields, port), false, "IN_PORT", false },
	{ "flag", NULL, NULL, "a flag", OPTION_FLAG, FIRST | SECOND, true, field_flag,
	  offsetof(struct fields, flag), true, NULL, false },
	{ "list", "N", NULL, "a list", OPTION_LIST, FIRST, false, field_list,
	  offsetof(struct fields, list), false, "NUMBERS", false },
	{ "config", "FILE", NULL, "a file", OPTION_FILE, FIRST, false, NULL, 0, false, NULL,
	  false },
	{ "script", NULL, NULL, "a script's names", OPTION_FLAG, FIRST, true, field_flag,
	  offsetof(struct fields, flag), false, NULL, true },
};
static const struct option_table table = { rows, ARRAY_SIZE(rows) };

struct outcome {
	struct fields fields;
	struct err e;
	int rc;
	const char *operand;
	size_t operands;
};

static struct outcome parse(unsigned command, const char *env, const char *const *args)
{
	struct outcome o = { .e = ERR_INIT };
	char *argv[8] = { (char *)"program" }, *environ_list[] = { (char *)env, NULL };
	int argc = 1;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	o.rc = options_parse(&table, command, argc, argv, environ_list, &o.fields, &o.operand, 1,
			     &o.operands, &o.e);
	return o;
}

#define PARSE(command, env, ...) parse(command, env, (const char *const[]){ __VA_ARGS__, NULL })

static void test_both_spellings(void **state)
{
	struct outcome o = PARSE(FIRST, NULL, "--my-port=80", "--flag", "what");

	(void)state;
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.port, 80);
	assert_true(o.fields.flag);
	assert_int_equal(o.operands, 1);
	assert_string_equal(o.operand, "what");
	o = PARSE(FIRST, NULL, "--my-port", "81");
	assert_int_equal(o.fields.port, 81);
	o = PARSE(FIRST, NULL, "--", "--flag");
	assert_int_equal(o.rc, 0);
	assert_string_equal(o.operand, "--flag");
}

static void test_refusals_name_the_option(void **state)
{
	static const struct {
		const char *args[3], *text;
	} cases[] = {
		{ { "--bogus" }, "--bogus: unknown option: see --help" },
		{ { "--my-port=" },
		  "--my-port: an empty value: give PORT, or leave the option out" },
		{ { "--my-port" }, "--my-port: the value is missing: give PORT" },
		{ { "--my-port=0" }, "--my-port: '0' is out of range: 1 to 65535" },
		{ { "--my-port=1", "--my-port=1" }, "--my-port: given twice" },
		{ { "--list=1,,2" }, "--list: an empty item: leave out the comma or the option" },
		{ { "--list=@/no/such" },
		  "--list: cannot read '/no/such': No such file or directory" },
		{ { "-x" }, "-x: unknown option: options are long, see --help" },
		{ { "a", "b" }, "'b': unexpected argument: see --help" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct outcome o = parse(FIRST, NULL, cases[i].args);

		assert_int_equal(o.rc, -EINVAL);
		assert_int_equal(o.e.status, EXIT_USAGE);
		assert_string_equal(o.e.text, cases[i].text);
		u32_ranges_fini(&o.fields.list);
	}
}

static void test_commands_have_their_own(void **state)
{
	struct outcome o = PARSE(SECOND, "SLUICE_MY_PORT=bad", "--my-port=1");

	(void)state;
	assert_string_equal(o.e.text, "--my-port: not an option of this command: see --help");
	o = PARSE(SECOND, "SLUICE_MY_PORT=bad", "--flag");
	assert_int_equal(o.rc, 0);
}

static void test_environment(void **state)
{
	struct outcome o = PARSE(FIRST, "SLUICE_MY_PORT=82", "x");

	(void)state;
	assert_int_equal(o.fields.port, 82);
	o = PARSE(FIRST, "SLUICE_MY_PORT=82", "--my-port=80");
	assert_int_equal(o.fields.port, 80);
	o = PARSE(FIRST, "SLUICE_MY_PORT=", "x");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.port, 0);
	o = PARSE(FIRST, "SLUICE_MY_PORT=z", "x");
	assert_int_equal(o.rc, -EINVAL);
	assert_string_equal(o.e.text, "SLUICE_MY_PORT: 'z' is not a number");
	o = PARSE(FIRST, "SLUICE_FLAG=on", "x");
	assert_false(o.fields.flag);
}

static void test_lists_add_up(void **state)
{
	struct outcome o = PARSE(FIRST, NULL, "--list=1,3-4", "--list", "9");

	(void)state;
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.list.count, 3);
	u32_ranges_fini(&o.fields.list);
}

/* A file of its own that holds these bytes. Its path, which the next call changes. */
static const char *file_of(struct span bytes)
{
	static char path[32];
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "/tmp/sluice-options-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	fwrite(bytes.ptr, 1, bytes.len, f);
	fclose(f);
	return path;
}

static const char *file_with(const char *text)
{
	return file_of(span_str(text));
}

/* As PARSE(), with "--config" of a file that holds @text before @args. */
static struct outcome parse_with_file(const char *text, const char *env, const char *arg)
{
	const char *path = file_with(text);
	struct outcome o;
	char config[64];

	snprintf(config, sizeof(config), "--config=%s", path);
	o = PARSE(FIRST, env, config, arg);
	unlink(path);
	return o;
}

static void test_a_list_from_a_file(void **state)
{
	const char *path = file_with("# ports\n1, 2\n\n 7-9 # more\r\n5");
	struct outcome o;
	char arg[64];

	(void)state;
	snprintf(arg, sizeof(arg), "--list=@%s", path);
	o = PARSE(FIRST, NULL, arg);
	unlink(path);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.list.count, 4);
	assert_int_equal(o.fields.list.ranges[2].last, 9);
	u32_ranges_fini(&o.fields.list);
}

/* An include of nothing would be an include of everything. */
static void test_a_list_from_a_file_without_values(void **state)
{
	static const char *const texts[] = { "", "\n", "# none\n", " \t\n\r\n  # 80" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *path = file_with(texts[i]);
		char arg[64], error[96];
		struct outcome o;

		snprintf(arg, sizeof(arg), "--list=@%s", path);
		snprintf(error, sizeof(error), "--list: file '%s' holds no values", path);
		o = PARSE(FIRST, NULL, "--list=1", arg);
		unlink(path);
		assert_int_equal(o.rc, -EINVAL);
		assert_int_equal(o.e.status, EXIT_USAGE);
		assert_string_equal(o.e.text, error);
		u32_ranges_fini(&o.fields.list);
	}
}

/* What is behind a NUL byte is not left out silently. */
static void test_a_nul_byte_in_a_file(void **state)
{
	static const struct {
		struct span bytes;
		const char *arg;
	} cases[] = {
		{ { "1\n2\0,3\n4\n", 9 }, "--list=@" },
		{ { "1\n\0", 3 }, "--list=@" },
		{ { "list = 1\nmy-port = 8\0 0\n", 24 }, "--config=" },
		{ { "list = 1\n# \0\n", 13 }, "--config=" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *path = file_of(cases[i].bytes);
		struct outcome o;
		char arg[64];

		snprintf(arg, sizeof(arg), "%s%s", cases[i].arg, path);
		o = PARSE(FIRST, NULL, arg);
		unlink(path);
		assert_int_equal(o.rc, -EINVAL);
		assert_int_equal(o.e.status, EXIT_USAGE);
		assert_non_null(strstr(o.e.text, "', line 2: a NUL byte: this is no text"));
		u32_ranges_fini(&o.fields.list);
	}
}

static void test_a_configuration_file(void **state)
{
	static const char text[] = "# all of it\n\n my-port=80 # here\r\nlist = 1, 2\nlist=5";
	struct outcome o = parse_with_file(text, NULL, NULL);

	(void)state;
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.port, 80);
	assert_int_equal(o.fields.list.count, 3);
	u32_ranges_fini(&o.fields.list);
	o = parse_with_file(text, NULL, "--list=9");
	assert_int_equal(o.fields.list.count, 1);
	u32_ranges_fini(&o.fields.list);
	o = parse_with_file(text, "SLUICE_MY_PORT=81", NULL);
	assert_int_equal(o.fields.port, 81);
	u32_ranges_fini(&o.fields.list);
	o = parse_with_file(text, "SLUICE_MY_PORT=81", "--my-port=82");
	assert_int_equal(o.fields.port, 82);
	u32_ranges_fini(&o.fields.list);
}

static void test_names_of_a_script(void **state)
{
	struct outcome o;

	(void)state;
	o = PARSE(FIRST, "IN_PORT=7", "--script");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.port, 7);
	o = parse(FIRST, "IN_PORT=7", (const char *const[]){ NULL });
	assert_int_equal(o.fields.port, 0);
	o = PARSE(FIRST, "IN_PORT=", "--script");
	assert_int_equal(o.fields.port, 0);
	o = PARSE(FIRST, "IN_PORT=7", "--script", "--my-port=8");
	assert_int_equal(o.fields.port, 8);
	o = PARSE(FIRST, "NUMBERS= 3 5-6,9\t11 ", "--script");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.fields.list.count, 4);
	u32_ranges_fini(&o.fields.list);
	o = PARSE(FIRST, "NUMBERS=3 x", "--script");
	assert_int_equal(o.rc, -EINVAL);
	assert_string_equal(o.e.text, "NUMBERS: 'x' is not a number");
	u32_ranges_fini(&o.fields.list);
}

/* Of a Service called sluice-my or in, in whose namespace the program runs. */
static void test_links_to_services_are_not_meant_for_us(void **state)
{
	static const char *const links[] = { "tcp://10.96.0.7:9901", "udp://10.96.0.7:53",
					     "sctp://[fd00::1]:9" };
	char env[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		struct outcome o;

		snprintf(env, sizeof(env), "SLUICE_MY_PORT=%s", links[i]);
		o = PARSE(FIRST, env, NULL);
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.fields.port, 0);
		snprintf(env, sizeof(env), "IN_PORT=%s", links[i]);
		o = PARSE(FIRST, env, "--script");
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.fields.port, 0);
	}
	/* What no Service is the reason of is an error still. */
	assert_int_equal(PARSE(FIRST, "SLUICE_MY_PORT=http://10.96.0.7", NULL).rc, -EINVAL);
	assert_int_equal(PARSE(FIRST, "SLUICE_MY_PORT=tcp", NULL).rc, -EINVAL);
	assert_int_equal(PARSE(FIRST, "SLUICE_LIST=tcp://10.96.0.7:9901", NULL).rc, -EINVAL);
	assert_int_equal(PARSE(FIRST, NULL, "--my-port=tcp://10.96.0.7:9901").rc, -EINVAL);
}

static void test_the_environment_names_the_file(void **state)
{
	const char *path = file_with("my-port = 80");
	struct outcome o;
	char env[64];

	(void)state;
	snprintf(env, sizeof(env), "SLUICE_CONFIG=%s", path);
	o = PARSE(FIRST, env, NULL);
	assert_int_equal(o.fields.port, 80);
	o = PARSE(SECOND, env, NULL);
	assert_int_equal(o.fields.port, 0);
	unlink(path);
	o = PARSE(FIRST, "SLUICE_CONFIG=/no/such", NULL);
	assert_string_equal(o.e.text,
			    "SLUICE_CONFIG: cannot read '/no/such': No such file or directory");
}

static void test_refusals_name_file_and_line(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "\nmy-port = 0", "line 2: my-port: '0' is out of range: 1 to 65535" },
		{ "my-port", "line 1: 'my-port' is no setting: write NAME = VALUE" },
		{ "my-port =",
		  "line 1: my-port: an empty value: give PORT, or leave the option out" },
		{ "my-port = 1\nmy-port = 1", "line 2: my-port: given twice" },
		{ "bogus = 1", "line 1: bogus: unknown option" },
		{ "= 1", "line 1: : unknown option" },
		{ "flag = on", "line 1: flag: not an option for a file" },
		{ "config = x", "line 1: config: not an option for a file" },
		{ "list = @/no/such",
		  "line 1: list: cannot read '/no/such': No such file or directory" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct outcome o = parse_with_file(cases[i].text, NULL, NULL);
		const char *where = strstr(o.e.text, "', line ");

		assert_int_equal(o.rc, -EINVAL);
		assert_int_equal(o.e.status, EXIT_USAGE);
		assert_non_null(where);
		assert_string_equal(where + 3, cases[i].error);
		assert_memory_equal(o.e.text, "--config: file '/tmp/", 21);
	}
}

static void test_help_wants_nothing_else(void **state)
{
	struct outcome o = PARSE(FIRST, "SLUICE_MY_PORT=bad", "--config=/no/such", "--flag");

	(void)state;
	assert_int_equal(o.rc, 0);
	assert_true(o.fields.flag);
	o = PARSE(FIRST, "SLUICE_MY_PORT=bad", "--config=/no/such");
	assert_string_equal(o.e.text, "SLUICE_MY_PORT: 'bad' is not a number");
}

static void test_names(void **state)
{
	char name[40];

	(void)state;
	options_env_name(&rows[0], name, sizeof(name));
	assert_string_equal(name, "SLUICE_MY_PORT");
}

static const char *const manual =
	".Bl -tag -width Ds\n"
	".It Fl Fl log Ns = Ns Ar WHAT\n"
	"\\&.d at the front, and at the end of the line, where the quote is put\n"
	"\\&'on' the next, a\\-dash and a \\e.\n"
	"Environment: SLUICE_LOG.\n"
	".El\n";

static void test_manual_lines_are_text(void **state)
{
	const struct option row = {
		.name = "log",
		.arg = "WHAT",
		.help = ".d at the front, and at the end of the line, where the quote is put "
			"'on' the next, a-dash and a \\",
		.kind = OPTION_VALUE,
	};
	const struct option_table one = { &row, 1 };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	options_man(&one, f);
	fclose(f);
	assert_string_equal(text, manual);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_spellings),
		cmocka_unit_test(test_refusals_name_the_option),
		cmocka_unit_test(test_commands_have_their_own),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_lists_add_up),
		cmocka_unit_test(test_a_list_from_a_file),
		cmocka_unit_test(test_a_list_from_a_file_without_values),
		cmocka_unit_test(test_a_nul_byte_in_a_file),
		cmocka_unit_test(test_a_configuration_file),
		cmocka_unit_test(test_names_of_a_script),
		cmocka_unit_test(test_links_to_services_are_not_meant_for_us),
		cmocka_unit_test(test_the_environment_names_the_file),
		cmocka_unit_test(test_refusals_name_file_and_line),
		cmocka_unit_test(test_help_wants_nothing_else),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_manual_lines_are_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
