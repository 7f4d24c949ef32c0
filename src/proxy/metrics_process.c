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

/* proc(5), statm, in pages; what follows is always 0. */
enum {
	STATM_SIZE,
	STATM_RESIDENT,
	STATM_SHARED,
	STATM_TEXT,
	STATM_LIB,
	STATM_DATA,
	STATM_COUNT,
};

void metrics_memory_read(struct metrics_memory *out)
{
	/* #syscalls openat read close */
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t words[STATM_COUNT] = { 0 };
	char text[128], *at = text;
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[MAX(n, 0)] = '\0';
	for (unsigned i = 0; i < STATM_COUNT; i++)
		words[i] = strtoull(at, &at, 10) * page;
	*out = (struct metrics_memory){
		.resident = words[STATM_RESIDENT],
		.own = words[STATM_RESIDENT] - MIN(words[STATM_SHARED], words[STATM_RESIDENT]),
		.reserved = words[STATM_DATA],
	};
}

uint64_t metrics_resident_bytes(void)
{
	struct metrics_memory memory;

	metrics_memory_read(&memory);
	return memory.resident;
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
