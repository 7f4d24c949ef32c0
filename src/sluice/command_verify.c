// SPDX-License-Identifier: GPL-2.0-or-later
/* sluice verify: every check on a line of its own. */
#include "commands.h"

#include "json.h"
#include "log.h"
#include "netns.h"
#include "privs.h"
#include "turn.h"
#include "verify_run.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* How often one looks whether another one is done, and for how long each time: a minute in all. */
#define TURN_TRIES    1200
#define TURN_PAUSE_NS 50000000

/* Set by the first signal that asks us to end. */
static volatile int stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* Without SA_RESTART: what waits is woken. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		/* #syscalls rt_sigaction */
		sigaction(signals[i], &action, NULL);
	/* Whoever reads the lines may go away: cleaning up comes first. */
	signal(SIGPIPE, SIG_IGN);
}

/*
 * Two at once would take each other's listeners for a proxy. Returns what to close, or -errno with
 * @e set.
 */
static int wait_for_turn(struct err *e)
{
	const struct timespec pause = { .tv_nsec = TURN_PAUSE_NS };
	int fd;

	for (unsigned try = 0; (fd = turn_try(TURN_VERIFY, e)) == -EADDRINUSE; try++) {
		if (stop)
			return err_set(e, -EINTR, "interrupted");
		if (try == TURN_TRIES)
			return err_set(e, -EBUSY,
				       "another 'sluice verify' has been at work in this namespace "
				       "for a minute: try again when it is done");
		if (try == 0)
			log_info("another 'sluice verify' is at work in this namespace: waiting");
		nanosleep(&pause, NULL); /* #syscalls clock_nanosleep */
	}
	return fd;
}

struct printer {
	unsigned output; /* enum output_format */
	size_t counts[VERIFY_OUTCOME_COUNT];
};

static void print_report(const struct verify_report *r, void *data)
{
	static const char *const words[] = {
		[VERIFY_OK] = "ok",
		[VERIFY_FAILED] = "FAILED",
		[VERIFY_NOT_TRIED] = "not tried",
	};
	struct printer *p = data;

	_Static_assert(ARRAY_SIZE(words) == VERIFY_OUTCOME_COUNT, "a word for each");
	p->counts[r->outcome]++;
	if (p->output == OUTPUT_JSON) {
		printf("{\"outcome\": \"%s\", \"what\": ", words[r->outcome]);
		json_string(span_str(r->what), stdout);
		fputs(", \"reason\": ", stdout);
		json_string(span_str(r->reason), stdout);
		puts("}");
	} else {
		printf("%-9s  %s%s%s\n", words[r->outcome], r->what, r->reason[0] ? ": " : "",
		       r->reason);
	}
	fflush(stdout);
}

static int verify(const struct config *c, const struct plan *plan, struct err *e)
{
	struct printer p = { .output = c->output };
	_cleanup_close_ int turn = -1;
	long failed;
	int rc = c->netns ? netns_enter(c->netns, e) : 0;

	if (rc == 0)
		rc = privs_joined(PRIVS_PROOF, e);
	if (rc < 0)
		return rc;
	catch_signals();
	turn = wait_for_turn(e);
	if (turn < 0)
		return turn;
	failed = verify_run(c, plan, &stop, print_report, &p, e);
	if (failed < 0)
		return (int)failed;
	rc = privs_end(e);
	if (rc < 0)
		return rc;
	/* That the rules are there was no connection. */
	if (!failed && p.counts[VERIFY_OK] <= 1)
		return err_set(e, -EPERM, "no connection could be tried: see the reasons above");
	if (c->output == OUTPUT_TEXT)
		printf("sluice: %s: %zu ok, %zu failed, %zu not tried\n",
		       failed ? "the redirect is not as planned" : "verified", p.counts[VERIFY_OK],
		       p.counts[VERIFY_FAILED], p.counts[VERIFY_NOT_TRIED]);
	return failed ? EXIT_DRIFT : EXIT_DONE;
}

int command_verify(const struct config *c, struct err *e)
{
	struct plan p;
	int rc = plan_build(&p, c, e);

	if (rc == 0)
		rc = verify(c, &p, e);
	plan_fini(&p);
	return rc;
}
