# One command a job; each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Settings as on AWS, for Django's own look at them; nothing is connected to.
PRODUCTION := RDS_HOST=db.example.com RDS_DB=clients RDS_USER=import RDS_PASS=secret LOG_FILE= \
	NOTIFICATION_EMAIL=admin@example.com DJANGO_SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))')

# For every Python and platform that we support. `make lock UPGRADE=--upgrade` takes the newest versions.
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11

.PHONY: run test check lock format bench chaos clean

run: $(INSTALLED) ## the whole platform on this machine: http://127.0.0.1:8000/admin/
	$(BIN)/python manage.py runlocal samples/clients.csv

test: $(INSTALLED) ## every test, against the same embedded PostgreSQL and local AWS
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(INSTALLED) ## the gate: style, types, architecture, migrations, Django's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	@$(BIN)/pip-audit --requirement requirements-dev.txt --require-hashes --disable-pip --progress-spinner off --timeout 5 || \
		{ echo "The dependency audit found something, or its service can't be reached from here."; [ -z "$(AUDIT)" ]; }

lock: $(INSTALLED) ## pin everything that ships, and all that develops it, with hashes
	$(LOCK) requirements.in --output-file requirements.txt $(UPGRADE)
	$(LOCK) --constraint requirements.txt requirements-dev.in --output-file requirements-dev.txt $(UPGRADE)
	$(LOCK) --constraint requirements-dev.txt benchmarks/requirements.in \
		--output-file benchmarks/requirements.txt $(UPGRADE)

format: $(INSTALLED)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

chaos: $(INSTALLED) ## break things N times at random, compare with an independent model
	$(BIN)/python -m tests.chaos --rounds $(or $(N),100)

bench: $(INSTALLED) ## the speed table
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## forget the virtual environment and all local data
	rm -rf $(VENV) .local

$(INSTALLED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; $$($(PYTHON) --version) is what '$(PYTHON)' starts. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); this takes a minute, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

-include infra/deploy.mk
