// SPDX-License-Identifier: GPL-2.0-or-later
/* The living flows, page by page: see flow_list.h. */
#include "flow_list.h"

#include "thread.h"

#include <errno.h>
#include <sys/eventfd.h>

/* Whose turn it is at a place, and with it whose the page is. */
enum flow_list_turn {
	TURN_NOBODY,	/* no page */
	TURN_THREAD,	/* to fill it */
	TURN_READER,	/* to take it */
	TURN_ABANDONED, /* the thread's, to free it: the reader has gone */
};

struct flow_reader {
	struct flow_list *list;
	unsigned place, thread; /* the thread that has the page */
	struct flow_page *page; /* also where it is the thread's turn */
	bool has_page;		/* the last call gave it out */
};

static union sockaddr_any peer_of(int fd)
{
	union sockaddr_any peer = { .sa = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(peer);

	/* #syscalls getpeername */
	if (fd < 0 || getpeername(fd, &peer.sa, &len) < 0)
		peer.sa.sa_family = AF_UNSPEC;
	return peer;
}

static union sockaddr_any destination_of(const struct record *r)
{
	union sockaddr_any to;

	if (r->address.family == ADDR_FAMILY_COUNT) {
		to = (union sockaddr_any){ .sa = { .sa_family = AF_UNSPEC } };
	} else if (r->address.family == ADDR_V4) {
		to = (union sockaddr_any){ .v4 = { .sin_family = AF_INET,
						   .sin_port = htons(r->port) } };
		memcpy(&to.v4.sin_addr, r->address.bytes, 4);
	} else {
		to = (union sockaddr_any){ .v6 = { .sin6_family = AF_INET6,
						   .sin6_port = htons(r->port) } };
		memcpy(&to.v6.sin6_addr, r->address.bytes, 16);
	}
	return to;
}

static const char *state_of(const struct flow *f)
{
	if (f->state == FLOW_CONNECTING)
		return "connecting";
	return f->legs[FLOW_CLIENT].eof || f->legs[FLOW_SERVER].eof ? "half-closed" : "open";
}

static void write_row(const struct flow *f, uint64_t now, struct flow_row *row)
{
	const struct record *r = &f->record;

	*row = (struct flow_row){
		.id = r->id,
		.age_ns = now > r->opened ? now - r->opened : 0,
		.bytes = { r->total[WAY_TO_SERVER], r->total[WAY_TO_CLIENT] },
		.requests = r->requests,
		.direction = r->direction,
		.protocol = r->protocol,
		.state = state_of(f),
		.client = peer_of(f->legs[FLOW_CLIENT].source.fd),
		.destination = destination_of(r),
		.upstream = peer_of(f->legs[FLOW_SERVER].source.fd),
	};
}

static void fill(const struct thread *t, struct flow_list_place *p)
{
	struct flow_page *page = p->page;
	uint64_t now = loop_clock();

	if (page->first)
		p->next = t->flows;
	page->first = false;
	page->count = 0;
	for (; p->next && page->count < FLOW_LIST_ROWS; p->next = p->next->next)
		write_row(p->next, now, &page->rows[page->count++]);
	page->last = !p->next;
}

/* Does what there is to do at @p; whether there is a page for its reader. */
static bool serve(const struct thread *t, struct flow_list_place *p)
{
	int turn = atomic_load_explicit(&p->turn, memory_order_acquire);

	if (turn == TURN_THREAD) {
		fill(t, p);
		if (atomic_compare_exchange_strong(&p->turn, &turn, TURN_READER))
			return true;
	}
	if (turn == TURN_ABANDONED) {
		free(p->page);
		p->page = NULL;
		p->next = NULL;
		atomic_store_explicit(&p->turn, TURN_NOBODY, memory_order_release);
	}
	return false;
}

static void asked(struct loop_source *source, uint32_t events)
{
	struct flow_lister *l = CONTAINER_OF(source, struct flow_lister, source);
	const struct thread *t = CONTAINER_OF(l, struct thread, lister);
	bool answer = false;
	eventfd_t times;

	(void)events;
	/* #syscalls read */
	if (eventfd_read(source->fd, &times) < 0)
		return;
	for (size_t i = 0; i < FLOW_LIST_READERS; i++)
		answer |= serve(t, &l->places[i]);
	/* #syscalls write */
	if (answer)
		eventfd_write(l->answered, 1);
}

int flow_lister_init(struct flow_lister *l, struct loop *loop, int answered)
{
	int rc;

	/* #syscalls eventfd2 */
	*l = (struct flow_lister){
		.source = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = asked },
		.answered = answered,
	};
	if (l->source.fd < 0)
		return -errno;
	rc = loop_watch(loop, &l->source, EPOLLIN);
	if (rc < 0)
		flow_lister_fini(l);
	return rc;
}

