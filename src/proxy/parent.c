// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The parent: see parent.h.
 *
 * Theory of Operation: all that may fail under load happens in the worker. The parent holds the
 * same listeners and never accepts, so what arrives between two workers waits in the queues. It
 * watches the worker's pulse in shared memory: a worker that stands still is killed like one that
 * died is replaced. On a stop it closes its own listeners at once, so that the worker alone
 * decides when they are gone. The worker dies with the parent (PR_SET_PDEATHSIG).
 */
#include "parent.h"

#include "crashes.h"
#include "log.h"
#include "log_file.h"
#include "loop.h"
#include "pod.h"
#include "sandbox.h"
#include "vitals.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_MS      250
#define HUNG_MS	      5000 /* without a pulse: the worker is killed */
#define STILLBORN_MAX 5	   /* workers in a row that never had a pulse: give up */

struct parent {
	const struct proxy_config *config;
	struct pod pod;
	struct vitals *vitals;
	int stop_fd;
	struct log_file log; /* the access log */
	pid_t worker;
	bool stopping;
	int order; /* enum vitals_order, as far as it was obeyed */
	struct crashes crashes;
	unsigned stillborn;
	uint64_t pulse; /* as last seen */
	unsigned still_ms;
	uint64_t born_pulse; /* when the present worker was started */
};

/* The child's whole life. */
_noreturn_ static void be_worker(struct parent *p, pid_t parent_pid)
{
	struct err e = ERR_INIT;

	/* #syscalls prctl getppid */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent_pid)
		_exit(EXIT_FAILED);
	prctl(PR_SET_NAME, "sluice-worker");
	if (sandbox_hide(p->config, &e) < 0 ||
	    worker_run(&p->pod, p->config, p->vitals, p->stop_fd, &p->log, &e) < 0) {
		log_error("%s", e.text);
		_exit(EXIT_FAILED);
	}
	exit(EXIT_DONE);
}

static int spawn(struct parent *p, struct err *e)
{
	/* #syscalls clone getpid */
	pid_t self = getpid(), pid = fork();

	if (pid < 0)
		return err_sys(e, -errno, "cannot start the worker");
	if (pid == 0)
		be_worker(p, self);
	p->worker = pid;
	p->born_pulse = p->pulse = atomic_load(&p->vitals->pulse);
	p->still_ms = 0;
	return 0;
}

/* The worker does as crashes have led to. */
static void tell_worker(struct parent *p)
{
	atomic_store(&p->vitals->observers_off, p->crashes.blind);
	atomic_store(&p->vitals->rest, p->crashes.rest);
}

static void count_crash(struct parent *p)
{
	const struct crashes before = p->crashes;

	crashes_add(&p->crashes, loop_clock());
	atomic_fetch_add(&p->vitals->restarts, 1);
	tell_worker(p);
	if (p->crashes.blind && !before.blind)
		log_warn("%d crashes in a minute: observing nothing for %llu minutes",
			 CRASHES_TO_BLIND,
			 (unsigned long long)(p->crashes.blind_for / 60000000000ull));
	if (p->crashes.rest && !before.rest)
		log_warn("%d crashes in a minute: new connections go past this proxy until a "
			 "minute has passed without one",
			 CRASHES_TO_REST);
}

static void forgive(struct parent *p)
{
	bool blind = p->crashes.blind;

	crashes_forgive(&p->crashes, loop_clock());
	tell_worker(p);
	if (blind && !p->crashes.blind)
		log_info("observing again");
}

/* The worker is gone. 1: stopped as told, 0: a new one runs, negative: give up. */
static int worker_ended(struct parent *p, int status, struct err *e)
{
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE;

	if (p->stopping && clean)
		return 1;
	if (p->stopping)
		return err_set(e, -ECHILD,
			       "the worker died before it had drained: connections "
			       "were reset");
	if (!atomic_load(&p->vitals->ready))
		return err_set(e, -ECHILD, "the worker could not start");
	if (WIFSIGNALED(status))
		log_error("the worker was killed by signal %d: starting another", WTERMSIG(status));
	else
		log_error("the worker ended with status %d: starting another", WEXITSTATUS(status));
	p->stillborn = atomic_load(&p->vitals->pulse) == p->born_pulse ? p->stillborn + 1 : 0;
	if (p->stillborn == STILLBORN_MAX)
		return err_set(e, -ECHILD, "%d workers died as soon as they ran: giving up",
			       STILLBORN_MAX);
	count_crash(p);
	return spawn(p, e);
}

