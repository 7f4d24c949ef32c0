// SPDX-License-Identifier: GPL-2.0-or-later
/* The file of the access log: see log_file.h. */
#include "log_file.h"

#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 1000

/* Readable by its owner and his group alone: it tells who speaks with whom. */
#define MODE 0640

/* In place of an errno: it can be opened, but is no file. */
#define NOT_REGULAR (-1)

int log_file_open(struct log_file *f, const char *path, struct err *e)
{
	struct stat st;
	int ends[2];

	*f = (struct log_file)LOG_FILE_NONE;
	if (!path[0])
		return 0;
	if (strcmp(path, "-") == 0) {
		/* #syscalls fcntl */
		if (fcntl(STDOUT_FILENO, F_GETFL) < 0)
			return err_sys(e, -errno, "--access-log=-: no standard output");
		f->fd = STDOUT_FILENO;
		return 0;
	}
	f->path = path;
	f->flags = LOG_FILE_FLAGS | O_NOFOLLOW;
	/* #syscalls openat */
	f->fd = open(path, f->flags, MODE);
	if (f->fd < 0 && errno == ELOOP) {
		f->flags = LOG_FILE_FLAGS;
		f->fd = open(path, f->flags, MODE);
	}
	if (f->fd < 0)
		return err_sys(e, -errno, "--access-log: cannot open '%s'", path);
	/* #syscalls fstat newfstatat */
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		f->flags = 0;
		return 0;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_sys(e, -errno, "--access-log: cannot make a pair of sockets");
	f->send = ends[0];
	f->receive = ends[1];
	return 0;
}

void log_file_close(struct log_file *f)
{
	/* #syscalls close */
	if (f->fd > STDERR_FILENO)
		close(f->fd);
	if (f->send >= 0)
		close(f->send);
	if (f->receive >= 0)
		close(f->receive);
	*f = (struct log_file)LOG_FILE_NONE;
}

/* Room for one descriptor beside a byte. */
union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr aligned;
};

static bool hand_over(int socket, int fd)
{
	char byte = 0;
	union control control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	/* #syscalls sendmsg */
	return sendmsg(socket, &m, MSG_NOSIGNAL) == 1;
}

/*
 * The next descriptor that was handed over; -1: there is none, or no number is free for it. Its
 * message stays: recvmsg(2) that has no number for a descriptor gives the byte without it, and
 * nobody would send it again.
 */
static int peek_next(int socket)
{
	char byte;
	int fd = -1;
	union control control;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	/* #syscalls recvmsg */
	if (recvmsg(socket, &m, MSG_PEEK | MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m) &&
	    CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* Whether the path leads elsewhere, or nowhere. */
static bool was_moved(const struct log_file *f)
{
	struct stat ours, there;

	if (fstat(f->fd, &ours) < 0)
		return false;
	if (stat(f->path, &there) < 0)
		return errno == ENOENT;
	return ours.st_dev != there.st_dev || ours.st_ino != there.st_ino;
}

static void complain(struct log_file *f, const char *what, int error)
{
	const char *why = strerror(error);

	if (error == NOT_REGULAR)
		why = "it is no regular file now";
	else if (error == ELOOP && f->flags & O_NOFOLLOW)
		why = "it is a symbolic link now";
	if (f->complained != error)
		log_warn("--access-log: cannot %s '%s' anew: %s: going on in the old file", what,
			 f->path, why);
	f->complained = error;
}

/* The file that is at the path now, or -1; that is complained of. */
static int open_anew(struct log_file *f)
{
	int fd = open(f->path, f->flags, MODE);
	struct stat st;

	if (fd < 0) {
		/* ENXIO: a pipe that nobody reads. */
		complain(f, "open", errno == ENXIO ? NOT_REGULAR : errno);
	} else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		complain(f, "open", NOT_REGULAR);
		close(fd);
		fd = -1;
	}
	return fd;
}

void log_file_look(struct log_file *f)
{
	int fd;

	f->ticks = 0;
	if (f->send < 0)
		return;
	if (!was_moved(f)) {
		f->complained = 0;
		return;
	}
	fd = open_anew(f);
	if (fd < 0)
		return;
	/* The worker first: what it is not given is looked for again. #syscalls dup3 */
	if (!hand_over(f->send, fd) || dup3(fd, f->fd, O_CLOEXEC) < 0) {
		complain(f, "hand over", errno);
	} else {
		log_info("the access log has been moved: '%s' is opened anew", f->path);
		f->complained = 0;
	}
	close(fd);
}

void log_file_tick(struct log_file *f, unsigned period_ms)
{
	f->ticks += period_ms;
	if (f->ticks >= LOOK_MS)
		log_file_look(f);
}

bool log_file_take(int receive, int fd)
{
	bool taken = false, placed = true;
	char byte;
	int next;

	if (receive < 0)
		return false;
	while (placed && (next = peek_next(receive)) >= 0) {
		placed = dup3(next, fd, O_CLOEXEC) >= 0;
		close(next);
		taken |= placed;
		/* #syscalls recvfrom */
		placed = placed && recv(receive, &byte, 1, 0) == 1;
	}
	return taken;
}
