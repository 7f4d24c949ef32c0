// SPDX-License-Identifier: GPL-2.0-or-later
/* sluice-proxy: from the command line to the parent's loop. */
#include "base.h"
#include "log.h"
#include "parent.h"
#include "proxy_config.h"
#include "proxy_man.h"
#include "sandbox.h"
#include "version.h"

#include <errno.h>
#include <unistd.h>

#define PROGRAM "sluice-proxy"

static void print_help(void)
{
	puts("Usage: " PROGRAM " [OPTION]...\n"
	     "\n"
	     "Takes over the connections that `sluice apply` redirects to it, passes their bytes\n"
	     "on untouched, and serves metrics of them. Runs in the foreground, as an ordinary\n"
	     "user (the one that `sluice apply --proxy-uid` names), until SIGTERM.\n"
	     "\n"
	     "Every option may also be given as an environment variable: --drain-timeout as\n"
	     "SLUICE_DRAIN_TIMEOUT. Exit status: 0 stopped as told, 1 failed, 2 wrong usage.\n");
	options_help(&proxy_options, 1, stdout);
}

static int run(int argc, char **argv, struct proxy_config *config, struct err *e)
{
	int rc = sandbox_start(e);

	if (rc < 0)
		return rc;
	config->told = calloc(proxy_options.count, sizeof(*config->told));
	if (!config->told)
		return err_set(e, -ENOMEM, "out of memory for the options");
	rc = options_parse_told(&proxy_options, 1, argc, argv, environ, config, NULL, 0, NULL,
				config->told, e);
	if (rc < 0)
		return rc;
	if (config->help) {
		print_help();
		return 0;
	}
	if (config->man) {
		proxy_man(stdout);
		return 0;
	}
	if (config->version) {
		puts(PROGRAM " " VERSION);
		return 0;
	}
	cidr_list_normalize(&config->cluster_cidrs);
	rc = proxy_config_check(config, e);
	if (rc < 0)
		return rc;
	log_init(PROGRAM, (enum log_level)config->log_level);
	if (geteuid() == 0)
		log_warn("running as root: run as the user that --proxy-uid of sluice apply "
			 "names, or what this proxy sends is redirected to itself");
	return parent_run(config, e);
}

int main(int argc, char **argv)
{
	struct proxy_config config;
	struct err e = ERR_INIT;
	int rc;

	log_init(PROGRAM, LOG_INFO);
	proxy_config_init(&config);
	rc = run(argc, argv, &config, &e);
	proxy_config_fini(&config);
	if (rc == 0)
		return EXIT_DONE;
	log_error("%s", e.text);
	return (int)e.status;
}
