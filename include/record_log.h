/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a flow did, as entries of the access log. Only where the recorder has one. */
#ifndef SLUICE_RECORD_LOG_H
#define SLUICE_RECORD_LOG_H

#include "record.h"

/* @server_name: the server_address of the metrics; @error likewise. */
void record_log_exchange(const struct record *r, const struct http_exchange *x,
			 uint32_t server_name, enum error_type error);

/* @method: the name of rpc_method. */
void record_log_call(const struct record *r, const struct rpc_call *c, uint32_t server_name,
		     uint32_t method, enum error_type error);

/* The end of a connection that nobody saw requests on. */
void record_log_close(const struct record *r, uint32_t server_name, enum outcome outcome,
		      uint64_t now);

#endif
