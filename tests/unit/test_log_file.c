// SPDX-License-Identifier: GPL-2.0-or-later
/* The access log's file: what a worker makes of a rotation, also where it has no descriptor free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A log's file in a directory of its own, and the worker's descriptor of it. */
struct stage {
	char directory[32], path[64], moved[64];
	struct log_file file;
	int worker;
};

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct err e = ERR_INIT;

	*state = s;
	strcpy(s->directory, "/tmp/sluice-log.XXXXXX");
	if (!mkdtemp(s->directory))
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/log", s->directory);
	snprintf(s->moved, sizeof(s->moved), "%s/log.1", s->directory);
	if (log_file_open(&s->file, s->path, &e) < 0)
		return -1;
	s->worker = fcntl(s->file.fd, F_DUPFD_CLOEXEC, 0);
	return s->worker < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;

	close(s->worker);
	log_file_close(&s->file);
	unlink(s->path);
	unlink(s->moved);
	rmdir(s->directory);
	free(s);
	return 0;
}

static void rotate(struct stage *s)
{
	assert_int_equal(rename(s->path, s->moved), 0);
	log_file_look(&s->file);
	assert_int_equal(access(s->path, F_OK), 0);
}

static bool leads_to(int fd, const char *path)
{
	struct stat ours, there;

	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(stat(path, &there), 0);
	return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* The number that the next descriptor would have. */
static int next_number(void)
{
	int fd = dup(STDERR_FILENO);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/* What the sandbox is to let through, and nothing where it stays. */
static void test_how_it_is_opened_anew(void **state)
{
	static const char *const stay[] = { "", "-", "/dev/null" };
	struct stage *s = *state;
	struct log_file f;
	struct err e = ERR_INIT;

	assert_int_equal(s->file.flags, LOG_FILE_FLAGS | O_NOFOLLOW);
	for (size_t i = 0; i < ARRAY_SIZE(stay); i++) {
		assert_int_equal(log_file_open(&f, stay[i], &e), 0);
		assert_int_equal(f.flags, 0);
		log_file_close(&f);
	}
	assert_int_equal(symlink(s->path, s->moved), 0);
	assert_int_equal(log_file_open(&f, s->moved, &e), 0);
	assert_int_equal(f.flags, LOG_FILE_FLAGS);
	log_file_close(&f);
}

static void test_a_rotation(void **state)
{
	struct stage *s = *state;
	int before;

	assert_false(log_file_take(s->file.receive, s->worker));
	rotate(s);
	before = next_number();
	assert_true(log_file_take(s->file.receive, s->worker));
	assert_true(leads_to(s->worker, s->path));
	assert_false(log_file_take(s->file.receive, s->worker));
	assert_int_equal(next_number(), before);
}

/* Of two the later; and each is taken once. */
static void test_two_rotations_at_once(void **state)
{
	struct stage *s = *state;

	rotate(s);
	rotate(s);
	assert_true(log_file_take(s->file.receive, s->worker));
	assert_true(leads_to(s->worker, s->path));
	assert_false(log_file_take(s->file.receive, s->worker));
}

/* It is not lost: the worker takes it when it has one free. */
static void test_no_descriptor_is_free(void **state)
{
	struct stage *s = *state;
	struct rlimit before, none;
	bool taken;

	rotate(s);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ (rlim_t)next_number(), before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	taken = log_file_take(s->file.receive, s->worker);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(taken);
	assert_true(leads_to(s->worker, s->moved));
	assert_true(log_file_take(s->file.receive, s->worker));
	assert_true(leads_to(s->worker, s->path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_how_it_is_opened_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_rotations_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptor_is_free, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
