# SPDX-License-Identifier: GPL-2.0-or-later
# Builds sluice and sluice-proxy. `make help` lists the targets and the variables.

all: # Build both programs and their man pages (this is the default)

# ---- What the user may set; CFLAGS, CPPFLAGS and LDFLAGS are added to ours, never replaced ----
#   BUILD=dir           where everything that is built goes (build)
#   CC=clang            another compiler (gcc)
#   WERROR=1            warnings are errors
#   SANITIZE=list       address,undefined or thread
#   LTO=1               optimise across files
#   V=1                 print the commands
#   PREFIX=dir          where `make install` puts things (/usr/local)
#   DESTDIR=dir         a root to put PREFIX under, for packages
#   SOAK=list           which tests `make soak` runs (explain faults racing kills reruns
#                       cardinality crashes slow soak)
#   DURATION=seconds    how long `make demo` may take
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
OPTIMIZE ?= -O2

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
# Nothing at all with `make -s`.
say = @$(if $(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-7s %s\n')
endif

# ---- Sources. Explicit, so that a stray file is never built; `make lint` finds one left out ----

common := addr caps error interval json log options packet parse protocol syscalls target
sluice := backend backend_iptc backend_nft command_explain command_inject command_verify commands \
	compare compare_set compare_xt config config_options decode_match decode_nft decode_xt \
	diff drain encode_expr encode_nft encode_xt explain explain_nft explain_xt inject \
	inject_component inject_policy inject_settings inject_spec inject_warn inject_workload lacks legacy lower main man neighbours \
	netns nft_list nft_read nft_write \
	nl_batch nl_socket objects owners plan plan_facts plan_json plan_nft plan_text privs \
	privs_calls readback rtnl ruleset sock_destroy stage status status_print tproxy_route \
	turn user_map verify_net verify_pick verify_run watch xt_lock xtable yaml_edit yaml_read
proxy := crashes dns_message names resolver resolver_cache resolver_channel resolver_lookup \
	resolver_race \
	dial forward forward_answer forward_block forward_body forward_clock forward_events \
	forward_frames forward_head forward_http1 forward_http2 forward_io forward_output \
	forward_request forward_rules forward_streams local_addr \
	access_log access_log_text admin admin_config \
	admin_endpoints admin_flows admin_http admin_metrics admin_request \
	envoy_stats envoy_stats_text \
	flow flow_list grpc gzip heartbeat hpack hpack_huffman hpack_table http1 http1_line \
	http1_pair http1_parse http1_ring http2 http2_stream listener loop main metrics metrics_info \
	metrics_labels metrics_names metrics_process metrics_text negotiate observer origdst own parent \
	log_file pipes pod proxy_man proxy_options quota record record_log relay routes sandbox side_thread sniff thread \
	tls_hello trace upstream worker writer
# Unit test programs, by what they are linked with.
unit-common := test_addr test_interval test_options test_parse test_protocol test_target
unit-sluice := test_compare test_config test_decode_nft test_encode test_encode_xt test_explain \
	test_lower test_plan test_privs test_sock_destroy test_status
unit-proxy := test_crashes test_dns_message test_names test_resolver test_resolver_cache \
	test_resolver_families test_resolver_race \
	test_forward_body test_forward_head test_forward_rules test_forward_streams \
	test_access_log test_admin test_admin_metrics test_admin_request test_envoy_stats \
	test_grpc test_gzip test_hpack test_http1 test_http1_parse test_http2 test_log_file \
	test_metrics test_metrics_text test_negotiate test_own test_quota test_routes test_sandbox \
	test_sniff test_tls_hello test_trace test_upstream
fuzz := fuzz_dns fuzz_forward fuzz_forward_http2 \
	fuzz_admin fuzz_hpack fuzz_http1 fuzz_http2 fuzz_inject fuzz_observer fuzz_parse fuzz_tls_hello

# ---- Libraries: found once, installed by scripts/deps where they are missing ----

libraries := libnftnl libmnl libip4tc libip6tc
# Only `sluice inject` needs it: linked in, it costs `apply` nothing at its start.
yaml-libs := -l:libyaml.a
proxy-libraries := libcares zlib
# GNU make builds an included file and starts again, so the flags below are there from then on.
ifneq ($(filter-out clean help deps uninstall lint check-layers print-%,$(or $(MAKECMDGOALS),all)),)
include $(BUILD)/config.mk
endif

$(BUILD)/config.mk: Makefile scripts/deps
	@mkdir -p $(@D)
	@{ command -v $(firstword $(CC)) && pkg-config --exists $(libraries) $(proxy-libraries) yaml-0.1; } \
		>/dev/null 2>&1 || scripts/deps build >&2
	@# libnftnl goes into the program where there is an archive: loading it is 3 % of an apply.
	@# libcares and libz likewise: loaded, they are 0.1 MiB of memory, and of the image.
	@nftnl=-lnftnl; [ ! -e "$$($(CC) -print-file-name=libnftnl.a)" ] || nftnl=-l:libnftnl.a; \
	printf '%s := %s\n' \
		libraries-cflags "$$(pkg-config --cflags $(libraries) $(proxy-libraries))" \
		libraries-libs "$$(pkg-config --libs $(libraries) | sed "s/-lnftnl/$$nftnl/")" \
		proxy-libs "$$(for flag in $$(pkg-config --libs $(proxy-libraries)); do \
			archive=lib$${flag#-l}.a; \
			[ -e "$$($(CC) -print-file-name=$$archive)" ] && flag=-l:$$archive; \
			printf '%s ' "$$flag"; done)" > $@

# ---- Flags ----

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
# Where it was built is not in it: the same sources give the same programs.
reproducible := -ffile-prefix-map=$(CURDIR)=.
hardening := -fstack-protector-strong -fstack-clash-protection -fPIE
ifdef SANITIZE
# The sanitizers bring their own checks of the same calls, which _FORTIFY_SOURCE would hide.
hardening += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
else
hardening += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(if $(findstring clang,$(CC)),2,3)
endif
all-cppflags := -D_GNU_SOURCE -Iinclude $(libraries-cflags) $(CPPFLAGS)
all-cflags := -std=c11 -g $(OPTIMIZE) $(warnings) $(hardening) $(reproducible) $(if $(filter 1,$(WERROR)),-Werror) \
	$(if $(filter 1,$(LTO)),-flto=auto) $(CFLAGS)
all-ldflags := -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# Rewritten only when the compiler or a flag differs: objects of two kinds never mix.
flags-now := $(CC) $(all-cppflags) $(all-cflags) $(all-ldflags)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(flags-now))' | cmp -s - $@ || \
		printf '%s\n' '$(subst ','\'',$(flags-now))' > $@

# ---- Programs ----

objects = $(patsubst %,$(BUILD)/obj/src/$(1)/%.o,$($(1)))
# What the tests link with: everything but the two main functions.
archive-parts = $(filter-out %/main.o,$(call objects,$(1)))
programs := $(BUILD)/sluice $(BUILD)/sluice-proxy
manuals := $(programs:%=%.8)

all: $(programs) $(manuals)

# For the options of sluice-proxy, which `inject` gives to containers.
$(BUILD)/sluice: $(call objects,sluice) $(BUILD)/libproxy.a $(BUILD)/libcommon.a
$(BUILD)/sluice: libs = $(libraries-libs) $(yaml-libs)
page := $(BUILD)/obj/page.o
$(BUILD)/sluice-proxy: $(call objects,proxy) $(page) $(BUILD)/libcommon.a
$(BUILD)/sluice-proxy: libs = -pthread $(proxy-libs)
$(programs):
	$(say) LINK $@
	$(Q)$(CC) $(all-cflags) $(all-ldflags) -o $@ $^ $(libs) $(LDLIBS)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(all-cppflags) $(all-cflags) -MMD -MP -c -o $@ $<

$(BUILD)/%.a:
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^
$(BUILD)/libcommon.a: $(call archive-parts,common)
$(BUILD)/libsluice.a: $(call archive-parts,sluice)
$(BUILD)/libproxy.a: $(call archive-parts,proxy) $(page)

# The live page is in the program.
$(BUILD)/page.c: scripts/embed-page $(addprefix web/page.,html css js)
	$(say) PAGE $@
	@mkdir -p $(@D)
	$(Q)$< web > $@.tmp && mv $@.tmp $@
$(page): $(BUILD)/page.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(all-cppflags) $(all-cflags) -MMD -MP -c -o $@ $<

# The manual comes from the same table as the options: it cannot be behind.
$(BUILD)/sluice.8: $(BUILD)/sluice
	$(say) MAN $@
	$(Q)$< help --man > $@.tmp && mv $@.tmp $@
$(BUILD)/sluice-proxy.8: $(BUILD)/sluice-proxy
	$(say) MAN $@
	$(Q)$< --man > $@.tmp && mv $@.tmp $@

# ---- Test programs ----

unit-names := $(unit-common) $(unit-sluice) $(unit-proxy)
unit-programs := $(unit-names:%=$(BUILD)/unit/%)

# Shows recorded flows to the observers, for the differential tests.
replay := $(BUILD)/differential/replay
$(replay): $(BUILD)/obj/tests/differential/replay.o $(BUILD)/libproxy.a $(BUILD)/libcommon.a
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(all-cflags) $(all-ldflags) -o $@ $^ -pthread $(proxy-libs) $(LDLIBS)

unit: $(unit-programs) $(replay) # Build the unit test programs, $(BUILD)/unit/*

deps-test:
	@pkg-config --exists cmocka || scripts/deps test >&2
$(unit-programs): $(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(all-cflags) $(all-ldflags) -o $@ $^ -lcmocka $(libraries-libs) $(yaml-libs) $(proxy-libs) -pthread \
		$(LDLIBS)
$(unit-names:%=$(BUILD)/obj/tests/unit/%.o): | deps-test
$(unit-sluice:%=$(BUILD)/unit/%): $(BUILD)/libsluice.a
# Where a test stands in for what the code under test calls.
$(BUILD)/unit/test_metrics: all-ldflags += -Wl,--wrap=calloc
$(BUILD)/unit/test_sock_destroy: all-ldflags += -Wl,--wrap=nl_socket_request
$(unit-proxy:%=$(BUILD)/unit/%): $(BUILD)/libproxy.a
$(unit-programs): $(BUILD)/libcommon.a

fuzz-programs := $(fuzz:%=$(BUILD)/fuzz/%)
fuzz: # Build the fuzz targets with clang, $(BUILD)/for-fuzz/fuzz/*
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/for-fuzz CC=clang \
		SANITIZE=fuzzer-no-link,address,undefined fuzz-programs
fuzz-programs: $(fuzz-programs)
$(fuzz-programs): $(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(all-cflags) -fsanitize=fuzzer $(all-ldflags) -o $@ $^ -pthread $(proxy-libs) $(libs)
# In the order in which they need one another.
$(BUILD)/fuzz/fuzz_inject: $(BUILD)/libsluice.a
$(fuzz-programs): $(BUILD)/libproxy.a $(BUILD)/libcommon.a
$(BUILD)/fuzz/fuzz_inject: libs = $(libraries-libs) $(yaml-libs)
# nghttp2 is what our decoder of HPACK is held against.
$(BUILD)/fuzz/fuzz_hpack: libs = -lnghttp2

# ---- Everything else ----

check: # Run every test, also with sanitizers, and lint: what the CI runs
	+@scripts/check

# Each of these tests has a long form, which takes about three quarters of an hour in all, ten minutes
# of them (SOAK_SECONDS=600) the proxy under full load. SLUICE_SOAK=0.1 for a tenth of it, SLUICE_SEED=N
# for the random choices of another run, SOAK for some of the tests.
SOAK ?= explain faults racing kills reruns cardinality crashes slow soak
soak-tests := $(foreach s,$(SOAK),$(wildcard tests/*/test_$(s).py))
soak-run = SLUICE_BUILD=$(BUILD) SLUICE_SOAK=$${SLUICE_SOAK:-1} CC=$(CC) /usr/bin/python3 -m pytest \
	-c tests/pytest.ini --rootdir=tests -q --tb=short
soak: all # Race, break, kill, flood and load both programs for long
	@scripts/deps test
ifneq ($(filter-out %/test_soak.py,$(soak-tests)),)
	@$(soak-run) -n 2 -rP $(filter-out %/test_soak.py,$(soak-tests))
endif
ifneq ($(filter %/test_soak.py,$(soak-tests)),)
	@$(soak-run) -s $(filter %/test_soak.py,$(soak-tests))
endif

demo: all # See real traffic redirected, proxied and measured, in a lab of its own
	@SLUICE_BUILD=$(BUILD) scripts/demo

image: all # Build the container images, from scratch: $(BUILD)/image/
	@SLUICE_BUILD=$(BUILD) CC=$(CC) scripts/image

# What of container/kubernetes/ is printed by the program; tests hold it against that.
manifests: $(BUILD)/sluice # Write the generated files of container/kubernetes/ anew
	$(Q)$< inject --policy > container/kubernetes/policy.yaml
	$(Q)for form in sidecar classic; do \
		$< inject --component --form=$$form > container/kubernetes/$$form/kustomization.yaml && \
		$< inject --form=$$form < container/kubernetes/example.yaml \
			> container/kubernetes/example-$$form.yaml || exit; \
	done

bench: all # Compare with nft, HAProxy and Envoy, side by side
	@scripts/deps bench
	@SLUICE_BUILD=$(BUILD) CC=$(CC) /usr/bin/python3 tests/bench/run

check-cluster: all # Run the tests that need a real Kubernetes, which is built the first time
	@SLUICE_BUILD=$(BUILD) CC=$(CC) scripts/check-cluster

demo-cluster: all # See a shop of two services injected and measured in a real Kubernetes
	@SLUICE_BUILD=$(BUILD) CC=$(CC) scripts/demo-cluster

lint: # Check formatting, static analysis, scripts and layers
	+@scripts/lint

check-layers: # Check that the pure modules include no I/O header
	@scripts/check-layers

# What `make lint` holds against the files that are there.
print-sources:
	@printf '%s\n' $(sort $(common:%=src/common/%.c) $(sluice:%=src/sluice/%.c) \
		$(proxy:%=src/proxy/%.c) $(unit-names:%=tests/unit/%.c) $(fuzz:%=tests/fuzz/%.c))

print-unit:
	@printf '%s\n' $(unit-programs)
print-fuzz:
	@printf '%s\n' $(fuzz-programs)

deps: # Install the Debian packages that building, testing, demo, bench and lint need
	@scripts/deps build test demo bench lint

install: all # Install below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 755 $(programs) $(DESTDIR)$(PREFIX)/sbin
	install -m 644 $(manuals) $(DESTDIR)$(PREFIX)/share/man/man8

uninstall: # Remove what `make install` put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,$(notdir $(programs))) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,$(notdir $(manuals)))

clean: # Remove $(BUILD)
	rm -rf $(BUILD)

help: # Print this help
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):[^#=]*# \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
	@echo 'Variables:'
	@sed -n 's/^#   \([A-Z][A-Za-z0-9]*=[a-z0-9]*\) */  \1|/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

FORCE:
.PHONY: all unit fuzz fuzz-programs check check-cluster soak demo demo-cluster image manifests bench lint \
	check-layers deps deps-test install uninstall clean help print-sources print-unit print-fuzz FORCE
.DELETE_ON_ERROR:

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
