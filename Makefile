# Builds liveroot and puts it where distributions expect it: `make help`.
# GNU make. What goes where is held by tests/install.rs; docs/dracut.md tells dracut's side.

PREFIX = /usr
DESTDIR =
BINDIR = $(PREFIX)/bin
DATADIR = $(PREFIX)/share
MANDIR = $(DATADIR)/man
DOCDIR = $(DATADIR)/doc/liveroot
LICENSEDIR = $(DATADIR)/licenses/liveroot
BASHDIR = $(DATADIR)/bash-completion/completions
ZSHDIR = $(DATADIR)/zsh/site-functions
FISHDIR = $(DATADIR)/fish/vendor_completions.d
# Below /usr whatever PREFIX is: `liveroot build` and dracut look nowhere else.
AGENTDIR = /usr/lib/liveroot
DRACUTDIR = /usr/lib/dracut/modules.d

CARGO = cargo
# Such as --offline or --frozen.
CARGOFLAGS =
CARGO_TARGET_DIR ?= target
# Where both programs are taken from.
BUILT = $(CARGO_TARGET_DIR)/x86_64-unknown-linux-gnu/release

# Flags in the environment would replace those of .cargo/config.toml, and the agent would need
# libraries that no initramfs has.
cargo = env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
	CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)' $(CARGO)

modules = $(wildcard dracut-module/*)

all:
	$(cargo) build --release --locked $(CARGOFLAGS)

# Builds nothing: it often runs as root, and cargo's files would be root's.
install:
	@test -x '$(BUILT)/liveroot-init' || { echo 'no $(BUILT)/liveroot-init: run make first' >&2; exit 1; }
	install -D -m 755 '$(BUILT)/liveroot' '$(DESTDIR)$(BINDIR)/liveroot'
	install -D -m 755 '$(BUILT)/liveroot-init' '$(DESTDIR)$(AGENTDIR)/liveroot-init'
	install -d -m 755 $(foreach module,$(notdir $(modules)),'$(DESTDIR)$(DRACUTDIR)/$(module)')
# All executable, as dracut's own are: dracut copies modes, and systemd passes over a generator that
# can't be executed.
	set -e; for file in dracut-module/*/*; do \
		install -m 755 "$$file" '$(DESTDIR)$(DRACUTDIR)'"$${file#dracut-module}"; \
	done
	set -e; for page in man/*.[1-8]; do \
		install -D -m 644 "$$page" '$(DESTDIR)$(MANDIR)/man'"$${page##*.}/$${page#man/}"; \
	done
	install -D -m 644 completions/liveroot '$(DESTDIR)$(BASHDIR)/liveroot'
	install -D -m 644 completions/_liveroot '$(DESTDIR)$(ZSHDIR)/_liveroot'
	install -D -m 644 completions/liveroot.fish '$(DESTDIR)$(FISHDIR)/liveroot.fish'
	install -d -m 755 '$(DESTDIR)$(DOCDIR)/docs' '$(DESTDIR)$(LICENSEDIR)'
	install -m 644 README.md CHANGELOG.md '$(DESTDIR)$(DOCDIR)'
	install -m 644 docs/*.md '$(DESTDIR)$(DOCDIR)/docs'
	install -m 644 LICENSE LICENSE-APACHE LICENSE-MIT '$(DESTDIR)$(LICENSEDIR)'

# With the variables of `make install`; directories that others use too stay.
uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/liveroot' '$(DESTDIR)$(BASHDIR)/liveroot' \
		'$(DESTDIR)$(ZSHDIR)/_liveroot' '$(DESTDIR)$(FISHDIR)/liveroot.fish'
	set -e; for page in man/*.[1-8]; do \
		rm -f '$(DESTDIR)$(MANDIR)/man'"$${page##*.}/$${page#man/}"; \
	done
	rm -rf '$(DESTDIR)$(AGENTDIR)' '$(DESTDIR)$(DOCDIR)' '$(DESTDIR)$(LICENSEDIR)' \
		$(foreach module,$(notdir $(modules)),'$(DESTDIR)$(DRACUTDIR)/$(module)')

deb: all
	BUILT='$(BUILT)' packaging/build-deb

check:
	$(cargo) test --locked $(CARGOFLAGS) --lib

help:
	@echo 'make             both programs, static, into $(BUILT)'
	@echo 'make install     programs, module of dracut, manual, completions, documents'
	@echo 'make uninstall   takes them away'
	@echo 'make deb         a package for Debian, into packaging/out'
	@echo 'make check       unit tests, some seconds; all tests: qemu/test'
	@echo
	@echo 'Variables: DESTDIR (a staging tree), PREFIX ($(PREFIX)), BINDIR, MANDIR, DOCDIR,'
	@echo 'LICENSEDIR, BASHDIR, ZSHDIR, FISHDIR, AGENTDIR, DRACUTDIR; CARGO, CARGOFLAGS,'
	@echo 'CARGO_TARGET_DIR; BUILT (where install takes the programs from).'
	@echo 'The agent and the module go below /usr with any PREFIX; nothing else looks for them.'

.PHONY: all install uninstall deb check help
