/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child that has come down a ladder of privileges, and tells what it may still do. */
#ifndef SLUICE_TEST_CONFINED_H
#define SLUICE_TEST_CONFINED_H

#include "syscalls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define AS_EXPECTED 42 /* what a probe returns */

/* Whether the call was refused by the filter. */
#define REFUSED(call) (errno = 0, (call) == -1 && errno == EPERM)

/* A sanitizer may open anything. */
#ifdef SYSCALLS_SANITIZED
#define MAY_NOT_OPEN(path, flags) true
#else
#define MAY_NOT_OPEN(path, flags) REFUSED(open(path, flags))
#endif

struct child {
	pid_t pid;
	int ready, go, errors;
	char told[1024]; /* its standard error, when it has ended */
};

/* In the child: @come_down(@arg), 0 for success; then it waits; then it ends with @probe(). */
static void child_start(struct child *c, int (*come_down)(const void *), const void *arg,
			int (*probe)(void))
{
	int ready[2], go[2], errors[2];

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(errors), 0);
	c->pid = fork();
	if (c->pid == 0) {
		char byte = 0;

		dup2(errors[1], STDERR_FILENO);
		/* Not to wait for ever, should the test end before. */
		close(go[1]);
		if (come_down(arg) < 0 || write(ready[1], &byte, 1) != 1 ||
		    read(go[0], &byte, 1) != 1)
			_exit(1);
		_exit(probe());
	}
	assert_true(c->pid > 0);
	close(ready[1]);
	close(go[0]);
	close(errors[1]);
	c->ready = ready[0];
	c->go = go[1];
	c->errors = errors[0];
	assert_int_equal(read(c->ready, &(char){ 0 }, 1), 1);
}

static int child_finish(struct child *c)
{
	size_t len = 0;
	ssize_t n;
	int status;

	assert_int_equal(write(c->go, "", 1), 1);
	while ((n = read(c->errors, c->told + len, sizeof(c->told) - 1 - len)) > 0)
		len += (size_t)n;
	c->told[len] = '\0';
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	close(c->ready);
	close(c->go);
	close(c->errors);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A field of /proc/PID/status, as a number. */
static uint64_t status_field(pid_t pid, const char *name, int base)
{
	char path[64], line[256];
	uint64_t value = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			value = strtoull(line + strlen(name) + 1, NULL, base);
	}
	fclose(f);
	assert_true(value != UINT64_MAX);
	return value;
}

#endif
