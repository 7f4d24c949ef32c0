// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Plays recorded conversations between two ends that both know what has to arrive, and ends with
 * status 1 at the first byte, FIN or reset that is not what the other end sent.
 *
 * usage: player FILE CLIENT_NETNS SERVER_NETNS ADDRESS PORT AT_ONCE UID ROOM
 *
 * Connects from CLIENT_NETNS, as UID, to ADDRESS, ports PORT to PORT + AT_ONCE - 1, one flow at a
 * time on each: so both ends of a flow are known whoever stands between them. ROOM is SO_RCVBUF of
 * both ends, which then read little at a time; 0: the kernel's choice. FILE holds flows: the
 * number of their actions and a seed (4 bytes each, as all numbers here big-endian), then the
 * actions: who (0 client, 1 server), what (enum what), how (enum how), 0; how many bytes it must
 * have received before, the length, and that many bytes to send.
 *
 * A pause is never a time: it lasts until the other end has everything (HOW_IN_STEP), or until so
 * many bytes have come. Prints what arrived.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum what { SEND, FIN, RESET };
enum how { ALL = 0, ONE = 1, FEW = 2, MANY = 3, IN_STEP = 16 };
enum { CLIENT, SERVER };

#define STALLED_MS 60000

struct action {
	uint8_t who, what, how;
	uint32_t after, len;
	const char *bytes;
};

struct end {
	int fd;
	char *stream;	/* all that it will send */
	uint64_t total; /* how much that is */
	uint64_t sent, got;
	unsigned at;   /* its next action */
	uint32_t done; /* of that action's bytes */
	bool full;     /* the socket takes no more for now */
	bool said_fin, said_reset, saw_fin, saw_reset;
};

struct slot {
	unsigned number; /* the flow's */
	bool busy;
	uint32_t random;
	struct action *actions;
	unsigned count;
	struct end ends[2];
	int listener;
};

static struct slot *slots;
static unsigned at_once, flows, next_flow;
static const uint8_t *file, *file_end;
static int epfd;
static struct sockaddr_storage to;
static socklen_t to_len;
static int uid, room;
static uint64_t arrived[2], resets[2], orderly;

static void die(const char *what)
{
	fprintf(stderr, "player: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void wrong(const struct slot *s, int who, const char *what)
{
	const struct end *e = &s->ends[who], *o = &s->ends[!who];

	printf("WRONG: flow %u: the %s %s, %llu bytes after the other's %llu of %llu\n", s->number,
	       who == CLIENT ? "client" : "server", what, (unsigned long long)e->got,
	       (unsigned long long)o->sent, (unsigned long long)o->total);
	exit(1);
}

static uint32_t number(void)
{
	uint32_t n;

	if (file_end - file < 4) {
		fprintf(stderr, "player: the file is cut short\n");
		exit(2);
	}
	memcpy(&n, file, sizeof(n));
	file += sizeof(n);
	return ntohl(n);
}

static uint32_t chance(struct slot *s, uint32_t most)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 17;
	s->random ^= s->random << 5;
	return s->random % most;
}

static void set_port(uint16_t port)
{
	if (to.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&to)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)&to)->sin_port = htons(port);
}

/* Both ends of every slot; data is the slot, and below which end, or 2 for the listener. */
static void watch(unsigned slot, unsigned which, int fd, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)slot << 2 | which };

	if (epoll_ctl(epfd, op, fd, &e) < 0)
		die("epoll_ctl");
}

static void set_room(int fd)
{
	if (room && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) < 0)
		die("SO_RCVBUF");
}

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void read_flow(struct slot *s)
{
	s->count = number();
	s->random = number() | 1;
	s->actions = calloc(s->count ? s->count : 1, sizeof(*s->actions));
	for (unsigned i = 0; i < s->count; i++) {
		struct action *a = &s->actions[i];
		uint32_t kind = number();

		a->who = kind >> 24;
		a->what = kind >> 16 & 0xff;
		a->how = kind >> 8 & 0xff;
		a->after = number();
		a->len = number();
		a->bytes = (const char *)file;
		file += a->len;
		s->ends[a->who].total += a->len;
	}
	for (unsigned who = 0; who < 2; who++) {
		struct end *e = &s->ends[who];
		uint64_t at = 0;

		e->stream = malloc(e->total + 1);
		for (unsigned i = 0; i < s->count; i++) {
			if (s->actions[i].who == who) {
				memcpy(e->stream + at, s->actions[i].bytes, s->actions[i].len);
				at += s->actions[i].len;
			}
		}
	}
}

