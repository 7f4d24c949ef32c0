/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gRPC adds to HTTP/2: pure functions on values, and the counting of messages. */
#ifndef SLUICE_GRPC_H
#define SLUICE_GRPC_H

#include "protocol.h"
#include "span.h"

/* The longest time-out that is told apart, milliseconds: 18 hours. */
#define GRPC_TIMEOUT_MAX ((1u << 26) - 1)

/*
 * "application/grpc", alone or with a message format ("+proto") or parameters. Not grpc-web,
 * whose trailers are content: to us it is plain HTTP.
 */
bool grpc_is_content_type(struct span value);

/* The code of a grpc-status; what is none, or a number nobody knows, is RPC_UNKNOWN. */
enum rpc_status grpc_status_of(struct span value);

/*
 * A grpc-timeout in milliseconds, rounded up, at most GRPC_TIMEOUT_MAX; 0: none that can be read.
 * Up to 8 digits and a unit.
 */
uint32_t grpc_timeout_of(struct span value);

/* "package.Service/Method" of a :path, or empty if it does not look like one. */
struct span grpc_method_of(struct span path);

/*
 * Counts messages in the content of one way of a call: each is a flag byte, a length of four
 * bytes, and so many bytes. All zero is a call that has seen nothing.
 */
struct grpc_messages {
	uint32_t count;	 /* whole ones */
	uint32_t length; /* of the prefix: what is known of it; then what is left of the message */
	uint8_t prefix;	 /* bytes of the prefix so far; all 5: within the message */
};

void grpc_messages_feed(struct grpc_messages *m, struct span bytes);

#endif
