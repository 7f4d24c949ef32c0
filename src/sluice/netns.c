// SPDX-License-Identifier: GPL-2.0-or-later
/* Going into another network namespace: see netns.h. */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static int open_error(const char *where, int error, struct err *e)
{
	if (error == EACCES || error == EPERM)
		return err_set(e, -error,
			       "--netns: '%s': not permitted: CAP_SYS_PTRACE is needed for another "
			       "user's process, or permission to open the file",
			       where);
	if (is_number(where) && error == ENOENT)
		return err_usage(e, "--netns: there is no process '%s'", where);
	if (error == ENOENT && !strchr(where, '/'))
		return err_usage(e,
				 "--netns: there is no file '%s': a namespace of 'ip netns' is the "
				 "path /run/netns/%s",
				 where, where);
	return err_usage(e, "--netns: cannot open '%s': %s", where, strerror(error));
}

int netns_enter(const char *where, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct statfs fs;
	char path[64];

	if (is_number(where) && strlen(where) > 10)
		return err_usage(e, "--netns: there is no process '%s'", where);
	snprintf(path, sizeof(path), "/proc/%.10s/ns/net", where);
	/* Not waiting for a writer, should the path be a FIFO. */
	fd = open(is_number(where) ? path : where, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return open_error(where, errno, e);
	/* #syscalls fstatfs ioctl */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC ||
	    ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_usage(e, "--netns: '%s' is not a network namespace", where);
	/* #syscalls setns */
	if (setns(fd, CLONE_NEWNET) < 0)
		return errno == EPERM ? err_set(e, -EPERM,
						"--netns: '%s': not permitted: CAP_SYS_ADMIN is "
						"needed, here and in the owner of the namespace",
						where)
				      : err_sys(e, -errno, "--netns: cannot enter '%s'", where);
	return 0;
}