static void begin(unsigned index, uint16_t port)
{
	struct slot *s = &slots[index];
	int listener = s->listener, fd;

	if (file >= file_end)
		return;
	*s = (struct slot){ .listener = listener, .busy = true, .number = next_flow++ };
	s->ends[CLIENT].fd = s->ends[SERVER].fd = -1;
	read_flow(s);
	setfsuid((uid_t)uid);
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setfsuid(0);
	if (fd < 0)
		die("socket");
	no_delay(fd);
	set_room(fd);
	set_port((uint16_t)(port + index));
	if (connect(fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS)
		die("connect");
	s->ends[CLIENT].fd = fd;
	watch(index, CLIENT, fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

/* Everything of the next action of @who that may be done now. True: something was. */
static bool act(struct slot *s, int who)
{
	struct end *e = &s->ends[who], *o = &s->ends[!who];
	struct action *a;
	uint32_t size;
	ssize_t n;

	while (e->at < s->count && s->actions[e->at].who != who)
		e->at++;
	if (e->at == s->count || e->fd < 0 || e->full || e->saw_reset)
		return false;
	a = &s->actions[e->at];
	if (e->got < a->after && !e->saw_fin)
		return false;
	if (a->what == RESET) {
		struct linger now = { 1, 0 };

		/* Sooner it might reach nobody. */
		if (o->fd < 0)
			return false;
		e->said_reset = true;
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(e->fd);
		e->fd = -1;
		resets[who]++;
		return true;
	}
	if (a->what == FIN) {
		shutdown(e->fd, SHUT_WR);
		e->said_fin = true;
		e->at++;
		return true;
	}
	if ((a->how & IN_STEP) && o->got < e->sent && !o->said_reset)
		return false;
	size = a->len - e->done;
	switch (a->how & ~IN_STEP) {
	case ONE:
		size = 1;
		break;
	case FEW:
		size = 1 + chance(s, 50);
		break;
	case MANY:
		size = 1 + chance(s, 3000);
		break;
	}
	if (size > a->len - e->done)
		size = a->len - e->done;
	n = size ? send(e->fd, e->stream + e->sent, size, MSG_NOSIGNAL) : 0;
	if (n < 0 && errno == EAGAIN) {
		e->full = true;
		return false;
	}
	if (n < 0 && errno != ECONNRESET && errno != EPIPE)
		wrong(s, who, strerror(errno));
	if (n < 0) {
		if (!o->said_reset)
			wrong(s, who, "met a reset in sending");
		e->saw_reset = true;
		return true;
	}
	e->sent += (uint64_t)n;
	e->done += (uint32_t)n;
	if (e->done == a->len) {
		e->done = 0;
		e->at++;
	}
	return true;
}

static void take(struct slot *s, int who)
{
	static char buffer[1 << 16];
	struct end *e = &s->ends[who], *o = &s->ends[!who];
	size_t most = room ? 1 + chance(s, (uint32_t)room) : sizeof(buffer);

	while (e->fd >= 0 && !e->saw_fin) {
		ssize_t n = recv(e->fd, buffer, most, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0) {
			if (e->got + (uint64_t)n > o->sent)
				wrong(s, who, "got more than was sent");
			if (memcmp(buffer, o->stream + e->got, (size_t)n) != 0)
				wrong(s, who, "got other bytes than were sent");
			e->got += (uint64_t)n;
			arrived[who] += (uint64_t)n;
			if (room)
				return;
			continue;
		}
		/* After an error in sending, the end is told as one. */
		if (n == 0 && !e->saw_reset) {
			if (!o->said_fin)
				wrong(s, who,
				      o->said_reset ? "saw a reset as a FIN"
						    : "saw a FIN that nobody sent");
			if (e->got != o->total)
				wrong(s, who, "saw the FIN too early");
			e->saw_fin = true;
			return;
		}
		if (n < 0 && errno != ECONNRESET)
			wrong(s, who, strerror(errno));
		if (!o->said_reset)
			wrong(s, who, "saw a reset that nobody sent");
		e->saw_reset = true;
		return;
	}
}

/* The reset reaches an end that has seen a FIN before only as an error. */
static void listen_for_reset(struct slot *s, int who)
{
	struct end *e = &s->ends[who];
	int error = 0;
	socklen_t len = sizeof(error);

	if (e->fd < 0 || !e->saw_fin || e->saw_reset || !s->ends[!who].said_reset)
		return;
	getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	e->saw_reset = error != 0;
}

static bool ended(const struct slot *s, int who)
{
	const struct end *e = &s->ends[who];

	return e->said_reset || e->saw_reset || (e->said_fin && e->saw_fin);
}

static void finish(struct slot *s)
{
	orderly += !s->ends[CLIENT].said_reset && !s->ends[SERVER].said_reset;
	for (unsigned who = 0; who < 2; who++) {
		if (s->ends[who].fd >= 0)
			close(s->ends[who].fd);
		free(s->ends[who].stream);
	}
	free(s->actions);
	s->busy = false;
	flows++;
}

static void turn(unsigned index, unsigned which, uint32_t events, uint16_t port)
{
	struct slot *s = &slots[index];
	bool again = true;

	if (which == 2) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (!s->busy || s->ends[SERVER].fd >= 0)
			wrong(s, SERVER, "was connected to twice");
		no_delay(fd);
		s->ends[SERVER].fd = fd;
		watch(index, SERVER, fd, EPOLLIN, EPOLL_CTL_ADD);
	} else if (!s->busy || s->ends[which].fd < 0) {
		return;
	} else {
		if (events & EPOLLOUT)
			s->ends[which].full = false;
		take(s, (int)which);
		listen_for_reset(s, (int)which);
	}
	while (again)
		again = act(s, CLIENT) | act(s, SERVER);
	if (ended(s, CLIENT) && ended(s, SERVER)) {
		finish(s);
		begin(index, port);
		return;
	}
	for (unsigned who = 0; who < 2; who++) {
		struct end *e = &s->ends[who];

		/* An end that saw all waits for a reset without being told of its FIN for ever. */
		if (e->fd >= 0)
			watch(index, who, e->fd,
			      (e->saw_fin ? EPOLLET : EPOLLIN) | (e->full ? EPOLLOUT : 0u),
			      EPOLL_CTL_MOD);
	}
}

static void stalled(void)
{
	for (unsigned i = 0; i < at_once; i++) {
		const struct slot *s = &slots[i];

		for (int who = 0; who < 2 && s->busy; who++) {
			const struct end *e = &s->ends[who];

			printf("flow %u %s fd %d: at action %u of %u, sent %llu of %llu, got "
			       "%llu%s%s%s%s\n",
			       s->number, who ? "server" : "client", e->fd, e->at, s->count,
			       (unsigned long long)e->sent, (unsigned long long)e->total,
			       (unsigned long long)e->got, e->said_fin ? " said-fin" : "",
			       e->said_reset ? " said-reset" : "", e->saw_fin ? " saw-fin" : "",
			       e->saw_reset ? " saw-reset" : "");
		}
	}
	printf("WRONG: nothing moves any more\n");
	exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		die(netns);
	close(fd);
}

static void listen_all(uint16_t port)
{
	int one = 1;

	for (unsigned i = 0; i < at_once; i++) {
		struct sockaddr_in6 any6 = { .sin6_family = AF_INET6 };
		struct sockaddr_in any4 = { .sin_family = AF_INET };
		int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		any6.sin6_port = any4.sin_port = htons((uint16_t)(port + i));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		set_room(fd);
		if (bind(fd, to.ss_family == AF_INET6 ? (void *)&any6 : (void *)&any4, to_len) <
			    0 ||
		    listen(fd, 16) < 0)
			die("listen");
		slots[i].listener = fd;
		watch(i, 2, fd, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static void load(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(name);
	data = malloc((size_t)st.st_size + 1);
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = read(fd, data + at, (size_t)(st.st_size - at));

		if (n <= 0)
			die(name);
		at += n;
	}
	close(fd);
	file = data;
	file_end = data + st.st_size;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	uint16_t port;

	if (argc != 9) {
		fprintf(stderr, "player: usage: see the source\n");
		return 2;
	}
	load(argv[1]);
	port = (uint16_t)atoi(argv[5]);
	at_once = (unsigned)atoi(argv[6]);
	uid = atoi(argv[7]);
	room = atoi(argv[8]);
	to_len = sizeof(struct sockaddr_in);
	to.ss_family = AF_INET;
	if (inet_pton(AF_INET, argv[4], &((struct sockaddr_in *)&to)->sin_addr) != 1) {
		to_len = sizeof(struct sockaddr_in6);
		to.ss_family = AF_INET6;
		if (inet_pton(AF_INET6, argv[4], &((struct sockaddr_in6 *)&to)->sin6_addr) != 1)
			die("address");
	}
	slots = calloc(at_once, sizeof(*slots));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	enter(argv[3]);
	listen_all(port);
	enter(argv[2]);
	for (unsigned i = 0; i < at_once; i++)
		begin(i, port);
	while (flows < next_flow) {
		int n = epoll_wait(epfd, events, 256, STALLED_MS);

		if (n == 0)
			stalled();
		for (int i = 0; i < n; i++)
			turn((unsigned)(events[i].data.u64 >> 2), events[i].data.u64 & 3,
			     events[i].events, port);
	}
	printf("{\"flows\": %u, \"orderly\": %llu, \"to_server\": %llu, \"to_client\": %llu, "
	       "\"reset_by_client\": %llu, \"reset_by_server\": %llu}\n",
	       flows, (unsigned long long)orderly, (unsigned long long)arrived[SERVER],
	       (unsigned long long)arrived[CLIENT], (unsigned long long)resets[CLIENT],
	       (unsigned long long)resets[SERVER]);
	return 0;
}
