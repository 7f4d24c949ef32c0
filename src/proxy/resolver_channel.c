// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * c-ares as the resolver drives it: see resolver_channel.h.
 *
 * What c-ares takes, beyond what is allowed anyway: to read resolv.conf, nsswitch.conf, host.conf
 * and /etc/hosts, the host's name where no domain is told, and randomness for the numbers of its
 * questions. #syscalls socket connect fcntl sendto recvfrom writev close openat read newfstatat
 * fstat lseek uname getrandom
 */
#include "resolver_channel.h"

#include "dns_message.h"
#include "log.h"

#include <sys/stat.h>

/* The second time a server is asked it has twice as long. */
#define TRIES 2

static void socket_ready(struct loop_source *source, uint32_t events)
{
	struct resolver_channel *c = CONTAINER_OF(source, struct resolver_socket, source)->channel;
	int fd = source->fd;

	/* An error is found by reading. */
	ares_process_fd(c->ares, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
	c->progress(c);
}

static struct resolver_socket *socket_of(struct resolver_channel *c, int fd)
{
	for (unsigned i = 0; i < RESOLVER_SOCKETS_MAX; i++) {
		if (c->sockets[i].used && c->sockets[i].source.fd == fd)
			return &c->sockets[i];
	}
	return NULL;
}

static struct resolver_socket *socket_free(struct resolver_channel *c)
{
	for (unsigned i = 0; i < RESOLVER_SOCKETS_MAX; i++) {
		if (!c->sockets[i].used)
			return &c->sockets[i];
	}
	return NULL;
}

/* c-ares has made a socket. -1: it must do without. */
static int on_socket(ares_socket_t fd, int type, void *ctx)
{
	struct resolver_channel *c = ctx;
	struct resolver_socket *s = socket_free(c);

	(void)type;
	if (!s)
		return -1;
	*s = (struct resolver_socket){
		.source = { .fd = fd, .ready = socket_ready },
		.channel = c,
		.used = true,
	};
	return 0;
}

/* c-ares wants to know when it may read or write; neither: it is about to close the socket. */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct resolver_channel *c = ctx;
	struct resolver_socket *s = socket_of(c, fd);

	if (!s)
		return;
	if (readable || writable) {
		/* What cannot be watched times out. */
		(void)loop_watch(c->loop, &s->source,
				 (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
		return;
	}
	loop_unwatch(c->loop, &s->source);
	s->used = false;
}

static const char *resolv_conf(const struct resolver_channel *c)
{
	return c->config->resolv_conf ? c->config->resolv_conf : "/etc/resolv.conf";
}

static struct timespec changed(const struct resolver_channel *c)
{
	struct stat st;

	return stat(resolv_conf(c), &st) == 0 ? st.st_mtim : (struct timespec){ 0, 0 };
}

static void forget_config(struct resolver_channel *c)
{
	ares_destroy_options(&c->told);
	c->told = (struct ares_options){ 0 };
}

void resolver_channel_close(struct resolver_channel *c)
{
	if (!c->ares)
		return;
	c->closing = true;
	ares_destroy(c->ares);
	c->closing = false;
	c->ares = NULL;
	forget_config(c);
}

/* What the files say, of which c->ares is not to know all. ARES_SUCCESS, or why not. */
static int read_config(struct resolver_channel *c, struct ares_options *options, int mask)
{
	ares_channel ares;
	int rc = ares_init_options(&ares, options, mask), told;

	if (rc != ARES_SUCCESS)
		return rc;
	rc = ares_save_options(ares, &c->told, &told);
	ares_destroy(ares);
	return rc;
}

static bool channel_open(struct resolver_channel *c)
{
	static char files_only[] = "f";
	_cleanup_free_ char *path = strdup(resolv_conf(c));
	struct ares_options options = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = (int)c->config->timeout_ms,
		.tries = TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c,
		.resolvconf_path = path,
		.udp_port = c->config->port,
		.tcp_port = c->config->port,
		.lookups = files_only,
	};
	const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
			 ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF | ARES_OPT_UDP_PORT |
			 ARES_OPT_TCP_PORT;
	int rc = path ? ARES_SUCCESS : ARES_ENOMEM;

	c->changed = changed(c);
	if (rc == ARES_SUCCESS)
		rc = read_config(c, &options, mask);
	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&c->ares, &options, mask | ARES_OPT_LOOKUPS);
	if (rc != ARES_SUCCESS) {
		c->ares = NULL;
		forget_config(c);
		if (!c->complained)
			log_warn("names cannot be looked up: %s", ares_strerror(rc));
		c->complained = true;
		return false;
	}
	ares_set_socket_callback(c->ares, on_socket, c);
	return true;
}

bool resolver_channel_ready(struct resolver_channel *c, uint64_t now, bool *renewed)
{
	struct timespec was = c->changed;

	*renewed = false;
	if (now < c->next_check && (c->ares || c->complained))
		return c->ares;
	c->next_check = now + c->config->check_ms * 1000000ull;
	if (c->ares) {
		c->changed = changed(c);
		if (was.tv_sec == c->changed.tv_sec && was.tv_nsec == c->changed.tv_nsec)
			return true;
		log_info("%s has changed: reading it again", resolv_conf(c));
		resolver_channel_close(c);
		*renewed = true;
	}
	return channel_open(c);
}

void resolver_channel_tick(struct resolver_channel *c)
{
	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* Without its final dot; empty, where that is all of it (the root). */
static struct span search_domain(const struct resolver_channel *c, int i)
{
	struct span domain = span_str(c->told.domains[i]);

	if (domain.len && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	return domain;
}

bool resolver_channel_has_search(const struct resolver_channel *c)
{
	for (int i = 0; i < c->told.ndomains; i++) {
		if (search_domain(c, i).len)
			return true;
	}
	return false;
}

bool resolver_channel_searches(const struct resolver_channel *c, struct span name)
{
	for (int i = 0; i < c->told.ndomains; i++) {
		if (dns_name_below(name, search_domain(c, i)))
			return true;
	}
	return false;
}

const char *resolver_channel_sources(const struct resolver_channel *c)
{
	return c->told.lookups ? c->told.lookups : "fb";
}

/*
 * The @n-th of the domains that a name of @len bytes is looked for in: where there is room for it,
 * and but for the root, which is the name as it is. False: there are no more.
 */
static bool nth_domain(const struct resolver_channel *c, size_t len, unsigned n,
		       struct span *domain)
{
	for (int i = 0; i < c->told.ndomains; i++) {
		*domain = search_domain(c, i);
		if (domain->len && len + 1 + domain->len <= DNS_NAME_MAX && n-- == 0)
			return true;
	}
	return false;
}

bool resolver_channel_candidate(const struct resolver_channel *c, struct span name, unsigned n,
				char text[DNS_NAME_MAX + 2])
{
	bool whole = name.len && name.ptr[name.len - 1] == '.';
	struct span domain;
	unsigned domains = 0, as_is;
	int dots = 0;

	while (!whole && nth_domain(c, name.len, domains, &domain))
		domains++;
	for (size_t i = 0; i < name.len; i++)
		dots += name.ptr[i] == '.';
	as_is = dots >= c->told.ndots ? 0 : domains;
	if (n > domains)
		return false;
	if (n == as_is)
		snprintf(text, DNS_NAME_MAX + 2, "%.*s", (int)name.len, name.ptr);
	else if (nth_domain(c, name.len, n - (n > as_is), &domain))
		snprintf(text, DNS_NAME_MAX + 2, "%.*s.%.*s", (int)name.len, name.ptr,
			 (int)domain.len, domain.ptr);
	return true;
}
