# make demo and make test need only make and a Python from 3.11 to 3.13: they set up .venv themselves.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Every target with a line of help is a word, not a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):[^\#]*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Give PYTHON=/path/to/python to choose one; a candidate that does not really run is passed over.
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
PROBE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1@/p' $(MAKEFILE_LIST) | awk -F@ '{printf "%-18s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## the real daemon learns digits from a live stream, in front of you
	$(BIN)/streamlearn demo $(ARGS)

test: lint ## lint and every test; data sets under $STREAMLEARN_DATA join in where it is set
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not live and not daemon and not slow" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -n 2 -m daemon $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m live $(ARGS) || [ $$? -eq 5 ]

test-slow: $(VENV)/.dev ## tests that compile or install for minutes: recurrent contexts, images
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow $(ARGS)

lint: $(VENV)/.dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## lay the code out, mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## the benchmarks on this machine, into docs/results (ARGS='kernels idle' for some)
	$(BIN)/python tools/results.py $(ARGS)
	$(BIN)/python tools/tables.py

one-pass: $(VENV)/.dev ## test errors after one pass over the standard sets, three seeds, into docs/results
	$(BIN)/python tools/one_pass.py $(ARGS)
	$(BIN)/python tools/tables.py

neighbours: $(VENV)/.dev ## the neighbours head on raw pixels beside softmax, one pass, three seeds, into docs/results
	$(BIN)/python tools/neighbours.py $(ARGS)
	$(BIN)/python tools/tables.py

ff-one-pass: $(VENV)/.dev ## Forward-Forward after one pass over MNIST, three seeds, into docs/results (ARGS='mnist fast')
	$(BIN)/python tools/ff_one_pass.py $(ARGS)
	$(BIN)/python tools/tables.py

reproduce-ff: $(VENV)/.dev ## the Forward-Forward paper's table, many hours, goes on where it stopped (ARGS=--short: seconds)
	$(BIN)/python tools/ff_reproduce.py $(ARGS)
	$(BIN)/python tools/tables.py

reproduce-kh: $(VENV)/.dev ## the figures of competing hidden units' paper, about an hour (ARGS=--short: seconds)
	$(BIN)/python tools/kh_reproduce.py $(ARGS)
	$(BIN)/python tools/tables.py

reproduce-geometric: $(VENV)/.dev ## the figures of geometric spiking networks, under an hour, goes on where it stopped (ARGS=--short: seconds)
	$(BIN)/python tools/geometric_reproduce.py $(ARGS)
	$(BIN)/python tools/tables.py

kh-stream: $(VENV)/.dev ## competing hidden units as a stream: competitions, passes, depth, into docs/results
	$(BIN)/python tools/kh_stream.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-watch: $(VENV)/.dev ## Greedy InfoMax on an unseen person's smartwatch, hours, goes on where it stopped, into docs/results
	$(BIN)/python tools/infomax_watch.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-voices: $(VENV)/.dev ## Greedy InfoMax telling five voices apart, goes on where it stopped (ARGS=--short: seconds)
	$(BIN)/python tools/infomax_voices.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-heads: $(VENV)/.dev ## heads that learn while the modules of Greedy InfoMax move, goes on where it stopped (ARGS=--short: seconds)
	$(BIN)/python tools/infomax_heads.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-video: $(VENV)/.dev ## Greedy InfoMax on video: the next frame told, alarm as a hand comes in, into docs/results
	$(BIN)/python tools/infomax_video.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-speed: $(VENV)/.dev ## Greedy InfoMax at real-time rates beside PyTorch, and its memory (ARGS='--only memory --steps 1000000')
	$(BIN)/python tools/infomax_speed.py $(ARGS)
	$(BIN)/python tools/tables.py

infomax-added: $(VENV)/.dev ## a module more while a daemon learns: time, pause, rows lost (ARGS=--short: seconds)
	$(BIN)/python tools/infomax_added.py $(ARGS)
	$(BIN)/python tools/tables.py

geometric-speed: $(VENV)/.dev ## the geometric network beside Brian2 and BindsNET (ARGS='--bindsnet CHECKOUT')
	$(BIN)/python tools/geometric_speed.py $(ARGS)
	$(BIN)/python tools/tables.py

geometric-online: $(VENV)/.dev ## the geometric network through the daemon, one pass, beside BindsNET (ARGS as above)
	$(BIN)/python tools/geometric_online.py $(ARGS)
	$(BIN)/python tools/tables.py

geometric-starts: $(VENV)/.dev ## what the geometric configurations that come along reach (ARGS='watch video' for some)
	$(BIN)/python tools/geometric_starts.py $(ARGS)
	$(BIN)/python tools/tables.py

reference: $(VENV)/.dev ## configs/reference.toml anew, from the settings' own help
	$(BIN)/python tools/gen_reference.py

tables: $(VENV)/.dev ## the tables of README and docs anew, from docs/results
	$(BIN)/python tools/tables.py

faults: $(VENV)/.dev ## kill -9 at every named point and 200 times at random for every rule, then mishaps, into docs/results (ARGS='hebbian', ARGS=--rest)
	$(BIN)/python tools/faults.py $(ARGS)
	$(if $(ARGS),,$(BIN)/python tools/mishaps.py)
	$(BIN)/python tools/tables.py

mishaps: $(VENV)/.dev ## clocks, stops, cut connections, a failing disk, a bad network, damage, into docs/results (ARGS=clock)
	$(BIN)/python tools/mishaps.py $(ARGS)
	$(BIN)/python tools/tables.py

power: $(VENV)/.dev ## power cuts after any call, calls that fail with EIO and ENOSPC, into docs/results; needs strace
	$(BIN)/python tools/power.py $(ARGS)
	$(BIN)/python tools/tables.py

durability: $(VENV)/.dev ## what acknowledging costs beside plain PULL, and recovery, into docs/results
	$(BIN)/python tools/durability.py $(ARGS)
	$(BIN)/python tools/tables.py

soak: $(VENV)/.dev ## a day of load and random faults in 45 minutes, into docs/results (ARGS='--minutes 10')
	$(BIN)/python tools/soak.py $(ARGS)
	$(BIN)/python tools/tables.py

soak-alone: $(VENV)/.dev ## one kind of disturbance at a time, what of it stays in memory, into docs/results (ARGS='--seconds 20 scrapes')
	$(BIN)/python tools/soak_alone.py $(ARGS)
	$(BIN)/python tools/tables.py

soak-rows: $(VENV)/.dev ## least squares over 10^7 hard rows, memory over 5 million, a stop under load
	STREAMLEARN_HARD_ROWS=10000000 $(BIN)/python -m pytest tests/heads -k hard_rows --timeout 3600
	$(BIN)/streamlearn bench memory stop

fuzz: $(VENV)/.fuzz ## every decoder under a coverage-guided fuzzer, a minute each, into docs/results (ARGS='--seconds 5 journal')
	$(BIN)/python tools/fuzz.py $(ARGS)
	$(BIN)/python tools/tables.py

clean: ## everything that can be made again
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(CANDIDATES); do \
	  if "$$python" -c '$(PROBE)' >/dev/null 2>&1; then \
	    echo "$(VENV): made with $$python"; exec "$$python" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "No Python from 3.11 to 3.13 that can make a virtual environment among: $(CANDIDATES)." >&2; \
	echo "On Debian or Ubuntu: apt install python3-venv. Or name one: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "$(VENV): installing streamlearn"
	@$(PIP) --editable '.[data,picture]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "$(VENV): installing streamlearn and its development tools"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.fuzz: $(VENV)/.dev
	@$(PIP) --editable '.[fuzz]' || { echo "atheris has no wheel for this Python or machine;" \
	  "try: make PYTHON=python3.11 clean fuzz. make test fuzzes without it" >&2; exit 1; }
	@touch $@