static int reap(struct parent *p, struct err *e)
{
	int status;

	/* #syscalls wait4 */
	if (waitpid(p->worker, &status, WNOHANG) != p->worker)
		return 0;
	return worker_ended(p, status, e);
}

/* CHECK_MS have passed: does the worker still go round? */
static void check_pulse(struct parent *p)
{
	uint64_t pulse = atomic_load(&p->vitals->pulse);

	p->still_ms = pulse == p->pulse ? p->still_ms + CHECK_MS : 0;
	p->pulse = pulse;
	if (p->still_ms >= HUNG_MS) {
		log_error("the worker stands still: killing it");
		/* #syscalls kill */
		kill(p->worker, SIGKILL);
		p->still_ms = 0;
	}
}

static void stop(struct parent *p)
{
	p->stopping = true;
	pod_close_listeners(&p->pod);
	/* #syscalls write */
	eventfd_write(p->stop_fd, 1);
}

/* What the worker's admin server was told meanwhile. */
static void obey(struct parent *p)
{
	int order = atomic_load(&p->vitals->order);

	if (order == p->order)
		return;
	p->order = order;
	/* The worker's own are open still: it knows when nothing comes any more. */
	if (order == ORDER_DRAIN)
		pod_close_listeners(&p->pod);
	else if (!p->stopping)
		stop(p);
}

/*
 * Gives back what is mapped of an object's code and constants; what is used again comes back from
 * the page cache. (A debugger's breakpoints, set before, do not.)
 */
static int forget_object(struct dl_phdr_info *object, size_t size, void *unused)
{
	uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	char *headers = (char *)object->dlpi_phdr; /* within the object, as all its parts are */

	(void)size;
	(void)unused;
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + part->p_vaddr, before = start % page_size;
		ptrdiff_t offset = (ptrdiff_t)(start - before) - (intptr_t)headers;

		/* #syscalls madvise */
		if (part->p_type == PT_LOAD && !(part->p_flags & PF_W))
			madvise(headers + offset, part->p_memsz + before, MADV_DONTNEED);
	}
	return 0;
}

static int supervise(struct parent *p, const sigset_t *signals, struct err *e)
{
	const struct timespec check = { .tv_nsec = CHECK_MS * 1000000L };
	int rc = spawn(p, e);

	/* The parent needs no more of what starting took, and little of what the worker does. */
	dl_iterate_phdr(forget_object, NULL);
	while (rc == 0) {
		/* #syscalls rt_sigtimedwait */
		switch (sigtimedwait(signals, NULL, &check)) {
		case SIGTERM:
		case SIGINT:
			stop(p);
			break;
		case SIGCHLD:
			break;
		case SIGUSR1:
			log_file_look(&p->log);
			break;
		default:
			check_pulse(p);
			log_file_tick(&p->log, CHECK_MS);
			break;
		}
		obey(p);
		forgive(p);
		rc = reap(p, e);
	}
	return rc < 0 ? rc : 0;
}

/* To @most; 0: as far as it goes. */
static void set_descriptor_limit(uint32_t most)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = most ? MIN(files.rlim_max, most) : files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

int parent_run(const struct proxy_config *config, struct err *e)
{
	struct parent p = { .config = config, .stop_fd = -1, .log = LOG_FILE_NONE };
	sigset_t signals;
	int rc;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	set_descriptor_limit(config->max_descriptors);

	p.vitals = mmap(NULL, sizeof(*p.vitals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (p.vitals == MAP_FAILED)
		return err_sys(e, -errno, "cannot share memory with the worker");
	p.stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = p.stop_fd < 0 ? err_sys(e, -errno, "cannot make an eventfd")
			   : pod_open(&p.pod, config, e);
	if (rc == 0) {
		rc = log_file_open(&p.log, config->access_log, e);
		if (rc == 0)
			rc = sandbox_parent(config, p.log.flags, e);
		if (rc == 0)
			rc = supervise(&p, &signals, e);
		pod_close(&p.pod);
	}
	log_file_close(&p.log);
	if (p.stop_fd >= 0)
		close(p.stop_fd);
	munmap(p.vitals, sizeof(*p.vitals));
	return rc;
}