void flow_lister_fini(struct flow_lister *l)
{
	for (size_t i = 0; i < FLOW_LIST_READERS; i++)
		free(l->places[i].page);
	if (l->source.fd >= 0)
		close(l->source.fd);
	*l = (struct flow_lister){ .source = { .fd = -1 } };
}

void flow_lister_skip(struct flow_lister *l, const struct flow *f)
{
	for (size_t i = 0; i < FLOW_LIST_READERS; i++) {
		if (l->places[i].next == f)
			l->places[i].next = f->next;
	}
}

/* Where @r has its place in the thread that it has got to. */
static struct flow_list_place *place_of(const struct flow_reader *r)
{
	return &r->list->threads[r->thread].lister.places[r->place];
}

/* Hands the page to the thread. */
static void ask(struct flow_reader *r)
{
	struct flow_list_place *p = place_of(r);

	p->page = r->page;
	atomic_store_explicit(&p->turn, TURN_THREAD, memory_order_release);
	eventfd_write(r->list->threads[r->thread].lister.source.fd, 1);
}

/* Whether no thread has anything of an earlier reader at that place. */
static bool is_free(const struct flow_list *list, unsigned place)
{
	for (unsigned i = 0; i < list->thread_count; i++) {
		if (atomic_load_explicit(&list->threads[i].lister.places[place].turn,
					 memory_order_acquire) != TURN_NOBODY)
			return false;
	}
	return !list->taken[place];
}

struct flow_reader *flow_reader_new(struct flow_list *list)
{
	struct flow_reader *r;
	unsigned place = 0;

	while (place < FLOW_LIST_READERS && !is_free(list, place))
		place++;
	if (place == FLOW_LIST_READERS)
		return NULL;
	r = malloc(sizeof(*r));
	if (!r)
		return NULL;
	*r = (struct flow_reader){
		.list = list,
		.place = place,
		.page = malloc(sizeof(struct flow_page)),
	};
	if (!r->page) {
		free(r);
		return NULL;
	}
	list->taken[place] = true;
	r->page->first = true;
	ask(r);
	return r;
}

/* Takes the page back from a thread that is done with it. */
static void leave(struct flow_reader *r)
{
	struct flow_list_place *p = place_of(r);

	p->page = NULL;
	atomic_store_explicit(&p->turn, TURN_NOBODY, memory_order_release);
}

void flow_reader_free(struct flow_reader *r)
{
	int turn = TURN_THREAD;

	if (!r)
		return;
	if (r->thread < r->list->thread_count &&
	    atomic_compare_exchange_strong(&place_of(r)->turn, &turn, TURN_ABANDONED)) {
		r->page = NULL;
		eventfd_write(r->list->threads[r->thread].lister.source.fd, 1);
	} else if (r->thread < r->list->thread_count) {
		leave(r);
	}
	r->list->taken[r->place] = false;
	free(r->page);
	free(r);
}

int flow_reader_next(struct flow_reader *r, const struct flow_page **page)
{
	if (r->has_page && r->page->last) {
		leave(r);
		r->thread++;
		r->page->first = true;
	}
	if (r->thread == r->list->thread_count)
		return -ENODATA;
	if (r->has_page)
		ask(r);
	r->has_page = atomic_load_explicit(&place_of(r)->turn, memory_order_acquire) == TURN_READER;
	*page = r->page;
	return r->has_page;
}
