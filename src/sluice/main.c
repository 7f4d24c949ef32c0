// SPDX-License-Identifier: GPL-2.0-or-later
/* sluice: finds the command, reads its options, runs it, and turns the outcome into an exit. */
#include "commands.h"
#include "log.h"
#include "man.h"
#include "privs.h"
#include "version.h"

#include <errno.h>
#include <string.h>

struct command {
	const char *name;
	enum command_bit bit;
	enum privs_need privs;
	int (*run)(const struct config *c, struct err *e);
	const char *help;
};

static int command_version(const struct config *c, struct err *e)
{
	(void)c, (void)e;
	puts("sluice " VERSION);
	return EXIT_DONE;
}

static int command_help(const struct config *c, struct err *e);

static const struct command commands[] = {
	{ "apply", COMMAND_APPLY, PRIVS_KERNEL, command_apply,
	  "redirect new connections to the proxy" },
	{ "remove", COMMAND_REMOVE, PRIVS_KERNEL, command_remove,
	  "take the redirect out, and reset what goes through it" },
	{ "plan", COMMAND_PLAN, PRIVS_NONE, command_plan,
	  "print the rules that the options lead to; change nothing" },
	{ "check", COMMAND_CHECK, PRIVS_KERNEL, command_check, "compare the kernel with the plan" },
	{ "explain", COMMAND_EXPLAIN, PRIVS_KERNEL, command_explain,
	  "say which rule decides about a connection, and how" },
	{ "status", COMMAND_STATUS, PRIVS_KERNEL, command_status,
	  "show what is programmed, what it counted, and who else redirects" },
	{ "verify", COMMAND_VERIFY, PRIVS_PROOF, command_verify,
	  "prove the redirect with real connections" },
	{ "inject", COMMAND_INJECT, PRIVS_NONE, command_inject,
	  "put the redirect and the proxy into Kubernetes manifests, or take them out" },
	{ "version", COMMAND_VERSION, PRIVS_NONE, command_version, "print the version" },
	{
		"help",
		COMMAND_HELP,
		PRIVS_NONE,
		command_help,
		"print this, or what 'help COMMAND' takes",
	},
};

/* What a command takes besides options, as its help calls it; NULL: nothing. */
static const char *operands_of(const struct command *c)
{
	if (c->bit == COMMAND_INJECT)
		return "[FILE]...";
	return c->bit == COMMAND_HELP ? "[COMMAND]" : NULL;
}

static size_t operands_max(const struct command *c, int argc)
{
	if (c->bit == COMMAND_INJECT)
		return (size_t)argc;
	return c->bit == COMMAND_HELP;
}

static const struct command *find(const char *name)
{
	/* As flags, for those who try these first. */
	if (strcmp(name, "--version") == 0)
		name = "version";
	else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int help_overview(void)
{
	puts("Usage: sluice COMMAND [OPTION]...\n"
	     "\n"
	     "Redirects the TCP connections of a network namespace to sluice-proxy.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].help);
	puts("\n"
	     "'sluice COMMAND --help' lists the options of a command. Exit status: 0 done,\n"
	     "1 failed, 2 wrong usage or configuration, 3 the kernel does not hold the plan.");
	return EXIT_DONE;
}

static int help_for(const struct command *c)
{
	const char *operands = operands_of(c);

	printf("Usage: sluice %s [OPTION]...%s%s\n\n%c%s.\n\nOptions:\n", c->name,
	       operands ? " " : "", operands ? operands : "", c->help[0] - 'a' + 'A', c->help + 1);
	options_help(&config_options, c->bit, stdout);
	if (c->bit &
	    (COMMAND_APPLY | COMMAND_PLAN | COMMAND_CHECK | COMMAND_EXPLAIN | COMMAND_VERIFY))
		puts("\n"
		     "PORTS and IDS are lists of numbers and ranges (80,8000-8999), CIDRS of\n"
		     "addresses and blocks of both families, UIDS and GIDS take names too. A list\n"
		     "may be given several times, or name a file: @FILE. The options that lead to\n"
		     "the plan are environment variables, too (--proxy-uid is SLUICE_PROXY_UID), "
		     "and\n"
		     "lines of the file that --config names (proxy-uid = 1337).");
	return EXIT_DONE;
}

static int command_help(const struct config *c, struct err *e)
{
	const struct command *about;

	if (c->man) {
		man_print(stdout);
		return EXIT_DONE;
	}
	if (!c->operand_count)
		return help_overview();
	about = find(c->operands[0]);
	if (!about)
		return err_usage(e, "'%s': unknown command: see 'sluice help'", c->operands[0]);
	return help_for(about);
}

/* Whether a string is of an option that takes users or groups, or leads to a file of options. */
static bool may_name(const char *text)
{
	static const char *const parts[] = { "uid", "gid", "config", "UID", "GID", "CONFIG" };
	bool may = false;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		may |= strstr(text, parts[i]) != NULL;
	return may;
}

/* Only what is there at all: it decides what privileges are kept while the rest is parsed. */
static unsigned look_at(int argc, char **argv, char **environment)
{
	unsigned input = 0;

	for (int i = 1; i < argc; i++) {
		input |= strncmp(argv[i], "--netns", 7) == 0 ? PRIVS_ENTERS : 0;
		input |= may_name(argv[i]) ? PRIVS_NAMES : 0;
	}
	/* An empty variable is none. */
	for (char **v = environment; v && *v; v++)
		input |= strncmp(*v, "SLUICE_", 7) == 0 && (*v)[strlen(*v) - 1] != '=' &&
					 may_name(*v)
				 ? PRIVS_NAMES
				 : 0;
	return input;
}

static int run(const struct command *command, int argc, char **argv, struct err *e)
{
	struct config config;
	int rc = privs_start(command->privs, look_at(argc, argv, environ), e);

	if (rc < 0)
		return rc;
	config_init(&config);
	config.joined = rc > 0;
	config.operands = calloc((size_t)argc, sizeof(*config.operands));
	rc = !config.operands ? err_set(e, -ENOMEM, "out of memory for the options") : 0;
	if (rc == 0)
		rc = options_parse(&config_options, command->bit, argc, argv, environ, &config,
				   config.operands, operands_max(command, argc),
				   &config.operand_count, e);
	if (rc == 0 && config.help)
		rc = help_for(command);
	else if (rc == 0 && (rc = config_freeze(&config, e)) == 0)
		rc = command->run(&config, e);
	config_fini(&config);
	errno = 0;
	if (rc >= 0 && (fflush(stdout) == EOF || ferror(stdout)))
		rc = errno ? err_sys(e, -errno, "cannot write the output")
			   : err_set(e, -EIO, "cannot write all of the output");
	return rc;
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct err e = ERR_INIT;
	int rc;

	log_init("sluice", LOG_INFO);
	if (argc < 2) {
		log_error("no command given: see 'sluice help'");
		return EXIT_USAGE;
	}
	command = find(argv[1]);
	if (!command) {
		log_error("'%s': unknown command: see 'sluice help'", argv[1]);
		return EXIT_USAGE;
	}
	rc = run(command, argc - 1, argv + 1, &e);
	if (rc >= 0)
		return rc;
	log_error("%s", e.text);
	return e.status;
}
