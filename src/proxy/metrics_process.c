// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel says of this process, read when it is asked for. */
#include "metrics_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* User and system time of all threads, in nanoseconds. */
static uint64_t cpu_ns(void)
{
	struct rusage usage;
	uint64_t seconds, micros;

	/* #syscalls getrusage */
	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return 0;
	seconds = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
	micros = (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
	return seconds * 1000000000u + micros * 1000u;
}

/* proc(5), statm: total and resident size in pages. */
uint64_t metrics_resident_bytes(void)
{
	/* #syscalls openat read close */
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128], *resident;
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	resident = strchr(text, ' ');
	return resident ? strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t open_fds(void)
{
	struct stat st;
	uint64_t count = 0;
	DIR *dir;

	/* Since Linux 6.2 the directory's size is their number (fs/proc/fd.c). */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	/* Not ".", ".." and the directory's own. */
	return count > 3 ? count - 3 : 0;
}

void metrics_self_read(struct metrics_self *out)
{
	struct rlimit limit;

	*out = (struct metrics_self){
		.cpu_ns = cpu_ns(),
		.resident_bytes = metrics_resident_bytes(),
		.open_fds = open_fds(),
	};
	/* #syscalls prlimit64 */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		out->max_fds = limit.rlim_cur;
}
