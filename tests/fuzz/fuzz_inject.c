// SPDX-License-Identifier: GPL-2.0-or-later
/* Manifests of any bytes: inject refuses them, or can take out what it put in. */
#include "inject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inject_options o = {
		.image = "image",
		.cpu_request = "1",
		.memory_request = "1Mi",
		.memory_limit = "1Mi",
		.form = size && (data[0] & 1) ? INJECT_CLASSIC : INJECT_SIDECAR,
	};
	struct err e = ERR_INIT;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	/* Deep nesting and long keys take libyaml its time. */
	if (size > 4096)
		return 0;
	out = open_memstream(&text, &len);
	if (!out)
		return 0;
	inject_stream(SPAN((const char *)data, size), &o, NULL, NULL, out, &e);
	fclose(out);
	free(text);
	return 0;
}
