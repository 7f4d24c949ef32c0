// SPDX-License-Identifier: GPL-2.0-or-later
/* What a DNS server may send, as a message of PTR records and as a name. */
#include "dns_message.h"
#include "names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_service(struct span name, const struct addr *a)
{
	struct span service = names_of_service(name, a);

	/* The end of the name, never empty where the name is not. */
	if ((name.len && !service.len) || service.len > name.len ||
	    memcmp(service.ptr, name.ptr + name.len - service.len, service.len) != 0)
		abort();
}

static void on_found(void *ctx, struct span name)
{
	static const struct addr a = { .family = ADDR_V4, .bytes = { 10, 1, 2, 3 } };

	if (!dns_name_is_plain(name))
		abort();
	check_service(name, &a);
	++*(unsigned *)ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct addr a = { .family = ADDR_V6, .bytes = { 0xfd, [15] = 1 } };
	struct span bytes = SPAN((const char *)data, size);
	unsigned found = 0;
	uint32_t ttl;

	if (dns_ptr_read(bytes, on_found, &found, &ttl) != found || (found && ttl > INT32_MAX))
		abort();
	check_service(bytes, &a);
	dns_name_below(bytes, SPAN_LIT("svc.cluster.local"));
	return 0;
}
