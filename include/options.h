/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options from one table: the same row gives the command-line flag, the environment variable,
 * the help text and the man page.
 *
 *   name        flag           environment
 *   proxy-uid   --proxy-uid    SLUICE_PROXY_UID
 *
 * The command line beats the environment, which beats the configuration file (an option of kind
 * OPTION_FILE names it; lines of `name = value`). Values of a list option given several times on
 * the command line, or in the file, add up. On the command line and in the file an empty value is
 * an error, in the environment it means unset. So does a variable ..._PORT that Kubernetes made of
 * a Service's name (tcp://ADDRESS:PORT).
 */
#ifndef SLUICE_OPTIONS_H
#define SLUICE_OPTIONS_H

#include "error.h"
#include "span.h"

/* How an option takes its value. */
enum option_kind {
	OPTION_FLAG,  /* none on the command line (then "on"); on or off in the environment */
	OPTION_VALUE, /* one value; given twice on the command line is an error */
	OPTION_LIST,  /* items between commas, or "@FILE" with one or more per line; adds up */
	OPTION_EACH,  /* one value; given several times, all count; never split */
	OPTION_FILE,  /* the path of a file with more options; one in a table, without a parser */
	OPTION_KIND_COUNT,
};

/*
 * Reads one value (of a list: one item) into @field. Unless the option is for the command line
 * only, the text may be gone afterwards: it can come from a file. Pure; prints nothing. 0 or a
 * negative errno with @e set; the caller puts the option's name before it.
 */
typedef int option_parser(void *field, struct span value, struct err *e);

struct option {
	const char *name;     /* long name without dashes */
	const char *arg;      /* what the help calls the value; NULL for a flag */
	const char *fallback; /* the default as the help prints it; NULL: none worth saying */
	const char *help;     /* one sentence, no final full stop */
	enum option_kind kind;
	unsigned commands;	/* bits of the commands that take it */
	bool command_line_only; /* neither in the environment nor in a file (--netns) */
	option_parser *parse;
	size_t offset;	   /* of the field in the configuration */
	bool stands_alone; /* given, it is all that counts: environment and file are not read */
	/* The variable that a script we take the place of called it; NULL: it had none. */
	const char *script_name;
	bool reads_script_names; /* given, the environment's script_name counts too, after ours */
};

struct option_table {
	const struct option *options;
	size_t count;
};

/*
 * Reads @argv[1..argc-1], then @environ for what argv left unset, then the configuration file for
 * what is unset still, into @config. The file may set options of other commands. At most
 * @max_operands arguments that are no options go to @operands, their number to *@operand_count;
 * one more is an error. "--" ends the options. 0, a usage error, also for a file that cannot be
 * read, or -ENOMEM.
 */
int options_parse(const struct option_table *table, unsigned command, int argc, char **argv,
		  char **environ_list, void *config, const char **operands, size_t max_operands,
		  size_t *operand_count, struct err *e);

/* Where an option's value came from. */
enum option_source {
	OPTION_FROM_DEFAULT,
	OPTION_FROM_FLAG,
	OPTION_FROM_ENVIRONMENT,
	OPTION_FROM_FILE,
	OPTION_SOURCE_COUNT,
};

extern const char *const option_source_names[OPTION_SOURCE_COUNT];

/* What was given for one option. */
struct option_told {
	enum option_source source;
	char *text; /* owned; as it was given, lists joined by commas; NULL: the default */
};

/*
 * As options_parse(), and says in @told, one for each option of the table and all zero before, what
 * was given and where. options_told_fini() ends it, also after a failure.
 */
int options_parse_told(const struct option_table *table, unsigned command, int argc, char **argv,
		       char **environ_list, void *config, const char **operands,
		       size_t max_operands, size_t *operand_count, struct option_told *told,
		       struct err *e);
void options_told_fini(const struct option_table *table, struct option_told *told);

/* "--proxy-uid" -> "SLUICE_PROXY_UID". @out has room for @size bytes; longer is cut. */
void options_env_name(const struct option *o, char *out, size_t size);

/* The options that @command takes, one per line or two, for a terminal of 80 columns. */
void options_help(const struct option_table *table, unsigned command, FILE *to);

/* All options as mdoc(7) list items with their variables and defaults. */
void options_man(const struct option_table *table, FILE *to);

#endif
